"""Exercises of rl/08-your-environment."""

import numpy as np

from zoolib.teach.check import Case, Exercise


def _clock_cases(rng: np.random.Generator) -> list[Case]:
    def draw(gamma, limit, words):
        value = 0.0
        for _ in range(4_000):  # sweep by sweep: every target but one in `limit` bootstraps
            targets = [1.0 + gamma * value] * (limit - 1) + [1.0]
            value = sum(targets) / limit
        return Case((gamma, limit), value, words)

    return [
        draw(float(rng.uniform(0.5, 0.95)), 5, "a limit of five steps"),
        draw(float(rng.uniform(0.5, 0.95)), int(rng.integers(6, 40)), "a longer limit"),
        draw(float(rng.uniform(0.5, 0.95)), 1, "a limit of one step"),
    ]


def _mask_cases(rng: np.random.Generator) -> list[Case]:
    def draw(steps, copies, ends, cuts, words):
        terminated, truncated, expected = (np.zeros((steps, copies), bool) for _ in range(3))
        for i in range(copies):
            restart = False
            for t in range(steps):
                expected[t, i] = not restart
                if restart:  # nothing can end in it
                    restart = False
                    continue
                how = rng.random()
                terminated[t, i] = how < ends
                truncated[t, i] = not terminated[t, i] and how < ends + cuts
                restart = bool(terminated[t, i] or truncated[t, i])
            # an end in the middle, so that every case of its kind has one
            if steps > 2 and expected[:, i].all() and (ends or cuts):
                (terminated if ends else truncated)[1, i] = True
                expected[2, i] = False
                terminated[2:, i] = truncated[2:, i] = False
        return Case((terminated, truncated), expected, words)

    return [
        draw(12, 4, 0.35, 0.0, "copies that terminate"),
        draw(12, 3, 0.0, 0.35, "copies that a limit cuts off"),
        draw(16, 5, 0.25, 0.25, "both kinds of end"),
    ]


def _box_cases(rng: np.random.Generator) -> list[Case]:
    def draw(low, high, words):
        low, high = np.array(low, float), np.array(high, float)
        obs = low + rng.random((6, len(low))) * (high - low)
        expected = np.zeros_like(obs)
        for n in range(len(obs)):
            for k in range(len(low)):
                if high[k] > low[k]:
                    middle, half = (high[k] + low[k]) / 2, (high[k] - low[k]) / 2
                    expected[n, k] = (obs[n, k] - middle) / half
        return Case((obs, low, high), expected, words)

    a, b, c = (float(number) for number in rng.uniform(1.5, 60, 3))
    return [
        draw([-a, -b], [a, b], "bounds around 0"),
        draw([0.0, a, -b], [c, a + b, -0.5], "bounds that are not around 0"),
        draw([0.0, a], [c, a], "a component that never changes"),
    ]


def _unit_box(obs, low, high, *, scale=2.0, shift=1.0, offset=True):
    width = np.where(high > low, high - low, 1)
    return np.where(high > low, scale * (obs - low * offset) / width - shift, 0.0)


def _without_care(obs, low, high):
    with np.errstate(all="ignore"):
        return 2 * (obs - low) / (high - low) - 1


def _over(terminated, truncated):
    return terminated | truncated


def _after(over):
    real = np.ones_like(over)
    real[1:] = ~over[:-1]
    return real


EXERCISES = {
    "wrong_clock": Exercise(
        points=2,
        cases=_clock_cases,
        mistakes={
            "That is the right value of Clock. With one flag, one step in `limit` does not bootstrap, and the value "
            "is lower.": lambda gamma, limit: 1 / (1 - gamma),
            "That is the return of `limit` rewards: what an agent would learn at the first step if it could see the "
            "time. This one cannot, so all steps share one value.": lambda gamma, limit: sum(
                gamma**k for k in range(limit)
            ),
            "You let one step in `limit` bootstrap; it is all but one.": lambda gamma, limit: 1 / (1 - gamma / limit),
            "A restart is no experience: of `limit` steps one is the last, not one of `limit` + 1.": (
                lambda gamma, limit: 1 / (1 - gamma * (1 - 1 / (limit + 1)))
            ),
        },
    ),
    "experience_mask": Exercise(
        points=2,
        cases=_mask_cases,
        mistakes={
            "The step that ends an episode is experience, the most important one. It is the step *after* it that "
            "restarts the copy.": lambda terminated, truncated: ~_over(terminated, truncated),
            "A copy that a time limit has cut off restarts too: look at both flags.": lambda terminated, truncated: (
                _after(terminated)
            ),
            "A copy that has terminated restarts too: look at both flags.": lambda terminated, truncated: _after(
                truncated
            ),
            "You have marked the restarts; true is asked for where a step was experience.": (
                lambda terminated, truncated: ~_after(_over(terminated, truncated))
            ),
        },
    ),
    "unit_box": Exercise(
        points=1,
        cases=_box_cases,
        mistakes={
            "You map to [0, 1]. Stretch it by 2 and shift it by 1.": lambda obs, low, high: _unit_box(
                obs, low, high, scale=1.0, shift=0.0
            ),
            "Take `low` away before you divide: not every box begins at 0.": lambda obs, low, high: _unit_box(
                obs, low, high, offset=False
            ),
            "Where both bounds are equal you divide by zero; give 0 there.": _without_care,
        },
    ),
}

"""Exercises of rl/01-the-rl-loop.  Equation numbers are those of Sutton and Barto 2018."""

import numpy as np

from zoolib.teach.check import Case, Exercise

# --- bootstrapped_returns --------------------------------------------------------------------------------------


def _returns(rewards, length, terminated, last_value, gamma):
    """Equation 3.8 term by term, with the last value where a time limit cut the sum off."""
    returns = np.zeros(rewards.shape)
    for b, n in enumerate(length):
        for t in range(n):
            returns[b, t] = sum(gamma**k * rewards[b, t + k] for k in range(n - t))
            returns[b, t] += 0.0 if terminated[b] else gamma ** (n - t) * last_value[b]
    return returns


def _returns_cases(rng):
    def case(tests, batch, steps, end, whole):
        rewards = rng.normal(size=(batch, steps)).round(2)
        length = np.full(batch, steps) if whole else rng.integers(1, steps, size=batch)
        last_value = rng.normal(3, 1, size=batch).round(2)
        gamma = float(rng.choice([0.5, 0.8, 0.9]))
        args = (rewards, length, np.resize(end, batch), last_value, gamma)
        return Case(args, _returns(*args), tests)

    return [
        case("episodes that terminate", 1, 3, [True], whole=True),
        case("episodes that terminate", 3, 5, [True], whole=True),
        case("episodes that a time limit cut off", 1, 3, [False], whole=True),
        case("episodes that a time limit cut off", 3, 5, [False, True], whole=True),
        case("episodes shorter than the batch", 4, 6, [True, False], whole=False),
        case("episodes shorter than the batch", 1, 4, [False], whole=False),
    ]


def _returns_by(following, padded=True, discount_last=True):
    """A plausible wrong function: `following(terminated, last_value)` is the return after the last step."""

    def wrong(rewards, length, terminated, last_value, gamma):
        returns = np.zeros(np.shape(rewards))
        for b in range(len(returns)):
            end = length[b] if padded else returns.shape[1]
            after = following(terminated[b], last_value[b])
            for t in reversed(range(end)):
                factor = gamma if discount_last or t < end - 1 else 1.0
                after = rewards[b][t] + factor * after
                returns[b, t] = after
        return returns

    return wrong


def _right_after(terminated, last_value):
    return 0.0 if terminated else last_value


def _forward_returns(rewards, length, terminated, last_value, gamma):
    """The sum from the first step up to t, in place of the sum from t on."""
    returns = np.zeros(np.shape(rewards))
    for b, n in enumerate(length):
        discounts = gamma ** np.arange(n)
        returns[b, :n] = np.cumsum(discounts * rewards[b, :n])
        returns[b, n - 1] += 0.0 if terminated[b] else gamma**n * last_value[b]
    return returns


# --- expected_sarsa_target -------------------------------------------------------------------------------------


def _sarsa(reward, next_q, terminated, gamma, epsilon):
    """Equation 6.9 action by action, with the probabilities written out."""
    target = reward.astype(float)
    for b, row in enumerate(next_q):
        if terminated[b]:
            continue
        best = [a for a, value in enumerate(row) if value == max(row)]
        for a, value in enumerate(row):
            target[b] += gamma * value * (epsilon / len(row) + (a in best) * (1 - epsilon) / len(best))
    return target


def _sarsa_cases(rng):
    def case(tests, batch, actions, ends, ties=False):
        next_q = rng.normal(size=(batch, actions)).round(2)
        if ties:
            next_q[:, [0, -1]] = next_q.max(axis=1, keepdims=True) + 1
        terminated = np.arange(batch) % 2 == 0 if ends else np.zeros(batch, bool)
        gamma, epsilon = float(rng.choice([0.5, 0.9])), float(rng.choice([0.1, 0.3, 0.6]))
        args = (rng.normal(size=batch).round(2), next_q, terminated, gamma, epsilon)
        return Case(args, _sarsa(*args), tests)

    return [
        case("steps after which the episode goes on", 4, 3, ends=False),
        case("steps after which the episode goes on", 1, 4, ends=False),
        case("steps that terminate the episode", 4, 2, ends=True),
        case("actions that tie for the best", 3, 4, ends=False, ties=True),
    ]


def _sarsa_by(expect, alive=True):
    def wrong(reward, next_q, terminated, gamma, epsilon):
        going = ~terminated if alive else 1.0
        return reward + gamma * going * expect(next_q, epsilon)

    return wrong


def _mixed(next_q, epsilon):
    return (1 - epsilon) * next_q.max(axis=1) + epsilon * next_q.mean(axis=1)


def _others_only(next_q, epsilon):
    """Epsilon shared among the actions that are not the best."""
    others = (next_q.sum(axis=1) - next_q.max(axis=1)) / (next_q.shape[1] - 1)
    return (1 - epsilon) * next_q.max(axis=1) + epsilon * others


def _every_tie_whole(next_q, epsilon):
    """Each of the tied best actions given the whole greedy probability."""
    best = next_q == next_q.max(axis=1, keepdims=True)
    return (next_q * ((1 - epsilon) * best + epsilon / next_q.shape[1])).sum(axis=1)


# --- greedy_policy_value ---------------------------------------------------------------------------------------


def _policy_value(q, p, reward, gamma):
    """Equation 3.14 applied over and over, until another thousand steps could not matter."""
    value = np.zeros(len(q))
    for _ in range(1000):
        value = np.array([reward[s, a] + gamma * (p[s, a] * value).sum() for s, a in enumerate(map(np.argmax, q))])
    return value


def _policy_cases(rng):
    def case(tests, states, actions, ends, chance=True, ties=False):
        p = rng.dirichlet(np.full(states, 0.5), size=(states, actions))
        if not chance:
            p = np.eye(states)[p.argmax(axis=2)]
        if ends:
            p = p * rng.choice([0.0, 0.6, 1.0], size=(states, actions, 1))
        q = rng.normal(size=(states, actions)).round(1)
        if ties:
            q[:, 1:] = q.max(axis=1, keepdims=True) + 1
        args = (q, p, rng.normal(1, 1, size=(states, actions)).round(2), float(rng.choice([0.5, 0.8, 0.9])))
        return Case(args, _policy_value(*args), tests)

    return [
        case("worlds without chance", 3, 2, ends=False, chance=False),
        case("worlds with chance", 4, 3, ends=False),
        case("worlds with chance", 6, 4, ends=False),
        case("worlds with terminal steps", 5, 3, ends=True),
        case("actions that tie for the best", 4, 3, ends=False, ties=True),
    ]


def _believed(q, p, reward, gamma):
    return q.max(axis=1)


def _optimal(q, p, reward, gamma):
    value = np.zeros(len(q))
    for _ in range(1000):
        value = (reward + gamma * p @ value).max(axis=1)
    return value


def _random_policy(q, p, reward, gamma):
    return np.linalg.solve(np.eye(len(q)) - gamma * p.mean(axis=1), reward.mean(axis=1))


def _one_step(q, p, reward, gamma):
    states, action = np.arange(len(q)), q.argmax(axis=1)
    return reward[states, action] + gamma * p[states, action] @ q.max(axis=1)


def _renormalised(q, p, reward, gamma):
    """Rows of p scaled to sum to 1, so that no step terminates."""
    total = p.sum(axis=2, keepdims=True)
    scaled = np.divide(p, total, out=np.zeros_like(p), where=total > 0)
    states, action = np.arange(len(q)), q.argmax(axis=1)
    return np.linalg.solve(np.eye(len(q)) - gamma * scaled[states, action], reward[states, action])


def _last_of_ties(q, p, reward, gamma):
    states, action = np.arange(len(q)), q.shape[1] - 1 - q[:, ::-1].argmax(axis=1)
    return np.linalg.solve(np.eye(len(q)) - gamma * p[states, action], reward[states, action])


EXERCISES = {
    "bootstrapped_returns": Exercise(
        points=3,
        cases=_returns_cases,
        mistakes={
            "A time limit is taken for the end: where terminated is False, start from last_value, not from 0": (
                _returns_by(lambda terminated, last_value: 0.0)
            ),
            "last_value is added behind a terminal state, where nothing follows: start from 0 there": (
                _returns_by(lambda terminated, last_value: last_value)
            ),
            "The roles are swapped: last_value counts where terminated is False": (
                _returns_by(lambda terminated, last_value: last_value if terminated else 0.0)
            ),
            "The padding is counted: begin at step length - 1, not at the end of the row": (
                _returns_by(_right_after, padded=False)
            ),
            "last_value is one step behind the last reward: discount it once": (
                _returns_by(_right_after, discount_last=False)
            ),
            "G_t sums the rewards from step t on, not those up to t: work backwards": _forward_returns,
        },
    ),
    "expected_sarsa_target": Exercise(
        points=3,
        cases=_sarsa_cases,
        mistakes={
            "That is Q-learning's target: weigh all actions by their probabilities, not the best alone": (
                _sarsa_by(lambda next_q, epsilon: next_q.max(axis=1))
            ),
            "That is a policy that never prefers any action: the best has probability 1 - epsilon + epsilon / A": (
                _sarsa_by(lambda next_q, epsilon: next_q.mean(axis=1))
            ),
            "A terminal state is worth 0: multiply what follows by (not terminated)": _sarsa_by(_mixed, alive=False),
            "A random action may be the best one too: epsilon is shared among all A actions": (_sarsa_by(_others_only)),
            "epsilon and 1 - epsilon are swapped: epsilon is the probability of a random action": (
                _sarsa_by(lambda next_q, epsilon: _mixed(next_q, 1 - epsilon))
            ),
            "Tied actions share the greedy probability: the probabilities of a row must sum to 1": (
                _sarsa_by(_every_tie_whole)
            ),
        },
    ),
    "greedy_policy_value": Exercise(
        points=4,
        cases=_policy_cases,
        mistakes={
            "That is what q believes; q may be wrong, so compute the value from p and reward": _believed,
            "That is the value of the best policy: take the actions that q prefers, and no maximum after that": (
                _optimal
            ),
            "That is the value of acting at random: take row s of the action with the largest q[s]": _random_policy,
            "After the first step q is trusted again: put the unknown V on both sides and solve for it": _one_step,
            "A row of p that sums to less than 1 terminates with the rest: do not scale it up": _renormalised,
            "Where actions tie, the first is taken, as np.argmax does": _last_of_ties,
        },
    ),
}

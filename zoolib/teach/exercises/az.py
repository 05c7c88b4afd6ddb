"""Exercises of games/02-alphazero."""

import numpy as np

from zoolib.teach.check import Case, Exercise


def _outcomes(players, winner):
    return np.array([0.0 if winner is None else 1.0 if player == winner else -1.0 for player in players])


def _outcomes_cases(rng: np.random.Generator) -> list[Case]:
    def case(players, winner, said):
        return Case((players, winner), _outcomes(players, winner), said)

    passes = [int(x) for x in rng.integers(0, 2, 9)]
    return [
        case([0, 1, 0, 1, 0], 0, "who began has won"),
        case([0, 1, 0, 1], 1, "the other has won"),
        case([0, 1, 0], None, "a draw"),
        case([0, 0, 1, 1, *passes], 0, "a game in which a player may move twice"),
        case([1, 0, 1, 0], 0, "a game that player 1 began"),
    ]


def _visit_policy(visits, temperature):
    visits = np.asarray(visits, float)
    if temperature == 0:
        policy = (visits == visits.max()).astype(float)
    else:
        policy = (visits / visits.max()) ** (1 / temperature)
    return policy / policy.sum()


def _upside_down(visits, temperature):
    if temperature == 0:
        return _visit_policy(visits, 0)
    policy = np.asarray(visits, float) ** temperature
    return policy / policy.sum()


def _softmax(visits, temperature):
    if temperature == 0:
        return _visit_policy(visits, 0)
    policy = np.exp((np.asarray(visits, float) - max(visits)) / temperature)
    return policy / policy.sum()


def _first_of_the_best(visits, temperature):
    if temperature == 0:
        return np.eye(len(visits))[int(np.argmax(visits))]
    return _visit_policy(visits, temperature)


def _visit_policy_cases(rng: np.random.Generator) -> list[Case]:
    drawn = [int(x) for x in rng.integers(0, 30, 7)]
    cases = [
        ([3, 1, 0, 4], 1.0, "temperature 1"),
        ([10, 20, 0], 0.5, "temperature 1/2"),
        ([4, 9, 1], 2.0, "temperature 2"),
    ]
    cases += [([1, 7, 7, 0], 0, "temperature 0, and two moves that were visited most"), (drawn, 0.25, "many moves")]
    return [Case((visits, t), _visit_policy(visits, t), said) for visits, t, said in cases]


def _mirrored_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for n, said in ((1, "one position"), (3, "several positions")):
        planes, policy = (rng.random((n, 3, 6, 7)) < 0.3).astype(float), rng.dirichlet(np.ones(7), n)
        cases.append(Case((planes, policy), (planes[..., ::-1].copy(), policy[..., ::-1].copy()), said))
    return cases


EXERCISES = {
    "outcomes": Exercise(
        points=2,
        cases=_outcomes_cases,
        mistakes={
            "That is the outcome to player 0; each position wants it from the view of who was to move there.": (
                lambda players, winner: np.full(len(players), 0.0 if winner is None else 1.0 if winner == 0 else -1.0)
            ),
            "That is the outcome to the other player: the sign is the wrong way round.": lambda p, w: -_outcomes(p, w),
            "The sign does not change with every move: look at who was to move.": lambda p, w: (
                (0.0 if w is None else 1.0 if p[0] == w else -1.0) * (-1.0) ** np.arange(len(p))
            ),
        },
    ),
    "visit_policy": Exercise(
        points=2,
        cases=_visit_policy_cases,
        mistakes={
            "A low temperature makes the policy sharper: the exponent is 1 / temperature.": _upside_down,
            "Visits are raised to a power; they are no logits.": _softmax,
            "At temperature 0 moves that were visited equally often share: there may be more than one.": (
                _first_of_the_best
            ),
        },
    ),
    "mirrored": Exercise(
        points=2,
        cases=_mirrored_cases,
        mistakes={
            "The policy must be mirrored with the board.": lambda planes, policy: (planes[..., ::-1].copy(), policy),
            "Mirror left and right: gravity does not allow top and bottom.": lambda planes, policy: (
                planes[:, :, ::-1].copy(),
                policy[..., ::-1].copy(),
            ),
            "The planes keep their order: own discs stay in the first.": lambda planes, policy: (
                planes[:, ::-1, :, ::-1].copy(),
                policy[..., ::-1].copy(),
            ),
        },
    ),
}

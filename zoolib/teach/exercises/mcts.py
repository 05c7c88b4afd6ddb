"""Exercises of games/01-mcts."""

import numpy as np

from zoolib.teach.check import Case, Exercise


def _tree(rng: np.random.Generator, depth: int):
    """A game as nested lists, with 1 to 3 moves in each position."""
    if depth == 0:
        return int(rng.integers(-1, 2))
    return [_tree(rng, depth - 1 if rng.random() < 0.8 else 0) for _ in range(rng.integers(1, 4))]


def _best(tree):
    return tree if not isinstance(tree, list) else max(-_best(after) for after in tree)


def _random(tree):
    return tree if not isinstance(tree, list) else float(np.mean([-_random(after) for after in tree]))


def _trees(rng: np.random.Generator, value) -> list[Case]:
    deep = [_tree(rng, 4) for _ in range(3)]
    return [
        Case((int(rng.choice([-1, 1])),), None, "the end of a game"),
        Case(([-1, 0, 1, -1],), None, "one move to the end"),
        Case(([[-1, 1, 1], [0]],), None, "two moves to the end"),
        *[Case((tree,), None, "longer games") for tree in deep],
    ]


def _cases(value):
    def draw(rng: np.random.Generator) -> list[Case]:
        return [Case(case.args, value(case.args[0]), case.tests) for case in _trees(rng, value)]

    return draw


def _same_side_best(tree):
    return tree if not isinstance(tree, list) else max(_same_side_best(after) for after in tree)


def _other_best(tree):
    return tree if not isinstance(tree, list) else min(-_other_best(after) for after in tree)


def _same_side_random(tree):
    return tree if not isinstance(tree, list) else float(np.mean([_same_side_random(after) for after in tree]))


def _flat(tree, sign=1):
    """The ends of a tree, to the player at its root."""
    return [sign * tree] if not isinstance(tree, list) else [x for after in tree for x in _flat(after, -sign)]


def _amaf(games, results, actions, start=0, step=2, once=True):
    n, total = np.zeros(actions), np.zeros(actions)
    for moves, result in zip(games, results, strict=True):
        made = moves[start::step]
        for action in set(made) if once else made:
            n[action] += 1
            total[action] += result
    return n, total


def _amaf_cases(rng: np.random.Generator) -> list[Case]:
    def draw(games, actions, words):
        results = [1, -0.5, 0, *(int(rng.choice([-1, 0, 1])) for _ in games[3:])]
        n, total = _amaf(games, results, actions)
        return Case((games, results, actions), total / np.maximum(n, 1), words)

    orders = [[int(a) for a in rng.permutation(6)] for _ in range(8)]
    return [
        draw([order[:1] for order in orders], 7, "games of one move"),
        draw([order[:5] for order in orders], 8, "longer games"),
        draw([[2, 0, 2, 1, 3], [1, 2, 2, 2, 3], [0, 1, 0]], 5, "a move that is played twice"),
    ]


EXERCISES = {
    "perfect_value": Exercise(
        points=2,
        cases=_cases(_best),
        mistakes={
            "The turn passes with each move: a position that is good for the other player is bad for this one.": (
                _same_side_best
            ),
            "The player to move chooses the move that is best for them, not for the other.": _other_best,
            "That averages over the moves; perfect play takes the best one.": _random,
        },
    ),
    "random_value": Exercise(
        points=2,
        cases=_cases(_random),
        mistakes={
            "The turn passes with each move, and the sign with it.": _same_side_random,
            "That is perfect play; here every move is as likely as the others.": _best,
            "Not every end is as likely as the others: each position divides its chance among its own moves.": (
                lambda tree: float(np.mean(_flat(tree)))
            ),
        },
    ),
    "all_moves_as_first": Exercise(
        points=2,
        cases=_amaf_cases,
        mistakes={
            "That counts the first moves only; a later move of the same player counts too.": lambda *a: (
                lambda n, total: total / np.maximum(n, 1)
            )(*_amaf(*a, step=10_000)),
            "That counts the other player's moves as well; the root's player made those at 0, 2, 4 and so on.": (
                lambda *a: (lambda n, total: total / np.maximum(n, 1))(*_amaf(*a, step=1))
            ),
            "A game counts once for an action, however often it was played in it.": lambda *a: (
                lambda n, total: total / np.maximum(n, 1)
            )(*_amaf(*a, once=False)),
            "That is the sum; divide by how many games played the action.": lambda *a: _amaf(*a)[1],
        },
    ),
}

"""Exercises of games/03-gomoku."""

import math

import numpy as np

from zoolib.teach.check import Case, Exercise


def _elo_difference(score, base=10.0, scale=400.0):
    if score <= 0 or score >= 1:
        return -math.inf if score <= 0 else math.inf
    return scale * math.log(score / (1 - score), base)


def _elo_difference_cases(rng: np.random.Generator) -> list[Case]:
    said = {
        0.5: "two players who are even",
        0.75: "three points of four",
        1.0: "every game won",
        0.0: "every game lost",
    }
    said |= {float(score): f"a score of {score:.3f}" for score in rng.uniform(0.05, 0.95, 4).round(3)}
    return [Case((score,), _elo_difference(score), words) for score, words in said.items()]


def _completes(board, player, connect=5, exact=False, diagonals=True, through=True):
    board = np.asarray(board)
    height, width = board.shape
    found = np.zeros(board.shape, bool)
    steps = ((0, 1), (1, 0), (1, 1), (1, -1)) if diagonals else ((0, 1), (1, 0))
    for row, column in np.argwhere(board == 0):
        for down, right in steps:
            runs = []
            for sign in (1, -1):
                r, c, n = row + sign * down, column + sign * right, 0
                while 0 <= r < height and 0 <= c < width and board[r, c] == player:
                    r, c, n = r + sign * down, c + sign * right, n + 1
                runs.append(n)
            length = 1 + (sum(runs) if through else max(runs))
            if length == connect or (length > connect and not exact):
                found[row, column] = True
    return found


def _completes_cases(rng: np.random.Generator) -> list[Case]:
    def case(stones, player, said):
        board = np.zeros((9, 9), int)
        for row, column, stone in stones:
            board[row, column] = stone
        return Case((board, player), _completes(board, player), said)

    row = [(4, c, 1) for c in (2, 3, 4, 5)]
    split = [(r, 6, 2) for r in (1, 2, 4, 5)]
    slope = [(i, i, 1) for i in (3, 4, 5, 6)]
    other = [(i, 8 - i, 2) for i in (1, 2, 3, 4)]
    six = [(7, c, 1) for c in (0, 1, 2, 4, 5)]
    mixed = [
        (int(r), int(c), int(rng.integers(1, 3))) for r, c in rng.permutation(81)[:45, None] // [[9, 1]] % [[9, 9]]
    ]
    return [
        case([], 1, "an empty board"),
        case(row[:3], 1, "three in a row"),
        case(row, 1, "four in a row, open on both sides"),
        case([*row, (4, 6, 2)], 1, "four in a row, closed on one side"),
        case(row, 2, "four in a row of the other player"),
        case(split, 2, "four with a gap"),
        case(slope, 1, "four along a diagonal"),
        case(other, 2, "four along the other diagonal"),
        case(six, 1, "a gap that makes six"),
        case([(0, c, 1) for c in (7, 8)] + [(1, c, 1) for c in (0, 1)], 1, "stones that join only around the edge"),
        case(mixed, 1, "stones anywhere"),
    ]


def _turns(board):
    board = np.asarray(board)
    return [np.rot90(b, k) for b in (board, board.T) for k in range(4)]


def _different(boards, turns=_turns):
    return len({min(np.ascontiguousarray(t).tobytes() for t in turns(b)) for b in boards})


def _different_cases(rng: np.random.Generator) -> list[Case]:
    corner, edge, two, hook = np.zeros((4, 5, 5), int)
    corner[0, 0], edge[0, 2] = 1, 1
    two[0, 0], two[0, 1] = 1, 2
    hook[0, :3], hook[1, 0] = (1, 1, 2), 2
    colours = np.where(two == 0, 0, 3 - two)
    some = rng.integers(0, 3, (6, 5, 5))
    return [
        Case((np.stack([corner, edge]),), 2, "a corner and the middle of an edge"),
        Case((np.stack(_turns(corner)),), 1, "a corner, turned"),
        Case((np.stack([hook, hook[::-1]]),), 1, "a hook and its mirror image"),
        Case((np.stack([hook, np.rot90(hook)]),), 1, "a hook, turned once"),
        Case((np.stack([two, colours]),), 2, "the same two cells, with the colours exchanged"),
        Case((np.concatenate([some, some[:3, ::-1], some[2:5].transpose(0, 2, 1)]),), 6, "boards and their turns"),
    ]


EXERCISES = {
    "elo_difference": Exercise(
        points=2,
        cases=_elo_difference_cases,
        mistakes={
            "The scale is 400 for a factor of ten in the odds: use the logarithm to base 10.": lambda s: (
                _elo_difference(s, math.e)
            ),
            "The sign is the wrong way round: a score above a half is a positive difference.": lambda s: (
                -_elo_difference(s)
            ),
            "The odds are score / (1 - score), not the score itself.": lambda s: (
                400 * math.log10(s) if s > 0 else -math.inf
            ),
        },
    ),
    "completes": Exercise(
        points=3,
        cases=_completes_cases,
        mistakes={
            "A line may also run along a diagonal.": lambda b, p: _completes(b, p, diagonals=False),
            "More than five win too.": lambda b, p: _completes(b, p, exact=True),
            "The stone may close a gap: add the stones on both of its sides.": lambda b, p: _completes(
                b, p, through=False
            ),
            "That is where the other player completes a line.": lambda b, p: _completes(b, 3 - p),
            "Four do not win.": lambda b, p: _completes(b, p, connect=4),
        },
    ),
    "different": Exercise(
        points=2,
        cases=_different_cases,
        mistakes={
            "Mirror images count as the same, too.": lambda boards: _different(boards, lambda b: _turns(b)[:4]),
            "Turned boards count as the same: there are eight ways to lay a board.": lambda boards: _different(
                boards, lambda b: [np.asarray(b)]
            ),
            "With the colours exchanged it is another position.": lambda boards: _different(
                boards, lambda b: _turns(b) + _turns(np.where(np.asarray(b) == 0, 0, 3 - np.asarray(b)))
            ),
        },
    ),
}

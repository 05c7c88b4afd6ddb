"""Exercises of games/04-go."""

import numpy as np

from zoolib.teach.check import Case, Exercise


def _near(stones, point, steps=((-1, 0), (0, -1), (0, 1), (1, 0))):
    height, width = stones.shape
    around = [(point[0] + down, point[1] + right) for down, right in steps]
    return [(r, c) for r, c in around if 0 <= r < height and 0 <= c < width]


def _flood(stones, point):
    """The points joined to `point` by points of the same content, and all that lie next to them, each once."""
    members, edge, beside = {point}, [point], set()
    while edge:
        for near in _near(stones, edge.pop()):
            if stones[near] != stones[point]:
                beside.add(near)
            elif near not in members:
                members.add(near)
                edge.append(near)
    return members, beside


def _points(where):
    return [(int(row), int(column)) for row, column in np.argwhere(where)]


def _read(*rows):
    return np.array([[".XO".index(point) for point in row] for row in rows])


def _drawn(rng: np.random.Generator, size=5):
    """A board in which no chain is without a liberty."""
    stones = rng.choice(3, (size, size), p=(0.4, 0.3, 0.3))
    for point in _points(stones > 0):
        if stones[point] and all(stones[p] for p in _flood(stones, point)[1]):
            for member in _flood(stones, point)[0]:
                stones[member] = 0
    return stones


def _in_atari(stones, colours=(1, 2), liberties=None):
    mask = np.zeros(stones.shape, bool)
    for point in _points(np.isin(stones, colours)):
        members, beside = _flood(stones, point)
        mask[point] = (liberties or _once)(stones, point, members, beside) == 1
    return mask


def _once(stones, point, members, beside):
    return sum(stones[p] == 0 for p in beside)


def _for_each_stone(stones, point, members, beside):
    return sum(stones[p] == 0 for member in members for p in _near(stones, member))


def _of_the_stone(stones, point, members, beside):
    return sum(stones[p] == 0 for p in _near(stones, point))


def _in_atari_cases(rng: np.random.Generator) -> list[Case]:
    angle = _read(".....", ".OX..", ".XXO.", ".OO..", ".....")
    shared = _read(".....", "..OO.", ".OXXO", ".OX.O", "..OO.")
    inside = _read("OO...", "XXO..", "X.XO.", "XXO..", "OO...")
    long = _read("XXX..", "OOOX.", ".....", "OXO..", "XOX..")
    boards = {
        "an empty board": np.zeros((5, 5), int),
        "a chain with several liberties": angle,
        "chains around one liberty": inside,
        "two chains at the edge": long,
        "a chain that bends around its last liberty": shared,
    }
    cases = [Case((stones,), _in_atari(stones), said) for said, stones in boards.items()]
    return cases + [Case((s,), _in_atari(s), "a board in mid-game") for s in (_drawn(rng) for _ in range(4))]


def _true_eye(stones, point, colour, allowed=(1, 0), bad=lambda stones, p, colour: stones[p] == 3 - colour):
    """allowed: stones of the other on the diagonals, inside and at the edge."""
    if stones[point] or any(stones[p] != colour for p in _near(stones, point)):
        return False
    corners = _near(stones, point, ((-1, -1), (-1, 1), (1, -1), (1, 1)))
    return bool(sum(bad(stones, p, colour) for p in corners) <= allowed[len(corners) < 4])


def _true_eye_cases(rng: np.random.Generator) -> list[Case]:
    def case(rows, point, colour, said):
        stones = _read(*rows)
        turned = int(rng.integers(4))  # the same in another corner
        where = np.zeros(stones.shape, bool)
        where[point] = True
        stones, point = np.rot90(stones, turned).copy(), _points(np.rot90(where, turned))[0]
        return Case((stones, point, colour), _true_eye(stones, point, colour), said)

    one = ("..X..", ".XO..", ".O.O.", "..OX.", ".....")
    return [
        case((".....", "..X..", ".X.X.", "..X..", "....."), (2, 2), 1, "four stones around, the diagonals empty"),
        case((".....", "..X..", ".X.X.", "..XO.", "....."), (2, 2), 1, "one stone of the other on a diagonal"),
        case((".....", ".OX..", ".X.X.", "..XO.", "....."), (2, 2), 1, "two stones of the other on the diagonals"),
        case(one, (2, 2), 2, "two stones of Black on the diagonals of an eye of White"),
        case((".X...", "XX...", ".....", ".....", "....."), (0, 0), 1, "a corner"),
        case((".X...", "XO...", ".....", ".....", "....."), (0, 0), 1, "a corner whose diagonal the other has"),
        case(("..X.X", "...XO", ".....", ".....", "....."), (0, 3), 1, "an edge whose diagonal the other has"),
        case(("..X.X", "..XXX", ".....", ".....", "....."), (0, 3), 1, "an edge"),
        case(("..X.X", "..OX.", ".....", ".....", "....."), (0, 3), 2, "an eye of the other colour"),
        case((".....", "..X..", ".X...", "..X..", "....."), (2, 2), 1, "a neighbour that is empty"),
        case((".....", "..X..", ".XXX.", "..X..", "....."), (2, 2), 1, "a point that is not empty"),
    ]


def _owned(stones, colour):
    """Points of a colour: its stones, and empty points that reach no others."""
    mask = stones == colour
    for point in _points(stones == 0):
        mask[point] = {int(stones[p]) for p in _flood(stones, point)[1]} == {colour}
    return mask


def _agreed_score(stones, dead, komi):
    left = np.where(dead, 0, stones)
    return float(_owned(left, 1).sum() - _owned(left, 2).sum() - komi)


def _prisoners(stones, dead, komi):
    taken = (dead & (stones == 2)).sum() - (dead & (stones == 1)).sum()
    return _agreed_score(stones, dead, komi) + float(taken)


def _empty_only(stones, dead, komi):
    left = np.where(dead, 0, stones)
    empty = left == 0
    return float((_owned(left, 1) & empty).sum() - (_owned(left, 2) & empty).sum() - komi)


def _agreed_score_cases(rng: np.random.Generator) -> list[Case]:
    end = _read(".XO..", "XXOO.", ".XXOO", "X.XO.", ".X.O.")
    with_dead = _read("OXO.X", "XXOO.", ".XXOO", "XOXO.", ".X.OX")
    nothing = np.zeros((5, 5), bool)
    dead = nothing.copy()
    dead[[0, 0, 3, 4], [0, 4, 1, 4]] = True
    only_black = np.zeros((5, 5), int)
    only_black[2, 2] = 1
    lone, alone = only_black.copy(), nothing.copy()
    lone[0, 0], alone[0, 0] = 2, True
    komi = float(rng.integers(1, 20)) + 0.5

    def case(stones, dead, komi, said):
        return Case((stones, dead, komi), _agreed_score(stones, dead, komi), said)

    return [
        case(end, nothing, 0.0, "no dead stones"),
        case(end, nothing, komi, "a komi"),
        case(with_dead, dead, komi, "dead stones of both colours"),
        case(lone, alone, 0.0, "one dead stone on a board that is otherwise Black's"),
        case(only_black, nothing, 7.0, "a board that is all Black's"),
    ]


EXERCISES = {
    "in_atari": Exercise(
        points=2,
        cases=_in_atari_cases,
        mistakes={
            "A chain has the liberties of all its stones together, not each stone its own.": lambda s: _in_atari(
                s, liberties=_of_the_stone
            ),
            "An empty point next to two stones of a chain is one liberty, not two.": lambda s: _in_atari(
                s, liberties=_for_each_stone
            ),
            "Chains of White can be in atari as well.": lambda s: _in_atari(s, (1,)),
        },
    ),
    "true_eye": Exercise(
        points=2,
        cases=_true_eye_cases,
        mistakes={
            "Look at the diagonals, too: the other's stones there can make the eye a false one.": lambda *a: _true_eye(
                *a, allowed=(4, 4)
            ),
            "At the edge and in the corner not even one diagonal may be the other's.": lambda *a: _true_eye(
                *a, allowed=(1, 1)
            ),
            "Inside the board one diagonal may be the other's.": lambda *a: _true_eye(*a, allowed=(0, 0)),
            "An empty diagonal counts for nobody; only the other's stones count against the eye.": lambda *a: _true_eye(
                *a, bad=lambda stones, p, colour: stones[p] != colour
            ),
        },
    ),
    "agreed_score": Exercise(
        points=3,
        cases=_agreed_score_cases,
        mistakes={
            "Take the dead stones off the board before you count.": lambda s, d, k: _agreed_score(s, d & False, k),
            "Area counts no prisoners: a dead stone gives its point away, and no second one.": _prisoners,
            "Area counts stones and empty points alike.": _empty_only,
            "Komi is White's: it is taken off.": lambda s, d, k: _agreed_score(s, d, -k),
        },
    ),
}

"""Exercises of games/05-your-own-game."""

import numpy as np

from zoolib.games.game import eightfold
from zoolib.teach.check import Case, Exercise


def _dominoes(board, player, down=None, edge=True):
    height, width = board.shape
    down = 1 - player if down is None else down  # who began lays them upright
    right = 1 - down
    mask = np.zeros((height, width), bool)
    for row in range(height):
        for column in range(width):
            r, c = row + down, column + right
            inside = r < height and c < width
            if not inside and edge:
                continue
            mask[row, column] = board[row, column] == 0 and board[r % height, c % width] == 0
    return mask.ravel()


def _dominoes_cases(rng: np.random.Generator) -> list[Case]:
    boards = [np.zeros((2, 3), int), np.zeros((3, 2), int)]
    boards += [(rng.random((4, 5)) < 0.35).astype(int) * rng.integers(1, 3, (4, 5)) for _ in range(3)]
    words = ["an empty board", "an empty board", *["a board in mid-game"] * 3]
    return [
        Case((board, player), _dominoes(board, player), f"{said}, player {player}")
        for board, said in zip(boards, words, strict=True)
        for player in (0, 1)
    ]


def _only_the_cell(board, player):
    height, width = board.shape
    mask = board == 0
    mask = mask[: height - 1] if player == 0 else mask[:, : width - 1]
    wide = np.zeros((height, width), bool)
    wide[: mask.shape[0], : mask.shape[1]] = mask
    return wide.ravel()


def _kept(board, cells):
    return [s for s, places in enumerate(cells) if (board[places] == board).all()]


def _kept_cases(rng: np.random.Generator) -> list[Case]:
    crosswise, three, pair, corner = np.zeros((4, 4, 4), int)
    crosswise[1:3, 1:3] = [[2, 1], [1, 2]]
    three[1:3, 1:3] = [[1, 1], [1, 2]]
    pair[1, 1:3] = 1, 2
    corner[0, 0] = 1
    order = rng.permutation(8)
    mixed = rng.integers(0, 3, (4, 4))
    boards = {
        "an empty board": np.zeros((4, 4), int),
        "four discs crosswise": crosswise,
        "three discs and another": three,
    }
    boards |= {"two discs side by side": pair, "a disc in a corner": corner, "discs anywhere": mixed + mixed.T}
    cells = eightfold(4)[0][order]
    return [Case((board.ravel(), cells), _kept(board.ravel(), cells), said) for said, board in boards.items()]


def _occupied(board, cells):
    return [s for s, places in enumerate(cells) if ((board[places] != 0) == (board != 0)).all()]


def _either_colour(board, cells):
    other = np.where(board == 0, 0, 3 - board)
    return [s for s, places in enumerate(cells) if any((board[places] == b).all() for b in (board, other))]


SIX = ((-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0))


def _connected(board, player, near=SIX, swap=False):
    board = np.asarray(board)
    size, stone = len(board), 1 + player
    own = board == stone
    own = own if (player == 0) != swap else own.T  # player 0 joins top and bottom
    edge = [(0, int(c)) for c in np.flatnonzero(own[0])]
    seen = set(edge)
    while edge:
        row, column = edge.pop()
        if row == size - 1:
            return True
        for down, right in near:
            r, c = row + down, column + right
            if 0 <= r < size and 0 <= c < size and own[r, c] and (r, c) not in seen:
                seen.add((r, c))
                edge.append((r, c))
    return False


def _connected_cases(rng: np.random.Generator) -> list[Case]:
    def case(board, player, said):
        return Case((np.array(board), player), _connected(board, player), said)

    size = 4
    anti, main = np.fliplr(np.eye(size, dtype=int)), np.eye(size, dtype=int)
    column = np.zeros((size, size), int)
    column[:, 1] = 1
    full = [rng.integers(1, 3, (size, size)) for _ in range(6)]
    return [
        case(np.zeros((size, size), int), 0, "an empty board"),
        case(column, 0, "a straight line"),
        case(column, 1, "a straight line of the other player"),
        case(2 * column, 1, "a line from the wrong side to the wrong side"),
        case(anti, 0, "a diagonal of neighbours"),
        case(main, 0, "a diagonal of cells that are no neighbours"),
        *[case(board, player, "a full board") for board in full for player in (0, 1)],
    ]


EXERCISES = {
    "dominoes": Exercise(
        points=2,
        cases=_dominoes_cases,
        mistakes={
            "Player 0 lays dominoes upright, player 1 across.": lambda b, p: _dominoes(b, 1 - p),
            "Both cells of a domino must be empty, not only the first.": _only_the_cell,
            "A domino must not stick out over the edge, nor come in again on the other side.": lambda b, p: _dominoes(
                b, p, edge=False
            ),
        },
    ),
    "kept": Exercise(
        points=2,
        cases=_kept_cases,
        mistakes={
            "The colours must be the same as well, not only which cells are occupied.": _occupied,
            "With the colours exchanged it is the other player's position: that is no symmetry of the game.": (
                _either_colour
            ),
        },
    ),
    "connected": Exercise(
        points=3,
        cases=_connected_cases,
        mistakes={
            "Player 0 joins the top to the bottom, player 1 the left to the right.": lambda b, p: _connected(
                b, p, swap=True
            ),
            "Four neighbours are too few: a cell of Hex has six.": lambda b, p: _connected(
                b, p, ((-1, 0), (1, 0), (0, -1), (0, 1))
            ),
            "Eight neighbours are two too many: (-1, -1) and (1, 1) do not touch.": lambda b, p: _connected(
                b, p, ((-1, -1), (1, 1), *SIX)
            ),
        },
    ),
}

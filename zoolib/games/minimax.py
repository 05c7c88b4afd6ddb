"""Minimax for any game: alpha-beta to a depth, and exact values of a small game; and an eye for threats in Gomoku.

Shannon 1950, "Programming a Computer for Playing Chess" (minimax with an evaluation); Knuth and Moore 1975, "An
Analysis of Alpha-Beta Pruning".
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numba
import numpy as np

from zoolib.games.game import Game, GameError

Score = Callable[[np.ndarray], float]
"""score(state) -> what a position is worth to the player to move, in (-1, 1); njit-able."""
Order = Callable[[np.ndarray, np.ndarray], int]
"""order(state, actions) -> n: the legal actions to look at, the most promising first, into int64 [A]; njit-able."""


@functools.cache
def core(game: Game, score: Score | None, order: Order | None) -> Callable:
    """The search of a game, compiled; where numba cannot compile the game, the Python that it is written in."""
    jit = numba.njit(nogil=True) if game.compiled else lambda function: function
    _, step, legal, outcome, to_play, _ = game.fast
    actions = game.actions
    centre_first = np.abs(np.arange(actions) - (actions - 1) / 2).argsort(kind="stable")

    def compiled(function):
        return function if hasattr(function, "py_func") else jit(function)

    @jit
    def nothing(state):
        return 0.0

    @jit
    def all_legal(state, moves):
        """The middle of the board first: by itself that prunes, and breaks ties for the better."""
        mask, n = np.empty(actions, np.bool_), 0
        legal(state, mask)
        for action in centre_first:
            if mask[action]:
                moves[n] = action
                n += 1
        return n

    value_of = compiled(score) if score else nothing
    moves_of = compiled(order) if order else all_legal

    @jit
    def alphabeta(states, moves, depth, alpha, beta):
        """(value, action): of states[depth] to its player to move; the action is -1 where there is none to choose.

        states: int64 [D + 1, S], moves: int64 [D + 1, A], room for each depth.
        """
        state = states[depth]
        over, value = outcome(state)
        if over:
            return float(value), -1
        if depth == 0:
            return float(value_of(state)), -1
        best, action = -2.0, -1
        for i in range(moves_of(state, moves[depth])):
            states[depth - 1] = state
            step(states[depth - 1], moves[depth, i])
            if to_play(states[depth - 1]) == to_play(state):
                value, _ = alphabeta(states, moves, depth - 1, max(alpha, best), beta)
            else:
                value, _ = alphabeta(states, moves, depth - 1, -beta, -max(alpha, best))
                value = -value
            if value > best:
                best, action = value, moves[depth, i]
            if best >= beta:
                break
        return best, action

    return alphabeta


def minimax(
    game: Game, state: np.ndarray, depth: int, score: Score | None = None, order: Order | None = None
) -> tuple[float, int]:
    """(value, action): the value to the player to move, in [-1, 1], after `depth` plies of the best play.

    It deepens ply by ply, so that a sure win comes as soon as it can, and a sure loss as late.
    score: the value at the leaves, 0 where there is none; order: all legal moves where there is none.
    Raises GameError where the game is over or the depth is less than 1.
    """
    if depth < 1:
        raise GameError(f"minimax looks at least 1 ply ahead, not {depth}")
    if game.outcome(state)[0]:
        raise GameError("the game is over: there is no move to choose")
    search, value, action = core(game, score, order), 0.0, -1
    for plies in range(1, depth + 1):
        states, moves = np.zeros((plies + 1, game.state_size), np.int64), np.zeros((plies + 1, game.actions), np.int64)
        states[plies] = state
        value, better = search(states, moves, plies, -1.0, 1.0)
        if value > -1 or action < 0:
            action = int(better)
        if abs(value) >= 1:
            break
    return float(value) + 0.0, action


def optimal_values(game: Game) -> dict[bytes, tuple[float, np.ndarray]]:
    """The exact value to the player to move, and the mask of the best actions [A], of every reachable state, whose
    `tobytes()` is the key; no action is best where the game is over.  For games as small as tic-tac-toe."""
    known: dict[bytes, tuple[float, np.ndarray]] = {}

    def solve(state: np.ndarray) -> float:
        key = state.tobytes()
        if key not in known:
            over, value = game.outcome(state)
            values = np.full(game.actions, -np.inf)
            for action in np.flatnonzero(game.legal(state) & (not over)):
                after = state.copy()
                game.fast.step(after, action)
                sign = 1 if game.to_play(after) == game.to_play(state) else -1
                values[action] = sign * solve(after)
            best = value if over else float(values.max()) + 0.0  # for -0.0 is no value to print
            known[key] = best, np.zeros(game.actions, bool) if over else values == best
        return known[key][0]

    solve(game.init())
    return known


@functools.cache
def windows(game: Game) -> np.ndarray:
    """The cells of each line that wins a game of lines, int64 [W, connect]."""
    if "connect" not in game.options:
        raise GameError(f"{game.name} is no game of lines")
    height, width, connect = (game.options[key] for key in ("height", "width", "connect"))
    found = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for row in range(height):
            for column in range(width):
                if row + down * (connect - 1) < height and 0 <= column + right * (connect - 1) < width:
                    found.append([(row + down * i) * width + column + right * i for i in range(connect)])
    return np.array(found)


@functools.cache
def gomoku_threats(game: Game) -> Score:
    """A score for minimax that sees threats, for Gomoku; it takes any game of lines.

    A window is `connect` cells in a line.  One that holds stones of one player alone counts for that player, six times
    more for each further stone.  An open three lies in three such windows, one closed on a side in fewer.  At Gomoku,
    where any empty cell can be played, a window that lacks one stone wins for who is to move; and two, lacking
    different stones, win for the other.
    """
    lines, connect = windows(game), game.options["connect"]
    cells = game.options["height"] * game.options["width"]
    anywhere = game.actions == cells
    weights = np.array([0.0, *(6.0**k for k in range(connect - 1)), 0.0])

    @numba.njit(nogil=True)
    def score(state):
        own = 1 + state[cells] % 2
        total, parry = 0.0, -1
        lost = False
        for w in range(len(lines)):
            mine, theirs, gap = 0, 0, -1
            for i in range(connect):
                stone = state[lines[w, i]]
                if stone == 0:
                    gap = lines[w, i]
                elif stone == own:
                    mine += 1
                else:
                    theirs += 1
            if theirs == 0:
                if anywhere and mine == connect - 1:
                    return 0.99
                total += 1.5 * weights[mine]  # who is to move is a stone ahead
            elif mine == 0:
                total -= weights[theirs]
                if theirs == connect - 1:
                    lost = lost or (anywhere and parry >= 0 and parry != gap)
                    parry = gap
        if lost:
            return -0.98
        return 0.95 * total / (weights[connect - 1] + abs(total))

    return score


@functools.cache
def gomoku_moves(game: Game) -> Order:
    """The cells within two of a stone, those first that make or parry most, for minimax at Gomoku of any size."""
    lines, connect = windows(game), game.options["connect"]
    height, width = game.options["height"], game.options["width"]
    cells = height * width
    if game.actions != cells:
        raise GameError(f"an action of {game.name} is no cell")
    weights = np.array([6.0**k for k in range(connect)])

    @numba.njit(nogil=True)
    def order(state, moves):
        if state[cells] == 0:
            moves[0] = height // 2 * width + width // 2
            return 1
        own = 1 + state[cells] % 2
        worth, n = np.zeros(cells), 0
        for w in range(len(lines)):
            mine, theirs = 0, 0
            for i in range(connect):
                mine += state[lines[w, i]] == own
                theirs += state[lines[w, i]] == 3 - own
            if mine == 0 or theirs == 0:
                for i in range(connect):
                    worth[lines[w, i]] += 2 * weights[mine] if theirs == 0 else weights[theirs]
        for cell in range(cells):
            if state[cell] != 0:
                continue
            row, column, near = cell // width, cell % width, False
            for r in range(max(0, row - 2), min(height, row + 3)):
                for c in range(max(0, column - 2), min(width, column + 3)):
                    near = near or state[r * width + c] != 0
            if near:
                j = n
                while j > 0 and worth[moves[j - 1]] < worth[cell]:
                    moves[j] = moves[j - 1]
                    j -= 1
                moves[j] = cell
                n += 1
        return n

    return order

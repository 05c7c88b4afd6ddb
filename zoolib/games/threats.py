"""Wins by force at Gomoku: fours that must be parried, one after the other, until one cannot be.

Allis, van den Herik and Huntjens 1996, "Go-Moku Solved by New Search Techniques".  A four threatens to win at once, so
the other has one reply; a player whose fours end in two threats at a time has won, whatever the other does.  The
search is exact: what it calls a win is one.  It knows no slower threats, so it does not find every win.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np

from zoolib.games.game import Game, GameError
from zoolib.games.minimax import gomoku_moves, windows

LONGEST = 6  # fours in a row that are looked at


class Forced(NamedTuple):
    """N positions that are won by force, none of them by a five at once."""

    states: np.ndarray  # int64 [N, S]
    winning: np.ndarray  # bool [N, A], the first moves after which fours win
    fours: np.ndarray  # int64 [N], the fewest of them


@functools.cache
def searcher(game: Game) -> Callable:
    """wins(state, fours, mask) of a game: whether the player to move wins with at most so many fours; `mask` bool [A]
    becomes the first moves that do."""
    cells = game.options["height"] * game.options["width"]
    if game.actions != cells or game.name == "tictactoe":
        raise GameError(f"threats are those of Gomoku; {game.name} has none")
    lines, connect = windows(game), game.options["connect"]

    @numba.njit(nogil=True)
    def complete(state, player, found):
        """Marks the cells that complete a line of `player`, and counts them."""
        found[:] = False
        for w in range(len(lines)):
            own, gap = 0, -1
            for cell in lines[w]:
                if state[cell] == player:
                    own += 1
                elif state[cell] == 0:
                    gap = cell
            if own == connect - 1 and gap >= 0:
                found[gap] = True
        return found.sum()

    @numba.njit(nogil=True)
    def candidates(state, player, found):
        """Marks the cells that make a four of `player`: one stone more, and one is lacking."""
        found[:] = False
        for w in range(len(lines)):
            own, free = 0, 0
            for cell in lines[w]:
                own += state[cell] == player
                free += state[cell] == 0
            if own == connect - 2 and free == 2:
                for cell in lines[w]:
                    found[cell] = found[cell] or state[cell] == 0

    @numba.njit(nogil=True)
    def attack(state, own, fours, mask, every):
        """Whether `own`, to move, wins; `mask` becomes the first such move, or with `every` all of them."""
        gaps, tries = np.empty(cells, np.bool_), np.empty(cells, np.bool_)
        if complete(state, own, mask):
            return True
        mask[:] = False
        threats = complete(state, 3 - own, gaps)
        if threats > 1 or fours == 0:
            return False
        candidates(state, own, tries)
        below, won = np.empty(cells, np.bool_), False
        for move in range(cells):
            if not tries[move] or (threats and not gaps[move]):
                continue
            state[move] = own
            replies = np.empty(cells, np.bool_)
            n = complete(state, own, replies)
            good = n > 1
            if n == 1 and fours > 1:
                reply = replies.argmax()
                state[reply] = 3 - own
                good = attack(state, own, fours - 1, below, False)
                state[reply] = 0
            state[move] = 0
            if good:
                mask[move], won = True, True
                if not every:
                    return True
        return won

    @numba.njit(nogil=True)
    def wins(state, fours, mask):
        return attack(state.copy(), 1 + state[cells] % 2, fours, mask, True)

    return wins


def winning_moves(game: Game, state: np.ndarray, fours: int = LONGEST) -> np.ndarray:
    """The moves, bool [A], with which the player to move completes a line or wins by at most so many fours."""
    mask = np.zeros(game.actions, bool)
    searcher(game)(state, fours, mask)
    return mask


def forced_wins(game: Game, n: int, seed: int, least: int = 1) -> Forced:
    """n positions that are won by force with `least` fours or more, and not by a line at once: from games in which both
    sides play one of six promising moves, the first of each."""
    rng, wins, order = np.random.default_rng([seed, 11]), searcher(game), gomoku_moves(game)
    found, moves, mask = Forced([], [], []), np.empty(game.actions, np.int64), np.empty(game.actions, bool)
    seen = set()
    while len(found.states) < n:
        state = game.init()
        while not game.outcome(state)[0]:
            if wins(state, LONGEST, mask):
                fewest = next(k for k in range(LONGEST + 1) if wins(state, k, mask))
                wins(state, LONGEST, mask)
                if fewest >= max(1, least) and state.tobytes() not in seen:
                    seen.add(state.tobytes())
                    for part, new in zip(found, (state.copy(), mask.copy(), fewest), strict=True):
                        part.append(new)
                break
            played = order(state, moves)
            legal = moves[:played] if played else np.flatnonzero(game.legal(state))
            game.fast.step(state, int(legal[: min(6, len(legal))][int(rng.integers(min(6, len(legal))))]))
    return Forced(*(np.array(part) for part in found))

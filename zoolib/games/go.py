"""Go on any odd size up to 19: area scoring, exact positional superko, suicide as an option.

Tromp and Taylor's rules, but for two choices: suicide is off by default, and so is a pass of more than two: two passes
end the game, all stones that remain are alive.  A move that would bring back *any* earlier position of the whole board
is illegal (positional superko), whoever is to move.

A position's hash is the wrapping sum of one random number for each stone (additive Zobrist).  What a move would lead to
is then the present hash, plus the stone, minus each chain that it captures: superko needs no trial board.

A state holds, in this order: the board row by row (0 empty, 1 Black, 2 White); moves played; passes in a row; whose
turn; the present hash; captures so far (0: no position can have come back); how many positions the history holds; and
the hashes of all positions since the empty board.
"""

from __future__ import annotations

import functools
import math

import numba
import numpy as np

from zoolib.games.game import Game, GameError, Rules, eightfold, grid

LETTERS = "ABCDEFGHJKLMNOPQRST"  # of columns; there is no I


@functools.cache
def go(size: int = 9, komi: float = 7.0, suicide: bool = False) -> Game:
    """Go; an action is a point, row by row from the top, or size² for a pass.

    Raises GameError for a size that is even or beyond 19, and for a komi that is no multiple of a half.
    """
    if size not in range(3, 20, 2):
        raise GameError(f"Go boards here have an odd size from 3 to 19, not {size}")
    return make(size, size, komi, suicide)


@functools.cache
def make(height: int, width: int, komi: float = 7.0, suicide: bool = False) -> Game:
    """Go on any rectangle: the tests compare 2 by 3 with brute force."""
    if not math.isfinite(komi) or komi * 2 != int(komi * 2):
        raise GameError(f"komi must be a multiple of a half, such as 7 or 6.5, not {komi}")
    cells = height * width
    longest = 2 * cells
    moves, passes, turn, now, captured, count, history = range(cells, cells + 7)
    pass_move = cells
    random = np.random.default_rng(2_024)
    zobrist = random.integers(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (2, cells), np.int64)
    around = np.full((cells, 4), -1, np.int64)
    for at in range(cells):
        row, column = divmod(at, width)
        near = [(row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column)]
        inside = [r * width + c for r, c in near if 0 <= r < height and 0 <= c < width]
        around[at, : len(inside)] = inside

    @numba.njit(nogil=True)
    def init(state):
        state[:] = 0
        state[count] = 1  # the empty board, whose hash is 0

    @numba.njit(nogil=True)
    def to_play(state):
        return state[turn]

    @numba.njit(nogil=True)
    def chains(state, label, liberties, value):
        """The chain of each point (its label; empty points -1), the liberties of each label, capped at 2, and the
        hash of its stones.  Returns how many chains there are."""
        stack = np.empty(cells, np.int64)
        seen = np.full(cells, -1, np.int64)  # the last chain that counted this liberty
        n = 0
        label[:] = -1
        for start in range(cells):
            colour = state[start]
            if colour == 0 or label[start] >= 0:
                continue
            stack[0], top = start, 1
            label[start], liberties[n], value[n] = n, 0, 0
            while top:
                top -= 1
                at = stack[top]
                value[n] += zobrist[colour - 1, at]
                for k in range(4):
                    near = around[at, k]
                    if near < 0:
                        break
                    if state[near] == 0:
                        if seen[near] != n:
                            seen[near] = n
                            liberties[n] += 1
                    elif state[near] == colour and label[near] < 0:
                        label[near] = n
                        stack[top] = near
                        top += 1
            n += 1
        return n

    @numba.njit(nogil=True)
    def seen_before(state, value):
        for i in range(state[count]):
            if state[history + i] == value:
                return True
        return False

    @numba.njit(nogil=True)
    def legal(state, mask):
        mask[:] = False
        if state[passes] >= 2 or state[moves] >= longest:
            return
        mask[pass_move] = True
        label, liberties, value = np.empty(cells, np.int64), np.empty(cells, np.int64), np.empty(cells, np.int64)
        chains(state, label, liberties, value)
        own = 1 + state[turn]
        taken = np.empty(4, np.int64)
        for at in range(cells):
            if state[at] != 0:
                continue
            free, joins, n = False, False, 0
            after = state[now] + zobrist[own - 1, at]
            for k in range(4):
                near = around[at, k]
                if near < 0:
                    break
                if state[near] == 0:
                    free = True
                elif state[near] == own:
                    joins = True
                    free = free or liberties[label[near]] > 1
                elif liberties[label[near]] == 1:
                    known = False
                    for j in range(n):
                        known = known or taken[j] == label[near]
                    if not known:
                        taken[n] = label[near]
                        n += 1
                        after -= value[label[near]]
            if not free and n == 0:  # no liberty and no capture: suicide
                if not suicide:
                    continue
                after = state[now]  # a lone stone comes straight off: the board as it was, which superko bans
                if joins:
                    k_taken = 0
                    for k in range(4):
                        near = around[at, k]
                        if near >= 0 and state[near] == own:
                            known = False
                            for j in range(k_taken):
                                known = known or taken[j] == label[near]
                            if not known:
                                taken[k_taken] = label[near]
                                k_taken += 1
                                after -= value[label[near]]
            elif state[captured] == 0 and n == 0:
                mask[at] = True  # stones have only been added, so this board is new
                continue
            mask[at] = not seen_before(state, after)

    @numba.njit(nogil=True)
    def lift(state, start):
        """Take the chain at `start` off if it has no liberty; returns whether it had none."""
        colour = state[start]
        stack, member = np.empty(cells, np.int64), np.zeros(cells, np.bool_)
        stack[0], top, n = start, 1, 0
        member[start] = True
        chain = np.empty(cells, np.int64)
        while top:
            top -= 1
            at = stack[top]
            chain[n] = at
            n += 1
            for k in range(4):
                near = around[at, k]
                if near < 0:
                    break
                if state[near] == 0:
                    return False
                if state[near] == colour and not member[near]:
                    member[near] = True
                    stack[top] = near
                    top += 1
        for i in range(n):
            state[chain[i]] = 0
            state[now] -= zobrist[colour - 1, chain[i]]
        state[captured] += n
        return True

    @numba.njit(nogil=True)
    def step(state, action):
        own = 1 + state[turn]
        state[moves] += 1
        state[turn] = 1 - state[turn]
        if action == pass_move:
            state[passes] += 1
            return
        state[passes] = 0
        state[action] = own
        state[now] += zobrist[own - 1, action]
        for k in range(4):
            near = around[action, k]
            if near < 0:
                break
            if state[near] == 3 - own:
                lift(state, near)
        if suicide:
            lift(state, action)
        state[history + state[count]] = state[now]
        state[count] += 1

    @numba.njit(nogil=True)
    def owners(state, owner):
        """Whose each point is at the end: 1 Black, 2 White, 0 neither; int64 [cells].  Returns Black's points less
        White's, komi taken off."""
        stack, region, known = np.empty(cells, np.int64), np.empty(cells, np.int64), np.zeros(cells, np.bool_)
        margin = 0
        for start in range(cells):
            if state[start] != 0:
                owner[start] = state[start]
            elif not known[start]:
                stack[0], top, n, reached = start, 1, 0, 0
                known[start] = True
                while top:
                    top -= 1
                    at = stack[top]
                    region[n] = at
                    n += 1
                    for k in range(4):
                        near = around[at, k]
                        if near < 0:
                            break
                        if state[near] != 0:
                            reached |= state[near]
                        elif not known[near]:
                            known[near] = True
                            stack[top] = near
                            top += 1
                for i in range(n):
                    owner[region[i]] = reached if reached != 3 else 0
        for at in range(cells):
            margin += (owner[at] == 1) - (owner[at] == 2)
        return margin - komi

    @numba.njit(nogil=True)
    def outcome(state):
        if state[passes] < 2 and state[moves] < longest:
            return False, 0.0
        margin = owners(state, np.zeros(cells, np.int64))
        black = (margin > 0) * 1.0 - (margin < 0) * 1.0
        return True, black if state[turn] == 0 else -black

    @numba.njit(nogil=True)
    def encode(state, planes):
        """Own stones, theirs; chains with one liberty, own and theirs; where superko or suicide forbids; whether the
        last move was a pass; whether the player is White, who has the komi."""
        own = 1 + state[turn]
        label, liberties, value = np.empty(cells, np.int64), np.empty(cells, np.int64), np.empty(cells, np.int64)
        chains(state, label, liberties, value)
        mask = np.empty(cells + 1, np.bool_)
        legal(state, mask)
        for at in range(cells):
            row, column = at // width, at % width
            if state[at] != 0:
                plane = 0 if state[at] == own else 1
                planes[plane, row, column] = 1.0
                if liberties[label[at]] == 1:
                    planes[2 + plane, row, column] = 1.0
            elif not mask[at]:
                planes[4, row, column] = 1.0
            planes[5, row, column] = state[passes]
            planes[6, row, column] = state[turn]

    def move_name(action: int) -> str:
        return "pass" if action == pass_move else f"{LETTERS[action % width]}{height - action // width}"

    def render(state: np.ndarray) -> str:
        rows = [str(height - i) for i in range(height)]
        return grid(state[:cells].reshape(height, width), ".XO", LETTERS[:width], rows)

    return Game(
        name=f"go{height}" if height == width else f"go{height}x{width}",
        actions=cells + 1,
        shape=(7, height, width),
        state_size=history + longest + 1,
        rules=Rules(init, step, legal, outcome, to_play, encode),
        render=render,
        symmetries=eightfold(height, 1) if height == width else None,
        move_name=move_name,
        longest=longest,
        territory=owners,
        options={"height": height, "width": width, "komi": komi, "suicide": suicide},
    )


def score(game: Game, state: np.ndarray) -> tuple[float, np.ndarray]:
    """Black's points less White's, komi taken off, and whose each point is [H, W]: 1 Black, 2 White, 0 neither."""
    owner = np.zeros(game.actions - 1, np.int64)
    return game.territory(state, owner), owner.reshape(game.shape[1:])

"""Exact play of Connect Four, as a judge: bitboards, alpha-beta, a table of what is known; and positions it has solved.

Allis 1988, "A Knowledge-based Approach of Connect-Four" (who begins wins, by the centre alone); Pons, "Solving Connect
4" (this representation, move ordering and search).

A board is two numbers: a bit for each stone of the player to move (`stones`), and a bit for each stone (`mask`).  Bit
7c + h is the cell at height h of column c.  The seventh bit of a column stays 0, so that no line runs from one column
into the next.  Adding BOTTOM to `mask` carries into the lowest empty cell of each column.  All of it is 49 bits, for
which int64 has room.

A score says how early the game is won: 1 where the player to move wins with the last of their own stones, 2 with the
one before, and so on; 0 is a draw; below 0, the other player wins.
"""

from __future__ import annotations

import numba
import numpy as np

from zoolib.games.game import GameError

CELLS = 42
STATE = CELLS + 2  # numbers in a state of `lines.connect4`
COLUMN = 0b111111
BOTTOM = sum(1 << 7 * column for column in range(7))
BOARD = BOTTOM * COLUMN
CENTRE_FIRST = (3, 2, 4, 1, 5, 0, 6)
MIX = 0x9E3779B97F4A7C15 - 2**64  # spreads keys over the table, as splitmix64 does
EMPTY_BOARD = (-1.0, -1.0, 0.0, 1.0, 0.0, -1.0, -1.0)  # Allis 1988; the search here says the same in 13 minutes
ILLEGAL = -2  # of a full column, where values are int8
PHASES = {"opening": (8, 14), "middle": (15, 28), "end": (29, 36)}
"""The first and last ply that `solved_positions` takes for a phase."""


@numba.njit(nogil=True)
def ones(bits):
    """How many bits are set."""
    count = 0
    while bits:
        bits &= bits - 1
        count += 1
    return count


@numba.njit(nogil=True)
def spots(stones, mask):
    """Empty cells, within reach or not, that would give `stones` four in a row."""
    found = (stones << 1) & (stones << 2) & (stones << 3)
    for step in (6, 7, 8):  # the diagonals, and between them the row
        pair = (stones << step) & (stones << 2 * step)
        found |= pair & ((stones << 3 * step) | (stones >> step))
        pair = (stones >> step) & (stones >> 2 * step)
        found |= pair & ((stones << step) | (stones >> 3 * step))
    return found & (BOARD ^ mask)


@numba.njit(nogil=True)
def safe(stones, mask):
    """Cells where a stone of the player to move does not lose to the next one."""
    possible = (mask + BOTTOM) & BOARD
    threats = spots(stones ^ mask, mask)
    forced = possible & threats
    if forced & (forced - 1):  # two to parry
        return 0
    return (forced or possible) & ~(threats >> 1)  # not below a cell that wins for the other player


@numba.njit(nogil=True)
def negamax(stones, mask, alpha, beta, table, moves, nodes):
    """The score where it lies between alpha and beta, else a bound of it on the side where it lies.

    The player to move must not be able to win at once.  table: int64 [2^b], entries of a position, a bound of its
    score, and whether it is a lower one; moves: int64 [42, 7], room for each ply; nodes: int64 [2], how many have been
    searched and may be; with more of them the result means nothing.
    """
    ply = ones(mask)
    possible = safe(stones, mask)
    if possible == 0:
        return -((CELLS - ply) // 2)
    if ply >= CELLS - 2:
        return 0
    alpha = max(alpha, -((CELLS - 2 - ply) // 2))  # as the other player does not win with the next stone
    if alpha >= beta:
        return alpha
    beta = min(beta, (CELLS - 1 - ply) // 2)  # nor the player to move with this one
    if alpha >= beta:
        return beta
    key = stones + mask + BOTTOM
    at = (key * MIX >> 40) & (len(table) - 1)
    if table[at] >> 8 == key:
        bound = (table[at] >> 1 & 127) - 64
        if table[at] & 1:
            alpha = max(alpha, bound)
        else:
            beta = min(beta, bound)
        if alpha >= beta:
            return bound
    nodes[0] += 1
    count, row = 0, moves[ply]
    for i in range(6, -1, -1):  # sorted by the spots that a move makes; the best is last
        move = possible & (COLUMN << 7 * CENTRE_FIRST[i])
        if move:
            made = ones(spots(stones | move, mask))
            j = count
            while j > 0 and row[j - 1] & 15 > made:
                row[j] = row[j - 1]
                j -= 1
            row[j] = move << 4 | made
            count += 1
    for i in range(count - 1, -1, -1):
        score = -negamax(stones ^ mask, mask | row[i] >> 4, -beta, -alpha, table, moves, nodes)
        if nodes[0] > nodes[1]:
            return 0
        if score >= beta:
            table[at] = key << 8 | (score + 64) << 1 | 1
            return score
        alpha = max(alpha, score)
    table[at] = key << 8 | (alpha + 64) << 1
    return alpha


@numba.njit(nogil=True)
def score_of(stones, mask, low, high, table, moves, nodes):
    """The score where it lies between low and high, else a bound of it on the side where it lies.

    Each search asks only whether the score is above a number, first one that a short game decides (Pons, part 7).
    """
    ply = ones(mask)
    if ply == CELLS:
        return 0
    if spots(stones, mask) & (mask + BOTTOM):
        return (CELLS + 1 - ply) // 2
    low, high = max(low, -((CELLS - ply) // 2)), min(high, (CELLS + 1 - ply) // 2)
    while low < high and nodes[0] <= nodes[1]:
        middle = low + (high - low) // 2
        middle = min(middle, -(-low // 2)) if middle <= 0 else max(middle, high // 2)
        score = negamax(stones, mask, middle, middle + 1, table, moves, nodes)
        if score <= middle:
            high = score
        else:
            low = score
    return low


@numba.njit(nogil=True)
def values_of(stones, mask, out, table, moves, nodes):
    """1, 0 or -1 for each column into out [7], nan where it is full."""
    possible = (mask + BOTTOM) & BOARD
    for column in CENTRE_FIRST:
        move = possible & (COLUMN << 7 * column)
        if move == 0:
            out[column] = np.nan
        elif move & spots(stones, mask):
            out[column] = 1
        else:
            out[column] = -min(1, max(-1, score_of(stones ^ mask, mask | move, -1, 1, table, moves, nodes)))


@numba.njit(nogil=True)
def bitboard(state):
    """(stones, mask) of a state."""
    stones, mask = 0, 0
    for cell in range(CELLS):
        if state[cell] != 0:
            bit = 1 << (7 * (cell % 7) + 5 - cell // 7)
            mask |= bit
            if state[cell] == 1 + state[CELLS] % 2:
                stones |= bit
    return stones, mask


def pack(state: np.ndarray) -> int:
    """A position as one number of 49 bits: for each column the stones of the player to move, and above them a 1."""
    stones, mask = bitboard(state)
    return stones + mask + BOTTOM


def unpack(code: int) -> np.ndarray:
    """The state, int64 [44], of a game that is not over."""
    columns = [int(code) >> 7 * column & 127 for column in range(7)]
    heights = [column.bit_length() - 1 for column in columns]
    state = np.zeros(STATE, np.int64)
    state[CELLS] = sum(heights)
    own = 1 + state[CELLS] % 2
    for column in range(7):
        for height in range(heights[column]):
            state[(5 - height) * 7 + column] = own if columns[column] >> height & 1 else 3 - own
    return state


class Connect4Solver:
    """Exact scores and outcomes on the board of 6 by 7.  What it has found stays in its table; it serves one thread.

    On the mean `values` takes about 40 s at ply 4, 10 s at 6, 1 s at 8, 0.3 s at 10, 30 ms at 14 and 1 ms at 20, at
    five million positions a second; at each ply some take five times as long.
    """

    def __init__(self, table_bits: int = 22):
        """table_bits: from 1 to 24; the table has 2^table_bits entries of 8 bytes.  Before ply 8, more are faster."""
        if not 1 <= table_bits <= 24:  # negamax takes no more than 24 bits of a key's hash
            raise GameError(f"table_bits must be from 1 to 24, not {table_bits}")
        self.table = np.zeros(1 << table_bits, np.int64)
        self.moves = np.zeros((CELLS, 7), np.int64)

    def solve(self, state: np.ndarray, max_nodes: int | None = None) -> int:
        """The score to the player to move, lost where the game is over.  Raises GameError as `values` does."""
        if len(state) == STATE and state[-1]:
            return -int((STATE - state[CELLS]) // 2)
        return self._ask(score_of, state, max_nodes, -CELLS, CELLS)

    def values(self, state: np.ndarray, max_nodes: int | None = None) -> np.ndarray:
        """What each column is worth to the player to move, float [7]: 1 a win, 0 a draw, -1 a loss, nan illegal.

        Searches ask only who wins, not when.  Raises GameError where they take more than max_nodes positions, and for a
        board of another size.
        """
        out = np.full(7, np.nan)
        if len(state) == STATE and state[CELLS] == 0:
            out[:] = EMPTY_BOARD
        elif len(state) != STATE or not state[-1]:
            self._ask(values_of, state, max_nodes, out)
        return out

    def best(self, state: np.ndarray, max_nodes: int | None = None) -> np.ndarray:
        """The columns of the best outcome, bool [7]."""
        values = self.values(state, max_nodes)
        return values == np.fmax.reduce(values)

    def _ask(self, function, state, max_nodes, *more):
        if len(state) != STATE:
            raise GameError(f"the solver knows Connect Four on 6 by 7, {STATE} numbers a state, not {len(state)}")
        nodes = np.array([0, 2**62 if max_nodes is None else max_nodes])
        answer = function(*bitboard(state), *more, self.table, self.moves, nodes)
        if nodes[0] > nodes[1]:
            raise GameError(f"it takes more than {max_nodes} positions to solve this one of ply {state[CELLS]}")
        return answer


def phase(state: np.ndarray) -> str:
    """The opening up to ply 14, the middle up to 28, then the end."""
    return "opening" if state[CELLS] <= 14 else "middle" if state[CELLS] <= 28 else "end"


def counts(values: np.ndarray) -> bool:
    """Whether there is a mistake to make: legal moves of values [7] differ in outcome.  Illegal: nan or ILLEGAL."""
    legal = values[values >= -1]
    return len(legal) > 0 and bool(legal.min() < legal.max())


def is_mistake(values: np.ndarray, action: int) -> bool:
    """Whether an action loses outcome: a win becomes a draw or a loss, or a draw a loss."""
    if not values[action] >= -1:
        raise GameError(f"column {action + 1} is not legal here")
    return bool(values[action] < values[values >= -1].max())


def sensible(solver: Connect4Solver, ply: int, rng: np.random.Generator) -> np.ndarray | None:
    """A state after `ply` moves of which none lost at once, and in which nobody can win at once; None where the game
    did not get there.

    A move is drawn from those that do not lose to the next one; from ply 16, where solving is cheap, every other time
    from those of the best outcome.
    """
    stones, mask = 0, 0
    for now in range(ply + 1):
        choices = safe(stones, mask)
        if not choices or spots(stones, mask) & (mask + BOTTOM):
            return None
        columns = np.array([choices & (COLUMN << 7 * column) != 0 for column in range(7)])
        state = unpack(stones + mask + BOTTOM)
        if now < ply:
            if now >= 16 and rng.random() < 0.5:
                columns = solver.best(state)
            column = int(rng.choice(np.flatnonzero(columns)))
            stones, mask = stones ^ mask, mask | (mask + BOTTOM) & (COLUMN << 7 * column)
    return state


def solved_positions(n_per_phase: int, seed: int) -> dict[str, np.ndarray]:
    """Solved positions in which there is a mistake to make: n of the opening, n of the middle, n of the end.

    Each comes from a `sensible` game of its own, at a ply drawn evenly from PHASES.  No two are the same or each
    other's mirror image.  Returns "codes", int64 [3n], for `unpack`, and "values", int8 [3n, 7], ILLEGAL where a column
    is full.
    """
    solver, rng, seen = Connect4Solver(), np.random.default_rng(seed), set()
    codes, outcomes = [], []
    for i, (first, last) in enumerate(PHASES.values(), 1):
        while len(codes) < i * n_per_phase:
            state = sensible(solver, int(rng.integers(first, last + 1)), rng)
            if state is None:
                continue
            code = pack(state)
            image = sum((code >> 7 * column & 127) << 7 * (6 - column) for column in range(7))
            if min(code, image) in seen:
                continue
            seen.add(min(code, image))
            values = solver.values(state)
            if counts(values):
                codes.append(code)
                outcomes.append(np.nan_to_num(values, nan=ILLEGAL))
    return {"codes": np.array(codes, np.int64), "values": np.array(outcomes, np.int8).reshape(-1, 7)}

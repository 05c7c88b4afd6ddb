"""What a game is here: six functions on plain arrays, its rules.  A game of your own is one call of `Game` (chapter
games/05).

A state is a flat int64 array, whatever a game keeps in it.  The functions change arrays in place, so that numba can
compile them and a search can play hundreds of thousands of moves a second; where numba cannot, they run as they are.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numba
import numpy as np


@numba.njit(nogil=True)
def nth(mask, k):
    """The k-th legal action of mask, bool [actions], counted from 0; a random one for a random k."""
    for action in range(len(mask)):
        if mask[action]:
            if k == 0:
                return action
            k -= 1
    return -1


class GameError(ValueError):
    """A move or a game that cannot be; the message names it in one sentence."""


class Rules(NamedTuple):
    """The functions of a game, compiled or not."""

    init: Callable
    """init(state): the opening position, into a state of zeros."""
    step: Callable
    """step(state, action): play a legal action, in place."""
    legal: Callable
    """legal(state, mask): which actions may be played, into bool [actions]; all False where the game is over."""
    outcome: Callable
    """outcome(state) -> (over, value): whether the game is over, and its worth to the player to
    move, in [-1, 1]."""
    to_play: Callable
    """to_play(state) -> 0 or 1: whose turn it is; 0 began."""
    encode: Callable
    """encode(state, planes): the state as the player to move sees it, into zeros, float32 [C, H, W]."""


TAKES = {
    "init": ["state"],
    "step": ["state", "action"],
    "legal": ["state", "mask"],
    "outcome": ["state"],
    "to_play": ["state"],
    "encode": ["state", "planes"],
}


@dataclass(frozen=True, eq=False)
class Game:
    """A game for two with full information: its sizes, its rules, and how it is shown."""

    name: str
    actions: int
    """How many actions there are, legal or not."""
    shape: tuple[int, int, int]
    """[C, H, W] of what `encode` fills."""
    state_size: int
    """Numbers in a state."""
    rules: Rules
    """As written, in Python."""
    render: Callable[[np.ndarray], str]
    """render(state): the position as text."""
    symmetries: tuple[np.ndarray, np.ndarray] | None = None
    """Positions that are the same: after symmetry s, place i of each plane holds what was in place cells[s, i], and
    action a has the probability that was actions[s, a]'s; int64 [S, H·W] and [S, actions].  None: only itself."""
    move_name: Callable[[int], str] = str
    """What an action is called by people."""
    territory: Callable | None = None
    """territory(state, owner) -> margin: at the end of a game of area, whose each cell is (1 the one who began, 2 the
    other, 0 neither), into int64 [H·W], and by how many the one who began is ahead, komi taken off."""
    longest: int = 512
    """No game takes more moves."""
    options: dict = field(default_factory=dict)
    """What this game was made with, such as its board size."""

    def __post_init__(self):
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise GameError(f"shape must be three positive numbers, channels, height and width, not {self.shape}")
        for name in ("actions", "state_size", "longest"):
            if getattr(self, name) < 1:
                raise GameError(f"{name} must be at least 1, not {getattr(self, name)}")
        if len(self.rules) != len(TAKES):
            raise GameError(f"rules must be the six functions {', '.join(TAKES)}, not {len(self.rules)} of them")
        for (name, takes), rule in zip(TAKES.items(), self.plain, strict=True):
            try:
                inspect.signature(rule).bind(*takes)
            except TypeError:
                raise GameError(f"{name} must be a function of ({', '.join(takes)})") from None

    @functools.cached_property
    def plain(self) -> Rules:
        """The rules as Python runs them, which checks every index; compiled code writes wherever it is told to."""
        return Rules(*(getattr(rule, "py_func", rule) for rule in self.rules))

    @functools.cached_property
    def compiled(self) -> Rules | None:
        """The rules compiled by numba, or None where it cannot; `why_not` says why.

        Raises GameError where the opening position does not fit its arrays.
        """
        try:
            self._begin(self.plain)
        except IndexError as error:
            raise GameError(f"{error}: are state_size, actions and shape of {self.name} too small?") from None
        try:
            made = Rules(*(numba.njit(f, nogil=True) if not hasattr(f, "py_func") else f for f in self.rules))
            self._begin(made)
        except (numba.core.errors.NumbaError, numba.core.errors.UnsupportedBytecodeError) as error:
            # the sentence that says what is wrong stands below the name of numba's pass
            said = next((line for line in str(error).splitlines() if line and not line.startswith("Failed in")), "")
            helper = re.search(r"Untyped global name '(\w+)'.*<class 'function'>", said)
            object.__setattr__(self, "why_not", f"{helper[1]} lacks @numba.njit" if helper else said)
            return None
        return made

    def _begin(self, rules: Rules) -> None:
        """Call each of the rules once, for the opening position."""
        state, mask = np.zeros(self.state_size, np.int64), np.zeros(self.actions, np.bool_)
        with np.errstate(over="ignore"):  # hashes wrap around
            rules.init(state)
            rules.legal(state, mask)
            rules.encode(state.copy(), np.zeros(self.shape, np.float32))
            rules.outcome(state)
            rules.to_play(state)
            rules.step(state.copy(), int(mask.argmax()))

    @functools.cached_property
    def fast(self) -> Rules:
        """The compiled rules, or the rules as written."""
        return self.compiled or self.rules

    def init(self) -> np.ndarray:
        """The opening position, int64 [state_size]."""
        state = np.zeros(self.state_size, np.int64)
        self.fast.init(state)
        return state

    def play(self, state: np.ndarray, *actions: int) -> np.ndarray:
        """The state after `actions`; the one given stays as it is.  Raises GameError for an illegal one."""
        state = state.copy()
        for action in actions:
            if not 0 <= action < self.actions or not self.legal(state)[action]:
                name = self.move_name(action) if 0 <= action < self.actions else action
                raise GameError(f"{name} is not legal here; legal: {self.names(self.legal(state))}")
            self.fast.step(state, action)
        return state

    def names(self, mask: np.ndarray) -> str:
        """Names of the actions in a mask, in one line."""
        return " ".join(self.move_name(int(a)) for a in np.flatnonzero(mask)) or "none, the game is over"

    def legal(self, state: np.ndarray) -> np.ndarray:
        """Which actions may be played, bool [actions]."""
        mask = np.zeros(self.actions, np.bool_)
        self.fast.legal(state, mask)
        return mask

    def outcome(self, state: np.ndarray) -> tuple[bool, float]:
        """Whether the game is over, and its value to the player to move."""
        over, value = self.fast.outcome(state)
        return bool(over), float(value)

    def to_play(self, state: np.ndarray) -> int:
        """Whose turn it is: 0, who began, or 1."""
        return int(self.fast.to_play(state))

    def encode(self, state: np.ndarray) -> np.ndarray:
        """The planes, float32 [C, H, W]."""
        planes = np.zeros(self.shape, np.float32)
        self.fast.encode(state, planes)
        return planes


def mirror(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Symmetries of a board with gravity: left and right, where an action is a column."""
    cells = np.arange(height * width).reshape(height, width)
    columns = np.arange(width)
    return np.stack([cells.ravel(), cells[:, ::-1].ravel()]), np.stack([columns, columns[::-1]])


def eightfold(side: int, others: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The eight symmetries of a square board, where an action is a cell or one of `others`, such as a pass."""
    board = np.arange(side * side).reshape(side, side)
    turned = [np.rot90(b, k).ravel() for b in (board, board.T) for k in range(4)]
    cells = np.stack(turned)
    fixed = np.tile(np.arange(side * side, side * side + others), (8, 1))
    return cells, np.concatenate([cells, fixed], 1)


def grid(cells: np.ndarray, marks: str, columns: str, rows: list[str]) -> str:
    """A board [H, W] as text, a mark for each number, with names of rows and columns."""
    wide = max(map(len, rows))
    lines = [f"{name:>{wide}} " + " ".join(marks[cell] for cell in row) for name, row in zip(rows, cells, strict=True)]
    return "\n".join([*lines, " " * (wide + 1) + " ".join(columns)])

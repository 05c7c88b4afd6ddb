"""What `openspiel` and `pettingzoo` share: games of other libraries as ours, so that search and networks play them.

What comes in has no board that we know of.  Its state is the number of moves and then the moves; its rules look a
position up by playing them again.  numba cannot compile that: `search.Search` runs it as Python and says so, a few
thousand positions a second.
"""

from __future__ import annotations

import functools
import importlib
import threading
from typing import NamedTuple

import numpy as np

from zoolib.games.game import Game, GameError, Rules


def library(module: str, name: str, package: str):
    """An optional library, imported.  Raises GameError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise GameError(f"{name} is not installed; install it with: pip install {package}") from None


def refuse(name: str, faults: dict[str, bool]) -> None:
    """Raise GameError with the faults that are true."""
    if any(faults.values()):
        raise GameError(
            f"{name} has {' and '.join(fault for fault in faults if faults[fault])}; a game here is for two who move "
            "in turn and see everything, without chance, and what one wins the other loses"
        )


class Seen(NamedTuple):
    """What there is to know of a position."""

    player: int  # to move; at the end, who did not move last
    over: bool
    value: float  # to that player
    legal: np.ndarray  # bool [actions]
    views: np.ndarray  # float32 [2, C, H, W], what each player observes


def random_game(walker, longest: int) -> list[Seen]:
    """The positions of a game of random moves, always the same, cut off after `longest`; a walker: see `by_history`."""
    rng = np.random.default_rng(0)
    walker.restart()
    positions = [walker.look()]
    while not positions[-1].over and len(positions) <= longest:
        walker.forward(int(rng.choice(np.flatnonzero(positions[-1].legal))))
        positions.append(walker.look())
    return positions


def by_history(name: str, actions: int, longest: int, walker) -> Game:
    """A game whose state is int64 [1 + longest]: the number of moves, and the moves.

    walker: a position of the other library's game, with restart(), forward(action), look() -> Seen, text() -> str.
    The planes are what the player to move observes.  Where both observe the same all through a random game, they get a
    plane more that says who moves: zeros for the first player, ones for the second.
    """
    sample = random_game(walker, longest)
    channels, height, width = sample[0].views.shape[1:]
    shared = all(np.array_equal(*seen.views) for seen in sample)
    lock = threading.Lock()  # self-play asks from several threads
    at = None  # the moves behind the walker's position; None: anywhere

    def go_to(history: bytes) -> None:
        """Bring the walker there: onwards where it is on the way, else from the opening."""
        nonlocal at
        start, at = at, None
        if start is None or not history.startswith(start):
            walker.restart()
            start = b""
        for action in np.frombuffer(history[len(start) :], np.int64).tolist():
            walker.forward(action)
        at = history

    @functools.lru_cache(maxsize=1024)  # a search asks four things of a new position, and goes elsewhere
    def look(history: bytes) -> Seen:
        with lock:
            go_to(history)
            return walker.look()

    def position(state):
        return look(state[1 : 1 + state[0]].tobytes())

    def step(state, action):
        if state[0] == longest:
            raise GameError(f"this game of {name} takes more than {longest} moves")
        state[0] += 1
        state[state[0]] = action

    def encode(state, planes):
        seen = position(state)
        planes[:channels] = seen.views[seen.player]
        planes[channels:] = seen.player  # into nothing where there is no such plane

    def render(state):
        with lock:
            go_to(state[1 : 1 + state[0]].tobytes())
            return walker.text()

    game = Game(
        name=name,
        actions=actions,
        shape=(channels + shared, height, width),
        state_size=1 + longest,
        rules=Rules(
            init=lambda state: state.fill(0),
            step=step,
            legal=lambda state, mask: np.copyto(mask, position(state).legal),
            outcome=lambda state: (position(state).over, position(state).value),
            to_play=lambda state: position(state).player,
            encode=encode,
        ),
        render=render,
        longest=longest,
    )
    # What would be found out anyhow; numba's own reason helps nobody.
    vars(game).update(compiled=None, why_not="its rules are another library's")
    return game

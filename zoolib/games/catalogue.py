"""Games by name, as the command line and the headers of weights say them: connect4, tictactoe, gomoku9, go9; gomoku6-4
is four in a row on 6 by 6."""

from __future__ import annotations

import difflib
import re

from zoolib.games import go, lines
from zoolib.games.game import Game, GameError

KOMI = {7: 9.0}
"""Points for White where they are not 7: on 7 by 7 the best play that is known wins by 9 for Black."""
NAMES = ("tictactoe", "connect4", "gomoku9", "gomoku15", "go5", "go7", "go9", "go19")


def named(name: str) -> Game:
    """The game called `name`; any size of Gomoku and of Go goes with its number.  Raises GameError with the known."""
    if name in ("tictactoe", "connect4"):
        return getattr(lines, name)()
    if match := re.fullmatch(r"gomoku(\d{1,3})(?:-(\d{1,3}))?", name):
        size, connect = int(match[1]), int(match[2] or 5)
        if not 5 <= size <= 26:
            raise GameError(f"Gomoku boards here have a size from 5 to 26, not {size}")
        if not 3 <= connect <= size:
            raise GameError(f"on a board of size {size} the line that wins has 3 to {size} stones, not {connect}")
        return lines.gomoku(size, connect)
    if match := re.fullmatch(r"go(\d{1,3})", name):
        return go.go(int(match[1]), KOMI.get(int(match[1]), 7.0))
    near = difflib.get_close_matches(name, NAMES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(NAMES)}"
    raise GameError(f"no game is called {name!r}; {hint}")


def is_game(name: str) -> bool:
    """Whether somebody who says this means a game: one that `named` knows, or is close to one."""
    known = re.fullmatch(r"go\d{1,3}|gomoku\d{1,3}(-\d{1,3})?", name)
    return known is not None or bool(difflib.get_close_matches(name, NAMES, n=1))

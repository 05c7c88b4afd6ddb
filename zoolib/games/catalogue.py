"""Games by name, as the command line and the headers of weights say them: connect4, tictactoe, gomoku9, go9, go5."""

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
    match = re.fullmatch(r"(gomoku|go)(\d{1,3})", name)
    if match and match[1] == "gomoku":
        if not 5 <= int(match[2]) <= 26:
            raise GameError(f"Gomoku boards here have a size from 5 to 26, not {match[2]}")
        return lines.gomoku(int(match[2]))
    if match and match[1] == "go":
        return go.go(int(match[2]), KOMI.get(int(match[2]), 7.0))
    near = difflib.get_close_matches(name, NAMES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(NAMES)}"
    raise GameError(f"no game is called {name!r}; {hint}")


def is_game(name: str) -> bool:
    """Whether somebody who says this means a game: one that `named` knows, or is close to one."""
    return re.fullmatch(r"(gomoku|go)\d{1,3}", name) is not None or bool(difflib.get_close_matches(name, NAMES, n=1))

"""An engine for Go that speaks GTP, the Go Text Protocol (Farnebäck 2002, version 2, draft 2): for Sabaki and GoGui.

Beside the protocol's own commands it knows Leela Zero's and KataGo's for analysis, but not as a running output: each is
answered once, when the search is done.  Where there is a clock, a player is told how long a move may take.

GTP lets a colour move twice in a row, which Go does not.  Here a move out of turn gives the turn to its colour and
counts passes anew; no move is added, and two passes of one colour do not end the game.  After the end, by two passes,
`genmove` passes, and a stone that is played takes the game up again.  After twice as many moves as the board has points
no stone may be played.

Handicap stones stand there before the first move: what led to them is no repetition, and cannot be undone.  White gets
no points for them beyond the komi.
"""

from __future__ import annotations

import math
import re
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from zoolib.games import sgf
from zoolib.games.clock import Clock
from zoolib.games.game import Game, GameError
from zoolib.games.go import go

# every command, and what follows it
SYNTAX = """
protocol_version | name | version | known_command word | list_commands | quit | gogui-analyze_commands
boardsize number | clear_board | komi word | loadsgf words | play colour word | undo
fixed_handicap number | place_free_handicap number | set_free_handicap words
genmove colour | reg_genmove colour | time_settings number number number | time_left colour number number
lz-analyze words | lz-genmove_analyze words | kata-analyze words | kata-genmove_analyze words
final_score | final_status_list word | list_stones colour | showboard
"""
COMMANDS = {name: kinds for name, *kinds in map(str.split, re.split(r"[|\n]", SYNTAX.strip()))}
FIXED = {
    "protocol_version": "2",
    "name": "zoolib",
    "version": next((found.version for found in metadata.distributions(name="zoolib")), ""),
    "list_commands": "\n".join(COMMANDS),
    "gogui-analyze_commands": "string/Score/final_score\nplist/Stones/final_status_list alive\n"
    "varc/Best Move/reg_genmove %c",
}
COLOURS = {"b": 0, "black": 0, "w": 1, "white": 1}
MOVES, PASSES, TURN, NOW, CAPTURED, COUNT, HISTORY = range(7)  # where a state of Go keeps them, after the board
RESIGN = -1

Analysis = Sequence[tuple[int, int, float, float, Sequence[int]]]
"""Moves, best first: (action, visits, value in [-1, 1] to the player to move, the policy's prior, the line of actions
that begins with this one).  Empty where the player does not search."""


def opening(game: Game) -> np.ndarray:
    """The opening position.  It compiles nothing more of the rules, so that sizes and komis are changed at no cost."""
    state = np.zeros(game.state_size, np.int64)
    game.rules.init(state)
    return state


def give_turn(game: Game, state: np.ndarray, colour: int) -> np.ndarray:
    """The state with `colour` to move; a game that two passes have ended goes on."""
    state, end = state.copy(), game.actions - 1
    if state[end + TURN] != colour or state[end + PASSES] >= 2:
        state[end + TURN], state[end + PASSES] = colour, 0
    return state


def after(game: Game, state: np.ndarray, colour: int, action: int) -> np.ndarray:
    """The state after a move of either colour.  Raises GameError if it is illegal."""
    if action == game.actions - 1 and game.outcome(state)[0]:  # one pass more after the end changes nothing
        return state.copy()
    state = give_turn(game, state, colour)
    if not game.legal(state)[action]:
        raise GameError("illegal move")
    game.fast.step(state, action)
    return state


def with_handicap(game: Game, stones: Sequence[int]) -> np.ndarray:
    """The opening position with these stones of Black's, White to move."""
    state, end = opening(game), game.actions - 1
    for action in stones:
        state = after(game, state, 0, action)
    state[end + HISTORY : end + HISTORY + state[end + COUNT]] = 0
    state[end + HISTORY] = state[end + NOW]
    state[[end + MOVES, end + CAPTURED, end + COUNT]] = 0, 0, 1
    return state


def handicap_points(size: int, n: int) -> list[int]:
    """The n points of a fixed handicap, section 4.1.1 of the protocol; fewer where the board has no more."""
    low, middle = 3 if size >= 13 else 2, size // 2
    high = size - 1 - low
    corners = [(high, low), (low, high), (low, low), (high, high)]  # (row from the top, column)
    sides = [(middle, low), (middle, high), (high, middle), (low, middle)]
    n = min(n, 0 if size < 7 else 4 if size < 9 else 9)
    points = corners[:n] + sides[: max(n - 4, 0) // 2 * 2] + [(middle, middle)] * (n > 4 and n % 2)
    return [row * size + column for row, column in points]


def lower_bound(rate: float, visits: int) -> float:
    """The lower end of the 95 % interval of a chance to win, as if each visit were a game (Wilson 1927)."""
    n, z = max(visits, 1), 1.96
    centre, spread = rate + z * z / (2 * n), z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return max(0.0, (centre - spread) / (1 + z * z / n))


class Engine:
    """A game of Go and a player for it."""

    def __init__(self, player_for: Callable[[Game], object], size: int = 9, komi: float = 7.0):
        """player_for(game) makes a player; its choose(state, seconds) returns (action, analysis), action -1 to resign;
        seconds is what a clock leaves for the move, infinity where none runs.  Before one does, ready(state) is called.

        It raises GameError for a board that its weights do not fit, and so does this.
        """
        self.player_for, self.game, self.running = player_for, None, True
        self._time_settings(0, 1, 0)  # which is how GTP says that there is no limit
        self._begin(*self._prepare(size, komi))

    def run(self, stdin, stdout) -> None:
        """Answer line after line, until `quit` or the end of the input."""
        source = getattr(stdin, "buffer", stdin)  # bytes if it can be: a line that is not UTF-8 is no reason to end
        while self.running and (line := source.readline()):
            answer = self.handle(line if isinstance(line, str) else line.decode("utf-8", "surrogateescape"))
            if answer is not None:
                stdout.write(answer)
                stdout.flush()

    def handle(self, line: str) -> str | None:
        """The answer to a line: "=id text" or "?id message", and an empty line; None to a line that says nothing."""
        line = "".join(c for c in line.replace("\t", " ") if c >= " " and c != "\x7f")
        words = line.partition("#")[0].split()
        if not words:
            return None
        number = words.pop(0) if re.fullmatch("[0-9]+", words[0]) else ""
        try:
            mark, text = "=", self._obey(*words)
        except GameError as error:
            mark, text = "?", " ".join(str(error).split())
        except Exception as error:  # a fault of the player's: the game goes on, and stderr shows where it was
            traceback.print_exc()
            mark, text = "?", " ".join(f"internal error: {type(error).__name__}: {error}".split())
        return f"{mark}{number} {text.encode('ascii', 'replace').decode()}\n\n"

    def _obey(self, name: str = "", *words: str) -> str:
        if name not in COMMANDS:
            raise GameError("unknown command" if name else "syntax error")
        kinds = COMMANDS[name]
        if kinds != ["words"]:
            if len(words) != len(kinds):
                raise GameError("syntax error")
            words = [self._meant(kind, word) for kind, word in zip(kinds, words, strict=True)]
        if name in FIXED:
            return FIXED[name]
        if name.endswith("genmove"):
            action, _ = self._think(*words, timed=name == "genmove")
            return self._act(*words, action) if name == "genmove" else self._names([action])
        if name.endswith("analyze"):
            return self._analyse(words, kata=name.startswith("kata"), play="genmove" in name)
        return getattr(self, f"_{name}")(*words) or ""

    def _meant(self, kind: str, word: str):
        if kind == "word":
            return word
        if kind == "colour" and word.lower() in COLOURS:
            return COLOURS[word.lower()]
        if kind == "number" and re.fullmatch("[0-9]{1,10}", word):
            return int(word)
        if kind == "vertex" and word.lower() in self.points:
            return self.points[word.lower()]
        beyond = kind == "vertex" and re.fullmatch("[a-hj-z]([1-9]|1[0-9]|2[0-5])", word.lower())
        raise GameError("illegal move" if beyond else "syntax error")

    def _prepare(self, size: int, komi: float) -> tuple[Game, object]:
        game = go(size, komi)
        return game, self.player if game is self.game else self.player_for(game)

    def _begin(self, game: Game, player, states: list[np.ndarray] | None = None) -> None:
        self.game, self.player = game, player
        self.states = states or [opening(game)]  # one more after each move, so that it can be undone
        self.points = {game.move_name(action).lower(): action for action in range(game.actions)}

    # the commands, in the order of the table

    def _known_command(self, name: str) -> str:
        return "true" if name in COMMANDS else "false"

    def _quit(self) -> None:
        self.running = False

    def _boardsize(self, size: int) -> None:
        try:
            game, player = self._prepare(size, self.game.options["komi"])
        except GameError as error:
            raise GameError(f"unacceptable size: {error}") from None
        self._begin(game, player)
        self._set_clocks()

    def _clear_board(self) -> None:
        self.states = [opening(self.game)]
        self._set_clocks()

    def _komi(self, word: str) -> None:
        if not re.fullmatch(r"[+-]?([0-9]{1,6}\.?[0-9]{0,6}|\.[0-9]{1,6})", word):
            raise GameError("syntax error")
        self._begin(*self._prepare(self.game.shape[1], float(word)), self.states)
        self._ready()

    def _loadsgf(self, *words: str) -> None:
        """FILE [NUMBER]: the position before that move, or at the end.  Single spaces may stand in FILE."""
        if not words:
            raise GameError("syntax error")
        numbered = len(words) > 1 and re.fullmatch("[0-9]{1,10}", words[-1])
        path = Path(" ".join(words[:-1] if numbered else words))
        try:
            if not path.is_file():
                raise GameError(f"{path} is no file")
            size, komi, played = sgf.moves(path.read_text("utf-8", "replace"), self.game.options["komi"])
            game, player = self._prepare(size, komi)
            states = [opening(game)]
            for n, (colour, action) in enumerate(played[: max(int(words[-1]) - 1, 0) if numbered else None], 1):
                try:
                    states.append(after(game, states[-1], colour, action))
                except GameError:
                    raise GameError(sgf.illegal(game, states[-1], n, colour, action)) from None
        except (OSError, ValueError) as error:
            raise GameError(f"cannot load file: {error}") from None
        self._begin(game, player, states)
        self._ready()

    def _play(self, colour: int, word: str) -> None:
        if word.lower() != "resign":  # which leaves the board as it is
            self.states.append(after(self.game, self.states[-1], colour, self._meant("vertex", word)))

    def _undo(self) -> None:
        if len(self.states) == 1:
            raise GameError("cannot undo")
        self.states.pop()

    def _fixed_handicap(self, n: int) -> str:
        points = handicap_points(self.game.shape[1], n)
        return self._handicap(points if len(points) == n else [], "invalid number of stones")

    def _place_free_handicap(self, n: int) -> str:
        """At most those of a fixed handicap; the protocol lets an engine place fewer than it is asked for."""
        return self._handicap(handicap_points(self.game.shape[1], n), "invalid number of stones")

    def _set_free_handicap(self, *words: str) -> None:
        stones = [self.points.get(word.lower()) for word in words]
        fine = len({*stones} - {None, self.game.actions - 1}) == len(words) < self.game.actions - 1
        self._handicap(stones if fine else [], "bad vertex list")

    def _handicap(self, stones: list[int], refusal: str) -> str:
        if self.states[-1][: self.game.actions - 1].any():
            raise GameError("board not empty")
        if len(stones) < 2:
            raise GameError(refusal)
        self.states = [with_handicap(self.game, stones)]
        return self._names(stones)

    def _time_settings(self, *settings: int) -> None:
        self.settings = settings
        self._set_clocks()

    def _set_clocks(self) -> None:
        self.clocks = [Clock(*self.settings), Clock(*self.settings)]
        self._ready()

    def _ready(self) -> None:
        """Where a clock will run, the player compiles what it wants, and measures, before it does."""
        if min(clock.left for clock in self.clocks) < math.inf:
            self.player.ready(opening(self.game))

    def _time_left(self, colour: int, seconds: int, stones: int) -> None:
        free = self.clocks[colour].left == math.inf
        self.clocks[colour].set(seconds, stones)
        if free:
            self._ready()

    def _think(self, colour: int, timed: bool) -> tuple[int, Analysis]:
        """The player's move and analysis; a pass if the game is over."""
        action, analysis = self.game.actions - 1, ()
        if not self.game.outcome(self.states[-1])[0]:
            state, began = give_turn(self.game, self.states[-1], colour), time.perf_counter()
            clock = self.clocks[colour] if timed else Clock()  # which never runs out
            # a game fills most of the board; where it lasts longer, a part of what is left is always kept
            expected = max(12, (self.game.actions - len(self.states)) // 2)
            action, analysis = self.player.choose(state.copy(), clock.share(expected))
            clock.spend(time.perf_counter() - began)
            if action != RESIGN and not (0 <= action < self.game.actions and self.game.legal(state)[action]):
                raise GameError(f"the player wants to play action {action}, which is not legal")
        return int(action), analysis

    def _act(self, colour: int, action: int) -> str:
        if action != RESIGN:
            self.states.append(after(self.game, self.states[-1], colour, action))
        return self._names([action])

    def _names(self, actions: Sequence[int]) -> str:
        return " ".join("resign" if action == RESIGN else self.game.move_name(int(action)) for action in actions)

    def _analyse(self, words: Sequence[str], kata: bool, play: bool) -> str:
        """[colour] [hundredths of a second] and pairs of words, of which only the colour counts.  One line of all
        moves, chances in ten-thousandths or for KataGo as they are, and one with the move played."""
        words, colour = list(words), self.game.to_play(self.states[-1])
        if words and words[0].lower() in COLOURS:
            colour = COLOURS[words.pop(0).lower()]
        if words and re.fullmatch("[0-9]+", words[0]):
            words.pop(0)
        if len(words) % 2 or not {*words[::2]} <= {"interval", "minmoves", "maxmoves", "ownership"}:
            raise GameError("syntax error")
        action, analysis = self._think(colour, timed=play)
        moves = []
        for order, (move, visits, value, prior, line) in enumerate(analysis):
            rate = min(1.0, max(0.0, (float(value) + 1) / 2))
            chances = (rate, float(prior), lower_bound(rate, int(visits)))
            rate, prior, bound = (f"{x:.6f}" if kata else str(round(10_000 * x)) for x in chances)
            moves.append(
                f"info move {self._names([move])} visits {int(visits)} winrate {rate} prior {prior} lcb {bound} "
                f"order {order} pv {self._names(line if len(line) else [move])}"
            )
        lines = [" ".join(moves)] * bool(moves) + ([f"play {self._act(colour, action)}"] if play else [])
        return "".join(f"\n{each}" for each in lines)

    def _final_score(self) -> str:
        return sgf.area(self.game, self.states[-1])

    def _final_status_list(self, status: str) -> str:
        """All stones are alive, by these rules: what is dead has to be captured."""
        if status not in ("alive", "seki", "dead"):
            raise GameError("syntax error")
        return self._list_stones(0, 1) if status == "alive" else ""

    def _list_stones(self, *colours: int) -> str:
        board = self.states[-1][: self.game.actions - 1]
        return self._names(np.flatnonzero(np.isin(board, np.add(colours, 1))))

    def _showboard(self) -> str:
        state = self.states[-1]
        turn = "White (O)" if self.game.to_play(state) else "Black (X)"
        return f"\n{self.game.render(state)}\n{turn} to play, komi {self.game.options['komi']:g}"

"""Games of Go as SGF, the Smart Game Format (Hollosi, FF[4], 2006), through the library sgfmill.

Of a file, the main line of the first game is read; it must begin on an empty board.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoolib.games.game import Game, GameError
from zoolib.games.go import go, score


def moves(text: str, komi: float = 7.0) -> tuple[int, float, list[tuple[int, int]]]:
    """Board size, komi, and the main line as (colour, action): 0 Black, 1 White; action size² is a pass.

    komi: the one where the file names none.  A file without a size is of 19 by 19.  Raises GameError for a file that
    is cut off or malformed, and for handicap or setup stones; whether moves are legal is not looked at.
    """
    sgf, grammar = _library()
    try:
        record = sgf.Sgf_game.from_string(text)
    except ValueError as error:
        raise GameError(_fault(text, str(error), grammar)) from None
    root, size, played = record.get_root(), record.get_size(), []
    if (kind := _number(root, "GM", 1)) != 1:
        raise GameError(f"the SGF is of another game than Go: GM[{kind}]")
    if (stones := _number(root, "HA", 0)) > 1:
        raise GameError(f"the SGF begins with {stones} handicap stones; only games without can be read")
    for node in record.main_sequence_iter():
        n = len(played) + 1
        if setup := [name for name in ("AB", "AW", "AE") if node.has_property(name)]:
            raise GameError(f"the SGF sets up stones before move {n} ({setup[0]}); only games without can be read")
        given = [(name, raw) for name in "BW" if node.has_property(name) for raw in node.get_raw_list(name)]
        if len(given) > 1:
            raise GameError(f"move {n} of the SGF is two moves: {_shown(*given[0])} and {_shown(*given[1])}")
        if given:
            try:
                colour, point = node.get_move()
            except ValueError:
                raise GameError(f"move {n} of the SGF, {_shown(*given[0])}, is no point of this board") from None
            action = size * size if point is None else (size - 1 - point[0]) * size + point[1]
            played.append(("bw".index(colour), action))
    return size, _number(root, "KM", komi), played


def read(text: str, komi: float = 7.0) -> tuple[Game, list[int]]:
    """The game of an SGF file, and the actions of its main line.

    Where one colour moves twice in a row, or White first, the other's pass is put in between.  Raises GameError for
    what `moves` refuses, for a size or komi that the rules do not take, and for an illegal move, which it names.
    """
    size, komi, played = moves(text, komi)
    game = go(size, komi)
    state, actions = game.init(), []
    for n, (colour, action) in enumerate(played, 1):
        for each in [action] if colour == game.to_play(state) else [size * size, action]:
            if not game.legal(state)[each]:
                raise GameError(illegal(game, state, n, colour, action))
            game.fast.step(state, each)
            actions.append(each)
    return game, actions


def write(
    game: Game, actions: Sequence[int], result: str | None = None, names: Sequence[str] = ("Black", "White")
) -> str:
    """A game of Go as SGF.  result: such as W+R; None writes the score if the game has come to its end.

    Raises GameError for an illegal action, and for a game that is not Go on a square board.
    """
    sgf, _ = _library()
    size = game.options.get("height")
    if "komi" not in game.options or size != game.options["width"]:
        raise GameError(f"what is written as SGF here is Go on a square board, not {game.name}")
    record = sgf.Sgf_game(size)
    root = node = record.get_root()
    root.set("KM", game.options["komi"])
    root.set("RU", "Tromp-Taylor" if game.options["suicide"] else "Chinese")  # area, positional superko
    for name, value in zip(("PB", "PW"), names, strict=True):
        root.set(name, value)
    state = game.init()
    for n, action in enumerate(map(int, actions), 1):
        colour = game.to_play(state)
        if not 0 <= action < game.actions or not game.legal(state)[action]:
            raise GameError(illegal(game, state, n, colour, action))
        node = node.new_child()
        node.set_move("bw"[colour], None if action == size * size else (size - 1 - action // size, action % size))
        game.fast.step(state, action)
    if result is None and game.outcome(state)[0]:
        result = area(game, state)
    if result is not None:
        root.set("RE", result)
    return record.serialise().decode("utf-8")


def area(game: Game, state: np.ndarray) -> str:
    """Who is ahead by how many points, komi taken off and all stones alive, as SGF and GTP say it: B+3.5, W+7 or 0."""
    margin, _ = score(game, state)
    return f"{'B' if margin > 0 else 'W'}+{abs(margin):.1f}".removesuffix(".0") if margin else "0"


def illegal(game: Game, state: np.ndarray, n: int, colour: int, action: int) -> str:
    """The sentence about an illegal move n."""
    name = game.move_name(action) if 0 <= action < game.actions else action
    over, _ = game.outcome(state)
    return f"move {n}, {'BW'[colour]} {name}, {'comes after the end of the game' if over else 'is illegal'}"


def _library():
    """sgfmill's modules for games and for their grammar."""
    try:
        from sgfmill import sgf, sgf_grammar
    except ImportError:
        raise GameError("SGF needs the package sgfmill; install it with: pip install sgfmill") from None
    return sgf, sgf_grammar


def _number(root, name: str, default: float) -> float:
    try:
        value = root.get(name) if root.has_property(name) and root.get_raw(name).strip() else default
        if abs(value) < 1e6:
            return value
        raise ValueError
    except ValueError:
        raise GameError(f"{_shown(name, root.get_raw(name))} in the SGF is no number that makes sense") from None


def _shown(name: str, raw: bytes) -> str:
    return f"{name}[{raw[:20].decode('utf-8', 'replace')}]"


def _fault(text: str, error: str, grammar) -> str:
    """What is wrong with a text that sgfmill cannot parse, and after which move."""
    data = text.encode("utf-8", "replace")
    tokens, end = grammar.tokenise(data)
    if not tokens:
        return "this is no SGF, or only its beginning: a game begins with (;"
    if "unexpected end" not in error:
        return f"the SGF is malformed: {error}"
    pairs = zip(tokens, tokens[1:], strict=False)
    n = sum(kind == "I" and name in (b"B", b"W") and after == "V" for (kind, name), (after, _) in pairs)
    where = f"after move {n}" if tokens.count(("D", b"(")) == 1 else "in its variations"
    rest = data[end:].strip()
    if rest and not rest.startswith(b"["):  # a value without its end is cut off
        return f"the SGF is malformed {where}, at {rest[:20].decode('utf-8', 'replace')!r}"
    return f"the SGF is cut off {where}"

"""The GTP engine answers every line, well-formed, and plays by the rules; SGF comes back as it was written."""

import io
import math
import random
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from zoolib.games import gtp, lines, sgf
from zoolib.games.clock import Clock
from zoolib.games.game import GameError
from zoolib.games.go import go, make, score

GNUGO = shutil.which("gnugo") or shutil.which("gnugo", path="/usr/games")


class Chance:
    """Any legal move, a pass when there is no other."""

    def __init__(self, game, seed=0):
        self.game, self.rng = game, random.Random(seed)

    def ready(self, state):
        assert (state == self.game.init()).all()

    def choose(self, state, seconds):
        moves = [int(a) for a in np.flatnonzero(self.game.legal(state))]
        return self.rng.choice(moves[:-1] or moves), []


class Fixed:
    """One answer."""

    def __init__(self, action, analysis=()):
        self.answer = action, list(analysis)

    def choose(self, state, seconds):
        return self.answer


class Session(gtp.Engine):
    """An engine whose answers are taken apart: ask(line) -> the text, or "? message"."""

    def __init__(self, player_for=Chance, size=5, komi=7.0):
        super().__init__(player_for, size, komi)

    def ask(self, line):
        answer = self.handle(line)
        well_formed(line, answer)
        mark, text = answer[0], answer[1:-2].lstrip("0123456789")[1:]
        return text if mark == "=" else f"? {text}"

    def plays(self, text):
        """Play "b A1 w B2 ..." """
        words = text.split()
        for colour, vertex in zip(words[::2], words[1::2], strict=True):
            assert self.ask(f"play {colour} {vertex}") == ""


def well_formed(line, answer):
    """An answer of the protocol's form, with the id of the line that it answers."""
    assert re.fullmatch(r"[=?][0-9]* [ -~\n]*\n\n", answer) and answer.index("\n\n") == len(answer) - 2
    text = "".join(c for c in line.replace("\t", " ") if c >= " " and c != "\x7f").split("#")[0].split()
    assert re.match("[=?]([0-9]*) ", answer).group(1) == (text[0] if re.fullmatch("[0-9]+", text[0]) else "")
    assert "internal error" not in answer


# the protocol


def test_form_of_lines_and_answers():
    engine = Session()
    assert engine.handle("") is engine.handle(" \t\r\n") is engine.handle("# only this\n") is None
    assert engine.handle("name\n") == "= zoolib\n\n"
    assert engine.handle("12 name\r\n") == "=12 zoolib\n\n"
    assert engine.handle("007\tprotocol_version # which one") == "=007 2\n\n"
    assert engine.handle("na\x07me\x00") == "= zoolib\n\n"
    assert engine.handle("3 nothing_like_it") == "?3 unknown command\n\n"
    assert engine.handle("3") == engine.handle("3 #") == "?3 syntax error\n\n"
    assert engine.handle("4 play b") == engine.handle("4 play b A1 C3") == "?4 syntax error\n\n"
    assert engine.handle("clear_board") == "= \n\n"


def test_what_it_says_of_itself():
    engine = Session()
    commands = engine.ask("list_commands").split("\n")
    assert len(commands) == len(set(commands)) and {"genmove", "loadsgf", "lz-analyze"} <= set(commands)
    assert all(engine.ask(f"known_command {name}") == "true" for name in commands)
    assert engine.ask("known_command fly") == engine.ask("known_command _obey") == "false"
    assert engine.ask("known_command") == "? syntax error"
    assert engine.ask("protocol_version") == "2" and re.fullmatch(r"[0-9.]*", engine.ask("version"))
    for name, *_ in map(str.split, engine.ask("gogui-analyze_commands").split("\n")):
        assert re.fullmatch("(string|plist|varc)/.+", name)


def test_size_and_komi():
    engine = Session()
    engine.plays("b C3")
    for size in (2, 4, 18, 21, 10**9):
        assert engine.ask(f"boardsize {size}").startswith("? unacceptable size")
    for size in ("x", "-5", "5.0", "", "٥", "9" * 5_000):
        assert engine.ask(f"boardsize {size}") == "? syntax error"
    assert engine.ask("list_stones b") == "C3" and engine.game is go(5)  # refused: all is as it was
    assert engine.ask("boardsize 7") == engine.ask("list_stones b") == "" and engine.game is go(7)
    assert engine.ask("komi 6.5") == "" and engine.game is go(7, 6.5)
    assert engine.ask("boardsize 5") == "" and engine.game is go(5, 6.5)
    assert engine.ask("komi 6.3").startswith("? komi must be a multiple of a half")
    for komi in ("nan", "inf", "-", "1e3", "٧", "9" * 308, "", "7 7"):
        assert engine.ask(f"komi {komi}") == "? syntax error"
    assert engine.ask("komi -.5") == "" and engine.game is go(5, -0.5)
    assert engine.ask("komi +7.") == "" and engine.game is go(5)


def test_a_board_that_the_weights_do_not_fit():
    made = []

    def only_five(game):
        if game.shape[1] != 5:
            raise GameError("these weights are for 5 by 5")
        made.append(game)
        return Chance(game)

    engine = Session(only_five)
    assert engine.ask("boardsize 9") == "? unacceptable size: these weights are for 5 by 5"
    assert engine.game is go(5) and engine.ask("boardsize 5") == engine.ask("komi 7") == "" and len(made) == 1
    with pytest.raises(GameError, match="5 by 5"):
        gtp.Engine(only_five, 9)


def test_play_and_what_is_illegal():
    engine = Session()
    for line in ("play B c3", "play w D3", "play BLACK d4", "play White pass", "play b PASS"):
        assert engine.ask(line) == ""
    for line in ("play b C3", "play w D4", "play w a6", "play b z25", "play b T19"):
        assert engine.ask(line) == "? illegal move"
    for line in ("play g C3", "play b I5", "play b C0", "play b C26", "play b C03", "play b", "play C3", "play b 3C"):
        assert engine.ask(line) == "? syntax error"
    engine.ask("clear_board")
    engine.plays("w A2 w B1")
    assert engine.ask("play b A1") == "? illegal move"  # suicide
    before = engine.states[-1].copy()
    assert engine.ask("play b resign") == "" and (engine.states[-1] == before).all()


def test_superko_is_part_of_legality():
    engine = Session()
    engine.plays("b B2 w C2 b A3 w D3 b B4 w C4 b C3 w B3")  # White takes the ko
    assert engine.ask("list_stones b") == "B4 A3 B2"
    assert engine.ask("play b C3") == "? illegal move"
    engine.plays("b E1 w A5 b C3")  # the board is another one now
    assert engine.ask("play w B3") == "? illegal move"


def test_a_colour_may_move_twice():
    engine = Session()
    engine.plays("b C3 b B2 b D4 w pass w pass")  # nobody but White has passed
    assert engine.ask("list_stones black") == "D4 C3 B2" and engine.ask("genmove w") != "pass"
    engine = Session()
    engine.plays("b C3 w pass")
    assert engine.ask("genmove w") != "pass"  # the turn is given, and Black has not passed


def test_the_end_by_two_passes():
    engine = Session()
    engine.plays("b C3 w pass b pass")
    for line in ("genmove w", "genmove b", "genmove b", "reg_genmove w"):
        assert engine.ask(line) == "pass"
    assert engine.ask("lz-genmove_analyze w") == "\nplay pass" and engine.ask("lz-analyze") == ""
    engine.plays("w B3")  # play goes on, as about dead stones
    assert engine.ask("list_stones w") == "B3" and engine.ask("genmove b") != "pass"


def test_final_score_and_status():
    engine = Session(komi=7.0)
    assert engine.ask("final_score") == "W+7"
    engine.plays("b C3")
    assert engine.ask("final_score") == "B+18"
    engine.ask("komi 25")
    assert engine.ask("final_score") == "0"
    engine.ask("komi 24.5")
    assert engine.ask("final_score") == "B+0.5"
    engine.plays("w A1")
    assert engine.ask("final_status_list alive") == "C3 A1"
    assert engine.ask("final_status_list dead") == engine.ask("final_status_list seki") == ""
    assert engine.ask("final_status_list well") == "? syntax error"


def test_showboard():
    engine = Session(komi=6.5)
    engine.plays("b A4 w C1")
    board = "5 . . . . .\n4 X . . . .\n3 . . . . .\n2 . . . . .\n1 . . O . .\n  A B C D E"
    assert engine.handle("7 showboard") == f"=7 \n{board}\nBlack (X) to play, komi 6.5\n\n"


def test_undo_leads_back_through_the_same_states():
    engine, seen = Session(), []
    for ply in range(30):
        seen.append(engine.states[-1].tobytes())
        assert not engine.ask(f"genmove {random.Random(ply).choice('bw')}").startswith("?")
    while seen:
        assert engine.ask("undo") == "" and engine.states[-1].tobytes() == seen.pop()
    assert engine.ask("undo") == "? cannot undo"
    engine.plays("b C3")
    assert engine.ask("play b C3") == "? illegal move" and engine.ask("undo") == ""
    assert engine.ask("undo") == "? cannot undo"


@pytest.mark.parametrize("size, n", [(7, 4), (9, 2), (9, 3), (9, 5), (13, 6), (13, 7), (19, 8), (19, 9)])
def test_fixed_handicap(size, n):
    points = gtp.handicap_points(size, n)
    edge = 3 if size > 12 else 2
    assert len({*points}) == n and {c for p in points for c in divmod(p, size)} <= {edge, size // 2, size - 1 - edge}
    assert go(size).move_name(points[0]) == f"{'D' if edge == 3 else 'C'}{edge + 1}"


def test_handicap():
    engine = Session(size=5)
    assert engine.ask("fixed_handicap 2") == engine.ask("place_free_handicap 2") == "? invalid number of stones"
    for words in ("", "A1", "A1 A1", "A1 pass", "A1 F1", "A1 x", " ".join(engine.points)):
        assert engine.ask(f"set_free_handicap {words}") == "? bad vertex list"
    assert engine.ask("set_free_handicap b2 D4") == "" and engine.ask("list_stones b") == "D4 B2"
    assert engine.ask("undo") == "? cannot undo" and engine.game.to_play(engine.states[-1]) == 1
    assert engine.ask("set_free_handicap A1 A2") == "? board not empty"
    end = engine.game.actions - 1
    later = engine.states[-1][end:]
    assert later[:7].tolist() == [0, 0, 1, later[3], 0, 1, later[3]] and not later[7:].any()
    engine.ask("boardsize 7")
    assert engine.ask("fixed_handicap 4") == "C3 E5 C5 E3"
    engine.ask("clear_board")
    assert engine.ask("fixed_handicap 5") == engine.ask("fixed_handicap 1") == "? invalid number of stones"
    assert engine.ask("place_free_handicap 9") == "C3 E5 C5 E3" and engine.ask("genmove w")[0] != "?"


def test_genmove_plays_and_reg_genmove_does_not():
    engine = Session()
    vertex = engine.ask("reg_genmove w")
    assert engine.ask("list_stones w") == "" and vertex in [name.upper() for name in engine.points]
    vertex = engine.ask("genmove w")
    assert engine.ask("list_stones w") == vertex
    assert engine.ask("genmove") == engine.ask("genmove x") == "? syntax error"
    engine = Session(lambda game: Fixed(-1))
    assert engine.ask("genmove b") == "resign" and engine.ask("undo") == "? cannot undo"
    assert engine.ask("lz-genmove_analyze b") == "\nplay resign"


def test_a_player_that_fails_ends_nothing(capsys):
    engine = Session(lambda game: Fixed(99))
    assert engine.ask("genmove b") == "? the player wants to play action 99, which is not legal"
    engine.player = Fixed(12, [(12,)])
    assert engine.handle("lz-genmove_analyze b").startswith("? internal error") and len(engine.states) == 1
    engine.player = None
    assert engine.handle("5 genmove b").startswith("?5 internal error: AttributeError")
    assert "Traceback" in capsys.readouterr().err
    assert engine.ask("play b C3") == "" and engine.ask("list_stones b") == "C3"


def test_times_are_read():
    engine = Session()
    assert engine.ask("time_settings 300 30 5") == engine.ask("time_left w 12 0") == ""
    for line in ("time_settings 1 2", "time_settings a b c", "time_left 1 2 3", "time_left b 1.5 0"):
        assert engine.ask(line) == "? syntax error"


def test_a_player_is_told_what_the_clock_leaves(monkeypatch):
    """Here every search takes six seconds."""
    told, now = [], [0.0]
    monkeypatch.setattr(gtp, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    class Watch(Chance):
        def ready(self, state):
            super().ready(state)
            told.append("ready")

        def choose(self, state, seconds):
            told.append(seconds)
            now[0] += 6
            return super().choose(state, seconds)

    engine = Session(Watch)

    def asked(*lines):
        told.clear()
        assert not any(answer.startswith("?") for answer in map(engine.ask, lines))
        return told

    assert asked("genmove b", "komi 5", "genmove w") == [math.inf] * 2  # no clock
    assert asked("time_settings 0 10 0", "genmove b") == [math.inf]  # which means that there is no limit
    # a small board: a twelfth of what is left
    assert asked("time_settings 120 0 0", *["genmove b"] * 2, "genmove w") == ["ready", 10, 9.5, 10]
    assert asked("reg_genmove b", "lz-analyze b 10", "genmove b") == [math.inf, math.inf, 9]  # two are not for the game
    assert asked("time_left b 30 0", "genmove b", "time_left b 30 6", "genmove b", "genmove b") == [2.5, 5, 24 / 5]
    assert asked("time_left w 0 0", "genmove w", "kata-genmove_analyze w") == [0, 0]
    assert asked("clear_board", "genmove w", "komi 6", "boardsize 5", "genmove w") == ["ready", 10, *["ready"] * 2, 10]
    assert asked("time_settings 0 60 6", *["genmove b"] * 7) == ["ready", 10, 54 / 5, 48 / 4, 42 / 3, 36 / 2, 30, 10]
    assert asked("time_settings 0 1 0", "time_left b 30 2", *["genmove b"] * 3) == ["ready", 15, 24, math.inf]


@hypothesis.given(
    st.tuples(*[st.integers(0, 100)] * 2, st.integers(0, 9)), st.lists(st.floats(0, 1), min_size=1, max_size=80)
)
@hypothesis.example((10, 30, 5), [1.0] * 80)
def test_who_heeds_the_clock_never_oversteps(settings, parts):
    """A referee keeps count of main time and periods; a move takes a part of its share, or all of it."""
    main, period, moves = settings
    clock, left, stones = Clock(*settings), float(main), 0
    for i, part in enumerate(parts):
        share = clock.share(max(12, 40 - i))
        if period and not moves:
            assert share == math.inf
            continue
        took = part * share
        clock.spend(took)
        left -= took
        if left <= 0 and not stones and period:  # a period begins with this move, which counts
            left, stones = left + period, moves
        if stones:
            stones -= 1
            assert left >= -1e-6
            left, stones = (left, stones) if stones else (float(period), moves)
        assert left >= -1e-6
    assert left > 0 or period or not main  # where there is no period, something is always kept


def test_analysis():
    said = [(12, 30, 0.5, 0.25, [12, 6, 25]), (np.int64(6), np.int32(0), np.float32(-1), 0.125, [])]
    engine = Session(lambda game: Fixed(12, said))
    first = "\ninfo move C3 visits 30 winrate 7500 prior 2500 lcb 5730 order 0 pv C3 B4 pass"
    line = first + " info move B4 visits 0 winrate 0 prior 1250 lcb 0 order 1 pv B4"
    for words in ("", " b", " W 100", " 50 maxmoves 3 interval 7"):
        assert engine.ask("lz-analyze" + words) == line and len(engine.states) == 1
    for words in (" x", " b b", " avoid b C3 10", " interval"):
        assert engine.ask("lz-analyze" + words) == engine.ask("kata-genmove_analyze" + words) == "? syntax error"
    kata = engine.ask("kata-analyze b 10 ownership true")
    assert kata.startswith("\ninfo move C3 visits 30 winrate 0.750000 prior 0.250000 lcb 0.57299")
    assert engine.ask("lz-genmove_analyze w 10") == line + "\nplay C3" and engine.ask("list_stones w") == "C3"
    assert gtp.lower_bound(0.5, 10**9) == pytest.approx(0.5, abs=1e-4) and gtp.lower_bound(1.0, 0) < 0.25


def test_a_whole_game_by_genmove():
    engine, actions, state = Session(), [], go(5).init()
    while not engine.game.outcome(engine.states[-1])[0]:
        vertex = engine.ask(f"genmove {'bw'[len(actions) % 2]}")
        actions.append(engine.points[vertex.lower()])
    state = go(5).play(state, *actions)
    assert (state == engine.states[-1]).all() and len(actions) > 25
    margin, _ = score(go(5), state)
    assert float(engine.ask("final_score").replace("B+", "").replace("W+", "-")) == margin
    assert engine.ask("genmove b") == engine.ask("genmove w") == "pass"


def test_no_game_outgrows_the_rules():
    engine = Session()
    for _ in range(60):  # the rules take 50 moves
        engine.ask("undo"), engine.ask("genmove b"), engine.ask("genmove w")
    answers = [engine.ask(f"play b {name}") for name in engine.points]
    assert set(answers) <= {"", "? illegal move"} and engine.ask("genmove b") == "pass"


def test_run_ends_with_quit_or_the_input():
    out = io.StringIO()
    Session().run(io.StringIO("1 name\n\n# no\n2 quit\n3 name\n"), out)
    assert out.getvalue() == "=1 zoolib\n\n=2 \n\n"
    out = io.StringIO()
    raw = io.TextIOWrapper(io.BytesIO(b"loadsgf \xff\xfe.sgf\r\n\xe9\x00\n4 protocol_version"), encoding="ascii")
    Session().run(raw, out)
    load, unknown, version = out.getvalue().split("\n\n")[:3]
    assert load.startswith("? cannot load file: ") and (unknown, version) == ("? unknown command", "=4 2")


# SGF


def random_game(game, seed):
    rng, state, actions = random.Random(seed), game.init(), []
    while not game.outcome(state)[0]:
        actions.append(rng.choice([int(a) for a in np.flatnonzero(game.legal(state))]))
        game.fast.step(state, actions[-1])
    return state, actions


@pytest.mark.parametrize("seed", range(20))
def test_sgf_comes_back(seed):
    game = go(5, 7.0)
    state, actions = random_game(game, seed)
    text = sgf.write(game, actions, names=("A [1] \\", "é"))
    assert sgf.read(text) == (game, actions)
    assert f"RE[{sgf.area(game, state)}]" in text and "PB[A [1\\] \\\\]" in text and "PW[é]" in text
    half = sgf.write(game, actions[:7], "W+R")
    assert sgf.read(half) == (game, actions[:7]) and "RE[W+R]" in half and "RE[" not in sgf.write(game, actions[:7])


def test_sgf_reads_the_main_line():
    text = "junk (;GM[1]SZ[5]KM[6.5]HA[];B[cc](;W[];B[aa]C[a \\] b])(;W[bb]))(;SZ[9])"
    game, actions = sgf.read(text)
    assert game is go(5, 6.5) and [game.move_name(a) for a in actions] == ["C3", "pass", "A5"]
    game, actions = sgf.read("(;SZ[5];W[aa];W[bb])")
    assert game is go(5, 7.0) and [game.move_name(a) for a in actions] == ["pass", "A5", "pass", "B4"]
    assert sgf.moves("(;SZ[5])", 0.5) == (5, 0.5, []) and sgf.moves("(;B[tt])") == (19, 7.0, [(0, 361)])


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "no SGF"),
        ("1. e4 e5", "no SGF"),
        ("(;SZ[5];B[aa];W[bb]", "cut off after move 2"),
        ("(;SZ[5];B[aa];W[b", "cut off after move 1"),
        ("(;SZ[5];B[aa]&;W[bb])", "malformed after move 1, at '&;W"),
        ("(;SZ[5];B[aa](;W[bb];B[cc]", "cut off in its variations"),
        ("(;SZ[5];[aa])", "malformed: unexpected value"),
        ("(;SZ[x])", "bad SZ"),
        ("(;SZ[9:13])", "bad SZ"),
        ("(;SZ[50])", "size out of range"),
        ("(;SZ[8])", "odd size from 3 to 19, not 8"),
        ("(;SZ[5]KM[6.3])", "multiple of a half"),
        ("(;SZ[5]KM[x])", r"KM\[x\] in the SGF is no number"),
        ("(;SZ[5]KM[nan])", r"KM\[nan\]"),
        ("(;SZ[5]KM[1e308])", r"KM\[1e308\]"),
        ("(;SZ[5]HA[2][3])", r"HA\[2\]"),
        ("(;GM[2]SZ[5])", r"another game than Go: GM\[2\]"),
        ("(;SZ[9]HA[3])", "begins with 3 handicap stones"),
        ("(;SZ[9]AB[cc][gg])", r"sets up stones before move 1 \(AB\)"),
        ("(;SZ[9];B[aa];AE[aa])", r"sets up stones before move 2 \(AE\)"),
        ("(;SZ[5];B[aa]W[bb])", r"move 1 of the SGF is two moves: B\[aa\] and W\[bb\]"),
        ("(;SZ[5];B[aa][bb])", "move 1 of the SGF is two moves"),
        ("(;SZ[5];B[aa];W[zz])", r"move 2 of the SGF, W\[zz\], is no point of this board"),
        ("(;SZ[5];B[a])", "move 1 of the SGF"),
        ("(;SZ[5];B[aa];W[aa])", "move 2, W A5, is illegal"),
        ("(;SZ[5];B[];W[];B[aa])", "move 3, B A5, comes after the end of the game"),
        ("(;SZ[5]\ud800)", "malformed"),
    ],
)
def test_sgf_that_is_wrong(text, says):
    with pytest.raises(GameError, match=says) as caught:
        sgf.read(text)
    assert "\n" not in str(caught.value)


def test_truncated_or_damaged_sgf_raises_nothing_but_gameerror():
    game = go(5)
    _, actions = random_game(game, 5)
    text = sgf.write(game, actions, names=("Ann \\] [b]", "Bob"))
    whole = len(text.rstrip())
    for n in range(whole):
        with pytest.raises(GameError, match="cut off|no SGF"):
            sgf.read(text[:n])
    assert sgf.read(text[:whole]) == (game, actions)
    rng = random.Random(6)
    for _ in range(2_000):
        damaged = list(text)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(whole)] = rng.choice("()[];\\ BWabt\n0é\x00:")
        try:
            sgf.read("".join(damaged).replace("SZ[", "SZ[5]X[", rng.random() < 0.5))
        except GameError:
            pass


def test_sgf_is_written_of_legal_games_of_go_only():
    for game in (lines.gomoku(9), make(2, 3)):
        with pytest.raises(GameError, match="Go on a square board"):
            sgf.write(game, [])
    with pytest.raises(GameError, match="move 2, W A5, is illegal"):
        sgf.write(go(5), [0, 0])
    with pytest.raises(GameError, match="move 1, B 77, is illegal"):
        sgf.write(go(5), [77])
    with pytest.raises(GameError, match="move 3, B A5, comes after the end"):
        sgf.write(go(5), [25, 25, 0])


def test_without_sgfmill_one_line_says_so(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sgfmill", None)
    (tmp_path / "a.sgf").write_text("(;SZ[5])")
    with pytest.raises(GameError, match="pip install sgfmill"):
        sgf.read("(;SZ[5])")
    assert "pip install sgfmill" in Session().ask(f"loadsgf {tmp_path / 'a.sgf'}")


def test_loadsgf(tmp_path):
    file = tmp_path / "two words.sgf"
    file.write_text("(;SZ[5]KM[6.5];W[aa];W[bb];B[cc];W[dd])")
    engine = Session(size=9)
    assert engine.ask(f"loadsgf {file}") == "" and engine.game is go(5, 6.5)
    assert engine.ask("list_stones w") == "A5 B4 D2" and engine.ask("undo") == ""
    for n, white in ((0, ""), (1, ""), (2, "A5"), (3, "A5 B4"), (4, "A5 B4"), (5, "A5 B4 D2"), (99, "A5 B4 D2")):
        assert engine.ask(f"loadsgf {file} {n}") == "" and engine.ask("list_stones w") == white  # the move comes next
    file.write_text("(;SZ[5];B[aa];W[aa])")
    assert engine.ask(f"loadsgf {file}") == "? cannot load file: move 2, W A5, is illegal"
    for text in ("(;SZ[5];B[aa", "(;SZ[6])", "(;SZ[9]AB[aa])", ""):
        file.write_text(text)
        assert engine.ask(f"loadsgf {file}").startswith("? cannot load file: ")
    for name in ("nowhere.sgf", str(tmp_path), "/dev/zero", "x" * 5_000):
        assert engine.ask(f"loadsgf {name}").startswith("? cannot load file")
    assert engine.ask("loadsgf") == "? syntax error"
    assert engine.game is go(5, 6.5) and engine.ask("list_stones w") == "A5 B4 D2"  # refused: all is as it was


# any line at all


def noise(rng, size):
    return "".join(
        chr(rng.choice((rng.randrange(128), rng.randrange(256), rng.randrange(0x3000)))) for _ in range(size)
    )


def any_line(rng, commands, files):
    """A line that may be right, or nearly so, or nothing."""
    if rng.random() < 0.05:
        return noise(rng, rng.choice((3, 30, 3_000)))
    word = {
        "colour": lambda: rng.choice(("b", "W", "black", "White", "x", "1", "bw")),
        "number": lambda: rng.choice(("0", "1", "2", "3", "4", "5", "5", "9", "20", "-1", "1.5", "9" * 50, "٣", "²")),
        "vertex": lambda: rng.choice("abcdeABCDEij") + rng.choice("123450"),
        "other": lambda: rng.choice(
            ("pass", "resign", "alive", "dead", "komi", "7", "7.0", "6.3", "interval", "#", "")
        ),
        "file": lambda: rng.choice(files),
        "noise": lambda: noise(rng, rng.randrange(8)),
        "long": lambda: rng.choice("a1 \t") * rng.choice((100, 10_000)),
    }
    sizes = ("5", "7", "7", "4", "0", "x")  # each further size, and komi, would have to be compiled
    name = rng.choice(commands)
    kinds = {"colour": "colour", "number": "number", "word": rng.choice(("vertex", "vertex", "other"))}
    right = {
        "boardsize": [lambda: rng.choice(sizes)],
        "play": [word["colour"], word["vertex"]],
        "komi": [lambda: rng.choice(("7", "7.0", "+7.", "6.3", "nan", "1e999", ""))],
        "loadsgf": [word["file"], word["number"]][: rng.randint(1, 2)],
        "set_free_handicap": [word["vertex"]] * rng.randint(0, 4),
    }.get(name) or [word[kinds[kind]] if kind in kinds else word["colour"] for kind in gtp.COMMANDS.get(name, [])]
    words = [name, *(make() for make in right)]
    if rng.random() < 0.3 and name != "komi" and name != "boardsize":
        words = [each for each in words if rng.random() < 0.8] + [
            word[rng.choice(list(word))]() for _ in range(rng.randrange(4))
        ]
    if rng.random() < 0.3:
        words.insert(0, rng.choice(("1", "0042", "12345678901234567890", "-3", "3.5")))
    return rng.choice((" ", "  ", "\t")).join(words) + rng.choice(("", "\n", "\r\n", " # so"))


def fuzz(n, seed, files):
    """Ask n random lines, and check each answer; returns how many commands were obeyed, by name."""
    rng, engine, obeyed = random.Random(seed), Session(), {}
    commands = [*gtp.COMMANDS, *["play", "genmove"] * 10, "fly", "PLAY", "lz-", "_think", "__init__"]
    for _ in range(n):
        line = any_line(rng, commands, files)
        answer = engine.handle(line)
        words = "".join(c for c in line.replace("\t", " ") if c >= " " and c != "\x7f").split("#")[0].split()
        assert (answer is None) == (not words)
        if answer is not None:
            well_formed(line, answer)
            if answer[0] == "=":
                name = words[0] if words[0] in gtp.COMMANDS else words[1]
                obeyed[name] = obeyed.get(name, 0) + 1
    assert engine.ask("clear_board") == "" and engine.ask("genmove b")[0] != "?"  # and it still plays
    return obeyed


def test_no_line_ends_the_engine(tmp_path, long):
    for name, text in {"a": "(;SZ[5];B[aa];W[bb];W[cc])", "b": "(;SZ[3];B[aa];W[a", "c": "(;SZ[9]AB[aa])"}.items():
        (tmp_path / name).write_text(text)
    files = [str(tmp_path / name) for name in "abcd"]
    obeyed = fuzz(100_000 if long else 5_000, 7, files)
    assert set(obeyed) == set(gtp.COMMANDS)


# beside another program


@pytest.mark.skipif(GNUGO is None, reason="GNU Go is not installed")
def test_gnugo_sees_the_same_boards_and_the_same_legal_moves():
    """Random games that look for captures, at 5 by 5, where superko is met often, and at 9 by 9; either may move."""
    rng, script, ours = random.Random(8), [], []
    engine = Session(size=5)

    def both(line, answer):
        script.append(line)
        ours.append(answer)

    for size, games in ((5, 12), (9, 2)):
        for _ in range(games):
            for line in (f"boardsize {size}", "clear_board", "komi 7"):
                both(line, {*engine.ask(line).split()})
            if size == 9:
                n = rng.randint(2, 9)
                both(f"fixed_handicap {n}", {*engine.ask(f"fixed_handicap {n}").split()})
            for _ in range(2 * size * size - 1):
                turn = engine.game.to_play(engine.states[-1])
                turn = 1 - turn if rng.random() < 0.1 else turn
                state = gtp.give_turn(engine.game, engine.states[-1], turn)
                legal = engine.game.legal(state)[:-1]
                both(f"all_legal {'bw'[turn]}", {engine.game.move_name(int(a)) for a in np.flatnonzero(legal)})
                if not legal.any():
                    break
                few = rng.sample(moves := np.flatnonzero(legal).tolist(), min(5, len(moves)))
                action = max(few, key=lambda a: engine.game.play(state, a)[size * size + gtp.CAPTURED])
                line = f"play {'bw'[turn]} {engine.game.move_name(action)}"
                both(line, {*engine.ask(line).split()})
                if rng.random() < 0.1:
                    both("undo", {*engine.ask("undo").split()})
                for colour in "bw":
                    both(f"list_stones {colour}", {*engine.ask(f"list_stones {colour}").split()})
    options = "--mode gtp --chinese-rules --positional-superko --capture-all-dead".split()
    done = subprocess.run([GNUGO, *options], input="\n".join(script), capture_output=True, text=True, timeout=60)
    answers = done.stdout.split("\n\n")[: len(script)]
    assert len(answers) == len(script) > 1_000
    for line, answer, mine in zip(script, answers, ours, strict=True):
        assert answer.startswith("=") and {*answer[1:].split()} == mine, (line, answer, mine)

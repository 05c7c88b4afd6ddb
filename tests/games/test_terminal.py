"""The commands that play: what they print, what they refuse, and in which words."""

import io
import json
import math
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.games.test_alphazero import SMALL, run
from zoolib.cli import main
from zoolib.games import alphazero, arena, catalogue, gtp, players, solver, strength, terminal
from zoolib.games.game import GameError
from zoolib.pretrained import load_weights


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    """A folder with a network that has hardly learned."""
    folder = tmp_path_factory.mktemp("runs") / "t"
    alphazero.train(SMALL, run=run(folder))
    return str(folder)


def played(words, **options):
    """What `zoolib play` says to somebody who types these words."""
    said, typed = [], iter(words)

    def read(prompt):
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    assert terminal.play(terminal.PlayOptions(**options), read, said.append) == 0
    return "\n".join(said)


def test_a_match_of_two_sides_adds_up(agent, capsys):
    assert main(["match", agent, "random", "--games", "20", "--seed", "5", "--simulations", "8", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["wins"] + result["draws"] + result["losses"] == 20 - result["duplicates"]
    assert result["score"] == (result["wins"] + result["draws"] / 2) / (20 - result["duplicates"])
    assert result["low"] <= result["score"] <= result["high"] and len(result["games"]) == 20
    assert main(["match", "mcts:50", "random", "--game", "tictactoe", "--games", "20"]) == 0
    assert "mcts:50 against random: " in capsys.readouterr().out


def test_the_same_seed_plays_the_same_match(capsys):
    results = []
    for seed in ("1", "1", "2"):
        main(["match", "mcts:20", "minimax:2", "--game", "connect4", "--games", "4", "--seed", seed, "--json"])
        results.append(json.loads(capsys.readouterr().out)["games"])
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize(
    "args, sentence",
    [
        (
            ["match", "mcts:0", "random", "--game", "connect4"],
            "mcts wants a whole number from 1 to 10000000, as in mcts",
        ),
        (["match", "mcts:1e3", "random"], "mcts wants a whole number from 1 to 10000000, as in mcts:100, not '1e3'"),
        (["match", "minimax:x", "random", "--game", "connect4"], "minimax wants a whole number from 1 to 100"),
        (["match", "rollouts", "random", "--game", "connect4"], "no player is called 'rollouts'; there are: a run"),
        (["match", "mtcs:10", "random", "--game", "connect4"], "no player is called 'mtcs:10'; did you mean mcts:10?"),
        (["match", "random", "alphazero-connect5"], "'alphazero-connect5'; did you mean alphazero-connect4?"),
        (["match", "", "random"], "a player is named by an empty text"),
        (["match", "random", "random", "--game", "connect4", "--games", "4.5"], "a whole number is wanted, not '4.5'"),
        (["match", "random", "random", "--game", "conect4"], "did you mean connect4?"),
        (["match", "alphazero-go11", "random"], "no player is called 'alphazero-go11'"),
        (["match", "random", "random"], "random and random do not say which game: add --game"),
        (["match", "random", "solver", "--game", "tictactoe"], "the solver knows connect4, not tictactoe"),
        (["match", "random", "random", "--game", "connect4", "--games", "3"], "even number of games"),
        (["match", "random", "random", "--game", "connect4", "--games", "0"], "even number of games"),
        (["match", "random", "random", "--game", "connect4", "--plies", "2"], "no 100 different openings of 2 moves"),
        (["match", "random", "random", "--game", "connect4", "--plies", "-1"], "has 0 moves or more, not -1"),
        (["match", "dqn-cartpole", "random"], "dqn-cartpole was trained by dqn, which plays no board game"),
        (["match", "random"], "zoolib match wants two players first"),
        (["match", "random", "gtp:nosuchprogram", "--game", "go9"], "nosuchprogram cannot be started"),
        (["match", "random", "gtp:cat", "--game", "connect4"], "GTP is a protocol for Go, not for connect4"),
        (["match", "gtp:true", "random", "--game", "go5", "--games", "2"], "true "),
        (["match", "gtp:cat", "random", "--game", "go5", "--games", "2"], "cat answers 'boardsize 5' with 'boardsize"),
        (["match", 'gtp:"abc', "random", "--game", "go5"], "'\"abc' is no command: No closing quotation"),
        (["match", "gtp: ", "random", "--game", "go5"], "gtp: wants a command, such as"),
        (["match", "mcts:10000000", "random", "--game", "go19"], "10000000 simulations want 87 GB at go19; at most"),
        (["match", "random", "random", "--game", "go5", "--seed", "-1"], "seed must be 0 or more, not -1"),
        (["play", "tictactoe", "--seed", "-1"], "seed must be 0 or more, not -1"),
        (["gtp", "go5", "--seed", "-1"], "seed must be 0 or more, not -1"),
        (["gtp", "go5", "--komi", "nan"], "komi must be a multiple of a half, such as 7 or 6.5, not nan"),
        (["gtp", "go5", "--komi", "inf"], "komi must be a multiple of a half, such as 7 or 6.5, not inf"),
        (["play", "chess"], "'chess' is neither a game (tictactoe, connect4, "),
        (["play"], "zoolib play wants a game such as connect4, a run folder or"),
        (["evaluate", "connect4"], "did you mean alphazero-connect4?"),
        (["evaluate", "alphazero-connect4", "--episodes", "5"], "--episodes and --seed are for policies"),
        (["train", "alphazero", "--game", "gomoku3"], "Gomoku boards here have a size from 5 to 26, not 3"),
        (["train", "alphazero", "--games", "8", "--workers", "3"], "games must be a multiple of the 3 workers, not 8"),
        (["play", "conect4"], "no game is called 'conect4'; did you mean connect4?"),
        (["play", "go8"], "odd size"),
        (["play", "connect4", "--opponent", "mtcs:3"], "no player is called 'mtcs:3'"),
        (["gtp", "connect4"], "GTP is a protocol for Go, not for connect4"),
        (["gtp", "go5", "--komi", "6.3"], "komi must be a multiple of a half"),
        (["gtp"], "zoolib gtp wants"),
        (["train", "alphazero", "--game", "chess"], "no game is called 'chess'"),
        (["train", "alphazero", "--budget", "huge"], "no budget is called 'huge'"),
        (["train", "alphazero", "--simulations", "0"], "simulations must be at least 2, not 0"),
        (["train", "alphazero", "--window", "0"], "window must be at least 1, not 0"),
        (["train", "alphazero", "--weight-decay", "-1"], "weight_decay must be 0 or more, not -1.0"),
    ],
)
def test_a_mistake_gets_one_sentence(args, sentence, capsys):
    assert main(args) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.startswith("zoolib: ") and said.count("\n") == 1


@pytest.mark.parametrize("command", [["match"], ["play"], ["evaluate"]])
def test_a_file_of_weights_is_named_by_its_folder(command, agent, capsys):
    assert main([*command, f"{agent}/weights.safetensors", *["random"] * (command == ["match"])]) == 2
    assert f"weights.safetensors is a file: name its folder, {agent}" in capsys.readouterr().err


def test_a_run_is_played_whatever_became_of_its_config(agent, tmp_path, capsys, monkeypatch):
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "weights.safetensors").write_bytes(Path(agent, "weights.safetensors").read_bytes())
    monkeypatch.setattr("sys.stdin", io.StringIO("quit\n"))
    assert main(["play", str(tmp_path)]) == 0
    assert "You play tictactoe against" in capsys.readouterr().out


def test_weights_of_a_game_of_ones_own_say_that_they_want_it(tmp_path, capsys):
    nim = replace(catalogue.named("tictactoe"), name="nim")
    alphazero.train(SMALL, game=nim, run=run(tmp_path / "nim"))
    assert main(["match", str(tmp_path / "nim"), "random"]) == 2
    assert "'nim'" in (said := capsys.readouterr().err) and "loaded in Python, with game=" in said
    state, header = load_weights(tmp_path / "nim" / "weights.safetensors")
    assert alphazero.load(state, header, nim)[1] is nim


def test_a_game_that_breaks_a_law_is_not_trained_on():
    with pytest.raises(GameError, match="more than `longest` says"):
        alphazero.train(SMALL, game=replace(catalogue.named("tictactoe"), longest=6))


def test_a_run_of_another_algorithm_is_not_gone_on_with(agent, capsys):
    assert main(["train", "dqn", "--out", agent, "--resume"]) == 2
    assert f"{agent} holds a run of alphazero, not of dqn" in capsys.readouterr().err


def test_ctrl_c_ends_a_match_also_while_numba_compiles(monkeypatch):
    """There the exception that Python makes of it is swallowed."""
    before, seen = signal.getsignal(signal.SIGINT), []
    monkeypatch.setattr(terminal, "match", lambda options: seen.append(signal.getsignal(signal.SIGINT)) or 0)
    assert main(["match", "random", "random"]) == 0
    assert seen == [signal.SIG_DFL] and signal.getsignal(signal.SIGINT) == before


def test_a_command_is_recorded_as_it_can_be_typed_again(tmp_path):
    out = tmp_path / "a run"
    args = [
        "train",
        "alphazero",
        "--game",
        "tictactoe",
        "--iterations",
        "1",
        "--games",
        "8",
        "--quiet",
        "--out",
        str(out),
    ]
    assert main(args) == 0
    command = json.loads((out / "metrics.json").read_text())["command"]
    assert shlex.split(command) == ["zoolib", *args]


def test_a_game_of_go_ends_with_its_score():
    said = played(["pass"], source="go5", opponent="random", seed=12)  # with which chance passes, too
    assert "random has won.  Score: W+7" in said


def test_weights_of_one_game_do_not_play_another(agent, capsys):
    assert main(["match", agent, "random", "--game", "connect4"]) == 2
    assert "plays tictactoe, not connect4" in capsys.readouterr().err


def test_a_person_wins_against_chance_and_sees_what_is_illegal():
    said = played(["", "z9", "undo", "1", "1", "1", "1"], source="connect4", opponent="random", seed=3)
    assert "'z9' is not a move here; legal: 1 2 3 4 5 6 7" in said and "There are no two moves" in said
    assert said.endswith("You have won.")


def test_undo_takes_back_ones_own_move_and_the_answer():
    once = played(["4", "undo", "quit"], source="connect4", opponent="mcts:20")
    boards = [text.strip("\n") for text in once.split("\n\n") if "1 2 3 4 5 6 7" in text]
    assert boards[0] == boards[-1] != boards[1]


def test_the_agent_shows_what_it_looked_at(agent):
    said = played(["quit"], source=agent, second=True, simulations=16)
    assert "% of visits, value " in said and "against " + agent in said


def test_the_move_that_is_played_leads_the_analysis(agent):
    """Sequential halving leaves two moves with equally many visits."""
    network, game, _ = terminal.weights_of(agent)
    player, ties = players.Searcher(game, 16, alphazero.evaluator(network)), 0
    for state in (game.init(), *(game.play(game.init(), a) for a in range(9))):
        action = player.choose(state[None], np.zeros(1, np.uint64), [[]])[0]
        seen = player.analysis()
        ties += seen[0][1] == seen[1][1]
        assert seen[0][0] == action
    assert ties


def test_an_analysis_is_of_the_visits_that_were_made():
    game = catalogue.named("tictactoe")
    player = players.Searcher(game, 60)
    assert player.analysis() == []
    action = player.choose(game.init()[None], np.array([7], np.uint64), [[]])[0]
    seen = player.analysis()
    assert sum(n for _, n, *_ in seen) == 60 and seen[0][0] == action
    assert all(line[0] == a and -1 <= v <= 1 and len(set(line)) == len(line) for a, _, v, _, line in seen)


def test_an_engine_answers_over_standard_input(agent):
    said = io.StringIO()
    options = terminal.GtpOptions("go5", opponent="mcts:20")
    lines = "boardsize 5\ngenmove b\nboardsize 7\nkomi 5.5\ngenmove white\nfinal_score\nquit\nname\n"
    assert terminal.gtp(options, io.StringIO(lines), said) == 0
    answers = said.getvalue().split("\n\n")
    assert all(answer.startswith("=") for answer in answers[:-1]) and len(answers) == 8


def test_an_engine_begins_with_the_komi_of_its_board():
    said = io.StringIO()
    moves = "play b d4\nplay w pass\nplay b pass\nfinal_score\n"  # all 49 points are Black's
    assert terminal.gtp(terminal.GtpOptions("go7", opponent="random"), io.StringIO(moves), said) == 0
    assert said.getvalue().split("\n\n")[3] == "= B+40"


@pytest.fixture
def slow(monkeypatch):
    """A machine where a simulation takes a hundredth of a second: [seconds], and how many each search was to have."""
    now, asked, search = [0.0], [], players.Searcher.choose

    def slowly(self, states, seeds, past):
        asked.append(self.simulations)
        now[0] += 0.01 * self.simulations
        return search(self, states, seeds, past)

    monkeypatch.setattr(players.Searcher, "choose", slowly)
    for module in (terminal, gtp):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    return now, asked


def test_a_clock_leaves_fewer_simulations(slow):
    game = catalogue.named("go5")
    mover, (_, asked) = terminal.Mover(players.Searcher(game, 400), 0), slow
    mover.ready(game.init())
    asked.clear()
    for seconds in (math.inf, 0.0, 0.1, 1.0, 4.9, 5.1, 0.3, 1e9):
        action, analysis = mover.choose(game.init(), seconds)
        assert sum(visits for _, visits, *_ in analysis) == asked[-1] and analysis[0][0] == action
        assert analysis[0][1:3] == max(seen[1:3] for seen in analysis)  # of as many visits, the one that is worth more
    assert asked == [400, 1, 8, 64, 256, 400, 16, 400]  # powers of two below four fifths of the time, or all
    mover.each = 10.0  # after one that took long, it is believed by halves
    mover.choose(game.init())
    assert mover.each == 5.0
    chance = terminal.Mover(players.Random(game), 0)  # which does not search
    chance.ready(game.init())
    assert game.legal(game.init())[chance.choose(game.init(), 0.0)[0]]


def test_an_engine_plays_a_game_on_a_clock(slow):
    said, (now, asked) = io.StringIO(), slow
    lines = "time_settings 60 0 0\n" + "genmove b\ngenmove w\n" * 12 + "time_left b 0 0\ngenmove b\n"
    assert terminal.gtp(terminal.GtpOptions("go5", opponent="mcts:10000"), io.StringIO(lines), said) == 0
    answers = said.getvalue().split("\n\n")
    assert all(re.fullmatch("= (|pass|[A-E][1-5])", answer) for answer in answers[:-1]) and len(answers) == 28
    assert asked[:2] == [16, 16] and asked[2] == 256 and asked[-1] == 1 and now[0] < 2 * 60


def test_a_match_of_gomoku_begins_in_balanced_positions(capsys):
    assert terminal.match(terminal.MatchOptions("random", "mcts:5", game="gomoku7", games=4, json=True)) == 0
    played = json.loads(capsys.readouterr().out)["games"]
    game = catalogue.named("gomoku7")
    begun = np.stack([game.play(game.init(), *one["moves"][:4]) for one in played])
    assert arena.balanced(game)(begun).all()


def test_the_solver_never_gives_away_what_it_has():
    game = catalogue.named("connect4")
    states, values, phases = strength.solved()
    late = np.flatnonzero(phases != "opening")[::40]
    assert not strength.mistakes(players.Solver(game), states[late], values[late]).any()
    chance = strength.mistakes(players.Random(game))
    assert 0.3 < chance.mean() < 0.7
    rates = strength.mistake_rates(players.Searcher(game, 200))
    assert all(rates[phase]["mean"] < chance[phases == phase].mean() for phase in solver.PHASES)
    assert all(rates[phase]["positions"] >= 1_000 for phase in solver.PHASES)


def test_the_solved_positions_are_solved_right():
    """Late ones are solved again here; those of the opening took the most of a quarter of an hour."""
    states, values, phases = strength.solved()
    judge = solver.Connect4Solver()
    for i in np.flatnonzero(phases != "opening")[::25]:
        again = np.nan_to_num(judge.values(states[i]), nan=solver.ILLEGAL)
        assert (again == values[i]).all() and solver.counts(values[i].astype(float))


def test_optimality_tells_perfect_play_from_chance():
    game = catalogue.named("tictactoe")
    right = strength.optimality(players.Minimax(game, 9), game)
    assert len(right) == 4_520 and right.all()
    assert 0.3 < strength.optimality(players.Random(game), game).mean() < 0.9


def test_evaluate_says_what_a_network_is_worth(agent, capsys):
    assert main(["evaluate", agent]) == 0
    said = capsys.readouterr().out
    assert said.startswith("tictactoe, 32 simulations a move: optimal in ") and "of 4,520 positions" in said


def test_minimax_sees_the_four_that_threatens():
    game = catalogue.named("gomoku9")
    state = game.play(game.init(), 40, 0, 41, 8, 42, 72, 43)  # a row of four, both ends open
    answer = players.Minimax(game, 2).choose(state[None], np.zeros(1, np.uint64), [[]])[0]
    assert answer in (39, 44)
    with pytest.raises(GameError, match="at least 1 ply"):
        players.Minimax(game, 0)


@pytest.mark.parametrize("command", ["match", "gtp", "play connect4"])
def test_help_names_the_options(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([*command.split(), "--help"])
    assert end.value.code == 0 and "--simulations" in capsys.readouterr().out


def test_a_reader_who_has_read_enough_is_no_failure():
    script = "import sys; from zoolib.cli import main; sys.exit(main(['match', '--help']))"
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.close()
    assert child.stderr.read() == b"" and child.wait(60) == 0

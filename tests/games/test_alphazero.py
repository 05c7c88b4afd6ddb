"""Self-play keeps its books, a resumed run has the same bits, and the loss is the paper's."""

import dataclasses
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from zoolib import pretrained
from zoolib.games import alphazero, arena, catalogue, lines, mcts, networks, players, selfplay
from zoolib.games.game import GameError
from zoolib.parallel import Group
from zoolib.pretrained import WeightsError, load_weights
from zoolib.run import Run, RunError

SMALL = alphazero.Config(
    game="tictactoe", width=16, blocks=1, iterations=12, games=16, moves=4, simulations_start=4, simulations=8
)
SMALL = dataclasses.replace(SMALL, batch_size=32, window_start=200, window=400, openings=2)


def run(out=None, **options):
    return Run(out, seed=1, progress=False, **options)


def test_the_loss_is_the_papers_on_a_case_by_hand():
    logits, value = torch.tensor([[0.0, 0.0]]), torch.tensor([0.5])
    loss = alphazero.alphazero_loss(logits, value, torch.tensor([[0.25, 0.75]]), torch.tensor([1.0]))
    assert loss.tolist() == pytest.approx([0.25 + np.log(2)])


@pytest.mark.parametrize("game", ["tictactoe", "go5"])
def test_positions_of_a_game_say_how_it_ended(game):
    game = catalogue.named(game)
    cells = game.shape[1] * game.shape[2]
    worker = selfplay.Worker(game, 8, 8, 16, 3, (1, 0, 0), alphazero.mcts.puct)
    alike = lambda planes: (np.zeros((len(planes), game.actions)), np.zeros(len(planes)))  # noqa: E731
    ended = worker.play(60, alike, 8)
    assert ended
    for positions in ended:
        signs = positions.outcome[positions.outcome != 0]
        assert (signs[1:] == -signs[:-1]).all()  # players alternate, so does the view
        assert np.allclose(positions.policy.sum(1), 1, atol=1e-5) and (np.abs(positions.target) <= 1).all()
        legal = (positions.planes[:, 0] + positions.planes[:, 1] == 0).reshape(-1, cells)
        assert not positions.policy[:, :cells][~legal].any()
        if game.territory:
            assert (np.sign(positions.score) == positions.outcome).all()
            assert (
                positions.score + 7 * np.where(positions.planes[:, 6, 0, 0] == 0, 1, -1) == positions.owner.sum(1)
            ).all()


def test_targets_of_values_are_td_lambda():
    """By hand, in a game of three moves that the first player won: backwards, with the sign of who was to move."""
    game = catalogue.named("tictactoe")
    worker = selfplay.Worker(game, 1, 2, 16, 0, (1, 0, 0), alphazero.mcts.puct)
    for td_lambda, targets in ((1.0, [1, -1, 1]), (0.0, [0.5, 0.2, -0.4]), (0.5, [0.275, -0.05, 0.3])):
        worker.length[0], worker.player[0, :3] = 3, (0, 1, 0)
        worker.past.target[:3] = 0.5, 0.2, -0.4  # what the search thought
        done = worker.finish(0, -1.0, 1, td_lambda)
        assert done.outcome.tolist() == [1, -1, 1] and done.target == pytest.approx(np.array(targets), abs=1e-6)


def test_symmetries_turn_board_and_policy_alike():
    game = catalogue.named("connect4")
    replay = selfplay.Replay(game, 10)
    one = selfplay.room(game, 1)
    one.planes[0, 0, 5, 2], one.policy[0, 2] = 1, 1
    replay.add(one)
    drawn = replay.batch(40, 10, np.random.default_rng(0))
    columns = drawn.planes[:, 0, 5].argmax(1)
    assert set(columns) == {2, 4} and (columns == drawn.policy.argmax(1)).all()


def test_it_learns_tic_tac_toe_well_enough_to_beat_chance():
    config = dataclasses.replace(SMALL, width=32, iterations=60, games=32, simulations=16, window=2_000)
    trained = alphazero.train(config, run=run())
    table = trained.run.metrics
    assert table.loss.iloc[-1] < table.loss.dropna().iloc[0] - 0.3
    assert {"policy_entropy", "policy_information", "dead_units", "calibration", "game_length"} <= set(table)
    agent = players.Policy(trained.game, trained.evaluate)
    assert arena.match(trained.game, agent, players.Random(trained.game), 40, seed=1)["score"] > 0.7


@pytest.mark.parametrize("network", ["lines", "tower"])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, network):
    config = dataclasses.replace(SMALL, network=network)
    whole = alphazero.train(config, run=run(tmp_path / "whole"))
    half = run(tmp_path / "half", checkpoint_seconds=0)

    def stop(iteration, network):
        if iteration == 5:
            half.stop("interrupted")

    alphazero.train(config, run=half, watch=stop)
    resumed = alphazero.train(config, run=run(tmp_path / "half", resume=True))
    for a, b in zip(whole.network.state_dict().values(), resumed.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    state, header = load_weights(tmp_path / "half" / "weights.safetensors")
    _, game, read = alphazero.load(state, header)
    assert read == config and game.name == "tictactoe"
    with pytest.raises(WeightsError, match="do not fit"):
        alphazero.load(state, header | {"game": "connect4"})


def test_a_loss_of_the_wrong_shape_is_named():
    with pytest.raises(RunError, match=r"one number for each of the 32 positions, \[32\]; it has \[\]"):
        alphazero.train(SMALL, loss=lambda *a: alphazero.alphazero_loss(*a).mean(), run=run())


@pytest.mark.parametrize("whole", [True, False])
def test_a_quarter_of_a_search_teaches_the_value_and_no_policy(whole):
    """Playout-cap randomisation; the policy's weights begin at 0, where only its own loss can move them."""
    game, config = catalogue.named("tictactoe"), dataclasses.replace(SMALL, full_search=0.5)
    state = alphazero.State(alphazero.make_network(config, game), game, config, run(), mcts.puct, Group())
    positions = selfplay.room(game, 64)
    positions.planes[:] = np.random.default_rng(0).random(positions.planes.shape) < 0.3
    positions.policy[:, 3], positions.target[:], positions.known[:] = 1, 0.5, whole
    state.replay.add(positions)
    state.optimizer.param_groups[0]["weight_decay"] = 0
    state.learn(alphazero.alphazero_loss, 64, SimpleNamespace(log=lambda **_: None), Group())
    assert state.network.value.weight.any()
    assert bool(state.network.policy.weight.any()) == whole


def test_some_searches_are_whole_and_the_others_a_quarter(monkeypatch):
    game, asked = catalogue.named("tictactoe"), []
    worker = selfplay.Worker(game, 4, 16, 16, 0, (1, 0, 0), mcts.puct)
    search_on = worker.search.run
    monkeypatch.setattr(worker.search, "run", lambda n, *rest: (asked.append(n), search_on(n, *rest)))
    alike = lambda planes: (np.zeros((len(planes), 9)), np.zeros(len(planes)))  # noqa: E731
    known = np.concatenate([p.known for p in worker.play(60, alike, 16, full=0.5)])
    assert set(asked) == {16, 4} and 0.2 < known.mean() < 0.8 and 0.2 < asked.count(16) / 60 < 0.8


def test_schedules_begin_and_end_where_the_config_says():
    config = alphazero.Config(iterations=1_000, simulations_start=16, simulations=32, window_start=100, window=400)
    assert [alphazero.simulations_at(config, i) for i in (0, 300, 600, 999)] == [16, 24, 32, 32]
    assert [alphazero.window_at(config, i) for i in (0, 500, 1_000)] == [100, 250, 400]
    rates = np.array([alphazero.learning_rate_at(config, i) for i in range(1_001)]) / config.learning_rate
    assert rates[0] < 0.02 and 0.9 < rates.max() <= 1 and 80 <= rates.argmax() <= 120
    assert (np.diff(rates[100:]) <= 0).all() and rates[-1] == pytest.approx(0.02)


def test_fifteen_by_fifteen_is_trained_by_the_same_code():
    config = dataclasses.replace(SMALL, game="gomoku15", network="tower", width=4, iterations=2, games=2, moves=2)
    trained = alphazero.train(config, run=run())
    moves = players.Searcher(trained.game, 4, trained.evaluate).choose(
        trained.game.init()[None], np.zeros(1, np.uint64), [[]]
    )
    assert trained.game.legal(trained.game.init())[moves].all()


def test_heads_for_area_learn_whose_the_board_is():
    config = dataclasses.replace(SMALL, game="go5", network="tower", width=8, iterations=30, full_search=0.5)
    trained = alphazero.train(config, run=run())
    output = trained.network(torch.zeros(2, *trained.game.shape))
    assert output.ownership.shape == (2, 5, 5) and output.score.shape == (2,)


@pytest.mark.parametrize("name", ["connect4", "gomoku9", "go7", "go9"])
def test_shipped_weights_beat_chance_without_a_search(name):
    network, game, _ = alphazero.load(*pretrained.load(f"alphazero-{name}"))
    agent = players.Policy(game, alphazero.evaluator(network))
    starts = arena.openings(game, 10, seed=1, plies=2)
    assert arena.match(game, agent, players.Random(game), 20, seed=1, starts=starts)["score"] > 0.8


def test_dead_units_are_counted():
    network = networks.Tower((2, 3, 3), 9, 4, 1)
    planes = torch.rand(16, 2, 3, 3)
    before = networks.dead_units(network.eval(), planes)
    with torch.no_grad():
        network.first[1].weight.zero_()
        network.first[1].bias.fill_(-1)
    assert networks.dead_units(network, planes) >= before + 0.1


def test_a_small_memory_is_learned_from():
    trained = alphazero.train(dataclasses.replace(SMALL, window=50), run=run())
    assert any(parameter.abs().sum() > 0 for parameter in trained.network.policy.parameters())


def test_a_board_of_another_size_is_not_the_solved_game():
    game = lines.connect4(4, 5, connect=3)
    assert game.name == "connect3_4x5" and lines.connect4().name == "connect4"
    assert lines.gomoku(6, connect=4).name == "gomoku6-4" and lines.gomoku(6).name == "gomoku6"
    assert catalogue.named("gomoku6-4").options["connect"] == 4
    alphazero.train(dataclasses.replace(SMALL, iterations=3), game=game, run=run())


def test_a_wrong_setting_is_named():
    for changes, words in (
        ({"network": "transformer"}, "lines, mlp, tower"),
        ({"games": 1}, "games must be at least 2"),
    ):
        with pytest.raises(RunError, match=words):
            dataclasses.replace(SMALL, **changes)
    for name, words in (
        ("conect4", "did you mean connect4"),
        ("go8", "odd size"),
        ("chess", "there are"),
        ("gomoku6-9", "3 to 6 stones, not 9"),
    ):
        with pytest.raises(GameError, match=words):
            catalogue.named(name)


SCRIPT = """
import dataclasses, sys, torch
from tests.games.test_alphazero import SMALL
from zoolib.games import alphazero
from zoolib.run import Run
config = dataclasses.replace(SMALL, iterations=20, network="tower", width=8, blocks=1)
trained = alphazero.train(config, run=Run(sys.argv[1] or None, seed=1, threads=1, progress=False))
torch.save({**trained.network.state_dict(), "games": torch.tensor(trained.run.figures["games"])}, sys.argv[2])
"""


def test_two_processes_play_apart_and_learn_together(tmp_path):
    """As torchrun starts them: other games, the same weights."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(31_600 + os.getpid() % 2_000), "WORLD_SIZE": "2"}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "run") if rank == 0 else "", str(tmp_path / f"{rank}.pt")],
            env=os.environ | place | {"RANK": str(rank)},
        )
        for rank in range(2)
    ]
    assert [child.wait(180) for child in children] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    games = first.pop("games"), second.pop("games")
    assert min(games) > 10 and all(torch.equal(first[name], second[name]) for name in first)
    assert (tmp_path / "run" / "weights.safetensors").is_file()
    assert first["policy.4.weight"].any()  # it begins at 0


def test_torchrun_trains_from_the_command_line(tmp_path):
    command = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "zoolib",
        "train",
        "alphazero",
    ]
    flags = "--game tictactoe --network mlp --width 16 --iterations 12 --games 16 --moves 4 --workers 1 --simulations 8"
    more = "--batch-size 32 --window-start 100 --window 400 --quiet --seed 3 --out"
    done = subprocess.run(
        [sys.executable, *command, *flags.split(), *more.split(), str(tmp_path / "t")],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    state, header = load_weights(tmp_path / "t" / "weights.safetensors")
    assert header["game"] == "tictactoe" and state["policy.weight"].any()


def test_after_a_resume_the_second_process_draws_new_numbers(monkeypatch):
    """It keeps nothing, and counts on from where the first stands."""
    game, place = catalogue.named("tictactoe"), SimpleNamespace(world=2, rank=1)
    run = SimpleNamespace(device=torch.device("cpu"), seed=1)
    state = alphazero.State(alphazero.make_network(SMALL, game), game, SMALL, run, mcts.puct, place)
    begun = state.workers[0].begun.copy()
    monkeypatch.setattr(torch.distributed, "broadcast", lambda counts, _: counts.copy_(torch.tensor([30, 7])))
    state.follow(place)
    assert state.updates == 30 and all(worker.rounds == 7 for worker in state.workers)
    assert (state.workers[0].begun >= begun + 7).all()


@pytest.mark.parametrize("name", ["tictactoe", "connect4", "go5"])
def test_random_openings_are_legal_and_never_over(name):
    game, rng = catalogue.named(name), np.random.default_rng(0)
    plain = dataclasses.replace(game, rules=game.rules._replace(init=lambda state: state.fill(0)))
    vars(plain).update(compiled=None)
    lengths = set()
    for n in [0, 1, 4, *[30] * 10]:
        draws = rng.random(n)
        state, same = game.init(), game.init()
        selfplay.opener(game)(state, draws)
        selfplay.opener(plain)(same, draws)  # as Python, move by move
        assert not game.outcome(state)[0] and (state == same).all()
        lengths.add(int(state[game.shape[1] * game.shape[2]]))
        expected = game.init()
        for draw in draws:
            legal = np.flatnonzero(game.legal(expected))
            after = game.play(expected, int(legal[int(draw * len(legal))]))
            if game.outcome(after)[0]:
                break
            expected = after
        assert (state == expected).all()
    assert {0, 1, 4} <= lengths

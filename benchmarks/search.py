"""Simulations a second at Connect Four: zoolib's search beside OpenSpiel's in C++ and a search of one game in Python.

With random playouts: zoolib and OpenSpiel (Lanctot et al. 2019).  With a network: zoolib, in batches of all games, and
the search of zoolib/games/mcts.py, which asks the network for one position at a time, as most tutorials do.
"""

import copy
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from zoolib.games import alphazero, catalogue, mcts, search
from zoolib.games.game import nth

GAMES, SIMULATIONS, ROUNDS = 256, 32, 5
COLD = """
import sys, time
import numpy as np
from zoolib.games import catalogue, search
start = time.perf_counter()
game = catalogue.named(sys.argv[1])
trees = search.Search(game, 2, 8, keep=False)
nothing = lambda planes: (np.zeros((len(planes), game.actions), np.float32), np.zeros(len(planes), np.float32))
trees.run(8, nothing, np.zeros((2, game.actions)))
print(time.perf_counter() - start)
"""
NETWORK = alphazero.Config(game="connect4", network="mlp", width=64, blocks=1)


def main(folder) -> dict:
    import pyspiel

    torch.set_num_threads(1)
    game, theirs = catalogue.named("connect4"), pyspiel.load_game("connect_four")
    torch.manual_seed(0)
    network = alphazero.make_network(NETWORK, game).eval()
    ask = alphazero.evaluator(network)
    quick = alphazero.evaluator(copy.deepcopy(network).to(alphazero.quick_type(torch.device("cpu"))))
    nothing = np.zeros((GAMES, game.actions), np.float32), np.zeros(GAMES, np.float32)
    noise = np.random.default_rng(0).gumbel(size=(GAMES, game.actions))
    trees = search.Search(game, GAMES, SIMULATIONS, keep=False)
    playing = search.Search(game, GAMES, 100, mcts.ucb, keep=False)
    halves = [search.Search(game, GAMES // 2, SIMULATIONS, keep=False) for _ in range(2)]

    def run(which, simulations, evaluate, noise=None) -> int:
        which.reset()
        which.run(simulations, evaluate, noise)
        return which.batch * simulations

    def python() -> int:
        def one(game, state):
            logits, values = ask(game.encode(state)[None])
            return logits[0], values[0]

        mcts.search(game, game.init(), 400, one)
        return 400

    def openspiel() -> int:
        bot = pyspiel.MCTSBot(theirs, pyspiel.RandomRolloutEvaluator(1, 7), 1.4, 10_000, 1_000, False, 7, False)
        bot.step(theirs.new_initial_state())
        return 10_000

    def both() -> int:
        return sum(threads.map(lambda half: run(half, SIMULATIONS, quick), halves))

    ways = {
        "tree_and_rules": lambda: run(trees, SIMULATIONS, lambda planes: [part[: len(planes)] for part in nothing]),
        "tree_and_rules_gumbel": lambda: run(
            trees, SIMULATIONS, lambda planes: [part[: len(planes)] for part in nothing], noise
        ),
        "network_two_threads": both,
        "network_python_one_game": python,
        "playouts": lambda: run(playing, 100, np.arange(1, GAMES + 1, dtype=np.uint64)),
        "playouts_openspiel": openspiel,
    }
    rates = {name: [] for name in ways}
    with ThreadPoolExecutor(2) as threads:
        for way in ways.values():
            way()  # compiles
        for _ in range(ROUNDS):  # in turns, so that a busy moment of the machine meets all
            for name, way in ways.items():
                start = time.perf_counter()
                simulations = way()
                rates[name].append(simulations / (time.perf_counter() - start))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "what": f"simulations a second at Connect Four, {GAMES} games side by side, one thread unless it says two",
        **{name: round(value) for name, value in medians.items()},
        "goals": {"tree_and_rules": 300_000, "network_two_threads": 40_000},
        "times_openspiel": round(medians["playouts"] / medians["playouts_openspiel"], 2),
        "times_python": round(medians["network_two_threads"] / medians["network_python_one_game"], 1),
        "go_moves_a_second": round(go_moves()),
        "cold_seconds": {name: cold(name) for name in ("tictactoe", "connect4", "gomoku9", "go9")},
    }


def cold(name: str) -> float:
    """Seconds until a new process has done its first search of a game: what compiling costs, imports left out."""
    done = subprocess.run([sys.executable, "-c", COLD, name], check=True, capture_output=True, text=True)
    return round(float(done.stdout), 1)


def go_moves(games: int = 300) -> float:
    """Random moves a second at Go 9 by 9, legal moves of every position found; the goal is 200,000."""
    import numba

    game = catalogue.named("go9")
    rules, actions, size = game.fast, game.actions, game.state_size
    step, legal, outcome, init = rules.step, rules.legal, rules.outcome, rules.init

    @numba.njit(nogil=True)
    def play(games, seed):
        np.random.seed(seed)
        moves, mask = 0, np.empty(actions, np.bool_)
        for _ in range(games):
            state = np.zeros(size, np.int64)
            init(state)
            while not outcome(state)[0]:
                legal(state, mask)
                step(state, nth(mask, np.random.randint(mask.sum())))
                moves += 1
        return moves

    play(1, 0)
    start = time.perf_counter()
    return play(games, 1) / (time.perf_counter() - start)

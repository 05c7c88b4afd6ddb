"""What more simulations a move are worth to the shipped agents, against opponents that stay as they are.

python -m benchmarks.thinking           prints rows as JSON (`make results`)
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from zoolib.games import alphazero, arena, players, strength, terminal
from zoolib.pretrained import load

AGAINST = {"connect4": "mcts:10000", "gomoku9": "minimax:4"}
SIMULATIONS = (64, 256, 1_024)
GAMES = 200


def rate(name: str, simulations: int, games: int = GAMES) -> dict:
    """A match of the shipped agent of a game, and `right`: its right moves in solved positions, in percent."""
    network, game, _ = alphazero.load(*load(f"alphazero-{name}"))
    ask = alphazero.evaluator(network)
    agent = players.Searcher(game, simulations, ask)
    opponent, _ = terminal.player(AGAINST[name], game, 0)
    result = arena.match(game, agent, opponent, games, seed=900)
    right = strength.report(game, players.Policy(game, ask), agent)
    row = {"game": name, "simulations": simulations, "opponent": AGAINST[name]}
    row |= {key: result[key] for key in ("wins", "draws", "losses", "score", "low", "high")}
    return row | {"right": right["mean"], "right_low": right["low"], "right_high": right["high"]}


def main(folder: Path) -> dict:
    """For `make bench`: few games, and no claim."""
    return {name: [rate(name, simulations, games=20) for simulations in SIMULATIONS[:2]] for name in AGAINST}


if __name__ == "__main__":
    # a match each, on as many cores as there are
    each = list(itertools.product(AGAINST, SIMULATIONS))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=spawn, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        print(json.dumps(list(pool.map(rate, *zip(*each, strict=True)))))

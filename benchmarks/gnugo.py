"""The shipped Go agents against GNU Go 3.8, level 10, over GTP: paired colours, no game twice, intervals.

python -m benchmarks.gnugo              all shipped agents, 200 games each; prints rows as JSON (`make results`)
python -m benchmarks.gnugo go7 64 40    one of them, with so many simulations a move and so many games
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from zoolib.games import arena, catalogue, players, terminal
from zoolib.games.game import Game
from zoolib.pretrained import names

ENGINE = "gnugo --mode gtp --chinese-rules --positional-superko --capture-all-dead --level 10 --seed 1"
GAMES = 200


def install() -> None:
    """Debian's package, where there is no gnugo yet; Debian puts it where root does not look."""
    os.environ["PATH"] += os.pathsep + "/usr/games"
    if shutil.which("gnugo") is None:
        command = ["apt-get", "install", "-y", "-q", "gnugo"]
        if os.geteuid() != 0:
            command.insert(0, "sudo")
        try:
            subprocess.run(command, check=True, stdout=sys.stderr)
        except (OSError, subprocess.CalledProcessError):
            sys.exit("gnugo: GNU Go is not installed, and apt-get could not install it")


def shipped() -> list[str]:
    """The games of Go that have an agent."""
    return [
        name.removeprefix("alphazero-") for name in names() if name.startswith("alphazero-go") and "gomoku" not in name
    ]


class Engines(players.Player):
    """As many copies of GNU Go as there are cores, which share the games."""

    def __init__(self, game: Game):
        self.engines = [players.Program(game, ENGINE) for _ in range(os.cpu_count() or 1)]
        self.name = self.engines[0].name

    def choose(self, states, seeds, past):
        def share(i: int):
            return self.engines[i].choose(states[i::n], seeds[i::n], past[i::n]) if i < len(states) else []

        n, chosen = len(self.engines), np.empty(len(states), np.int64)
        with ThreadPoolExecutor(n) as threads:
            for i, part in enumerate(threads.map(share, range(n))):
                chosen[i::n] = part
        return chosen

    def close(self):
        for engine in self.engines:
            engine.close()


def rate(name: str, simulations: int = 64, games: int = GAMES) -> dict:
    """A match of the shipped agent of a game, such as go7."""
    game = catalogue.named(name)
    agent, _ = terminal.player(f"alphazero-{name}", game, simulations)
    engine = Engines(game)
    try:
        result = arena.match(game, agent, engine, games, seed=900)
    finally:
        engine.close()
    kept = {key: result[key] for key in ("wins", "draws", "losses", "score", "low", "high", "duplicates")}
    black = [g["result"] for g in result["games"] if g["first_begins"]]
    return {"game": name, "simulations": simulations} | kept | {"black": sum((r + 1) / 2 for r in black) / len(black)}


def main(folder: Path) -> dict:
    """For `make bench`: few games, and no claim."""
    install()
    return {name: rate(name, games=20) for name in shipped()}


if __name__ == "__main__":
    install()
    if len(sys.argv) > 1:
        print(json.dumps(rate(sys.argv[1], *map(int, sys.argv[2:4]))))
    else:
        print(json.dumps([rate(name) for name in shipped()]))

"""Who can play: a network with a search or without, Monte Carlo tree search by rollouts, chance, another program.

A player is asked for moves in many games at once; the same seeds give the same moves, whatever other games stand beside
them.
"""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import numpy as np

from zoolib.games import mcts, search
from zoolib.games.game import Game, GameError

MEMORY = 256 * 2**20  # bytes of trees that are searched side by side


class Player:
    """A name, and `choose`."""

    name = "player"

    def choose(self, states: np.ndarray, seeds: np.ndarray, past: list[list[int]]) -> np.ndarray:
        """Actions [n] in running games, -1 to resign.

        states: int64 [n, S]; seeds: a random number for each, uint64 [n]; past: the actions that led to them.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what the player holds, such as another program."""


class Random(Player):
    """Any legal move."""

    name = "random"

    def __init__(self, game: Game):
        self.game = game

    def choose(self, states: np.ndarray, seeds: np.ndarray, past: list[list[int]]) -> np.ndarray:
        moves = [np.flatnonzero(self.game.legal(state)) for state in states]
        return np.array([legal[int(seed) % len(legal)] for legal, seed in zip(moves, seeds, strict=True)])


class Searcher(Player):
    """A tree search: with a network's `evaluate`, or by rollouts where there is none."""

    def __init__(self, game: Game, simulations: int, evaluate: search.Evaluate | None = None, name: str = ""):
        if simulations < 1:
            raise GameError(f"a search needs at least 1 simulation, not {simulations}")
        self.game, self.simulations, self.evaluate = game, simulations, evaluate
        self.name = name or f"mcts:{simulations}"
        self.rule = mcts.puct if evaluate else mcts.ucb
        each = (simulations + 1) * (game.actions * 24 + 32)
        self.batch = max(1, min(256, MEMORY // each))
        self._search = None

    def trees(self, n: int) -> search.Search:
        """A search with room for n games, kept for the next time."""
        if self._search is None or self._search.batch != n:
            self._search = search.Search(self.game, n, self.simulations, self.rule, keep=False)
        return self._search

    def choose(self, states: np.ndarray, seeds: np.ndarray, past: list[list[int]]) -> np.ndarray:
        parts = range(0, len(states), self.batch)
        return np.concatenate([self._choose(states[i : i + self.batch], seeds[i : i + self.batch]) for i in parts])

    def _choose(self, states: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        n, full = len(states), min(self.batch, 1 << (len(states) - 1).bit_length())
        trees = self.trees(full)
        trees.reset(np.concatenate([states, np.repeat(states[:1], full - n, 0)]))
        if self.evaluate is None:
            trees.run(self.simulations, np.concatenate([seeds, np.zeros(full - n, np.uint64)]))
            return trees.visits().argmax(1)[:n]
        trees.run(self.simulations, self.evaluate, np.zeros((full, self.game.actions)))
        return trees.best()[:n]


class Policy(Player):
    """The bare network: its most probable legal move."""

    def __init__(self, game: Game, evaluate: search.Evaluate, name: str = "policy"):
        self.game, self.evaluate, self.name = game, evaluate, name

    def choose(self, states: np.ndarray, seeds: np.ndarray, past: list[list[int]]) -> np.ndarray:
        logits, _ = self.evaluate(np.stack([self.game.encode(state) for state in states]))
        legal = np.stack([self.game.legal(state) for state in states])
        return np.where(legal, logits, -np.inf).argmax(1)


class Program(Player):
    """Another program that speaks GTP, such as "gnugo --mode gtp", at Go; it is told a game's moves before each of its
    own."""

    def __init__(self, game: Game, command: str):
        if game.name.rstrip("0123456789") != "go":
            raise GameError(f"GTP is a protocol for Go, not for {game.name}")
        self.game, self.name = game, Path(shlex.split(command)[0]).name
        try:
            self.process = subprocess.Popen(
                shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
        except OSError as error:
            raise GameError(f"{shlex.split(command)[0]} cannot be started: {error.strerror}") from None

    def ask(self, command: str) -> str:
        """The program's answer to a command.  Raises GameError for an error, and where the program has ended."""
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        except OSError:
            raise GameError(f"{self.name} has ended before {command!r}") from None
        lines = []
        for line in self.process.stdout:
            if line.strip():
                lines.append(line.rstrip())
            elif lines:
                break
        if not lines or not lines[0].startswith("="):
            raise GameError(f"{self.name} answers {command!r} with {lines[0] if lines else 'its end'!r}")
        return "\n".join([lines[0].lstrip("= "), *lines[1:]])

    def choose(self, states: np.ndarray, seeds: np.ndarray, past: list[list[int]]) -> np.ndarray:
        return np.array([self._choose(state, moves) for state, moves in zip(states, past, strict=True)])

    def _choose(self, state: np.ndarray, moves: list[int]) -> int:
        for command in (f"boardsize {self.game.shape[1]}", "clear_board", f"komi {self.game.options['komi']}"):
            self.ask(command)
        for i, action in enumerate(moves):
            self.ask(f"play {'bw'[i % 2]} {self.game.move_name(action)}")
        answer = self.ask(f"genmove {'bw'[len(moves) % 2]}").strip().lower()
        named = {self.game.move_name(a).lower(): a for a in range(self.game.actions)}
        if answer == "resign":
            return -1
        if answer not in named:
            raise GameError(f"{self.name} wants to play {answer!r}, which is no point of this board")
        return named[answer]

    def close(self) -> None:
        """End the program."""
        self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()

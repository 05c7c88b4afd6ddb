"""Who can play: a network with a search or without, Monte Carlo tree search by rollouts, minimax, an exact solver,
chance, another program.

A player is asked for moves in many games at once; the same seeds give the same moves, whatever other games stand beside
them.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
from pathlib import Path

import numpy as np

from zoolib.games import mcts, minimax, search, solver
from zoolib.games.game import Game, GameError

MEMORY = 256 * 2**20  # bytes of trees that are searched side by side
MOST = 4 * 2**30  # bytes that one tree may take

Analysis = list[tuple[int, int, float, float, list[int]]]
"""Moves, best first: action, visits, value in [-1, 1] to the player to move, the policy's prior, and the line of play
that begins with it."""


class Player:
    """A name, and `choose`."""

    name = "player"

    def choose(self, states: np.ndarray, seeds: np.ndarray, past: list[list[int]]) -> np.ndarray:
        """Actions [n] in running games, -1 to resign.

        states: int64 [n, S]; seeds: a random number for each, uint64 [n]; past: the actions that led to them.
        """
        raise NotImplementedError

    def analysis(self) -> Analysis:
        """What the search of the latest move has seen, in the first of its games; nothing where there is no search."""
        return []

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
        if each > MOST:
            most = int(MOST / each * simulations)
            raise GameError(
                f"{simulations} simulations want {each / 1e9:.0f} GB at {game.name}; at most {most} are done"
            )
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

    def analysis(self) -> Analysis:
        if self._search is None:
            return []
        t = self._search.trees
        visits = self._search.visits()[0]
        # halving leaves the last two with equally many visits; then the improved policy says which is played
        policy = self._search.improved()[0][0] if self.evaluate else np.zeros(len(visits))

        def line(action: int) -> list[int]:
            """What the search expects from an action on: the most visited moves."""
            actions, node = [action], t.child[0, 0, action]
            while node >= 0 and t.visits[0, node].any():
                actions.append(int(t.visits[0, node].argmax()))
                node = t.child[0, node, actions[-1]]
            return actions

        seen = [int(a) for a in np.lexsort((-policy, -visits)) if visits[a]]
        return [
            (a, int(visits[a]), float(t.total[0, 0, a] / t.visits[0, 0, a]), float(t.prior[0, 0, a]), line(a))
            for a in seen
        ]


class Minimax(Player):
    """Alpha-beta to a depth in plies; in games of lines it counts at the leaves how far lines have come."""

    def __init__(self, game: Game, depth: int):
        if depth < 1:
            raise GameError(f"minimax looks at least 1 ply ahead, not {depth}")
        self.game, self.depth, self.name = game, depth, f"minimax:{depth}"
        lines = "connect" in game.options and game.compiled is not None
        cells = game.shape[1] * game.shape[2]
        self.score = minimax.gomoku_threats(game) if lines else None
        self.order = minimax.gomoku_moves(game) if lines and game.actions == cells > 9 else None

    def choose(self, states: np.ndarray, seeds: np.ndarray, past: list[list[int]]) -> np.ndarray:
        return np.array([minimax.minimax(self.game, s, self.depth, self.score, self.order)[1] for s in states])


class Solver(Player):
    """Perfect play of Connect Four: any move, by the seed, that keeps what the position is worth.

    Before ply `first`, where solving takes minutes, it plays what 10,000 rollouts find.
    """

    name = "solver"

    def __init__(self, game: Game, first: int = 8):
        if game.name != "connect4":
            raise GameError(f"the solver knows connect4, not {game.name}")
        self.solver, self.first, self.before = solver.Connect4Solver(), first, Searcher(game, 10_000)

    def choose(self, states: np.ndarray, seeds: np.ndarray, past: list[list[int]]) -> np.ndarray:
        chosen = np.empty(len(states), np.int64)
        early = states[:, solver.CELLS] < self.first
        if early.any():
            chosen[early] = self.before.choose(states[early], seeds[early], past)
        for i in np.flatnonzero(~early):
            best = np.flatnonzero(self.solver.best(states[i]))
            chosen[i] = best[int(seeds[i]) % len(best)]
        return chosen


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
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise GameError(f"{command!r} is no command: {error}") from None
        if not words:
            raise GameError('gtp: wants a command, such as gtp:"gnugo --mode gtp"')
        self.game, self.name = game, Path(words[0]).name
        try:
            self.process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, errors="replace"
            )
        except OSError as error:
            raise GameError(f"{words[0]} cannot be started: {error.strerror}") from None

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
            if lines and (not line.strip() or lines[0][0] not in "=?"):
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
        with contextlib.suppress(OSError):  # it may have ended by itself
            self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()

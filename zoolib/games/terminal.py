"""Board games on the command line: `zoolib match`, `zoolib play`, `zoolib gtp`."""

from __future__ import annotations

import difflib
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from tqdm.auto import tqdm

from zoolib.games import alphazero, arena, catalogue, players, sgf
from zoolib.games.game import Game, GameError
from zoolib.pretrained import load, load_weights, names
from zoolib.run import pick_device

SIDES = "a run folder, the name of shipped weights, mcts:N, minimax:D, solver, random or gtp:COMMAND"
KINDS = {"mcts": ("100", 10**7), "minimax": ("4", 100)}  # followed by a number: an example, and the largest


def weights_of(source: str):
    """Network, game and Config of a run folder or of shipped weights; None where `source` is neither."""
    if not source:
        raise GameError(f"a player is named by an empty text; there are: {SIDES}")
    folder = Path(source)
    if folder.name == "weights.safetensors" and folder.is_file():
        raise GameError(f"{source} is a file: name its folder, {folder.parent}")
    if (folder / "weights.safetensors").is_file():
        state, header = load_weights(folder / "weights.safetensors")
    elif folder.is_dir():
        raise GameError(f"{source} holds no weights.safetensors: no run has finished there")
    elif source in names():
        state, header = load(source)
    else:
        return None
    if header.get("algorithm") != "alphazero":
        raise GameError(f"{source} was trained by {header.get('algorithm')}, which plays no board game")
    return alphazero.load(state, header)


def untrained(side: str) -> Callable[[Game], players.Player]:
    """What makes the player that a text names, for a game.  Raises GameError, with what there is, for another text."""
    kind, colon, number = side.partition(":")
    if side in ("random", "solver"):
        return players.Random if side == "random" else players.Solver
    if kind in KINDS:
        example, most = KINDS[kind]
        if not (number.isascii() and number.isdigit() and 1 <= int(number) <= most):
            raise GameError(f"{kind} wants a whole number from 1 to {most}, as in {kind}:{example}, not {number!r}")
        return lambda game: (players.Searcher if kind == "mcts" else players.Minimax)(game, int(number))
    if kind == "gtp" and number:
        return lambda game: players.Program(game, number)
    near = difflib.get_close_matches(kind, [*names(), *KINDS, "random", "solver", "gtp"], n=1)
    hint = f"did you mean {near[0]}{colon}{number}?" if near else f"there are: {SIDES}"
    raise GameError(f"no player is called {side!r}; {hint}")


def player(side: str, game: Game | None, simulations: int, device="cpu") -> tuple[players.Player, Game]:
    """The player that a text names, and its game.  Raises GameError, with what there is, for another text.

    game: None takes the one that the weights play.
    """
    found = weights_of(side)
    if found is None:
        return untrained(side)(game), game
    network, own, _ = found
    if game is not None and own.name != game.name:
        raise GameError(f"{side} plays {own.name}, not {game.name}")
    evaluate = alphazero.evaluator(network.to(device), device)
    return players.Searcher(game or own, simulations, evaluate, f"{side} ({simulations} simulations)"), game or own


@dataclass
class MatchOptions:
    """Two players of a board game against each other: each opening twice, with colours changed."""

    first: Annotated[str, tyro.conf.Positional]
    """A run folder, shipped weights, mcts:N, minimax:D, solver (Connect Four; before the ninth move it plays
    mcts:10000), random or gtp:"command"."""
    second: Annotated[str, tyro.conf.Positional]
    """The same."""
    game: str = ""
    """The game: connect4, go9, and so on; not needed where one side is a network."""
    games: int = 200
    """Games, an even number."""
    seed: int = 0
    """Of the openings, and of what is random in the players."""
    plies: int = 0
    """Moves in each opening, played at random; 0: as many as the game wants."""
    simulations: int = 64
    """Simulations a move of a network."""
    device: str = "auto"
    """Of networks: auto, cpu, cuda, cuda:1 or mps."""
    json: bool = False
    """Print one JSON object: wins, draws, losses, score, low, high, and the moves of every game."""


def check_seed(seed: int) -> None:
    """Raises GameError for a negative one."""
    if seed < 0:
        raise GameError(f"seed must be 0 or more, not {seed}")


def match(options: MatchOptions) -> int:
    """`zoolib match`."""
    check_seed(options.seed)
    game = catalogue.named(options.game) if options.game else None
    if game is None:
        game = next((found[1] for found in map(weights_of, (options.first, options.second)) if found), None)
    if game is None:
        for side in (options.first, options.second):
            untrained(side)
        raise GameError(f"{options.first} and {options.second} do not say which game: add --game")
    device = pick_device(options.device, tiny=True)
    if options.plies < 0:
        raise GameError(f"an opening has 0 moves or more, not {options.plies}")
    sides: list[players.Player] = []
    try:
        for side in (options.first, options.second):
            sides.append(player(side, game, options.simulations, device)[0])
        with tqdm(total=options.games, unit="games", disable=None, leave=False) as bar:
            starts = None
            if options.plies:
                starts = arena.openings_for(game, options.games // 2, options.seed, options.plies)
            result = arena.match(
                game, *sides, options.games, options.seed, starts, say=lambda done, _: bar.update(done - bar.n)
            )
    finally:
        for side in sides:
            side.close()
    if options.json:
        print(json.dumps(result))
    else:
        print(
            "{first} against {second}: {wins} won, {draws} drawn, {losses} lost; "
            "score {score:.1%} [{low:.1%}, {high:.1%}]".format(**result)
        )
    return 0


@dataclass
class PlayOptions:
    """Play a board game against an agent, in the terminal."""

    source: Annotated[str, tyro.conf.Positional]
    """A game (its shipped weights play, or else mcts:1000), a run folder, or shipped weights."""
    opponent: str = ""
    """Another opponent, with a game: mcts:N, minimax:D, solver, random, a run folder or shipped weights."""
    simulations: int = 200
    """Simulations a move of a network."""
    second: bool = False
    """The agent begins."""
    seed: int = 0
    """Of what is random in the agent."""


def side_and_game(source: str, opponent: str) -> tuple[str, Game]:
    """Who plays which game, where a source (a game or weights) and perhaps an opponent are named."""
    found = weights_of(source)
    game = found[1] if found else catalogue.named(source)
    return opponent or (source if found else shipped(game) or "mcts:1000"), game


def shipped(game: Game) -> str | None:
    """The shipped weights that play `game`, if there are any."""
    return f"alphazero-{game.name}" if f"alphazero-{game.name}" in names() else None


def play(options: PlayOptions, read=input, say=print) -> int:
    """`zoolib play connect4`: a person against an agent, whose best moves are shown."""
    check_seed(options.seed)
    torch.set_num_threads(1)  # for one position at a time; on a busy machine, more wait for each other without end
    side, game = side_and_game(options.source, options.opponent)
    agent, _ = player(side, game, options.simulations)
    states, moves = [game.init()], []
    named = {game.move_name(a).lower(): a for a in range(game.actions)}
    say(f"You play {game.name} against {agent.name}.  Type a move; undo takes two back, quit leaves.")
    try:
        while True:
            state = states[-1]
            over, value = game.outcome(state)
            yours = (game.to_play(state) == 0) != options.second
            say(f"\n{game.render(state)}\n")
            if over:
                won = value if yours else -value
                score = f"  Score: {sgf.area(game, state)}" if game.territory else ""
                say(("A draw." if won == 0 else "You have won." if won > 0 else f"{agent.name} has won.") + score)
                return 0
            if yours:
                action = asked(read, say, game, state, named)
                if action == "undo":
                    if len(moves) < 2:
                        say("There are no two moves to take back.")
                    else:
                        del states[-2:], moves[-2:]
                    continue
                if action is None:
                    return 0
            else:
                seed = np.random.default_rng([options.seed, len(moves)]).integers(2**63, dtype=np.uint64)
                action = int(agent.choose(state[None], np.array([seed]), [moves])[0])
                if action < 0:
                    say(f"{agent.name} resigns.  You have won.")
                    return 0
                say(f"{agent.name} plays {game.move_name(action)}{top(agent, game)}")
            states.append(game.play(state, action))
            moves.append(action)
    finally:
        agent.close()


def asked(read, say, game: Game, state: np.ndarray, named: dict[str, int]) -> int | str | None:
    """The legal action that a person types, or "undo", or None to leave."""
    while True:
        try:
            words = read("your move: ").strip().lower()
        except EOFError:
            say("")
            return None
        if words in ("quit", "exit", "q"):
            return None
        if words == "undo":
            return words
        if words in named and game.legal(state)[named[words]]:
            return named[words]
        say(f"{words!r} is not a move here; legal: {game.names(game.legal(state))}" if words else "Type a move.")


def top(agent: players.Player, game: Game, n: int = 3) -> str:
    """The agent's best moves, with how often it looked at them and what it thinks they are worth to it."""
    best = agent.analysis()[:n]
    visits = sum(entry[1] for entry in agent.analysis())
    said = [f"{game.move_name(a)} {n / visits:.0%} of visits, value {v:+.2f}" for a, n, v, _, _ in best]
    return f"  ({'; '.join(said)})" if said else ""


@dataclass
class GtpOptions:
    """A Go engine that speaks GTP 2 on standard input and output, for Sabaki, GoGui and other programs."""

    source: Annotated[str, tyro.conf.Positional]
    """A game such as go9 (its shipped weights play, or else mcts:1000), a run folder, or shipped weights."""
    opponent: str = ""
    """Another player, with a game: mcts:N, random, a run folder or shipped weights."""
    simulations: int = 400
    """Simulations a move of a network. Where the program that asks sets a clock, a search takes fewer if it must."""
    komi: float | None = None
    """Points for White, until the program that asks says otherwise; None: 7, on 7 by 7 it is 9."""
    seed: int = 0
    """Of what is random in the player."""


class Mover:
    """A player as the engine of `gtp` asks for it: one position at a time, within a time, with the analysis."""

    def __init__(self, agent: players.Player, seed: int):
        self.agent, self.seed, self.asked = agent, seed, 0
        self.hurried = agent  # one with fewer simulations
        self.each = 0.0  # seconds that a simulation takes

    def choose(self, state: np.ndarray, seconds: float = math.inf) -> tuple[int, players.Analysis]:
        """An action, and what was seen of the others."""
        seed = np.random.default_rng([self.seed, self.asked]).integers(2**63, dtype=np.uint64)
        self.asked += 1
        agent = self.within(seconds) if isinstance(self.agent, players.Searcher) else self.agent
        began = time.perf_counter()
        action = int(agent.choose(state[None], np.array([seed]), [[]])[0])
        seen = agent.analysis()
        if isinstance(agent, players.Searcher):
            took = (time.perf_counter() - began) / agent.simulations
            self.each = max(took, self.each / 2)  # they are cheap near the end of a game, and games are taken back
            if agent.evaluate is None:  # a hurried search has seen many moves once each, in their order on the board
                seen.sort(key=lambda s: (s[1], s[2]), reverse=True)
                action = seen[0][0]
        return action, seen

    def ready(self, state: np.ndarray) -> None:
        """Compile, and measure what a simulation takes."""
        if isinstance(self.agent, players.Searcher):
            trial = players.Searcher(self.agent.game, 16, self.agent.evaluate)
            for _ in range(2):  # the first compiles
                began = time.perf_counter()
                trial.choose(state[None], np.zeros(1, np.uint64), [[]])
            self.each = (time.perf_counter() - began) / trial.simulations

    def within(self, seconds: float) -> players.Searcher:
        """The search, or one of a power of two simulations that takes four fifths of a time, if more than one does."""
        if seconds == math.inf or self.agent.simulations * self.each <= 0.8 * seconds:
            return self.agent
        count = 1 << max(0, int(0.8 * seconds / self.each).bit_length() - 1)
        if self.hurried.simulations != count:
            self.hurried = players.Searcher(self.agent.game, count, self.agent.evaluate, self.agent.name)
        return self.hurried


def gtp(options: GtpOptions, stdin=None, stdout=None) -> int:
    """`zoolib gtp go9`."""
    from zoolib.games.gtp import Engine

    check_seed(options.seed)
    torch.set_num_threads(1)  # as in `play`
    side, game = side_and_game(options.source, options.opponent)
    if "komi" not in game.options:
        raise GameError(f"GTP is a protocol for Go, not for {game.name}")
    if side.startswith("gtp:"):
        raise GameError(f"{side} is an engine already")

    def player_for(board: Game) -> Mover:
        return Mover(player(side, board, options.simulations)[0], options.seed)

    komi = game.options["komi"] if options.komi is None else options.komi
    Engine(player_for, game.shape[1], komi).run(stdin or sys.stdin, stdout or sys.stdout)
    return 0

"""AlphaZero: a network that learns a game from nothing but its rules, by playing against itself.

Silver et al. 2017 and 2018.  A search asks the network for moves and values and plays better than it; the network
learns to say at once what the search found, and the search that asks it the next time is better again.

Beside the papers: Gumbel's root with few simulations (Danihelka et al. 2022), games that begin with random moves, an
average of the weights that plays, playout caps and heads for area (Wu 2019, KataGo), no gating.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from zoolib.games import catalogue, laws, mcts, networks, players, search, selfplay, strength
from zoolib.games.game import Game, GameError
from zoolib.parallel import Group
from zoolib.pretrained import WeightsError, save_weights
from zoolib.run import Run, RunError

PROBES = 2_048  # positions on which the network's health is measured


@dataclass(frozen=True)
class Config:
    """AlphaZero on a game of zoolib's, or on one of your own."""

    game: str = "connect4"
    """tictactoe, connect4, gomoku9, go5, go9 and so on: Gomoku of 5 to 26 (gomoku6-4: four in
    a row), Go of odd sizes up to 19."""
    network: str = "lines"
    """lines (windows in which a line lies whole, then fully connected), mlp, or tower (residual convolutions)."""
    width: int = 256
    """Units of a layer, or channels of the tower."""
    blocks: int = 2
    """Residual blocks."""
    iterations: int = 400
    """Rounds of play and training."""
    games: int = 256
    """Games that are played side by side, all workers together."""
    workers: int = 2
    """Threads that play."""
    moves: int = 8
    """Moves in each game before the network that plays is replaced."""
    simulations_start: int = 16
    """Simulations a move at the start."""
    simulations: int = 32
    """Simulations a move once three fifths of the iterations are done; between, the number grows evenly."""
    considered: int = 16
    """Moves that the root considers at most."""
    full_search: float = 1.0
    """The share of moves with all simulations; the others have a quarter and teach no policy."""
    openings: int = 8
    """A game begins with 0 to so many random moves."""
    learning_rate: float = 4e-3
    """AdamW's step size; it rises over the first tenth of the run, and falls to a fiftieth along a cosine."""
    weight_decay: float = 1e-4
    """AdamW's."""
    batch_size: int = 256
    """Positions in an update."""
    samples: float = 4.0
    """How often a position is learned from, on average."""
    window_start: int = 60_000
    """Positions that are remembered at the start."""
    window: int = 400_000
    """The same at the end."""
    td_lambda: float = 0.9
    """The target of a value, from the end of the game backwards: so much of the next position's target, and the rest of
    what the search thought.  1 is the outcome alone."""
    average: float = 0.995
    """What of the averaged weights is kept in an update; it is they that play."""
    clip: float = 2.0
    """The largest norm of a gradient."""

    def __post_init__(self):
        if self.network not in ("lines", "mlp", "tower"):
            raise RunError(f"network must be one of lines, mlp, tower, not {self.network!r}")
        least = dict.fromkeys(
            ("width", "blocks", "iterations", "workers", "moves", "batch_size", "window_start", "window"), 1
        )
        least |= {"simulations_start": 2, "simulations": 2, "considered": 2, "openings": 0, "games": self.workers}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise RunError(f"{name} must be at least {smallest}, not {getattr(self, name)}")
        if self.games % self.workers:
            raise RunError(f"games must be a multiple of the {self.workers} workers, not {self.games}")
        for name in ("learning_rate", "samples", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise RunError(f"{name} must be a positive number, not {getattr(self, name)}")
        if not 0 <= self.weight_decay < math.inf:
            raise RunError(f"weight_decay must be 0 or more, not {self.weight_decay}")
        for name in ("average", "td_lambda", "full_search"):
            if not 0 <= getattr(self, name) <= 1:
                raise RunError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")


AREA = {"network": "tower", "width": 32, "blocks": 3, "full_search": 0.5}  # for Go

# (game without its size, budget) -> what differs from Config's defaults, and what to expect.
PRESETS = {
    ("tictactoe", "quick"): (
        {"width": 128, "iterations": 120, "games": 128, "openings": 7, "samples": 8.0, "batch_size": 512}
        | {"window_start": 20_000, "window": 100_000},
        "under a minute on two CPU cores",
    ),
    ("connect4", "quick"): (
        {"openings": 24, "iterations": 400, "batch_size": 512, "learning_rate": 6e-3},
        "two minutes on two CPU cores with bfloat16, eight on two without",
    ),
    ("connect4", "full"): (
        {"openings": 24, "iterations": 9_000, "width": 384, "blocks": 3, "simulations_start": 24, "simulations": 48}
        | {"window": 800_000},
        "two hours on two CPU cores",
    ),
    ("gomoku", "quick"): (
        {"openings": 8, "iterations": 300, "batch_size": 512, "learning_rate": 6e-3},
        "six minutes on two CPU cores, for 9 by 9",
    ),
    ("gomoku", "full"): (
        {"openings": 8, "iterations": 1_700, "network": "tower", "width": 32, "blocks": 3, "batch_size": 512}
        | {"learning_rate": 6e-3, "simulations": 48, "window": 800_000},
        "an hour on two CPU cores, for 9 by 9",
    ),
    ("go", "quick"): (
        AREA | {"openings": 8, "iterations": 100},
        "five minutes on two CPU cores, for 7 by 7",
    ),
    ("go", "full"): (
        AREA | {"openings": 8, "iterations": 750, "window": 600_000},
        "an hour on one CPU core for 7 by 7; 9 by 9 wants a GPU",
    ),
}
GENERAL = {"network": "tower", "width": 32, "blocks": 2}
PRESET_BY = ("game",)
BUDGETS = ("quick", "full")


class Preset(NamedTuple):
    """A Config, and what it costs in words."""

    config: Config
    words: str


def preset(game: str, budget: str = "quick") -> Preset:
    """The Config for a game and a budget.  Raises RunError or GameError for an unknown one."""
    if budget not in BUDGETS:
        raise RunError(f"no budget is called {budget!r}; there are: {', '.join(BUDGETS)}")
    family = catalogue.named(game).name.rstrip("0123456789-") if game != "connect4" else game
    changes, words = PRESETS.get((family, budget), (GENERAL, "the general preset, not tried on this game"))
    return Preset(Config(game=game, **changes), f"budget {budget}: {words}")


def make_network(config: Config, game: Game) -> nn.Module:
    """The network of a Config for a game: planes float32 [B, C, H, W] to networks.Output."""
    if config.network == "tower":
        return networks.Tower(game.shape, game.actions, config.width, config.blocks, game.territory is not None)
    connect = game.options.get("connect", min(3, *game.shape[1:])) if config.network == "lines" else 0
    return networks.Dense(game.shape, game.actions, config.width, config.blocks, connect)


# ------------------------------------------------------------ the algorithm


def alphazero_loss(logits: torch.Tensor, value: torch.Tensor, policy: torch.Tensor, target: torch.Tensor):
    """(z - v)² - π · log p for each position [B], Silver et al. 2017, equation 1 (its c‖θ‖² is AdamW's decay).

    logits [B, A] and value [B] are the network's, policy [B, A] the search's, target [B] the game's.
    """
    return (target - value).square() - (policy * logits.log_softmax(1)).sum(1)


def area_loss(output: networks.Output, owner: torch.Tensor, score: torch.Tensor) -> torch.Tensor:
    """What the heads for area miss, for each position [B]: whose each cell is, and the score (Wu 2019, section 4.1)."""
    ownership = (output.ownership.flatten(1) - owner).square().mean(1)
    return 0.5 * ownership + 0.02 * nn.functional.huber_loss(output.score, score, reduction="none", delta=10.0)


def simulations_at(config: Config, iteration: int) -> int:
    """Simulations a move: from simulations_start to simulations over the first three fifths."""
    done = min(1.0, iteration / (0.6 * config.iterations))
    return round(config.simulations_start + done * (config.simulations - config.simulations_start))


def window_at(config: Config, iteration: int) -> int:
    """Positions to learn from: from window_start to window over the whole run."""
    return round(config.window_start + iteration / config.iterations * (config.window - config.window_start))


def learning_rate_at(config: Config, iteration: int) -> float:
    """A cosine from learning_rate to a fiftieth of it; over the first tenth, that rises from 0."""
    done = iteration / config.iterations
    return config.learning_rate * min(1.0, 10 * done + 0.01) * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))


# ------------------------------------------------------------------- train


@dataclass
class Trained:
    """What training gives."""

    network: nn.Module
    """The averaged network."""
    game: Game
    config: Config
    run: Run

    def evaluate(self, planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits [n, A] and values [n] of planes [n, C, H, W]: what a search takes."""
        return evaluator(self.network, self.run.device)(planes)


def evaluator(network: nn.Module, device: torch.device | str = "cpu") -> search.Evaluate:
    """A network, in evaluation mode, as a search takes it; it computes in the type of its weights."""
    kind = next(network.parameters()).dtype

    def evaluate(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            output = network(torch.from_numpy(planes).to(device, kind))
            return output.logits.float().cpu().numpy(), output.value.float().cpu().numpy()

    return evaluate


def quick_type(device: torch.device) -> torch.dtype:
    """What networks compute in while they play and learn: bfloat16 where the hardware has it, up to twice as fast.

    Weights, averages and losses stay float32.
    """
    if device.type == "cuda":
        has = torch.cuda.is_bf16_supported()
    else:
        has = device.type == "cpu" and getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
    return torch.bfloat16 if has else torch.float32


def train(
    config: Config,
    *,
    loss: Callable = alphazero_loss,
    rule: Callable = mcts.puct,
    network: Callable = make_network,
    game: Game | None = None,
    run: Run | None = None,
    watch: Callable | None = None,
) -> Trained:
    """Play and learn.

    loss(logits, value, policy, target) gives a loss for each position [B].
    rule(q, prior, visits, total) is the search's score of a move, plain arithmetic that numba can compile.
    network(config, game) makes the network.  game: one of your own, in place of config.game.
    watch(iteration, network) is called after each iteration, outside the time.
    Raises GameError where your own game breaks one of the `laws` in three random games.
    """
    if game is None:
        game = catalogue.named(config.game)
    else:
        laws.check(game, games=3)
    group = Group()
    run = group.run(run)
    run.threads = run.threads or 1  # each worker computes for itself
    run.begin("alphazero", config, hooks={"loss": loss, "rule": rule, "network": network})
    state = State(network(config, game), game, config, run, rule, group)
    with run.track(state=state), ThreadPoolExecutor(config.workers + 1) as threads:
        group.agree(run, [state.network, state.average], [state.optimizer])
        state.follow(group)
        for iteration in run.steps(config.iterations, unit="iterations"):
            new = state.iterate(iteration, loss, threads, run, group)
            run.log(positions=sum(len(g.target) for g in new), games=len(new), simulations=state.simulations)
            if new:
                run.log(game_length=np.mean([len(g.target) for g in new]))
            with run.untimed():
                if (iteration + 1) % max(1, config.iterations // 20) == 0 and len(state.replay):
                    ask = evaluator(state.average, run.device)
                    run.log(**state.health(), **strength.validation(game, players.Policy(game, ask)))
                if watch is not None:
                    watch(iteration + 1, state.average)
            group.stop_together(run)
        run.figures |= {"positions": state.replay.count, "games": int(state.games)}
    if run.out is not None:
        header = {"algorithm": "alphazero", "config": asdict(config), "game": game.name, "seed": run.seed}
        header |= run.figures
        save_weights(Path(run.out) / "weights.safetensors", state.average.state_dict(), header)
    group.end()
    return Trained(state.average, game, config, run)


def least(updates: int, group: Group) -> int:
    """The fewest updates that any of the processes has positions for: each update waits for all of them."""
    told = torch.tensor([updates])
    if group.world > 1:
        dist.all_reduce(told, dist.ReduceOp.MIN)
    return int(told)


class State:
    """All that a checkpoint holds: networks, optimiser, the games in progress, and the memory."""

    def __init__(self, network: nn.Module, game: Game, config: Config, run: Run, rule: Callable, group: Group):
        self.config, self.device, self.seed = config, run.device, run.seed
        self.network = network.to(run.device)
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.type = quick_type(run.device)
        self.player = copy.deepcopy(self.average).to(self.type)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.replay = selfplay.Replay(game, config.window)
        share = config.games // config.workers
        most = max(config.simulations, config.simulations_start)
        self.workers = [
            selfplay.Worker(game, share, most, config.considered, config.openings, (run.seed, group.rank, i), rule)
            for i in range(config.workers)
        ]
        self.owed, self.updates, self.games, self.simulations = 0.0, 0, 0, 0
        self.rank = group.rank

    def follow(self, group: Group) -> None:
        """After a resume, count on from where the first process stands: the others keep nothing, and would draw the
        random numbers of their first games again."""
        if group.world == 1:
            return
        counts = torch.tensor([self.updates, int(self.workers[0].rounds[0])])
        dist.broadcast(counts, 0)
        if group.rank:
            self.updates, rounds = counts.tolist()
            for worker in self.workers:
                worker.rounds[0] = rounds
                worker.begun += rounds * worker.games

    def share_statistics(self, group: Group) -> None:
        """Batch normalisation's means and variances are no gradients, and each process has seen other positions: take
        the mean of all processes'."""
        if group.world == 1:
            return
        for network in (self.network, self.average):
            for buffer in network.buffers():
                if buffer.is_floating_point():
                    dist.all_reduce(buffer)
                    buffer /= group.world

    def iterate(self, iteration: int, loss: Callable, threads, run: Run, group: Group) -> list[selfplay.Positions]:
        """Play with the weights as they are and, at the same time, learn from the games of the iterations before."""
        config = self.config
        self.player.load_state_dict(self.average.state_dict())
        evaluate = evaluator(self.player, self.device)
        self.simulations = simulations_at(config, iteration)
        playing = [
            threads.submit(worker.play, config.moves, evaluate, self.simulations, config.full_search, config.td_lambda)
            for worker in self.workers
        ]
        window, rate = window_at(config, iteration), learning_rate_at(config, iteration)
        self.optimizer.param_groups[0]["lr"] = rate
        self.owed = min(self.owed, 10_000 * config.samples)
        ready = len(self.replay) >= min(window, self.replay.capacity, 4 * config.batch_size)
        for _ in range(least(int(self.owed / config.batch_size) if ready else 0, group)):
            self.owed -= config.batch_size
            self.learn(loss, window, run, group)
        self.share_statistics(group)
        new = [positions for work in playing for positions in work.result()]
        for positions in new:
            self.replay.add(positions)
            self.owed += config.samples * len(positions.target)
        self.games += len(new)
        return new

    def learn(self, loss: Callable, window: int, run: Run, group: Group) -> None:
        """One update of the network and of its average."""
        config = self.config
        rng = np.random.default_rng([self.seed, self.rank, 2, self.updates])
        self.updates += 1
        drawn = self.replay.batch(config.batch_size, window, rng)
        planes, policy, known, target, outcome, owner, score = (torch.from_numpy(x).to(self.device) for x in drawn)
        half = self.type == torch.bfloat16
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            output = self.network(planes.float())
        output = networks.Output(*(part if part is None else part.float() for part in output))
        each = loss(output.logits, output.value, policy, target)
        if each.shape != target.shape:
            raise RunError(
                f"the loss must be one number for each of the {len(target)} positions, [{len(target)}]; "
                f"it has {list(each.shape)}"
            )
        if config.full_search < 1:  # a search with a quarter of the simulations teaches the value only
            each = torch.where(known, each, loss(output.logits.detach(), output.value, policy, target))
        if output.ownership is not None:
            each = each + area_loss(output, owner.float(), score)
        self.optimizer.zero_grad()
        each.mean().backward()
        group.average(self.network)
        nn.utils.clip_grad_norm_(self.network.parameters(), config.clip)
        self.optimizer.step()
        with torch.no_grad():
            keep = min(config.average, self.updates / (10 + self.updates))
            for ours, new in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
                ours.lerp_(new, 1 - keep) if ours.is_floating_point() else ours.copy_(new)
            accuracy = (output.value - outcome).square().mean()
        run.log(loss=each, value_error=accuracy)

    def health(self) -> dict[str, float]:
        """What would have shown a run that learns nothing.

        policy_entropy: mean entropy of the policy, in nats.  policy_information: the entropy of the mean policy less
        that mean: how much the policy depends on the position; 0 for one that does not look.  dead_units: share of
        units that are 0 everywhere.  calibration: mean distance of predicted values, in ten bins, to the outcomes.
        """
        rng = np.random.default_rng([self.seed, 3])
        drawn = self.replay.batch(min(PROBES, len(self.replay)), len(self.replay), rng)
        planes = torch.from_numpy(drawn.planes).float().to(self.device)
        with torch.inference_mode():
            output = self.average(planes)
        log_p = output.logits.log_softmax(1)
        entropy = -(log_p.exp() * log_p).sum(1).mean()
        mean = log_p.exp().mean(0)
        value, outcome = output.value, torch.from_numpy(drawn.outcome).to(self.device)
        bins = ((value + 1) * 5).long().clamp(0, 9)
        count = torch.zeros(10, device=value.device).index_add_(0, bins, torch.ones_like(value))
        gap = torch.zeros(10, device=value.device).index_add_(0, bins, value - outcome)
        return {
            "policy_entropy": entropy.item(),
            "policy_information": (-(mean * mean.clamp_min(1e-9).log()).sum() - entropy).item(),
            "dead_units": networks.dead_units(self.average, planes),
            "calibration": (gap.abs().sum() / count.sum()).item(),
        }

    def state_dict(self) -> dict:
        parts = {name: getattr(self, name).state_dict() for name in ("network", "average", "optimizer", "replay")}
        parts["workers"] = [worker.state_dict() for worker in self.workers]
        return parts | {"owed": self.owed, "updates": self.updates, "games": self.games}

    def load_state_dict(self, state: dict) -> None:
        for name in ("network", "average", "optimizer", "replay"):
            getattr(self, name).load_state_dict(state[name])
        for worker, saved in zip(self.workers, state["workers"], strict=True):
            worker.load_state_dict(saved)
        self.owed, self.updates, self.games = state["owed"], state["updates"], state["games"]


def load(state: dict[str, torch.Tensor], header: dict, game: Game | None = None) -> tuple[nn.Module, Game, Config]:
    """Network, game and Config of saved weights.  game: one of your own.  Raises WeightsError where they do not fit."""
    try:
        known = {f.name for f in fields(Config)}
        config = Config(**{name: value for name, value in header["config"].items() if name in known})
        game = game or catalogue.named(header.get("game", config.game))
        network = make_network(config, game)
        network.load_state_dict(state)
    except GameError as error:
        raise WeightsError(f"{error}; weights of a game of your own are loaded in Python, with game=") from None
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"these weights do not fit their header: {str(error).splitlines()[0]}") from None
    return network.eval(), game, config


def evaluate(state: dict[str, torch.Tensor], header: dict) -> dict:
    """What saved weights are worth, by `strength.report`: 64 simulations a move, at tic-tac-toe 32."""
    network, game, _ = load(state, header)
    ask = evaluator(network)
    searcher = players.Searcher(game, 32 if game.name == "tictactoe" else 64, ask)
    return strength.report(game, players.Policy(game, ask), searcher)


says = strength.says

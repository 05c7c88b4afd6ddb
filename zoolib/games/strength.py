"""How strong a player is, by judges that nobody here has trained: solved positions, and matches with rollouts.

A rating among one's own checkpoints misleads (chapter games/03 shows how); these do not.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from zoolib.games import arena, minimax, solver, threats
from zoolib.games.game import Game
from zoolib.games.players import Player, Searcher
from zoolib.stats import bootstrap_interval

SOLVED = Path(__file__).parent / "connect4_solved.npz"
"""What `solver.solved_positions(1_000, seed=1)` gives, in a quarter of an hour."""


@functools.cache
def solved() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States int64 [N, 44] of Connect Four, what each column is worth there, int8 [N, 7], and the phases, str [N]."""
    with np.load(SOLVED, allow_pickle=False) as file:
        states = np.stack([solver.unpack(code) for code in file["codes"]])
        return states, file["values"], np.array([solver.phase(state) for state in states])


def seeds_for(n: int) -> np.ndarray:
    """A seed for each of n positions, the same every time."""
    return np.random.default_rng(900).integers(2**63, size=n, dtype=np.uint64)


def mistakes(player: Player, states=None, values=None) -> np.ndarray:
    """Whether the player's move loses outcome, bool [N], in each of the solved positions, or in those given."""
    if states is None:
        states, values, _ = solved()
    chosen = player.choose(states, seeds_for(len(states)), [[]] * len(states))
    return np.array([solver.is_mistake(v, action) for v, action in zip(values, chosen, strict=True)])


def validation(game: Game, policy: Player) -> dict[str, float]:
    """What training logs of a policy in percent, `validation_mistakes`: the share of the solved positions in which it
    errs; nothing for games other than Connect Four, of which none are stored."""
    return {"validation_mistakes": 100 * float(mistakes(policy).mean())} if game.name == "connect4" else {}


def mistake_rates(player: Player) -> dict[str, dict]:
    """For each phase of Connect Four the share of solved positions in which the player errs: mean, low, high (a 95 %
    bootstrap interval) and positions.  A random legal move errs in more than half of them."""
    wrong, phases = mistakes(player), solved()[2]
    rates = {}
    for phase in solver.PHASES:
        mine = wrong[phases == phase].astype(float)
        low, high = bootstrap_interval(mine, resamples=1_000)
        rates[phase] = {"mean": float(mine.mean()), "low": low, "high": high, "positions": len(mine)}
    return rates


@functools.cache
def _every_position(game: Game) -> tuple[np.ndarray, np.ndarray]:
    known = minimax.optimal_values(game)
    keys = [key for key, (_, best) in known.items() if best.any()]
    return np.stack([np.frombuffer(key, np.int64) for key in keys]), np.stack([known[key][1] for key in keys])


def optimality(player: Player, game: Game) -> np.ndarray:
    """Whether the player's move is an optimal one, bool [N], in each of a small game's positions that can be reached:
    4,520 of tic-tac-toe's."""
    states, best = _every_position(game)
    chosen = player.choose(states, seeds_for(len(states)), [[]] * len(states))
    return best[np.arange(len(states)), chosen]


@functools.cache
def _forced(game: Game) -> threats.Forced:
    parts = [threats.forced_wins(game, 200, seed=1), threats.forced_wins(game, 200, seed=2, least=2)]
    return threats.Forced(*(np.concatenate(both) for both in zip(*parts, strict=True)))


def forced_found(game: Game, player: Player) -> np.ndarray:
    """Whether the player begins with one of the fours that win, bool [N], in 400 positions of Gomoku that are won so.

    A win that is slower than fours does not count, so that a right move may be called wrong, never the reverse.
    """
    states, winning, _ = _forced(game)
    chosen = player.choose(states, seeds_for(len(states)), [[]] * len(states))
    return winning[np.arange(len(states)), chosen]


def forced_rates(game: Game, found: np.ndarray) -> dict[str, dict]:
    """What `forced_found` says, for each number of fours that it takes ("1", "2", "3+"): mean, low, high (a 95 %
    bootstrap interval) and positions."""
    fours, rates = _forced(game).fours, {}
    for name, which in (("1", fours == 1), ("2", fours == 2), ("3+", fours > 2)):
        if which.any():
            mine = found[which].astype(float)
            low, high = bootstrap_interval(mine, resamples=1_000)
            rates[name] = {"mean": float(mine.mean()), "low": low, "high": high, "positions": len(mine)}
    return rates


def report(game: Game, policy: Player, searcher: Player) -> dict:
    """What `zoolib evaluate` says of a network: `mean`, with its interval, in percent: right moves in solved positions
    with a search, and where there are none, the score of 200 games against a thousand rollouts a move.  At Gomoku the
    positions are those of `forced_rates`."""
    result: dict = {"game": game.name, "simulations": searcher.simulations}
    if game.name == "tictactoe":
        right = {"policy": optimality(policy, game), "search": optimality(searcher, game)}
        result |= {"optimal": {who: float(r.mean()) for who, r in right.items()}, "positions": len(right["search"])}
        points = right["search"].astype(float)
    elif game.name == "connect4":
        result["mistakes"] = {"policy": mistake_rates(policy), "search": mistake_rates(searcher)}
        points = 1.0 - mistakes(searcher)
    elif game.name.startswith("gomoku"):
        found = {"policy": forced_found(game, policy), "search": forced_found(game, searcher)}
        result["forced"] = {who: forced_rates(game, each) for who, each in found.items()}
        points = found["search"].astype(float)
    else:
        match = arena.match(game, searcher, Searcher(game, 1_000), 200, seed=900)
        result |= {"opponent": match["second"]} | {key: match[key] for key in ("wins", "draws", "losses")}
        return result | {"mean": 100 * match["score"], "low": 100 * match["low"], "high": 100 * match["high"]}
    low, high = bootstrap_interval(points, resamples=1_000)
    return result | {"mean": 100 * float(points.mean()), "low": 100 * low, "high": 100 * high}


def says(result: dict) -> str:
    """A report in a line."""
    head = "{game}, {simulations} simulations a move: ".format(**result)
    if "optimal" in result:
        return head + "optimal in {:.2%} of {:,} positions (its policy alone in {:.2%})".format(
            result["optimal"]["search"], result["positions"], result["optimal"]["policy"]
        )
    if "mistakes" in result:
        search, policy = result["mistakes"]["search"], result["mistakes"]["policy"]
        rates = [f"{phase} {search[phase]['mean']:.1%} ({policy[phase]['mean']:.1%})" for phase in search]
        return head + "mistakes in solved positions (its policy alone): " + ", ".join(rates)
    if "forced" in result:
        search, policy = result["forced"]["search"], result["forced"]["policy"]
        rates = [f"{n} fours {search[n]['mean']:.1%} ({policy[n]['mean']:.1%})" for n in search]
        return head + "forced wins found (its policy alone): " + ", ".join(rates)
    return head + "{wins} won, {draws} drawn, {losses} lost against {opponent}".format(**result)

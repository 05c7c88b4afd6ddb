"""Matches: paired colours, openings that differ, no game twice; scores and Elo with intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from zoolib.games import threats
from zoolib.games.game import Game, GameError
from zoolib.games.players import Player, Searcher
from zoolib.stats import bootstrap_interval


def openings(game: Game, n: int, seed: int, plies: int | None = None, accept=None) -> list[list[int]]:
    """n openings, random moves from `seed`: no two lead to the same position, though perhaps to mirror images, and
    none ends the game.

    plies: moves in each; None takes the fewest, an even number, of which there are twice as many as asked for.
    accept(states) -> bool [n] drops openings, such as those that are won already.
    """
    rng = np.random.default_rng([seed, 7])
    for length in range(2, game.longest, 2) if plies is None else (plies,):
        found: dict[bytes, list[int]] = {}
        misses = 0
        while len(found) < 2 * n and misses < 1_000:
            state, moves = game.init(), []
            for _ in range(length):
                action = int(rng.choice(np.flatnonzero(game.legal(state))))
                game.fast.step(state, action)
                moves.append(action)
                if game.outcome(state)[0]:
                    break
            over = game.outcome(state)[0]
            seen = game.encode(state).tobytes()  # and not the state, which may know in which order moves were played
            new = not over and seen not in found and (accept is None or bool(accept(state[None])[0]))
            misses = 0 if new else misses + 1
            if new:
                found[seen] = moves
        if len(found) >= (2 * n if plies is None else n):
            return list(found.values())[:n]
    raise GameError(f"{game.name} has no {n} different openings" + ("" if plies is None else f" of {plies} moves"))


def balanced(game: Game, within: float = 0.1, rollouts: int = 400) -> Callable[[np.ndarray], np.ndarray]:
    """accept(states) for `openings`: even positions.

    A search by rollouts must put the mean value within `within` of 0, in [-1, 1], and who is to move must have no win
    by fours.  It asks nobody who has been trained.
    """
    judge, wins = Searcher(game, rollouts), threats.searcher(game)

    def accept(states: np.ndarray) -> np.ndarray:
        good = np.zeros(len(states), bool)
        for i, state in enumerate(states):
            judge.choose(state[None], np.zeros(1, np.uint64), [[]])
            value = sum(visits * value for _, visits, value, *_ in judge.analysis()) / rollouts
            mask = np.zeros(game.actions, bool)
            good[i] = abs(value) <= within and not wins(state, threats.LONGEST, mask)
        return good

    return accept


def openings_for(game: Game, n: int, seed: int, plies: int | None = None) -> list[list[int]]:
    """n openings for a match: random moves; four, and balanced, at Gomoku, which whoever begins would win; three at
    Connect Four, as long as there are enough, because some positions after four are won in three more.

    plies: another number of moves.
    """
    if game.name.startswith("gomoku"):
        return openings(game, n, seed, plies=4 if plies is None else plies, accept=balanced(game))
    if game.name == "connect4" and n <= 200 and plies is None:
        plies = 3  # they lead to 238 positions
    return openings(game, n, seed, plies)


def match(game: Game, first: Player, second: Player, games: int, seed: int = 0, starts=None, say=None) -> dict:
    """Play `games` games, each opening twice with colours changed.

    starts: openings, half as many as games; None takes those of `openings_for`.  Returns wins, draws and losses of
    `first`, its score = (wins + draws / 2) / games with a 95 % bootstrap interval over openings (low, high),
    `duplicates` (games that went as another one did, and count once), and the moves of each game.  say(done, games) is
    told of progress.
    """
    if games < 2 or games % 2:
        raise GameError(f"a match needs an even number of games, two for each opening, not {games}")
    starts = openings_for(game, games // 2, seed) if starts is None else starts
    if len(starts) * 2 != games:
        raise GameError(f"{games} games need {games // 2} openings, not {len(starts)}")
    moves = [list(start) for start in starts for _ in range(2)]
    states = np.stack([game.play(game.init(), *played) for played in moves])
    # who plays as the one to move at the start: `first` in every even game
    leads = np.array([game.to_play(state) for state in states])
    mine = np.where(np.arange(games) % 2 == 0, leads, 1 - leads)
    result, ply = np.full(games, np.nan), 0
    while True:
        running = np.flatnonzero(np.isnan(result))
        for i in running:
            over, value = game.outcome(states[i])
            if over:
                result[i] = value if game.to_play(states[i]) == mine[i] else -value
        running = np.flatnonzero(np.isnan(result))
        if say is not None:
            say(games - len(running), games)
        if not len(running):
            break
        turn = np.array([game.to_play(states[i]) == mine[i] for i in running])
        for player, chosen in ((first, running[turn]), (second, running[~turn])):
            if not len(chosen):
                continue
            rng = [np.random.default_rng([seed, 8, int(i), ply]) for i in chosen]
            seeds = np.array([r.integers(2**63, dtype=np.uint64) for r in rng])
            for i, action in zip(chosen, player.choose(states[chosen], seeds, [moves[i] for i in chosen]), strict=True):
                if action == -1:
                    result[i] = -1.0 if player is first else 1.0
                    continue
                if not 0 <= action < game.actions or not game.legal(states[i])[action]:
                    raise GameError(f"{player.name} played {game.move_name(int(action))}, which is not legal")
                game.fast.step(states[i], int(action))
                moves[i].append(int(action))
        ply += 1
    # a game that was played before, under the same colours, tells nothing new
    first_seen: dict = {}
    for i, played in enumerate(moves):
        first_seen.setdefault((tuple(played), int(mine[i])), i)
    once = sorted(first_seen.values())
    points = (result[once] + 1) / 2
    pairs = np.array([points[[k for k, i in enumerate(once) if i // 2 == p]].mean() for p in {i // 2 for i in once}])
    low, high = bootstrap_interval(pairs)
    wins, draws, losses = (int((result[once] == value).sum()) for value in (1, 0, -1))
    return {
        "first": first.name,
        "second": second.name,
        "wins": wins,
        "draws": draws,
        "losses": losses,
        "score": float(points.mean()),
        "low": low,
        "high": high,
        "duplicates": games - len(once),
        "games": [
            {"moves": played, "first_begins": bool(lead == own), "result": float(r)}
            for played, lead, own, r in zip(moves, leads, mine, result, strict=True)
        ],
    }


def elo(matches: list[tuple[str, str, np.ndarray]], anchor: str, resamples: int = 200, seed: int = 0) -> dict:
    """Elo of all players, that of `anchor` being 0, from matches (first, second, points of first in [0, 1] a game).

    The ratings are the Bradley-Terry model's most likely ones (a draw is half a win), by Newton's method, with a weak
    prior (one draw of each player against the anchor) that keeps them finite; the intervals are a 95 % bootstrap over
    games.  Returns player -> (rating, low, high).
    """
    names = sorted({name for first, second, _ in matches for name in (first, second)})
    if anchor not in names:
        raise GameError(f"no match of {anchor}; there are {', '.join(names)}")
    place = {name: i for i, name in enumerate(names)}
    rng = np.random.default_rng(seed)

    def ratings(drawn) -> np.ndarray:
        rows = [(place[a], place[b], p.sum(), len(p)) for (a, b, _), p in zip(matches, drawn, strict=True)]
        rows += [(i, place[anchor], 0.5, 1) for i in range(len(names)) if i != place[anchor]]
        theta = np.zeros(len(names))
        for _ in range(100):
            gradient, hessian = np.zeros(len(names)), 1e-9 * np.eye(len(names))
            for i, j, won, n in rows:
                p = 1 / (1 + np.exp(theta[j] - theta[i]))
                gradient[[i, j]] += np.array([1, -1]) * (won - n * p)
                hessian[np.ix_([i, j], [i, j])] += n * p * (1 - p) * np.array([[1, -1], [-1, 1]])
            change = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
            theta += np.clip(change, -1, 1)
            theta -= theta[place[anchor]]
            if np.abs(change).max() < 1e-9:
                break
        return theta * 400 / np.log(10)

    points = [np.asarray(p, float) for _, _, p in matches]
    best = ratings(points)
    drawn = np.stack([ratings([rng.choice(p, len(p)) for p in points]) for _ in range(resamples)])
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return {name: (float(best[i]), float(low[i]), float(high[i])) for name, i in place.items()}

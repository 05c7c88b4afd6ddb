"""Games that a network plays against itself, many in lock step, and the memory of their positions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np
import torch

from zoolib.games import search
from zoolib.games.game import Game, nth


class Positions(NamedTuple):
    """Positions of finished games, and what can be learned of them; always from the view of the player to move."""

    planes: np.ndarray  # float16 [N, C, H, W]
    policy: np.ndarray  # float32 [N, A], the improved policy of the search
    known: np.ndarray  # bool [N], whether the search was a full one, so that its policy is worth learning
    target: np.ndarray  # float32 [N], what the network's value should be; while the game goes on, the search's value
    outcome: np.ndarray  # float32 [N], how the game ended
    owner: np.ndarray  # int8 [N, H·W], 1 own, -1 theirs; [N, 0] in games without area
    score: np.ndarray  # float32 [N], own points less theirs at the end


def room(game: Game, n: int) -> Positions:
    """n positions of zeros."""
    cells = game.shape[1] * game.shape[2] if game.territory else 0
    return Positions(
        planes=np.zeros((n, *game.shape), np.float16),
        policy=np.zeros((n, game.actions), np.float32),
        known=np.zeros(n, bool),
        target=np.zeros(n, np.float32),
        outcome=np.zeros(n, np.float32),
        owner=np.zeros((n, cells), np.int8),
        score=np.zeros(n, np.float32),
    )


@functools.cache
def opener(game: Game) -> Callable:
    """opener(game)(state, draws): a random move for each of draws, in [0, 1), up to one that would end the game."""
    jit = numba.njit(nogil=True) if game.compiled else lambda function: function
    _, step, legal, outcome, _, _ = game.fast
    actions = game.actions

    @jit
    def play(state, draws):
        after, mask = state.copy(), np.empty(actions, np.bool_)
        for draw in draws:
            legal(after, mask)
            step(after, nth(mask, int(draw * mask.sum())))
            if outcome(after)[0]:
                break
            state[:] = after

    return play


class Worker:
    """Games that one thread plays side by side; a finished one makes room for a new one.

    Its random numbers are those of (seed, worker, round or game), so that a resumed worker draws the same.
    """

    def __init__(self, game: Game, games: int, simulations: int, considered: int, openings: int, seed, rule: Callable):
        """openings: a game begins with 0 to so many random moves; seed: a sequence of whole numbers."""
        self.game, self.games, self.considered, self.openings, self.seed = game, games, considered, openings, seed
        self.search = search.Search(game, games, simulations, rule, keep=False)
        self.past = room(game, games * game.longest)  # row g · longest + k: position k of game g
        self.player = np.zeros((games, game.longest), np.int8)
        self.length = np.zeros(games, np.int64)
        self.rounds, self.begun = np.zeros(1, np.int64), np.zeros(1, np.int64)
        for g in range(games):
            self.begin(g)

    def begin(self, g: int) -> None:
        """A new game in place g: some random moves, none of which ends it."""
        rng = np.random.default_rng([*self.seed, 1, int(self.begun[0])])
        self.begun += 1
        state = self.game.init()
        opener(self.game)(state, rng.random(rng.integers(self.openings + 1)))
        self.search.reset(state[None], np.array([g]))
        self.length[g] = 0

    def play(
        self, rounds: int, evaluate: search.Evaluate, simulations: int, full: float = 1.0, td_lambda: float = 1.0
    ) -> list[Positions]:
        """So many moves in every game; the positions of each game that ended, their targets TD(λ)'s.

        full: the share of rounds with all the simulations; the others have a quarter of them and teach no policy
        (playout-cap randomisation, Wu 2019, section 3.1).
        """
        ended = []
        for _ in range(rounds):
            rng = np.random.default_rng([*self.seed, 0, int(self.rounds[0])])
            self.rounds += 1
            whole = rng.random() < full
            noise = rng.gumbel(size=(self.games, self.game.actions))
            seen = self.search.look()
            self.search.run(simulations if whole else max(2, simulations // 4), evaluate, noise, self.considered)
            policy, values = self.search.improved()
            at = np.arange(self.games) * self.game.longest + self.length
            self.past.planes[at], self.past.policy[at] = seen.planes, policy
            self.past.known[at], self.past.target[at] = whole, values
            self.player[np.arange(self.games), self.length] = seen.players
            self.length += 1
            self.search.advance(self.search.best(noise))
            seen = self.search.look()
            for g in np.flatnonzero(seen.over):
                ended.append(self.finish(g, seen.values[g], seen.players[g], td_lambda))
                self.begin(g)
        return ended

    def finish(self, g: int, value: float, player: int, td_lambda: float) -> Positions:
        """The positions of game g, now that its end is known: its value to `player`."""
        n, start = int(self.length[g]), g * self.game.longest
        sign = np.where(self.player[g, :n] == player, 1, -1)
        done = Positions(*(part[start : start + n].copy() for part in self.past))
        done.outcome[:] = sign * value
        follows = value  # what the later positions say, to `player`
        for k in range(n - 1, -1, -1):
            follows = td_lambda * follows + (1 - td_lambda) * sign[k] * done.target[k]
            done.target[k] = sign[k] * follows
        if self.game.territory:
            owner = np.zeros(done.owner.shape[1], np.int64)
            margin = self.game.territory(self.search.trees.root[g], owner)
            first = np.where(self.player[g, :n] == 0, 1, -1)
            done.owner[:] = first[:, None] * ((owner == 1) * 1 - (owner == 2) * 1)
            done.score[:] = first * margin
        return done

    def state_dict(self) -> dict:
        arrays = {"root": self.search.trees.root, "player": self.player, "length": self.length}
        arrays |= {"rounds": self.rounds, "begun": self.begun} | self.past._asdict()
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def load_state_dict(self, state: dict) -> None:
        mine = self.state_dict()
        for name, tensor in state.items():
            mine[name].copy_(tensor)  # it shares its memory with the array
        self.search.trees.size[:] = 0


class Replay:
    """The latest positions, in a ring."""

    def __init__(self, game: Game, capacity: int):
        self.game, self.capacity = game, capacity
        self.ring = room(game, capacity)
        self.count = 0
        """Positions that ever came in."""

    def __len__(self) -> int:
        return min(self.count, self.capacity)

    def add(self, positions: Positions) -> None:
        """Take the positions of a game in; the oldest make room."""
        at = (self.count + np.arange(len(positions.target))) % self.capacity
        for ours, new in zip(self.ring, positions, strict=True):
            ours[at] = new
        self.count += len(at)

    def batch(self, n: int, window: int, rng: np.random.Generator) -> Positions:
        """n of the last `window` positions, each turned by one of the game's symmetries."""
        newest = min(window, len(self))
        at = (self.count - 1 - rng.integers(newest, size=n)) % self.capacity
        drawn = Positions(*(part[at] for part in self.ring))
        if self.game.symmetries is None:
            return drawn
        cells, actions = self.game.symmetries
        which = rng.integers(len(cells), size=n)
        flat = drawn.planes.reshape(*drawn.planes.shape[:2], -1)
        turned = np.take_along_axis(flat, cells[which][:, None], 2).reshape(drawn.planes.shape)
        policy = np.take_along_axis(drawn.policy, actions[which], 1)
        owner = np.take_along_axis(drawn.owner, cells[which], 1) if self.game.territory else drawn.owner
        return drawn._replace(planes=turned, policy=policy, owner=owner)

    def state_dict(self) -> dict:
        return {"count": self.count} | {k: torch.from_numpy(v[: len(self)]) for k, v in self.ring._asdict().items()}

    def load_state_dict(self, state: dict) -> None:
        self.count = state["count"]
        for name, part in self.ring._asdict().items():
            part[: len(self)] = state[name].numpy()

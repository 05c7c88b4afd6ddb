"""The search of `mcts` for many games at once: flat arrays, compiled, the leaves of all games evaluated in one batch.

Two ways to choose at the root: by the same rule as everywhere (PUCT, Silver et al. 2017), or by sequential halving
among moves drawn with Gumbel noise (Danihelka et al. 2022, "Policy improvement by planning with Gumbel"), which needs
few simulations to improve on the policy it was given.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np

from zoolib.games import mcts
from zoolib.games.game import Game, GameError, nth

# c_visit and c_scale of Danihelka et al., here for values in [-1, 1] as they are: the paper's 1.0, for Go, and its 0.1,
# for Atari's, are for values that have been rescaled to [0, 1]
VISIT_SCALE, VALUE_SCALE = 50.0, 0.1

Evaluate = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""evaluate(planes [n, C, H, W]) -> logits [n, actions], and values to the players to move [n]."""


class Trees(NamedTuple):
    """B trees of at most N nodes; node 0 is the root."""

    root: np.ndarray  # int64 [B, S], the states at the roots
    leaf: np.ndarray  # int64 [B, S], the states at the ends of the paths
    size: np.ndarray  # int64 [B], nodes in use; 0: the root has not been evaluated
    child: np.ndarray  # int32 [B, N, A], the node behind an action, or -1
    prior: np.ndarray  # float64 [B, N, A], -1 for an illegal action
    visits: np.ndarray  # int32 [B, N, A]
    total: np.ndarray  # float64 [B, N, A], sum of values to the player who takes the action
    value: np.ndarray  # float64 [B, N], to the player to move
    player: np.ndarray  # int8 [B, N]
    over: np.ndarray  # bool [B, N]
    path: np.ndarray  # int32 [B, N + 1, 2], nodes and actions of the present path
    depth: np.ndarray  # int64 [B]
    left: np.ndarray  # int64 [B], simulations that are still to be done
    before: np.ndarray  # int32 [B, A], visits at the root when this search began


class Seen(NamedTuple):
    """What there is to see in positions."""

    planes: np.ndarray  # float32 [B, C, H, W]
    over: np.ndarray  # bool [B]
    values: np.ndarray  # float64 [B], the outcome to the player to move
    players: np.ndarray  # int8 [B]


class Core(NamedTuple):
    """What is compiled for a game and a rule."""

    descend: Callable
    expand: Callable
    expand_by_rollouts: Callable
    reroot: Callable
    improved: Callable
    look: Callable


@numba.njit(nogil=True)
def complete(prior, visits, total, value):
    """(Q of each action, with the mixed value where it has not been tried; that value): Danihelka et al., eq. 33."""
    q = np.zeros(len(prior))
    n, mass, weighted = 0, 0.0, 0.0
    for a in range(len(prior)):
        if visits[a] > 0:
            q[a] = total[a] / visits[a]
            n += visits[a]
            mass += prior[a]
            weighted += prior[a] * q[a]
    mixed = value if mass <= 0 else (value + n * weighted / mass) / (1 + n)
    for a in range(len(prior)):
        if visits[a] == 0:
            q[a] = mixed
    return q, mixed


@numba.njit(nogil=True)
def sigma(q, visits):
    """σ(q), eq. 8: how much the values that a search has found weigh against the policy's logits."""
    return (VISIT_SCALE + visits.max()) * VALUE_SCALE * q


@numba.njit(nogil=True)
def random_bits(x):
    """The random number after x, by the mixing of splitmix64 (Steele et al. 2014); near ones lead far apart."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@functools.cache
def core(game: Game, rule: Callable) -> Core:
    """Compile the search for a game and a rule(q, prior, visits, total).

    Where numba cannot compile the game, the same search runs as the Python that it is written in, and says so.
    """
    jit = numba.njit(nogil=True)
    if game.compiled is None:
        print(
            f"{game.name} is searched in plain Python, about a hundred times slower, because numba cannot compile it: "
            f"{game.why_not}",
            file=sys.stderr,
        )

        def jit(function):
            return function

    _, step, legal, outcome, to_play, encode = game.fast
    actions = game.actions
    score = rule if hasattr(rule, "py_func") else jit(rule)

    @jit
    def choose(t, b, node):
        total = t.visits[b, node].sum()
        best, action = -math.inf, -1
        for a in range(actions):
            prior, visits = t.prior[b, node, a], t.visits[b, node, a]
            if prior < 0:
                continue
            q = t.total[b, node, a] / visits if visits else t.value[b, node]
            worth = score(q, prior, visits, total)
            if action < 0 or worth > best:
                best, action = worth, a
        return action

    @jit
    def choose_at_root(t, b, noise, schedule):
        """Sequential halving: of the actions visited as often as is due, the best by noise, logit and σ(q)."""
        allowed = 0
        for a in range(actions):
            allowed += t.prior[b, 0, a] >= 0
        wanted = schedule[min(allowed, len(schedule) - 1), schedule.shape[1] - 1 - t.left[b]]
        q, _ = complete(t.prior[b, 0], t.visits[b, 0], t.total[b, 0], t.value[b, 0])
        raised = sigma(q, t.visits[b, 0])
        best, action = -math.inf, -1
        for a in range(actions):
            if t.prior[b, 0, a] < 0 or t.visits[b, 0, a] - t.before[b, a] != wanted:
                continue
            worth = noise[a] + math.log(max(t.prior[b, 0, a], 1e-300)) + raised[a]
            if action < 0 or worth > best:
                best, action = worth, a
        return action

    @jit
    def add(t, b, state):
        node = t.size[b]
        t.size[b] += 1
        t.child[b, node] = -1
        t.visits[b, node] = 0
        t.total[b, node] = 0.0
        over, value = outcome(state)
        t.over[b, node], t.value[b, node], t.player[b, node] = over, value, to_play(state)
        return node

    @jit
    def back_up(t, b, node):
        value, player = t.value[b, node], t.player[b, node]
        for i in range(t.depth[b] - 1, -1, -1):
            above, action = t.path[b, i]
            t.visits[b, above, action] += 1
            t.total[b, above, action] += value if t.player[b, above] == player else -value

    @jit
    def descend(t, planes, rows, noise, schedule):
        """One path in every game, down to a new node; its planes go into the batch, its game into `rows`.  A path to
        the end of a game needs no evaluation, and the next one follows.  Returns how many nodes wait."""
        n = 0
        for b in range(len(rows)):
            state = t.leaf[b]
            if t.size[b] == 0:
                state[:] = t.root[b]
                t.depth[b] = 0
                if not t.over[b, add(t, b, state)]:
                    planes[n] = 0.0
                    encode(state, planes[n])
                    rows[n] = b
                    n += 1
                continue
            while t.left[b] > 0 and not t.over[b, 0]:
                t.left[b] -= 1
                state[:] = t.root[b]
                node, depth = 0, 0
                while not t.over[b, node]:
                    if node == 0 and len(schedule):
                        action = choose_at_root(t, b, noise[b], schedule)
                    else:
                        action = choose(t, b, node)
                    t.path[b, depth, 0], t.path[b, depth, 1] = node, action
                    depth += 1
                    step(state, action)
                    below = t.child[b, node, action]
                    if below < 0:
                        below = add(t, b, state)
                        t.child[b, node, action] = below
                        node = below
                        break
                    node = below
                t.depth[b] = depth
                if not t.over[b, node]:
                    planes[n] = 0.0
                    encode(state, planes[n])
                    rows[n] = b
                    n += 1
                    break
                back_up(t, b, node)
        return n

    @jit
    def set_priors(t, b, node, logits, mask):
        legal(t.leaf[b], mask)
        largest, total = -math.inf, 0.0
        for a in range(actions):
            if mask[a]:
                largest = max(largest, float(logits[a]))
        for a in range(actions):
            t.prior[b, node, a] = math.exp(float(logits[a]) - largest) if mask[a] else -1.0
            total += max(t.prior[b, node, a], 0.0)
        for a in range(actions):
            if mask[a]:
                t.prior[b, node, a] /= total

    @jit
    def expand(t, rows, logits, values):
        """Give the waiting nodes what the network says of them, and back it up."""
        mask = np.empty(actions, np.bool_)
        for i in range(len(rows)):
            b = rows[i]
            node = t.size[b] - 1
            t.value[b, node] = values[i]
            set_priors(t, b, node, logits[i], mask)
            back_up(t, b, node)

    @jit
    def expand_by_rollouts(t, rows, seeds):
        """The same without a network: all moves alike, and the value of one random game for each of seeds [B]."""
        mask, alike = np.empty(actions, np.bool_), np.zeros(actions)
        for b in rows:
            node = t.size[b] - 1
            set_priors(t, b, node, alike, mask)
            state, player = t.leaf[b], t.player[b, node]
            over, value = outcome(state)
            while not over:
                legal(state, mask)
                seeds[b] = random_bits(seeds[b])
                step(state, nth(mask, np.int64(seeds[b] % np.uint64(mask.sum()))))
                over, value = outcome(state)
            t.value[b, node] = value if to_play(state) == player else -value
            back_up(t, b, node)

    @jit
    def reroot(t, chosen, most):
        """Play chosen[b] in every game where it is not -1; what the tree knows of the position stays, if it is no
        more than `most` nodes."""
        new = np.empty(t.child.shape[1], np.int32)
        for b in range(len(chosen)):
            if chosen[b] < 0:
                continue
            step(t.root[b], chosen[b])
            start = t.child[b, 0, chosen[b]] if t.size[b] else -1
            size, n = t.size[b], 0
            t.size[b] = 0
            if start < 0:
                continue
            new[:size] = -1
            new[start] = 0
            for node in range(start, size):  # a child always stands behind its parent
                if new[node] >= 0:
                    new[node] = n
                    n += 1
                    for a in range(actions):
                        if t.child[b, node, a] >= 0:
                            new[t.child[b, node, a]] = 0
            if n > most:
                continue
            for node in range(start, size):
                if new[node] >= 0:
                    to = new[node]
                    for a in range(actions):
                        below = t.child[b, node, a]
                        t.child[b, to, a] = new[below] if below >= 0 else -1
                        t.prior[b, to, a], t.visits[b, to, a] = t.prior[b, node, a], t.visits[b, node, a]
                        t.total[b, to, a] = t.total[b, node, a]
                    t.value[b, to], t.player[b, to] = t.value[b, node], t.player[b, node]
                    t.over[b, to] = t.over[b, node]
            t.size[b] = n

    @jit
    def improved(t, policy, values):
        """The improved policies π' at the roots (eq. 11) into policy [B, A], the mixed values into values [B]."""
        for b in range(len(values)):
            q, mixed = complete(t.prior[b, 0], t.visits[b, 0], t.total[b, 0], t.value[b, 0])
            values[b] = mixed
            raised = sigma(q, t.visits[b, 0])
            largest, total = -math.inf, 0.0
            for a in range(actions):
                if t.prior[b, 0, a] >= 0:
                    raised[a] += math.log(max(t.prior[b, 0, a], 1e-300))
                    largest = max(largest, raised[a])
            for a in range(actions):
                policy[b, a] = math.exp(raised[a] - largest) if t.prior[b, 0, a] >= 0 else 0.0
                total += policy[b, a]
            policy[b] /= max(total, 1e-300)

    @jit
    def look(states, planes, over, values, players):
        """Planes, ends, outcomes to the players to move, and these players, of states [B, S]."""
        for b in range(len(states)):
            planes[b] = 0.0
            encode(states[b], planes[b])
            over[b], values[b] = outcome(states[b])
            players[b] = to_play(states[b])

    return Core(descend, expand, expand_by_rollouts, reroot, improved, look)


@functools.cache
def halving(considered: int, simulations: int) -> np.ndarray:
    """How often the action that a simulation goes to has been visited before, int64 [considered + 1, simulations].

    Row m is for m actions: all get the same number of visits, the better half of them goes on, until two are left
    (Karnin et al. 2013; Danihelka et al. 2022, algorithm 2).
    """
    table = np.zeros((considered + 1, simulations), np.int64)
    for m in range(1, considered + 1):
        rounds, left, visited, plan = max(1, math.ceil(math.log2(m))), m, 0, []
        while len(plan) < simulations:
            for _ in range(max(1, simulations // (rounds * left))):
                plan += [visited] * left
                visited += 1
            left = max(2, left // 2) if m > 1 else 1
        table[m] = plan[:simulations]
    return table


class Search:
    """Trees for `batch` games that are searched side by side."""

    def __init__(self, game: Game, batch: int, simulations: int, rule: Callable = mcts.puct, keep: bool = True):
        """simulations: the most that one call of `run` does; keep: subtrees are used again after a move."""
        if simulations < 1:
            raise GameError(f"a search needs at least 1 simulation, not {simulations}")
        self.game, self.batch, self.simulations = game, batch, simulations
        self.core = core(game, rule)
        self.most = simulations if keep else 0  # nodes that are carried over
        n, a, s = simulations + self.most + 1, game.actions, game.state_size
        self.trees = Trees(
            root=np.zeros((batch, s), np.int64),
            leaf=np.zeros((batch, s), np.int64),
            size=np.zeros(batch, np.int64),
            child=np.zeros((batch, n, a), np.int32),
            prior=np.zeros((batch, n, a)),
            visits=np.zeros((batch, n, a), np.int32),
            total=np.zeros((batch, n, a)),
            value=np.zeros((batch, n)),
            player=np.zeros((batch, n), np.int8),
            over=np.zeros((batch, n), np.bool_),
            path=np.zeros((batch, n + 1, 2), np.int32),
            depth=np.zeros(batch, np.int64),
            left=np.zeros(batch, np.int64),
            before=np.zeros((batch, a), np.int32),
        )
        self.planes = np.zeros((batch, *game.shape), np.float32)
        self.rows = np.zeros(batch, np.int64)
        self.halved = False  # whether the last search halved at the root
        self.reset()

    def reset(self, states: np.ndarray | None = None, games: np.ndarray | slice = slice(None)) -> None:
        """Put states [n, S] (the opening where there is none) at the roots of `games`; their trees are empty."""
        self.trees.root[games] = self.game.init() if states is None else states
        self.trees.size[games] = 0

    def run(
        self,
        simulations: int | np.ndarray,
        evaluate: Evaluate | np.ndarray,
        noise: np.ndarray | None = None,
        considered: int = 16,
    ) -> None:
        """Do so many simulations in every game (or in each its own number, [B]).

        evaluate: a network's, or the seeds of rollouts, uint64 [B], which it moves on.
        noise: Gumbel noise [B, actions] for sequential halving among the `considered` best at the root; then every
            game has the same number of simulations.  None: the rule chooses there too.
        """
        t = self.trees
        schedule = np.zeros((0, 0), np.int64)
        if noise is None:
            noise = np.zeros((self.batch, 0))
        else:
            schedule = halving(min(considered, self.game.actions), int(simulations))
        t.left[:] = simulations
        if t.left.max() > self.simulations:
            raise GameError(f"this search has room for {self.simulations} simulations, not {t.left.max()}")
        if (np.maximum(t.size, 1) + t.left).max() > t.child.shape[1]:
            raise GameError("the trees are full: advance to a move, or reset them, before the next search")
        self.halved = noise is not None
        np.copyto(t.before, np.where(t.size[:, None] > 0, t.visits[:, 0], 0))
        while n := self.core.descend(t, self.planes, self.rows, noise, schedule):
            rows = self.rows[:n]
            if isinstance(evaluate, np.ndarray):
                self.core.expand_by_rollouts(t, rows, evaluate)
            else:
                self.core.expand(t, rows, *evaluate(self.planes[:n]))

    def visits(self) -> np.ndarray:
        """Visits of the roots' actions, int32 [B, actions]."""
        return self.trees.visits[:, 0].copy()

    def improved(self) -> tuple[np.ndarray, np.ndarray]:
        """The improved policies [B, actions] and values to the players to move [B] at the roots."""
        policy, values = np.zeros((self.batch, self.game.actions)), np.zeros(self.batch)
        self.core.improved(self.trees, policy, values)
        return policy, values

    def best(self, noise: np.ndarray | None = None) -> np.ndarray:
        """The action to play in each game [B]: of the most visited ones that of the highest logit + noise + σ(q).

        After sequential halving only the visits of this search count, not those of a kept subtree."""
        policy, _ = self.improved()
        worth = np.log(np.maximum(policy, 1e-300)) + (0 if noise is None else noise)
        visits = self.trees.visits[:, 0] - (self.trees.before if self.halved else 0)
        visits = np.where(self.trees.prior[:, 0] >= 0, visits, -1)
        return np.where(visits == visits.max(1, keepdims=True), worth, -np.inf).argmax(1)

    def look(self) -> Seen:
        """The positions at the roots."""
        n = self.batch
        seen = Seen(np.zeros((n, *self.game.shape), np.float32), np.zeros(n, bool), np.zeros(n), np.zeros(n, np.int8))
        self.core.look(self.trees.root, *seen)
        return seen

    def advance(self, actions: np.ndarray) -> None:
        """Play an action in each game [B]; -1 leaves a game as it is."""
        self.core.reroot(self.trees, actions.astype(np.int64), self.most)

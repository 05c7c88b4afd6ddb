"""Monte Carlo tree search for one game at a time, to be read: `search` is the same for many games at once.

Kocsis and Szepesvári 2006 (the tree, UCB), Coulom 2006 (the four steps), Silver et al. 2017 (PUCT, and a network's
value in place of a rollout).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from zoolib.games.game import Game

Evaluate = Callable[[Game, np.ndarray], tuple[np.ndarray, float]]
"""evaluate(game, state) -> logits of the actions [actions], and the value to the player to move."""


def puct(q: float, prior: float, visits: int, total: int) -> float:
    """The score by which a move is chosen, Silver et al. 2017: what it has been worth, and a bonus for what a
    network expects of it and the search has not seen enough of.

    q: mean value of the move so far, or its parent's value where it has not been tried; total: visits of all moves.
    """
    return q + 1.25 * prior * math.sqrt(total + 1) / (1 + visits)  # + 1: the visit that evaluated the node


def ucb(q: float, prior: float, visits: int, total: int) -> float:
    """UCB1's rule, Auer et al. 2002: every move once, then those that could still be the best.  (For values in [-1, 1]
    its theorem wants twice the bonus.)"""
    return q + math.sqrt(2 * math.log(total) / visits) if visits else math.inf


@dataclass
class Node:
    """A position in the tree."""

    player: int
    over: bool
    value: float
    """To the player to move: the outcome where the game is over, else what the evaluation says."""
    prior: list[float]
    """The policy's probability of each action; -1 for an illegal one."""
    visits: list[int]
    total: list[float]
    """The sum of the values that the visits of an action brought, to the player who takes it."""
    children: dict[int, Node] = field(default_factory=dict)


def search(game: Game, state: np.ndarray, simulations: int, evaluate: Evaluate, rule: Callable = puct) -> Node:
    """The tree after so many simulations from `state`; its root's `visits` are the search's opinion."""
    root = expand(game, state, evaluate)
    for _ in range(simulations):
        simulate(game, root, state.copy(), evaluate, rule)
    return root


def simulate(game: Game, node: Node, state: np.ndarray, evaluate: Evaluate, rule: Callable) -> float:
    """Select down to a new node, expand and evaluate it, back up; the value to the player to move at `node`."""
    if node.over:
        return node.value
    action = select(node, rule)
    game.fast.step(state, action)
    if action in node.children:
        child = node.children[action]
        value = simulate(game, child, state, evaluate, rule)
    else:
        child = node.children[action] = expand(game, state, evaluate)
        value = child.value
    value = value if child.player == node.player else -value
    node.visits[action] += 1
    node.total[action] += value
    return value


def select(node: Node, rule: Callable) -> int:
    """The legal action of the highest score, the first of them where several have it."""
    total, best, action = sum(node.visits), -math.inf, -1
    for a, (prior, visits) in enumerate(zip(node.prior, node.visits, strict=True)):
        if prior < 0:
            continue
        score = rule(node.total[a] / visits if visits else node.value, prior, visits, total)
        if action < 0 or score > best:
            best, action = score, a
    return action


def expand(game: Game, state: np.ndarray, evaluate: Evaluate) -> Node:
    """A new node for `state`."""
    over, value = game.outcome(state)
    prior = [-1.0] * game.actions
    if not over:
        logits, value = evaluate(game, state)
        prior = softmax(logits, game.legal(state))
    return Node(game.to_play(state), over, value, prior, [0] * game.actions, [0.0] * game.actions)


def softmax(logits: np.ndarray, legal: np.ndarray) -> list[float]:
    """Probabilities of the legal actions; -1 for the others."""
    largest = max(float(x) for x, allowed in zip(logits, legal, strict=True) if allowed)
    weights = [math.exp(float(x) - largest) if allowed else -1.0 for x, allowed in zip(logits, legal, strict=True)]
    total = 0.0
    for weight in weights:
        total += max(weight, 0.0)
    return [weight / total if weight >= 0 else -1.0 for weight in weights]


def rollouts(seed: int = 0) -> Evaluate:
    """An evaluation without a network: all moves alike, and the value of one game played at random to its end."""
    rng = np.random.default_rng(seed)

    def evaluate(game: Game, state: np.ndarray) -> tuple[np.ndarray, float]:
        player, state = game.to_play(state), state.copy()
        over, value = game.outcome(state)
        while not over:
            game.fast.step(state, int(rng.choice(np.flatnonzero(game.legal(state)))))
            over, value = game.outcome(state)
        return np.zeros(game.actions), value if game.to_play(state) == player else -value

    return evaluate

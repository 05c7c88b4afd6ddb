"""Which transitions to replay: in proportion to their surprise.

Schaul et al. 2016, "Prioritized Experience Replay": the proportional variant (section 3.3) with importance weights
(section 3.4).  A transition with TD error δ has priority p = |δ| + 0.01 and is drawn with probability
P(i) = p_i^α / Σ_k p_k^α.
"""

from __future__ import annotations

import numpy as np
import torch


class SumTree:
    """A binary tree whose leaves hold numbers and whose every other node holds the sum of its two children.

    Setting a leaf and finding the leaf under a running sum both take log₂(capacity) steps, each of them one NumPy
    operation for all the leaves asked about.
    """

    def __init__(self, capacity: int):
        self.depth = max(1, (capacity - 1).bit_length())
        self.first_leaf = 2**self.depth
        self.nodes = np.zeros(2 * self.first_leaf)  # the root is node 1; node i has the children 2i and 2i + 1

    @property
    def total(self) -> float:
        """The sum of all leaves."""
        return self.nodes[1]

    def __getitem__(self, leaf: np.ndarray) -> np.ndarray:
        return self.nodes[self.first_leaf + leaf]

    def __setitem__(self, leaf: np.ndarray, value: np.ndarray) -> None:
        """Set leaves [n] to values [n] ≥ 0, and every sum above them."""
        node = self.first_leaf + np.asarray(leaf)
        self.nodes[node] = value
        for _ in range(self.depth):
            node = node >> 1
            self.nodes[node] = self.nodes[2 * node] + self.nodes[2 * node + 1]

    def find(self, running_sum: np.ndarray) -> np.ndarray:
        """For each number [n] in [0, total): the leaf [n] at which the sum of the leaves so far passes it."""
        rest = np.array(running_sum, float)
        node = np.ones(len(rest), np.int64)
        for _ in range(self.depth):
            node <<= 1  # to the left child
            left = self.nodes[node]
            right = rest >= left
            rest -= left * right
            node += right
        return node - self.first_leaf


def importance_weights(probability: np.ndarray, size: int, beta: float) -> np.ndarray:
    """(N · P(i))^−β for drawn probabilities [n] in a memory of N transitions (Schaul et al. 2016, section 3.4).

    At β = 1 a sum weighted so has the expectation of one over uniform draws.
    """
    return (size * probability) ** -beta


class Priorities:
    """Draws the indices of a replay memory in proportion to priority, and takes new priorities.

    alpha: 0 draws uniformly, 1 in proportion.  beta: how far the weights correct for that; the trainer raises it.
    """

    def __init__(self, capacity: int, alpha: float = 0.6, beta: float = 0.4):
        self.alpha, self.beta = alpha, beta
        self.tree = SumTree(capacity)
        self.highest = 1.0  # new transitions get the highest priority so far, so that each is seen soon

    def added(self, index: torch.Tensor) -> None:
        """New transitions lie at index [n]."""
        self.tree[index.cpu().numpy()] = self.highest**self.alpha

    def draw(self, batch_size: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices [batch_size] and their weights, the largest of them 1, from a memory that holds `size`.

        One index is drawn from each of `batch_size` equal slices of the total (the paper's appendix B.2.1).
        """
        slices = (np.arange(batch_size) + torch.rand(batch_size, dtype=torch.float64).numpy()) / batch_size
        index = np.minimum(self.tree.find(slices * self.tree.total), size - 1)  # rounding may step past the last
        weight = importance_weights(self.tree[index] / self.tree.total, size, self.beta)
        return index, weight / weight.max()

    def update(self, index: np.ndarray, td_error: np.ndarray) -> None:
        """The transitions at index [n] turned out to have the absolute TD errors [n]."""
        priority = td_error + 0.01  # so that no transition is forgotten for good
        self.highest = max(self.highest, float(priority.max()))
        self.tree[index] = priority**self.alpha

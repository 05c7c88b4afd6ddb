"""Exercises of rl/05-prioritized-replay."""

import numpy as np

from zoolib.teach.check import Case, Exercise


def _rank_cases(rng: np.random.Generator) -> list[Case]:
    def draw(size, alpha, words):
        # magnitudes apart by more than rounding, so that no two share a rank
        magnitude = rng.permutation(np.arange(1.0, size + 1) + rng.uniform(0, 0.4, size))
        error = magnitude * np.where(np.arange(size) % 2, 1.0, -1.0)
        priority = [(1 / sum(other >= own for other in magnitude)) ** alpha for own in magnitude]
        return Case((error, alpha), np.array(priority) / sum(priority), words)

    return [
        draw(6, 1.0, "α = 1"),
        draw(9, float(rng.uniform(0.3, 0.8)), "an α between 0 and 1"),
        draw(5, 0.0, "α = 0, which is the uniform draw"),
    ]


def _by_rank(error, alpha, *, magnitude=None, sign=-1, normalise=True):
    magnitude = np.abs(error) if magnitude is None else magnitude
    rank = np.argsort(np.argsort(sign * magnitude)) + 1.0
    p = (1 / rank) ** alpha
    return p / p.sum() if normalise else p


def _argsort_as_rank(error, alpha):
    p = (1 / (np.argsort(-np.abs(error)) + 1.0)) ** alpha
    return p / p.sum()


def _in_sorted_order(error, alpha):
    return np.sort(_by_rank(error, alpha))[::-1].copy()


def _upside_down(error, alpha):
    return _by_rank(error, alpha, sign=1)


def _before_cases(rng: np.random.Generator) -> list[Case]:
    def draw(depth, leaf, words):
        leaves = rng.uniform(0.5, 3.0, 2**depth)
        nodes = np.zeros(2 * len(leaves))
        nodes[len(leaves) :] = leaves
        for node in range(len(leaves) - 1, 0, -1):
            nodes[node] = nodes[2 * node] + nodes[2 * node + 1]
        return Case((nodes, leaf), float(np.sum(leaves[:leaf])), words)

    return [
        draw(3, 0, "the first leaf, before which there is nothing"),
        draw(3, 5, "a leaf in the middle"),
        draw(4, int(rng.integers(3, 15)), "a leaf in the middle"),
        draw(5, int(rng.integers(3, 31)), "a leaf in the middle"),
        draw(4, 15, "the last leaf"),
        draw(1, 1, "a tree of two leaves"),
    ]


def _up(nodes, leaf, add):
    node, total = len(nodes) // 2 + leaf, 0.0
    while node > 1:
        total += add(nodes, node)
        node //= 2
    return float(total)


def _left_sibling(nodes, node):
    return nodes[node - 1] if node % 2 else 0.0


def _with_itself(nodes, leaf):
    return _up(nodes, leaf, _left_sibling) + float(nodes[len(nodes) // 2 + leaf])


def _right_siblings(nodes, leaf):
    return _up(nodes, leaf, lambda nodes, node: 0.0 if node % 2 else nodes[node + 1])


def _every_sibling(nodes, leaf):
    return _up(nodes, leaf, lambda nodes, node: nodes[node ^ 1])


def _itself_where_it_is_right(nodes, leaf):
    return _up(nodes, leaf, lambda nodes, node: nodes[node] if node % 2 else 0.0)


def _slope_cases(rng: np.random.Generator) -> list[Case]:
    def draw(size, alpha, words, sign):
        error = rng.uniform(0.2, 4.0, size) * sign(size)
        total = sum(abs(e) ** alpha for e in error)
        # Σ P(i) δ_i = mean of slopes, so each slope is N P(i) δ_i
        expected = [size * abs(e) ** alpha / total * e for e in error]
        return Case((error, alpha), np.array(expected), words)

    def both(size):
        return np.where(np.arange(size) % 2, 1.0, -1.0)

    return [
        draw(5, 1.0, "positive errors, α = 1", np.ones),
        draw(6, 1.0, "errors of both signs, α = 1", both),
        draw(8, float(rng.uniform(0.3, 0.8)), "errors of both signs, an α between 0 and 1", both),
        draw(4, 0.0, "α = 0, which is uniform already", both),
    ]


def _share(error, alpha):
    p = np.abs(error) ** alpha
    return p / p.sum()


def _without_n(error, alpha):
    return _share(error, alpha) * error


def _divided(error, alpha):
    return error / (len(error) * _share(error, alpha))


EXERCISES = {
    "rank_probabilities": Exercise(
        points=2,
        cases=_rank_cases,
        mistakes={
            "argsort gives the order in which the transitions stand when sorted, and not the rank of each. Write the "
            "ranks 1, 2, 3, … to the places that argsort names.": _argsort_as_rank,
            "You ranked the errors with their signs. A large negative error is as surprising as a positive one: rank "
            "by |δ|.": lambda error, alpha: _by_rank(error, alpha, magnitude=error),
            "Your smallest error has the highest probability. Rank 1 belongs to the largest |δ|.": _upside_down,
            "The probabilities are right but stand in sorted order; return them in the order of td_error."
            "": _in_sorted_order,
            "These are priorities. Divide by their sum to make probabilities.": lambda error, alpha: _by_rank(
                error, alpha, normalise=False
            ),
        },
    ),
    "sum_before": Exercise(
        points=2,
        cases=_before_cases,
        mistakes={
            "You count the leaf itself; only those before it are asked for.": _with_itself,
            "You add the siblings on the right: that is the sum of the leaves after this one.": _right_siblings,
            "You add every sibling on the way up: that is all but the leaf itself. Only a left sibling's leaves come "
            "before.": _every_sibling,
            "Where the node is a right child, add its left sibling and not the node: the node holds your own leaf."
            "": _itself_where_it_is_right,
        },
    ),
    "slope_under_uniform": Exercise(
        points=1,
        cases=_slope_cases,
        mistakes={
            "The factor N is missing: a plain mean divides by N, which the expectation over P does not.": _without_n,
            "The sign of the error is lost; the slope must keep it.": lambda error, alpha: (
                len(error) * _share(error, alpha) * np.abs(error)
            ),
            "That is the importance weight's way: it divides by N P(i). Here the draws are prioritised already, and a "
            "uniform slope has to make up for drawing less often: multiply.": _divided,
        },
    ),
}

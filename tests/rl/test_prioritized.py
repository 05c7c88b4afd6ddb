"""The sum tree against a cumulative sum, the draw's distribution, importance weights that take the bias away."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from zoolib.rl import dqn
from zoolib.rl.prioritized import Priorities, SumTree, importance_weights
from zoolib.rl.replay import Batch, Replay


@settings(deadline=None)
@given(
    leaves=st.lists(st.integers(0, 100), min_size=1, max_size=70).filter(any),
    share=st.floats(0, 1, exclude_max=True),
)
def test_the_tree_finds_what_a_cumulative_sum_finds(leaves, share):
    tree = SumTree(len(leaves))
    tree[np.arange(len(leaves))] = np.array(leaves, float)
    assert tree.total == sum(leaves)
    sought = share * sum(leaves)
    slow = next(i for i in range(len(leaves)) if sum(leaves[: i + 1]) > sought)
    assert tree.find(np.array([sought]))[0] == slow


def test_setting_a_leaf_twice_at_once_keeps_the_sums_true():
    tree = SumTree(5)
    tree[np.array([3, 3, 1])] = np.array([7.0, 7.0, 2.0])
    tree[np.array([3])] = np.array([4.0])
    assert tree.total == 6 and tree[np.array([3])][0] == 4


def test_draws_follow_the_priorities():
    torch.manual_seed(0)
    priorities = Priorities(8, alpha=0.6)
    errors = np.array([0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
    priorities.update(np.arange(8), errors)
    expected = (errors + 0.01) ** 0.6
    # the first of a batch's equal slices is drawn from only a part of the memory; single draws follow P(i) exactly
    drawn = np.concatenate([priorities.draw(1, 8)[0] for _ in range(20_000)])
    counts = np.bincount(drawn, minlength=8)
    assert chisquare(counts, expected / expected.sum() * counts.sum()).pvalue > 1e-4
    batch = np.bincount(priorities.draw(20_000, 8)[0], minlength=8)
    assert np.abs(batch - expected / expected.sum() * 20_000).max() < 2  # slices leave no room for luck


def test_weights_at_beta_1_make_the_expected_update_the_uniform_one():
    rng = np.random.default_rng(0)
    priority, gradient = rng.random(50) + 0.01, rng.standard_normal(50)
    probability = priority / priority.sum()
    expected = (probability * importance_weights(probability, 50, 1.0) * gradient).sum()
    assert expected == pytest.approx(gradient.mean(), abs=1e-12)
    biased = (probability * importance_weights(probability, 50, 0.4) * gradient).sum()
    assert abs(biased - gradient.mean()) > 1e-3


@settings(deadline=None)
@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=40), st.floats(0, 1))
def test_importance_weights_against_the_definition(priority, beta):
    total = sum(priority)
    slow = [(len(priority) * p / total) ** -beta for p in priority]
    fast = importance_weights(np.array(priority) / total, len(priority), beta)
    assert np.allclose(fast, slow)


def test_the_memory_draws_by_priority_and_new_transitions_come_first():
    torch.manual_seed(0)
    replay = Replay(4, (1,), priorities=Priorities(4, alpha=1.0))
    numbers = np.arange(4.0)
    replay.add(Batch(numbers[:, None], numbers.astype(int), numbers, numbers[:, None], numbers > 2))
    replay.priorities.update(np.arange(4), np.array([0.0, 0.0, 0.0, 3.0]))
    batch = replay.sample(1000)
    assert (batch.reward == 3).float().mean() > 0.95
    assert batch.weight.max() == 1 and batch.weight[batch.reward == 3].max() < 0.11
    replay.add(Batch(np.array([[9.0]]), [9], [9.0], np.array([[9.0]]), [False]))  # over the oldest
    assert (replay.sample(1000).reward == 9).float().mean() > 0.4


def test_a_saved_memory_draws_as_before():
    def filled():
        replay = Replay(6, (1,), priorities=Priorities(6))
        numbers = np.arange(5.0)
        replay.add(Batch(numbers[:, None], numbers.astype(int), numbers, numbers[:, None], numbers > 9))
        replay.priorities.update(np.arange(5), numbers)
        return replay

    first, second = filled(), Replay(6, (1,), priorities=Priorities(6))
    second.load_state_dict(first.state_dict())
    torch.manual_seed(1)
    one = first.sample(20)
    torch.manual_seed(1)
    two = second.sample(20)
    assert torch.equal(one.reward, two.reward) and torch.equal(one.weight, two.weight)


def test_the_error_is_read_back_from_its_huber_loss():
    error = torch.tensor([0.0, 0.3, 1.0, 5.0])
    loss = torch.nn.functional.smooth_l1_loss(error, torch.zeros(4), reduction="none")
    assert torch.allclose(dqn.absolute_error(loss), error)

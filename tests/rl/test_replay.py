"""The ring against a plain list, its state, and uniform sampling."""

from collections import deque

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from zoolib.rl.replay import Batch, Replay


def transitions(start, n):
    x = np.arange(start, start + n, dtype=np.float32)
    return Batch(np.stack([x, -x], 1), x.astype(int) % 3, x, np.stack([x + 1, -x], 1), x % 2 == 0)


@settings(max_examples=50, deadline=None)
@given(capacity=st.integers(1, 12), sizes=st.lists(st.integers(0, 12), max_size=12))
def test_it_holds_what_a_bounded_queue_holds(capacity, sizes):
    replay, queue, start = Replay(capacity, (2,)), deque(maxlen=capacity), 0
    for n in (min(n, capacity) for n in sizes):
        replay.add(transitions(start, n))
        queue.extend(range(start, start + n))
        start += n
    assert len(replay) == len(queue)
    assert sorted(replay.data["reward"][: len(replay)].tolist()) == list(queue)
    rewards = replay.data["reward"][: len(replay)]
    assert torch.equal(replay.data["next_obs"][: len(replay), 0], rewards + 1)  # rows stay together
    assert torch.equal(replay.data["terminated"][: len(replay)], rewards % 2 == 0)


def test_a_restored_memory_goes_on_like_the_first():
    first, second = Replay(5, (2,)), Replay(5, (2,))
    first.add(transitions(0, 4))
    second.load_state_dict(first.state_dict())
    for replay in (first, second):
        replay.add(transitions(4, 3))
    assert all(torch.equal(a, b) for a, b in zip(first.data.values(), second.data.values(), strict=True))
    assert first.cursor == second.cursor


def test_samples_are_uniform_over_what_is_stored():
    torch.manual_seed(0)
    replay = Replay(100, (2,))
    replay.add(transitions(0, 10))
    counts = np.bincount(replay.sample(20_000).reward.int().numpy(), minlength=10)
    assert len(counts) == 10  # nothing from the empty part
    assert stats.chisquare(counts).pvalue > 1e-4


def test_images_stay_bytes():
    replay = Replay(4, (3, 40, 40), torch.uint8)
    image = np.full((1, 3, 40, 40), 200, np.uint8)
    replay.add(Batch(image, [1], [0.5], image, [False]))
    batch = replay.sample(2)
    assert batch.obs.dtype == torch.uint8 and batch.obs.max() == 200
    assert batch.action.dtype == torch.int64 and batch.reward.tolist() == [0.5, 0.5]

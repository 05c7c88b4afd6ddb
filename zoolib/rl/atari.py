"""What only Atari needs: how games are made, stored, watched, and asked where they look.

Machado et al. 2018, "Revisiting the Arcade Learning Environment": actions stick with probability 0.25 (the console
repeats the last one), so that no memorised sequence of moves can win.  Frames are as in Mnih et al. 2015: every
fourth, grey, 84 × 84, four of them stacked.
"""

from __future__ import annotations

import sys

import ale_py
import gymnasium as gym
import numpy as np
import torch
from ale_py.vector_env import AtariVectorEnv
from gymnasium import spaces

from zoolib.rl.replay import Batch, Replay, ring
from zoolib.run import RunError

gym.register_envs(ale_py)

# ale-py's vector environment clips rewards and lets no action stick unless it is told.
VECTOR_OPTIONS = {"reward_clipping": False, "repeat_action_probability": 0.25}


def is_atari(env_id: str) -> bool:
    """Whether this environment is one of ALE's."""
    return env_id.startswith("ALE/")


class FrameReplay(Replay):
    """A replay memory of stacked frames that stores every frame once.

    Four frames make an observation, and the next observation holds three of them again; so a transition holds the
    frames' numbers, and the frames lie in a ring of their own: 7 kB a transition where two whole stacks take 56 kB.
    A checkpoint does not hold this memory: a resumed run fills it again before it goes on learning.
    """

    def __init__(self, capacity: int, space: spaces.Box, device="cpu", **options):
        stack, *frame = space.shape
        super().__init__(capacity, (stack,), torch.int64, device, **options)
        # A tenth more than there are transitions, for the first frames of episodes.  Slot 0 is the black frame.
        self.slots = capacity + capacity // 10 + 1024
        self.frames = ring((1 + self.slots, *frame), torch.uint8, device)
        self.written = 0  # frames so far; the frame numbered i lies in slot 1 + i % slots, the black one is -1
        self.stacks: dict[int, tuple[int, ...]] = {}  # for each copy: the numbers in its current observation

    def add(self, batch: Batch, copies: np.ndarray, ended: np.ndarray) -> None:
        """Store transitions whose obs and next_obs are stacks [n, 4, 84, 84] that differ by one frame."""
        new: list[np.ndarray] = []

        def number(frame: np.ndarray) -> int:
            if not frame.any():
                return -1
            new.append(frame)
            return self.written + len(new) - 1

        def numbers(stacks: list) -> np.ndarray:
            return np.array(stacks, np.int64).reshape(len(stacks), batch.obs.shape[1])

        obs, next_obs = [], []
        for i, copy in enumerate(copies):
            stack = self.stacks.pop(copy, None) or tuple(map(number, batch.obs[i]))
            obs.append(stack)
            next_obs.append((*stack[1:], number(batch.next_obs[i][-1])))
            if not ended[i]:
                self.stacks[copy] = next_obs[-1]
        if new:
            where = 1 + (self.written + torch.arange(len(new))) % self.slots
            self.frames[where.to(self.device)] = torch.from_numpy(np.stack(new)).to(self.device)
            self.written += len(new)
        super().add(batch._replace(obs=numbers(obs), next_obs=numbers(next_obs)), copies, ended)
        oldest = self.data["obs"][self.cursor if self.size == self.capacity else 0]
        if 0 <= oldest.max() and oldest[oldest >= 0].min() < self.written - self.slots:
            raise RunError("episodes of fewer than ten steps fill the frames' memory; take a larger replay_size")

    def sample(self, batch_size: int) -> Batch:
        batch = super().sample(batch_size)
        return batch._replace(obs=self._stacked(batch.obs), next_obs=self._stacked(batch.next_obs))

    def _stacked(self, number: torch.Tensor) -> torch.Tensor:
        return self.frames[torch.where(number < 0, 0, 1 + number % self.slots)]

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        print(
            "the memory of frames is not in a checkpoint: it is filled again before learning goes on", file=sys.stderr
        )


class Console(gym.Env):
    """One game as a Gymnasium environment that also draws: for watching, in the very form in which agents learn.

    Two copies of ale-py's environment play the same seed and the same actions, so that they stay equal: one gives the
    grey stacks that the agent sees, the other the coloured picture.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}
    render_mode = "rgb_array"

    def __init__(self, env_id: str):
        name = gym.spec(env_id).kwargs["game"]
        picture = {"grayscale": False, "img_height": 210, "img_width": 160, "stack_num": 1}
        self.game = AtariVectorEnv(name, num_envs=1, **VECTOR_OPTIONS)
        self.screen = AtariVectorEnv(name, num_envs=1, **VECTOR_OPTIONS, **picture)
        self.observation_space = self.game.single_observation_space
        self.action_space = self.game.single_action_space
        self.picture = None

    def reset(self, *, seed: int | None = None, options=None):
        seed = int(np.random.SeedSequence().generate_state(1)[0] >> 2) if seed is None else seed
        self.picture, _ = self.screen.reset(seed=seed)
        obs, _ = self.game.reset(seed=seed)
        return obs[0], {}

    def step(self, action):
        self.picture, *_ = self.screen.step(np.array([action]))
        obs, reward, terminated, truncated, _ = self.game.step(np.array([action]))
        return obs[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> np.ndarray:
        return np.ascontiguousarray(self.picture.reshape(210, 160, 3))

    def close(self):
        self.game.close()
        self.screen.close()


def saliency(values, obs: torch.Tensor, patch: int = 6) -> torch.Tensor:
    """How much the value changes where a patch of the picture is blurred away: [H, W], a map of where it looks.

    After Greydanus et al. 2018, "Visualizing and Understanding Atari Agents", equation 2, with a patch for their
    Gaussian mask.  values: observations [B, 4, H, W] to numbers [B, k]; obs: one observation [4, H, W], uint8.
    """
    stack, height, width = obs.shape
    background = torch.nn.functional.avg_pool2d(obs.float(), 11, 1, 5, count_include_pad=False).to(obs.dtype)
    rows, columns = range(0, height, patch), range(0, width, patch)
    hidden = obs.repeat(len(rows) * len(columns), 1, 1, 1)
    for i, (y, x) in enumerate((y, x) for y in rows for x in columns):
        hidden[i, :, y : y + patch, x : x + patch] = background[:, y : y + patch, x : x + patch]
    with torch.no_grad():
        change = (values(hidden) - values(obs[None])).pow(2).sum(1) / 2
    grid = change.reshape(1, 1, len(rows), len(columns))
    return torch.nn.functional.interpolate(grid, size=(height, width), mode="bilinear")[0, 0]

"""Gymnasium's vector environments, reduced to what a learner wants: real transitions only.

Gymnasium restarts a finished copy in one of three ways (Towers et al. 2024, "autoreset mode"):
at the NEXT step (the default: the step after a done one is a reset and no experience), in the SAME step (the
observation returned is the new episode's, the old one's last lies in info["final_obs"]), or not at all (DISABLED:
the caller resets).  `Stepper` hides which.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import sys

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers.vector import FlattenObservation

from zoolib.rl.replay import Batch
from zoolib.run import RunError

# Where there is no display pygame would look for one and complain on stderr, though it only draws into memory.
if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")

# Three streams of seeds that never meet: what is learned on, what picks the weights, what is reported.
TRAINING, VALIDATION, HELD_OUT = 0, 1, 2


# Where an evaluation gives an episode up: an Atari game after half an hour; an environment that states no time limit
# much sooner, for a policy that walks in circles there would never come back.
LONGEST_EPISODE, UNLIMITED = 27_000, 1_000


def env_seed(stream: int, seed: int, step: int = 0) -> int:
    """The seed of an environment in one of the three streams, hashed from all three numbers.

    step: where a resumed run goes on, so that it does not meet its first episodes again.
    """
    words = np.random.SeedSequence([stream, seed, step] if step else [stream, seed]).generate_state(1)
    return int(words[0] >> 2)  # 30 bits: ALE counts up from it in 32 with a sign


def longest_episode(env_id: str) -> int:
    """Steps after which an evaluation gives an episode up."""
    module, _, name = env_id.rpartition(":")
    if module:
        with contextlib.suppress(Exception):  # what is wrong with it is said where the environment is made
            importlib.import_module(module)
    spec = gym.registry.get(name)
    unlimited = spec is not None and spec.max_episode_steps is None and not env_id.startswith("ALE/")
    return UNLIMITED if unlimited else LONGEST_EPISODE


def check_env_id(env_id: str) -> None:
    """Raise RunError with the nearest names if Gymnasium knows no such environment."""
    if ":" in env_id:
        return  # "module:Name-v0" is imported when it is made
    if env_id.startswith("ALE/"):
        import zoolib.rl.atari  # noqa: F401 (registers them)
    try:
        if "ale_py" in str(gym.spec(env_id).entry_point) and not env_id.startswith("ALE/"):
            raise gym.error.Error("a game's old name, which would not be made in the form that atari.py describes")
    except gym.error.Error:
        stem = env_id.split("-v")[0].lower()
        known = {name.split("-v")[0].lower(): name for name in gym.registry if ("/" in name) == ("/" in env_id)}
        near = [known[k] for k in difflib.get_close_matches(stem, known, n=3, cutoff=0.5)]
        if "/" not in env_id and (game := atari_game(stem)):
            near = [game]
        hint = f"did you mean {', '.join(near)}?" if near else "gymnasium.registry lists those there are"
        raise RunError(f"no environment is called {env_id!r}; {hint}") from None


def atari_game(stem: str) -> str | None:
    """ALE's name of the game that `stem` names the old way ("pong", "pongnoframeskip"), if there is one."""
    import zoolib.rl.atari  # noqa: F401 (registers them)

    games = {name[4:].split("-v")[0].lower(): name for name in gym.registry if name.startswith("ALE/")}
    return games.get(stem.removesuffix("noframeskip").removesuffix("deterministic"))


def make_envs(env_id: str, num_envs: int, **kwargs) -> VectorEnv:
    """`num_envs` copies of a registered environment, with its own vectorised version where it has one.

    Observations that are not one array (Discrete, Dict, Tuple, ...) are flattened to a vector.
    Raises RunError where the environment is unknown or cannot be made.
    """
    check_env_id(env_id)
    if env_id.startswith("ALE/"):
        from zoolib.rl.atari import VECTOR_OPTIONS

        kwargs = VECTOR_OPTIONS | kwargs
    try:
        envs = gym.make_vec(env_id, num_envs, **kwargs)
        if not isinstance(envs.single_observation_space, spaces.Box):
            envs = FlattenObservation(envs)
    except Exception as error:  # an environment's constructor may raise whatever it likes
        raise RunError(f"{env_id!r} could not be made: {in_a_line(error)}") from None
    if not isinstance(envs.single_observation_space, spaces.Box):
        raise RunError(f"{env_id} observes {envs.single_observation_space}, which has no vector of fixed length")
    return envs


def in_a_line(error: Exception) -> str:
    """An exception's type and the first line of its message."""
    return ": ".join([type(error).__name__, *str(error).splitlines()[:1]])


def require_discrete(envs: VectorEnv, env_id: str, algorithm: str) -> int:
    """The number of actions.  Raises RunError, naming what fits, where actions are not 0 … n − 1."""
    space = envs.single_action_space
    if not isinstance(space, spaces.Discrete):
        fits = "DDPG acts in such a space" if isinstance(space, spaces.Box) else "flatten it to one Discrete space"
        raise RunError(f"{algorithm} chooses among numbered actions, but {env_id} has the action space {space}; {fits}")
    if space.start != 0:
        raise RunError(f"{env_id} numbers its actions from {space.start}; {algorithm} wants them from 0")
    return int(space.n)


def require_bounded(envs: VectorEnv, env_id: str, algorithm: str) -> spaces.Box:
    """The action space.  Raises RunError, naming what fits, where actions are not numbers between finite bounds."""
    space = envs.single_action_space
    if isinstance(space, spaces.Discrete):
        why = f"{algorithm} acts with continuous numbers, but {env_id} has the action space {space}"
        raise RunError(f"{why}; DQN and A2C choose among numbered actions")
    if not isinstance(space, spaces.Box):
        raise RunError(f"{algorithm} acts in a Box of continuous numbers, but {env_id} has the action space {space}")
    if not space.is_bounded() or not np.issubdtype(space.dtype, np.floating):
        raise RunError(
            f"{algorithm} scales its actions to finite bounds, but {env_id} has the action space {space}; "
            "give its Box finite bounds and a floating dtype"
        )
    return space


class Stepper:
    """Steps a vector environment and hands out the transitions that really happened.

    obs: the observations to act on now, [N, ...].  finished: the returns of the episodes that the last step ended,
    by copy.  copies, ended: for each transition of the last step, its copy's number and whether its episode is over.
    """

    def __init__(self, envs: VectorEnv, seed: int):
        self.envs = envs
        # an environment that states no mode follows Gymnasium's default
        self.mode = envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
        self.obs, _ = envs.reset(seed=seed)
        self.done = np.zeros(envs.num_envs, bool)
        self.returns = np.zeros(envs.num_envs)
        self.finished: dict[int, float] = {}
        self.copies = self.ended = np.arange(0)

    def step(self, action: np.ndarray) -> Batch:
        """Take one action [N] in each copy.  Returns at most N transitions: a step that was a reset is left out."""
        if self.mode == AutoresetMode.DISABLED and self.done.any():
            self.obs, _ = self.envs.reset(options={"reset_mask": self.done})
        was_reset = self.done if self.mode == AutoresetMode.NEXT_STEP else np.zeros_like(self.done)
        obs, (next_obs, reward, terminated, truncated, info) = self.obs, self.envs.step(action)
        self.obs, self.done = next_obs, terminated | truncated
        if self.mode == AutoresetMode.SAME_STEP and self.done.any():
            next_obs = next_obs.copy()
            for i in np.flatnonzero(self.done):
                next_obs[i] = info["final_obs"][i]
        real = ~was_reset
        self.returns[real] += reward[real]
        ended = real & self.done
        self.finished = dict(zip(np.flatnonzero(ended).tolist(), self.returns[ended].tolist(), strict=True))
        self.returns[ended] = 0.0
        self.copies, self.ended = np.flatnonzero(real), self.done[real]
        columns = (obs, action, reward, next_obs, terminated)
        return Batch(*columns) if real.all() else Batch(*(column[real] for column in columns))

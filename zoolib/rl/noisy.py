"""CartPole with noisy rewards and more buttons: where a maximum over action values finds luck to believe in."""

import gymnasium as gym


class NoisyCartPole(gym.Wrapper):
    """CartPole whose every reward carries noise of mean 0, and whose two pushes have `buttons` buttons each.

    The task is as it was: no button beats its neighbours, and the noise cancels out over an episode.
    """

    def __init__(self, noise: float = 1.0, buttons: int = 5, **kwargs):
        super().__init__(gym.make("CartPole-v1", **kwargs))
        self.noise, self.buttons = noise, buttons
        self.action_space = gym.spaces.Discrete(2 * buttons)

    def step(self, action):
        obs, reward, terminated, truncated, info = self.env.step(int(action) // self.buttons)
        return obs, float(reward + self.noise * self.np_random.normal()), terminated, truncated, info


gym.register("NoisyCartPole-v0", entry_point=NoisyCartPole)

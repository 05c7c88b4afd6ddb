"""Deep reinforcement learning, a file an algorithm."""

"""Generative models: GANs and MADE."""

"""Decoupled neural interfaces: synthetic gradients, what they compete with, and the pipeline that they unlock."""

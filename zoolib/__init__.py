"""The Trainable Zoo: training loops that the book's chapters call."""

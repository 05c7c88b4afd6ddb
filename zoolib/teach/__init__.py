"""What chapters and instructors call: checked exercises, plots, video and widgets (a submodule each)."""

from zoolib.teach.check import Case, Exercise, Points, check

__all__ = ["Case", "Exercise", "Points", "check"]

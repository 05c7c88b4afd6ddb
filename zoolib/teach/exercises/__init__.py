"""The checked exercises: one module a chapter, each with ``EXERCISES = {name: Exercise}``.

A chapter's module is imported only when one of its exercises is asked for, so that a check costs no other
chapter's imports.
"""

import difflib
import importlib
import pkgutil

from zoolib.teach.check import Exercise


class UnknownExercise(LookupError):
    """No exercise has this name; the message says which names come nearest."""


def chapters() -> list[str]:
    """Names of the modules that hold exercises, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def of_chapter(chapter: str) -> dict[str, Exercise]:
    """The exercises of one module, by their full names (``"dqn.n_step_target"``)."""
    module = importlib.import_module(f"{__name__}.{chapter}")
    return {f"{chapter}.{name}": exercise for name, exercise in module.EXERCISES.items()}


def names() -> list[str]:
    """Full names of all exercises."""
    return [name for chapter in chapters() for name in of_chapter(chapter)]


def find(name: str) -> Exercise:
    """The exercise called ``"<chapter>.<function>"``; raises UnknownExercise with the nearest names."""
    chapter, _, _function = str(name).partition(".")
    if chapter in chapters():
        exercise = of_chapter(chapter).get(name)
        if exercise is not None:
            return exercise
    known = names()
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    # A forgotten or wrong chapter is the commonest slip: the function's name alone then still finds it.
    near += [full for full in known if full.split(".")[1] == str(name).rpartition(".")[2] and full not in near]
    hint = f"; the nearest: {', '.join(near)}" if near else f"; there are: {', '.join(known) or 'none'}"
    raise UnknownExercise(f"No exercise is called {str(name)[:80]!r}{hint}.")

"""Budgets: a Config's defaults, changed by a table of presets, changed by flags."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from zoolib.rl.envs import UNLIMITED, longest_episode
from zoolib.run import RunError


class Preset(NamedTuple):
    """What a budget changes in a Config, and what it costs in words."""

    expect: str
    changes: dict


class Chosen(NamedTuple):
    """A Config, and where it came from in words."""

    config: object
    words: str


def choose_preset(presets: dict[tuple[str, str], Preset], config_type, env_id: str, budget: str) -> Chosen:
    """Look up (family, budget); the family is the start of the environment's name, with or without its
    namespace, or "any".

    Raises RunError for an unknown budget, with those there are.
    """
    budgets = list(dict.fromkeys(b for _, b in presets))
    if budget not in budgets:
        raise RunError(f"no budget is called {budget!r}; there are: {', '.join(budgets)}")
    name = env_id.rpartition("/")[2]
    family = next((f for f, _ in presets if f != "any" and (name.startswith(f) or env_id.startswith(f))), "any")
    chosen = presets[family, budget]
    general = f" (no preset for {env_id}: the general one)" if family == "any" else ""
    if longest_episode(env_id) == UNLIMITED:
        general += f"; {env_id} has no time limit: an evaluation ends an episode after {UNLIMITED:,} steps"
    return Chosen(config_type(env_id=env_id, **chosen.changes), f"budget {budget}: {chosen.expect}{general}")


def from_header(config_type, header: dict):
    """The Config that a weights file's header holds; unknown fields of a later version are left out."""
    known = {f.name for f in dataclasses.fields(config_type)}
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in header["config"].items() if k in known}
    return config_type(**values)


def check_config(config, *, at_least_1=(), not_negative=(), shares=(), positive=()) -> None:
    """Raise RunError, naming the field, where a Config's number is out of its range."""
    for name in at_least_1:
        if getattr(config, name) < 1:
            raise RunError(f"{name} must be at least 1, not {getattr(config, name)}")
    for name in not_negative:
        if not getattr(config, name) >= 0:  # nor nan
            raise RunError(f"{name} must be 0 or more, not {getattr(config, name)}")
    for name in shares:
        if not 0 <= getattr(config, name) <= 1:
            raise RunError(f"{name} must lie between 0 and 1, not {getattr(config, name)}")
    for name in positive:
        if not 0 < getattr(config, name) < float("inf"):
            raise RunError(f"{name} must be a positive number, not {getattr(config, name)}")
    if any(units < 1 for units in config.hidden):
        raise RunError(f"hidden must hold numbers of units of at least 1, not {config.hidden}")
    if config.stop_at is not None and config.stop_at != config.stop_at:
        raise RunError("stop_at must be a number or None, not nan")

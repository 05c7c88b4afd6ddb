"""Budgets: a Config's defaults, changed by a table of presets, changed by flags."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

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
    """Look up (family, budget); the family is the start of the environment's name, or "any".

    Raises RunError for an unknown budget, with those there are.
    """
    budgets = list(dict.fromkeys(b for _, b in presets))
    if budget not in budgets:
        raise RunError(f"no budget is called {budget!r}; there are: {', '.join(budgets)}")
    name = env_id.rpartition("/")[2]
    family = next((f for f, _ in presets if f != "any" and name.startswith(f)), "any")
    chosen = presets[family, budget]
    general = f" (no preset for {env_id}: the general one)" if family == "any" else ""
    return Chosen(config_type(env_id=env_id, **chosen.changes), f"budget {budget}: {chosen.expect}{general}")


def from_header(config_type, header: dict):
    """The Config that a weights file's header holds; unknown fields of a later version are left out."""
    known = {f.name for f in dataclasses.fields(config_type)}
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in header["config"].items() if k in known}
    return config_type(**values)

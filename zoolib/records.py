"""Recorded results: the measured evidence that chapters quote, one JSON file a record.

Only `make results` writes them.  Each variant carries a digest of the code that made it, and of the shipped weights
that it measured; `recorded` says so where these have changed since.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

PACKAGE = Path(__file__).parent
# in a wheel the records lie inside the package, in a checkout where the book keeps them
FOLDER = PACKAGE / "results" if (PACKAGE / "results").is_dir() else PACKAGE.parent / "book" / "results"


def code_digest(module: str, weights: Sequence[str] = ()) -> str:
    """Digest of what a zoolib module does: its code and that of the zoolib modules it imports.

    Comments, docstrings and layout do not count, so that a better sentence makes no result stale.
    weights: names of shipped weights that are measured with it; their checksums count, too.
    """
    total = hashlib.sha256()
    for name, tree in sorted(_closure(module, {}).items()):
        total.update(f"{name}:{_told(tree)}".encode())
    for line in (PACKAGE / "weights" / "SHA256SUMS").read_text().splitlines():  # sorted by name
        if line.split()[1].removesuffix(".safetensors") in weights:
            total.update(line.encode())
    return total.hexdigest()[:16]


def _told(node) -> str:
    """A syntax tree as text, the same in every version of Python: ast.dump names empty fields in some only."""
    if isinstance(node, ast.AST):
        fields = ((name, _told(value)) for name, value in ast.iter_fields(node) if value not in (None, []))
        return f"{type(node).__name__}({', '.join(f'{name}={text}' for name, text in fields)})"
    if isinstance(node, list):
        return f"[{', '.join(map(_told, node))}]"
    return repr(node)


def _closure(module: str, seen: dict[str, ast.Module]) -> dict[str, ast.Module]:
    spec = importlib.util.find_spec(module)
    if module in seen or spec is None or not spec.origin:
        return seen
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):  # a string that stands alone is a docstring or a field's sentence
            node.body = [n for n in body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
    seen[module] = tree
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "zoolib":
            _closure(node.module, seen)
            for name in node.names:  # `from zoolib import pretrained`: a module, where there is such a file
                if PACKAGE.parent.joinpath(*node.module.split("."), f"{name.name}.py").is_file():
                    _closure(f"{node.module}.{name.name}", seen)
    return seen


def recorded(name: str) -> dict:
    """The record `name`: machine, commit, and for each variant its command and the runs of all seeds.

    Prints a line where the code has changed since it was recorded.  Raises FileNotFoundError, naming the
    records there are, for an unknown name.
    """
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in FOLDER.glob("*.json"))) or "none yet"
        raise FileNotFoundError(f"there is no record {name!r}; recorded are: {there}")
    record = json.loads(path.read_text())
    stale = stale_variants(record)
    if stale:
        print(
            f"Recorded at commit {record['commit'][:8]}; the code behind {', '.join(stale)} has changed since, "
            "so a new recording may differ."
        )
    return record


def stale_variants(record: dict) -> list[str]:
    """The variants of a record whose code, or weights, are no longer those that made them."""
    return [
        name
        for name, variant in record["variants"].items()
        if variant["code_hash"] != code_digest(variant["module"], variant.get("weights", ()))
    ]

"""`make results`: run the recipes of book/results/recipes.toml and write the records that chapters quote.

    python -m tools.results                 every record that is missing or stale
    python -m tools.results --chapter dqn   one record (its name or its chapter), all variants anew where stale
    python -m tools.results --stale         list what is stale and run nothing

Runs are resumable: they live in _build/results/, and a seed that has finished with the same code is not run again.
One seed runs at a time, so that the seconds mean something.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "book" / "results"
CURVE = re.compile(
    "step|seconds|episode_return|validation_.*|predicted_value|realised_value|loss|critic_loss|cosine_.*"
)
POINTS = 100  # rows kept of a curve
# of a run's own figures, what its evaluation does not say; best and last weights are judged there by the same noise
OWN = ("distance", "last_distance", "last_modes", "images_per_second", "positions", "games")
# of an evaluation, what goes into the header of shipped weights
SCORES = ("mean", "low", "high", "episodes", "images", "distance", "floor", "precision", "recall", "recognised")
SCORES += ("simulations", "optimal", "mistakes")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make results", description=__doc__.splitlines()[0])
    parser.add_argument("--chapter", default="", help="a record's name or its chapter")
    parser.add_argument("--stale", action="store_true", help="list what is stale, run nothing")
    args = parser.parse_args(argv)
    recipes = tomllib.loads((FOLDER / "recipes.toml").read_text())
    if args.chapter:
        recipes = {k: r for k, r in recipes.items() if args.chapter in (k, r["chapter"], Path(r["chapter"]).name)}
        if not recipes:
            print(f"results: no record or chapter is called {args.chapter!r}", file=sys.stderr)
            return 2
    for name, recipe in recipes.items():
        stale = stale_variants(name, recipe)
        print(f"{name}: {'stale or missing: ' + ', '.join(stale) if stale else 'up to date'}")
        if stale and not args.stale:
            record(name, recipe)
    return 0


def stale_variants(name: str, recipe: dict) -> list[str]:
    """Variants whose record is missing, or was made by another command or other code."""
    from zoolib.records import code_digest

    path = FOLDER / f"{name}.json"
    saved = json.loads(path.read_text())["variants"] if path.is_file() else {}
    digest = code_digest(recipe["module"], recipe.get("weights", ()))
    return [
        variant
        for variant, command in recipe["variants"].items()
        if saved.get(variant, {}).get("code_hash") != digest or saved[variant]["command"] != command
    ]


def record(name: str, recipe: dict) -> None:
    """Run every variant and seed of a recipe, and write its JSON once all have finished."""
    from zoolib.records import code_digest
    from zoolib.run import write_atomically

    digest = code_digest(recipe["module"], recipe.get("weights", ()))
    variants = {}
    for variant, command in recipe["variants"].items():
        if "seeds" not in recipe:
            rows = run_script(name, variant, command, digest)
            variants[variant] = {"command": command, "module": recipe["module"], "code_hash": digest, "rows": rows}
            if "weights" in recipe:
                variants[variant]["weights"] = recipe["weights"]
            continue
        runs = [run_seed(name, variant, command, recipe, seed, digest) for seed in range(recipe["seeds"])]
        variants[variant] = {
            "command": command,
            "evaluate": recipe["evaluate"],
            "module": recipe["module"],
            "code_hash": digest,
            "runs": runs,
        }
    result = {
        "name": name,
        "chapter": recipe["chapter"],
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(recipe["variants"]),
        "variants": variants,
    }
    write_atomically(FOLDER / f"{name}.json", (json.dumps(result, separators=(",", ":")) + "\n").encode())
    if "ship" in recipe:
        ship(name, recipe, variants)


def run_seed(name: str, variant: str, command: str, recipe: dict, seed: int, digest: str) -> dict:
    """Train and evaluate one seed in a process of its own, or take the finished run that is already there."""
    out = ROOT / "_build" / "results" / name / digest / variant / f"seed-{seed}"
    done = out / "run.json"
    stamp = [command, recipe["evaluate"], *recipe.get("matches", [])]
    if done.is_file() and json.loads(done.read_text())["stamp"] == stamp:
        return json.loads(done.read_text())["run"]
    if done.is_file() or (out.exists() and not (out / "metrics.csv").exists()):
        shutil.rmtree(out)  # another command's run, or one that never began: neither is to be taken up again
    zoolib = [sys.executable, "-m", "zoolib"]
    subprocess.run(
        [*zoolib, *shlex.split(command), "--seed", str(seed), "--out", str(out), "--resume", "--quiet"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    judged = subprocess.run(
        [*zoolib, "evaluate", str(out), *shlex.split(recipe["evaluate"]), "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    evaluation = json.loads(judged.stdout)
    del evaluation["source"]
    final = json.loads((out / "metrics.json").read_text())
    run = {
        "seed": seed,
        "seconds": final["seconds"],
        "steps": final["steps"],
        "steps_per_second": final["steps_per_second"],
        "ended": final["ended"],
        "curve": curve(out / "metrics.csv"),
        "evaluation": evaluation,
    } | {name: final[name] for name in OWN if name in final}
    if "matches" in recipe:
        run["matches"] = {opponent: match(out, opponent) for opponent in recipe["matches"]}
    done.write_text(json.dumps({"stamp": stamp, "run": run}))
    headline = next(evaluation[name] for name in ("mean", "distance", "modes") if name in evaluation)
    print(f"  {variant}, seed {seed}: {headline:.1f} after {run['steps']:,} steps, {run['seconds']:.1f} s")
    return run


def match(out: Path | str, opponent: str) -> dict:
    """200 games of a run against an opponent, as `zoolib match` says it, without the moves."""
    command = [sys.executable, "-m", "zoolib", "match", str(out), *shlex.split(opponent), "--seed", "900", "--json"]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {key: said[key] for key in ("wins", "draws", "losses", "score", "low", "high")}


def run_script(name: str, variant: str, command: str, digest: str) -> list[dict]:
    """Run a command that measures by itself and prints its rows as JSON, or take what it found before."""
    done = ROOT / "_build" / "results" / name / digest / f"{variant}.json"
    if done.is_file() and json.loads(done.read_text())["command"] == command:
        return json.loads(done.read_text())["rows"]
    script = [sys.executable, *shlex.split(command)[1:]]
    said = subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
    rows = json.loads(said)
    done.parent.mkdir(parents=True, exist_ok=True)
    done.write_text(json.dumps({"command": command, "rows": rows}))
    print(f"  {variant}: {len(rows)} rows")
    return rows


def curve(path: Path) -> dict[str, list]:
    """Columns of metrics.csv, thinned to about POINTS rows; every row that holds a rare measurement is kept."""
    rows = list(csv.DictReader(path.open()))
    every = max(1, math.ceil(len(rows) / POINTS))
    rare = [column for column in rows[0] if column.startswith(("validation_", "cosine_"))]
    kept = [row for i, row in enumerate(rows) if i % every == 0 or any(row[column] for column in rare)]
    columns = [column for column in rows[0] if CURVE.fullmatch(column) and any(row.get(column) for row in kept)]
    return {column: [round(float(row[column]), 4) if row.get(column) else None for row in kept] for column in columns}


def ship(name: str, recipe: dict, variants: dict) -> None:
    """Put the weights of the median seed (by score, then by steps) into the library: typical, not the luckiest."""
    from zoolib import pretrained

    runs = variants[recipe["ship"]["variant"]]["runs"]
    if len(runs) > 1:
        runs = sorted(runs, key=lambda run: (-run["evaluation"]["mean"], run["steps"]))
    run = runs[len(runs) // 2]
    digest = variants[recipe["ship"]["variant"]]["code_hash"]
    path = ROOT / "_build" / "results" / name / digest / recipe["ship"]["variant"] / f"seed-{run['seed']}"
    score = {key: run["evaluation"][key] for key in SCORES if key in run["evaluation"]}
    command = f"zoolib {variants[recipe['ship']['variant']]['command']} --seed {run['seed']}"
    weights, half = path / "weights.safetensors", recipe["ship"].get("half", False)
    if recipe["ship"].get("eight", False):
        state, header = pretrained.load_weights(weights)
        weights, half = path / "eight.safetensors", True
        pretrained.save_weights(weights, eight_bits(state), header)
    pretrained.ship(weights, recipe["ship"]["name"], half=half, score=score, command=command)
    print(f"shipped {recipe['ship']['name']} (seed {run['seed']})")


def eight_bits(state: dict) -> dict:
    """The large matrices as float8 (4 bits of exponent, 3 of mantissa), each weight off by a thirtieth in the mean: for
    weights that would leave no room for others.  A network that loads them computes in float32 as always."""
    import torch

    large = {name for name, tensor in state.items() if tensor.dim() == 2 and tensor.numel() > 40_000}
    return {name: tensor.to(torch.float8_e4m3fn) if name in large else tensor for name, tensor in state.items()}


def commit() -> str:
    """The commit that the code is at, marked where files in zoolib differ from it."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    changed = subprocess.run(["git", "status", "--porcelain", "zoolib"], cwd=ROOT, capture_output=True, text=True)
    code = [line for line in changed.stdout.splitlines() if line.endswith(".py")]
    return head + ("+changes" if code else "")


def machine(commands: dict[str, str]) -> dict:
    """What it ran on, and with how many threads: the most that one of the commands names."""
    import torch

    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = lines[0].partition(":")[2].strip() if lines else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": max(int(n) for n in re.findall(r"--(?:threads|workers) (\d+)", " ".join(commands.values())) or [1]),
    }


if __name__ == "__main__":
    sys.exit(main())

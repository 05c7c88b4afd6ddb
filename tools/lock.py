"""`make lock`: write requirements.lock, one version for every package the book and its checks use.

    python -m tools.lock [--upgrade] [--upgrade-package NAME]

The file holds for Python 3.11 to 3.13 on Linux, macOS and Windows. A version already in it stays unless
pyproject.toml or CONSTRAINTS rule it out, or an upgrade is asked for; so a new dependency moves nothing else.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
HEADER = "# Written by `make lock` from pyproject.toml; used as constraints (pip install -c requirements.lock).\n"

# torch is exact because every recorded figure was made with it. The others are the versions of Jupyter Book
# 1's parts that were tried together; newer ones of each exist and do not fit one another.
CONSTRAINTS = (
    "torch==2.13.0",
    "numpy<2.5",
    "jupyter-book==1.0.4.post1",
    "sphinx==7.4.7",
    "myst-nb==1.4.0",
    "myst-parser==3.0.1",
    "sphinx-book-theme==1.3.0",
    "pydata-sphinx-theme==0.17.1",
)

# torch names the exact versions of its accelerator packages itself, and its CPU build wants none of them.
TORCH_BRINGS = re.compile(r"(nvidia-|cuda-|triton(?![\w-]))")


def pins(text: str) -> str:
    """The lock's text for uv's output `text`: its pins, without comments, options and what torch brings."""
    lines = [line.rstrip() for line in text.splitlines()]
    kept = [line for line in lines if re.match(r"\w", line) and not TORCH_BRINGS.match(line)]
    return HEADER + "\n".join(kept) + "\n"


def resolve(old: str, *options: str) -> str:
    """Resolve every extra of pyproject.toml with uv, keeping the versions of the lock text `old`.

    Raises RuntimeError with uv's own words when no set of versions fits.
    """
    with tempfile.TemporaryDirectory() as folder:
        output, constraints = Path(folder, "lock.txt"), Path(folder, "constraints.txt")
        output.write_text(old, encoding="utf-8")
        constraints.write_text("\n".join(CONSTRAINTS), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "uv",
            "pip",
            "compile",
            "pyproject.toml",
            "--all-extras",
            "--universal",
        ]
        command += [
            "--python-version",
            "3.11",
            "--no-python-downloads",
            "--no-header",
            "--no-annotate",
            "--quiet",
        ]
        command += ["--constraint", str(constraints), "--output-file", str(output), *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return pins(output.read_text(encoding="utf-8"))


def main(argv: list[str] | None = None) -> int:
    """Write requirements.lock; exit status 2 and uv's message when nothing fits."""
    parser = argparse.ArgumentParser(prog="tools.lock", description=__doc__.splitlines()[0])
    parser.add_argument("--upgrade", action="store_true", help="take the newest version of everything")
    parser.add_argument("--upgrade-package", action="append", default=[], metavar="NAME", help="of this one")
    args = parser.parse_args(argv)
    options = ["--upgrade"] if args.upgrade else []
    for name in args.upgrade_package:
        options += ["--upgrade-package", name]
    old = LOCK.read_text(encoding="utf-8") if LOCK.exists() else ""
    try:
        new = resolve(old, *options)
    except RuntimeError as error:
        print(f"requirements.lock is as it was, because no set of versions fits:\n{error}", file=sys.stderr)
        return 2
    if new == old:
        print("requirements.lock: nothing to change.")
        return 0
    LOCK.write_text(new, encoding="utf-8")
    before, after = set(old.splitlines()), set(new.splitlines())
    for line in sorted(before ^ after, key=lambda line: (line.split("=")[0], line in after)):
        if not line.startswith("#"):
            print("+" if line in after else "-", line)
    print("requirements.lock written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

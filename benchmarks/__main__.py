"""`make bench`: run every benchmark, or those named, and print ratios measured within this one run."""

import importlib
import json
import sys
import tempfile
from pathlib import Path

NAMES = "run_overhead sum_tree dqn_cartpole a2c_cartpole ddpg_pendulum dni_speed gan_step search gnugo thinking".split()


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"bench: no benchmark is called {unknown[0]!r}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in names or NAMES:
        print(f"{name} ...", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            result = importlib.import_module(f"benchmarks.{name}").main(Path(folder))
        print(json.dumps(result, indent=1), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

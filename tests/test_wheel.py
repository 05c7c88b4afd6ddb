"""The wheel, as Colab installs it: away from the repository, a chapter still runs top to bottom."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CI = os.environ.get("CI", "").lower() not in ("", "0", "false")
CHAPTER = "book/rl/01-the-rl-loop.ipynb"  # the quickest
UV = [sys.executable, "-m", "uv"]


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """The command's output; fails the test with all of it when the command fails."""
    # A kernel or Python started here must not find the repository, nor the environment of the tests.
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "JUPYTER_PATH", "COVERAGE_PROCESS_START")
    env = {name: value for name, value in os.environ.items() if name not in hidden} | variables
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True)
    unreachable = re.search(r"dns error|client error \(Connect\)|error sending request", done.stderr)
    if done.returncode and unreachable and not CI:
        pytest.skip("the package registry cannot be reached")
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def where_pip_looks() -> list[str]:
    """What pip is told about further places for packages, as options for uv, which does not read pip's settings."""
    pip = [sys.executable, "-m", "pip", "config", "get", "global.find-links"]
    configured = subprocess.run(pip, capture_output=True, text=True).stdout
    options = []
    for place in sorted({*configured.split(), *os.environ.get("PIP_FIND_LINKS", "").split()}):
        options += ["--find-links", place]
    for place in os.environ.get("PIP_EXTRA_INDEX_URL", "").split():
        # As pip does: the best version of all places, not of the first that has any.
        options += ["--extra-index-url", place, "--index-strategy", "unsafe-best-match"]
    return options


def published() -> set[str]:
    """The paths in the wheel of every file that git would commit to zoolib/ and book/results/."""
    listed = run(
        *("git", "ls-files", "--cached", "--others", "--exclude-standard", "zoolib", "book/results"), cwd=ROOT
    ).splitlines()
    return {path.replace("book/results/", "zoolib/results/") for path in listed if (ROOT / path).is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(*UV, "build", "--quiet", "--wheel", "--out-dir", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The Python of an environment that holds the wheel, what it needs, and what runs a notebook."""
    folder = tmp_path_factory.mktemp("environment") / "env"
    run(*UV, "venv", "--quiet", "--python", sys.executable, folder, cwd=folder.parent)
    interpreter = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    lock = ROOT / "requirements.lock"
    install = [*UV, "pip", "install", "--quiet", "--python", interpreter, "--constraint", lock, *where_pip_looks()]
    run(*install, wheel, "ipykernel", "papermill", cwd=folder.parent)
    return interpreter


def test_the_wheel_holds_the_library_its_weights_and_its_results(wheel):
    names = run(sys.executable, "-m", "zipfile", "-l", wheel, cwd=wheel.parent).splitlines()[1:]
    held = {line.split()[0] for line in names}
    inside = {name for name in held if name.startswith("zoolib/")}
    assert inside == published()
    assert any(name.startswith("zoolib/weights/") for name in inside)
    assert any(re.fullmatch(r"zoolib/results/\w+\.json", name) for name in inside)
    assert any(name.endswith("/licenses/LICENSE") for name in held)


def test_the_installed_library_finds_its_weights_and_results(python, tmp_path):
    code = """
import json, pathlib, sys, zoolib
from zoolib import pretrained, records
home = pathlib.Path(zoolib.__file__).parent
found = [pretrained.load(path.stem) for path in home.glob("weights/*.safetensors")]
found += [records.recorded(path.stem) for path in home.glob("results/*.json")]
print(json.dumps([str(home), len(found)]))
"""
    home, found = json.loads(run(python, "-c", code, cwd=tmp_path).splitlines()[-1])
    assert Path(home).is_relative_to(python.parents[1]), f"zoolib came from {home}"
    assert found >= 2


def test_a_chapter_runs_in_an_empty_folder(python, tmp_path):
    notebook = tmp_path / Path(CHAPTER).name
    notebook.write_bytes((ROOT / CHAPTER).read_bytes())
    output = tmp_path / "out.ipynb"
    run(
        *(python, "-m", "papermill", notebook, output, "-p", "budget", "quick", "-k", "python3"),
        cwd=tmp_path,
        JUPYTER_PREFER_ENV_PATH="1",
        OMP_NUM_THREADS="1",
    )
    cells = json.loads(output.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
    assert all(cell["execution_count"] for cell in code)
    (setup,) = (cell for cell in code if "setup" in cell["metadata"].get("tags", []))
    assert not [one for one in setup["outputs"] if "pip" in json.dumps(one)], "the set-up cell installed something"

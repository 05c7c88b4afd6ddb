"""What the repository says about itself: its dependencies, its address, its workflows, and what Colab carries."""

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools import address, build, lock

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
EXTRAS = PROJECT["optional-dependencies"]
PYTHONS = ("3.11", "3.12", "3.13")
BUILT = ("_build/", "dist/")  # written by the commands, so not always there
CI = os.environ.get("CI", "").lower() not in ("", "0", "false")


# --------------------------------------------------------------------------------------------------
# Dependencies: pyproject.toml, requirements.lock and environment.yml say the same


def pinned(text: str, python: str) -> dict[str, Version]:
    """The versions that the lock `text` pins on Linux with Python `python` ("3.12", or "3.12.4" where that matters)."""
    short, full = ".".join(python.split(".")[:2]), python if python.count(".") > 1 else f"{python}.9"
    on = {"python_version": short, "python_full_version": full, "sys_platform": "linux"}
    on |= {"os_name": "posix", "platform_system": "Linux", "implementation_name": "cpython"}
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            (specifier,) = pin.specifier
            assert specifier.operator == "==" and not specifier.version.endswith("*"), f"no exact pin: {line}"
            if pin.marker is None or pin.marker.evaluate(on):
                assert canonicalize_name(pin.name) not in found, f"{pin.name} is pinned twice for Python {python}"
                found[canonicalize_name(pin.name)] = Version(specifier.version)
    return found


def unmet(dependencies: list[str], pins: dict[str, Version]) -> list[str]:
    """The dependencies that `pins` leaves out or contradicts."""
    wanted = [Requirement(text) for text in dependencies]
    return [
        str(one)
        for one in wanted
        if canonicalize_name(one.name) not in pins or pins[canonicalize_name(one.name)] not in one.specifier
    ]


def everything() -> list[str]:
    return [*PROJECT["dependencies"], *(one for extra in EXTRAS.values() for one in extra)]


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_pins_every_dependency_within_its_floor(python):
    missing = unmet(everything(), pinned(LOCK, python))
    assert not missing, f"requirements.lock lacks or contradicts {missing}; run `make lock`"


def test_a_lock_that_disagrees_is_noticed():
    assert unmet(["torch>=2.9", "tqdm>=4"], {"torch": Version("2.8")}) == ["torch>=2.9", "tqdm>=4"]
    assert unmet(["Torch>=2.9"], {"torch": Version("2.13.0")}) == []


def test_the_lock_pins_what_the_dependencies_need_in_turn():
    """Follow the installed packages' own requirements; a dependency added without `make lock` shows here."""
    pins = pinned(LOCK, ".".join(map(str, sys.version_info[:3])))  # Debian 12 has 3.11.2, for which some pins differ
    todo, seen, missing, differ = [("zoolib", frozenset(EXTRAS))], set(), [], []
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            installed = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed here
        if name != "zoolib":
            if name not in pins:
                missing.append(name)
            elif Version(installed.version).public != str(pins[name]):
                differ.append(f"{name} {installed.version} (locked: {pins[name]})")
        for text in installed.requires or []:
            one = Requirement(text)
            environment = default_environment()
            if one.marker is None or any(
                one.marker.evaluate(environment | {"extra": extra}) for extra in [*extras, ""]
            ):
                if not lock.TORCH_BRINGS.match(canonicalize_name(one.name)):
                    todo.append((canonicalize_name(one.name), frozenset(one.extras)))
    assert not missing, f"requirements.lock lacks {sorted(set(missing))}; run `make lock`"
    assert not differ, f".venv differs from requirements.lock: {sorted(set(differ))}; run `make book` again"


def test_torch_is_exact_in_the_lock_and_a_floor_in_pyproject():
    (torch,) = (Requirement(one) for one in PROJECT["dependencies"] if one.startswith("torch"))
    assert str(torch.specifier) == ">=2.9"
    assert [line for line in LOCK.splitlines() if line.startswith("torch=")] == ["torch==2.13.0"]
    assert all(pinned(LOCK, python)["torch"] == Version("2.13.0") for python in PYTHONS)


def test_pyproject_names_floors_and_no_pins():
    for text in PROJECT["dependencies"]:
        operators = {one.operator for one in Requirement(text).specifier}
        assert operators == {">="}, f"{text}: Colab's own packages must satisfy it, so give a floor only"


def test_python_versions():
    supported = SpecifierSet(PROJECT["requires-python"])
    minors = [f"3.{minor}" for minor in range(8, 20) if supported.contains(f"3.{minor}.1")]
    assert tuple(minors) == PYTHONS


def test_the_lock_leaves_out_what_torch_brings_and_where_it_came_from():
    text = (
        "# via a registry\n--index-url https://example.org\nnvidia-cublas==13.1 ; sys_platform == 'linux'\n"
        "cuda-toolkit==13\ntriton==3.7 ; python_version < '3.15'\ntriton-utils==1\ntorch==2.13.0\n"
    )
    assert lock.pins(text) == lock.HEADER + "triton-utils==1\ntorch==2.13.0\n"
    assert lock.pins(LOCK) == LOCK, "requirements.lock was edited by hand; run `make lock`"


def test_conda_and_binder_get_the_same_dependencies():
    """environment.yml points to pyproject.toml and the lock, so it can disagree only by naming more or less."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = [one for one in environment["dependencies"] if isinstance(one, str)]
    (pip,) = (one["pip"] for one in environment["dependencies"] if isinstance(one, dict))
    assert "-c requirements.lock" in pip, "without the lock, conda and Binder would get other versions"
    (target,) = (re.fullmatch(r"-e \.\[([\w,]+)\]", one) for one in pip if one.startswith("-e"))
    extras = target[1].split(",")
    assert "book" in extras and set(extras) <= set(EXTRAS), f"environment.yml installs {extras}"
    names = {Requirement(one.replace("=", "==", 1)).name: one for one in conda}
    assert set(names) == {"python", "make", "pip"}, "packages belong into pyproject.toml"
    assert names["python"].split("=")[1] in PYTHONS
    rest = {one for one in pip if not one.startswith(("-c ", "-e "))}
    assert rest <= {"--extra-index-url https://download.pytorch.org/whl/cpu"}, f"pyproject.toml lacks {rest}"


# --------------------------------------------------------------------------------------------------
# What needs the package registry


def resolve(*arguments: str) -> str:
    """uv's resolution of pyproject.toml as text; skips without a registry, except in CI."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--no-python-downloads"]
    command += ["--no-header", "--no-annotate", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    unreachable = re.search(r"dns error|client error \(Connect\)|error sending request|timed out", done.stderr)
    if done.returncode and unreachable and not CI:
        pytest.skip("the package registry cannot be reached")
    assert done.returncode == 0, done.stderr
    return done.stdout


def colab() -> dict[str, Version]:
    return pinned((ROOT / "tests" / "colab-constraints.txt").read_text(encoding="utf-8"), "3.13")


# Distributions that install the same import package: one of them would overwrite the other's files.
SAME_FILES = {"pygame-ce": "pygame", "pygame": "pygame-ce", "opencv-python-headless": "opencv-python"}


def moved(resolved: dict[str, Version], carried: dict[str, Version]) -> list[str]:
    """What an installation of `resolved` would change among the packages `carried`."""
    changes = [
        f"{name} {carried[name]} -> {version}"
        for name, version in resolved.items()
        if name in carried and version != carried[name]
    ]
    overwritten = [f"{SAME_FILES[n]} overwritten by {n}" for n in resolved if SAME_FILES.get(n) in carried]
    return changes + overwritten


def test_installing_zoolib_on_colab_moves_nothing():
    constraints = ROOT / "tests" / "colab-constraints.txt"
    text = resolve("--constraint", str(constraints), "--python-version", "3.13")
    resolved = pinned(text, "3.13")
    assert {"torch", "numpy", "gymnasium", "ipython"} <= set(resolved)
    assert not moved(resolved, colab())


def test_a_moved_package_is_noticed():
    carried = {"numpy": Version("2.1.3"), "pygame": Version("2.6.1")}
    assert moved({"numpy": Version("2.4"), "tyro": Version("1")}, carried) == ["numpy 2.1.3 -> 2.4"]
    assert moved({"pygame-ce": Version("2.5.8")}, carried) == ["pygame overwritten by pygame-ce"]
    assert moved({"numpy": Version("2.1.3")}, carried) == []


def test_making_the_lock_again_changes_nothing():
    try:
        again = lock.resolve(LOCK)
    except RuntimeError as error:
        if not CI and re.search(r"dns error|error sending request|timed out", str(error)):
            pytest.skip("the package registry cannot be reached")
        raise
    assert again == LOCK


# --------------------------------------------------------------------------------------------------
# The address


def test_every_link_to_the_repository_is_its_address():
    found = address.strays(
        {path: text for path, text in address.texts(ROOT).items() if not path.startswith("tests/")},
        address.repository(ROOT),
    )
    assert not found, "these links differ from pyproject.toml's Repository; run `make address`:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("path", "text", "stray"),
    [
        ("README.md", "see https://github.com/else/zoo.", "github.com/else/zoo"),
        ("README.md", "see https://github.com/me/zoo/issues, git clone https://github.com/me/zoo.git", None),
        ("README.md", "`make address URL=https://github.com/you/fork`", None),
        ("book/a.md", "[CleanRL](https://github.com/vwxyzjn/cleanrl)", None),
        ("book/a.md", "https://github.com/else/zoo", "github.com/else/zoo"),
        ("book/a.md", "https://github.com/me/old", "github.com/me/old"),
        ("book/a.ipynb", "%pip install git+https://github.com/else/x@v1", "git+https://github.com/else/x"),
        ("book/a.md", "https://colab.research.google.com/github/else/x/blob/main/a", "colab.research.google.com/"),
        ("book/a.md", "https://else.github.io/zoo/start.html", "else.github.io/zoo"),
        ("book/a.md", "https://me.github.io/zoo/start.html", None),
        (".github/workflows/x.yml", "git clone https://github.com/else/x", "github.com/else/x"),
    ],
)
def test_strays(path, text, stray):
    found = address.strays({path: "first line\n" + text}, "https://github.com/me/zoo")
    assert [stray] * bool(stray) == [one.split(": ")[1][: len(stray)] for one in found] and len(found) == bool(stray)
    assert all(one.startswith(f"{path}:2: ") for one in found)


def test_make_address_moves_every_link_and_back(tmp_path):
    """On a copy of the files that git would commit."""
    for path, text in address.texts(ROOT).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(text.encode("utf-8"))
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    old, new = address.repository(ROOT), "https://github.com/Some-One/zoo.book"
    before = address.texts(tmp_path)
    changed = address.move(new + ".git", tmp_path)
    assert {"pyproject.toml", "README.md", "CITATION.cff"} <= set(changed)
    after = {path: text for path, text in address.texts(tmp_path).items() if not path.startswith("tests/")}
    assert address.repository(tmp_path) == new
    assert not address.strays(after, new)
    pair = "/".join(address.parse(old))
    assert not [path for path, text in after.items() if f"{pair}" in text or address.site(old)[:-1] in text]
    assert "https://some-one.github.io/zoo.book/" in after["CITATION.cff"]
    address.move(old, tmp_path)
    assert address.texts(tmp_path) == before


@pytest.mark.parametrize("wrong", ["", "zoo", "http://github.com/a/b", "https://github.com/a", "https://x.org/a/b"])
def test_an_address_that_is_none_is_refused_in_one_line(wrong, capsys):
    assert address.main([wrong]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "https://github.com/OWNER/NAME" in told and wrong in told


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://github.com/Me/Zoo", "https://me.github.io/Zoo/"),
        ("https://github.com/me/me.github.io", "https://me.github.io/"),
    ],
)
def test_the_site_follows_from_the_address(url, site):
    assert address.site(url) == site


def test_what_names_a_release_names_this_one():
    """Colab's set-up cells install the tag of the version in pyproject.toml; CITATION.cff says the same version."""
    link = re.compile(r"git\+https://github\.com/[\w.-]+/[\w.-]+@([\w.]+)")
    tags = {
        (path, tag)
        for path, text in address.texts(ROOT).items()
        if not path.startswith("tests/")
        for tag in link.findall(text)
    }
    notebooks = {path for path in address.texts(ROOT) if path.startswith("book/") and path.endswith(".ipynb")}
    assert notebooks == {path for path, _ in tags if path.endswith(".ipynb")}, "a chapter lacks its set-up cell"
    assert {tag for _, tag in tags} == {"v" + PROJECT["version"]}, tags
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["repository-code"] == address.repository(ROOT)
    assert citation["url"] == address.site(address.repository(ROOT))


# --------------------------------------------------------------------------------------------------
# Files that others read


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_what_the_front_pages_name_exists(page):
    """Their links, their commands and, in CONTRIBUTING.md, the places in the table of the house."""
    text = (ROOT / page).read_text(encoding="utf-8")
    paths = [one for one in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in one]
    assert paths and not [path for path in paths if not (ROOT / path).exists()]
    assert set(re.findall(r"`make (\w+)", text)) <= set(build.COMMANDS)
    if page == "README.md":
        told = set(re.findall(r"^(?:\| `)?make (\w+)", text, re.M))
        assert told == set(build.COMMANDS), "README.md lists every command"
    else:
        house = [row.split("|")[1] for row in text.splitlines() if row.startswith("| `")]
        places = [place for row in house for place in re.findall(r"`([^`]+)`", row) if place not in BUILT]
        known = [(ROOT / p).exists() or (ROOT / "zoolib" / p).exists() for p in places]
        assert [place for place, there in zip(places, known, strict=True) if not there] == []


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        *(("vendor.github-workflows", f".github/workflows/{name}.yml") for name in ("test", "pages", "weekly")),
        ("vendor.citation-file-format", "CITATION.cff"),
    ],
)
def test_published_schema(schema, path):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(ROOT / path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_call_the_commands_of_the_makefile():
    targets = set(re.findall(r"^([\w ]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    known = {name for line in targets for name in line.split()}
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
        commands = [word for step in steps for word in re.findall(r"make (\w+)", step.get("run", ""))]
        assert set(commands) <= known, f"{path.name} calls {commands}"
    weekly = (ROOT / ".github" / "workflows" / "weekly.yml").read_text(encoding="utf-8")
    assert "_build" not in weekly and "restore-keys" not in weekly, "the weekly run starts from scratch"


def test_the_ci_script_is_executable_and_calls_make_test():
    path = ROOT / ".ci" / "run"
    assert os.access(path, os.X_OK)
    assert subprocess.run(["bash", "-n", str(path)]).returncode == 0
    assert "make test" in path.read_text(encoding="utf-8")


def test_no_registry_host_in_any_file():
    """A lock file that names where its packages were fetched sends every reader to that machine."""
    hosts = re.compile(r"files\.pythonhosted\.org|pypi\.org/simple|registry\.npmjs\.org|registry\.yarnpkg|--index-url")
    texts = address.texts(ROOT)
    for name in ("requirements.lock", "package-lock.json"):
        texts[name] = (ROOT / name).read_text(encoding="utf-8")
    found = [path for path, text in texts.items() if hosts.search(text) and not path.startswith("tests/")]
    assert not found
    resolved = json.loads(texts["package-lock.json"])["packages"]
    assert not [name for name, package in resolved.items() if "resolved" in package]


def test_no_path_of_one_machine_in_any_file():
    """A path in somebody's home or a mounted folder works there only; a notebook may carry one in its metadata."""
    place = re.compile(r"(?<![\w.$}/-])/(?:home|root|Users|work|mnt|workspace)/[\w.]+")
    found = [
        f"{path}: {match[0]}"
        for path, text in address.texts(ROOT).items()
        if not path.startswith("tests/")
        for match in place.finditer(text)
    ]
    assert not found


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_notebooks_are_stored_without_outputs():
    for path, text in address.texts(ROOT).items():
        if path.endswith(".ipynb"):
            cells = json.loads(text)["cells"]
            assert not [cell["id"] for cell in cells if cell.get("outputs") or cell.get("execution_count")], path


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_code_cell_fits_on_a_screen():
    for path, text in address.texts(ROOT).items():
        if path.endswith(".ipynb"):
            code = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
            assert not [cell["id"] for cell in code if len("".join(cell["source"]).splitlines()) > 25], path


def imports(source):
    """The packages, outside Python's own, that Python `source` imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        found = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        found += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        names |= {name.partition(".")[0] for name in found}
    return names - set(sys.stdlib_module_names) - {"zoolib"}


def test_zoolib_and_chapters_declare_what_they_import_and_import_what_is_declared():
    """A package that only comes along with another one, or with the tests, may one day stay away."""
    imported = set()
    for path in (ROOT / "zoolib").rglob("*.py"):
        if path.name != "nbgrader_plugin.py":  # which only the extra `teach` can import
            imported |= imports(path.read_text(encoding="utf-8"))
    for path in (ROOT / "book").rglob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        lines = [line for c in cells if c["cell_type"] == "code" for line in "".join(c["source"]).splitlines()]
        imported |= imports("\n".join(re.sub(r"^( *)%", r"\1pass  # %", line) for line in lines))
        imported -= set(re.findall(r"%%writefile (?:-a )?(\w+)\.py", "\n".join(lines)))  # a module of its own
    declared = {Requirement(one).name for one in PROJECT["dependencies"]}
    distributions = {"PIL": "pillow", "IPython": "ipython", "cycler": "matplotlib", "ale_py": "ale-py"}
    assert {distributions.get(name, name) for name in imported} <= declared
    # what Gymnasium draws and records with, and what imageio writes with, is imported by them
    assert declared - imported - set(distributions.values()) <= {"moviepy", "pygame", "imageio-ffmpeg"}

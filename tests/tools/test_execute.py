"""tools.execute and tools.build: chapters run when they must, and only then; the rest of `make book` on toy books."""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
import types
from pathlib import Path

import nbformat
import psutil
import pytest

from tools import build, execute

REPOSITORY = Path(__file__).resolve().parents[2]
LOOK_AROUND = """\
import os, pathlib
print(os.environ["OMP_NUM_THREADS"], os.environ["PYTHONHASHSEED"], budget, seed, os.listdir())
pathlib.Path("runs").mkdir()
weights, record = "dqn-cartpole", 'dqn'
"""


def write_chapter(root, name, *code, cores=1, parameters='budget = "quick"\nseed = 0', zoo=True):
    """Write book/NAME.ipynb: a parameters cell and one cell for each piece of code, named cell-0, cell-1 ..."""
    cells = [nbformat.v4.new_markdown_cell(f"# {name}", id="title")]
    if parameters is not None:
        tags = {"tags": ["parameters"]}
        cells.append(nbformat.v4.new_code_cell(parameters, id="parameters", metadata=tags))
    cells += [nbformat.v4.new_code_cell(text, id=f"cell-{i}") for i, text in enumerate(code)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    if zoo:
        notebook.metadata["zoo"] = {"cores": cores, "needs": [], "objectives": ["learn"]}
    path = root / "book" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def write_book(root, *names):
    """Write the table of contents and what stands around the chapters."""
    chapters = "".join(f"  - file: {name}\n" for name in names)
    texts = {
        "_toc.yml": f"format: jb-book\nroot: index\nparts:\n- caption: All\n  chapters:\n{chapters}",
        "requirements.lock": "numpy==2.0\n",
        "book/index.md": "# Book\n",
        "book/results/dqn.json": "{}",
        "book/results/go.json": "{}",
        "zoolib/__init__.py": "",
        "zoolib/run.py": "",
        "zoolib/cli.py": "",
        "zoolib/rl/dqn.py": "",
        "zoolib/games/go.py": "",
        "zoolib/teach/plot.py": "",
        "zoolib/weights/dqn-cartpole.safetensors": "",
    }
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def silent(line):
    pass


def names(outcomes):
    return sorted(outcome.name for outcome in outcomes)


def stale(root):
    return [n for n in execute.chapter_names(root) if not execute.is_current(root, execute.load(root, n))]


@pytest.fixture(scope="module")
def first_build(tmp_path_factory):
    """A book of two chapters, executed once for all tests, and the report and the lines of that build."""
    root, lines = tmp_path_factory.mktemp("book"), []
    write_book(root, "rl/one", "games/two")
    write_chapter(root, "rl/one", LOOK_AROUND)
    write_chapter(root, "games/two", LOOK_AROUND.partition("weights")[0], cores=2)
    return root, execute.run(root, say=lines.append), lines


@pytest.fixture
def root(first_build, tmp_path):
    """A copy of the executed book, to be spoilt."""
    return shutil.copytree(first_build[0], tmp_path / "copy")


def test_a_first_build_executes_every_chapter(first_build):
    root, report, lines = first_build
    assert names(report.executed) == ["games/two", "rl/one"] and not report.failed
    assert sum("rl/one" in line and " s" in line for line in lines[1:]) == 1  # one line with its time
    for name, cores in (("rl/one", 1), ("games/two", 2)):
        notebook = nbformat.read(execute.executed(root, name), as_version=4)
        assert notebook.cells[-1].outputs[0].text == f"{cores} 0 quick 0 []\n"
        record = execute.measured(root, name)
        assert set(record) == {"key", "seconds", "peak_mb", "when", "notebook"}
        assert 0 < record["seconds"] < 600 and (record["peak_mb"] is None or 10 < record["peak_mb"] < 3000)


def test_nothing_lands_in_book_or_stays_behind(first_build):
    root = first_build[0]
    assert not list((root / "book").rglob("runs")) and not (root / "_build" / "work").exists()
    assert "outputs" in nbformat.read(root / "book/rl/one.ipynb", as_version=4).cells[-1]
    assert all(not c.get("outputs") for c in nbformat.read(root / "book/rl/one.ipynb", as_version=4).cells)


def test_with_nothing_changed_nothing_runs(root, monkeypatch):
    monkeypatch.setattr(execute, "Job", None)  # starting one would raise
    report = execute.run(root, say=silent)
    assert report.kept == ["rl/one", "games/two"] and not report.executed and not report.failed


def test_editing_a_chapter_runs_that_one(root):
    write_chapter(root, "rl/one", "print('edited')")
    report = execute.run(root, say=silent)
    assert names(report.executed) == ["rl/one"] and report.kept == ["games/two"]
    notebook = nbformat.read(execute.executed(root, "rl/one"), as_version=4)
    assert notebook.cells[-1].outputs[0].text == "edited\n"
    assert stale(root) == []


@pytest.mark.parametrize(
    ("file", "runs_again"),
    [
        ("zoolib/rl/dqn.py", ["rl/one"]),
        ("zoolib/rl/new.py", ["rl/one"]),
        ("zoolib/games/go.py", ["games/two"]),
        ("zoolib/run.py", ["rl/one", "games/two"]),
        ("zoolib/teach/plot.py", ["rl/one", "games/two"]),
        ("zoolib/teach/exercises/__init__.py", ["rl/one", "games/two"]),
        ("zoolib/teach/exercises/other.py", []),
        ("requirements.lock", ["rl/one", "games/two"]),
        ("book/results/dqn.json", ["rl/one"]),
        ("zoolib/weights/dqn-cartpole.safetensors", ["rl/one"]),
        ("book/results/go.json", []),
        ("zoolib/cli.py", []),
        ("zoolib/rl/__pycache__/dqn.pyc", []),
        ("book/index.md", []),
    ],
)
def test_editing_a_file_runs_the_chapters_that_depend_on_it(root, file, runs_again):
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).write_text("# edited\n")
    assert stale(root) == runs_again


def test_a_chapter_depends_on_another_part_that_it_imports(root):
    write_chapter(root, "games/two", "from zoolib.rl import dqn")
    chapter = execute.load(root, "games/two")
    before = execute.key(root, chapter)
    (root / "zoolib/rl/dqn.py").write_text("# edited\n")
    assert execute.key(root, chapter) != before


def test_a_chapter_depends_on_the_exercises_that_it_checks(root):
    write_chapter(root, "games/two", 'check("other.one", one)')
    chapter = execute.load(root, "games/two")
    before = execute.key(root, chapter)
    (root / "zoolib/teach/exercises").mkdir()
    (root / "zoolib/teach/exercises/other.py").write_text("# edited\n")
    assert execute.key(root, chapter) != before


def test_outputs_and_an_editors_marks_in_book_change_nothing(root):
    path = root / "book/rl/one.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].update(execution_count=7, outputs=[nbformat.v4.new_output("stream", text="mine")])
    notebook.metadata["language_info"] = {"name": "python", "version": "3.99"}
    nbformat.write(notebook, path)
    assert stale(root) == []


def test_a_damaged_cache_entry_runs_again(root):
    with open(execute.executed(root, "rl/one"), "a") as file:
        file.write(" ")
    execute.executed(root, "games/two").with_suffix(".json").write_text('{"key": ')
    assert stale(root) == ["rl/one", "games/two"]


def test_a_failing_cell_is_named_and_the_other_chapters_run(root, capsys, monkeypatch):
    monkeypatch.setattr(build, "build_site", None)  # calling it would raise
    write_chapter(root, "rl/one", "print('so far')", "good = 1\nassert good == 2, 'it did not learn'", "1")
    write_chapter(root, "games/two", "print('edited')")
    assert build.book(root) == 1
    out = capsys.readouterr().out
    assert 'cell "cell-1": AssertionError: it did not learn' in out
    assert "line 2: assert good == 2" in out and "Traceback" not in out
    assert "_build/failed/rl/one.ipynb" in out and "1 executed, 0 unchanged, 1 failed: rl/one" in out
    half = nbformat.read(root / "_build/failed/rl/one.ipynb", as_version=4)
    assert any("so far" in str(cell.get("outputs")) for cell in half.cells)
    assert stale(root) == ["rl/one"]


def test_a_killed_kernel_is_named(root):
    write_chapter(root, "rl/one", "print(1)", "import os\nos.kill(os.getpid(), 9)")
    (failed,) = execute.run(root, say=silent).failed
    assert 'cell "cell-1"' in failed.error and "DeadKernelError" in failed.error


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parameters": None}, "has 0 cells"),
        ({"parameters": 'budget = "quick"'}, "does not define seed"),
        ({"parameters": 'budget: str = "full"\nseed = 0'}, "budget = 'full'; the book runs it with 'quick'"),
        ({"cores": 3}, "zoo.cores = 3"),
        ({"zoo": False}, 'no "zoo" metadata'),
    ],
)
def test_a_notebook_that_is_no_chapter_is_refused(root, change, said):
    write_chapter(root, "rl/one", "print(1)", **change)
    lines = []
    report = execute.run(root, say=lines.append)
    assert names(report.failed) == ["rl/one"] and report.kept == ["games/two"]
    assert len(lines) == 1 and said in lines[0] and "book/rl/one.ipynb" in lines[0]


def test_two_parameters_cells_and_a_broken_file_are_refused(root):
    path = root / "book/rl/one.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, path)
    with pytest.raises(execute.Refused, match="has 2 cells tagged"):
        execute.load(root, "rl/one")
    for text in ("{", "[]", '{"cells": 3}'):
        path.write_text(text)
        with pytest.raises(execute.Refused, match="rl/one.ipynb is not a valid notebook"):
            execute.load(root, "rl/one")
    notebook.cells[-1].metadata.clear()
    notebook.nbformat_minor = 4
    for cell in notebook.cells:
        del cell["id"]
    path.write_text(json.dumps(notebook))
    with pytest.raises(execute.Refused, match="format 4.4"):
        execute.load(root, "rl/one")


def test_a_notebook_that_shows_nothing_or_stops_early_did_not_run():
    def ran(*cells):
        made = [nbformat.v4.new_code_cell("x", id=f"c{i}", **cell) for i, cell in enumerate(cells)]
        return execute.unfinished(nbformat.v4.new_notebook(cells=made))

    shown = {"execution_count": 1, "outputs": [nbformat.v4.new_output("stream", text="x")]}
    assert ran(shown, {"execution_count": 2}) == ""
    assert "no cell put anything" in ran({"execution_count": 1}, {"execution_count": 2})
    assert '"c1" never ran' in ran(shown, {})


class FakeJob:
    """Runs as long as the chapter took the last time, in ticks of the scheduler."""

    now: list[str] = []
    history: list[tuple[str, ...]] = []

    def __init__(self, root, chapter):
        self.chapter, self.left = chapter, execute.measured(root, chapter.name).get("seconds", 50)
        self.process = self
        self.now.append(chapter.name)
        self.history.append(tuple(self.now))

    def poll(self):
        self.left -= 1
        return None if self.left > 0 else 0

    def finish(self):
        self.now.remove(self.chapter.name)
        return execute.Outcome(self.chapter.name)


def schedule(tmp_path, monkeypatch, busy=lambda: 0, slots=2):
    """Which chapters ran together, each time that one started."""
    chapters = {"a-short": (1, 5), "b-long": (1, 40), "c-two": (2, 10), "d-new": (1, None), "e-short": (1, 6)}
    write_book(tmp_path, *chapters)
    for name, (cores, seconds) in chapters.items():
        write_chapter(tmp_path, name, "1", cores=cores)
        if seconds:
            record = execute.executed(tmp_path, name).with_suffix(".json")
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps({"seconds": seconds}))
    monkeypatch.setattr(FakeJob, "now", [])
    monkeypatch.setattr(FakeJob, "history", [])
    monkeypatch.setattr(execute, "Job", FakeJob)
    monkeypatch.setattr(execute, "SLOTS", slots)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    execute.run(tmp_path, say=silent, busy=busy)
    return FakeJob.history


def test_chapters_are_packed_by_cores_and_the_longest_goes_first(tmp_path, monkeypatch):
    assert schedule(tmp_path, monkeypatch) == [
        ("c-two",),
        ("d-new",),
        ("d-new", "b-long"),
        ("d-new", "e-short"),
        ("d-new", "a-short"),
    ]


def test_on_one_core_or_beside_the_unit_tests_one_runs_at_a_time(tmp_path, monkeypatch):
    assert all(len(together) == 1 for together in schedule(tmp_path / "1", monkeypatch, slots=1))
    ticks = itertools.count()
    beside = schedule(tmp_path / "2", monkeypatch, busy=lambda: next(ticks) < 200)
    assert [together for together in beside if "c-two" in together] == [("c-two",)]  # waits until it is alone
    assert beside[0] == ("d-new",) and beside[1] == ("b-long",)


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def half(tmp_path):
    """A book of a fast chapter and of one that writes its process id to `kernel` and waits while `held` exists."""
    write_book(tmp_path, "fast", "slow")
    (tmp_path / "held").touch()
    wait = f"import os, pathlib, time\nroot = pathlib.Path({str(tmp_path)!r})\nprint(os.getpid())"
    wait += "\n(root / 'kernel').write_text(str(os.getpid()))\nwhile (root / 'held').exists(): time.sleep(0.1)"
    write_chapter(tmp_path, "slow", wait)
    kernel = tmp_path / "kernel"
    # The fast one ends only when the slow one runs, so that there is something to interrupt.
    started = f"import pathlib, time\nwhile not pathlib.Path({str(kernel)!r}).exists(): time.sleep(0.1)"
    write_chapter(tmp_path, "fast", started, "print(1)")
    return tmp_path


def test_ctrl_c_ends_what_runs(half):
    def interrupt(line):
        if "/2] fast" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute.run(half, say=interrupt)
    assert gone(int((half / "kernel").read_text())) and not (half / "_build" / "work").exists()
    assert stale(half) == ["slow"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_build_leaves_no_process_and_resumes(half):
    command = f"from pathlib import Path; from tools import execute; execute.run(Path({str(half)!r}))"
    process = subprocess.Popen([sys.executable, "-c", command], cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    fast = execute.executed(half, "fast").with_suffix(".json")
    try:
        wait_for(fast.exists)
    finally:
        process.kill()
    process.wait()
    pid = int((half / "kernel").read_text())
    wait_for(lambda: gone(pid))
    (half / "held").unlink()
    report = execute.run(half, say=silent)
    assert names(report.executed) == ["slow"] and report.kept == ["fast"]


# ------------------------------------------------------------------------------------------------
# tools.build


def test_a_second_build_says_that_it_waits(tmp_path):
    command = (
        "import sys; from pathlib import Path; from tools import build\n"
        f"with build.alone(Path({str(tmp_path)!r})): print('in', flush=True); sys.stdin.read()"
    )

    def start():
        return subprocess.Popen(
            [sys.executable, "-c", command],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    with start() as first, start() as second:
        lines = {first: first.stdout.readline(), second: second.stdout.readline()}
        (holder,) = [process for process in lines if lines[process] == "in\n"]
        (waiter,) = [process for process in lines if process is not holder]
        assert lines[waiter].startswith("Another build is running")
        holder.kill()  # the system drops the lock of a killed process
        assert waiter.stdout.readline() == "in\n"
        waiter.stdin.close()


@pytest.fixture
def site(monkeypatch):
    """Stands for tools.site: a Jupyter Book that copies the source, and counts how often it ran."""
    fake = types.ModuleType("tools.site")
    fake.Failed, fake.builds, fake.status = type("Failed", (Exception,), {}), [], 0

    def make(source, html, root):
        fake.builds.append(source)
        html.mkdir(parents=True, exist_ok=True)
        (html / "index.html").write_text((source / "index.md").read_text())
        return fake.status

    fake.prepare = lambda source, root: (source / "colours.css").write_text(":root {}")
    fake.build = make
    monkeypatch.setitem(sys.modules, "tools.site", fake)
    monkeypatch.setattr("tools.site", fake, raising=False)
    return fake


def test_the_site_is_built_when_its_source_or_the_html_changed(root, site, capsys):
    assert build.book(root) == 0 and len(site.builds) == 1
    assert "_build/html/index.html" in capsys.readouterr().out
    assert build.book(root) == 0 and len(site.builds) == 1
    (root / "book/index.md").write_text("# Other\n")
    assert build.book(root) == 0 and len(site.builds) == 2
    assert (root / "_build/html/index.html").read_text() == "# Other\n"
    (root / "_build/html/index.html").write_text("spoilt")
    assert build.book(root) == 0 and len(site.builds) == 3


def test_a_site_with_warnings_fails_every_time(root, site):
    build.book(root)
    (root / "book/index.md").write_text("# Warning\n")
    site.status = 1
    assert build.book(root) == 1 and build.book(root) == 1 and len(site.builds) == 3


def test_a_site_that_cannot_be_prepared_says_why(root, site, capsys):
    def prepare(source, root):
        raise site.Failed("npm could not install")

    site.prepare = prepare
    assert build.book(root) == 1 and "npm could not install" in capsys.readouterr().err


def test_clean_removes_what_was_built_and_nothing_else(root):
    (root / "dist").mkdir()
    assert build.clean(root) == 0
    assert [path.name for path in (root / "_build").iterdir()] == [".lock"] and not (root / "dist").exists()
    assert (root / "book/rl/one.ipynb").exists()


def environment(root, monkeypatch, failing=None):
    """A repository whose .venv is there, with a pip that only notes what it is asked; returns those notes."""
    root.mkdir()
    (root / "pyproject.toml").write_text('requires-python = ">=3.11,<3.14"\n')
    (root / "requirements.lock").write_text("a==1\n")
    asked = []

    def call(command, **options):
        asked.append(command[1:])
        if command[1:3] == ["-m", "venv"]:
            build.interpreter(root).parent.mkdir(parents=True)
            build.interpreter(root).touch()
        return int(failing in command)

    monkeypatch.setattr(build.subprocess, "call", call)
    return asked


def test_requirements_are_installed_once(tmp_path, monkeypatch):
    root = tmp_path / "clone"
    asked = environment(root, monkeypatch)
    assert build.prepare_environment(root, ["book"]) == 0
    assert [command[1] for command in asked] == ["venv", "pip"] and asked[-1][-1] == ".[book]"
    assert build.prepare_environment(root, ["book"]) == 0 and len(asked) == 2
    assert build.prepare_environment(root, ["test"]) == 0 and asked[-1][-1] == ".[book,test]"
    assert build.prepare_environment(root, ["book"]) == 0 and len(asked) == 4
    (root / "requirements.lock").write_text("a==2\n")
    assert build.prepare_environment(root, ["book"]) == 0 and asked[-1][-1] == ".[book,test]"


def test_a_failed_installation_is_tried_again(tmp_path, monkeypatch):
    asked = environment(tmp_path / "clone", monkeypatch, failing="install")
    assert build.prepare_environment(tmp_path / "clone", ["book"]) == 1
    assert build.prepare_environment(tmp_path / "clone", ["book"]) == 1
    assert sum("install" in command for command in asked) == 2


def test_an_old_python_looks_for_another_and_else_says_what_is_needed(tmp_path, monkeypatch, capsys):
    environment(tmp_path / "clone", monkeypatch)
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}" if name == "python3.12" else None)
    assert build.suitable_python(tmp_path / "clone") == "/opt/python3.12"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert build.prepare_environment(tmp_path / "clone", ["book"]) == 1
    said = capsys.readouterr().err
    assert "This is Python 3.9; the book needs 3.11 to 3.13" in said and said.count("\n") == 1


def test_an_unknown_command_is_refused_in_one_line():
    command = [sys.executable, "tools/build.py", "bok"]
    finished = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert finished.returncode == 2 and "'bok'" in finished.stderr and finished.stderr.count("\n") == 1


def test_a_command_that_takes_nothing_says_so(monkeypatch, capsys):
    monkeypatch.setattr(build, "prepare_environment", lambda root, extras: 0)
    monkeypatch.setattr(build, "inside", lambda root: True)
    monkeypatch.setattr(build.signal, "signal", lambda *handler: None)
    assert build.main(["test", "--quick"]) == 2
    assert capsys.readouterr().err == "test takes nothing after it, and not '--quick'.\n"


def test_make_and_the_command_offer_the_same():
    finished = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True)
    assert finished.returncode == 0
    for name in build.COMMANDS:
        assert f"make {name} " in finished.stdout
        dry = subprocess.run(["make", "-n", name], cwd=REPOSITORY, capture_output=True, text=True)
        assert f"tools/build.py {name}" in dry.stdout


def test_a_make_that_a_command_starts_is_not_part_of_this_one(monkeypatch):
    monkeypatch.setattr(build.signal, "signal", lambda *handler: None)
    monkeypatch.setattr(build, "clean", lambda root: int("MAKEFLAGS" in os.environ))
    monkeypatch.setenv("MAKEFLAGS", "w")
    assert build.main(["clean"]) == 0


def test_what_make_is_told_reaches_the_command(monkeypatch):
    told = ["make", "-n", "results", "CHAPTER=dqn", "STALE=1"]
    dry = subprocess.run(told, cwd=REPOSITORY, capture_output=True, text=True).stdout
    words, called = dry.split("tools/build.py ")[1].splitlines()[0].split(), []
    monkeypatch.setattr(build, "prepare_environment", lambda root, extras: 0)
    monkeypatch.setattr(build, "inside", lambda root: True)
    monkeypatch.setattr(build.signal, "signal", lambda *handler: None)
    monkeypatch.setattr(build.subprocess, "call", lambda command, cwd: called.append(command[1:]) or 0)
    assert build.main(words) == 0
    assert called == [["-m", "tools.results", "--chapter", "dqn", "--stale"]]


@pytest.fixture
def steps(monkeypatch, tmp_path):
    """`make test` with every step replaced; a test says which of them fail."""
    failing, ran = set(), []

    class Unit:
        seconds = 1.0

        def __init__(self, root):
            ran.append("unit")

        busy = stop = lambda self: 0

        def finish(self):
            return "unit" not in failing, "3 passed in 1.0s"

    def step(name, passed, failed):
        def run(*args, **kwargs):
            ran.append(name)
            return failed if name in failing else passed

        return run

    broken = execute.Report(failed=[execute.Outcome("rl/one", error="x")])
    monkeypatch.setattr(build, "lint", step("lint", True, False))
    monkeypatch.setattr(build, "UnitTests", Unit)
    monkeypatch.setattr(build, "execute_chapters", step("chapters", execute.Report(), broken))
    monkeypatch.setattr(build, "build_site", step("site", 0, 1))
    monkeypatch.setattr(build, "browser_tests", step("browser", (True, "2 passed"), (False, "1 failed")))

    def run(*names):
        failing.clear()
        failing.update(names)
        ran.clear()
        return build.test(tmp_path), list(ran)

    return run


def test_make_test_runs_every_step_it_can_and_reports_every_failure(steps, capsys):
    everything = ["lint", "unit", "chapters", "site", "browser"]
    assert steps() == (0, everything)
    assert "make test: PASSED" in capsys.readouterr().out
    assert steps("lint") == (1, ["lint"])
    assert steps("unit") == (1, everything)
    assert steps("browser") == (1, everything)
    assert steps("site") == (1, everything[:-1])
    capsys.readouterr()
    assert steps("unit", "chapters") == (1, everything[:3])
    out = capsys.readouterr().out
    assert "make test: FAILED" in out and "1 failed: rl/one" in out and "3 passed in 1.0s" in out


@pytest.mark.parametrize(("ci", "passed"), [(None, True), ("false", True), ("true", False)])
def test_a_missing_chromium_fails_only_in_ci(tmp_path, monkeypatch, ci, passed):
    monkeypatch.setattr(build, "find_chromium", lambda: None)
    with contextlib.suppress(KeyError):
        monkeypatch.delenv("CI")
    if ci:
        monkeypatch.setenv("CI", ci)
    verdict, note = build.browser_tests(tmp_path)
    assert verdict is passed and "no Chromium" in note and "apt install chromium" in note


def test_pytests_closing_line_is_found():
    output = "....\n=== warnings ===\nin 3 files\n3 passed, 1 skipped in 4.21s\n"
    assert build.closing_line(output) == "3 passed, 1 skipped in 4.21s"
    assert build.closing_line("Killed\n") == "pytest did not get to its end"


def test_unit_tests_run_in_the_background_and_give_their_closing_line(tmp_path, capfd):
    (tmp_path / "_build").mkdir()
    (tmp_path / "tests" / "site").mkdir(parents=True)
    (tmp_path / "tests" / "test_a.py").write_text(
        "import os\ndef test_a(): assert os.environ['OMP_NUM_THREADS'] == '1'"
    )
    (tmp_path / "tests" / "site" / "test_b.py").write_text("def test_b(): assert False")
    unit = build.UnitTests(tmp_path)
    assert unit.busy() == 1
    passed, note = unit.finish()
    assert passed and note.startswith("1 passed in") and unit.busy() == 0 and unit.seconds > 0
    assert note in capfd.readouterr().out

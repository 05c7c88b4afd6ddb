"""The commands of this repository: `make book` or, without make, `python tools/build.py book`.

Any Python 3.11-3.13 runs this file: it makes `.venv`, installs the locked requirements there, and goes on
inside.  Up to that point it uses the standard library only, and syntax that an older Python can read, to be
able to say that it is old.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# command -> (extras of pyproject.toml that it needs, what it does)
COMMANDS = {
    "book": (["book"], "execute the chapters that changed and build the site in _build/html"),
    "test": (
        ["book", "test", "teach", "bench"],
        "lint, unit tests, chapters, site, and the site in Chromium",
    ),
    "serve": (["book"], "show the site at http://127.0.0.1:8000 (another port: PORT=8001)"),
    "lab": (["book", "teach"], "open the chapters in JupyterLab"),
    "student": (["book", "teach"], "write the student and solution copies to dist/"),
    "results": (["book"], "measure book/results/ anew: CHAPTER=dqn, or STALE=1 to list what is out of date"),
    "bench": (["book", "bench"], "time zoolib beside what a reader would otherwise use"),
    "address": (["book", "test"], "move the repository to another address: URL=https://github.com/..."),
    "lock": (["book", "test"], "write requirements.lock anew"),
    "clean": ([], "remove what was built: _build/ and dist/"),
}
# Commands that are modules of their own.
MODULES = {
    "student": "tools.editions",
    "results": "tools.results",
    "bench": "benchmarks",
    "address": "tools.address",
    "lock": "tools.lock",
}


def main(arguments):
    command, rest = (arguments or ["help"])[0], [part for word in arguments[1:] for part in as_option(word)]
    if command in ("help", "-h", "--help"):
        print(help_text())
        return 0
    if command not in COMMANDS:
        return fail("There is no command {!r}; choose one of {}.".format(command, ", ".join(COMMANDS)), 2)
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):  # a make that a test starts is not part of this one
        os.environ.pop(name, None)
    # A polite kill ends a build as Ctrl-C does: its workers go with it.
    signal.signal(signal.SIGTERM, interrupt)
    try:
        if command == "clean":
            return clean(ROOT)
        status = prepare_environment(ROOT, COMMANDS[command][0])
        if status or not inside(ROOT):
            return status or hand_over(ROOT, [command, *rest])
        if command in MODULES:
            return subprocess.call([sys.executable, "-m", MODULES[command], *rest], cwd=ROOT)
        if rest and command != "serve":
            return fail("{} takes nothing after it, and not {!r}.".format(command, " ".join(rest)), 2)
        return {"book": book, "test": test, "serve": serve, "lab": lab}[command](ROOT, *rest)
    except KeyboardInterrupt:
        return fail("\nInterrupted. What had finished is kept; the next build goes on from there.", 130)


def as_option(word):
    """`make results CHAPTER=dqn STALE=1` says in make's way what the command takes as --chapter dqn --stale."""
    name, _, value = word.partition("=")
    options = {"CHAPTER": ["--chapter", value], "STALE": ["--stale"], "URL": [value], "PORT": [value]}
    return options.get(name, [word]) if value else [word]


def interrupt(*_):
    raise KeyboardInterrupt


def help_text():
    lines = [f"  make {name:<9}{told}" for name, (_, told) in COMMANDS.items()]
    return "\n".join(
        [*lines, "Without make: python tools/build.py book (on Windows: py tools\\build.py book), and so on."]
    )


def fail(sentence, status=1):
    print(sentence, file=sys.stderr)
    return status


@contextlib.contextmanager
def alone(root):
    """Hold the build's lock; where another build holds it, say so and wait.

    The system drops the lock with the process, so a killed build leaves none behind.
    """
    folder = root / "_build"
    folder.mkdir(exist_ok=True)
    with open(folder / ".lock", "a+") as handle:
        try:
            import fcntl

            def lock(wait):
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except ImportError:  # Windows
            import msvcrt

            def lock(wait):
                handle.seek(0)
                msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)

        try:
            lock(wait=False)
        except OSError:
            print("Another build is running in this folder; this one waits until it has ended.", flush=True)
            while True:
                try:
                    lock(wait=True)
                    break
                except OSError:  # Windows offers no endless wait
                    time.sleep(0.5)
        yield


# --------------------------------------------------------------------------------------------------
# The environment


def interpreter(root):
    """The Python of `root`/.venv, whether or not it is there yet."""
    return root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def inside(root):
    return Path(sys.prefix).resolve() == (root / ".venv").resolve()


def prepare_environment(root, extras):
    """Make `root`/.venv hold the locked requirements of these extras; return an exit status."""
    if _holds(root, extras):
        return 0
    with alone(root):  # only now: `make serve` need not wait for a build
        return 0 if _holds(root, extras) else _install(root, extras)


def _stamp(root):
    """What the last installation recorded: the hash of its requirements, and the extras."""
    try:
        return json.loads((root / ".venv" / ".installed.json").read_text())
    except (OSError, ValueError):
        return {"hash": None, "extras": []}


def _holds(root, extras):
    stamp = _stamp(root)
    current = stamp["hash"] == _requirements_hash(root) and interpreter(root).exists()
    return current and set(extras) <= set(stamp["extras"])


def _install(root, extras):
    extras = sorted({*extras, *_stamp(root)["extras"]})
    python, wanted = str(interpreter(root)), _requirements_hash(root)
    if not interpreter(root).exists() or subprocess.call([python, "-m", "pip", "--version"], stdout=subprocess.DEVNULL):
        maker = suitable_python(root)
        if maker is None:
            return 1
        print("Making .venv", flush=True)
        if subprocess.call([maker, "-m", "venv", "--clear", str(root / ".venv")]):
            return fail("Making .venv failed; on Debian or Ubuntu, install python3-venv first.")
    print("Installing the locked requirements into .venv: some minutes the first time", flush=True)
    target = ".[{}]".format(",".join(extras))
    if subprocess.call([python, "-m", "pip", "install", "-c", "requirements.lock", "-e", target], cwd=root):
        return fail("pip could not install the requirements; its message stands above.")
    (root / ".venv" / ".installed.json").write_text(json.dumps({"hash": wanted, "extras": extras}))
    return 0


def _requirements_hash(root):
    content = b"".join((root / name).read_bytes() for name in ("requirements.lock", "pyproject.toml"))
    return hashlib.sha256(content).hexdigest()


def suitable_python(root):
    """A Python that pyproject.toml accepts: this one, or one on the path; None where there is none."""
    low, high = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (root / "pyproject.toml").read_text()).groups()
    minors = range(int(low), int(high))
    if sys.version_info[0] == 3 and sys.version_info[1] in minors:
        return sys.executable
    for minor in reversed(minors):
        found = shutil.which(f"python3.{minor}")
        if found:
            return found
    fail(
        "This is Python {}.{}; the book needs 3.{} to 3.{}. ".format(*sys.version_info[:2], minors[0], minors[-1])
        + "Install one, or name it: make book PYTHON=/path/to/python3"
    )
    return None


def hand_over(root, arguments):
    """Go on inside .venv."""
    command = [str(interpreter(root)), "-m", "tools.build", *arguments]
    if os.name == "nt":
        return subprocess.call(command, cwd=root)
    os.chdir(root)
    sys.stdout.flush()
    os.execv(command[0], command)


# --------------------------------------------------------------------------------------------------
# Inside the environment


def clean(root):
    with alone(root):
        for path in (*(root / "_build").glob("*"), root / "dist"):
            if path.name == ".lock":
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    return 0


def book(root):
    start = time.monotonic()
    with alone(root):
        if execute_chapters(root).failed:
            return fail("The site was not built: every chapter has to run first.")
        if build_site(root):
            return 1
    seconds = time.monotonic() - start
    print(f"The book is in _build/html ({seconds:.0f} s). Open _build/html/index.html, or run `make serve`.")
    return 0


def execute_chapters(root, busy=lambda: 0):
    from tools import execute

    report = execute.run(root, say=lambda line: print(line, flush=True), busy=busy)
    print(f"Chapters: {report.summary()}.", flush=True)
    return report


def build_site(root):
    """Build `_build/html` unless it is what the present source gives; return Sphinx's status."""
    from tools import assemble, site

    source, html, stamp = assemble.assemble(root), root / "_build" / "html", root / "_build" / "site.json"
    try:
        site.prepare(source, root)
    except site.Failed as error:
        return fail(str(error))
    wanted = _digest(
        root,
        [
            *source.rglob("*"),
            *(root / "tools").glob("*.py"),
            *(root / name for name in ("_toc.yml", "_config.yml", "requirements.lock", "package-lock.json")),
        ],
    )
    try:
        built = json.loads(stamp.read_text())
    except (OSError, ValueError):
        built = {}
    if built.get("source") == wanted and built.get("html") == _digest(html, html.rglob("*")):
        print("Site: unchanged.", flush=True)
        return 0
    status = site.build(source, html, root)
    if status == 0:
        assemble.copy_media(source, html)
        stamp.write_text(json.dumps({"source": wanted, "html": _digest(html, html.rglob("*"))}))
    return status


def _digest(folder, paths):
    """A hash of the names and contents of files, relative to `folder`."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        if path.is_file():
            digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def serve(root, port="8000"):
    import functools
    import http.server

    if not port.isdigit():
        return fail(f"PORT={port} is not a number; try PORT=8001.", 2)
    html = root / "_build" / "html"
    if not (html / "index.html").is_file():
        status = book(root)
        if status:
            return status
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(html))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), handler)
    except (OSError, OverflowError) as error:
        return fail(f"Port {port} cannot be used ({error}); choose another: make serve PORT=8001", 2)
    print(f"The book is at http://127.0.0.1:{port}/ until you press Ctrl-C.", flush=True)
    with server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
    return 0


def lab(root):
    return subprocess.call([sys.executable, "-m", "jupyter", "lab", "--notebook-dir", str(root / "book")], cwd=root)


# --------------------------------------------------------------------------------------------------
# make test


def test(root):
    """Run every check; lint stops the rest, anything else is reported at the end."""
    steps = []  # (name, whether it passed, seconds, note)
    start = time.monotonic()

    def step(name, passed, since, note=""):
        steps.append((name, passed, time.monotonic() - since, note))

    with alone(root):
        passed = lint(root)
        step("lint and format", passed, start)
        if passed:
            # The unit tests take one core and the chapters the other; their output is shown when it is whole.
            since, unit = time.monotonic(), UnitTests(root)
            try:
                report = execute_chapters(root, busy=unit.busy)
                step("chapters", not report.failed, since, report.summary())
                unit_passed, note = unit.finish()
            finally:
                unit.stop()
            steps.insert(1, ("unit tests", unit_passed, unit.seconds, note))
            if report.failed:
                steps += [("site", False, 0, "not built: a chapter failed"), ("browser", False, 0, "no site")]
            else:
                since = time.monotonic()
                passed = build_site(root) == 0
                step("site", passed, since, "" if passed else "warnings or errors, above")
                since = time.monotonic()
                passed, note = browser_tests(root) if passed else (False, "no site")
                step("browser", passed, since, note)
    verdict = "PASSED" if all(step[1] for step in steps) else "FAILED"
    print(f"\nmake test: {verdict} in {time.monotonic() - start:.0f} s")
    for name, passed, seconds, note in steps:
        print(f"  {name:<16} {'passed' if passed else 'FAILED'} {seconds:6.0f} s  {note}".rstrip())
    return 0 if verdict == "PASSED" else 1


def lint(root):
    paths = [name for name in ("zoolib", "tools", "tests", "benchmarks", "book") if (root / name).is_dir()]
    commands = (["check"], ["format", "--check"])
    # Both always run, so that one round of mending is enough.
    return not any(
        [subprocess.call([sys.executable, "-m", "ruff", *command, *paths], cwd=root) for command in commands]
    )


def pytest_command(*arguments):
    return [sys.executable, "-m", "pytest", "--color=no", *arguments]


def closing_line(output):
    """pytest's last line, which counts what passed and failed."""
    lines = [line.strip(" =") for line in output.splitlines() if re.search(r"\bin [\d.]+s\b", line)]
    return lines[-1] if lines else "pytest did not get to its end"


class UnitTests:
    """pytest without the browser tests, running beside the chapters."""

    def __init__(self, root):
        self.since, self.seconds = time.monotonic(), 0.0
        self.log = root / "_build" / "unit-tests.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                pytest_command("tests", "--ignore=tests/site"),
                cwd=root,
                env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def busy(self):
        """How many cores it takes at the moment."""
        if self.process.poll() is None:
            return 1
        self.seconds = self.seconds or time.monotonic() - self.since
        return 0

    def finish(self):
        """Wait for its end and show its output; return whether it passed, and its closing line."""
        self.process.wait()
        self.busy()
        output = self.log.read_text(encoding="utf-8", errors="replace")
        print(f"\nUnit tests:\n{output}", flush=True)
        return self.process.returncode == 0, closing_line(output)

    def stop(self):
        from tools import execute

        if self.process.poll() is None:
            execute.end_descendants(self.process.pid)
            self.process.kill()
            self.process.wait()


def find_chromium():
    """The path of a Chromium or Chrome on this machine: $CHROMIUM, the system's, or Playwright's; else None."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    places = [os.environ.get("CHROMIUM"), *names, "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"]
    for place in places:
        found = shutil.which(place) if place else None
        if found:
            return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).is_file() else None


def browser_tests(root):
    """Check the site in headless Chromium; return whether it passed, and what to tell."""
    if find_chromium() is None:
        advice = "no Chromium found: `apt install chromium`, or `.venv/bin/python -m playwright install chromium`"
        demanded = os.environ.get("CI", "").lower() not in ("", "0", "false")
        return not demanded, f"NOT RUN, {advice}"
    print("\nThe site in Chromium:", flush=True)
    output = []
    with subprocess.Popen(
        pytest_command("tests/site"),
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            output.append(line)
    return process.returncode == 0, closing_line("".join(output))


if __name__ == "__main__":
    # Run as a file, Python looks for modules in tools/ first; none of them is to stand for one of its own.
    if not __package__:
        sys.path[0] = str(ROOT)
    sys.exit(main(sys.argv[1:]))

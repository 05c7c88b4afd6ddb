"""The command line: train, images, evaluate, play, match, gtp, grade.

A part of zoolib is imported only when it is asked for.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import json
import os
import shlex
import signal
import sys
import threading
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import Annotated

import tyro

ALGORITHMS = {
    "dqn": "zoolib.rl.dqn",
    "a2c": "zoolib.rl.a2c",
    "ddpg": "zoolib.rl.ddpg",
    "dni": "zoolib.dni.training",
    "classifier": "zoolib.generative.classifier",
    "gan": "zoolib.generative.gan",
    "made": "zoolib.generative.made",
    "alphazero": "zoolib.games.alphazero",
}

USAGE = """usage: zoolib COMMAND ...

  zoolib train ALGORITHM   train; ALGORITHM is one of: {algorithms}
  zoolib images            train a GAN on a set of images, and keep samples, a film and figures beside its weights
  zoolib evaluate SOURCE   what it is worth: mean return over held-out episodes, accuracy, nats, distances or mistakes
  zoolib play SOURCE       watch it play, in a window or as a video; at a board game (connect4), play against it
  zoolib match A B         two players of a board game against each other
  zoolib gtp GAME          a Go engine for Sabaki, GoGui and other programs that speak GTP
  zoolib grade NOTEBOOK... grade student copies of chapters

SOURCE is a run folder or the name of weights that ship with zoolib: {weights}.
`zoolib COMMAND --help` (`zoolib train ALGORITHM --help`) lists the options.
"""

IMAGES_USAGE = """zoolib images --dataset SET --gan KIND --out FOLDER [--budget quick|full] [--seed N] [--resume]

  SET   mnist, fashion-mnist, cifar10, stacked-mnist, ring, grid, or the path of a folder of images
  KIND  gan, dcgan, lsgan, wgan or wgan-gp

FOLDER then holds samples.png, walk.png, .gif and .mp4, training.gif and .mp4, metrics.json and the weights.
"""


PLAY_USAGE = """zoolib play POLICY [--video FILE.mp4]    watch a trained policy: a run folder, or shipped weights
zoolib play GAME [--opponent PLAYER]     a board game against an agent, in the terminal: connect4, go7, gomoku9, ...

`zoolib play dqn-cartpole --help` and `zoolib play connect4 --help` list the options of either.
"""


class UsageError(Exception):
    """A mistake on the command line, in one sentence."""


@dataclass
class RunOptions:
    """How to run."""

    out: Path | None = None
    """Folder for config, metrics, checkpoints and weights; it must not hold another run. None keeps nothing."""
    seed: int = 0
    """Seeds everything."""
    budget: str = "quick"
    """quick (seconds to minutes on a laptop) or full (the headline run)."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps; auto keeps tiny networks on the CPU."""
    threads: int | None = None
    """Threads of the CPU; None leaves it to the algorithm (1 for tiny networks)."""
    resume: bool = False
    """Go on from the last good checkpoint in --out."""
    checkpoint_seconds: float = 5.0
    """Seconds between two checkpoints; more where writing one takes long."""
    tensorboard: bool = False
    """Also write TensorBoard events into --out."""
    quiet: bool = False
    """No progress bar."""


def parse(options, args: list[str], prog: str):
    """Fill `options` (a dataclass with defaults) from flags; a mistake becomes one sentence."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            config = (tyro.conf.FlagCreatePairsOff,)
            return tyro.cli(type(options), default=options, args=args, prog=prog, config=config)
    except SystemExit as error:
        if not error.code:
            raise
        # tyro draws a box, of hyphens where the terminal knows no more: its first paragraph says what is wrong
        lines = [line.strip("│╭╮╰╯─ ") for line in said.getvalue().splitlines()]
        lines = [line if line.strip("-") else "" for line in lines]
        rest = lines[1:] if lines[1] else lines[2:]
        wrong = " ".join(rest[: rest.index("")] if "" in rest else rest)
        wrong = wrong.replace("invalid literal for int() with base 10:", "a whole number is wanted, not")
        flags = [word.strip(",") for line in lines for word in line.split() if word.startswith("--")]
        near = [flag for flag in flags if flag not in [*args, "--help"]]
        hint = f"; perhaps {near[0]}" if near and wrong.startswith("Unrecognized") else ""
        raise UsageError(f"{wrong}{hint} ({prog} --help lists the options)") from None


@contextlib.contextmanager
def _ending_at_once():
    """Ctrl-C ends a command that has nothing to lose at once, in compiled code too: while numba compiles, the exception
    that Python makes of it would be swallowed."""
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_DFL) if in_main else None
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGINT, before)


def train(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(USAGE.format(**_known()))
        return 0 if args else 2
    name, *flags = args
    if name not in ALGORITHMS:
        near = difflib.get_close_matches(name, ALGORITHMS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(ALGORITHMS)}"
        raise UsageError(f"no algorithm is called {name!r}; {hint}")
    run, _ = _train(name, flags, ["train", *args])
    return _end(run, ["train", *args])


def images(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(IMAGES_USAGE)
        if not args:
            return 2
    if not {"-h", "--help"} & set(args) and not _flag(args, "--out", ""):
        raise UsageError("zoolib images needs --out, the folder for its pictures and figures")
    run, trained = _train("gan", args, ["images", *args])
    if run.stopped != "interrupted" and trained.run.out is not None:
        from zoolib.generative import pictures

        for path in pictures.write(trained, run.out):
            print(path, file=sys.stderr)
    return _end(run, ["images", *args])


def _train(name: str, flags: list[str], command: list[str]):
    """Train the algorithm `name` as the flags say; the run, and what training gives."""
    algorithm = importlib.import_module(ALGORITHMS[name])
    from zoolib.run import Run

    # the preset depends on some of the flags, so they are looked for before the others are read
    budget = _flag(flags, "--budget", RunOptions.budget)
    task = fields(algorithm.Config)[0]  # env_id or dataset: what is to be learned comes first in every Config
    names = getattr(algorithm, "PRESET_BY", (task.name,))
    preset = algorithm.preset(
        *(_flag(flags, f"--{name.replace('_', '-')}", getattr(algorithm.Config, name)) for name in names), budget=budget
    )
    options_type = make_dataclass(
        "Options",
        [
            ("run", Annotated[RunOptions, tyro.conf.arg(name="")], None),
            ("config", Annotated[algorithm.Config, tyro.conf.arg(name="")], None),
        ],
    )
    said = "zoolib images" if command[0] == "images" else f"zoolib train {name}"
    given = parse(options_type(RunOptions(), preset.config), flags, said)
    options, config = given.run, given.config
    if "" in flags:
        raise UsageError("one of the options is given an empty text")
    if options.resume and options.out is None:
        raise UsageError("--resume needs --out, the folder of the run to go on with")
    if options.resume:
        _check_algorithm(options.out, name)
    run = Run(
        options.out,
        seed=options.seed,
        device=options.device,
        threads=options.threads,
        resume=options.resume,
        checkpoint_seconds=options.checkpoint_seconds,
        progress=not options.quiet,
        tensorboard=options.tensorboard,
    )
    if not options.quiet:
        run.announce = f"{name} on {getattr(config, task.name)}, {preset.words}"
    run.figures |= {"command": shlex.join(["zoolib", *command])}
    return run, algorithm.train(config, run=run)


def _check_algorithm(out: Path, name: str) -> None:
    """Refuse to go on with a run of another algorithm, whose options are all others."""
    try:
        began = json.loads((out / "config.json").read_text())["algorithm"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # a new run; or a damaged one, of which Run says so
    if began != name:
        raise UsageError(f"{out} holds a run of {began}, not of {name}; choose another --out")


def _end(run, command: list[str]) -> int:
    """Say how a run has ended, once where several processes trained together; the exit status."""
    if int(os.environ.get("RANK", 0)):
        return 0
    if run.stopped == "interrupted":
        again = shlex.join(arg for arg in command if arg != "--resume")
        where = f"; go on with: zoolib {again} --resume" if run.out else ""
        print(f"stopped at step {run.step}{where}", file=sys.stderr)
        return 130
    print(json.dumps(run.figures))
    return 0


@dataclass
class EvaluateOptions:
    """Mean return over held-out episodes, or for images accuracy, nats or distances, with a 95 % bootstrap interval."""

    source: Annotated[str, tyro.conf.Positional]
    """A run folder, or the name of shipped weights."""
    episodes: int = 100
    """Episodes to play; images and board games have tests of their own."""
    seed: int = 0
    """Which held-out start states, never those of training or validation; for episodes only."""
    json: bool = False
    """Print one JSON object: mean, low, high, episodes and the return of each."""


def evaluate(args: list[str]) -> int:
    options = _parse_source(EvaluateOptions, args, "zoolib evaluate")
    _check_counts(options)
    algorithm, state, header = _load(options.source)
    if hasattr(algorithm, "evaluate"):  # it judges its own weights: no episodes are played
        if (options.episodes, options.seed) != (EvaluateOptions.episodes, EvaluateOptions.seed):
            raise UsageError(f"--episodes and --seed are for policies; {options.source} is judged in one way only")
        result = algorithm.evaluate(state, header)
    else:
        from zoolib.rl.evaluate import evaluate as measure

        policy, config = algorithm.load(state, header)
        result = measure(config.env_id, policy, episodes=options.episodes, seed=options.seed)
    result = {"source": options.source} | result
    if options.json:
        print(json.dumps(result))
    elif hasattr(algorithm, "says"):
        print(algorithm.says(result))
    elif "dataset" in result:
        print("{dataset}: {mean:.2f} % [{low:.2f}, {high:.2f}] of {images:,} test images".format(**result))
    else:
        print("{env_id}: {mean:.1f} [{low:.1f}, {high:.1f}] over {episodes} episodes".format(**result))
    return 0


@dataclass
class PlayOptions:
    """Watch a trained policy."""

    source: Annotated[str, tyro.conf.Positional]
    """A run folder, or the name of shipped weights."""
    video: Path | None = None
    """Record to this .mp4 file instead of opening a window."""
    episodes: int = 1
    """Episodes to play."""
    seed: int = 0
    """Which held-out start states."""


def play(args: list[str]) -> int:
    if args[:1] in (["-h"], ["--help"]):
        print(PLAY_USAGE)
        return 0
    if args and _is_board_game(args[0]):
        from zoolib.games import terminal

        with _ending_at_once():
            return terminal.play(_parse_source(terminal.PlayOptions, args, "zoolib play"))
    options = _parse_source(PlayOptions, args, "zoolib play", "a game such as connect4, ")
    if options.video is not None and options.video.suffix != ".mp4":
        raise UsageError(f"--video wants a name that ends in .mp4, not {options.video}")
    _check_counts(options)
    algorithm, state, header = _load(options.source, game=True)
    if hasattr(algorithm, "evaluate"):
        raise UsageError(f"{options.source} was trained on images, and there is nothing to play; evaluate it instead")
    policy, config = algorithm.load(state, header)
    windows = sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if options.video is None and not windows:
        raise UsageError("there is no display here to open a window on; record instead, with --video FILE.mp4")
    from zoolib.rl import video

    returns = video.play(config.env_id, policy, episodes=options.episodes, seed=options.seed, video=options.video)
    for i, value in enumerate(returns):
        print(f"episode {i + 1}: return {value:g}")
    if options.video is not None:
        print(f"recorded {options.video}")
    return 0


def _is_board_game(source: str) -> bool:
    """Whether a source is a game of zoolib.games, or plays one."""
    from zoolib import pretrained

    if Path(source).is_dir():
        try:
            return pretrained.load_weights(Path(source) / "weights.safetensors")[1].get("algorithm") == "alphazero"
        except (OSError, pretrained.WeightsError):
            return False
    if source in pretrained.names():
        return source.startswith("alphazero-")
    from zoolib.games import catalogue

    return catalogue.is_game(source)


@_ending_at_once()
def match(args: list[str]) -> int:
    from zoolib.games import terminal

    asks = set(args) & {"-h", "--help"}
    if not asks and (len(args) < 2 or args[0].startswith("-") or args[1].startswith("-")):
        raise UsageError(f"zoolib match wants two players first, each of them {terminal.SIDES}")
    return terminal.match(parse(terminal.MatchOptions(tyro.MISSING, tyro.MISSING), args, "zoolib match"))


@_ending_at_once()
def gtp(args: list[str]) -> int:
    from zoolib.games import terminal

    return terminal.gtp(_parse_source(terminal.GtpOptions, args, "zoolib gtp", "a game such as go7, "))


def grade(args: list[str]) -> int:
    from zoolib.teach.grade import grade_command

    return grade_command(args)


def _load(source: str, game: bool = False):
    """The algorithm's module, the tensors and their header, from a run folder or from shipped weights.

    game: whether it might have been a board game, too.
    """
    from zoolib import pretrained

    folder = Path(source)
    if folder.name == "weights.safetensors" and folder.is_file():
        raise UsageError(f"{source} is a file: name its folder, {folder.parent}")
    if folder.exists():
        if not (folder / "config.json").is_file():
            raise UsageError(f"{source} is not a run folder: it holds no config.json")
        if not (folder / "weights.safetensors").is_file():
            raise UsageError(f"the run in {source} has no weights yet; finish it with --resume")
        state, header = pretrained.load_weights(folder / "weights.safetensors")
    elif source in pretrained.names():
        state, header = pretrained.load(source)
    else:
        near = difflib.get_close_matches(source, pretrained.names(), n=1)
        near = near or [name for name in pretrained.names() if name == f"alphazero-{source}"]
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(pretrained.names()) or 'none yet'}"
        also = ""
        if game:
            from zoolib.games.catalogue import NAMES

            also = f"a game ({', '.join(NAMES)}) nor "
        raise UsageError(f"{source!r} is neither {also}a run folder nor shipped weights; {hint}")
    if header.get("algorithm") not in ALGORITHMS:
        raise UsageError(f"{source} was trained by {header.get('algorithm')!r}, which this zoolib does not have")
    return importlib.import_module(ALGORITHMS[header["algorithm"]]), state, header


def _check_counts(options) -> None:
    if options.episodes < 1:
        raise UsageError(f"--episodes must be at least 1, not {options.episodes}")
    if not 0 <= options.seed < 2**48:
        raise UsageError(f"--seed must lie between 0 and 2^48, not {options.seed}")


def _parse_source(options_type, args: list[str], prog: str, also: str = ""):
    """Parse options whose first argument is a source, which has no default; `also` says what else it may be."""
    if not args or (args[0].startswith("-") and args[0] not in ("-h", "--help")):
        raise UsageError(f"{prog} wants {also}a run folder or the name of shipped weights first")
    return parse(options_type(source=tyro.MISSING), args, prog)


def _flag(args: list[str], name: str, default: str) -> str:
    value = default
    for i, arg in enumerate(args):  # as tyro reads them: _ for -, and the last one counts
        flag, equals, given = arg.partition("=")
        if flag.replace("_", "-") == name and (equals or i + 1 < len(args)):
            value = given if equals else args[i + 1]
    return value


def _known() -> dict:
    from zoolib import pretrained

    return {"algorithms": ", ".join(ALGORITHMS), "weights": ", ".join(pretrained.names()) or "none yet"}


COMMANDS = {f.__name__: f for f in (train, images, evaluate, play, match, gtp, grade)}


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns 0, 2 for a user's mistake, 1 for a run that failed, 130 after Ctrl-C."""
    args = sys.argv[1:] if argv is None else argv
    sys.path.append(os.getcwd())  # for --env-id module:Name-v0, with a module of the user's own beside them
    if not args or args[0] in ("-h", "--help"):
        print(USAGE.format(**_known()))
        return 0 if args else 2
    try:
        if args[0] not in COMMANDS:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(COMMANDS)}"
            raise UsageError(f"no command is called {args[0]!r}; {hint}")
        try:
            return COMMANDS[args[0]](args[1:])
        finally:
            sys.stdout.flush()  # here, where a reader who is gone can still be noticed
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads has read enough, as `head` does
        with contextlib.suppress(OSError):  # what is still to be written goes nowhere, and nobody complains at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        from zoolib.data import DataError
        from zoolib.games.game import GameError
        from zoolib.pretrained import WeightsError
        from zoolib.run import NonFiniteLoss, RunError

        if isinstance(error, OSError) and error.filename:  # a folder that cannot be written, say
            error = UsageError(f"{error.filename}: {error.strerror}")
        if not isinstance(error, (UsageError, RunError, WeightsError, DataError, GameError)):
            raise error
        print(f"zoolib: {error}", file=sys.stderr)
        return 1 if isinstance(error, NonFiniteLoss) else 2

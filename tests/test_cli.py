"""The command line as a user meets it: its promises, and one clear line for each mistake."""

import json
import os
import signal
import subprocess
import sys
import time

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from zoolib.cli import main
from zoolib.run import Run

TINY = ["--total-steps", "600", "--learning-starts", "200", "--validate-every", "300", "--validation-episodes", "2"]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "a"
    assert main(["train", "dqn", "--seed", "3", "--budget", "quick", "--out", str(folder), "--quiet", *TINY]) == 0
    return folder


def test_a_run_folder_holds_config_metrics_checkpoint_and_final_figures(run_folder):
    names = {p.name for p in run_folder.iterdir()}
    assert {"config.json", "metrics.csv", "metrics.json", "weights.safetensors"} <= names
    assert any(n.startswith("checkpoint-") for n in names)
    final = json.loads((run_folder / "metrics.json").read_text())
    assert final["steps"] == 608 and final["seed"] == 3
    assert json.loads((run_folder / "config.json").read_text())["config"]["total_steps"] == 600


def test_evaluate_prints_one_json_object(run_folder, capsys):
    assert main(["evaluate", str(run_folder), "--episodes", "12", "--seed", "900", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["episodes"] == 12 == len(result["returns"])
    assert result["low"] <= result["mean"] <= result["high"]
    assert result["mean"] == pytest.approx(sum(result["returns"]) / 12)


def test_play_records_a_video(run_folder, tmp_path, capsys):
    video = tmp_path / "deep" / "a.mp4"
    assert main(["play", str(run_folder), "--video", str(video)]) == 0
    assert video.read_bytes()[4:8] == b"ftyp"
    assert "return" in capsys.readouterr().out


SMALL = {
    "dqn": TINY,
    "a2c": ["--total-steps", "2048", "--num-envs", "8", "--validate-every", "512", "--validation-episodes", "2"],
    "ddpg": [*TINY, "--batch-size", "16"],
}


@pytest.mark.parametrize("algorithm", ["a2c", "ddpg"])
def test_the_other_algorithms_train_evaluate_and_play(algorithm, tmp_path, capsys):
    out, video = tmp_path / "a", tmp_path / "a.mp4"
    assert main(["train", algorithm, "--seed", "3", "--out", str(out), "--quiet", *SMALL[algorithm]]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained == json.loads((out / "metrics.json").read_text())
    assert trained["algorithm"] == algorithm and trained["ended"] == "completed" and trained["seed"] == 3
    assert trained["steps"] == int(SMALL[algorithm][1]) and trained["validation_return"] > -2000
    assert main(["evaluate", str(out), "--episodes", "3", "--seed", "900", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert len(result["returns"]) == 3 and result["low"] <= result["mean"] <= result["high"]
    assert main(["play", str(out), "--seed", "900", "--video", str(video)]) == 0
    assert capsys.readouterr().out.startswith("episode 1: return ")
    assert video.read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize("algorithm", SMALL)
def test_an_interrupted_run_goes_on_from_where_it_stood(algorithm, tmp_path, capsys, monkeypatch):
    out, seen, steps = tmp_path / "a", [], Run.steps

    def watched(run, total, **options):
        for step in steps(run, total, **options):
            seen.append(step)
            yield step
            if not run.resume and step >= total // 2:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Run, "steps", watched)
    command = ["train", algorithm, "--out", str(out), "--quiet", *SMALL[algorithm]]
    assert main(command) == 130
    stopped = json.loads((out / "metrics.json").read_text())
    assert stopped["ended"] == "interrupted" and f"stopped at step {stopped['steps']}" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    final = json.loads((out / "metrics.json").read_text())
    assert final["ended"] == "completed" and final["steps"] >= int(SMALL[algorithm][1]) > stopped["steps"] > 0
    assert stopped["steps"] in seen and seen == sorted(set(seen))  # no step twice, none left out
    assert set(np.diff(seen)) == {seen[1]}
    assert main(["evaluate", str(out), "--episodes", "1"]) == 0


def test_help_shows_every_field_of_the_config_with_its_sentence(capsys):
    import dataclasses
    import inspect

    from zoolib.rl import dqn

    with pytest.raises(SystemExit, match="0"):
        main(["train", "dqn", "--help"])
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    source = inspect.getsource(dqn.Config)
    for field in dataclasses.fields(dqn.Config):
        assert f"--{field.name.replace('_', '-')} " in words, field.name
        sentence = source.split(f"    {field.name}: ")[1].split('"""')[1]
        assert sentence[:40] in words, sentence


MISTAKES = {
    "no such command": (["trian"], "no command is called 'trian'; did you mean train?"),
    "no such algorithm": (["train", "dqnn"], "no algorithm is called 'dqnn'; did you mean dqn?"),
    "environment": (["train", "dqn", "--env-id", "CartPol-v1"], "'CartPol-v1'; did you mean CartPole-v1"),
    "continuous": (["train", "dqn", "--env-id", "Pendulum-v1"], "DDPG"),
    "budget": (["train", "dqn", "--budget", "huge"], "no budget is called 'huge'; there are: quick, full"),
    "flag": (["train", "dqn", "--sede", "3"], "Unrecognized options: --sede"),
    "value": (["train", "dqn", "--seed", "x"], "--seed"),
    "device": (["train", "dqn", "--device", "tpu"], "no device 'tpu'"),
    "range": (["train", "dqn", "--gamma", "2"], "gamma must lie between 0 and 1, not 2"),
    "resume nothing": (["train", "dqn", "--resume"], "--resume needs --out"),
    "no source": (["evaluate", "--json"], "wants a run folder or the name of shipped weights first"),
    "unknown source": (["evaluate", "runs/none"], "'runs/none' is neither a run folder nor shipped weights"),
    "episodes": (["evaluate", "{run}", "--episodes", "0"], "--episodes must be at least 1, not 0"),
    "no run": (["evaluate", "{empty}"], "is not a run folder"),
    "holds a run": (["train", "dqn", "--out", "{run}"], "already holds a run; add --resume"),
    "differs": (["train", "dqn", "--out", "{run}", "--resume", *TINY, "--gamma", "0.5"], "gamma (was 0.98, now 0.5)"),
    "cannot write": (["train", "dqn", "--out", "/dev/null/a"], "/dev/null"),
    "own folder": (["train", "dqn", "--out", "{full}"], "is not empty and holds no run"),
    "empty text": (["train", "dqn", "--out", ""], "an empty text"),
    "negative seed": (["train", "dqn", "--seed", "-1"], "seed must lie between 0 and 2^63, not -1"),
    "negative evaluation seed": (["evaluate", "{run}", "--seed", "-1"], "--seed must lie between 0"),
    "no threads": (["train", "dqn", "--threads", "0"], "threads must be at least 1, not 0"),
    "nan": (["train", "dqn", "--learning-rate", "nan"], "learning_rate must be a positive number, not nan"),
    "units": (["train", "dqn", "--hidden", "0"], "hidden must hold numbers of units of at least 1"),
    "module": (["train", "dqn", "--env-id", "nosuch:Foo-v0"], "'nosuch:Foo-v0' could not be made"),
    "last flag": (["train", "dqn", "--env-id", "CartPole-v1", "--env_id", "Acrobat-v1"], "did you mean Acrobot-v1"),
    "discrete": (["train", "ddpg", "--env-id", "CartPole-v1"], "DQN and A2C choose among numbered actions"),
    "game": (["train", "dqn", "--env-id", "ALE/Pomg-v5"], "'ALE/Pomg-v5'; did you mean ALE/Pong-v5"),
    "old name": (["train", "dqn", "--env-id", "PongNoFrameskip-v4"], "did you mean ALE/Pong-v5?"),
    "not negative": (["train", "ddpg", "--noise-scale", "nan"], "noise_scale must be 0 or more, not nan"),
    "n-step": (["train", "dqn", "--n-step", "0"], "n_step must be at least 1, not 0"),
    "priorities": (["train", "dqn", "--priority-exponent", "2"], "priority_exponent must lie between 0 and 1, not 2"),
    "lambda": (["train", "a2c", "--gae-lambda", "2"], "gae_lambda must lie between 0 and 1, not 2"),
    "noise": (["train", "ddpg", "--noise", "pink"], "invalid choice 'pink' for argument '--noise'"),
    "no display": (["play", "{run}"], "no display here"),
    "not a video": (["play", "{run}", "--video", "a.avi"], "ends in .mp4"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_and_exit_2(mistake, run_folder, tmp_path, capsys, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if mistake == "no display" and sys.platform in ("win32", "darwin"):
        pytest.skip("this system always has a display")
    args, words = MISTAKES[mistake]
    full = tmp_path / "full"
    full.mkdir()
    (full / "letter.txt").write_text("not a run")
    assert main([a.format(run=run_folder, empty=tmp_path, full=full) for a in args]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1 and "Traceback" not in said.err and said.out == ""


class TwoDials(gym.Env):
    """Two numbered dials at once, which none of the algorithms turns."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.MultiDiscrete([2, 3])


FITS = {
    "dqn": "DQN chooses among numbered actions, but ZooDials-v0 has the action space MultiDiscrete([2 3]); flatten it",
    "a2c": "A2C chooses among numbered actions, but ZooDials-v0 has the action space MultiDiscrete([2 3]); flatten it",
    "ddpg": "DDPG acts in a Box of continuous numbers, but ZooDials-v0 has the action space MultiDiscrete([2 3])",
}


@pytest.mark.parametrize("algorithm", FITS)
def test_an_action_space_that_does_not_fit_gets_one_line_and_no_folder(algorithm, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(gym.registry, "ZooDials-v0", EnvSpec("ZooDials-v0", TwoDials))
    assert main(["train", algorithm, "--env-id", "ZooDials-v0", "--out", str(tmp_path / "a"), "--quiet"]) == 2
    said = capsys.readouterr()
    assert FITS[algorithm] in said.err
    assert len(said.err.strip().splitlines()) == 1 and said.out == ""
    assert not (tmp_path / "a").exists()


def test_ddpg_says_that_it_learns_from_vectors(capsys, monkeypatch):
    class Screen(TwoDials):
        observation_space = spaces.Box(0, 255, (64, 64, 3), np.uint8)
        action_space = spaces.Box(-1, 1, (1,), np.float32)

    monkeypatch.setitem(gym.registry, "ZooScreen-v0", gym.envs.registration.EnvSpec("ZooScreen-v0", Screen))
    assert main(["train", "ddpg", "--env-id", "ZooScreen-v0"]) == 2
    assert "DDPG learns from vectors here, but ZooScreen-v0 shows images (64, 64, 3); A2C" in capsys.readouterr().err


def test_damaged_weights_are_refused(run_folder, tmp_path, capsys):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    weights = copy / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    assert main(["evaluate", str(copy)]) == 2
    assert "do not match the checksum" in capsys.readouterr().err
    weights.write_bytes(data[:1000])
    assert main(["evaluate", str(copy)]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_ctrl_c_keeps_the_run_and_says_how_to_go_on(tmp_path):
    out = tmp_path / "a"
    command = [sys.executable, "-m", "zoolib", "train", "dqn", "--out", str(out), "--total-steps", "10000000"]
    command += ["--checkpoint-seconds", "0.1"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list(out.glob("checkpoint-*")) and child.poll() is None:
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGINT)
    said = child.communicate(timeout=60)[1]
    assert child.returncode == 130
    assert "--resume" in said and "Traceback" not in said
    assert (out / "weights.safetensors").exists()
    assert json.loads((out / "metrics.json").read_text())["ended"] == "interrupted"


def test_the_preset_is_that_of_the_environment_that_counts(tmp_path):
    out = tmp_path / "a"
    assert main(["train", "dqn", "--out", str(out), "--env_id", "Acrobot-v1", "--quiet", *TINY]) == 0
    assert json.loads((out / "config.json").read_text())["config"]["stop_at"] is None


def test_resuming_a_finished_run_keeps_its_score(run_folder, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    before = json.loads((copy / "metrics.json").read_text())
    assert main(["train", "dqn", "--seed", "3", "--out", str(copy), "--resume", "--quiet", *TINY]) == 0
    after = json.loads((copy / "metrics.json").read_text())
    assert after["validation_return"] == before["validation_return"] and after["steps"] == before["steps"]


def test_weights_that_do_not_fit_their_header_are_refused(run_folder, tmp_path, capsys):
    from zoolib.pretrained import load_weights, save_weights

    state, header = load_weights(run_folder / "weights.safetensors")
    (tmp_path / "config.json").write_text("{}")
    for wrong in ({"config": header["config"] | {"hidden": [7]}}, {"config": {"env_id": 3}}):
        save_weights(tmp_path / "weights.safetensors", state, header | wrong)
        assert main(["evaluate", str(tmp_path)]) == 2
        said = capsys.readouterr().err
        assert "do not fit their own header" in said and "Traceback" not in said


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_mistake_is_one_sentence_whatever_the_terminal_can_print(encoding):
    command = [sys.executable, "-m", "zoolib", "train", "dqn", "--totl-steps", "5"]
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "Unrecognized options: --totl-steps, 5; perhaps --total-steps" in done.stderr


def test_an_environment_of_ones_own_is_found_in_the_current_folder(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import gymnasium as gym\n"
        "from gymnasium.envs.classic_control.cartpole import CartPoleEnv\n"
        'gym.register("Mine-v0", CartPoleEnv, max_episode_steps=50)\n'
    )
    zoolib = os.path.join(os.path.dirname(sys.executable), "zoolib")
    command = [zoolib, "train", "dqn", "--env-id", "mine:Mine-v0", "--quiet", *TINY]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

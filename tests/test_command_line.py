import json
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import rbm_tf.__main__ as rbm_command
import vae_keras.__main__ as vae_command
from rbm_tf.rbm import BernoulliRBM
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.vae import VAE

COMMANDS = {"rbm_tf": rbm_command.main, "vae_keras": vae_command.main}
ROOT = pathlib.Path(__file__).parent.parent


def error_of(main, arguments, capsys):
    """Run a command that must fail; returns its one line of stderr."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert not captured.out
    return lines[0]


@pytest.fixture
def models(tmp_path):
    """A saved RBM and a saved VAE for 8 x 8 images."""
    paths = {"rbm_tf": tmp_path / "a_rbm.keras", "vae_keras": tmp_path / "a_vae.keras"}
    BernoulliRBM(64, 4, seed=0).save(paths["rbm_tf"])
    VAE(dense_encoder((8, 8), 2, (8,)), dense_decoder((8, 8), 2, (8,))).save(paths["vae_keras"])
    return paths


@pytest.mark.parametrize("package", COMMANDS)
def test_train_evaluate_and_sample_work_together(package, tmp_path, capsys):
    main, model = COMMANDS[package], tmp_path / f"{package[:3]}.keras"
    common = ["--output", str(tmp_path), "--seed", "3", "--json"]
    main(["train", "--hidden", "5", "--epochs", "2", *common])
    assert json.loads(capsys.readouterr().out)["model"] == str(model)
    main(["evaluate", str(model), *common])
    rows = json.loads(capsys.readouterr().out)
    rows = rows["estimates"] if package == "rbm_tf" else rows
    values = [v for row in rows for k, v in row.items() if "ln p" in k or k == "mean"]
    assert values
    assert all(-64 < value < -20 for value in values)
    main(["sample", str(model), "--num", "7", *common])
    files = json.loads(capsys.readouterr().out)["files"]
    assert np.load(files[0]).shape[0] == 7
    assert pathlib.Path(files[1]).read_bytes().startswith(b"\x89PNG")


def test_same_seed_gives_the_same_model(tmp_path):
    for folder in ("first", "second"):
        rbm_command.main(
            ["train", "--epochs", "2", "--output", str(tmp_path / folder), "--seed", "5"]
        )
    kernels = [
        keras.models.load_model(tmp_path / folder / "rbm.keras").kernel.numpy()
        for folder in ("first", "second")
    ]
    np.testing.assert_array_equal(*kernels)


def test_evaluate_of_a_large_rbm_anneals_both_ways(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(rbm_command, "_long_path", lambda: np.linspace(0, 1, 50))
    BernoulliRBM(64, 30, seed=0).save(tmp_path / "large.keras")
    rbm_command.main(["evaluate", str(tmp_path / "large.keras"), "--output", str(tmp_path)])
    output = capsys.readouterr().out
    assert "AIS forward" in output
    assert "AIS reverse" in output
    assert "AIS forward, uniform base" in output
    assert "Forward and reverse agree" in output
    assert json.loads((tmp_path / "rbm_evaluate.json").read_text())["trusted"] is True


def test_evaluate_does_not_trust_two_walks_that_miss_the_same_mode(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(rbm_command, "_long_path", lambda: np.linspace(0, 1, 101))
    rbm = BernoulliRBM(64, 30, seed=0)  # ln Z is about 230 at v = 1 .. 1, and 2 at v = 0 .. 0
    rbm.kernel.assign(np.ones((64, 30)))
    rbm.visible_bias.assign(np.full(64, -25.0))
    rbm.hidden_bias.assign(np.full(30, -3.0))
    rbm.visible_offset.assign(np.full(64, 0.01))
    rbm.save(tmp_path / "two_modes.keras")
    rbm_command.main(["evaluate", str(tmp_path / "two_modes.keras"), "--output", str(tmp_path)])
    assert "Do not trust this ln Z: an estimate from elsewhere" in capsys.readouterr().out
    assert json.loads((tmp_path / "rbm_evaluate.json").read_text())["trusted"] is False


@pytest.mark.parametrize("package", COMMANDS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--dataset", "cifar"], "invalid choice: 'cifar'"),
        (["train", "--hidden", "0"], "0 is not an integer of 1 or more"),
        (["train", "--epochs", "-1"], "-1 is not an integer of 1 or more"),
        (["train", "--learning-rate", "nan"], "nan is not a number above 0"),
        (["train", "--dataset", "mnist", "--data-path", "nowhere.npz"], "does not exist"),
        (["evaluate", "nowhere.keras"], "there is no model file"),
        (["fly"], "invalid choice: 'fly'"),
        ([], "required"),
    ],
)
def test_wrong_input_gives_one_line(package, arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in error_of(COMMANDS[package], arguments, capsys)


@pytest.mark.parametrize("package", COMMANDS)
def test_unusable_files_give_one_line(package, models, tmp_path, capsys, monkeypatch):
    main = COMMANDS[package]
    monkeypatch.chdir(tmp_path)
    other = models["vae_keras" if package == "rbm_tf" else "rbm_tf"]
    assert "not a " in error_of(main, ["evaluate", other], capsys)
    text = tmp_path / "text.keras"
    text.write_text("not a model")
    assert "not a model that Keras can load" in error_of(main, ["sample", text], capsys)
    half = tmp_path / "half.keras"
    half.write_bytes(models[package].read_bytes()[:5000])
    assert "not a model that Keras can load" in error_of(main, ["sample", half], capsys)
    size = ["evaluate", models[package], "--dataset", "bars_and_stripes"]
    assert "shape" in error_of(main, size, capsys)
    np.savez(tmp_path / "wrong.npz", x_train=np.zeros(3))
    wrong = ["train", "--dataset", "mnist", "--data-path", tmp_path / "wrong.npz"]
    assert "y_train" in error_of(main, wrong, capsys)
    (tmp_path / "file").touch()
    unwritable = ["train", "--output", tmp_path / "file" / "folder"]
    assert "cannot write to the output folder" in error_of(main, unwritable, capsys)


@pytest.mark.parametrize("package", COMMANDS)
def test_help_answers_in_under_half_a_second(package):
    start = time.perf_counter()
    run = [sys.executable, "-m", package, "--help"]
    output = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    seconds = time.perf_counter() - start
    assert all(word in output for word in ("demo", "train", "evaluate", "sample"))
    assert seconds < 0.5


def test_ctrl_c_keeps_what_was_trained(tmp_path):
    run = [sys.executable, "-m", "rbm_tf", "train", "--epochs", "1000000", "--output", tmp_path]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

    def listen():  # a job in the background of a shell would ignore the signal
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(run, **pipes, cwd=ROOT, preexec_fn=listen) as process:
        try:
            seen = ""
            while "free_energy" not in seen:  # the progress bar after the first epoch
                seen += process.stderr.read(1)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Stopped after" in errors
    assert "Traceback" not in errors
    rbm = keras.models.load_model(tmp_path / "rbm.keras")
    assert np.abs(rbm.visible_bias.numpy()).max() > 0


def test_nothing_but_results_reaches_the_screen(models, tmp_path):
    run = [sys.executable, "-m", "rbm_tf", "evaluate", models["rbm_tf"], "--output", tmp_path]
    result = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stderr == ""
    assert result.stdout.startswith("Mean log-likelihood")


@pytest.mark.parametrize("package", COMMANDS)
def test_demo_prints_every_estimate_and_writes_its_files(package, tmp_path, capsys, monkeypatch):
    if package == "rbm_tf":
        monkeypatch.setattr("rbm_tf.demo.EPOCHS", 20)
        monkeypatch.setattr("rbm_tf.demo.NUM_SAMPLES", 2000)
        lines = ["exact", "naive mean field", "cumulants, order 3", "TAP, order 3", "AIS reverse"]
        pictures = ["log_z", "thermodynamics", "filters", "samples"]
    else:
        monkeypatch.setattr("vae_keras.demo.EPOCHS", 2)
        monkeypatch.setattr("vae_keras.demo.REFERENCE_BUDGET", 200)
        lines = ["ELBO, closed-form KL", "cumulants, order 3", "grouped", "jackknife", "IWAE-100"]
        pictures = ["manifold", "reconstructions", "latent", "log_weights"]
    COMMANDS[package](["demo", "--output", str(tmp_path)])
    output = capsys.readouterr().out
    assert all(line in output for line in lines)
    prefix = package[:3]
    assert json.loads((tmp_path / f"{prefix}_demo.json").read_text())
    for picture in pictures:
        assert (tmp_path / f"{prefix}_{picture}.png").stat().st_size > 1000
    assert (tmp_path / f"{prefix}.keras").exists()

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from bad_files import good_arrays

import rbm_tf.__main__ as rbm_command
import vae_keras.__main__ as vae_command
from rbm_tf.command_line import arguments
from rbm_tf.command_line import program as command_line
from rbm_tf.rbm import BernoulliRBM
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.parts import ContinuousBernoulli
from vae_keras.vae import VAE

COMMANDS = {"rbm_tf": rbm_command.main, "vae_keras": vae_command.main}
ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A saved RBM and a saved VAE for 8 x 8 images."""
    folder = tmp_path_factory.mktemp("models")
    paths = {"rbm_tf": folder / "a_rbm.keras", "vae_keras": folder / "a_vae.keras"}
    BernoulliRBM(64, 4, seed=0).save(paths["rbm_tf"])
    VAE(
        dense_encoder((8, 8), 2, hidden_units=(8,)), dense_decoder((8, 8), 2, hidden_units=(8,))
    ).save(paths["vae_keras"])
    return paths


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
def test_evaluate_does_not_trust_two_walks_that_miss_the_same_mode(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(rbm_command, "_long_path", lambda: np.linspace(0, 1, 101))
    biases = np.full(64, -25.0), np.full(30, -3.0)
    rbm = BernoulliRBM.from_parameters(np.ones((64, 30)), *biases)  # ln Z: 230 at v = 1, 2 at 0
    rbm.visible_offset.assign(np.full(64, 0.01))
    rbm.save(tmp_path / "two_modes.keras")
    rbm_command.main(["evaluate", str(tmp_path / "two_modes.keras"), "--output", str(tmp_path)])
    assert "Do not trust this ln Z: an estimate from elsewhere" in capsys.readouterr().out
    assert json.loads((tmp_path / "rbm_evaluate.json").read_text())["trusted"] is False


@pytest.mark.parametrize("package", COMMANDS)
def test_help_loads_nothing_heavy(package):
    code = (
        f"import contextlib, sys; from {package}.__main__ import main\n"
        "for command in ([], ['demo'], ['train'], ['evaluate'], ['sample']):\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        main([*command, '--help'])\n"
        "print({'tensorflow', 'keras', 'numpy'} & set(sys.modules))"
    )
    run = [sys.executable, "-c", code]
    output = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert all(word in output for word in ("demo", "train", "evaluate", "sample", "--json"))
    assert output.endswith("set()\n")


@pytest.mark.parametrize("package", COMMANDS)
def test_the_largest_numbers_that_are_accepted_reach_training(
    package, tmp_path, capsys, monkeypatch
):
    def fit(model, path, epochs, **kwargs):
        assert epochs == 10**9
        model.fit(epochs=1, verbose=0, **kwargs)

    monkeypatch.setattr("rbm_tf.command_line.training.fit", fit)
    line = "train --dataset bars_and_stripes --epochs 1000000000 --batch-size 1000000000 --json"
    line += f" --learning-rate 1e-37 --seed {2**31 - 1} --output {tmp_path}"
    COMMANDS[package](line.split())
    assert json.loads(capsys.readouterr().out)["model"]


def test_the_path_of_data_is_an_option_or_a_variable(tmp_path, capsys, monkeypatch):
    np.savez(tmp_path / "images.npz", **good_arrays())
    seen = []

    def fit(model, path, epochs, x, batch_size):
        seen.append(x)

    monkeypatch.setattr("rbm_tf.command_line.training.fit", fit)
    line = ["train", "--output", str(tmp_path), "--dataset"]
    rbm_command.main([*line, "mnist", "--data-path", str(tmp_path / "images.npz")])
    monkeypatch.setenv("FASHION_MNIST_PATH", str(tmp_path / "images.npz"))
    rbm_command.main([*line, "fashion_mnist"])
    assert seen[0].shape == (6, 24)
    np.testing.assert_array_equal(*seen)


def test_json_has_null_where_a_number_is_not_finite(tmp_path, capsys):
    options = argparse.Namespace(json=True, output=tmp_path)
    rows = [{"value": float("nan"), "more": (np.float64("inf"), 1.5, "text", None)}]
    command_line.show(options, rows, [], "results")
    expected = [{"value": None, "more": [None, 1.5, "text", None]}]
    assert json.loads(capsys.readouterr().out) == expected
    assert "NaN" not in (tmp_path / "results.json").read_text()


def test_one_image_has_a_mean_and_no_standard_error(models, tmp_path, capsys):
    line = ["evaluate", str(models["vae_keras"]), "--output", str(tmp_path), "--json"]
    vae_command.main([*line, "--num-images", "1", "--num-samples", "20"])
    captured = capsys.readouterr()
    rows = json.loads(captured.out)
    assert all(row["s.e."] is None for row in rows)
    assert all(np.isfinite(row["mean"]) for row in rows)
    names = [row["estimate"] for row in rows]
    assert len(names) == len(set(names))


def test_grey_levels_have_a_likelihood_where_the_model_has_one_of_grey_levels(tmp_path, capsys):
    networks = (
        dense_encoder((8, 8), 2, hidden_units=(8,)),
        dense_decoder((8, 8), 2, hidden_units=(8,)),
    )
    likelihood = ContinuousBernoulli()
    VAE(*networks, likelihood=likelihood).save(tmp_path / "grey.keras")
    line = ["evaluate", str(tmp_path / "grey.keras"), "--output", str(tmp_path), "--num-images"]
    vae_command.main([*line, "5", "--num-samples", "10", "--binarization", "none"])
    assert "pixels: none" in capsys.readouterr().out


def test_a_picture_holds_a_bounded_number_of_images(models, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(command_line, "IN_PICTURE", 4)
    monkeypatch.setattr("rbm_tf.plotting.save_images", lambda _, images, __: drawn.append(images))
    for package, main in COMMANDS.items():
        main(["sample", str(models[package]), "--num", "7", "--output", str(tmp_path)])
        assert len(np.load(tmp_path / f"{package[:3]}_samples.npy")) == 7
    assert [images.shape for images in drawn] == [(4, 8, 8), (4, 8, 8)]


def acting(action):
    """A command line with one command that does not need anything."""
    return arguments.build_parser("program", "Acts.", {"demo": (action, "act")}, {})


@pytest.mark.parametrize(
    "error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM " * 5000)]
)
def test_too_little_memory_is_one_short_line(error, tmp_path, capsys):
    def action(options):
        raise error

    with pytest.raises(SystemExit) as stop:
        command_line.run(acting(action), ["demo", "--output", str(tmp_path)])
    line = capsys.readouterr().err
    assert stop.value.code == 2
    assert "the memory does not suffice: choose a smaller" in line
    assert len(line) < 400


def test_a_mistake_of_the_program_is_not_taken_for_one_of_the_user(tmp_path):
    def action(options):
        return None + 1

    with pytest.raises(TypeError):
        command_line.run(acting(action), ["demo", "--output", str(tmp_path)])


@pytest.mark.parametrize("backend", ["jax", "numpy"])
def test_a_backend_that_a_command_does_not_run_on_is_named(backend, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    with pytest.raises(SystemExit) as stop:
        command_line.run(acting(print), ["demo", "--output", str(tmp_path)])
    line = capsys.readouterr().err
    assert stop.value.code == 2
    assert f"does not run on {backend}: set the environment variable KERAS_BACKEND to" in line


def shell(line, **environment):
    """Run a line of bash in the root, in which `python` is this interpreter."""
    line = line.replace("python", sys.executable, 1)
    environment = {**os.environ, **environment}
    environment.pop("PYTHONUNBUFFERED", None)  # users have buffers, which fail at the end
    run = ["bash", "-c", line]
    return subprocess.run(run, capture_output=True, text=True, cwd=ROOT, env=environment)


def test_a_backend_that_does_not_exist_is_one_line(models, tmp_path):
    line = f"python -m vae_keras sample {models['vae_keras']} --output {tmp_path}"
    result = shell(line, KERAS_BACKEND="abacus")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "backend abacus" in result.stderr
    assert "set the environment variable KERAS_BACKEND to tensorflow" in result.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("streams", "code"),
    [(">&- 2>&- <&-", 0), (">/dev/full 2>/dev/full", 2)],
    ids=["closed", "full"],
)
def test_closed_and_full_streams_lose_no_results(streams, code, tmp_path):
    result = shell(f"python -m rbm_tf train --epochs 2 --output {tmp_path} {streams}")
    assert result.returncode == code
    assert json.loads((tmp_path / "rbm_train.json").read_text())["model"]
    assert (tmp_path / "rbm.keras").exists()


@pytest.mark.parametrize("line", ["--help", "train --help", "train --epochs 0"])
def test_help_and_errors_on_a_full_disk_end_in_code_2(line):
    assert shell(f"python -m rbm_tf {line} >/dev/full 2>/dev/full").returncode == 2


def end_of(arguments, signum, until):
    """Send a signal when stderr shows a text, or a folder is there; the exit code and stderr."""
    run = [sys.executable, "-m", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

    def listen():  # a job in the background of a shell would ignore the signal
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    wide = os.environ | {"COLUMNS": "200"}  # the bar shows all its numbers
    with subprocess.Popen(run, **pipes, cwd=ROOT, env=wide, preexec_fn=listen) as process:
        try:
            seen = ""
            while isinstance(until, str) and until not in seen:
                character = process.stderr.read(1)
                assert character, seen  # it ended before
                seen += character
            while isinstance(until, pathlib.Path) and not until.exists():
                assert process.poll() is None
                time.sleep(0.01)
            if isinstance(until, pathlib.Path) and until.is_dir():
                time.sleep(0.5)  # it has looked at the folder, and loads TensorFlow
            process.send_signal(signum)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert "Traceback" not in errors
    return process.returncode, errors


@pytest.mark.long
@pytest.mark.parametrize(
    ("package", "signum"), [("rbm_tf", signal.SIGINT), ("vae_keras", signal.SIGTERM)]
)
def test_interrupted_training_keeps_what_was_trained(package, signum, tmp_path):
    train = [package, "train", "--epochs", "1000000", "--hidden", "4", "--output", tmp_path]
    code, errors = end_of(train, signum, until="loss=")  # the progress bar after the first epoch
    assert code == 128 + signum
    assert "Stopped after" in errors.splitlines()[-1]
    path = tmp_path / f"{package[:3]}.keras"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert int(keras.models.load_model(path).optimizer.iterations) > 0


@pytest.mark.parametrize("command", ["train", "evaluate", "sample", "demo"])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_command_that_is_interrupted_at_its_start_says_so(models, tmp_path, command, signum):
    model = [models["rbm_tf"]] if command in ("evaluate", "sample") else []
    output = tmp_path / "new"  # made before TensorFlow is loaded
    code, errors = end_of(["rbm_tf", command, *model, "--output", output], signum, until=output)
    assert code == 128 + signum
    opening, _, end = errors.rpartition("\nStopped.\n")
    assert end == "" and opening.startswith("An RBM on 8 x 8 digits" if command == "demo" else "")
    assert opening.count("\n") == (
        command == "demo"
    )  # what the demo is, before it loads TensorFlow
    assert not list(output.iterdir())


def test_caller_in_python_keeps_its_own_signals(models, tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(BernoulliRBM, "sample", interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            rbm_command.main(["sample", str(models["rbm_tf"]), "--output", str(tmp_path)])
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.long
def test_interrupted_evaluation_goes_on_from_what_it_kept(models, tmp_path):
    kept, samples = tmp_path / "vae_evaluate.npz", "5000"
    evaluate = ["evaluate", models["vae_keras"], "--num-samples", samples, "--output", tmp_path]
    code, errors = end_of(["vae_keras", *evaluate], signal.SIGTERM, until=kept)
    assert code == 143
    assert errors.endswith("\nStopped.\n")
    with np.load(kept) as results:
        assert 100 <= len(results["values"]) < 360
    vae_command.main(list(map(str, evaluate)))
    assert not kept.exists()
    assert (tmp_path / "vae_evaluate.json").exists()


def test_a_file_of_the_user_survives_the_look_at_the_output_folder(models, tmp_path, capsys):
    (tmp_path / ".write_test").write_text("precious")
    rbm_command.main(["sample", str(models["rbm_tf"]), "--num", "2", "--output", str(tmp_path)])
    assert (tmp_path / ".write_test").read_text() == "precious"


def test_results_are_printed_even_if_their_file_cannot_be_written(
    models, tmp_path, capsys, monkeypatch
):
    def full_disk(path, text):
        raise OSError(f"{path} could not be written")

    monkeypatch.setattr("rbm_tf.shared.files.write_text", full_disk)
    with pytest.raises(SystemExit) as stop:
        rbm_command.main(["evaluate", str(models["rbm_tf"]), "--output", str(tmp_path)])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert "exact" in captured.out
    assert "rbm_evaluate.json" in captured.err


@pytest.mark.long
def test_nothing_but_results_reaches_the_screen(models, tmp_path):
    run = [sys.executable, "-m", "rbm_tf", "evaluate", models["rbm_tf"], "--output", tmp_path]
    result = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stderr == ""
    assert result.stdout.startswith("Mean log-likelihood")


@pytest.mark.long
@pytest.mark.parametrize("package", COMMANDS)
def test_demo_prints_every_estimate_and_writes_its_files(package, tmp_path, capsys, monkeypatch):
    if package == "rbm_tf":
        monkeypatch.setattr("rbm_tf.demo.EPOCHS", 20)
        monkeypatch.setattr("rbm_tf.demo.NUM_HIDDEN", 6)
        monkeypatch.setattr("rbm_tf.roads._SHORT", 0.0)  # each road is walked once
        lines = ["exact", "naive mean field", "cumulants, order 3", "TAP, order 3", "AIS reverse"]
        pictures = ["log_z", "thermodynamics", "filters", "samples"]
    else:
        monkeypatch.setattr("vae_keras.demo.EPOCHS", 2)
        monkeypatch.setattr("vae_keras.demo.REFERENCE_BUDGET", 200)
        lines = ["ELBO, likelihood - KL", "cumulants, order 3", "grouped", "jackknife", "IWAE-100"]
        pictures = ["manifold", "reconstructions", "latent", "log_weights"]
    COMMANDS[package](["demo", "--output", str(tmp_path)])
    output = capsys.readouterr().out
    assert all(line in output for line in lines)
    prefix = package[:3]
    assert json.loads((tmp_path / f"{prefix}_demo.json").read_text())
    for picture in pictures:
        assert (tmp_path / f"{prefix}_{picture}.png").stat().st_size > 1000
    assert (tmp_path / f"{prefix}.keras").exists()


@pytest.mark.parametrize(
    ("package", "follows"), [("rbm_tf", {"--dataset", "--binarization"}), ("vae_keras", set())]
)
def test_help_of_train_tells_every_default(package, follows):
    run = [sys.executable, "-m", package, "train", "--help"]
    text = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    options = re.split(r"\n  (?=-)", text.partition("options:")[2])[1:]
    told = [one for one in options if "(default: " in " ".join(one.split())]
    untold = {one.split()[0] for one in options if one not in told}
    assert untold == {"-h,", "--data-path", "--json"} | follows and "default: None" not in text

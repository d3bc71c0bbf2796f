import contextlib
import signal

import keras
import numpy as np
import pytest

import rbm_tf.__main__ as rbm_command
import vae_keras.__main__ as vae_command
from rbm_tf.command_line import interruptions
from rbm_tf.command_line.training import fit
from rbm_tf.rbm import BernoulliRBM

COMMANDS = {"rbm_tf": rbm_command.main, "vae_keras": vae_command.main}


@pytest.mark.long
@pytest.mark.parametrize("package", COMMANDS)
def test_blow_up_keeps_the_model_that_was_there(package, tmp_path, capsys):
    path = tmp_path / f"{package[:3]}.keras"
    path.write_bytes(b"a good model")
    arguments = ["train", "--hidden", "4", "--learning-rate", "1e38", "--output", str(tmp_path)]
    with pytest.raises(SystemExit) as stop:
        COMMANDS[package](arguments)
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert "broke down in epoch 1:" in captured.err.splitlines()[-1]
    assert "lower --learning-rate" in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err
    assert not captured.out
    assert path.read_bytes() == b"a good model"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_folder_in_the_place_of_the_model_is_found_before_training(tmp_path):
    (tmp_path / "rbm.keras").mkdir()
    rbm = BernoulliRBM(6, 4)
    with pytest.raises(ValueError, match=r"rbm.keras is a folder: move it away or choose another"):
        fit(rbm, tmp_path / "rbm.keras", epochs=1, x=np.eye(6))
    assert int(rbm.optimizer.iterations) == 0


class Left(BaseException):
    """In place of the end of the process."""


def interrupt_at(step, rbm, signals):
    """Ctrl-C during a batch: it enters the list of signals."""

    def hear(batch, logs):
        if int(rbm.optimizer.iterations) == step - 1:
            signals.append(signal.SIGINT)

    return keras.callbacks.LambdaCallback(on_train_batch_begin=hear)


@pytest.mark.parametrize(
    ("step", "saved", "message"),
    [
        (2, False, "Stopped in the first epoch; .* was not written"),
        (6, True, "Stopped after 1 epochs; the model so far is in"),
        (7, True, "Stopped after 1 epochs; the model so far is in"),
        (18, True, "Stopped after 3 epochs; the model so far is in"),
    ],
)
def test_ctrl_c_saves_what_was_trained_if_one_epoch_is_complete(
    step, saved, message, tmp_path, monkeypatch
):
    def leave(signum, text):
        raise Left(signum, text)

    signals = []
    monkeypatch.setattr(interruptions, "leave", leave)
    monkeypatch.setattr(interruptions, "deferred", lambda: contextlib.nullcontext(signals))
    path = tmp_path / "rbm.keras"
    path.write_bytes(b"a good model")
    rbm = BernoulliRBM(6, 4, seed=0)
    fit_of_keras, bound = rbm.fit, interrupt_at(step, rbm, signals)
    monkeypatch.setattr(
        rbm,
        "fit",
        lambda callbacks, **kwargs: fit_of_keras(callbacks=[bound, *callbacks], **kwargs),
    )
    with pytest.raises(Left, match=message) as left:
        fit(rbm, path, epochs=9, x=np.eye(6), batch_size=1)
    assert left.value.args[0] == signal.SIGINT
    assert int(rbm.optimizer.iterations) == step  # the batch is completed
    assert (path.read_bytes() != b"a good model") == saved
    if saved:
        loaded = keras.models.load_model(path)
        np.testing.assert_array_equal(loaded.kernel, rbm.kernel)
        assert int(loaded.optimizer.iterations) == step

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from rbm_tf.rbm import RBM, BernoulliRBM
from rbm_tf.training.negative_phase import (
    PersistentContrastiveDivergence,
)
from rbm_tf.units import Binary, Gaussian, ReLU, Spin


@pytest.mark.long
def test_saved_model_goes_on_exactly_where_it_stopped(tmp_path):
    x = (np.random.default_rng(0).random((40, 6)) < 0.3).astype("float32")
    keras.utils.set_random_seed(0)
    rbm = BernoulliRBM(
        6, 4, negative_phase=PersistentContrastiveDivergence(20, num_steps=2, seed=3), seed=1
    )
    rbm.fit(x, epochs=2, verbose=0, shuffle=False)
    rbm.save(tmp_path / "rbm.keras")
    loaded = keras.models.load_model(tmp_path / "rbm.keras")  # safe mode
    assert json.dumps(loaded.get_config()) == json.dumps(rbm.get_config())
    for model in (rbm, loaded):
        model.fit(x, epochs=2, verbose=0, shuffle=False)
    for weight, loaded_weight in zip(rbm.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), loaded_weight.numpy())


KILLED = """
import os, sys
from rbm_tf.quiet import quiet_start
quiet_start()
import keras, numpy as np
from rbm_tf.shared.checkpoints import BackupAndRestore
from rbm_tf.rbm import RBM, BernoulliRBM

class Kill(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs):
        if self.epoch == 3 and batch == 2:
            os.kill(os.getpid(), 9)

x = (np.random.default_rng(0).random((50, 6)) < 0.3).astype("float32")
rbm = BernoulliRBM(6, 4, seed=1, resample=True)
rbm.compile(keras.optimizers.SGD(0.1, momentum=0.9))
backup = BackupAndRestore(sys.argv[1] + "/backup")
kill = [Kill()] if sys.argv[2] == "kill" else []
rbm.fit(x, batch_size=8, epochs=6, verbose=0, callbacks=[backup, *kill])
rbm.save_weights(sys.argv[1] + "/last.weights.h5")
"""


@pytest.mark.long
def test_training_that_was_killed_resumes_to_the_last_bit(tmp_path, monkeypatch):
    for folder in ("broken", "whole"):
        (tmp_path / folder).mkdir()
    root = pathlib.Path(__file__).parent.parent
    killed = [sys.executable, "-c", KILLED, str(tmp_path / "broken"), "kill"]
    assert subprocess.run(killed, cwd=root).returncode == -9
    assert not (tmp_path / "broken" / "last.weights.h5").exists()
    for folder in ("broken", "whole"):
        monkeypatch.setattr(sys, "argv", ["", str(tmp_path / folder), "go on"])
        exec(KILLED, {})
    models = [BernoulliRBM(6, 4, resample=True) for _ in range(2)]
    for model, folder in zip(models, ("broken", "whole"), strict=True):
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
        model.optimizer.build(model.trainable_variables)
        model.load_weights(tmp_path / folder / "last.weights.h5")
    for weight, other in zip(models[0].weights, models[1].weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), other.numpy())
    assert np.abs(models[0].kernel.numpy()).max() > 0.02  # it has learned something


def test_export_serves_the_hidden_means(tmp_path):
    rbm = BernoulliRBM(6, 4, seed=0)
    rbm.export(tmp_path / "rbm", verbose=False)
    v = np.ones((2, 6), "float32")
    exported = tf.saved_model.load(tmp_path / "rbm")
    np.testing.assert_allclose(exported.serve(v), rbm.hidden_mean(v), rtol=1e-6)


@pytest.mark.long
def test_layers_of_one_size_load_as_the_units_that_they_are(tmp_path):
    for _ in range(20):  # Keras once took them for one object in a third of the files
        rbm = RBM(Spin(5), Binary(5))
        rbm.save(tmp_path / "rbm.keras")
        loaded = keras.models.load_model(tmp_path / "rbm.keras")
        assert (repr(loaded.visible), repr(loaded.hidden)) == ("Spin(5)", "Binary(5)")


def test_a_file_holds_what_became_of_the_units_own_parameters(tmp_path):
    rbm = RBM(Gaussian(3), ReLU(2, 3.0), unit_rate=0.1)
    rbm.unit_parameters["hidden_log_precision"].assign(np.full(2, 0.25))
    rbm.save(tmp_path / "rbm.keras")
    loaded = keras.models.load_model(tmp_path / "rbm.keras")
    np.testing.assert_array_equal(loaded.hidden.parameters["log_precision"], np.full(2, 0.25))

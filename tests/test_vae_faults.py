import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from vae_keras.networks import conv_encoder, dense_decoder, dense_encoder
from vae_keras.objectives import ELBO
from vae_keras.parts import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Gaussian,
    Latents,
    Levels,
    Masked,
    NegativeBinomial,
    Observed,
    RelaxedCategorical,
    StudentT,
    ZeroInflated,
)
from vae_keras.vae import VAE

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture
def x():
    return (np.random.default_rng(0).random((50, 6)) < 0.3).astype("float32")


def small_vae(**options):
    keras.utils.set_random_seed(0)
    return VAE(
        dense_encoder((6,), 2, hidden_units=(4,)),
        dense_decoder((6,), 2, hidden_units=(4,)),
        **options,
    )


def weights_of(vae):
    return [np.asarray(w) for w in (*vae.variables, *vae.optimizer.variables)]


def assert_same_weights(vae, other):
    for weight, other_weight in zip(weights_of(vae), weights_of(other), strict=True):
        np.testing.assert_array_equal(weight, other_weight)


def test_networks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="same latent_dim"):
        VAE(dense_encoder((4,), 3), dense_decoder((4,), 2))
    with pytest.raises(ValueError, match="make the network's output fit the value"):
        VAE(dense_encoder((4,), 2), dense_decoder((5,), 2))
    with pytest.raises(ValueError, match="pair"):
        VAE(dense_decoder((4,), 4), dense_decoder((4,), 4))
    with pytest.raises(ValueError, match="divisible by 4"):
        conv_encoder((10, 8), 2)
    with pytest.raises(ValueError, match="know its input shape"):
        VAE(keras.Sequential([keras.layers.Dense(2)]), dense_decoder((4,), 2))


def heads(size, name, num, width):
    """A network of so many outputs, or with as many names."""
    inputs, head = keras.Input((size,), name=name), keras.layers.Dense
    if isinstance(num, int):
        outputs = [head(width)(inputs) for _ in range(num)]
        return keras.Model(inputs, outputs if num > 1 else outputs[0])
    return keras.Model(inputs, {key: head(width)(inputs) for key in num})


@pytest.mark.parametrize(
    ("encoder", "decoder", "likelihood", "message"),
    [
        (("mean", "log_var"), 1, Bernoulli(), "encoder gives {'log_var': a tensor, 'mean': "),
        (3, 1, Bernoulli(), "(a tensor, a tensor, a tensor), but Gaussian takes (a tensor, a t"),
        (2, 2, Bernoulli(), "decoder gives (a tensor, a tensor), but Bernoulli takes a tensor:"),
        (2, 1, NegativeBinomial(), "gives a tensor, but NegativeBinomial takes (a tensor, a te"),
        (2, 1, StudentT(), "decoder gives a tensor, but StudentT takes (a tensor, a tensor):"),
        (2, 2, ZeroInflated(NegativeBinomial()), "takes (a tensor, (a tensor, a tensor)): let"),
    ],
)
def test_outputs_nested_otherwise_than_a_part_takes_them_are_refused(
    encoder, decoder, likelihood, message
):
    networks = heads(6, "x", encoder, 2), heads(2, "z", decoder, 6)
    with pytest.raises(ValueError, match=re.escape(message)):
        VAE(*networks, likelihood=likelihood)


@pytest.mark.parametrize("role", ["posterior", "prior", "likelihood"])
@pytest.mark.parametrize("given", [Gaussian, "bernoulli"])
def test_what_is_no_part_is_refused_at_once(role, given):
    with pytest.raises(ValueError, match=rf"The {role} must be a part, such as Gaussian\(\)"):
        small_vae(**{role: given})
    with pytest.raises(ValueError, match=f"The {role} must be a part"):
        Latents(lambda x: x, lambda z: z, **{role: given})


@pytest.mark.parametrize("given", [ELBO, "elbo", len])
def test_what_is_no_objective_is_refused_at_once(given):
    with pytest.raises(ValueError, match=r"must be a layer, such as ELBO\(\)"):
        small_vae(objective=given)


layers = keras.layers
ENDS = [  # the part, its activation, the end of a network, of twelve numbers before
    (Bernoulli(), "sigmoid", [layers.Dense(3, "sigmoid"), layers.Reshape((12,))]),
    (ContinuousBernoulli(), "sigmoid", [layers.Dense(12), layers.Activation("sigmoid")]),
    (Levels(ContinuousBernoulli()), "sigmoid", [layers.Conv1D(1, 1, activation="sigmoid")]),
    (Categorical(3), "softmax", [layers.Softmax(), layers.Activation("linear", dtype="float32")]),
    (Masked(Categorical(3)), "softmax", [layers.Dense(3, keras.ops.softmax)]),
    (Observed(Bernoulli()), "sigmoid", [layers.Dense(3, "sigmoid")]),
    (RelaxedCategorical(3), "softmax", [keras.Sequential([layers.Dense(3, "softmax")])]),
]


@pytest.mark.parametrize(("part", "activation", "end"), ENDS)
def test_networks_that_end_in_the_activation_of_a_part_are_refused(part, activation, end):
    start = [keras.Input((2,)), layers.Dense(12), layers.Reshape((4, 3))]
    network = keras.Sequential([*start, *end])
    functional = keras.Model(network.inputs, network(network.inputs[0]))
    for model in (network, functional):
        for networks in ((lambda x: x, model), (model, lambda z: z)):
            role = "posterior" if networks[0] is model else "likelihood"
            with pytest.raises(ValueError, match=f"ends in a {activation}: leave the activation"):
                Latents(*networks, **{role: part})
        Latents(lambda x: x, model, likelihood=Gaussian(scale=1.0))  # a mean in [0, 1]
    Latents(lambda x: x, keras.Sequential([*network.layers, layers.Rescaling(9)]), likelihood=part)
    with pytest.raises(ValueError, match="leave the activation out"):
        Latents(lambda x: x, lambda z: z, prior=part, prior_network=network)
    with pytest.raises(ValueError, match="leave the activation out"):
        VAE(
            dense_encoder((4,), 2),
            keras.Sequential([keras.Input((2,)), layers.Dense(4, "sigmoid")]),
        )


@pytest.mark.parametrize("method", ["fit", "evaluate", "encode", "reconstruct", "log_weights"])
def test_wrong_data_are_refused_wherever_they_come_in(x, method):
    vae = small_vae()
    samples = {"num_samples": 3} if method == "log_weights" else {}
    call = getattr(vae, method)
    with pytest.raises(ValueError, match=r"x must have shape \(batch, 6\).*got \(50, 5\)"):
        call(x[:, :5], **samples)
    with pytest.raises(ValueError, match="batch of 1 or more"):
        call(x[:0], **samples)
    for value in (-0.1, 1.5, 255, np.nan):
        with pytest.raises(ValueError, match="divide 8-bit images by 255"):
            call(np.where(x > 0, value, 0.0), **samples)
    gaussian = small_vae(likelihood=Gaussian(scale=1.0))
    with pytest.raises(ValueError, match="remove or replace NaN"):
        getattr(gaussian, method)(x * np.nan, **samples)


@pytest.mark.long
def test_data_of_any_type_are_taken(x):
    losses = [
        small_vae(seed=0).fit(data, verbose=0).history["loss"]
        for data in (x, x.astype("uint8"), x.astype(bool), tf.constant(x))
    ]
    assert losses == losses[:1] * 4


def test_numbers_without_meaning_are_refused(x):
    vae = small_vae()
    for num in (0, -1):
        for call in (vae.log_weights, vae.elbo):
            with pytest.raises(ValueError, match="num_samples must be an integer of 1 or more"):
                call(x, num_samples=num)
        with pytest.raises(ValueError, match="num_samples must be an integer of 1 or more"):
            vae.generate(num)
    with pytest.raises(ValueError, match="batch_size must be an integer of 1 or more; got -1"):
        vae.fit(x, batch_size=-1)
    with pytest.raises(
        ValueError, match=r"one finite number for each of 50 examples; got shape \(49,\)"
    ):
        vae.fit(x, sample_weight=np.ones(49))
    with pytest.raises(ValueError, match="validation_split must be"):
        vae.fit(x, validation_split=1.0)


def test_file_with_code_in_it_is_refused_in_safe_mode(tmp_path):
    z = keras.Input((2,))
    output = keras.layers.Lambda(lambda a: a * 2, output_shape=(6,))(keras.layers.Dense(6)(z))
    VAE(dense_encoder((6,), 2), keras.Model(z, output)).save(tmp_path / "vae.keras")
    with pytest.raises(ValueError, match="safe_mode"):
        keras.models.load_model(tmp_path / "vae.keras")


@pytest.mark.long
def test_truncated_weights_leave_the_model_as_it_was(tmp_path, x):
    vae = small_vae(seed=0)
    vae.fit(x, verbose=0)
    path = tmp_path / "vae.weights.h5"
    vae.save_weights(path)
    before = weights_of(vae)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(OSError, match="take an earlier checkpoint"):
        vae.load_weights(path)
    for weight, other in zip(weights_of(vae), before, strict=True):
        np.testing.assert_array_equal(weight, other)


@pytest.mark.long
def test_model_stopped_by_ctrl_c_goes_on_and_saves(tmp_path, x):
    def interrupt(batch, logs):
        if batch == 2:
            raise KeyboardInterrupt

    vae = small_vae(seed=0)
    stop = keras.callbacks.LambdaCallback(on_train_batch_end=interrupt)
    with pytest.raises(KeyboardInterrupt):
        vae.fit(x, batch_size=10, verbose=0, callbacks=[stop])
    assert int(vae.optimizer.iterations) == 3
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    for model in (vae, loaded):
        model.fit(x, batch_size=10, verbose=0)
    assert_same_weights(vae, loaded)


@pytest.mark.long
def test_same_seed_shuffles_alike_and_every_epoch_anew(x):
    seen = []

    class Record(VAE):
        def compute_loss(self, x=None, *args, **kwargs):
            seen.append(np.asarray(x))
            return super().compute_loss(x, *args, **kwargs)

    for _ in range(2):
        keras.utils.set_random_seed(0)
        vae = Record(dense_encoder((6,), 2), dense_decoder((6,), 2), temperature=0.0, seed=1)
        vae.compile("adam", run_eagerly=True)
        rows = np.arange(50, dtype="float32")[:, None] / 50 + np.zeros((50, 6), "float32")
        vae.fit(rows, batch_size=20, epochs=2, verbose=0)
    orders = np.concatenate([batch[:, 0] for batch in seen]).reshape(2, 2, 50)
    np.testing.assert_array_equal(orders[0], orders[1])
    assert np.any(orders[0, 0] != orders[0, 1])
    np.testing.assert_array_equal(np.sort(orders, -1), np.broadcast_to(rows[:, 0], (2, 2, 50)))


KILLED = """
import os, sys
from rbm_tf.quiet import quiet_start
quiet_start()
import keras, numpy as np
from rbm_tf.shared.checkpoints import BackupAndRestore
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.vae import VAE

class Kill(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs):
        if int(self.model.optimizer.iterations) == 3 * 6 + 2:
            os.kill(os.getpid(), 9)

x = (np.random.default_rng(0).random((50, 6)) < 0.3).astype("float32")
weights = np.linspace(0.5, 1, 50)
keras.utils.set_random_seed(0)
networks = (make((6,), 2, hidden_units=(4,)) for make in (dense_encoder, dense_decoder))
vae = VAE(*networks, seed=SEED)
backup = BackupAndRestore(sys.argv[1] + "/backup")
kill = [Kill()] if sys.argv[2] == "kill" else []
vae.fit(x, batch_size=8, epochs=6, verbose=0, sample_weight=weights, validation_split=0.05,
        callbacks=[backup, *kill])
vae.save_weights(sys.argv[1] + "/last.weights.h5")
"""


@pytest.mark.long
def test_training_that_was_killed_resumes_to_the_last_bit(tmp_path, monkeypatch):
    for folder in ("broken", "whole"):
        (tmp_path / folder).mkdir()
    code = KILLED.replace("SEED", "1")
    killed = [sys.executable, "-c", code, str(tmp_path / "broken"), "kill"]
    assert subprocess.run(killed, cwd=ROOT).returncode == -9
    assert not (tmp_path / "broken" / "last.weights.h5").exists()
    for folder in ("broken", "whole"):
        monkeypatch.setattr(sys, "argv", ["", str(tmp_path / folder), "go on"])
        exec(code, {})
    models = [small_vae(), small_vae()]
    for model, folder in zip(models, ("broken", "whole"), strict=True):
        model.load_weights(tmp_path / folder / "last.weights.h5")
    assert_same_weights(*models)
    assert int(models[0].optimizer.iterations) == 6 * 6

import importlib.util
import json
import os
import pathlib
import runpy
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from rbm_tf.enumeration import log_z

ROOT = pathlib.Path(__file__).parent.parent
pytestmark = pytest.mark.long  # processes of their own
TENSORFLOW = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
import json, keras, numpy as np
from vae_keras.layers import AddKL
from vae_keras.losses import NegativeLogLikelihood
from vae_keras.parts import Bernoulli
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.vae import VAE

def networks():
    keras.utils.set_random_seed(0)
    return dense_encoder((6,), 2, hidden_units=(4,)), dense_decoder((6,), 2, hidden_units=(4,))

def layers():  # a VAE of layers that takes its noise as an input
    encoder, decoder = networks()
    x, eps = keras.Input((6,)), keras.Input((2,))
    mean, log_var = AddKL()(encoder(x))
    model = keras.Model((x, eps), decoder(mean + keras.ops.exp(0.5 * log_var) * eps))
    model.compile(keras.optimizers.SGD(0.1), NegativeLogLikelihood(Bernoulli()))
    return model, ((x_train, noise), x_train)

def autoencoder():
    vae = VAE(*networks(), temperature=0.0, seed=0)
    vae.compile(keras.optimizers.SGD(0.1))
    return vae, (x_train,)

def fused_adam():  # which every VAE comes compiled with
    return VAE(*networks(), temperature=0.0, seed=0), (x_train,)

def with_noise():
    vae = VAE(*networks(), seed=0)
    vae.compile(keras.optimizers.SGD(0.0))
    return vae, (x_train,)

rng = np.random.default_rng(0)
x_train = (rng.random((40, 6)) < 0.3).astype("float32")
noise = rng.normal(size=(40, 2)).astype("float32")
results = {}
one, two = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
for make in (layers, autoencoder, fused_adam, with_noise):
    for name, strategy in (("one", one), ("two", two)):
        with strategy.scope():
            model, data = make()
        shuffle = make is not layers  # the VAE shuffles alike on both
        history = model.fit(*data, batch_size=20, epochs=3, verbose=0, shuffle=shuffle)
        weights = np.concatenate([np.ravel(w) for w in model.trainable_weights])
        results[f"{make.__name__} {name}"] = [history.history["loss"], weights.tolist()]
print(json.dumps(results))
"""
JAX = """
import sys, json, keras, numpy as np
import jax
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.vae import VAE

if sys.argv[1] == "2":
    assert len(jax.devices()) == 2
    keras.distribution.set_distribution(keras.distribution.DataParallel())
x = (np.random.default_rng(0).random((40, 6)) < 0.3).astype("float32")
keras.utils.set_random_seed(0)
networks = (make((6,), 2, hidden_units=(4,)) for make in (dense_encoder, dense_decoder))
vae = VAE(*networks, seed=0)
history = vae.fit(x, batch_size=20, epochs=3, verbose=0).history
print(json.dumps(history))
"""


def run(*command, **environment):
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    result = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=ROOT, env=env
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def curves():
    return run("-c", TENSORFLOW)


@pytest.mark.parametrize("model", ["layers", "autoencoder", "fused_adam"])
def test_two_replicas_have_the_loss_curve_and_the_weights_of_one_device(curves, model):
    (loss, weights), (other_loss, other_weights) = (
        curves[f"{model} {name}"] for name in ("one", "two")
    )
    np.testing.assert_allclose(loss, other_loss, rtol=1e-6)
    np.testing.assert_allclose(weights, other_weights, rtol=1e-4, atol=1e-6)
    assert loss[-1] < loss[0]


def test_noise_in_the_layer_leaves_the_size_of_the_loss_alone(curves):
    # replicas repeat the draws of the first half of the batch, so that the curves differ a little
    losses = [curves[f"with_noise {name}"][0] for name in ("one", "two")]
    np.testing.assert_allclose(*losses, rtol=0.1)
    assert losses[0] != losses[1]


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX")
def test_two_devices_on_jax_have_the_loss_curve_of_one_with_the_noise():
    curves = [
        run(
            *("-c", JAX, str(num)),
            KERAS_BACKEND="jax",
            XLA_FLAGS=f"--xla_force_host_platform_device_count={num}",
        )
        for num in (1, 2)
    ]
    for key in ("loss", "reconstruction", "kl"):
        np.testing.assert_allclose(curves[0][key], curves[1][key], rtol=1e-5)


def free_ports(num):
    sockets = [socket.socket() for _ in range(num)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def losses_in(output):
    return [float(line.split()[3]) for line in output.splitlines() if line.startswith("epoch")]


@pytest.mark.parametrize("model", ["vae", "rbm"])
def test_two_machines_have_the_losses_of_one(tmp_path, monkeypatch, capsys, model):
    options = ["--model", model, "--epochs", "2"]
    options += {"vae": ["--temperature", "0"], "rbm": ["--exact", "--hidden", "8"]}[model]
    workers = ",".join(f"localhost:{port}" for port in free_ports(2))
    script, paths = "benchmarks/multi_worker.py", [str(tmp_path / f"{n}.keras") for n in (1, 2)]
    run = [sys.executable, script, "--workers", workers, *options, "--output", paths[1]]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    processes = [subprocess.Popen([*run, "--index", str(index)], **pipes) for index in (0, 1)]
    # meanwhile the same here, on one machine
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", tf.distribute.get_strategy)
    monkeypatch.setenv("TF_CONFIG", "{}")  # which the script sets, until the test ends
    here = [script, "--workers", "localhost:1", "--index", "0", *options, "--output", paths[0]]
    monkeypatch.setattr(sys, "argv", here)
    try:
        runpy.run_path(ROOT / script)["main"]()
        printed = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], printed
    outputs = [capsys.readouterr().out, *(output for output, _ in printed)]
    losses = [losses_in(output) for output in outputs]
    assert len(losses[0]) == 2
    np.testing.assert_allclose(losses[1:], losses[:1] * 2, rtol=1e-6)
    one, two = map(keras.models.load_model, paths)
    for weight, other in zip(one.trainable_weights, two.trainable_weights, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-4, atol=1e-6)
    if model == "rbm":
        lines = [line.split()[2::2] for o in outputs for line in o.splitlines() if "ln Z" in line]
        estimates = np.array(lines, float)  # of 100 chains, and of 200 by either machine
        assert np.all(np.abs(estimates[:, 0] - log_z(two)) < 5 * estimates[:, 1])
        np.testing.assert_array_equal(estimates[1], estimates[2])
        assert np.all(estimates[0] != estimates[1])

"""Speed of VAE training and log-weights against PyTorch, JAX, pythae, a loop by hand and matmuls.

    .venv/bin/python benchmarks/vae_speed.py [--rounds 5] [--section post ...]

All sides run in this one process, one after the other in every round, but for `VAE.fit` on JAX,
which waits for its turn in a process of its own; the table shows medians over rounds and ratios of
medians. The training loops have their data in the framework's memory; a side of its own hands `fit`
a NumPy array, as pythae is handed one. Peers that are not installed (`pip install -e .[bench]`) are
left out.
Results go to benchmarks/results/vae_speed_<section>.json.
"""

import contextlib
import importlib.util
import multiprocessing
import os
from itertools import pairwise
from unittest import mock

from rbm_tf.quiet import quiet_start

quiet_start()

import numpy as np
import tensorflow as tf
from rounds import main, measure

from vae_keras.lambda_vae import build_lambda_vae
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.optimizers import FusedAdam
from vae_keras.vae import VAE

NUM, PIXELS = 60_000, 784
EPOCHS = 3  # in each call of a fit
POST = {"latent": 2, "hidden": (256,), "activation": "relu"}
BURDA = {"latent": 50, "hidden": (200, 200), "activation": "tanh"}


def data():
    """Binary data of MNIST's size and mean."""
    return (np.random.default_rng(0).random((NUM, PIXELS)) < 0.13).astype("float32")


def post_100(rounds):
    """Three epochs of the post's VAE, 784-256-2, batch 100."""
    return measure(training_sides(POST, 100), rounds)


def post_1000(rounds):
    """Three epochs of the post's VAE, 784-256-2, batch 1,000."""
    return measure(training_sides(POST, 1000), rounds)


def burda_100(rounds):
    """Three epochs of the VAE of Burda et al., 784-200-200-50, batch 100."""
    return measure(training_sides(BURDA, 100), rounds)


def burda_1000(rounds):
    """Three epochs of the VAE of Burda et al., 784-200-200-50, batch 1,000."""
    return measure(training_sides(BURDA, 1000), rounds)


def log_weights(rounds):
    """5,000 log-weights for each of 20 images, 784-200-200-50, beside the decoder's products."""
    vae, x = model(BURDA), data()[:20]
    sides = {
        "VAE.log_weights": lambda: np.asarray(vae.log_weights(x, 5000, seed=0)),
        "the decoder's matmuls": decoder_products(rows=2000, repeats=50),
    }
    return measure(sides, rounds)


def training_sides(network, batch):
    x = data()
    rows = tf.constant(x)
    sides = {
        "free-energies, VAE.fit": fit(model(network), batch, rows),
        "free-energies, VAE.fit of a NumPy array": fit(model(network), batch, x),
    }
    if network is POST:
        post = build_lambda_vae((PIXELS,), seed=0)
        sides["free-energies, lambda_vae"] = fit(post, batch, rows, rows)
    sides["hand-written tf.function"] = hand_written(network, rows, batch)
    sides["matmuls alone"] = training_products(network, batch)
    if importlib.util.find_spec("torch"):
        sides["PyTorch loop"] = torch_loop(network, x, batch)
        sides["PyTorch loop, fused Adam"] = torch_loop(network, x, batch, fused=True)
        sides["PyTorch loop, compiled, fused Adam"] = torch_loop(network, x, batch, True, True)
    if importlib.util.find_spec("jax"):
        sides["free-energies, VAE.fit on JAX"] = on_jax(network, batch)
    if importlib.util.find_spec("pythae"):
        sides["pythae"] = pythae(network, x, batch)
    return sides


def networks(network):
    options = {"hidden_units": network["hidden"], "activation": network["activation"]}
    makers = dense_encoder, dense_decoder
    return tuple(make((PIXELS,), network["latent"], **options) for make in makers)


def model(network):
    return VAE(*networks(network), seed=0)


def fit(vae, batch, *arguments):
    vae.compile(vae.optimizer, vae.loss, steps_per_execution=NUM // batch)
    return lambda: vae.fit(*arguments, batch_size=batch, epochs=EPOCHS, verbose=0)


def hand_written(network, rows, batch):
    """The same step without `fit`: one graph holds the loop over a shuffled epoch."""
    encoder, decoder = networks(network)
    variables = encoder.trainable_variables + decoder.trainable_variables
    optimizer = FusedAdam()
    optimizer.build(variables)
    steps = NUM // batch

    @tf.function
    def epoch(seed):
        order = tf.random.experimental.stateless_shuffle(tf.range(NUM), [seed, 0])
        total = 0.0  # of the loss, which `fit` reports too
        for step in tf.range(steps):
            v = tf.gather(rows, order[step * batch : (step + 1) * batch])
            v = tf.ensure_shape(v, (batch, PIXELS))
            with tf.GradientTape() as tape:
                mean, log_var = encoder(v)
                eps = tf.random.stateless_normal((batch, network["latent"]), [seed, step])
                logits = decoder(mean + tf.exp(0.5 * log_var) * eps)
                cross_entropy = tf.reduce_sum(tf.math.softplus(logits) - v * logits, -1)
                kl = -0.5 * tf.reduce_sum(1 + log_var - mean**2 - tf.exp(log_var), -1)
                loss = tf.reduce_mean(cross_entropy + kl)
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            total += loss
        return total

    def run():
        for number in range(EPOCHS):
            float(epoch(tf.constant(number)))

    return run


def on_jax(network, batch):
    """The same `fit` on another backend of Keras, which takes a process of its own."""
    here, there = multiprocessing.Pipe()
    with mock.patch.dict(os.environ, KERAS_BACKEND="jax"):
        arguments = there, network, batch
        start = multiprocessing.get_context("spawn").Process
        start(target=serve_fit, args=arguments, daemon=True).start()

    def run():
        here.send("go")
        here.recv()

    return run


def serve_fit(pipe, network, batch):
    import jax.numpy as jnp

    run = fit(model(network), batch, jnp.asarray(data()))
    with contextlib.suppress(EOFError):  # the other process has ended
        while pipe.recv():
            run()
            pipe.send("done")


def layer_sizes(network):
    """(inputs, outputs) of every dense layer of encoder and decoder."""
    hidden, latent = network["hidden"], network["latent"]
    widths = PIXELS, *hidden
    sizes = [*pairwise(widths), (hidden[-1], latent), (hidden[-1], latent)]
    widths = latent, *hidden, PIXELS
    return [*sizes, *pairwise(widths)]


def training_products(network, batch):
    """Every layer's products: forward, for the kernel and, but for the first, for its input."""
    operands = []
    for index, (inputs, outputs) in enumerate(layer_sizes(network)):
        x, y = tf.random.normal((batch, inputs)), tf.random.normal((batch, outputs))
        operands.append((x, tf.random.normal((inputs, outputs)), y, index > 0))

    @tf.function
    def run():
        total = 0.0
        for _ in tf.range(EPOCHS * NUM // batch):
            shift = total * 1e-30  # ties the steps together
            total = 0.0
            for x, kernel, y, needs_input_gradient in operands:
                total += tf.matmul(x + shift, kernel)[0, 0]
                total += tf.matmul(x + shift, y, transpose_a=True)[0, 0]
                if needs_input_gradient:
                    total += tf.matmul(y + shift, kernel, transpose_b=True)[0, 0]
        return total

    return lambda: run().numpy()


def decoder_products(rows, repeats, dtype="float32"):
    sizes = layer_sizes(BURDA)[-3:]
    normal = [(tf.random.normal((rows, a)), tf.random.normal((a, b))) for a, b in sizes]
    operands = [[tf.cast(x, dtype) for x in pair] for pair in normal]

    @tf.function
    def run():
        total = tf.constant(0.0, dtype)
        for _ in tf.range(repeats):
            for x, kernel in operands:
                total = tf.matmul(x + total * 1e-30, kernel)[0, 0]
        return total

    return lambda: run().numpy()


def torch_networks(network):
    import torch

    activation = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[network["activation"]]

    def stack(widths):
        pairs = pairwise(widths)
        return [part for a, b in pairs for part in (torch.nn.Linear(a, b), activation())]

    hidden, latent = network["hidden"], network["latent"]
    body = torch.nn.Sequential(*stack((PIXELS, *hidden)))
    heads = torch.nn.Linear(hidden[-1], latent), torch.nn.Linear(hidden[-1], latent)
    output = torch.nn.Linear(hidden[-1], PIXELS)
    return body, heads, torch.nn.Sequential(*stack((latent, *hidden)), output)


def torch_loop(network, x, batch, fused=None, compiled=False):
    import torch

    body, heads, decoder = torch_networks(network)
    rows = torch.tensor(x)
    parts = torch.nn.ModuleList([body, *heads, decoder])
    optimizer = torch.optim.Adam(parts.parameters(), fused=fused)

    def loss(v):
        hidden = body(v)
        mean, log_var = (head(hidden) for head in heads)
        logits = decoder(mean + torch.exp(0.5 * log_var) * torch.randn_like(mean))
        cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, v, reduction="none"
        ).sum(-1)
        kl = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum(-1)
        return (cross_entropy + kl).mean()

    if compiled:
        loss = torch.compile(loss)

    def run():
        for _ in range(EPOCHS):
            for index in torch.randperm(len(rows)).split(batch):
                optimizer.zero_grad()
                loss(rows[index]).backward()
                optimizer.step()

    return run


def pythae(network, x, batch):
    """Its own trainer, on the same networks."""
    import logging
    import tempfile

    import pythae.models
    import torch
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig

    logging.disable(logging.INFO)
    body, heads, decoder = torch_networks(network)

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.body, self.heads = body, torch.nn.ModuleList(heads)

        def forward(self, v):
            hidden = self.body(v)
            mean, log_var = (head(hidden) for head in self.heads)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.body = decoder

        def forward(self, z):
            return ModelOutput(reconstruction=torch.sigmoid(self.body(z)))

    config = pythae.models.VAEConfig(
        input_dim=(PIXELS,), latent_dim=network["latent"], reconstruction_loss="bce"
    )
    peer = pythae.models.VAE(config, Encoder(), decoder=Decoder())

    def run():
        with tempfile.TemporaryDirectory() as folder:
            settings = BaseTrainerConfig(
                output_dir=folder,
                num_epochs=EPOCHS,
                per_device_train_batch_size=batch,
                learning_rate=1e-3,
                no_cuda=True,
            )
            TrainingPipeline(training_config=settings, model=peer)(train_data=x)

    return run


SECTIONS = {f.__name__: f for f in (post_100, post_1000, burda_100, burda_1000, log_weights)}

if __name__ == "__main__":
    main("vae_speed", __doc__, SECTIONS)

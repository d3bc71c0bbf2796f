"""Test log-likelihoods of VAEs on MNIST by every estimator, in nats.

    MNIST_PATH=mnist.npz .venv/bin/python benchmarks/vae_mnist.py elbo [--seed 0]

50 latent variables, two hidden layers of 200 tanh units in encoder and decoder, as Burda et al.
(2016). Training draws the binary pixels anew at every step; the test set is one fixed sample (seed
0). Results go to benchmarks/results/vae_mnist_<run>.json, with the curve of the training, and
are written after each of its stages: training, estimates, annealing.
"""

import argparse
import pathlib
import sys
import time

from rbm_tf.command_line import table
from rbm_tf.quiet import quiet_start

quiet_start()

import keras
import numpy as np
import tensorflow as tf
from rounds import write

from rbm_tf.datasets import binarize, load_mnist
from vae_keras import evidence
from vae_keras.annealing import ais_weights, bracket, reverse_ais_weights
from vae_keras.evaluation import estimate_in_blocks
from vae_keras.group_size import grouped_estimate
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.objectives import IWAE
from vae_keras.vae import VAE

OUTPUTS = pathlib.Path("outputs")
RUNS = {
    # name: objective, minutes of training at most, batch
    "elbo": (lambda: None, 60, 100),
    "iwae-5": (lambda: IWAE(num_samples=5), 60, 100),
    "iwae-50": (lambda: IWAE(num_samples=50), 120, 20),
}
RATE = 1e-3
BETAS = np.linspace(0, 1, 501)


def build(pixel_means, objective, seed):
    keras.utils.set_random_seed(seed)
    encoder = dense_encoder((784,), 50, (200, 200), "tanh")
    decoder = dense_decoder((784,), 50, (200, 200), "tanh")
    output = next(layer for layer in decoder.layers[::-1] if layer.weights)
    mean = np.clip(pixel_means, 0.001, 0.999)
    output.bias.assign(np.log(mean) - np.log1p(-mean))
    return VAE(encoder, decoder, objective=objective, seed=seed)


def batches(grey, batch, seed):
    """Shuffled batches of binary pixels, drawn anew in every epoch."""
    draws, grey = tf.random.Generator.from_seed(seed), tf.constant(grey)
    data = tf.data.Dataset.range(len(grey)).shuffle(len(grey), seed=seed)

    def draw(rows):
        x = tf.gather(grey, rows)
        return tf.cast(draws.uniform(tf.shape(x)) < x, x.dtype)

    options = tf.data.Options()
    options.autotune.enabled = False  # an epoch would wait for its tuner before it ends
    return data.batch(batch, drop_remainder=True).map(draw).prefetch(2).with_options(options)


class Clock(keras.callbacks.Callback):
    """Lets the learning rate fall with the time that is left, stops at its end, keeps a curve."""

    def __init__(self, minutes, x_test):
        super().__init__()
        self.minutes, self.x_test, self.curve = minutes, x_test, []

    def on_train_begin(self, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.start
        share = seconds / (60 * self.minutes)
        self.model.optimizer.learning_rate = RATE * max(0.01, 1 - share)
        if epoch % 10 == 0:
            weights = self.model.log_weights(self.x_test, 50, seed=0)
            value = float(np.mean(evidence.iwae(weights)))
            self.curve.append({"seconds": seconds, "epoch": epoch + 1, "IWAE-50": value})
            print(f"epoch {epoch + 1}, {seconds:.0f} s: IWAE-50 {value:.2f}", flush=True)
        self.model.stop_training = share >= 1


ESTIMATORS = {
    "ELBO": evidence.elbo,
    "IWAE": evidence.iwae,
    "jackknife, order 1": evidence.jackknife,
    "jackknife, order 2": lambda weights: evidence.jackknife(weights, order=2),
    **{
        f"cumulants, order {order}": lambda weights, order=order: evidence.cumulant(weights, order)
        for order in (2, 3, 4)
    },
    "grouped cumulants, 5 each": lambda weights: evidence.grouped_cumulant(weights, 5),
    "grouped cumulants, 10 each": lambda weights: evidence.grouped_cumulant(weights, 10),
    "grouped, chosen": lambda weights: grouped_estimate(weights, seed=0).log_p,
    **{
        f"thermodynamic sum, {rule}": lambda weights, rule=rule: evidence.thermodynamic_sum(
            weights, np.linspace(0, 1, 11), rule
        )
        for rule in ("left", "trapezoid", "right")
    },
}


def evaluate(vae, x, num_samples, seed, path):
    """Every estimate from the same 5,000 log-weights, and from the first 50 of them."""
    estimators = {
        (name, samples): lambda weights, estimate=estimate, samples=samples: estimate(
            weights[:samples]
        )
        for samples in (50, num_samples)
        for name, estimate in ESTIMATORS.items()
    }
    rows = []
    estimates = estimate_in_blocks(vae, x, estimators, num_samples, seed, path)
    for (name, samples), each in estimates.items():
        error = float(each.std(ddof=1) / np.sqrt(len(each)))
        rows.append(
            {"estimate": name, "samples": samples, "test": float(each.mean()), "s.e.": error}
        )
    return rows


def anneal(vae, x, seed):
    """ln p(x) of the first 200 test images by AIS beside IWAE, and the bracket of 200 simulated."""
    start = time.perf_counter()
    annealed = evidence.iwae(ais_weights(vae, x[:200], 16, BETAS, seed=seed).log_weights).numpy()
    importance = evidence.iwae(vae.log_weights(x[:200], 5000, seed=seed)).numpy()
    simulated, z = (np.asarray(a) for a in vae.sample(200, seed=seed))
    forward = ais_weights(vae, simulated, 16, BETAS, seed=seed)
    verdict = bracket(forward, reverse_ais_weights(vae, simulated, z, BETAS, seed=seed))
    error = float((annealed - importance).std(ddof=1) / np.sqrt(len(annealed)))
    return {
        "chains and temperatures": [16, len(BETAS)],
        "first 200 images": float(annealed.mean()),
        "the same by IWAE-5000": float(importance.mean()),
        "s.e. of the difference": error,
        "simulated images": verdict.message,
        "seconds": time.perf_counter() - start,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="of training; less than the run's own")
    parser.add_argument("--num-images", type=int, default=10_000, help="test images to evaluate")
    options = parser.parse_args()
    make_objective, minutes, batch = RUNS[options.run]
    minutes = options.minutes or minutes
    (grey, _), (grey_test, _) = load_mnist()
    grey, grey_test = (x.reshape(-1, 784) for x in (grey, grey_test))
    x_test = binarize(grey_test, "bernoulli", seed=0)[: options.num_images]
    vae = build(grey.mean(0), make_objective(), options.seed)
    vae.compile(keras.optimizers.Adam(RATE), steps_per_execution=len(grey) // batch)
    clock = Clock(minutes, x_test[:1000])
    cpu = time.process_time()
    data = batches(grey, batch, options.seed)
    vae.fit(data, epochs=100_000, shuffle=False, verbose=0, callbacks=[clock])
    cpu = time.process_time() - cpu
    OUTPUTS.mkdir(exist_ok=True)
    vae.save(OUTPUTS / f"vae_mnist_{options.run}.keras")
    result = {
        "command": f"benchmarks/vae_mnist.py {' '.join(sys.argv[1:])}",
        "binarisation": "fresh Bernoulli pixels in training; the test set one fixed sample",
        "optimizer": f"Adam, {RATE} falling linearly to 1 % of it, batch {batch}",
        "training minutes": minutes,
        "training processor seconds": cpu,
        "epochs": len(vae.history.epoch),
        "test images": len(x_test),
        "curve of": "the first 1,000 test images, 50 samples",
        "curve": clock.curve,
    }
    write(f"vae_mnist_{options.run}", **result)
    start = time.perf_counter()
    result["rows"] = evaluate(vae, x_test, 5000, options.seed, OUTPUTS / f"{options.run}.npz")
    result["evaluation seconds"] = time.perf_counter() - start
    write(f"vae_mnist_{options.run}", **result)
    result["annealed"] = anneal(vae, x_test, options.seed)
    write(f"vae_mnist_{options.run}", **result)
    print(result["annealed"])
    print(table(result["rows"], {"estimate": "", "samples": "d", "test": ".3f", "s.e.": ".3f"}))


if __name__ == "__main__":
    sys.exit(main())

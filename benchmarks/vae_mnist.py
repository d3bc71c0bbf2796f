"""Test log-likelihoods of VAEs on MNIST by every estimator, in nats.

    MNIST_PATH=mnist.npz .venv/bin/python benchmarks/vae_mnist.py elbo [--seed 0]

50 latent variables, two hidden layers of 200 tanh units in encoder and decoder, as Burda et al.
(2016). Training draws the binary pixels anew at every step; the test set is one fixed sample (seed
0). Results go to benchmarks/results/vae_mnist_<run>.json after each of three stages: training with
its curve, estimates, annealing. --stages repeats some of them: without training, they take the
model that an earlier call saved in outputs/.
"""

import argparse
import pathlib
import sys
import time

from rbm_tf.command_line.program import table
from rbm_tf.quiet import quiet_start

quiet_start()

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from rounds import RESULTS, read, write

from rbm_tf.datasets import binarize, load_mnist
from rbm_tf.shared.files import written_whole
from vae_keras import evidence
from vae_keras.evidence import ais, bracket_verdict, reverse_ais
from vae_keras.evidence.blocks import estimate_in_blocks
from vae_keras.evidence.groups import grouped_estimate
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.objectives import IWAE
from vae_keras.optimizers import FusedAdam
from vae_keras.vae import VAE

OUTPUTS = pathlib.Path("outputs")
RUNS = {
    # name: objective, minutes of training at most, batch
    "elbo": (lambda: None, 60, 100),
    "iwae-5": (lambda: IWAE(num_samples=5), 60, 100),
    "iwae-50": (lambda: IWAE(num_samples=50), 120, 20),
}
RATE, POINTS = 1e-3, 30  # of the curve
STAGES = ("training", "estimates", "annealing")
CHAINS, TEMPERATURES = 16, 1001  # of the annealing of test images
SIMULATED, MORE_TEMPERATURES = 50, 2001  # both ways, from exact samples


def build(pixel_means, objective, seed):
    keras.utils.set_random_seed(seed)
    encoder = dense_encoder((784,), 50, hidden_units=(200, 200), activation="tanh")
    decoder = dense_decoder((784,), 50, hidden_units=(200, 200), activation="tanh")
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

    now = staticmethod(time.perf_counter)

    def __init__(self, minutes, x_test):
        super().__init__()
        self.minutes, self.x_test, self.curve = minutes, x_test, []

    def on_train_begin(self, logs=None):
        self.start = self.now()

    def on_epoch_end(self, epoch, logs=None):
        seconds = self.now() - self.start
        share = seconds / (60 * self.minutes)
        self.model.optimizer.learning_rate = RATE * max(0.01, 1 - share)
        if share >= len(self.curve) / POINTS:
            self.measure(epoch, seconds)
        self.model.stop_training = share >= 1

    def measure(self, epoch, seconds):
        weights = self.model.log_weights(self.x_test, 50, seed=0)
        value = float(np.mean(evidence.iwae(weights)))
        self.curve.append({"seconds": seconds, "epoch": epoch + 1, "IWAE-50": value})
        print(f"epoch {epoch + 1}, {seconds:.0f} s: IWAE-50 {value:.2f}", flush=True)


ESTIMATORS = {
    "ELBO": evidence.elbo,
    "IWAE": evidence.iwae,
    "jackknife, order 1": evidence.jackknife,
    "jackknife, order 2": lambda weights: evidence.jackknife(weights, order=2),
    **{
        f"cumulants, order {order}": lambda weights, order=order: evidence.cumulant(
            weights, order=order
        )
        for order in (2, 3, 4)
    },
    "grouped cumulants, 5 each": lambda weights: evidence.grouped_cumulant(weights, 5),
    "grouped cumulants, 10 each": lambda weights: evidence.grouped_cumulant(weights, 10),
    "grouped, chosen": lambda weights: grouped_estimate(weights, seed=0).log_p,
    **{
        f"thermodynamic sum, {rule}": lambda weights, rule=rule: evidence.thermodynamic_sum(
            weights, np.linspace(0, 1, 11), rule=rule
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
    estimates = estimate_in_blocks(vae, x, estimators, num_samples, seed=seed, path=path)
    for (name, samples), each in estimates.items():
        error = float(each.std(ddof=1) / np.sqrt(len(each)))
        rows.append(
            {"estimate": name, "samples": samples, "test": float(each.mean()), "s.e.": error}
        )
    return rows


def anneal(vae, x, seed):
    """ln p(x) of the first 200 test images by AIS beside IWAE; the bracket of simulated images."""
    start, betas = time.perf_counter(), np.linspace(0, 1, TEMPERATURES)
    walks = ais(vae, x[:200], num_chains=CHAINS, betas=betas, seed=seed)
    annealed = walks.log_z
    importance = evidence.iwae(vae.log_weights(x[:200], 5000, seed=seed)).numpy()
    error = float((annealed - importance).std(ddof=1) / np.sqrt(len(annealed)))
    simulated, z = (np.asarray(a) for a in vae.sample(SIMULATED, seed=seed))
    betas = np.linspace(0, 1, MORE_TEMPERATURES)
    forward = ais(vae, simulated, num_chains=CHAINS, betas=betas, seed=seed)
    verdict = bracket_verdict(forward, reverse_ais(vae, simulated, z, betas=betas, seed=seed))
    return {
        "chains": CHAINS,
        "temperatures": TEMPERATURES,
        "first 200 images": float(annealed.mean()),
        "the same by IWAE-5000": float(importance.mean()),
        "s.e. of the difference": error,
        "temperatures for simulated images": MORE_TEMPERATURES,
        "simulated images": verdict.message,
        "seconds": time.perf_counter() - start,
    }


def train(name, minutes, seed, x_test):
    """The trained model, and what is to be said of its training."""
    make_objective, most, batch = RUNS[name]
    minutes = minutes or most
    (grey, _), _ = load_mnist()
    grey = grey.reshape(-1, 784)
    vae = build(grey.mean(0), make_objective(), seed)
    vae.compile(FusedAdam(RATE), steps_per_execution=len(grey) // batch)
    clock = Clock(minutes, x_test[:1000])
    cpu, data = time.process_time(), batches(grey, batch, seed)
    vae.fit(data, epochs=100_000, shuffle=False, verbose=0, callbacks=[clock])
    return vae, {
        "command": f"benchmarks/vae_mnist.py {' '.join(sys.argv[1:])}",
        "binarisation": "fresh Bernoulli pixels in training; the test set one fixed sample",
        "optimizer": f"Adam, {RATE} falling linearly to 1 % of it, batch {batch}",
        "training minutes": minutes,
        "training processor seconds": time.process_time() - cpu,
        "epochs": len(vae.history.epoch),
        "curve of": "the first 1,000 test images, 50 samples",
        "curve": clock.curve,
    }


def draw(name, runs, num_images, lowest):
    """The curves of all runs that have a file of results, by label, as <name>.png."""
    figure, axes = plt.subplots(figsize=(7, 3.5))
    for label, run in runs.items():
        if (RESULTS / f"{run}.json").exists():
            curve = read(run)["curve"]
            minutes, values = zip(*((p["seconds"] / 60, p["IWAE-50"]) for p in curve), strict=True)
            axes.plot(minutes, values, ".-", label=label)
    axes.set(ylim=(lowest, None), xlabel="minutes of training", ylabel="ln p(x) by IWAE-50 (nats)")
    axes.set_title(f"The first {num_images:,} test images", loc="left")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    with written_whole(RESULTS / f"{name}.png") as partial:
        figure.savefig(partial, dpi=100, bbox_inches="tight")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="of training; less than the run's own")
    parser.add_argument("--num-images", type=int, default=10_000, help="test images to evaluate")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    options = parser.parse_args()
    name, file = f"vae_mnist_{options.run}", OUTPUTS / f"vae_mnist_{options.run}.keras"
    grey_test = load_mnist()[1][0].reshape(-1, 784)
    x_test = binarize(grey_test, binarization="bernoulli", seed=0)[: options.num_images]
    if "training" in options.stages:
        vae, result = train(options.run, options.minutes, options.seed, x_test)
        OUTPUTS.mkdir(exist_ok=True)
        vae.save(file)
        write(name, **result)
        draw("vae_mnist_curves", {run: f"vae_mnist_{run}" for run in RUNS}, 1000, -100)
    else:
        vae, result = keras.models.load_model(file), read(name)
    if "estimates" in options.stages:
        start, kept = time.perf_counter(), OUTPUTS / f"{options.run}.npz"
        result["rows"] = evaluate(vae, x_test, 5000, options.seed, kept)
        result["test images"] = len(x_test)
        result["evaluation seconds"] = time.perf_counter() - start
        write(name, **result)
    if "annealing" in options.stages:
        result["annealed"] = anneal(vae, x_test, options.seed)
        write(name, **result)
        print(result["annealed"])
    if "rows" in result:
        print(table(result["rows"], {"estimate": "", "samples": "d", "test": ".3f", "s.e.": ".3f"}))


if __name__ == "__main__":
    sys.exit(main())

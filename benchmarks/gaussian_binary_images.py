"""Gaussian-binary RBMs on whitened patches and grey digits: exact ln p, filters, and failures.

    .venv/bin/python benchmarks/gaussian_binary_images.py [--data patches digits] [--seed 0]

16 binary hidden units, so ln Z is a sum over 65,536 states and every ln p is exact (nats, relative
to the Lebesgue measure of the data as they are scaled). Training: CD-1, PCD-1, and PCD-1 in
standardised coordinates, at several learning rates, with the precision of visible units fixed or
learned. Beside them one Gaussian of full covariance. `--data patches` also trains 64 hidden units,
whose ln Z is annealed both ways. Results go to benchmarks/results/gaussian_binary_*.
"""

import argparse
import itertools
import sys
import time

from rbm_tf.quiet import quiet_start

quiet_start()

import keras
import matplotlib.pyplot as plt
import numpy as np
from rounds import RESULTS, write

from rbm_tf.annealing import ais, reverse_ais
from rbm_tf.command_line.program import table
from rbm_tf.datasets import load_mnist_5k, load_patches
from rbm_tf.enumeration import log_z
from rbm_tf.plotting import image_grid
from rbm_tf.rbm import RBM
from rbm_tf.shared.files import written_whole
from rbm_tf.training import negative_phase
from rbm_tf.units import Binary, Gaussian

BATCH = 100
PHASES = {
    "CD-1": (lambda seed: negative_phase.ContrastiveDivergence(1, seed=seed), "centered"),
    "PCD-1": (
        lambda seed: negative_phase.PersistentContrastiveDivergence(BATCH, seed=seed),
        "centered",
    ),
    "PCD-1, standardised": (
        lambda seed: negative_phase.PersistentContrastiveDivergence(BATCH, seed=seed),
        "standardized",
    ),
}
GRID = {  # data set: (precision at the start, its rate relative to the kernel's, learning rates)
    "patches": [(1.0, 0.0, (0.03,)), (2.0, 0.0, (0.03,)), (2.0, 0.1, (0.003, 0.03, 0.3))],
    "digits": [(1.0, 0.0, (0.003, 0.03)), (1.0, 0.1, (0.03,))],
    "digits_one_scale": [(1.0, 0.0, (0.003, 0.03, 0.3)), (1.0, 0.1, (0.03,))],
}
EPOCHS = 20


def patches():
    """8 x 8, each pixel of the training set with mean 0 and variance 1."""
    (x, _), (x_test, _) = load_patches()
    return x.reshape(len(x), -1), x_test.reshape(len(x_test), -1)


def digits():
    """Grey levels with noise of 0.3 mean deviations, each pixel of the training set standardised.

    The noise gives pixels that are always white a density, and rare ink no more than a few
    deviations.
    """
    x, x_test = noisy_digits(0.3)
    mean, deviation = x.mean(0), x.std(0)
    return (x - mean) / deviation, (x_test - mean) / deviation


def digits_one_scale():
    """Grey levels less the mean of their pixel, all divided by one number, and noise of 0.1."""
    return noisy_digits(0.1)


def noisy_digits(noise):
    """In units of the mean standard deviation of a pixel."""
    (x, _), (x_test, _) = load_mnist_5k()
    x, x_test = (part.reshape(len(part), -1).astype(np.float32) for part in (x, x_test))
    mean, scale = x.mean(0), x.std(0).mean()
    rng = np.random.default_rng(0)
    x, x_test = (
        ((part - mean) / scale + noise * rng.normal(size=part.shape)).astype(np.float32)
        for part in (x, x_test)
    )
    return x, x_test


DATA = {"patches": patches, "digits": digits, "digits_one_scale": digits_one_scale}


def train(x, num_hidden, phase, rate, precision, unit_rate, epochs, seed):
    keras.utils.set_random_seed(seed)
    make, gradient = PHASES[phase]
    rbm = RBM(
        Gaussian(x.shape[1], precision),
        Binary(num_hidden),
        negative_phase=make(seed),
        gradient=gradient,
        unit_rate=unit_rate,
        seed=seed,
    )
    steps = len(x) // BATCH
    schedule = keras.optimizers.schedules.PolynomialDecay(rate, epochs * steps, 0.0)
    rbm.compile(keras.optimizers.SGD(schedule), steps_per_execution=steps)
    start = time.process_time()
    rbm.fit(x, batch_size=BATCH, epochs=epochs, verbose=0)
    return rbm, time.process_time() - start


def mean_log_p(rbm, ln_z, *parts):
    return [float(-rbm.free_energy(x).numpy().mean(dtype=float) - ln_z) for x in parts]


def by_training(x, x_test, name, seed):
    """A row for each way to train, and the models."""
    rows, models = [], {}
    ways = [(start, unit, rate) for start, unit, rates in GRID[name] for rate in rates]
    for (first, unit_rate, rate), phase in itertools.product(ways, PHASES):
        rbm, seconds = train(x, 16, phase, rate, first, unit_rate, EPOCHS, seed)
        precision = f"{'learned from' if unit_rate else 'fixed at'} {first:g}"
        row = {"training": phase, "rate": rate, "precision": precision}
        finite = bool(np.all(np.isfinite(rbm.kernel)))
        if finite:
            row["train"], row["test"] = mean_log_p(rbm, log_z(rbm), x, x_test)
            row["largest weight"] = float(np.abs(rbm.kernel).max())
            log_precision = rbm.machine.visible.parameters["log_precision"].numpy()
            row["largest precision"] = float(np.exp(log_precision.max()))
        row |= {"diverged": not finite, "seconds": seconds}
        rows.append(row)
        models[precision, phase, rate] = rbm.kernel.numpy()
        print(row, flush=True)
    return rows, models


def one_gaussian(x, x_test, full):
    """ln p of one Gaussian with the mean and the covariance of the training set, or variances."""
    covariance = np.cov(x, rowvar=False) if full else np.diag(x.var(0))
    precision, size = np.linalg.inv(covariance), x.shape[1]
    constant = (np.linalg.slogdet(covariance)[1] + size * np.log(2 * np.pi)) / 2
    centred = (part - x.mean(0) for part in (x, x_test))
    train, test = (float(-np.sum(y @ precision * y, 1).mean() / 2 - constant) for y in centred)
    covariance = "full covariance" if full else "independent pixels"
    return {"training": f"one Gaussian, {covariance}", "train": train, "test": test}


def bracket(x, x_test, seed):
    """64 hidden units, PCD-1, precision learned from 2: ln p by AIS both ways."""
    rbm, seconds = train(x, 64, "PCD-1", 0.03, 2.0, 0.1, EPOCHS, seed)
    options = {"betas": np.linspace(0, 1, 501), "progress": False}
    forward = ais(rbm, num_chains=200, seed=seed, **options)
    reverse = reverse_ais(rbm, rbm.sample(200, 500, seed=seed), seed=seed + 1, **options)
    row = {"training": "64 hidden units", "seconds": seconds}
    for name, estimate in (("forward", forward), ("reverse", reverse)):
        row[f"train, {name}"], row[f"test, {name}"] = mean_log_p(rbm, estimate.log_z, x, x_test)
        row[f"s.e., {name}"] = estimate.standard_error
        row[f"ESS, {name}"] = float(estimate.effective_sample_size)
    print(row, flush=True)
    return row


def draw(models, rows, name):
    """Filters of the best and the worst model of each way to train that did not diverge."""
    chosen = {}
    for phase in PHASES:
        found = [one for one in rows if one["training"] == phase and not one["diverged"]]
        found.sort(key=lambda row: row["test"])
        for row in (*found[-1:], *found[:1]):
            title = f"{phase}, rate {row['rate']:g}\nprecision {row['precision']}"
            title += f": {row['test']:.1f} nats"
            chosen[title] = models[row["precision"], phase, row["rate"]]
    figure, axes = plt.subplots(2, -(-len(chosen) // 2), figsize=(12, 6), layout="constrained")
    for ax in axes.ravel():
        ax.set_axis_off()
    for ax, (title, kernel) in zip(axes.T.ravel(), chosen.items(), strict=False):
        edge = int(len(kernel) ** 0.5)
        image_grid(ax, kernel.T.reshape(-1, edge, edge), columns=4)
        ax.set_title(title, fontsize=10)
    with written_whole(RESULTS / f"gaussian_binary_{name}.png") as partial:
        figure.savefig(partial, dpi=100)


def one_data_set(name, seed):
    start = time.perf_counter()
    x, x_test = DATA[name]()
    rows, models = by_training(x, x_test, name, seed)
    trained = list(rows)
    rows += [one_gaussian(x.astype(float), x_test.astype(float), full) for full in (False, True)]
    extra = {"bracket": bracket(x, x_test, seed)} if name == "patches" else {}
    formats = {"training": "", "precision": "", "rate": "g", "train": ".2f", "test": ".2f"}
    print(table(rows, formats | {"largest weight": ".2f", "largest precision": ".1f"}))
    write(
        f"gaussian_binary_{name}",
        what=f"mean ln p in nats, exact, {x.shape[1]}-16; {DATA[name].__doc__.splitlines()[0]}",
        command=f"benchmarks/gaussian_binary_images.py --data {name} --seed {seed}",
        seed=seed,
        total_seconds=time.perf_counter() - start,
        epochs=EPOCHS,
        rows=rows,
        **extra,
    )
    draw(models, trained, name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for name in given.data:
        one_data_set(name, given.seed)


if __name__ == "__main__":
    sys.exit(main())

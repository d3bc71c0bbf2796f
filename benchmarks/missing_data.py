"""Digits with missing pixels: training on what is there, and ln p of what is not.

    .venv/bin/python benchmarks/missing_data.py [--missing 0.3] [--seed 0]

Binary 8 x 8 digits, of which a share of the pixels is missing at random, in training as in test.
An RBM of 14 hidden units learns from all pixels, from the observed ones with the others drawn given
them, or from images whose missing pixels are the means of the observed ones. ln p of the missing
pixels of test images given the observed ones is exact, a sum over 16,384 hidden states. Beside them
a mixture of 30 Bernoulli products, whose EM algorithm sums over what is missing, and the mean of
each pixel. Results go to benchmarks/results/missing_data.json.
"""

import argparse
import sys
import time

from rbm_tf.quiet import quiet_start

quiet_start()

import keras
import matplotlib.pyplot as plt
import numpy as np
from rounds import RESULTS, write
from scipy.special import logsumexp

from rbm_tf.command_line.program import table
from rbm_tf.conditional import inpaint, log_conditional, log_marginal
from rbm_tf.datasets import load_digits
from rbm_tf.plotting import image_grid
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.shared.files import written_whole
from rbm_tf.training.negative_phase import PersistentContrastiveDivergence

NUM_HIDDEN, EPOCHS, RATE, BATCH = 14, 300, 0.2, 100
MISSING_STEPS = 5  # masked Gibbs sweeps in a step of training
COMPONENTS, EM_STEPS = 30, 100


def train(x, seed):
    """x may hold NaN where it is missing."""
    keras.utils.set_random_seed(seed)
    phase = PersistentContrastiveDivergence(BATCH, num_steps=2, seed=seed)
    options = {"missing_steps": MISSING_STEPS} if np.any(np.isnan(x)) else {}
    rbm = BernoulliRBM(x.shape[1], NUM_HIDDEN, negative_phase=phase, seed=seed, **options)
    steps = -(-len(x) // BATCH)
    rate = keras.optimizers.schedules.PolynomialDecay(RATE, EPOCHS * steps, 0.0)
    rbm.compile(keras.optimizers.SGD(rate), steps_per_execution=steps)
    start = time.process_time()
    rbm.fit(x, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return rbm, time.process_time() - start


def pixel_means(x):
    """Of the observed pixels, with one 0 and one 1 added to each."""
    return (np.nansum(x, 0) + 1) / (np.sum(~np.isnan(x), 0) + 2)


class Mixture:
    """Products of Bernoulli variables, by EM on the observed pixels."""

    def __init__(self, x, seed):
        rng, seen = np.random.default_rng(seed), ~np.isnan(x)
        ones, zeros = np.where(seen, x, 0), np.where(seen, 1 - x, 0)
        responsibility = rng.dirichlet(np.full(COMPONENTS, 0.1), size=len(x))
        for _ in range(EM_STEPS):
            up, down = responsibility.T @ ones + 0.5, responsibility.T @ zeros + 0.5
            self.log_p, self.log_q = np.log(up / (up + down)), np.log(down / (up + down))
            self.log_share = np.log((responsibility.sum(0) + 0.5) / (len(x) + 0.5 * COMPONENTS))
            joint = self.joint(x)
            responsibility = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))

    def joint(self, x):
        """ln p(k, what is observed), (num, COMPONENTS)."""
        seen = ~np.isnan(x)
        ones, zeros = np.where(seen, x, 0), np.where(seen, 1 - x, 0)
        return self.log_share + ones @ self.log_p.T + zeros @ self.log_q.T

    def log_p_observed(self, x):
        return logsumexp(self.joint(x), axis=1)

    def mean(self, x):
        joint = self.joint(x)
        return np.exp(joint - logsumexp(joint, axis=1, keepdims=True)) @ np.exp(self.log_p)


def row(name, found, mask, x_test, mean, train_observed, seconds=None):
    """found: ln p of the missing pixels of each image; mean: their conditional means."""
    missing = ~mask
    right = (mean > 0.5) == (x_test > 0.5)
    return {
        "model": name,
        "ln p of missing": float(found.mean()),
        "s.e.": float(found.std() / np.sqrt(len(found))),
        "nats a pixel": float(found.sum() / missing.sum()),
        "right": float(right[missing].mean()),
        "ln p of observed, train": float(np.mean(train_observed)),
        "seconds": seconds,
    }


def by_rbm(name, x_train, seen_train, x_test, mask, seed):
    rbm, seconds = train(x_train, seed)
    found = log_conditional(rbm, x_test, mask=mask).numpy()
    mean = inpaint(rbm, x_test, mask=mask, num_steps=300, progress=False, seed=seed).mean.numpy()
    observed = log_marginal(rbm, seen_train)
    return row(name, found, mask, x_test, mean, observed, seconds), mean


def draw(images):
    """What is observed of a few digits, and what the models make of it."""
    figure, axes = plt.subplots(len(images), 1, figsize=(9, 1.05 * len(images)))
    for ax, (name, x) in zip(axes, images.items(), strict=True):
        image_grid(ax, x[:12].reshape(-1, 8, 8), columns=12)
        ax.set_title(name, fontsize=10, loc="left")
    figure.tight_layout()
    with written_whole(RESULTS / "missing_data.png") as partial:
        figure.savefig(partial, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--missing", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    start, rng = time.perf_counter(), np.random.default_rng(given.seed)
    (x, _), (x_test, _) = load_digits("threshold")
    x, x_test = (part.reshape(len(part), -1) for part in (x, x_test))
    seen = np.where(rng.random(x.shape) < given.missing, np.nan, x)
    mask = rng.random(x_test.shape) >= given.missing
    seen_test = np.where(mask, x_test, np.nan)
    means = pixel_means(seen)
    ways = {
        "RBM of all pixels": x,
        "RBM of the observed pixels": seen.astype(np.float32),
        "RBM of images filled with means": np.where(np.isnan(seen), means, x).astype(np.float32),
    }
    rows = []
    images = {"complete": x_test, "observed, the rest 0.5": np.where(mask, x_test, 0.5)}
    for name, data in ways.items():
        found, mean = by_rbm(name, data, seen, x_test, mask, given.seed)
        images[name] = np.where(mask, x_test, mean)
        rows.append(found)
        print(found, flush=True)
    begin = time.process_time()
    mixture = Mixture(seen, given.seed)
    seconds = time.process_time() - begin
    found = mixture.log_p_observed(x_test) - mixture.log_p_observed(seen_test)
    name, observed = f"mixture of {COMPONENTS} products", mixture.log_p_observed(seen)
    mean = mixture.mean(seen_test)
    images[name] = np.where(mask, x_test, mean)
    rows.append(row(name, found, mask, x_test, mean, observed, seconds))
    each = np.where(x_test > 0.5, np.log(means), np.log1p(-means))
    alone = np.nansum(np.where(seen > 0.5, np.log(means), np.log1p(-means)) + 0 * seen, 1)
    mean = np.broadcast_to(means, x_test.shape)
    rows.append(row("mean of each pixel", (each * ~mask).sum(1), mask, x_test, mean, alone))
    formats = {"model": "", "ln p of missing": ".2f", "s.e.": ".2f", "nats a pixel": ".3f"}
    formats |= {"right": ".1%", "ln p of observed, train": ".2f", "seconds": ".1f"}
    print(table(rows, formats))
    write(
        "missing_data",
        what="nats; ln p of the missing pixels of a test image given the observed ones",
        command=f"benchmarks/missing_data.py {' '.join(sys.argv[1:])}".strip(),
        seed=given.seed,
        missing=given.missing,
        epochs=EPOCHS,
        total_seconds=time.perf_counter() - start,
        rows=rows,
    )
    draw(images)


if __name__ == "__main__":
    sys.exit(main())

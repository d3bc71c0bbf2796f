"""Test log-likelihoods of RBMs on MNIST, in nats.

    MNIST_PATH=mnist.npz .venv/bin/python benchmarks/rbm_mnist.py 784-500 [--seed 0]

Training draws the binary pixels anew from the grey levels at every step, or thresholds them at 1/2;
the test set is one fixed sample (seed 0), or thresholded. ln Z is exact for 16 hidden units and by
annealing both ways for 500. Results go to benchmarks/results/rbm_mnist_<run>.json.
"""

import argparse
import datetime
import json
import os
import pathlib
import sys
import time

from rbm_tf.command_line import epoch_bar, table
from rbm_tf.quiet import quiet_start

quiet_start()

import keras
import numpy as np

from rbm_tf import negative_phase
from rbm_tf.annealing import ais, choose_betas, reverse_ais, verdict
from rbm_tf.datasets import binarize, load_mnist
from rbm_tf.enumeration import log_z
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.tempering import tempered_sample

RESULTS = pathlib.Path(__file__).parent / "results"
PCD = negative_phase.PersistentContrastiveDivergence
RUNS = {
    # name: hidden units, epochs, binarisation, negative phase, learning rate at the start
    "784-500": (500, 60, "bernoulli", lambda seed: PCD(100, 2, seed), 0.1),
    "784-500-long": (500, 300, "bernoulli", lambda seed: PCD(100, 5, seed), 0.1),
    "784-16": (16, 150, "bernoulli", lambda seed: PCD(500, 1, seed), 0.1),
    "784-16-thresholded": (16, 150, "threshold", lambda seed: PCD(500, 1, seed), 0.1),
}


def train(x, hidden, epochs, phase, rate, seed, resample):
    """Train with a learning rate that falls linearly to 0; returns the model and the seconds."""
    keras.utils.set_random_seed(seed)
    rbm = BernoulliRBM(784, hidden, phase(seed), resample=resample, seed=seed)
    steps = len(x) // 100
    schedule = keras.optimizers.schedules.PolynomialDecay(rate, epochs * steps, 0.0)
    rbm.compile(keras.optimizers.SGD(schedule), steps_per_execution=steps)
    start = time.perf_counter()
    with epoch_bar(epochs) as bar:
        rbm.fit(x, batch_size=100, epochs=epochs, verbose=0, callbacks=[bar])
    return rbm, time.perf_counter() - start


def evaluate(rbm, x_train, x_test, seed):
    """ln Z and mean log-likelihoods; exact where 2^16 states can be summed."""
    free_energy = {
        name: np.mean(
            [rbm.free_energy(part).numpy().mean() for part in np.split(x, 10)], dtype=float
        )
        for name, x in (("train", x_train), ("test", x_test))
    }
    start = time.perf_counter()
    if rbm.num_hidden <= 16:
        estimates = {"exact": (log_z(rbm), 0.0)}
        message = "exact"
    else:
        betas = choose_betas(rbm, 20_001, num_chains=100, seed=seed)
        samples = tempered_sample(rbm, 100, np.linspace(0, 1, 41), num_sweeps=3000, seed=seed)
        forward = ais(rbm, 100, betas, seed)
        reverse = reverse_ais(rbm, samples, betas, seed)
        estimates = {
            name: (estimate.log_z, estimate.standard_error)
            for name, estimate in (("AIS forward", forward), ("AIS reverse", reverse))
        }
        message = verdict(forward, reverse).message
    rows = [
        {
            "ln Z by": name,
            "ln Z": value,
            "s.e.": error,
            "train": -free_energy["train"] - value,
            "test": -free_energy["test"] - value,
        }
        for name, (value, error) in estimates.items()
    ]
    return rows, message, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    hidden, epochs, binarization, phase, rate = RUNS[options.run]
    (grey, _), (grey_test, _) = load_mnist()
    grey, grey_test = (x.reshape(-1, 784) for x in (grey, grey_test))
    resample = binarization == "bernoulli"
    x_train = binarize(grey, binarization, seed=1)  # for the evaluation
    x_test = binarize(grey_test, binarization, seed=0)
    rbm, seconds = train(
        grey if resample else x_train, hidden, epochs, phase, rate, options.seed, resample
    )
    rows, message, evaluation_seconds = evaluate(rbm, x_train, x_test, options.seed)
    result = {
        "run": options.run,
        "command": f"benchmarks/rbm_mnist.py {options.run} --seed {options.seed}",
        "date": datetime.date.today().isoformat(),
        "cores": os.cpu_count(),
        "binarisation": f"{binarization}; test set fixed",
        "epochs": epochs,
        "negative phase": rbm.negative_phase.get_config(),
        "learning rate": f"{rate}, falling linearly to 0; SGD, batch 100",
        "training seconds": seconds,
        "evaluation seconds": evaluation_seconds,
        "verdict": message,
        "rows": rows,
    }
    for key in ("name", "dtype", "trainable", "build_config"):
        result["negative phase"].pop(key, None)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"rbm_mnist_{options.run}.json").write_text(json.dumps(result, indent=2) + "\n")
    formats = {"ln Z by": "", "ln Z": ".2f", "s.e.": ".2f", "train": ".2f", "test": ".2f"}
    print(f"{options.run}: {seconds:.0f} s of training, mean ln p(v) in nats")
    print(table(rows, formats), message, sep="\n")


if __name__ == "__main__":
    sys.exit(main())

"""Test log-likelihoods of RBMs on MNIST, in nats.

    MNIST_PATH=mnist.npz .venv/bin/python benchmarks/rbm_mnist.py 784-500 [--seed 0]
    MNIST_PATH=mnist.npz .venv/bin/python benchmarks/rbm_mnist.py phases

Training draws the binary pixels anew from the grey levels at every step, or thresholds them at 1/2;
the test set is one fixed sample (seed 0), or thresholded. ln Z is exact for 16 hidden units and by
annealing both ways for 500. `phases` gives every negative phase the same time: its epochs follow
from the seconds of an epoch, measured in turns. Results go to benchmarks/results.
"""

import argparse
import sys
import time

from rbm_tf.command_line.program import table
from rbm_tf.quiet import quiet_start

quiet_start()

import keras
import matplotlib.pyplot as plt
import numpy as np
from rounds import RESULTS, write
from tqdm.keras import TqdmCallback

from rbm_tf.annealing import ais, choose_betas, reverse_ais
from rbm_tf.datasets import binarize, load_mnist
from rbm_tf.enumeration import log_z
from rbm_tf.estimates import verdict
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.shared.files import written_whole
from rbm_tf.tempering import tempered_sample
from rbm_tf.training import negative_phase


def pcd(num_chains, num_steps, seed):
    return negative_phase.PersistentContrastiveDivergence(
        num_chains, num_steps=num_steps, seed=seed
    )


RUNS = {
    # name: hidden units, epochs, binarisation, negative phase, learning rate at the start
    "784-500": (500, 60, "bernoulli", lambda seed: pcd(100, 2, seed), 0.1),
    "784-500-long": (500, 250, "bernoulli", lambda seed: pcd(100, 3, seed), 0.1),
    "784-16": (16, 150, "bernoulli", lambda seed: pcd(500, 1, seed), 0.1),
    "784-16-thresholded": (16, 150, "threshold", lambda seed: pcd(500, 1, seed), 0.1),
}

PHASES = {
    "CD-1": lambda seed: negative_phase.ContrastiveDivergence(1, seed=seed),
    "PCD-1": lambda seed: pcd(100, 1, seed),
    "tempering": lambda seed: negative_phase.ParallelTempering(
        10, num_chains=100, num_steps=1, seed=seed
    ),
    "TAP-1": lambda seed: negative_phase.MeanFieldPhase(
        1, num_chains=100, num_iterations=3, seed=seed
    ),
    "TAP-2": lambda seed: negative_phase.MeanFieldPhase(
        2, num_chains=100, num_iterations=3, seed=seed
    ),
    "TAP-3": lambda seed: negative_phase.MeanFieldPhase(
        3, num_chains=100, num_iterations=3, seed=seed
    ),
}
PHASE_SECONDS = 120  # of training for each
PHASE_RATE = 0.05
WORST_DRAWN = -200  # nats


def build(x, hidden, epochs, phase, rate, seed, resample):
    """A model whose learning rate falls linearly to 0 over its epochs."""
    keras.utils.set_random_seed(seed)
    options = {"negative_phase": phase(seed), "resample": resample, "seed": seed}
    return with_falling_rate(BernoulliRBM(x.shape[1], hidden, **options), len(x), epochs, rate)


def with_falling_rate(rbm, num, epochs, rate):
    """The model, compiled for batches of 100 of num examples."""
    steps = num // 100
    schedule = keras.optimizers.schedules.PolynomialDecay(rate, epochs * steps, 0.0)
    rbm.compile(keras.optimizers.SGD(schedule), steps_per_execution=steps)
    return rbm


def train(rbm, x, epochs):
    """The seconds that training took."""
    start = time.perf_counter()
    rbm.fit(
        x, batch_size=100, epochs=epochs, verbose=0, callbacks=[TqdmCallback(epochs, verbose=0)]
    )
    return time.perf_counter() - start


def evaluate(rbm, x_train, x_test, seed, num_betas=30_001, num_chains=500, num_reverse=200):
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
        walks, message = annealed(rbm, seed, num_betas, num_chains, num_reverse)
        estimates = {
            name: (estimate.log_z, estimate.standard_error) for name, estimate in walks.items()
        }
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


def annealed(rbm, seed, num_betas, num_chains, num_reverse, num_steps=2000):
    """ln Z by annealing forward, back, and forward from another base; and the verdict's words."""
    betas = choose_betas(rbm, num_betas=num_betas, num_chains=100, seed=seed)
    samples = tempered_sample(
        rbm, num_reverse, betas=np.linspace(0, 1, 41), num_steps=num_steps, seed=seed
    )
    forward = ais(rbm, num_chains=num_chains, betas=betas, seed=seed)
    reverse = reverse_ais(rbm, samples, betas=betas, seed=seed)
    betas = choose_betas(rbm, num_betas=num_betas, num_chains=100, seed=seed, base="uniform")
    other = ais(rbm, num_chains=num_chains, betas=betas, seed=seed + 1, base="uniform")
    names = "AIS forward", "AIS reverse", "AIS forward, uniform base"
    walks = dict(zip(names, (forward, reverse, other), strict=True))
    return walks, verdict(forward, reverse, other).message


def one_run(name, seed):
    """Train and evaluate one of RUNS; prints and returns what there is to save."""
    hidden, epochs, binarization, phase, rate = RUNS[name]
    resample = binarization == "bernoulli"
    x, x_train, x_test = load(binarization)
    rbm = build(x, hidden, epochs, phase, rate, seed, resample)
    seconds = train(rbm, x, epochs)
    rows, message, evaluation_seconds = evaluate(rbm, x_train, x_test, seed)
    settings = rbm.negative_phase.get_config()
    result = {
        "binarisation": f"{binarization}; test set fixed",
        "epochs": epochs,
        "negative phase": {k: v for k, v in settings.items() if k.startswith(("num", "seed"))},
        "learning rate": f"{rate}, falling linearly to 0; SGD, batch 100",
        "training seconds": seconds,
        "evaluation seconds": evaluation_seconds,
        "verdict": message,
        "rows": rows,
    }
    formats = {"ln Z by": "", "ln Z": ".2f", "s.e.": ".2f", "train": ".2f", "test": ".2f"}
    print(f"{name}: {seconds:.0f} s of training, mean ln p(v) in nats")
    print(table(rows, formats), message, sep="\n")
    return result


def all_phases(name, seed):
    """Train 784-500 by every negative phase for the same time; prints, draws and returns rows."""
    x, x_train, x_test = load("bernoulli")
    settings = {"x": x, "hidden": 500, "rate": PHASE_RATE, "seed": seed, "resample": True}
    seconds = {phase: [] for phase in PHASES}
    trials = {phase: build(epochs=9, phase=make, **settings) for phase, make in PHASES.items()}
    for _ in range(5):  # the first round compiles
        for phase, rbm in trials.items():
            seconds[phase].append(train(rbm, x, 1))
    rows = []
    for phase, make in PHASES.items():
        per_epoch = min(seconds[phase])  # whatever else the machine does only adds
        epochs = max(1, round(PHASE_SECONDS / per_epoch))
        rbm = build(epochs=epochs, phase=make, **settings)
        train(rbm, x, epochs)
        estimates, message, _ = evaluate(rbm, x_train, x_test, seed, 10_001, 100, 100)
        rows.append({"phase": phase, "seconds an epoch": per_epoch, "epochs": epochs})
        for key, estimate in zip(("forward", "reverse"), estimates[:2], strict=True):
            rows[-1][f"test, {key}"] = float(estimate["test"])
        rows[-1]["verdict"] = message
        print(rows[-1], flush=True)
    formats = {"phase": "", "seconds an epoch": ".2f", "epochs": "d"}
    formats |= {"test, forward": ".2f", "test, reverse": ".2f", "verdict": ""}
    print(table(rows, formats))
    draw(rows)
    rate = f"{PHASE_RATE}, falling linearly to 0; SGD, batch 100"
    return {"seconds each": PHASE_SECONDS, "learning rate": rate, "rows": rows}


def draw(rows):
    """Test log-likelihood of every phase, between its forward and its reverse estimate."""
    figure, axes = plt.subplots(figsize=(7, 3.2))
    for place, row in enumerate(rows):
        ends = row["test, forward"], row["test, reverse"]
        if min(ends) > WORST_DRAWN:
            axes.plot(ends, (place, place), "o-", color="C0", linewidth=3)
        else:
            text = f" off the scale: {ends[0]:.0f} forward, {ends[1]:.0f} reverse"
            axes.text(WORST_DRAWN, place, text, va="center")
    axes.set_xlim(left=WORST_DRAWN)
    axes.set_yticks(range(len(rows)), [f"{row['phase']}, {row['epochs']} epochs" for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("mean test ln p(v) in nats, by forward and by reverse annealing")
    axes.set_title(f"{PHASE_SECONDS} s of training each, 784-500", loc="left")
    with written_whole(RESULTS / "rbm_mnist_phases.png") as partial:
        figure.savefig(partial, dpi=100, bbox_inches="tight")


def load(binarization, path=None):
    """What to train on, and binary training and test sets for the evaluation."""
    (grey, _), (grey_test, _) = load_mnist(path=path)
    grey, grey_test = (x.reshape(-1, 784) for x in (grey, grey_test))
    x_train = binarize(grey, binarization=binarization, seed=1)
    x = grey if binarization == "bernoulli" else x_train
    return x, x_train, binarize(grey_test, binarization=binarization, seed=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", choices=[*RUNS, "phases"])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    run = all_phases if options.run == "phases" else one_run
    command = f"benchmarks/rbm_mnist.py {' '.join(sys.argv[1:])}"
    result = run(options.run, options.seed)
    write(f"rbm_mnist_{options.run}", command=command, seed=options.seed, **result)


if __name__ == "__main__":
    sys.exit(main())

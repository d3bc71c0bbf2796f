"""Cost against size: seconds over two to three decades of units, chains, states and samples.

    .venv/bin/python benchmarks/scaling.py [--rounds 3] [--only training ..]

Each sweep changes one size and keeps the others. Its slope is that of ln seconds against ln size
over the upper half of the sizes: 1 is a cost in proportion. Below, constant costs hide it. Seconds
are medians over rounds, after one that warms up. Memory is the peak of a process of its own, less
that of the smallest size. Results go to benchmarks/results/scaling.json, with a figure.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from rbm_tf.quiet import quiet_start

quiet_start()

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from rounds import RESULTS, measure, write

from rbm_tf.annealing import ais
from rbm_tf.command_line.program import table
from rbm_tf.enumeration import log_z
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.shared.files import written_whole
from rbm_tf.tempering import tempered_windows
from rbm_tf.training.negative_phase import PersistentContrastiveDivergence
from vae_keras.evidence import grouped_estimate, streamed_iwae
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.vae import VAE

UNITS = (100, 300, 1000, 3000, 10_000, 30_000, 100_000)
CHAINS = (10, 30, 100, 300, 1000, 3000, 10_000)
STEPS, BETAS = 20, 11  # of training and annealing
HIDDEN = 100  # where visible units grow


class Sweep(NamedTuple):
    """What is done, and the size that changes."""

    run: Callable[[int], Callable[[], object]]  # of a size: what is measured
    size: str
    sizes: tuple[int, ...]


def random_rbm(visible, hidden=HIDDEN, **options):
    rbm = BernoulliRBM(visible, hidden, seed=0, **options)
    scale = 0.5 / np.sqrt(visible)
    rbm.kernel.assign(np.random.default_rng(0).normal(0, scale, (visible, hidden)))
    return rbm


def training(visible, chains=100):
    """Steps of PCD-1 through fit, in batches as large as the number of chains."""
    phase = PersistentContrastiveDivergence(chains, seed=0)
    rbm = random_rbm(visible, negative_phase=phase)
    rbm.compile(keras.optimizers.SGD(0.01), steps_per_execution=STEPS)
    rows = np.random.default_rng(0).random((chains, visible), "float32") < 0.2
    x = tf.data.Dataset.from_tensors(rows.astype("float32")).repeat(STEPS)
    return lambda: rbm.fit(x, verbose=0)


def annealing(visible, chains=100):
    rbm, betas = random_rbm(visible), np.linspace(0, 1, BETAS)
    return lambda: ais(rbm, num_chains=chains, betas=betas, base="uniform", seed=0)


def enumeration(states):
    rbm = random_rbm(100, int(np.log2(states)))
    return lambda: log_z(rbm)


def autoencoder():
    keras.utils.set_random_seed(0)
    return VAE(dense_encoder((784,), 10), dense_decoder((784,), 10))


def log_weights(samples, images=10):
    vae = autoencoder()
    x = (np.random.default_rng(0).random((images, 784)) < 0.2).astype("float32")
    return lambda: np.asarray(vae.log_weights(x, samples, seed=0))


def grouped(samples):
    weights = np.random.default_rng(0).normal(size=(samples, 100)).astype("float32")
    return lambda: grouped_estimate(weights, seed=0)


SWEEPS = {
    "training": Sweep(training, "visible units", UNITS),
    "training, chains": Sweep(lambda n: training(784, n), "chains and batch", CHAINS),
    "annealing": Sweep(annealing, "visible units", UNITS),
    "annealing, chains": Sweep(lambda n: annealing(784, n), "chains", CHAINS),
    "enumeration": Sweep(enumeration, "states", tuple(2 ** np.arange(8, 21, 2))),
    "log-weights": Sweep(log_weights, "samples", (10, 30, 100, 300, 1000, 3000)),
    "log-weights, images": Sweep(lambda n: log_weights(100, n), "images", (1, 3, 10, 30, 100, 300)),
    "grouped estimates": Sweep(grouped, "samples", (100, 300, 1000, 3000, 10_000, 100_000)),
}


def windows(chains):
    rbm = random_rbm(100)
    return tempered_windows(rbm, num_chains=chains, num_steps=100, num_burn_in=1, seed=0)


def images_in_blocks(samples):
    x = (np.random.default_rng(0).random((10, 784)) < 0.2).astype("float32")
    return streamed_iwae(autoencoder(), x, samples, seed=0)


PEAKS = {  # what is done, sizes, and the bytes for one more that its documentation names
    "tempered windows, chains": (windows, (2, 20, 200), 8 * 20**2 * 100),
    "streamed IWAE, samples": (images_in_blocks, (100_000, 200_000, 400_000), 0),
    "enumeration, states": (lambda n: enumeration(n)(), (2**16, 2**18, 2**20), 0),
}


def slope(sizes, seconds):
    """Of ln seconds against ln size over the upper half of the sizes."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(seconds[half:]), 1)[0])


def seconds_of(sweep, rounds):
    rows = [measure({"": sweep.run(int(size))}, rounds)[0] for size in sweep.sizes]
    return [row["seconds"] for row in rows]


def peak_of(name, size):
    """The peak of memory of a process that does this once, bytes (on Linux)."""
    command = [sys.executable, __file__, "--peak", name, str(size)]
    return 1024 * int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def draw(rows):
    figure, axes = plt.subplots(figsize=(8, 5))
    for index, row in enumerate(rows):
        style = "os^v<>Dphx"[index % 10] + ("-" if index < 5 else "--")
        label = f"{row['sweep']}: {row['slope']:.2f}"
        axes.loglog(row["sizes"], row["seconds"], style, label=label)
    axes.set_xlabel("size: visible units, chains, states, samples or images")
    axes.set_ylabel("seconds")
    axes.legend(frameon=False, title="slope over the upper half", bbox_to_anchor=(1, 1))
    with written_whole(RESULTS / "scaling.png") as partial:
        figure.savefig(partial, dpi=100, bbox_inches="tight", format="png")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=SWEEPS, default=list(SWEEPS))
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        name, size = options.peak
        PEAKS[name][0](int(size))
        print(re.search(r"VmHWM:\s*(\d+)", pathlib.Path("/proc/self/status").read_text())[1])
        return
    start, rows, memory = time.perf_counter(), [], []
    for name in options.only:
        sweep = SWEEPS[name]
        seconds = seconds_of(sweep, options.rounds)
        sizes = [int(size) for size in sweep.sizes]
        row = {"sweep": name, "size": sweep.size, "sizes": sizes, "seconds": seconds}
        rows.append(row | {"slope": slope(sizes, seconds)})
        print(table(rows[-1:], {"sweep": "", "size": "", "slope": ".2f"}), flush=True)
    for name, (_, sizes, each) in PEAKS.items() if options.only == list(SWEEPS) else ():
        peaks = [peak_of(name, size) for size in sizes]
        for size, peak in zip(sizes, peaks, strict=True):
            entry = {"what": name, "size": size, "peak MiB": peak / 2**20}
            entry["more MiB"] = (peak - peaks[0]) / 2**20
            memory.append(entry | {"documented MiB": each * (size - sizes[0]) / 2**20})
    if memory:
        columns = ("peak MiB", "more MiB", "documented MiB")
        print(table(memory, {"what": "", "size": ",", **dict.fromkeys(columns, ".0f")}))
        draw(rows)
        write(
            "scaling",
            what="Seconds and peak memory against size; slopes of the upper half of the sizes.",
            command=f"benchmarks/scaling.py --rounds {options.rounds}",
            total_seconds=time.perf_counter() - start,
            rows=rows,
            memory=memory,
        )


if __name__ == "__main__":
    main()

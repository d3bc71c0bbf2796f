"""A second RBM on the hidden units of a first one, on MNIST: its bound against ln p(v), in nats.

    .venv/bin/python benchmarks/stacking.py [--path mnist.npz] [--epochs 30] [--top-epochs 30]

The first machine is 784-500, trained by PCD-1 on pixels drawn anew at every step. Two second ones
are trained on its hidden units, drawn anew at every step, of pixels drawn anew at every epoch: one
of 500 units from random weights, and one that begins as the first machine turned around, 784 units,
whose chains begin with data. ln Z of each is by annealing both ways; the test set is one fixed
draw. The bound is <ln w> over the draws of each image, IWAE ln <w>; the gain is what the model has
beyond ln p(v) of the first machine, image by image. Results go to benchmarks/results/stacking.json
after every machine.
"""

import argparse
import os
import sys
import time

from rbm_tf.command_line.program import table
from rbm_tf.quiet import quiet_start

quiet_start()

import numpy as np
from rbm_mnist import annealed, build, load, pcd, train, with_falling_rate
from rounds import write

from rbm_tf.datasets import binarize
from rbm_tf.estimates import estimate_log_z
from rbm_tf.greedy import hidden_data, turned_around
from rbm_tf.stack import Stack

HIDDEN, RATE, TOP_RATE = 500, 0.1, {"fresh": 0.1, "turned around": 0.02}
WAYS = {"forward": "AIS forward", "reverse": "AIS reverse"}


def phase(seed):
    return pcd(100, 1, seed)


def new_top(kind, first, x, epochs, seed):
    """A second machine to be trained, on draws from means."""
    rate = TOP_RATE[kind]
    if kind == "fresh":
        like = np.broadcast_to(0.0, (len(x), HIDDEN))
        return build(like, HIDDEN, epochs, phase, rate, seed, resample=True)
    top = turned_around(first, negative_phase=phase(seed), resample=True, seed=seed)
    top.negative_phase.chains.assign(binarize(x[:100], seed=seed))
    return with_falling_rate(top, len(x), epochs, rate)


def train_top(top, first, x, epochs, seed):
    """The seconds that training took, with fresh pixels in every epoch."""
    seconds = 0.0
    for epoch in range(epochs):
        h = hidden_data(first, binarize(x, seed=seed + 1 + epoch), means=True)
        seconds += train(top, h, 1)
    return seconds


def machine_row(name, rbm, seconds, options):
    """ln Z of a machine, as a record, and the estimates themselves."""
    start = time.perf_counter()
    sizes = options.betas, options.chains, options.chains, options.steps
    walks, message = annealed(rbm, options.seed, *sizes)
    record = {"machine": name, "training seconds": seconds}
    record["ln Z"] = {way: [e.log_z, e.standard_error] for way, e in walks.items()}
    record |= {"annealing seconds": time.perf_counter() - start, "verdict": message}
    print(record, flush=True)
    return record, walks


def mean_row(model, estimate, values, walks, of_first=None):
    """Means over test images by both ln Z; values are ln p(v) + ln Z of each image.

    of_first are those of the first machine and its estimates of ln Z; the gain is beyond them.
    """
    row = {"model": model, "estimate": estimate}
    for way, key in WAYS.items():
        log_z, error = walks[key].log_z, walks[key].standard_error
        row[f"test, {way}"] = values.mean() - log_z
        row[f"s.e., {way}"] = np.hypot(standard_error(values), error)
        if of_first is not None:
            apart, first = values - of_first[0], of_first[1][key]
            errors = [standard_error(apart), error, first.standard_error]
            row[f"gain, {way}"] = apart.mean() - log_z + first.log_z
            row[f"s.e. of gain, {way}"] = np.linalg.norm(errors)
    return {key: x if isinstance(x, str) else float(x) for key, x in row.items()}


def standard_error(values):
    return values.std(ddof=1) / np.sqrt(len(values))


def stack_rows(model, first, top, x, walks, of_first, options):
    """The bound and the IWAE estimate of a stack on test images."""
    stack = Stack(first, top, log_z=0.0)  # which is left out, and comes in both ways
    log_weights = stack.log_weights(x, options.draws, seed=options.seed).numpy()
    estimates = {"bound": log_weights.mean(0)}
    estimates[f"IWAE, {options.draws}"] = estimate_log_z(log_weights).log_z
    return [mean_row(model, name, x, walks, of_first) for name, x in estimates.items()]


def run(options):
    """Yield the records of machines and the rows of models, growing from machine to machine."""
    x, _, x_test = (part[: options.images] for part in load("bernoulli", options.path))
    first = build(x, HIDDEN, options.epochs, phase, RATE, options.seed, resample=True)
    record, walks = machine_row("784-500", first, train(first, x, options.epochs), options)
    values = -first.free_energy(x_test).numpy().astype(float)
    machines, of_first = [record], (values, walks)
    rows = [mean_row("784-500", "ln p(v)", values, walks)]
    yield machines, rows
    for kind in options.tops:
        top = new_top(kind, first, x, options.top_epochs, options.seed)
        seconds = train_top(top, first, x, options.top_epochs, options.seed)
        name = f"500-{top.num_hidden}, {kind}"
        record, walks = machine_row(name, top, seconds, options)
        machines.append(record)
        rows += stack_rows(f"784-{name}", first, top, x_test, walks, of_first, options)
        yield machines, rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--path", help="mnist.npz, where MNIST_PATH does not say")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--top-epochs", type=int, default=30)
    parser.add_argument("--tops", nargs="+", choices=TOP_RATE, default=list(TOP_RATE))
    parser.add_argument("--images", type=int, help="the first ones alone, for a trial")
    parser.add_argument("--betas", type=int, default=10_001)
    parser.add_argument("--chains", type=int, default=100, help="of annealing each way")
    parser.add_argument("--steps", type=int, default=1000, help="of tempering for the way back")
    parser.add_argument("--draws", type=int, default=20, help="log-weights of each image")
    parser.add_argument("--name", default="stacking", help="of the file of results")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    settings = {key: value for key, value in vars(options).items() if key not in ("path", "name")}
    for machines, rows in run(options):
        write(
            options.name,
            command=command(sys.argv[1:]),
            threads=os.environ.get("TF_NUM_INTRAOP_THREADS"),
            seconds=time.perf_counter() - start,
            binarisation="fresh Bernoulli draws; test set fixed",
            training=f"PCD-1, 100 chains; SGD, batch 100, rates {RATE} and {TOP_RATE}, falling "
            "linearly to 0",
            settings=settings,
            machines=machines,
            rows=rows,
        )
    formats = {key: "" if key in ("model", "estimate") else ".2f" for key in rows[-1]}
    print(table(rows, formats))


def command(words):
    """How the script was called, without the place of the data."""
    if "--path" in words:
        place = words.index("--path")
        words = words[:place] + words[place + 2 :]
    return " ".join(["benchmarks/stacking.py", *words])


if __name__ == "__main__":
    sys.exit(main())

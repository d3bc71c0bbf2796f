"""Speed of RBM training and annealing against scikit-learn, rbms, learnergy and the matmul limit.

    .venv/bin/python benchmarks/rbm_speed.py [--rounds 5] [--section training ...]

All sides run in this one process, one after the other in every round; the table shows medians over
rounds and ratios of medians. Peers that are not installed (`pip install -e .[bench]`) are left out.
Results go to benchmarks/results/rbm_speed_<section>.json.
"""

import argparse
import datetime
import importlib.util
import json
import os
import pathlib
import platform
import sys
import time

from rbm_tf.command_line import table
from rbm_tf.quiet import quiet_start

quiet_start()

import keras
import numpy as np
import tensorflow as tf

from rbm_tf.annealing import ais
from rbm_tf.enumeration import log_z
from rbm_tf.negative_phase import PersistentContrastiveDivergence
from rbm_tf.rbm import BernoulliRBM

RESULTS = pathlib.Path(__file__).parent / "results"
NUM, VISIBLE, HIDDEN, BATCH = 60_000, 784, 500, 100


def data(num=NUM):
    """Binary data of MNIST's size and mean."""
    return (np.random.default_rng(0).random((num, VISIBLE)) < 0.13).astype("float32")


def training(rounds):
    """Three epochs of PCD-1: 784-500, 60,000 examples, batch 100."""
    x = data()
    sides = {
        "free-energies, fit": ours(x),
        "six matmuls": matmul_limit(BATCH, EPOCHS * NUM // BATCH),
    }
    sides["scikit-learn"] = scikit_learn(x)
    if importlib.util.find_spec("torch"):
        sides |= {"rbms": rbms(x), "learnergy (CD-1)": learnergy(x)}
    return measure(sides, rounds)


def training_bfloat16(rounds):
    """Three epochs at batch and chains of 500, float32 against mixed_bfloat16."""
    x = data()
    return measure(
        {
            f"fit, {policy}": ours(x, batch=500, dtype=policy)
            for policy in ("mixed_bfloat16", "float32")
        },
        rounds,
    )


def annealing(rounds):
    """AIS of a 784-500 RBM: 1,000 of the 10,000 temperatures, 100 and 1,000 chains."""
    steps, rbm = 1000, random_rbm()
    rows = []
    for chains in (100, 1000):
        sides = {
            f"free-energies, {chains} chains": anneal(rbm, chains, steps),
            f"two matmuls a step, {chains} chains": matmul_limit(chains, steps, annealing=True),
            f"free-energies, {chains} chains, mixed_bfloat16": anneal(
                random_rbm("mixed_bfloat16"), chains, steps
            ),
        }
        if importlib.util.find_spec("torch"):
            sides[f"rbms, {chains} chains"] = rbms_ais(chains, steps)
        rows += measure(sides, rounds)
    return rows


def enumeration(rounds):
    """Exact ln Z of a 784-20 RBM; memory is the whole process's peak, TensorFlow included."""
    import resource

    rbm = BernoulliRBM(VISIBLE, 20, seed=0)
    rows = measure({"log_z, 784-20": lambda: log_z(rbm)}, rounds)
    rows[0]["peak GiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return rows


def scaling(rounds):
    """Seconds for 300 steps of fit against hidden units, batch and chains, beside its matmuls."""
    rows = []
    for hidden, batch, chains in (
        (125, 100, 100),
        (250, 100, 100),
        (500, 100, 100),
        (1000, 100, 100),
        (500, 25, 100),
        (500, 400, 100),
        (500, 100, 25),
        (500, 100, 400),
    ):
        x, steps = data(batch * 100), 100 * EPOCHS
        sides = {
            f"fit, hidden {hidden}, batch {batch}, chains {chains}": ours(x, batch, hidden, chains),
            f"its matmuls, hidden {hidden}, batch {batch}, chains {chains}": matmul_limit(
                batch, steps, hidden, chains
            ),
        }
        rows += measure(sides, rounds)
    return rows


def measure(sides, rounds):
    """Warm every side up, then run them in turn; rows of medians and their ratio to the first."""
    for run in sides.values():
        run()
    seconds = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    first = np.median(next(iter(seconds.values())))
    return [
        {
            "side": name,
            "seconds": float(np.median(values)),
            "ratio": float(np.median(values) / first),
        }
        for name, values in seconds.items()
    ]


EPOCHS = 3  # in each call of a fit, so that handing over the data is spread over them


def ours(x, batch=BATCH, hidden=HIDDEN, chains=None, dtype="float32"):
    phase = PersistentContrastiveDivergence(chains or batch, seed=0)
    rbm = BernoulliRBM(VISIBLE, hidden, phase, seed=0, dtype=dtype)
    rbm.compile(keras.optimizers.SGD(0.05), steps_per_execution=len(x) // batch)
    return lambda: rbm.fit(x, batch_size=batch, epochs=EPOCHS, verbose=0)


def matmul_limit(batch, steps, hidden=HIDDEN, chains=None, annealing=False):
    """The products alone, on operands of their own so that none is computed once for two."""
    chains = chains or batch
    kernel = tf.random.normal((VISIBLE, hidden), stddev=0.01)
    v, model_v, other_v = (tf.random.uniform((n, VISIBLE)) for n in (batch, chains, chains))
    h, model_h, chain_h = (tf.random.uniform((n, hidden)) for n in (batch, chains, chains))

    @tf.function
    def run():
        def step(index, total):
            shift = total * 1e-30  # ties the steps together
            products = [
                tf.matmul(model_v + shift, kernel),
                tf.matmul(chain_h + shift, kernel, transpose_b=True),
            ]
            if not annealing:
                products += [
                    tf.matmul(v + shift, kernel),
                    tf.matmul(other_v + shift, kernel),
                    tf.matmul(v + shift, h, transpose_a=True),
                    tf.matmul(model_v + shift, model_h, transpose_a=True),
                ]
            return index + 1, sum(product[0, 0] for product in products)

        return tf.while_loop(lambda index, _: index < steps, step, (0, 0.0))[1]

    return lambda: run().numpy()


def scikit_learn(x):
    from sklearn.neural_network import BernoulliRBM as Peer

    return lambda: Peer(HIDDEN, batch_size=BATCH, n_iter=EPOCHS, random_state=0, verbose=0).fit(x)


def rbms(x):
    """The package's own PCD-1 step, in a plain loop over shuffled batches."""
    import torch
    from rbms.training.pcd import fit_batch_pcd

    rows = torch.tensor(x)
    params = rbms_model(HIDDEN)
    params.init_grad()
    chains = params.init_chains(num_samples=BATCH)
    optimizer = torch.optim.SGD(params.parameters(), lr=0.05, maximize=True)
    weights = torch.ones(BATCH, 1)

    def run():
        nonlocal chains
        for _ in range(EPOCHS):
            for index in torch.randperm(len(rows)).split(BATCH):
                optimizer.zero_grad(set_to_none=False)
                chains, _ = fit_batch_pcd((rows[index], weights), chains, params, 1, 1.0)
                optimizer.step()

    return run


def rbms_model(hidden):
    import torch
    from rbms.bernoulli_bernoulli.classes import BBRBM

    rng = np.random.default_rng(0)
    kernel = torch.tensor(rng.normal(0, 0.01, (VISIBLE, hidden)), dtype=torch.float32)
    return BBRBM(kernel, torch.zeros(VISIBLE), torch.zeros(hidden))


def rbms_ais(chains, steps):
    from rbms.partition_function.ais import compute_partition_function_ais

    params = rbms_model(HIDDEN)
    return lambda: compute_partition_function_ais(chains, steps + 1, params)


def learnergy(x):
    """Its own fit; it has CD instead of PCD, and adds a pseudo-likelihood to every batch."""
    import logging

    import torch
    from learnergy.models.bernoulli import RBM

    logging.disable(logging.INFO)
    peer = RBM(n_visible=VISIBLE, n_hidden=HIDDEN, steps=1, learning_rate=0.05)
    rows = torch.utils.data.TensorDataset(torch.tensor(x), torch.zeros(len(x)))
    return lambda: peer.fit(rows, batch_size=BATCH, epochs=EPOCHS)


def random_rbm(dtype="float32"):
    rbm = BernoulliRBM(VISIBLE, HIDDEN, seed=0, dtype=dtype)
    rbm.kernel.assign(np.random.default_rng(0).normal(0, 0.05, (VISIBLE, HIDDEN)))
    return rbm


def anneal(rbm, chains, steps):
    return lambda: ais(rbm, chains, np.linspace(0, 1, steps + 1), seed=0)


SECTIONS = {f.__name__: f for f in (training, training_bfloat16, annealing, enumeration, scaling)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--section", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    for name in options.section:
        start = time.perf_counter()
        rows = SECTIONS[name](options.rounds)
        result = {
            "what": SECTIONS[name].__doc__,
            "command": f"benchmarks/rbm_speed.py --rounds {options.rounds} --section {name}",
            "date": datetime.date.today().isoformat(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "total_seconds": time.perf_counter() - start,
            "rows": rows,
        }
        (RESULTS / f"rbm_speed_{name}.json").write_text(json.dumps(result, indent=2) + "\n")
        formats = {"side": "", "seconds": ".3f", "ratio": ".2f"}
        formats |= {"peak GiB": ".2f"} if "peak GiB" in rows[0] else {}
        print(f"\n{SECTIONS[name].__doc__}\n{table(rows, formats)}")


if __name__ == "__main__":
    sys.exit(main())

"""Speed of RBM training and annealing against scikit-learn, rbms, learnergy and the matmul limit.

    .venv/bin/python benchmarks/rbm_speed.py [--rounds 5] [--section training ...]

All sides run in this one process, one after the other in every round; the table shows medians over
rounds and ratios of medians. Peers that are not installed (`pip install -e .[bench]`) are left out.
Results go to benchmarks/results/rbm_speed_<section>.json, and a figure of the scaling beside them.
"""

import importlib.util

from rbm_tf.quiet import quiet_start

quiet_start()

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from rounds import RESULTS, main, measure

from rbm_tf.annealing import ais
from rbm_tf.enumeration import log_z
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.shared.files import written_whole
from rbm_tf.training.negative_phase import PersistentContrastiveDivergence

NUM, VISIBLE, HIDDEN, BATCH = 60_000, 784, 500, 100


def data(num=NUM):
    """Binary data of MNIST's size and mean."""
    return (np.random.default_rng(0).random((num, VISIBLE)) < 0.13).astype("float32")


def training(rounds):
    """Three epochs of PCD-1: 784-500, 60,000 examples, batch 100."""
    x = data()
    sides = {
        "free-energies, fit": fit(model(x), x),
        "six matmuls": matmul_limit(BATCH, EPOCHS * NUM // BATCH),
        "random numbers": random_numbers(BATCH, EPOCHS * NUM // BATCH),
    }
    sides["scikit-learn"] = scikit_learn(x)
    if importlib.util.find_spec("torch"):
        sides |= {"rbms": rbms(x), "learnergy (CD-1)": learnergy(x)}
    return measure(sides, rounds)


def training_bfloat16(rounds):
    """Three epochs at batch and chains of 500, float32 against mixed_bfloat16."""
    x = random_rbm(deviation=0.2).sample(NUM, 20, seed=1).numpy()
    models = {policy: model(x, 500, dtype=policy) for policy in ("mixed_bfloat16", "float32")}
    rows = measure({f"fit, {policy}": fit(m, x, 500) for policy, m in models.items()}, rounds)
    for row, trained in zip(rows, models.values(), strict=True):
        estimate = ais(trained, num_chains=500, betas=np.linspace(0, 1, 2001), seed=0)
        log_likelihood = -float(np.mean(trained.free_energy(x[:10_000]))) - estimate.log_z
        row |= {"ln p(v)": log_likelihood, "ln Z": estimate.log_z, "s.e.": estimate.standard_error}
    return rows


def annealing(rounds):
    """AIS of a 784-500 RBM: 1,000 of the 10,000 temperatures, 100 and 1,000 chains."""
    steps, rbm = 1000, random_rbm()
    rows = []
    for chains in (100, 1000):
        sides = {
            f"free-energies, {chains} chains": anneal(rbm, chains, steps),
            f"two matmuls a step, {chains} chains": matmul_limit(chains, steps, annealing=True),
            f"random numbers, {chains} chains": random_numbers(chains, steps),
            f"free-energies, {chains} chains, mixed_bfloat16": anneal(
                random_rbm(dtype="mixed_bfloat16"), chains, steps
            ),
        }
        if importlib.util.find_spec("torch"):
            sides[f"rbms, {chains} chains"] = rbms_ais(chains, steps)
        rows += measure(sides, rounds)
    return rows


def enumeration(rounds):
    """Exact ln Z of a 784-20 RBM; memory is the process's peak so far, TensorFlow included."""
    import resource

    rbm = BernoulliRBM(VISIBLE, 20, seed=0)
    rows = measure({"log_z, 784-20": lambda: log_z(rbm)}, rounds)
    rows[0]["peak GiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return rows


def scaling(rounds):
    """Seconds for 300 steps of fit against hidden units, batch and chains, beside its matmuls."""
    rows = []
    for what, values in SWEEPS.items():
        for value in values:
            size = {"hidden": HIDDEN, "batch": BATCH, "chains": BATCH} | {what: value}
            x = data(size["batch"] * 100)
            steps = EPOCHS * 100
            sides = {
                f"fit, {what} {value}": fit(model(x, **size), x, size["batch"]),
                f"its matmuls, {what} {value}": matmul_limit(steps=steps, **size),
            }
            pair = measure(sides, rounds)
            rows += [row | {"swept": what, "value": value} for row in pair]
    draw(rows)
    return rows


SWEEPS = {
    "hidden": (125, 250, 500, 1000),
    "batch": (25, 50, 100, 200, 400),
    "chains": (25, 50, 100, 200, 400),
}


def draw(rows):
    """Milliseconds a step against each size, beside the products alone."""
    figure, panels = plt.subplots(1, len(SWEEPS), figsize=(11, 3.5), sharey=True)
    for panel, what in zip(panels, SWEEPS, strict=True):
        for prefix, style in (("fit", "o-"), ("its matmuls", "s--")):
            mine = [r for r in rows if r["swept"] == what and r["side"].startswith(prefix)]
            milliseconds = [1000 * r["seconds"] / (EPOCHS * 100) for r in mine]
            panel.loglog([r["value"] for r in mine], milliseconds, style, label=prefix)
        panel.set_xticks(SWEEPS[what], [str(value) for value in SWEEPS[what]])
        panel.minorticks_off()
        panel.set_xlabel({"hidden": "hidden units", "batch": "batch", "chains": "chains"}[what])
    ticks = 0.25, 0.5, 1, 2, 4, 8
    panels[0].set_yticks(ticks, [str(tick) for tick in ticks])
    panels[0].set_ylabel("milliseconds a step")
    panels[0].legend(frameon=False)
    with written_whole(RESULTS / "rbm_speed_scaling.png") as partial:
        figure.savefig(partial, dpi=100, bbox_inches="tight")


EPOCHS = 3  # in each call of a fit, so that handing over the data is spread over them


def model(x, batch=BATCH, hidden=HIDDEN, chains=None, dtype="float32"):
    phase = PersistentContrastiveDivergence(chains or batch, seed=0)
    rbm = BernoulliRBM(VISIBLE, hidden, negative_phase=phase, seed=0, dtype=dtype)
    rbm.compile(keras.optimizers.SGD(0.05), steps_per_execution=len(x) // batch)
    return rbm


def fit(rbm, x, batch=BATCH):
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


def random_numbers(chains, steps):
    """The uniform numbers of a Gibbs sweep alone."""

    @tf.function
    def run():
        def step(index, total):
            for units in (VISIBLE, HIDDEN):
                total += tf.random.stateless_uniform((chains, units), [units, index])[0, 0]
            return index + 1, total

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


def random_rbm(deviation=0.05, dtype="float32"):
    rbm = BernoulliRBM(VISIBLE, HIDDEN, seed=0, dtype=dtype)
    rbm.kernel.assign(np.random.default_rng(0).normal(0, deviation, (VISIBLE, HIDDEN)))
    return rbm


def anneal(rbm, chains, steps):
    def run():
        estimate = ais(rbm, num_chains=chains, betas=np.linspace(0, 1, steps + 1), seed=0)
        return {"ln Z": estimate.log_z, "s.e.": estimate.standard_error}

    return run


# Enumeration first: the peak of memory only grows.
SECTIONS = {f.__name__: f for f in (enumeration, training, training_bfloat16, annealing, scaling)}

if __name__ == "__main__":
    main("rbm_speed", __doc__, SECTIONS)

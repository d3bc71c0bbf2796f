"""The demonstration: one RBM small enough to enumerate, and every road to its ln Z."""

from __future__ import annotations

import argparse

import keras
import numpy as np
from matplotlib.figure import Figure

from rbm_tf import plotting
from rbm_tf.command_line import program as command_line
from rbm_tf.command_line.training import fit
from rbm_tf.datasets import load_digits
from rbm_tf.enumeration import thermodynamics
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.roads import compare

EPOCHS = 300
BATCH_SIZE = 50
NUM_HIDDEN = 16
BETAS = np.linspace(0.05, 2.0, 40)  # 1.0 is among them


def run_demo(options: argparse.Namespace) -> None:
    """Train on the 8 x 8 digits, compare all estimates of ln Z, draw the figures."""
    (x_train, _), (x_test, _) = load_digits("bernoulli", seed=options.seed)
    x_train, x_test = (x.reshape(len(x), -1) for x in (x_train, x_test))
    rbm = _trained(x_train, options)
    rows = compare(rbm, seed=options.seed)
    exact = thermodynamics(rbm, BETAS)
    facts = _facts(rbm, x_train, x_test, exact)
    _draw(options.output, rbm, x_train, rows, exact, options.seed)
    formats = {
        "method": "",
        "ln Z": ".3f",
        "s.e.": ".3f",
        "ESS": ".0f",
        "error": "+.3f",
        "bound": "",
        "seconds": ".2f",
    }
    tables = [
        f"ln Z of an RBM with 64 visible and {NUM_HIDDEN} hidden units, in nats\n"
        + command_line.table(rows, formats)
        + "\ns.e.: standard error, not to be trusted where the effective sample size ESS is small",
        "The trained model at beta = 1, exact\n"
        + command_line.table(facts, {"quantity": "", "nats": ".3f"}),
        f"In {options.output}/: rbm_log_z.png, these estimates; rbm_thermodynamics.png, U, S, C at "
        "other\nbeta; rbm_filters.png; rbm_samples.png; rbm_demo.json, the numbers; rbm.keras",
    ]
    command_line.show(options, {"log_z": rows, "facts": facts}, tables, "rbm_demo")


def _trained(x, options):
    rbm = BernoulliRBM(x.shape[1], NUM_HIDDEN, seed=options.seed)
    num_batches = -(-len(x) // BATCH_SIZE)
    rate = keras.optimizers.schedules.PolynomialDecay(0.1, EPOCHS * num_batches, 0.0)
    rbm.compile(keras.optimizers.SGD(rate), steps_per_execution=num_batches)
    fit(rbm, options.output / "rbm.keras", EPOCHS, x=x, batch_size=BATCH_SIZE)
    return rbm


def _facts(rbm, x_train, x_test, exact):
    at_one = int(np.argmin(np.abs(exact.betas - 1)))
    log_z = exact.log_z[at_one]
    train, test = (rbm.free_energy(x).numpy().mean(dtype=float) for x in (x_train, x_test))
    facts = {
        "mean ln p(v), training data": -train - log_z,
        "mean ln p(v), test data": -test - log_z,
        "mean clamped free energy F_c, test data": test,
        "equilibrium free energy F_eq = -ln Z": -log_z,
        "energy U = <E>": exact.energy[at_one],
        "entropy S": exact.entropy[at_one],
        "heat capacity C": exact.heat_capacity[at_one],
    }
    return [{"quantity": name, "nats": float(value)} for name, value in facts.items()]


def _draw(folder, rbm, x_train, rows, exact, seed):
    figure = Figure((8, 4.5), layout="constrained")
    others = rows[1:]
    plotting.estimates(
        figure.subplots(),
        [row["method"] for row in others],
        [row["ln Z"] for row in others],
        [row["s.e."] for row in others],
        rows[0]["ln Z"],
    )
    plotting.save_figure(figure, folder / "rbm_log_z.png")

    figure = Figure((11, 3.2), layout="constrained")
    quantities = {
        "energy U = ⟨E⟩ (nats)": exact.energy,
        "entropy S (nats)": exact.entropy,
        "heat capacity C (nats)": exact.heat_capacity,
    }
    for ax, (label, values) in zip(figure.subplots(1, 3), quantities.items(), strict=True):
        ax.plot(exact.betas, values)
        ax.axvline(1, color="grey", linewidth=0.8, linestyle="--")
        ax.set_xlabel("inverse temperature β")
        ax.set_ylabel(label)
    plotting.save_figure(figure, folder / "rbm_thermodynamics.png")

    filters = rbm.kernel.numpy().T.reshape(-1, 8, 8)
    plotting.save_images(
        folder / "rbm_filters.png",
        filters,
        "Filters: a column of W for each hidden unit",
        columns=8,
    )
    samples = rbm.sample(50, 10_000, seed=seed + 2).numpy()
    both = np.concatenate([x_train[:50], samples]).reshape(-1, 8, 8)
    plotting.save_images(
        folder / "rbm_samples.png", both, "Above: training digits. Below: samples", columns=10
    )

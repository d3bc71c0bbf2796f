"""Trajectory tempering against tempering in temperature, where modes differ in their entropy.

    .venv/bin/python benchmarks/trajectory.py [--num-visible 100] [--seed 0]

The data are four clusters of equal weight, two tight (0.5 and 5 % of the pixels flipped) and two
wide ones (30 and 40 %). 8 binary hidden units learn them by the exact gradient, so ln Z and the
weight of each mode are sums over 256 states, at every temperature and every checkpoint. All ladders
have as many windows and chains, and as many sweeps but for those that say so. Results go to
benchmarks/results/trajectory_*.
"""

import argparse
import sys
import time
from dataclasses import replace

from rbm_tf.quiet import quiet_start

quiet_start()

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from rounds import RESULTS, write
from scipy.special import expit, logsumexp

from rbm_tf.annealing import ais, choose_betas
from rbm_tf.command_line.program import table
from rbm_tf.enumeration import log_z
from rbm_tf.machine import clamped_free_energy, hidden_input, machine_of
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.shared.files import written_whole
from rbm_tf.tempering import tempered_windows
from rbm_tf.training.negative_phase import ExactPhase
from rbm_tf.trajectory import Trajectory, trajectory_ais, trajectory_windows
from rbm_tf.umbrella import bar_along, mbar

FLIPPED = np.array([0.005, 0.05, 0.3, 0.4])  # the share of flipped pixels of each cluster
NUM_HIDDEN, NUM_DATA, EPOCHS, RATE = 8, 1000, 300, 0.1
BURN_IN = 200
LADDERS = {"num_chains": 100, "num_steps": 50, "progress": False}
NUM_AIS, AIS_SWEEPS = 200, 10  # chains, and sweeps for each window


def clusters(num_visible, seed):
    """The centres of the clusters, and data around them."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2, (len(FLIPPED), num_visible))
    label = rng.integers(0, len(FLIPPED), NUM_DATA)
    flipped = rng.random((NUM_DATA, num_visible)) < FLIPPED[label][:, None]
    return centres, np.abs(centres[label] - flipped).astype(np.float32)


def train(x, seed):
    """A model, and the machines on the way to it."""
    keras.utils.set_random_seed(seed)
    rbm = BernoulliRBM(x.shape[1], NUM_HIDDEN, negative_phase=ExactPhase(), seed=seed)
    rbm.compile(keras.optimizers.SGD(RATE), steps_per_execution=5)
    trajectory = Trajectory(spacing=0.2)
    rbm.fit(x, batch_size=200, epochs=EPOCHS, verbose=0, callbacks=[trajectory])
    return rbm, trajectory.machines


class Modes:
    """A hidden state belongs to the centre that is nearest to the visible means it stands for."""

    def __init__(self, machine, centres):
        self.machine = machine_of(machine, dtype=tf.float64)
        h = self.machine.hidden.layer_states()
        means = expit(self.machine.visible_bias + tf.matmul(h, self.machine.kernel, False, True))
        self.of_state = np.argmin(((means[:, None] - centres) ** 2).sum(-1), 1)
        log_p = -clamped_free_energy(self.machine.transposed, h).numpy()
        p = np.exp(log_p - logsumexp(log_p))
        self.exact = np.bincount(self.of_state, p, minlength=len(centres))

    def of_samples(self, v):
        """The share of each mode among visible states, each with a draw of h given v."""
        v = tf.cast(v, tf.float64)
        h = self.machine.hidden.sample(hidden_input(self.machine, v), seed=1).numpy()
        number = (h @ 2 ** np.arange(h.shape[1])).astype(int)  # the order of layer_states
        return np.bincount(self.of_state[number], minlength=len(self.exact)) / len(v)


def exact_weights(rbm, machines, centres):
    """Exact weights of the modes at each beta from two bases, and at each machine."""
    betas, found = np.linspace(0, 1, 41), {}
    machine = machine_of(rbm, dtype=tf.float64)
    means = machine.visible.inside(rbm.visible_offset)
    for name, base in (("uniform", 0.0), ("data", machine.visible.conjugate_field(means))):
        on_path = (machine.scaled(beta) for beta in betas)
        found[name] = [
            Modes(
                replace(one, visible_bias=one.visible_bias + (1 - beta) * base), centres
            ).exact.tolist()
            for beta, one in zip(betas, on_path, strict=True)
        ]
    found["trajectory"] = [Modes(one, centres).exact.tolist() for one in machines]
    return found


def ladders(rbm, machines, seed):
    """For each ladder a function that samples its windows, of which all have as many."""
    num, found = len(machines) + 1, {}

    def tempered(base, betas, burn_in):
        options = LADDERS | {"num_burn_in": burn_in, "seed": seed + 1}
        return lambda: tempered_windows(rbm, betas=betas, base=base, **options)

    for base in ("uniform", "data"):
        chosen = choose_betas(rbm, num_betas=num, base=base, seed=seed)
        found[f"{base} base, equal steps"] = tempered(base, np.linspace(0, 1, num), BURN_IN)
        found[f"{base} base, chosen"] = tempered(base, chosen, BURN_IN)
        found[f"{base} base, chosen, 10 x burn-in"] = tempered(base, chosen, 10 * BURN_IN)
    found["trajectory"] = lambda: trajectory_windows(
        machines, num_burn_in=BURN_IN, seed=seed + 1, **LADDERS
    )
    return found


def line(name, estimate, exact, seconds):
    pull = (estimate.log_z - exact) / estimate.standard_error
    row = {"road": name, "error": estimate.log_z - exact, "s.e.": estimate.standard_error}
    row |= {"errors off": pull, "seconds": seconds}
    if estimate.log_weights is not None:
        row["ESS"] = float(estimate.effective_sample_size)
    return row


def by_ladders(rbm, machines, centres, exact, seed):
    """A row for each ladder, and ln Z along the trajectory."""
    modes, rows = Modes(rbm, centres), []
    for name, sample in ladders(rbm, machines, seed).items():
        start = time.process_time()
        windows = sample()
        row = line(name, mbar(windows), exact, time.process_time() - start)
        shares = modes.of_samples(windows.samples)
        row["least swap"] = float(windows.swap_acceptance.min())
        row["modes"] = " ".join(f"{share:.2f}" for share in shares)
        row["distance"] = float(np.abs(shares - modes.exact).sum() / 2)
        rows.append(row)
        print(row, flush=True)
    return rows, bar_along(windows)


def by_annealing(rbm, machines, exact, seed):
    """A row for each road of annealing, with as many sweeps."""
    sweeps = AIS_SWEEPS * len(machines)
    options = {"num_chains": NUM_AIS, "progress": False, "seed": seed + 2}
    rows = []
    for base in ("uniform", "data"):
        betas = choose_betas(rbm, num_betas=sweeps, base=base, seed=seed)
        start = time.process_time()
        estimate = ais(rbm, betas=betas, base=base, **options)
        rows.append(line(f"AIS, {base} base", estimate, exact, time.process_time() - start))
    start = time.process_time()
    estimate = trajectory_ais(machines, num_steps=AIS_SWEEPS, **options)
    rows.append(line("AIS, trajectory", estimate, exact, time.process_time() - start))
    return rows


def draw(along, exact_along, weights, name):
    """ln Z along the trajectory beside the exact one; weights of the modes along the paths."""
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.4), layout="constrained")
    places = np.arange(len(exact_along))
    axes[0].plot(places, exact_along, color="black", linewidth=1, label="exact")
    axes[0].errorbar(places, along.log_z[1:], 2 * along.standard_error[1:], fmt=".", label="BAR")
    axes[0].set_ylabel("ln Z (nats)")
    axes[0].legend(frameon=False)
    axes[1].axhline(0, color="black", linewidth=1)
    errors = along.log_z[1:] - exact_along
    axes[1].errorbar(places, errors, 2 * along.standard_error[1:], fmt=".", capsize=2)
    axes[1].set_ylabel("BAR minus exact, ± 2 s.e. (nats)")
    for ax in axes[:2]:
        ax.set_xlabel("checkpoint of training")
    betas = np.linspace(0, 1, len(weights["data"]))
    for ax, path in zip(axes[2:], ("uniform", "data"), strict=True):
        for mode, flipped in enumerate(FLIPPED):
            ax.semilogy(betas, np.array(weights[path])[:, mode], label=f"{flipped:.1%} flipped")
        ax.set_ylim(1e-6, 2)
        ax.set_xlabel(f"inverse temperature, {path} base")
        ax.set_ylabel("exact weight of the mode")
    axes[2].legend(frameon=False)
    with written_whole(RESULTS / f"{name}.png") as partial:
        figure.savefig(partial, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num-visible", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    start = time.perf_counter()
    centres, x = clusters(given.num_visible, given.seed)
    rbm, machines = train(x, given.seed)
    exact = log_z(rbm)
    weights = exact_weights(rbm, machines, centres)
    rows, along = by_ladders(rbm, machines, centres, exact, given.seed)
    rows += by_annealing(rbm, machines, exact, given.seed)
    formats = {"road": "", "error": "+.3f", "s.e.": ".3f", "errors off": "+.1f", "ESS": ".0f"}
    formats |= {"least swap": ".2f", "modes": "", "distance": ".2f", "seconds": ".1f"}
    print(table(rows, formats))
    exact_along = [log_z(machine) for machine in machines]
    modes = Modes(rbm, centres).exact.tolist()
    print(f"ln Z {exact:.4f}, weights of the modes {modes}")
    name = f"trajectory_{given.num_visible}"
    write(
        name,
        what="errors of ln Z in nats; distance is total variation of mode weights, 100 samples",
        command=f"benchmarks/trajectory.py {' '.join(sys.argv[1:])}",
        seed=given.seed,
        total_seconds=time.perf_counter() - start,
        num_windows=len(machines) + 1,
        **{"ln Z": exact, "ln p of the data": float(-np.mean(rbm.free_energy(x)) - exact)},
        exact_modes=modes,
        least_weight={
            path: float(np.min(np.array(found)[len(found) // 4 :, :2]))
            for path, found in weights.items()
        },
        rows=rows,
        along={
            "exact": exact_along,
            "BAR": along.log_z[1:].tolist(),
            "s.e.": along.standard_error[1:].tolist(),
        },
    )
    draw(along, np.array(exact_along), weights, name)


if __name__ == "__main__":
    sys.exit(main())

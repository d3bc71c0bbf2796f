"""The Hopfield model as spins coupled to Gaussian hidden units: retrieval against load.

    .venv/bin/python benchmarks/hopfield.py [--temperature 0.1] [--seed 0]

N spins and one Gaussian unit for each of the P patterns xi, W = sqrt(beta / N) xi, precision 1:
with the hidden units integrated out, ln p(v) is beta / (2 N) sum_mu (xi_mu . v)^2, Hopfield's
model. Both dynamics start from the first pattern: block Gibbs sampling of the RBM, and the heat
bath that visits one spin after the other. Beside them the overlap of an infinite network, from the
replica-symmetric equations of Amit, Gutfreund and Sompolinsky (1985). Results go to
benchmarks/results/hopfield*.
"""

import argparse
import sys
import time

from rbm_tf.quiet import quiet_start

quiet_start()

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from rounds import RESULTS, write

from rbm_tf.command_line.program import table
from rbm_tf.gibbs import gibbs_chain
from rbm_tf.machine import Machine, clamped_free_energy, hidden_input
from rbm_tf.shared.files import written_whole
from rbm_tf.units import Gaussian, Spin

SIZES = 200, 350, 500
LOADS = np.array([0.02, 0.05, 0.08, 0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.17, 0.2, 0.25])
CAPACITY = 0.138  # of an infinite network at temperature 0
NUM_NETWORKS, NUM_CHAINS, NUM_SWEEPS = 16, 4, 200
RECALL = {"size": 500, "load": 0.05, "flipped": 0.3}  # the speed of recall from a spoilt pattern
SWEEPS_OF_RECALL = 1, 2, 3, 5, 10, 20, 50, 100


def hopfield(patterns, temperature):
    """The RBM of patterns (P, N)."""
    num_patterns, size = patterns.shape
    kernel = tf.constant(patterns.T / np.sqrt(temperature * size), tf.float32)
    biases = tf.zeros(size), tf.zeros(num_patterns)
    return Machine(kernel, *biases, Spin(size), Gaussian(num_patterns))


def check(rng):
    """The clamped free energy is Hopfield's energy, up to a constant."""
    xi, v = (rng.choice([-1.0, 1.0], size=shape) for shape in ((3, 50), (20, 50)))
    found = clamped_free_energy(hopfield(xi, 0.1), tf.constant(v, tf.float32)).numpy()
    expected = -((v @ xi.T) ** 2).sum(1) / (2 * 0.1 * 50)
    np.testing.assert_allclose(found - found[0], expected - expected[0], rtol=1e-4, atol=1e-3)


def by_gibbs(patterns, start, temperature, num_sweeps, seed):
    """Overlaps with the first pattern after block Gibbs sampling, a mean over chains."""
    machine = hopfield(patterns, temperature)
    v = tf.constant(np.tile(start, (NUM_CHAINS, 1)), tf.float32)
    first, second = tf.unstack(tf.random.split([seed, 0]))
    hidden = machine.hidden.sample(hidden_input(machine, v), seed=first)
    v = gibbs_chain(machine, hidden, tf.constant(0), tf.constant(num_sweeps), second)[0]
    return float(np.mean(v.numpy() @ patterns[0])) / len(start)


def by_heat_bath(patterns, start, temperature, num_sweeps, rng):
    """Overlaps (sweeps, networks) of one chain in each network; patterns (networks, P, N)."""
    num_networks, num_patterns, size = patterns.shape
    v, overlaps = start.copy(), np.einsum("rpn,rn->rp", patterns, start)
    columns = np.ascontiguousarray(patterns.transpose(2, 0, 1))  # (N, networks, P)
    found = []
    for _ in range(num_sweeps):
        uniform = rng.random((size, num_networks))
        for i in range(size):
            field = np.einsum("rp,rp->r", columns[i], overlaps) - num_patterns * v[:, i]
            up = uniform[i] * (1 + np.exp(-2 * field / (temperature * size))) < 1
            new = np.where(up, 1.0, -1.0)
            overlaps += columns[i] * (new - v[:, i])[:, None]
            v[:, i] = new
        found.append(overlaps[:, 0] / size)
    return np.array(found)


def theory(load, temperature):
    """The overlap of an infinite network: m = <tanh(beta (m + sqrt(alpha r) z))>, from m = 1.

    q = <tanh^2>, r = q / (1 - beta (1 - q))^2, z standard normal; replica symmetry.
    """
    z, weight = np.polynomial.hermite_e.hermegauss(201)
    weight = weight / weight.sum()
    m, q = 1.0, 1.0
    for _ in range(5000):
        r = q / (1 - (1 - q) / temperature) ** 2
        t = np.tanh((m + np.sqrt(load * r) * z) / temperature)
        new = weight @ t, weight @ t**2
        if np.hypot(new[0] - m, new[1] - q) < 1e-10:
            break
        m, q = (m + new[0]) / 2, (q + new[1]) / 2
    return float(m)


def networks(num_patterns, size, rng):
    return rng.choice([-1.0, 1.0], size=(NUM_NETWORKS, num_patterns, size))


def row(size, load, temperature, rng):
    """Final overlaps of both dynamics in the same networks, from the first pattern."""
    xi = networks(round(load * size), size, rng)
    direct = by_heat_bath(xi, xi[:, 0], temperature, NUM_SWEEPS, rng)[-1]
    seeds = rng.integers(2**31, size=NUM_NETWORKS)
    gibbs = [
        by_gibbs(one, one[0], temperature, NUM_SWEEPS, seed)
        for one, seed in zip(xi, seeds, strict=True)
    ]
    found = {"N": size, "load": float(load), "P": xi.shape[1]}
    for name, values in (("Gibbs", gibbs), ("heat bath", direct)):
        found[name] = float(np.mean(values))
        found[f"{name} s.e."] = float(np.std(values, ddof=1) / np.sqrt(len(values)))
        found[f"{name}, retrieved"] = float(np.mean(np.array(values) > 0.8))
    return found | {"theory": theory(load, temperature)}


def recall(temperature, rng):
    """Overlaps after some sweeps from a pattern of which a share of the spins is flipped."""
    size = RECALL["size"]
    xi = networks(round(RECALL["load"] * size), size, rng)
    start = xi[:, 0] * np.where(rng.random(xi[:, 0].shape) < RECALL["flipped"], -1, 1)
    direct = by_heat_bath(xi, start, temperature, max(SWEEPS_OF_RECALL), rng).mean(1)
    rows = []
    for sweeps in SWEEPS_OF_RECALL:
        gibbs = [
            by_gibbs(one, v, temperature, sweeps, index)
            for index, (one, v) in enumerate(zip(xi, start, strict=True))
        ]
        rows.append({"sweeps": sweeps, "Gibbs": float(np.mean(gibbs))})
        rows[-1]["heat bath"] = float(direct[sweeps - 1])
    return rows


def draw(rows, recalled, temperature):
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    loads = np.linspace(0.005, 0.25, 99)
    axes[0].plot(loads, [theory(x, temperature) for x in loads], "k-", label="infinite network")
    for index, size in enumerate(SIZES):
        chosen = [one for one in rows if one["N"] == size]
        for name, style in (("Gibbs", "o-"), ("heat bath", "x--")):
            values, errors = ([one[key] for one in chosen] for key in (name, f"{name} s.e."))
            options = {"color": f"C{index}", "label": f"{name}, N = {size}", "linewidth": 1}
            axes[0].errorbar(LOADS, values, errors, fmt=style, capsize=2, **options)
    axes[0].axvline(CAPACITY, color="grey", linestyle=":", label=f"alpha_c = {CAPACITY} at T = 0")
    axes[0].set_xlabel("load alpha = P / N")
    axes[0].set_title(f"T = {temperature:g}, after {NUM_SWEEPS} sweeps", fontsize=10)
    for name, style in (("Gibbs", "o-"), ("heat bath", "x--")):
        values = [one[name] for one in recalled]
        axes[1].semilogx(SWEEPS_OF_RECALL, values, style, label=name)
    axes[1].set_xlabel("sweeps")
    share, load = RECALL["flipped"], RECALL["load"]
    axes[1].set_title(f"from {share:.0%} flipped spins, alpha = {load}", fontsize=10)
    for ax in axes:
        ax.set_ylabel("overlap with the pattern")
        ax.set_ylim(0, 1.05)
        ax.legend(frameon=False, fontsize=8)
    with written_whole(RESULTS / "hopfield.png") as partial:
        figure.savefig(partial, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--temperature", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    start, rng = time.perf_counter(), np.random.default_rng(given.seed)
    check(rng)
    rows = []
    for size in SIZES:
        for load in LOADS:
            rows.append(row(size, load, given.temperature, rng))
            print(rows[-1], flush=True)
    recalled = recall(given.temperature, rng)
    formats = dict.fromkeys(("N", "P"), "d") | {"load": ".2f", "theory": ".3f"}
    names = "Gibbs", "Gibbs s.e.", "heat bath", "heat bath s.e."
    print(table(rows, formats | dict.fromkeys(names, ".3f")))
    print(table(recalled, {"sweeps": "d", "Gibbs": ".3f", "heat bath": ".3f"}))
    write(
        "hopfield",
        what="overlap with the pattern that the chains start from",
        command=f"benchmarks/hopfield.py {' '.join(sys.argv[1:])}",
        seed=given.seed,
        total_seconds=time.perf_counter() - start,
        temperature=given.temperature,
        networks=NUM_NETWORKS,
        sweeps=NUM_SWEEPS,
        rows=rows,
        recall=RECALL | {"rows": recalled},
    )
    draw(rows, recalled, given.temperature)


if __name__ == "__main__":
    sys.exit(main())

"""ln Z of small machines of all 49 pairs of kinds of units by every road, against the exact value.

    .venv/bin/python benchmarks/units_log_z.py [--scale 1.4] [--roads "TAP 2" ..] [--seed 0]

3 visible and 2 hidden units, so that every exact value is a sum over states, a determinant or a
quadrature. Roads that draw take about 30,000 visible states each. `--scale` multiplies W, a and b;
`--roads` walks some roads again and keeps what the file says of the others. Results go to
benchmarks/results/units_log_z*.
"""

import argparse
import shlex
import sys
import time

from rbm_tf.quiet import quiet_start

quiet_start()

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from matplotlib.colors import LogNorm
from rounds import RESULTS, read, write
from scipy.special import logsumexp

from rbm_tf.annealing import ais, reverse_ais
from rbm_tf.command_line.program import table
from rbm_tf.enumeration import log_z
from rbm_tf.machine import Machine, clamped_free_energy, visible_input
from rbm_tf.mean_field import cumulant_free_energy, tap
from rbm_tf.reweighting import importance_sampling, monte_carlo
from rbm_tf.shared.files import write_text, written_whole
from rbm_tf.tempering import tempered_sample, tempered_windows
from rbm_tf.umbrella import mbar
from rbm_tf.units import Binary, DReLU, Gaussian, Potts, ReLU, Spin, TruncatedExponential

A, B = np.array([0.1, -0.2, 0.3]), np.array([0.2, -0.1])
W = np.array([[0.5, -0.3], [0.2, 0.4], [-0.6, 0.1]])
PRECISIONS = {3: np.array([1.0, 1.5, 2.0]), 2: np.array([1.2, 0.8])}
T = np.array([1.0, -0.5, 0.25])  # what the states of a Potts unit stand for
KINDS = {
    "Binary": Binary,
    "Spin": Spin,
    "Gaussian": lambda num: Gaussian(num, PRECISIONS[num]),
    "Potts": lambda num: Potts(num, 3),
    "ReLU": lambda num: ReLU(num, PRECISIONS[num]),
    "dReLU": lambda num: DReLU(
        num, PRECISIONS[num], 2 * PRECISIONS[num], threshold_plus=0.3, threshold_minus=-0.2
    ),
    "TruncExp": TruncatedExponential,
}
NUM_CHAINS, BETAS = 1000, np.linspace(0, 1, 31)
WINDOWS = {"betas": np.linspace(0, 1, 9), "num_chains": 20, "num_steps": 150, "num_burn_in": 20}


def pair(visible, hidden, scale):
    """The machine of two kinds, float64; its numbers are those of tests/test_units_layers.py."""
    kernel, a, b = W, A, B
    if visible == "Potts":
        factors, a = potts(A)
        kernel = factors.T @ kernel
    if hidden == "Potts":
        factors, b = potts(B)
        kernel = kernel @ factors
    parameters = map(tf.constant, (kernel, a, b))
    return Machine(*parameters, KINDS[visible](3), KINDS[hidden](2)).scaled(scale)


def potts(bias):
    """How weights and biases of a Potts layer follow from those of scalar units."""
    num = len(bias)
    shift = np.add.outer(np.arange(num), np.arange(3))
    factors = np.zeros((num, 3 * num))
    for i in range(num):
        factors[i, 3 * i : 3 * i + 3] = T[shift[i] % 3]
    return factors, (bias[:, None] * T[(shift + 1) % 3]).ravel()


def samples(machine, seed):
    """Visible states from the machine: exact ones where a layer is finite, else tempered."""
    layers = machine.visible, machine.hidden
    if not any(unit.is_finite for unit in layers):
        return tempered_sample(
            machine, NUM_CHAINS, betas=np.linspace(0, 1, 5), num_steps=50, **options(seed)
        )
    listed = machine if layers[0].is_finite else machine.transposed
    states = listed.visible.layer_states()
    log_p = -clamped_free_energy(listed, states).numpy()
    p = np.exp(log_p - logsumexp(log_p))
    rows = np.random.default_rng(seed).choice(len(p), size=NUM_CHAINS, p=p / p.sum())
    drawn = tf.gather(states, rows)
    if listed is machine:
        return drawn
    return machine.visible.sample(visible_input(machine, drawn), seed=seed)


def options(seed):
    return {"base": "uniform", "progress": False, "seed": seed}


def by_importance(machine, seed):
    """From the product of naive mean field, whose visible means are m."""
    mean = machine.visible.inside(tap(machine, order=1).visible)
    return importance_sampling(machine, mean, num_samples=30_000, seed=seed)


ROADS = {
    "TAP 1": lambda machine, seed: tap(machine, order=1),
    "TAP 2": lambda machine, seed: tap(machine, order=2),
    "TAP 3": lambda machine, seed: tap(machine, order=3),
    "F_2": lambda machine, seed: -float(cumulant_free_energy(machine, 2)),
    "F_3": lambda machine, seed: -float(cumulant_free_energy(machine, 3)),
    "Monte Carlo": lambda machine, seed: monte_carlo(machine, num_samples=30_000, seed=seed),
    "importance": by_importance,
    "AIS": lambda machine, seed: ais(machine, num_chains=NUM_CHAINS, betas=BETAS, **options(seed)),
    "reverse AIS": lambda machine, seed: reverse_ais(
        machine, samples(machine, seed), betas=BETAS, **options(seed + 1)
    ),
    "MBAR": lambda machine, seed: mbar(tempered_windows(machine, **WINDOWS, **options(seed))),
}


def walk(machine, road, seed, exact):
    """One road, walked twice, so that its seconds do not count the building of a graph."""
    for _ in range(2):
        start = time.process_time()
        estimate = road(machine, seed)
        seconds = time.process_time() - start
    found = {"ln Z": float(getattr(estimate, "log_z", estimate)), "seconds": round(seconds, 4)}
    found["error"] = found["ln Z"] - exact
    if getattr(estimate, "standard_error", None) is not None:
        found["s.e."] = estimate.standard_error
    if not getattr(estimate, "converged", True):
        found["converged"] = False
    return found


def all_pairs(roads, scale, seed, known):
    """A row for each pair, with what is known of other roads."""
    rows = []
    for index, (visible, hidden) in enumerate((v, h) for v in KINDS for h in KINDS):
        machine = pair(visible, hidden, scale)
        exact = log_z(machine)
        found = {name: walk(machine, ROADS[name], seed, exact) for name in roads}
        kept = known[index]["roads"] if known else {}
        found = {name: (kept | found)[name] for name in ROADS if name in kept | found}
        rows.append({"visible": visible, "hidden": hidden, "exact": exact, "roads": found})
        errors = " ".join(f"{name} {one['error']:+.4f}" for name, one in found.items())
        print(f"{visible}-{hidden} {exact:.4f}: {errors}", flush=True)
    return rows


def summary(rows):
    """Over the pairs, a row for each road."""
    lines = []
    for name in rows[0]["roads"]:
        found = [row["roads"][name] for row in rows]
        errors = np.array([one["error"] for one in found])
        worst = rows[int(np.nanargmax(np.abs(errors)))]
        pulls = [abs(one["error"]) / one["s.e."] for one in found if "s.e." in one]
        line = {"road": name, "median error": float(np.nanmedian(np.abs(errors)))}
        line |= {"worst error": float(np.nanmax(np.abs(errors)))}
        line |= {"worst pair": f"{worst['visible']}-{worst['hidden']}"}
        line["beyond 3 s.e."] = int(np.sum(np.array(pulls) > 3)) if pulls else None
        line["median ms"] = 1000 * float(np.median([one["seconds"] for one in found]))
        lines.append(line)
    return lines


def markdown(rows):
    """All errors in one table."""
    names = list(rows[0]["roads"])
    lines = ["| visible-hidden | exact | " + " | ".join(names) + " |"]
    lines.append("|---" * (2 + len(names)) + "|")
    for row in rows:
        cells = [f"{row['visible']}-{row['hidden']}", f"{row['exact']:.6f}"]
        cells += [f"{row['roads'][name]['error']:+.5f}".replace("-", "−") for name in names]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def draw(rows, scale, name):
    """|error| of every road for every pair."""
    roads, kinds = list(rows[0]["roads"]), list(KINDS)
    num_rows = -(-len(roads) // 5)
    figure, axes = plt.subplots(
        num_rows, 5, figsize=(13, 3.0 * num_rows), sharex=True, sharey=True, layout="constrained"
    )
    for ax, road in zip(axes.ravel(), roads, strict=False):
        errors = np.reshape([abs(row["roads"][road]["error"]) for row in rows], (7, 7))
        image = ax.imshow(np.maximum(errors, 1e-7), norm=LogNorm(1e-5, 1), cmap="viridis")
        ax.set_title(road, fontsize=11)
        ax.set_xticks(range(7), kinds, rotation=90)
        ax.set_yticks(range(7), kinds)
    for ax in axes.ravel()[len(roads) :]:
        ax.set_visible(False)
    figure.supxlabel("hidden units")
    figure.supylabel("visible units")
    figure.colorbar(image, ax=axes, label="|error| of ln Z (nats)", extend="both", shrink=0.8)
    figure.suptitle(f"3 x 2 units, W, a and b times {scale:g}")
    with written_whole(RESULTS / f"{name}.png") as partial:
        figure.savefig(partial, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--roads", nargs="+", choices=ROADS, default=list(ROADS))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    name = "units_log_z" + ("" if given.scale == 1 else f"_{given.scale:g}".replace(".", "_"))
    again = len(given.roads) < len(ROADS) and (RESULTS / f"{name}.json").exists()
    known = read(name) if again else {"rows": None, "command": None}
    start = time.perf_counter()
    rows = all_pairs(given.roads, given.scale, given.seed, known["rows"])
    lines = summary(rows)
    formats = {"road": "", "median error": ".5f", "worst error": ".4f", "worst pair": ""}
    print(table(lines, formats | {"beyond 3 s.e.": "d", "median ms": ".1f"}))
    command = f"benchmarks/units_log_z.py {shlex.join(sys.argv[1:])}".strip()
    about = {
        "what": "errors of ln Z in nats; seconds are those of the processor, one thread",
        "command": "; ".join(filter(None, (known["command"], command))),
        "seed": given.seed,
        "scale": given.scale,
        "total_seconds": time.perf_counter() - start,
    }
    write(name, **about, summary=lines, rows=rows)
    write_text(RESULTS / f"{name}.md", markdown(rows))
    draw(rows, given.scale, name)


if __name__ == "__main__":
    sys.exit(main())

"""Independent copies of a target with an exact answer: for section dimension of black_box.py.

The copies of ln w add up, and so do their cumulants: the series needs no more draws for its bias,
but takes noise from all copies; importance weights need a number of draws that grows exponentially.
"""

import itertools
import pathlib

import matplotlib.pyplot as plt
import numpy as np
from arviz_stats.base import array_stats
from rounds import RESULTS
from scipy.special import digamma, gammaln, logsumexp, polygamma

import rbm_tf
from rbm_tf.command_line.program import table
from rbm_tf.cumulants import sample_cumulants
from rbm_tf.shared.files import written_whole
from vae_keras.black_box import evidence_of_weights, expectation_of_weights

DRAWS = 10_000
COPIES, SEEDS, COORDINATES = (1, 3, 10, 30, 100, 300, 1000), 20, 10
SHAPE, CORRELATION = 4.0, 0.5
METHODS = "q", "order 1", "order 2", "order 3", "order 4", "grouped", "weights", "PSIS"
COLOURS = {name: f"C{number}" for number, name in enumerate(METHODS)}


def log_gamma_copies(num, rng):
    """Copies of exp(4 z - e^z), a log-gamma density, and its Laplace Gaussian.

    Returns f = z of the first copies, ln w, and the exact ln Z, mean and sd of f.
    """
    log_w, f = np.zeros(DRAWS), []
    for _ in range(num):
        noise = rng.normal(size=DRAWS)
        z = np.log(SHAPE) + noise / SHAPE**0.5
        log_w += SHAPE * z - np.exp(z) + (noise**2 + np.log(2 * np.pi / SHAPE)) / 2
        if len(f) < COORDINATES:
            f.append(z)
    exact = num * gammaln(SHAPE), digamma(SHAPE), polygamma(1, SHAPE) ** 0.5
    return np.stack(f, -1), log_w, *exact


def correlated_pairs(num, rng):
    """Copies of two normal variables correlated by 0.5, and their mean field.

    Returns f = z^2 of one variable of the first copies, ln w, and the exact ln Z, mean and sd of f.
    """
    scale, log_w, f = (1 - CORRELATION**2) ** 0.5, np.zeros(DRAWS), []
    for _ in range(num):
        z = scale * rng.normal(size=(2, DRAWS))
        log_w += CORRELATION * z[0] * z[1] / scale**2 + np.log(scale)
        if len(f) < COORDINATES:
            f.append(z[0] ** 2)
    return np.stack(f, -1), log_w, 0.0, 1.0, 2**0.5


TARGETS = {
    "skewed density": log_gamma_copies,
    "correlated pairs": correlated_pairs,
}


def psis(log_w):
    """ln p(x), normalised weights and k-hat of Pareto-smoothed importance sampling."""
    log_smooth, k = array_stats.psislw(-log_w)  # takes -ln w
    least = np.argmin(log_w)  # not in the tail: smoothing only subtracts ln sum w from it
    log_p = log_w[least] - log_smooth[least] - np.log(len(log_w))
    return log_p, np.exp(log_smooth), float(k)


def estimates(f, log_w):
    """ln p and means of f by every method; k-hat; the next terms of the series of the means."""
    log_p_psis, smooth, k = psis(log_w)
    series = np.cumsum(sample_cumulants(log_w, 4).numpy() / [1, 2, 6, 24])
    log_p = {"q": series[0]} | {f"order {n}": series[n - 1] for n in (2, 3, 4)}
    log_p["grouped"] = evidence_of_weights(log_w).grouped.log_z
    log_p |= {"weights": logsumexp(log_w) - np.log(DRAWS), "PSIS": log_p_psis}
    terms = expectation_of_weights(f, log_w, order=4).terms
    series = np.cumsum(terms, 0)
    means = {"q": series[0]} | {f"order {n}": series[n] for n in (1, 2, 3)}
    means |= {"weights": np.exp(log_w - logsumexp(log_w)) @ f, "PSIS": smooth @ f}
    return log_p, means, k, np.abs(terms[1:]) / f.std(0)


def errors_in_many_dimensions(seed):
    """Rows of errors for each target, number of copies, quantity and method; draws the figure."""
    rows = []
    for target, num in itertools.product(TARGETS, COPIES):
        found, variances = [], []
        for number in range(SEEDS):
            drawn = TARGETS[target](num, np.random.default_rng([seed, number]))
            f, log_w, log_z, mean, sd = drawn
            found.append(estimates(f, log_w))
            variances.append(log_w.var())
        k = float(np.median([one[2] for one in found]))
        about = {"target": target, "copies": num, "k-hat": k}
        about["variance of ln w"] = float(np.mean(variances))
        next_terms = np.array([one[3] for one in found])  # (SEEDS, 4, coordinates)
        for part, quantity in enumerate(("ln p", "mean")):
            for method in found[0][part]:
                errors = np.array([one[part][method] for one in found])
                errors = (errors - mean) / sd if part else errors - log_z
                row = about | {"quantity": quantity, "method": method}
                row |= {"error": float(np.mean(errors**2) ** 0.5), "bias": float(np.mean(errors))}
                if part and method.startswith("order"):
                    small = next_terms[:, int(method[-1])] <= 0.1
                    row["next term small"] = float(np.mean(small))
                rows.append(row)
    formats = {"target": "", "copies": "d", "k-hat": ".2f", "quantity": "", "method": ""}
    formats |= {"error": ".3f", "bias": "+.3f", "variance of ln w": ".2f", "next term small": ".2f"}
    print(table(rows, formats))
    draw_figure(rows)
    return rows


def draw_figure(rows):
    """A row of panels for each target: errors of ln p, and of the mean of one coordinate's f."""
    plt.style.use(pathlib.Path(rbm_tf.__file__).parent / "course.mplstyle")
    figure, panels = plt.subplots(2, 2, figsize=(9, 7), sharex=True, layout="constrained")
    labels = {"ln p": "error of ln p, nats", "mean": "error of one mean, sd"}
    functions = {"skewed density": "f = z", "correlated pairs": "f = z²"}
    for line, target in zip(panels, TARGETS, strict=True):
        for panel, quantity in zip(line, labels, strict=True):
            here = [r for r in rows if (r["target"], r["quantity"]) == (target, quantity)]
            for method in dict.fromkeys(r["method"] for r in here):
                mine = [r for r in here if r["method"] == method]
                style = "o-" if method.startswith("order") else "--"
                x, y = [r["copies"] for r in mine], [r["error"] for r in mine]
                limit = np.interp(np.log(DRAWS), [r["variance of ln w"] for r in mine], x)
                panel.loglog(x, y, style, color=COLOURS[method], markersize=4, label=method)
            panel.axvline(limit, color="0.6", linestyle=":")  # the variance of ln w is ln DRAWS
            panel.set_title(f"{target}, {functions[target]}" if quantity == "mean" else target)
            panel.set_ylabel(labels[quantity])
    for panel in panels[-1]:
        panel.set_xlabel("copies")
    lines = {line.get_label(): line for panel in panels.flat for line in panel.get_lines()}
    figure.legend(
        [lines[name] for name in METHODS], METHODS, loc="outside right center", frameon=False
    )
    with written_whole(RESULTS / "black_box_dimension.png") as partial:
        figure.savefig(partial, dpi=100)

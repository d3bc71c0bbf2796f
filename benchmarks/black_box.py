"""Corrections of a surrogate posterior by the series of cumulants against importance weights.

    .venv/bin/python benchmarks/black_box.py [--section models] [--model "Gaussian process"] [--seed 0]

Section models: mean-field and full-rank Gaussians trained by the ELBO for the posteriors of
`black_box_models.py`; ln p(x), means and standard deviations of all coordinates from 10,000 draws,
ten times. The reference is exact or, where it is not, NUTS and annealing both ways. Section
verdicts: how often rules of trust were right in these runs. Section dimension: independent copies of
a target with an exact answer. Results go to benchmarks/results/black_box_*.
"""

import argparse
import itertools
import pathlib
import time

from rbm_tf.quiet import quiet_start

quiet_start()

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from arviz_stats.base import array_stats
from black_box_models import MODELS
from rounds import RESULTS, read, write
from scipy.special import digamma, gammaln, logsumexp, polygamma

import rbm_tf
from rbm_tf.command_line.program import table
from rbm_tf.cumulants import sample_cumulants
from rbm_tf.diagnostics import weights_verdict
from rbm_tf.estimates import estimate_log_z
from rbm_tf.shared.files import written_whole
from vae_keras.black_box import (
    evidence_of_weights,
    expectation_of_weights,
    log_weights,
    monte_carlo_cumulant_loss,
)

DRAWS, REPEATS = 10_000, 10
STEPS, TRAINING_DRAWS, RATE = 4000, 32, 0.05
CHAINS, BURN_IN, KEPT = 8, 500, 8000  # of NUTS
WALKS, TEMPERATURES = 200, 500  # of annealing
ORDERS = 1, 2, 3
RIGHT_MEAN, RIGHT_SD, RIGHT_LOG_P = 0.1, 0.1, 0.2  # sd, relative, nats: an error below is right
LARGEST_K, LARGEST_NEXT = (0.3, 0.5, 0.7, 99.0), (0.01, 0.02, 0.05, 0.1, 0.2, 99.0)
CALLS = [f"{says}, estimate {is_}" for says in ("trusted", "refused") for is_ in ("right", "wrong")]
COPIES, SEEDS, COORDINATES = (1, 3, 10, 30, 100, 300, 1000), 20, 10  # of section dimension


def gaussian(parameters, dim):
    """q from its mean and the logarithms of its scales, or a triangle of a Cholesky factor."""
    loc, raw = parameters[:dim], parameters[dim:]
    if len(raw) == dim:
        return tfp.distributions.MultivariateNormalDiag(loc, tf.exp(raw))
    factor = tfp.math.fill_triangular(raw)
    factor = tf.linalg.set_diag(factor, tf.exp(tf.linalg.diag_part(factor)))
    return tfp.distributions.MultivariateNormalTriL(loc, factor)


def train(model, full_rank, seed):
    """Parameters of q by Adam on the ELBO, its rate falling to 0 as a cosine."""
    dim = model.dim
    size = dim + (dim * (dim + 1) // 2 if full_rank else dim)

    @tf.function(jit_compile=True)
    def step(state, number):
        parameters, first, second = state
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            here = tf.stack([seed, tf.cast(number, tf.int32)])
            q = gaussian(parameters, dim)
            loss = monte_carlo_cumulant_loss(model.log_prob, q, TRAINING_DRAWS, seed=here)
        gradient = tape.gradient(loss, parameters)
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        rate = RATE * (1 + tf.cos(np.pi * number / STEPS)) / 2
        scale = tf.sqrt(second / (1 - 0.99 ** (number + 1))) + 1e-8
        return parameters - rate * first / (1 - 0.9 ** (number + 1)) / scale, first, second

    start = np.zeros(size)
    if not full_rank:
        start[dim:] = -1.0
    state = (tf.constant(start), tf.zeros(size, tf.float64), tf.zeros(size, tf.float64))
    for number in range(STEPS):
        state = step(state, tf.constant(number, tf.float64))
    return state[0]


def linear_response_sd(model, parameters, num_draws=4096):
    """Standard deviations from the Hessian of the ELBO in all parameters of the mean-field q."""
    dim = model.dim
    noise = np.random.default_rng(0).normal(size=(num_draws // 2, dim))
    noise = np.concatenate([noise, -noise])
    with tf.GradientTape() as outer:
        outer.watch(parameters)
        with tf.GradientTape() as inner:
            inner.watch(parameters)
            log_scale = parameters[dim:]
            z = parameters[:dim] + tf.exp(log_scale) * noise
            elbo = tf.reduce_mean(model.log_prob(z)) + tf.reduce_sum(log_scale)
        gradient = inner.gradient(elbo, parameters)
    hessian = outer.jacobian(gradient, parameters).numpy()
    return np.maximum(np.diag(np.linalg.inv(-hessian))[:dim], 0) ** 0.5


def reference(model, q, seed):
    """Exact answers, or means and standard deviations by NUTS and ln p(x) by annealing both ways.

    Both work in coordinates e of z = loc + L e, of the full-rank q.
    """
    if model.exact is not None:
        return {**model.exact, "log_z error": 0.0}
    loc, factor = q.loc, q.scale.to_dense()
    log_det = q.scale.log_abs_determinant()

    def target(e):
        return model.log_prob(loc + tf.linalg.matvec(factor, e)) + log_det

    base = tfp.distributions.MultivariateNormalDiag(tf.zeros(model.dim, tf.float64))
    e = nuts(target, base.sample(CHAINS, seed=seed), seed)  # (KEPT, CHAINS, dim)
    z = (loc + tf.linalg.matvec(factor, e)).numpy()
    r_hat = tfp.mcmc.potential_scale_reduction(z, split_chains=True).numpy()
    if not r_hat.max() < 1.02:
        raise RuntimeError(f"The chains of NUTS have not mixed: R-hat {r_hat.max():.3f}.")
    size = tfp.mcmc.effective_sample_size(z, cross_chain_dims=1).numpy()
    thinned = tf.reshape(e, [-1, model.dim])[:: CHAINS * KEPT // WALKS]
    forward = estimate_log_z(anneal(base.log_prob, target, base.sample(WALKS, seed=seed), seed))
    backward = estimate_log_z(-anneal(target, base.log_prob, thinned, seed + 1), reverse=True)
    gap = backward.log_z - forward.log_z
    error = np.hypot(forward.standard_error, backward.standard_error)
    return {
        "log_z": (forward.log_z + backward.log_z) / 2,
        "log_z error": float(max(abs(gap), error) / 2),
        "annealing": {"forward": forward.log_z, "reverse": backward.log_z, "s.e. of gap": error},
        "mean": z.mean((0, 1)),
        "sd": z.std((0, 1)),
        "nuts": {"R-hat": float(r_hat.max()), "smallest ESS": float(size.min())},
    }


def nuts(target, start, seed):
    kernel = tfp.mcmc.NoUTurnSampler(target, tf.constant(0.1, tf.float64), max_tree_depth=7)
    kernel = tfp.mcmc.DualAveragingStepSizeAdaptation(kernel, BURN_IN * 4 // 5, 0.85)

    @tf.function(jit_compile=True)
    def run():
        return tfp.mcmc.sample_chain(
            KEPT, start, kernel=kernel, num_burnin_steps=BURN_IN, trace_fn=None, seed=[seed, 0]
        )

    return run()


def anneal(base, target, start, seed):
    """Log-weights of annealing from base to target by HMC, (WALKS,)."""

    def hmc(log_prob):
        return tfp.mcmc.HamiltonianMonteCarlo(log_prob, tf.constant(0.25, tf.float64), 4)

    @tf.function(jit_compile=True)
    def run():
        return tfp.mcmc.sample_annealed_importance_chain(
            TEMPERATURES, base, target, start, hmc, seed=[seed, 1]
        )[1]

    return run().numpy()


def estimates(model, q, seed):
    """From one set of draws: ln p(x), mean and sd by each method; what the verdicts said; signs."""
    z = q.sample(DRAWS, seed=seed)
    log_w = (model.log_prob(z) - q.log_prob(z)).numpy()
    z = z.numpy()
    smooth, k = array_stats.psislw(-log_w)
    least = np.argmin(log_w)  # not in the tail: smoothing only subtracts ln sum w from it
    found = evidence_of_weights(log_w)
    log_p = {"q": found.elbo.log_z}
    log_p |= {n: evidence_of_weights(log_w, order=n).cumulant.log_z for n in (2, 3, 4)}
    log_p |= {"grouped": found.grouped.log_z, "weights": found.iwae.log_z}
    log_p["PSIS"] = log_w[least] - smooth[least] - np.log(DRAWS)
    mean, sd, trusted = {}, {}, {}
    terms = expectation_of_weights(z, log_w, order=4).terms
    spread = z.std(0)
    square = expectation_of_weights(z**2, log_w, order=3).terms
    for n in (0, *ORDERS):
        one = expectation_of_weights(z, log_w, order=n)
        mean[n], trusted[n] = one.value, bool(one.verdict.trusted)
        sd[n] = np.maximum(square[: n + 1].sum(0) - one.value**2, 0) ** 0.5
    for name, weights in (("weights", np.exp(log_w - logsumexp(log_w))), ("PSIS", np.exp(smooth))):
        mean[name] = weights @ z
        sd[name] = (weights @ (z - mean[name]) ** 2) ** 0.5
    next_terms = np.abs(terms[1:]) / spread  # of orders 0 to 3, (4, dim)
    trusted["evidence"] = bool(found.verdict.trusted)
    trusted["weights"] = bool(weights_verdict(log_w).trusted[0])
    return log_p, mean, sd, trusted, float(k), next_terms


def compare(model, parameters, truth, seed):
    """Rows of errors of every method over REPEATS sets of draws, verdicts right and wrong, grid."""
    q = gaussian(parameters, model.dim)
    repeats = [estimates(model, q, 100 * (seed + 1) + number) for number in range(REPEATS)]
    ks = np.array([one[4] for one in repeats])
    log_w = log_weights(model.log_prob, q, DRAWS, seed=seed).numpy()
    rows, calls = [], []
    for name in repeats[0][0]:
        errors = np.array([one[0][name] for one in repeats]) - truth["log_z"]
        rows.append(row("ln p", name, errors))
        if name in (2, "weights"):
            says = np.array([one[3]["evidence" if name == 2 else name] for one in repeats])
            calls.append(call("ln p", name, says, np.abs(errors) <= RIGHT_LOG_P))
    for number, quantity in ((1, "mean"), (2, "sd")):
        for name in repeats[0][number]:
            values = np.array([one[number][name] for one in repeats])  # (REPEATS, dim)
            errors = (values - truth[quantity]) / truth["sd"]
            rows.append(row(quantity, name, errors))
            limit = RIGHT_MEAN if quantity == "mean" else RIGHT_SD
            says = np.array([one[3].get(name, one[3]["weights"]) for one in repeats])
            calls.append(call(quantity, name, says, np.abs(errors).max(-1) <= limit))
    if len(parameters) == 2 * model.dim:
        errors = linear_response_sd(model, parameters) / truth["sd"] - 1
        rows.append(row("sd", "linear response", errors[None]))
    next_terms = np.stack([one[5] for one in repeats], 1)  # (4, REPEATS, dim)
    errors = np.array([[one[1][n] for one in repeats] for n in range(4)]) - truth["mean"]
    right = np.abs(errors / truth["sd"]) <= RIGHT_MEAN
    signs = {"k-hat": float(np.median(ks)), "variance of ln w": float(log_w.var())}
    return signs, rows, calls, grid(ks, next_terms, right)


def row(quantity, method, errors):
    """Root mean square over draws and coordinates; and of the worst coordinate."""
    squares = np.mean(errors**2, 0)
    worst = {} if np.ndim(squares) == 0 else {"worst": float(np.max(squares) ** 0.5)}
    return {
        "quantity": quantity,
        "method": f"order {method}" if isinstance(method, int) else method,
        "error": float(np.mean(squares) ** 0.5),
        **worst,
    }


def call(quantity, method, trusted, right):
    """How often a verdict trusted, and how often trust and distrust were right."""
    return {
        "quantity": quantity,
        "method": f"order {method}" if isinstance(method, int) else method,
        **counts(trusted, right),
    }


def counts(trusted, right):
    pairs = itertools.product((trusted, ~trusted), (right, ~right))
    return dict(zip(CALLS, (int(np.sum(first & second)) for first, second in pairs), strict=True))


def grid(ks, next_terms, right):
    """Calls for each coordinate and order of the mean, for limits of k-hat and of the next term."""
    return [
        {"k-hat": k, "next term": limit, "order": order}
        | counts((ks[:, None] <= k) & (next_terms[order] <= limit), right[order])
        for k, limit, order in itertools.product(LARGEST_K, LARGEST_NEXT, range(4))
    ]


def models_section(options):
    """Errors of every method for each model, a file for each."""
    for name in options.model:
        start, model = time.perf_counter(), MODELS[name]()
        full = train(model, True, options.seed)
        truth = reference(model, gaussian(full, model.dim), options.seed)
        surrogates = {"mean-field": train(model, False, options.seed), "full-rank": full}
        found = {}
        for surrogate, parameters in surrogates.items():
            parts = compare(model, parameters, truth, options.seed)
            found[surrogate] = dict(zip(("signs", "rows", "calls", "grid"), parts, strict=True))
            print(f"\n{name}, {surrogate}: {parts[0]}")
            print(table(parts[1], {"quantity": "", "method": "", "error": ".3f", "worst": ".3f"}))
        for key in ("mean", "sd"):
            truth[key] = " ".join(f"{value:.4f}" for value in truth[key])
        print(truth, flush=True)
        command = f'--section models --model "{name}"'
        about = {"draws": DRAWS, "repeats": REPEATS, "dim": model.dim, "reference": truth}
        write(file_of(name), model=name, **how(options, start, command), **about, **found)


def file_of(model):
    return "black_box_" + model.replace(",", "").replace(" ", "_").lower()


def how(options, start, arguments):
    return {
        "command": f"benchmarks/black_box.py {arguments} --seed {options.seed}",
        "seed": options.seed,
        "seconds": round(time.perf_counter() - start, 1),
    }


def verdicts_section(options):
    """The calls of all models added up: by the verdicts, and for other limits by coordinate."""
    start, calls, rules = time.perf_counter(), {}, {}
    for name, surrogate in itertools.product(MODELS, ("mean-field", "full-rank")):
        found = read(file_of(name))[surrogate]
        for one in found["calls"]:
            add(calls, {key: one[key] for key in ("quantity", "method")}, one)
        for one in found["grid"]:
            for order in one["order"], "all":
                limits = {key: one[key] for key in ("k-hat", "next term")}
                add(rules, {**limits, "order": order}, one)
    columns = dict.fromkeys(CALLS, "d")
    print(table(calls.values(), {"quantity": "", "method": ""} | columns))
    rules = list(rules.values())
    overall = [one for one in rules if one["order"] == "all"]
    print(table(overall, {"k-hat": ".1f", "next term": ".2f"} | columns))
    about = how(options, start, "--section verdicts")
    write("black_box_verdicts", **about, calls=list(calls.values()), limits=rules)


def add(totals, labels, one):
    """Add the calls of one to those under its labels."""
    total = totals.setdefault(tuple(labels.values()), labels | dict.fromkeys(CALLS, 0))
    for key in CALLS:
        total[key] += one[key]


def log_gamma_copies(num, rng):
    """Draws of the first coordinates and ln w, for copies of exp(4 z - e^z) and its Laplace Gaussian."""
    shape, log_w, first = 4.0, np.zeros(DRAWS), []
    for _ in range(num):
        e = rng.normal(size=DRAWS)
        z = np.log(shape) + e / shape**0.5
        log_w += shape * z - np.exp(z) + (e**2 + np.log(2 * np.pi / shape)) / 2
        if len(first) < COORDINATES:
            first.append(z)
    return (
        np.stack(first, -1),
        log_w,
        num * gammaln(shape),
        digamma(shape),
        polygamma(1, shape) ** 0.5,
    )


def correlated_pairs(num, rng):
    """Squares of the first coordinates and ln w, for pairs correlated by 0.5 and their mean field."""
    correlation, log_w, first = 0.5, np.zeros(DRAWS), []
    for _ in range(num):
        scale = (1 - correlation**2) ** 0.5
        z = scale * rng.normal(size=(2, DRAWS))
        log_w += correlation * z[0] * z[1] / scale**2 + np.log(scale)
        if len(first) < COORDINATES:
            first.append(z[0] ** 2)
    return np.stack(first, -1), log_w, 0.0, 1.0, 2**0.5


COPIED = {
    "skewed density, f = z": log_gamma_copies,
    "correlated pairs, f = z\N{SUPERSCRIPT TWO}": correlated_pairs,
}


def dimension_section(options):
    """Errors of ln p and of the mean of one coordinate's f against the number of copies."""
    start, rows = time.perf_counter(), []
    for (target, draw), num in itertools.product(COPIED.items(), COPIES):
        errors, variances, ks = {}, [], []
        for number in range(SEEDS):
            rng = np.random.default_rng([options.seed, number])
            f, log_w, log_z, mean, sd = draw(num, rng)
            log_p, means, k = of_copies(f, log_w)
            variances.append(log_w.var())
            ks.append(k)
            for method, value in log_p.items():
                errors.setdefault(("ln p", method), []).append(np.atleast_1d(value - log_z))
            for method, value in means.items():
                errors.setdefault(("mean", method), []).append((value - mean) / sd)
        for (quantity, method), each in errors.items():
            each = np.array(each)  # (SEEDS, coordinates)
            one = {"target": target, "copies": num, "quantity": quantity, "method": method}
            one["error"] = float(np.mean(each**2) ** 0.5)
            one["bias"] = float(np.mean(each))
            rows.append(one)
            rows[-1] |= {
                "variance of ln w": float(np.mean(variances)),
                "k-hat": float(np.median(ks)),
            }
        print(target, num, f"k-hat {np.median(ks):.2f}", flush=True)
    formats = {"target": "", "copies": "d", "quantity": "", "method": "", "error": ".3f"}
    print(table(rows, formats | {"bias": "+.3f", "variance of ln w": ".2f"}))
    about = how(options, start, "--section dimension")
    write("black_box_dimension", **about, draws=DRAWS, seeds=SEEDS, rows=rows)
    draw_figure(rows)


def of_copies(f, log_w):
    """ln p and means of f by every method, and k-hat."""
    smooth, k = array_stats.psislw(-log_w)
    least = np.argmin(log_w)
    series = np.cumsum(sample_cumulants(log_w, 4).numpy() / [1, 2, 6, 24])
    log_p = {"q": series[0]} | {f"order {n}": series[n - 1] for n in (2, 3, 4)}
    log_p["grouped"] = evidence_of_weights(log_w).grouped.log_z
    log_p["weights"] = logsumexp(log_w) - np.log(DRAWS)
    log_p["PSIS"] = log_w[least] - smooth[least] - np.log(DRAWS)
    series = np.cumsum(expectation_of_weights(f, log_w, order=3).terms, 0)
    means = {"q": series[0]} | {f"order {n}": series[n] for n in ORDERS}
    means |= {"weights": np.exp(log_w - logsumexp(log_w)) @ f, "PSIS": np.exp(smooth) @ f}
    return log_p, means, k


def draw_figure(rows):
    """One row of panels for each target: errors of ln p, and of one coordinate's mean."""
    plt.style.use(pathlib.Path(rbm_tf.__file__).parent / "course.mplstyle")
    figure, panels = plt.subplots(2, 2, figsize=(9, 7), sharex=True, layout="constrained")
    labels = {"ln p": "error of ln p, nats", "mean": "error of one mean, posterior sd"}
    for line, target in zip(panels, COPIED, strict=True):
        for panel, quantity in zip(line, labels, strict=True):
            here = [r for r in rows if (r["target"], r["quantity"]) == (target, quantity)]
            for method in dict.fromkeys(r["method"] for r in here):
                mine = [r for r in here if r["method"] == method]
                style = "--" if method in ("weights", "PSIS") else "o-"
                x, y = [r["copies"] for r in mine], [r["error"] for r in mine]
                panel.loglog(x, y, style, markersize=3, label=method)
            panel.set_title(target)
            panel.set_ylabel(f"{labels[quantity]} (rms)")
            panel.legend(frameon=False, fontsize=8)
    for panel in panels[-1]:
        panel.set_xlabel("copies")
    with written_whole(RESULTS / "black_box_dimension.png") as partial:
        figure.savefig(partial, dpi=100)


SECTIONS = {
    "models": models_section,
    "verdicts": verdicts_section,
    "dimension": dimension_section,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--section", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in filter(options.section.__contains__, SECTIONS):
        SECTIONS[name](options)


if __name__ == "__main__":
    main()

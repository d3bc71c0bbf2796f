"""Corrections of a surrogate posterior by the series of cumulants against importance weights.

    .venv/bin/python benchmarks/black_box.py [--section models] [--model "Gaussian process"]

Section models: mean-field and full-rank Gaussians trained by the ELBO, and Laplace's, for the
posteriors of `black_box_models.py`; ln p(x), means and standard deviations of all coordinates from
10,000 draws, ten times. The reference is exact or, where it is not, NUTS and annealing both ways.
Section verdicts: how often rules of trust were right in these runs. Section dimension: independent
copies of a target with an exact answer, `black_box_dimension.py`. Results go to
benchmarks/results/black_box_*.
"""

import argparse
import itertools
import time
from typing import NamedTuple

from rbm_tf.quiet import quiet_start

quiet_start()

import numpy as np
import scipy
from black_box_dimension import errors_in_many_dimensions, psis
from black_box_models import MODELS
from black_box_surrogates import gaussian, laplace, linear_response_sd, reference, train
from rounds import read, write
from scipy.special import logsumexp

from rbm_tf.command_line.program import table
from rbm_tf.diagnostics import weights_verdict
from vae_keras.black_box import (
    evidence_of_weights,
    expectation_of_weights,
)

DRAWS, REPEATS = 10_000, 10
SURROGATES = "mean-field", "full-rank", "Laplace"
RIGHT = {"ln p": 0.2, "mean": 0.1, "sd": 0.1}  # errors up to here: nats, sd, relative
WITHOUT_LAPLACE = (  # the full-rank Gaussian is exact, or there is no mode
    "linear regression",
    "correlated Gaussian",
    "eight schools, centred",
)
CALLS = [f"{says}, estimate {is_}" for says in ("trusted", "refused") for is_ in ("right", "wrong")]
RULES = {  # of trust, from k-hat and the next two terms in standard deviations under q
    "k-hat": lambda k, first, second: k <= 0.7,
    "next term": lambda k, first, second: first <= 0.1,
    "next term 0.2": lambda k, first, second: first <= 0.2,
    "k-hat and next term": lambda k, first, second: (k <= 0.7) & (first <= 0.1),
    "k-hat and next term 0.2": lambda k, first, second: (k <= 0.7) & (first <= 0.2),
    "next two terms": lambda k, first, second: np.maximum(first, second) <= 0.1,
    "next term and 0.2 for the second": lambda k, first, second: (
        np.maximum(first, second / 2) <= 0.1
    ),
    "k-hat and next two terms": lambda k, first, second: (
        (k <= 0.7) & (np.maximum(first, second) <= 0.1)
    ),
}


class Estimates(NamedTuple):
    """From one set of draws; by method, an integer for an order of the series."""

    of: dict[str, dict]  # ln p, mean, sd: method -> estimate
    trusted: dict[str, dict]  # the same: method -> what its verdict says, where it has one
    log_weights: np.ndarray
    k: float
    terms: np.ndarray  # of z and z^2, orders 0 to 5, in standard deviations under q, (2, 6, dim)


def estimates(model, q, seed):
    z = q.sample(DRAWS, seed=(seed, 0))
    log_w = (model.log_prob(z) - q.log_prob(z)).numpy()
    z = z.numpy()
    log_p_psis, smooth, k = psis(log_w)
    found = evidence_of_weights(log_w)
    log_p = {"q": found.elbo.log_z}
    log_p |= {n: evidence_of_weights(log_w, order=n).cumulant.log_z for n in (2, 3, 4)}
    log_p |= {"grouped": found.grouped.log_z, "weights": found.iwae.log_z, "PSIS": log_p_psis}
    terms, squares = (expectation_of_weights(f, log_w, order=5).terms for f in (z, z**2))
    mean, sd, trusted = {}, {}, {}
    for n in range(4):
        one = expectation_of_weights(z, log_w, order=n)
        mean[n], trusted[n] = one.value, bool(one.verdict.trusted)
        sd[n] = (
            np.maximum(squares[: n + 1].sum(0) - one.value**2, 0) ** 0.5
        )  # as corrected_variance
    by_weights = bool(weights_verdict(log_w).trusted[0])
    for name, weights in (("weights", np.exp(log_w - logsumexp(log_w))), ("PSIS", smooth)):
        mean[name], trusted[name] = weights @ z, by_weights
        sd[name] = (weights @ (z - mean[name]) ** 2) ** 0.5
    terms = np.abs([terms / z.std(0), squares / (z**2).std(0)])
    of_log_p = {2: bool(found.verdict.trusted), "weights": by_weights, "PSIS": by_weights}
    return Estimates(
        {"ln p": log_p, "mean": mean, "sd": sd},
        {"ln p": of_log_p, "mean": trusted, "sd": trusted},
        log_w,
        k,
        terms,
    )


def compare(model, parameters, truth, seed):
    """Over REPEATS sets of draws: signs of q, errors of all methods, calls of verdicts, rules."""
    q = gaussian(parameters, model.dim)
    repeats = [estimates(model, q, 100 * (seed + 1) + number) for number in range(REPEATS)]
    rows, calls, errors_of = [], [], {}
    for quantity, method in [
        (part, name) for part, names in repeats[0].of.items() for name in names
    ]:
        errors = np.array([one.of[quantity][method] for one in repeats])  # (REPEATS, ..)
        errors = errors - truth["log_z" if quantity == "ln p" else quantity]
        errors_of[quantity, method] = errors = errors / (1 if quantity == "ln p" else truth["sd"])
        rows.append(row(quantity, method, errors))
        if method in repeats[0].trusted[quantity]:
            says = np.array([one.trusted[quantity][method] for one in repeats])
            right = np.abs(errors).reshape(REPEATS, -1).max(-1) <= RIGHT[quantity]
            calls.append({**labels(quantity, method), **counts(says, right)})
    if len(parameters) == 2 * model.dim:
        errors = linear_response_sd(model, parameters) / truth["sd"] - 1
        rows.append(row("sd", "linear response", errors[None]))
    log_w = np.concatenate([one.log_weights for one in repeats])
    signs = {
        "k-hat": float(np.median([one.k for one in repeats])),
        "variance of ln w": float(log_w.var()),
        "skewness of ln w": float(scipy.stats.skew(log_w)),
    }
    return signs, rows, calls, rules(repeats, errors_of)


def rules(repeats, errors_of):
    """Calls of each rule for each coordinate; those of sd judge the terms of z and of z^2."""
    k = np.array([one.k for one in repeats])[:, None]
    terms = np.stack([one.terms for one in repeats], 2)  # (2, 6, REPEATS, dim)
    found = {}
    for quantity, order, (name, rule) in itertools.product(("mean", "sd"), range(4), RULES.items()):
        judged = terms[0] if quantity == "mean" else terms.max(0)
        trusted = rule(k, judged[order + 1], judged[order + 2]) & np.isfinite(judged[order])
        right = np.abs(errors_of[quantity, order]) <= RIGHT[quantity]
        label = {"rule": name, "quantity": quantity, "orders": "0" if order == 0 else "1 to 3"}
        add(found, label, counts(trusted, right))
    return list(found.values())


def labels(quantity, method):
    name = f"order {method}" if isinstance(method, int) else method
    return {"quantity": quantity, "method": name}


def row(quantity, method, errors):
    """Root mean square over draws and coordinates; and of the worst coordinate."""
    squares = np.mean(errors**2, 0)
    worst = {} if np.ndim(squares) == 0 else {"worst": rounded(np.max(squares))}
    return {**labels(quantity, method), "error": rounded(np.mean(squares)), **worst}


def rounded(square):
    return float(f"{square**0.5:.3g}")


def counts(trusted, right):
    pairs = itertools.product((trusted, ~trusted), (right, ~right))
    return dict(zip(CALLS, (int(np.sum(first & second)) for first, second in pairs), strict=True))


def models_section(options):
    """Errors of every method for each model, a file for each."""
    for name in options.model:
        start, model = time.perf_counter(), MODELS[name]()
        full = train(model, True, options.seed)
        truth = reference(model, gaussian(full, model.dim), options.seed)
        surrogates = {"mean-field": train(model, False, options.seed), "full-rank": full}
        if name not in WITHOUT_LAPLACE:
            surrogates["Laplace"] = laplace(model, full[: model.dim].numpy())
        found, judged = {}, {}
        for surrogate, parameters in surrogates.items():
            parts = compare(model, parameters, truth, options.seed)
            found[surrogate] = dict(zip(("signs", "rows", "calls"), parts[:3], strict=True))
            for one in parts[3]:
                add(judged, {key: one[key] for key in ("quantity", "orders", "rule")}, one)
            print(f"\n{name}, {surrogate}: {parts[0]}")
            print(table(parts[1], {"quantity": "", "method": "", "error": ".3f", "worst": ".3f"}))
        for key in ("mean", "sd"):
            truth[key] = " ".join(f"{value:.4f}" for value in truth[key])
        print(truth, flush=True)
        command = f'--section models --model "{name}"'
        about = {"draws": DRAWS, "repeats": REPEATS, "dim": model.dim, "reference": truth}
        write(
            file_of(name, options),
            model=name,
            **how(options, start, command),
            **about,
            **found,
            rules=list(judged.values()),
        )


def file_of(what, options):
    name = "black_box_" + what.replace(",", "").replace(" ", "_").lower()
    return f"{name}_seed_{options.seed}" if options.seed else name


def how(options, start, arguments):
    return {
        "command": f"benchmarks/black_box.py {arguments} --seed {options.seed}",
        "seed": options.seed,
        "seconds": round(time.perf_counter() - start, 1),
    }


def verdicts_section(options):
    """The calls of all models added up: of the verdicts, and of rules for each coordinate."""
    start, calls, judged = time.perf_counter(), {}, {}
    for name in MODELS:
        found = read(file_of(name, options))
        for surrogate in filter(found.__contains__, SURROGATES):
            for one in found[surrogate]["calls"]:
                add(calls, {key: one[key] for key in ("quantity", "method")}, one)
        for one in found["rules"]:
            add(judged, {key: one[key] for key in ("quantity", "orders", "rule")}, one)
    calls = sorted(calls.values(), key=lambda one: one["quantity"])
    judged = sorted(judged.values(), key=lambda one: (one["quantity"], one["orders"]))
    columns = dict.fromkeys(CALLS, "d")
    print(table(calls, {"quantity": "", "method": ""} | columns))
    print(table(judged, {"quantity": "", "orders": "", "rule": ""} | columns))
    about = how(options, start, "--section verdicts")
    write(file_of("verdicts", options), **about, right=RIGHT, calls=calls, rules=judged)


def add(totals, label, one):
    """Add the calls of one to those under its label."""
    total = totals.setdefault(tuple(label.values()), label | dict.fromkeys(CALLS, 0))
    for key in CALLS:
        total[key] += one[key]


def dimension_section(options):
    """Errors against the number of copies of a target, and the figure."""
    start = time.perf_counter()
    rows = errors_in_many_dimensions(options.seed)
    write(file_of("dimension", options), **how(options, start, "--section dimension"), rows=rows)


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

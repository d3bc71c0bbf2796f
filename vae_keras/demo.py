"""The demonstration: the post's VAE on digits, and every estimate of its ln p(x)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm

from rbm_tf import diagnostics, plotting
from rbm_tf.command_line import program as command_line
from rbm_tf.command_line.training import fit
from rbm_tf.datasets import load_digits
from rbm_tf.estimates import Verdict
from rbm_tf.shared.types import PathLike
from vae_keras import evidence
from vae_keras.evidence.blocks import estimate_in_blocks
from vae_keras.lambda_vae import build_lambda_vae
from vae_keras.vae import VAE

EPOCHS = 200
BATCH_SIZE = 50
BUDGET = 100  # log-weights per image that the estimates share
REFERENCE_BUDGET = 10_000
_BETAS = np.linspace(0, 1, 11)


def run_demo(options: argparse.Namespace) -> None:
    """Train on the 8 x 8 digits, compare all estimates of ln p(x), draw the figures."""
    (x_train, _), (x_test, y_test) = load_digits("bernoulli", seed=options.seed)
    model = build_lambda_vae(x_train.shape[1:], seed=options.seed)
    num_batches = -(-len(x_train) // BATCH_SIZE)
    model.compile(model.optimizer, model.loss, steps_per_execution=num_batches)
    vae = VAE(model.get_layer("encoder"), model.get_layer("decoder"), seed=options.seed)
    data = {"x": x_train, "y": x_train, "batch_size": BATCH_SIZE}
    fit(model, options.output / "vae.keras", EPOCHS, saved_model=vae, **data)
    reference, verdict = reference_with_verdict(vae, x_test, options.seed + 1)
    rows = estimate_rows(vae, x_test, BUDGET, options.seed, reference=reference)
    rows.append(_row("reference, IWAE", REFERENCE_BUDGET, "lower", reference))
    rows[-1]["verdict"] = verdict.message
    _draw(options.output, vae, x_test, y_test, options.seed)
    title = f"Mean ln p(x) of {len(x_test)} test digits under a VAE with 2 latents, in nats\n"
    tables = [
        title + command_line.table(rows, mean_columns(rows)),
        f"Bias: against the reference, with its standard error over images. RMSE: per image.\n"
        f"The reference: {verdict.message}",
        f"In {options.output}/: vae_latent.png, where the digits are; vae_manifold.png, what is "
        "decoded\nthere; vae_reconstructions.png; vae_log_weights.png, whose cumulants these are; "
        "vae_demo.json,\nthe numbers; vae.keras",
    ]
    command_line.show(options, rows, tables, "vae_demo")


def reference_with_verdict(vae: VAE, x: np.ndarray, seed: int) -> tuple[np.ndarray, Verdict]:
    """IWAE of `REFERENCE_BUDGET` log-weights for each example, and whether to trust it.

    Args:
        vae: the `VAE`.
        x: data, (num, ..).
        seed: integer that fixes the draws.

    Returns:
        (num,) nats, and `Verdict`.
    """
    estimators = {
        "reference": evidence.iwae,
        "k": diagnostics.pareto_k,
        "size": diagnostics.effective_sample_size,
    }
    values = estimate_in_blocks(vae, x, estimators, REFERENCE_BUDGET, seed=seed)
    verdict = diagnostics.tail_verdict(values["k"], values["size"], REFERENCE_BUDGET)
    return values["reference"], verdict


def estimate_rows(
    vae: VAE,
    x: np.ndarray,
    num_samples: int,
    seed: int,
    *,
    reference: np.ndarray | None = None,
    path: PathLike | None = None,
) -> list[dict[str, Any]]:
    """One row for each estimate of the mean ln p(x), from the same log-weights.

    Args:
        vae: the `VAE`.
        x: data, (num, ..).
        num_samples: the number of log-weights for each example; estimates that need fewer take the
            first.
        reference: a better estimate of ln p(x) of each example, (num,), or None.
        path: a .npz file for the results so far, as `estimate_in_blocks` takes it.
        seed: integer that fixes the draws.

    Returns:
        List of dicts: estimate, samples, mean, its standard error over examples, and with a
        reference bias, its standard error, and RMSE.
    """
    analytic = [
        vae.elbo(x[i : i + 100], num_samples=num_samples, seed=seed + i)
        for i in range(0, len(x), 100)
    ]
    estimates = list(_estimates(num_samples))
    estimators = {name: _first(samples, function) for name, samples, _, function in estimates}
    values = estimate_in_blocks(vae, x, estimators, num_samples, seed=seed, path=path)
    first = _row("ELBO, likelihood - KL", num_samples, "lower", np.concatenate(analytic), reference)
    return [first] + [
        _row(name, samples, bound, values[name], reference) for name, samples, bound, _ in estimates
    ]


def mean_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The columns of `estimate_rows` as `command_line.table` takes them."""
    formats = {"estimate": "", "samples": "d", "mean": ".3f", "s.e.": ".3f"}
    if "bias" in rows[0]:
        formats |= {"bias": "+.3f", "s.e. of bias": ".3f", "RMSE": ".3f"}
    return formats | {"bound, on average": ""}


def _first(samples, function):
    return lambda log_weights: function(log_weights[:samples])


def _estimates(num_samples):
    """Name, number of samples, bound on average, and function of the log-weights."""
    yield "ELBO, sampled", num_samples, "lower", evidence.elbo
    for order in (2, 3):
        name = f"cumulants, order {order}"
        yield name, num_samples, "no", partial(evidence.cumulant, order=order)
    for size, order in ((2, 2), (5, 2), (5, 3), (10, 2)):
        if num_samples % size == 0 and num_samples >= order * size:
            estimate = partial(evidence.grouped_cumulant, group_size=size, order=order)
            yield f"grouped cumulants, {size} each, order {order}", num_samples, "no", estimate
    for rule, bound in (("left", "lower"), ("trapezoid", "no")):
        estimate = partial(evidence.thermodynamic_sum, betas=_BETAS, rule=rule)
        yield f"thermodynamic sum, 10 steps, {rule}", num_samples, bound, estimate
    for order in (1, 2):
        estimate = partial(evidence.jackknife, order=order)
        yield f"jackknife, order {order}", num_samples, "no", estimate
    for size in sorted({5, 20, num_samples}):
        if size <= num_samples:
            yield f"IWAE-{size}", size, "lower", evidence.iwae


def _row(name, samples, bound, values, reference=None):
    row = {
        "estimate": name,
        "samples": samples,
        "mean": float(values.mean()),
        "s.e.": _standard_error(values),
        "bound, on average": bound,
    }
    if reference is not None:
        bias = values - reference
        row["bias"] = float(bias.mean())
        row["s.e. of bias"] = _standard_error(bias)
        row["RMSE"] = float(np.sqrt(np.mean(bias**2)))
    return row


def _standard_error(values):
    """Of the mean; None where there is only one value."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def _draw(folder, vae, x_test, y_test, seed):
    quantiles = norm.ppf(np.linspace(0.03, 0.97, 18))
    grid = np.stack(np.meshgrid(quantiles, quantiles[::-1]), -1).reshape(-1, 2)
    manifold = np.asarray(vae.decode(grid.astype(np.float32)))
    title = "Decoded latent plane: z at equal steps of the prior's probability"
    plotting.save_images(folder / "vae_manifold.png", manifold, title, columns=18)

    both = np.concatenate([x_test[:20], np.asarray(vae.reconstruct(x_test[:20]))])
    title = "Above: test digits. Below: reconstructions"
    plotting.save_images(folder / "vae_reconstructions.png", both, title, columns=20)

    figure = Figure((6, 5), layout="constrained")
    ax = plotting.scatter_by_label(figure.subplots(), np.asarray(vae.encode(x_test)[0]), y_test)
    ax.set(xlabel="z₁", ylabel="z₂", title="Posterior means of the test digits")
    plotting.save_figure(figure, folder / "vae_latent.png")

    figure = Figure((10, 3.5), layout="constrained")
    log_weights = np.asarray(vae.log_weights(x_test[:2], REFERENCE_BUDGET, seed=seed))
    for index, ax in enumerate(figure.subplots(1, 2)):
        plotting.histogram_with_gaussian(ax, log_weights[:, index])
        ax.set(xlabel="ln w (nats)", ylabel="density", title=f"Log-weights of test digit {index}")
    plotting.save_figure(figure, folder / "vae_log_weights.png")

"""The demonstration: the post's VAE on digits, and every estimate of its ln p(x)."""

import time
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm
from tqdm import tqdm

from rbm_tf import command_line, plotting
from rbm_tf.datasets import load_digits
from vae_keras import evidence
from vae_keras.lambda_vae import build_lambda_vae
from vae_keras.vae import VAE

EPOCHS = 200
BATCH_SIZE = 50
BUDGET = 100  # log-weights per image that the estimates share
REFERENCE_BUDGET = 10_000
_IMAGES = 40  # in a block


def run_demo(options):
    """Train on the 8 x 8 digits, compare all estimates of ln p(x), draw the figures."""
    (x_train, _), (x_test, y_test) = load_digits("bernoulli", seed=options.seed)
    model = build_lambda_vae(x_train.shape[1:], seed=options.seed)
    num_batches = -(-len(x_train) // BATCH_SIZE)
    model.compile(model.optimizer, model.loss, steps_per_execution=num_batches)
    vae = VAE(model.get_layer("encoder"), model.get_layer("decoder"), seed=options.seed)
    data = {"x": x_train, "y": x_train, "batch_size": BATCH_SIZE}
    command_line.fit(model, options.output / "vae.keras", EPOCHS, saved_model=vae, **data)
    reference = evidence.iwae(
        log_weights_with_progress(vae, x_test, REFERENCE_BUDGET, options.seed + 1)
    ).numpy()
    rows = estimate_rows(vae, x_test, BUDGET, options.seed, reference)
    _draw(options.output, vae, x_test, y_test, options.seed)
    title = f"Mean ln p(x) of {len(x_test)} test digits under a VAE with 2 latents, in nats\n"
    tables = [
        title + command_line.table(rows, mean_columns(rows)),
        f"Bias: against the reference, with its standard error over images. RMSE: per image.\n"
        f"Figures, numbers and the model are in {options.output}/",
    ]
    command_line.show(options, rows, tables, "vae_demo")


def estimate_rows(vae, x, num_samples, seed, reference=None):
    """One row for each estimate of the mean ln p(x), from the same log-weights.

    Args:
        vae: `VAE`.
        x: data, (num, ..).
        num_samples: log-weights for each example; estimates that need fewer take the first.
        seed: integer.
        reference: a better estimate of ln p(x) of each example, (num,), or None.

    Returns:
        list of dicts: estimate, samples, mean, its standard error over examples, seconds, and with
        a reference bias, its standard error, and RMSE.
    """
    start = time.perf_counter()
    analytic = np.asarray(vae.elbo(x, num_samples, seed))
    rows = [_row("ELBO, closed-form KL", num_samples, analytic, reference, "lower", start)]
    log_weights = log_weights_with_progress(vae, x, num_samples, seed)
    for name, samples, bound, estimate in _estimates(num_samples):
        start = time.perf_counter()
        values = estimate(log_weights[:samples]).numpy()
        rows.append(_row(name, samples, values, reference, bound, start))
    if reference is not None:
        rows.append(_row("reference, IWAE", REFERENCE_BUDGET, reference, None, "lower", start))
        del rows[-1]["seconds"]
    return rows


def mean_columns(rows):
    """The columns of `estimate_rows` as `command_line.table` takes them."""
    formats = {"estimate": "", "samples": "d", "mean": ".3f", "s.e.": ".3f"}
    if "bias" in rows[0]:
        formats |= {"bias": "+.3f", "s.e. of bias": ".3f", "RMSE": ".3f"}
    return formats | {"bound, on average": "", "seconds": ".2f"}


def log_weights_with_progress(vae, x, num_samples, seed):
    """`VAE.log_weights` in blocks of images behind a progress bar, (num_samples, num) float32."""
    starts = range(0, len(x), _IMAGES)
    seeds = np.random.SeedSequence(seed).generate_state(len(starts))
    return np.concatenate(
        [
            np.asarray(vae.log_weights(x[start : start + _IMAGES], num_samples, int(block_seed)))
            for start, block_seed in tqdm(
                zip(starts, seeds, strict=True), "log-weights", len(starts), unit="block"
            )
        ],
        axis=1,
    )


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
    yield "jackknife", num_samples, "no", evidence.jackknife
    for size in (5, 20, num_samples):
        if size <= num_samples:
            yield f"IWAE-{size}", size, "lower", evidence.iwae


def _row(name, samples, values, reference, bound, start):
    row = {
        "estimate": name,
        "samples": samples,
        "mean": float(values.mean()),
        "s.e.": float(values.std(ddof=1) / np.sqrt(len(values))),
        "bound, on average": bound,
        "seconds": time.perf_counter() - start,
    }
    if reference is not None:
        bias = values - reference
        row["bias"] = float(bias.mean())
        row["s.e. of bias"] = float(bias.std(ddof=1) / np.sqrt(len(bias)))
        row["RMSE"] = float(np.sqrt(np.mean(bias**2)))
    return row


def _draw(folder, vae, x_test, y_test, seed):
    quantiles = norm.ppf(np.linspace(0.03, 0.97, 18))
    grid = np.stack(np.meshgrid(quantiles, quantiles[::-1]), -1).reshape(-1, 2)
    manifold = np.asarray(vae.decode(grid.astype(np.float32)))
    title = "Decoded latent plane: z at equal steps of the prior's probability"
    plotting.save_images(folder / "vae_manifold.png", manifold, title, 18)

    both = np.concatenate([x_test[:20], np.asarray(vae.reconstruct(x_test[:20]))])
    title = "Above: test digits. Below: reconstructions"
    plotting.save_images(folder / "vae_reconstructions.png", both, title, 20)

    figure = Figure((6, 5), layout="constrained")
    ax = plotting.scatter_by_label(figure.subplots(), np.asarray(vae.encode(x_test)[0]), y_test)
    ax.set(xlabel="z₁", ylabel="z₂", title="Posterior means of the test digits")
    figure.savefig(folder / "vae_latent.png", dpi=150)

    figure = Figure((10, 3.5), layout="constrained")
    log_weights = np.asarray(vae.log_weights(x_test[:2], REFERENCE_BUDGET, seed))
    for index, ax in enumerate(figure.subplots(1, 2)):
        plotting.histogram_with_gaussian(ax, log_weights[:, index])
        ax.set(xlabel="ln w (nats)", ylabel="density", title=f"Log-weights of test digit {index}")
    figure.savefig(folder / "vae_log_weights.png", dpi=150)

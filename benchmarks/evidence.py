"""Estimates of ln p(x) at equal budgets of log-weights, for four VAEs of digits and an exact one.

    .venv/bin/python benchmarks/evidence.py [--seed 1]

The reference of the trained models is IWAE with 50,000 other log-weights or, for images where their
Pareto k-hat is above 0.7, annealed importance sampling; the exact model's is ln p(x). Pixels are
binarised once. Results go to benchmarks/results/evidence_digits.json.
"""

import argparse
import sys
import time

from rbm_tf.command_line.program import table
from rbm_tf.quiet import quiet_start

quiet_start()

import keras
import numpy as np
from rounds import write

from rbm_tf.datasets import load_digits
from rbm_tf.diagnostics import pareto_k
from vae_keras import evidence, networks
from vae_keras.evidence.annealing import ais
from vae_keras.evidence.groups import grouped_estimate
from vae_keras.evidence.unbiased import sumo, sumo_lengths
from vae_keras.objectives import IWAE
from vae_keras.vae import VAE

CHAINS, TEMPERATURES = 16, 4001  # of the annealing
BUDGETS = (10, 20, 50, 100, 500)
ROUNDS, REFERENCE, BLOCK = 50, 50_000, 50
IMAGES, EPOCHS, CONV_EPOCHS, BATCH = 200, 150, 60, 50


def models(shape):
    """Name, encoder, decoder and objective of each trained model."""

    def dense(latent_dim):
        make = networks.dense_encoder, networks.dense_decoder
        options = {"hidden_units": (200, 200), "activation": "tanh"}
        return [network(shape, latent_dim, **options) for network in make]

    yield "dense, 2-D", *dense(2), None
    yield "dense, 50-D", *dense(50), None
    yield "dense, 50-D, IWAE-5", *dense(50), IWAE(5)
    conv = (
        networks.conv_encoder(shape, 10, filters=(16, 32)),
        networks.conv_decoder(shape, 10, filters=(32, 16)),
    )
    yield "convolutional, 10-D", *conv, None


def bank(vae, x, num_samples, seed):
    """Log-weights of all images, (num_samples, num)."""
    parts = [
        np.asarray(vae.log_weights(x[start : start + BLOCK], num_samples, seed=seed + start))
        for start in range(0, len(x), BLOCK)
    ]
    return np.concatenate(parts, 1)


def reference(vae, x, seed):
    """ln p(x) of each image, and whether it is by annealing, (num,) each."""
    many = bank(vae, x, REFERENCE, 10_000 + seed)
    log_p, hard = np.array(evidence.iwae(many)), pareto_k(many) > 0.7
    if hard.any():
        betas = np.linspace(0, 1, TEMPERATURES)
        annealed = ais(vae, x[hard], num_chains=CHAINS, betas=betas, seed=seed).log_weights
        log_p[hard] = evidence.iwae(annealed)
    return log_p, hard


def exact_case(num, seed):
    """ln w = (a/2)(z^2 - 1) + 0.8 z': a q too broad and off the mean; ln <w> is known, here 0."""
    a, z = -1.5, np.random.default_rng(seed).normal(size=(2, ROUNDS * BUDGETS[-1], num))
    log_weights = a / 2 * z[0] ** 2 + 0.8 * z[1]
    return log_weights + 0.5 * np.log1p(-a) - 0.32, np.zeros(num)


def averaged_sumo(log_weights, seed):
    """The mean of independent SUMO estimates that together use the budget or less."""
    estimates, start = [], 0
    for length in sumo_lengths(len(log_weights), seed=seed):
        if start + length + 1 > len(log_weights):
            break
        part = log_weights[start : start + length + 1]
        estimates.append(sumo(part, np.full(log_weights.shape[1], length)))
        start += length + 1
    return np.mean(estimates, 0) if estimates else np.asarray(evidence.elbo(log_weights))


ESTIMATORS = {
    "ELBO": lambda w, seed: evidence.elbo(w),
    "IWAE": lambda w, seed: evidence.iwae(w),
    "jackknife 1": lambda w, seed: evidence.jackknife(w),
    "jackknife 2": lambda w, seed: evidence.jackknife(w, order=2),
    "cumulants 2": lambda w, seed: evidence.cumulant(w, order=2),
    "cumulants 3": lambda w, seed: evidence.cumulant(w, order=3),
    "grouped, chosen": lambda w, seed: grouped_estimate(w, seed=seed).log_p,
    "SUMO": averaged_sumo,
}


def compare(name, log_weights, reference, per_weight=0.0):
    """One row for each estimator and budget, averaged over rounds of fresh log-weights.

    per_weight is the time to draw one log-weight of every image.
    """
    rows = []
    for budget in BUDGETS:
        rounds = log_weights[: ROUNDS * budget].reshape(ROUNDS, budget, -1)
        for estimator, estimate in ESTIMATORS.items():
            estimate(rounds[0], 0)  # the first call also traces
            start = time.perf_counter()
            values = [estimate(w, seed) for seed, w in enumerate(rounds)]
            seconds = (time.perf_counter() - start) / ROUNDS
            errors = np.asarray(values, float) - reference  # (ROUNDS, num)
            of_image = errors.mean(0)
            row = {"model": name, "budget": budget, "estimate": estimator}
            row["bias"] = float(errors.mean())
            row["s.e."] = float(of_image.std(ddof=1) / np.sqrt(len(of_image)))
            row["RMSE"] = float(np.sqrt(np.mean(errors**2)))
            rows.append(row | {"seconds": seconds, "with drawing": seconds + budget * per_weight})
    return rows


def run(seed):
    (x_train, _), (x_test, _) = load_digits("bernoulli", seed=seed)
    keras.utils.set_random_seed(seed)
    x_test, rows, trained = x_test[-IMAGES:], compare("exact", *exact_case(IMAGES, seed)), []
    for name, encoder, decoder, objective in models(x_train.shape[1:]):
        vae = VAE(encoder, decoder, objective=objective, seed=seed)
        vae.compile(keras.optimizers.Adam(1e-3), steps_per_execution=len(x_train) // BATCH)
        total = CONV_EPOCHS if "conv" in name else EPOCHS
        vae.fit(x_train, batch_size=BATCH, epochs=total, verbose=0)
        log_p, hard = reference(vae, x_test, seed)
        start = time.perf_counter()
        log_weights = bank(vae, x_test, ROUNDS * BUDGETS[-1], 20_000 + seed)
        per_weight = (time.perf_counter() - start) / len(log_weights)
        trained.append({"model": name, "epochs": total, "k-hat above 0.7": float(hard.mean())})
        print(trained[-1], flush=True)
        rows += compare(name, log_weights, log_p, per_weight)
    return rows, trained


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = time.perf_counter()
    rows, trained = run(options.seed)
    write(
        "evidence_digits",
        command=f"benchmarks/evidence.py {' '.join(sys.argv[1:])}".strip(),
        seed=options.seed,
        seconds=time.perf_counter() - start,
        reference=f"IWAE with {REFERENCE} other log-weights; annealing, {CHAINS} chains and "
        f"{TEMPERATURES} temperatures, where k-hat is above 0.7; exact for the model 'exact'",
        models=trained,
        rows=rows,
    )
    formats = {"model": "", "budget": "d", "estimate": "", "bias": "+.3f", "s.e.": ".3f"}
    print(table(rows, formats | {"RMSE": ".3f", "seconds": ".4f", "with drawing": ".3f"}))


if __name__ == "__main__":
    main()

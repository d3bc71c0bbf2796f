"""Counts with too many zeros: which family wins on held-out data, and what it takes zeros for.

    .venv/bin/python benchmarks/counts.py [--epochs 30] [--seed 0]

Simulated counts of 20 genes follow one latent variable z ~ N(0, 1): ln mean = a + b z, negative
binomial ones, with and without a share of zeros for each gene that come from dropout. VAEs with
each of four likelihoods learn from them. As z has one dimension, ln p(x) of every model, and
of the truth, is a quadrature: the gap to the truth is exact, and so are the errors of importance
weights and cumulants. The digits of scikit-learn are counts too, of the black pixels in blocks of
4 x 4: there 10 latent variables, and ln p(x) by IWAE. A mixture of logistics over their 17 levels,
which knows of the largest count, competes. Everything is in nats a count. Results go to
benchmarks/results/counts.json and counts.png.
"""

import argparse
import itertools
import os
import sys
import time

os.environ.update({f"TF_NUM_{kind}OP_THREADS": "1" for kind in ("INTRA", "INTER")})

from rbm_tf.command_line.program import table
from rbm_tf.quiet import quiet_start

quiet_start()

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops
from rounds import RESULTS, write
from scipy.special import expit, logsumexp

from rbm_tf.datasets import load_digits
from rbm_tf.shared.files import written_whole
from vae_keras import evidence
from vae_keras.networks import dense_encoder
from vae_keras.optimizers import FusedAdam
from vae_keras.parts import LogisticMixture, NegativeBinomial, Poisson, ZeroInflated
from vae_keras.shared.repeated import repeated
from vae_keras.vae import VAE

GENES, TRAIN, TEST = 20, 3000, 500
BATCH, RATE, SAMPLES = 100, 1e-2, 1000
FAMILIES = {
    "Poisson": Poisson,
    "ZIP": lambda: ZeroInflated(Poisson()),
    "NB": NegativeBinomial,
    "ZINB": lambda: ZeroInflated(NegativeBinomial()),
}
TRUTHS = ("ZINB", "NB")
GRID = np.linspace(-7, 7, 561)  # of z
LOG_PRIOR = -0.5 * GRID**2 - logsumexp(-0.5 * GRID**2)  # with the weights of the rule


class Truth:
    """The process that makes the counts: z ~ N(0, 1), and a family of each gene's own numbers."""

    def __init__(self, family, seed):
        rng, self.family, self.part = np.random.default_rng(seed), family, FAMILIES[family]()
        self.slope, self.log_mean = rng.normal(0, 0.5, GENES), np.log(rng.uniform(3, 20, GENES))
        self.log_r, self.dropout = np.log(rng.uniform(1, 4, GENES)), rng.uniform(0.05, 0.5, GENES)
        self.gate = np.log(self.dropout) - np.log1p(-self.dropout)

    def statistics(self, z):
        """Of each z, (num, 1), as the part takes them."""
        log_mean = (self.log_mean + self.slope * z).astype("float32")
        gate, log_r = (
            np.broadcast_to(a, log_mean.shape).astype("float32") for a in (self.gate, self.log_r)
        )
        inner = log_mean if self.family in ("Poisson", "ZIP") else (log_mean, log_r)
        given = (gate, inner) if self.family.startswith("Z") else inner
        return keras.tree.map_structure(ops.convert_to_tensor, given)

    def sample(self, num, seed):
        z = np.random.default_rng(seed).normal(size=(num, 1))
        statistics = self.statistics(z)
        return np.asarray(self.part.draw(statistics, self.part.noise(statistics, num, seed))[0])


def quadrature(part, statistics, x, block=100):
    """ln p(x) of one latent variable, (num,), nats, and the mean of p(z|x), (points,).

    ln p(x) = ln sum_i p(z_i) p(x|z_i) over the grid; statistics are those of the likelihood at its
    points, nested (points, ..).
    """
    found, posterior = [], np.zeros(len(GRID))
    for start in range(0, len(x), block):
        rows = ops.convert_to_tensor(x[start : start + block])
        num = len(rows)
        every = keras.tree.map_structure(lambda s, num=num: ops.repeat(s, num, axis=0), statistics)
        log_p = part.log_prob(every, repeated(rows, len(GRID)))  # point after point
        joint = np.asarray(log_p, float).reshape(len(GRID), num) + LOG_PRIOR[:, None]
        found.append(logsumexp(joint, axis=0))
        posterior += np.exp(joint - found[-1]).sum(1) / len(x)
    return np.concatenate(found), posterior


def build(likelihood, x, num_latents, hidden_units, seed):
    """Dense networks; a decoder of one latent is linear. Its means begin at those of the data."""
    keras.utils.set_random_seed(seed)
    inputs, seen = keras.Input(x.shape[1:]), np.log1p(x)
    variance = np.maximum(seen.var(0), 0.1)  # a pixel that is 0 in training may not be in the test
    normalized = keras.layers.Normalization(mean=seen.mean(0), variance=variance)
    inner = dense_encoder(x.shape[1:], num_latents, hidden_units=(hidden_units,))
    encoder = keras.Model(inputs, inner(normalized(ops.log1p(inputs))))
    z = keras.Input((num_latents,))
    hidden = z if num_latents == 1 else keras.layers.Dense(hidden_units, "tanh")(z)
    shapes, layers = likelihood.shapes(x.shape[1:]), []

    def head(shape):
        layers.append(keras.layers.Dense(int(np.prod(shape))))
        return keras.layers.Reshape(shape)(layers[-1](hidden))

    decoder = keras.Model(z, keras.tree.map_shape_structure(head, shapes))
    if not isinstance(likelihood, LogisticMixture):
        if isinstance(likelihood, ZeroInflated):
            layers.pop(0).bias.assign(np.full(x.shape[1], -3.0))  # the gate, nearly shut
        layers[0].bias.assign(np.log(x.mean(0) + 1 / len(x)))
    return VAE(encoder, decoder, likelihood=likelihood, seed=seed)


def train(likelihood, x, num_latents, hidden_units, epochs, seed):
    vae = build(likelihood, x, num_latents, hidden_units, seed)
    steps = len(x) // BATCH
    rate = keras.optimizers.schedules.CosineDecay(RATE, epochs * steps)
    vae.compile(FusedAdam(rate), steps_per_execution=steps)
    start = time.process_time()
    vae.fit(x, batch_size=BATCH, epochs=epochs, verbose=0)
    return vae, time.process_time() - start


def mean_and_error(each):
    each = np.asarray(each, float)
    return float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each)))


def simulated(truth, name, x, x_test, exact, options):
    """One family on one truth: gap to the truth, and the estimators' errors, per count."""
    vae, seconds = train(FAMILIES[name](), x, 1, 32, options.epochs, options.seed)
    statistics = vae.latents.decoded(ops.convert_to_tensor(GRID[:, None].astype("float32")), None)
    log_p, posterior = quadrature(vae.likelihood, statistics, x_test)
    row = {"truth": truth.family, "model": name, "seconds": seconds}
    row["ln p a count"], row["s.e."] = mean_and_error(log_p / GENES)
    row["gap to the truth"], row["s.e. of the gap"] = mean_and_error((exact - log_p) / GENES)
    if name.startswith("Z"):
        row["dropout of each gene"] = posterior @ expit(np.asarray(statistics[0], float))
        row["dropout"] = float(np.mean(row["dropout of each gene"]))
    log_weights = vae.log_weights(x_test, SAMPLES, seed=options.seed)
    estimates = {
        "ELBO": evidence.elbo(log_weights),
        "order 2": evidence.cumulant(log_weights, order=2),
        "order 3": evidence.cumulant(log_weights, order=3),
        f"IWAE-{SAMPLES}": evidence.iwae(log_weights),
    }
    for estimate, each in estimates.items():
        row[f"{estimate}, bias"], row[f"{estimate}, s.e."] = mean_and_error(
            (np.asarray(each, float) - log_p) / GENES
        )
    return row


def digits(options):
    """Held-out ln p a count of the digits by IWAE, for counts and for 17 levels."""
    (x, _), (x_test, _) = load_digits()
    x, x_test = (np.round(16 * a.reshape(len(a), -1)) for a in (x, x_test))
    parts = {"NB": NegativeBinomial, **FAMILIES}
    parts["17 levels"], best = lambda: LogisticMixture(5, num_levels=17), None
    for name, make in parts.items():  # the reference first
        scale = 16 if name == "17 levels" else 1
        vae, seconds = train(make(), x / scale, 10, 100, 2 * options.epochs, options.seed)
        log_weights = vae.log_weights(x_test / scale, SAMPLES, seed=options.seed)
        found = np.asarray(evidence.iwae(log_weights), float) / x.shape[1]
        best = found if best is None else best
        row = {"truth": "digits", "model": name, "seconds": seconds}
        row["ln p a count"], row["s.e."] = mean_and_error(found)
        row["behind NB"], row["s.e. of that"] = mean_and_error(best - found)
        yield row


def draw(rows):
    """Gaps of each family on each truth, and recovered against true dropout."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8))
    place = np.arange(len(TRUTHS))
    for k, name in enumerate(FAMILIES):
        mine = [row for row in rows if row["model"] == name and "gap to the truth" in row]
        gaps, errors = ([r[key] for r in mine] for key in ("gap to the truth", "s.e. of the gap"))
        options = {"yerr": errors, "label": name, "color": f"C{k}"}
        left.bar(place[: len(mine)] + 0.2 * k - 0.3, gaps, 0.2, **options)
    left.set_xticks(place, [f"{name} data" for name in TRUTHS])
    left.set_ylabel("behind the truth (nats a count)")
    left.set_yscale("symlog", linthresh=0.01)
    left.set_title("Likelihood", loc="left")
    left.set_ylim(top=20)
    left.legend(loc="upper right", ncols=2)
    for row in rows:
        if row["truth"] == "ZINB" and "dropout of each gene" in row:
            pair = row["true dropout of each gene"], row["dropout of each gene"]
            right.plot(*pair, "o", label=row["model"])
    right.plot([0, 0.6], [0, 0.6], "k-", lw=1)
    right.set(xlabel="true dropout of a gene", ylabel="recovered")
    right.set_title("Data with dropout and overdispersion", loc="left")
    right.legend()
    figure.tight_layout()
    with written_whole(RESULTS / "counts.png") as partial:
        figure.savefig(partial, dpi=100)


def rows_of(family, options):
    """The truth, and every family that learns from it."""
    truth = Truth(family, options.seed)
    x, x_test = (truth.sample(num, options.seed + i) for i, num in ((1, TRAIN), (2, TEST)))
    exact, _ = quadrature(truth.part, truth.statistics(GRID[:, None]), x_test)
    value, error = mean_and_error(exact / GENES)
    zeros = float(np.mean(x == 0))
    row = {"truth": family, "model": "the truth", "ln p a count": value, "s.e.": error}
    yield row | {"zeros": zeros}
    true = truth.dropout if family.startswith("Z") else np.zeros(GENES)
    for name in FAMILIES:
        row = simulated(truth, name, x, x_test, exact, options)
        if "dropout of each gene" in row:
            errors = row["dropout of each gene"] - true
            row["RMSE of dropout"] = float(np.sqrt(np.mean(errors**2)))
            row["true dropout of each gene"] = true.tolist()
            row["dropout of each gene"] = row["dropout of each gene"].tolist()
        yield row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30, help="twice as many for the digits")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start, rows = time.process_time(), []
    sources = [*(rows_of(family, options) for family in TRUTHS), digits(options)]
    for row in itertools.chain(*sources):
        rows.append(row)
        print({key: value for key, value in row.items() if "gene" not in key}, flush=True)
        write(
            "counts",
            what="nats a count of held-out data; simulated: exact by quadrature; digits: by IWAE",
            command=f"benchmarks/counts.py {' '.join(sys.argv[1:])}".strip(),
            seed=options.seed,
            epochs=options.epochs,
            genes=GENES,
            examples=f"{TRAIN} to train, {TEST} held out",
            samples=SAMPLES,
            processor_seconds=time.process_time() - start,
            rows=rows,
        )
    draw(rows)
    formats = {"truth": "", "model": "", "ln p a count": ".4f", "s.e.": ".4f"}
    formats |= {"gap to the truth": ".4f", "s.e. of the gap": ".4f", "behind NB": ".4f"}
    formats |= {"dropout": ".3f", "RMSE of dropout": ".3f", "seconds": ".1f"}
    print(table(rows, formats))


if __name__ == "__main__":
    sys.exit(main())

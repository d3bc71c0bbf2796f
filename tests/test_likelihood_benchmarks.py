"""What the benchmarks call exact, and what they compare on one scale."""

import importlib
import pathlib

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops
from scipy.special import logsumexp

BENCHMARKS = pathlib.Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    for kind in ("INTRA", "INTER"):  # comes back afterwards: the scripts ask for one thread
        monkeypatch.setenv(f"TF_NUM_{kind}OP_THREADS", "1")
    return importlib.import_module


def test_every_likelihood_of_grey_levels_is_a_probability_of_the_256(benchmark):
    grey = benchmark("grey")
    levels = ops.arange(256, dtype="float32")[:, None] / 255
    for make in grey.MODELS.values():
        part = grey.of_levels(make())
        generator = keras.random.SeedGenerator(0)
        statistics = keras.tree.map_shape_structure(
            lambda shape, seed=generator: ops.repeat(
                keras.random.normal((1, *shape), seed=seed), 256, axis=0
            ),
            part.shapes((1,)),
        )
        total = ops.sum(ops.exp(part.log_prob(statistics, levels)))
        assert abs(float(total) - 1) < 1e-5


@pytest.mark.long
@pytest.mark.parametrize("family", ["Poisson", "ZINB"])
def test_log_p_of_counts_is_the_quadrature_of_scipys_probabilities(benchmark, family):
    counts = benchmark("counts")
    truth = counts.Truth(family, 0)
    x = truth.sample(4, 1)
    found, _ = counts.quadrature(truth.part, truth.statistics(counts.GRID[:, None]), x, block=3)
    z = np.linspace(-9, 9, 4001)
    mean, r = np.exp(truth.log_mean + truth.slope * z[:, None]), np.exp(truth.log_r)
    if family == "Poisson":
        log_p = scipy.stats.poisson(mean).logpmf(x[:, None])
    else:
        log_p = scipy.stats.nbinom(r, r / (r + mean)).logpmf(x[:, None])
        by_chance = np.log1p(-truth.dropout) + log_p
        dropped = np.where(x[:, None] == 0, np.log(truth.dropout), -np.inf)
        log_p = np.logaddexp(by_chance, dropped)
    weights = scipy.stats.norm.pdf(z) * (z[1] - z[0])
    exact = logsumexp(log_p.sum(-1), b=weights, axis=1)
    np.testing.assert_allclose(found, exact, rtol=2e-6)

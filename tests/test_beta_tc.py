"""The decomposition of the KL against quadrature of a mixture of Gaussians.

Run it with KERAS_BACKEND=jax or torch, too.
"""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import ops

from vae_keras.objectives import ELBO, BetaTC, InfoVAE, check_factors, kl_decomposition
from vae_keras.parts import (
    Bernoulli,
    Categorical,
    Chain,
    ContinuousBernoulli,
    Coupling,
    Draws,
    Flow,
    FullGaussian,
    Gaussian,
    Latents,
    LogisticMixture,
    Mixture,
    NegativeBinomial,
    Own,
    Poisson,
    RelaxedBernoulli,
    RelaxedCategorical,
    StudentT,
    ZeroInflated,
)
from vae_keras.parts.autodiff import gradients

NUM = 5
X = np.random.default_rng(2).normal(size=(NUM, 3))
TO_MEAN = np.random.default_rng(3).normal(size=(3, 2))  # a linear encoder, correlated over the data
LOG_VAR = np.array([-1.2, -0.7])
numpy = ops.convert_to_numpy


def tensor(x):
    return ops.convert_to_tensor(np.asarray(x, "float32"))


def exact_terms(to_mean=TO_MEAN):
    """Mutual information, total correlation and the dimensions' KL by quadrature, nats."""
    axis = np.linspace(-12, 12, 241)
    step = axis[1] - axis[0]
    each = scipy.stats.norm.logpdf(axis[:, None, None], X @ to_mean, np.exp(LOG_VAR / 2))
    joint = each[:, None, :, 0] + each[None, :, :, 1]  # (axis, axis, examples)
    q = np.exp(joint).mean(-1)
    factors = np.exp(each).mean(1)  # (axis, dim)
    entropy = -np.sum(scipy.special.xlogy(q, q)) * step**2
    entropies = -np.sum(scipy.special.xlogy(factors, factors), 0) * step
    given_x = 0.5 * np.sum(1 + np.log(2 * np.pi) + LOG_VAR)
    log_prior = scipy.stats.norm.logpdf(axis)
    cross = -np.sum(factors * log_prior[:, None], 0) * step
    return entropy - given_x, entropies.sum() - entropy, (cross - entropies).sum()


def exact_kl(to_mean=TO_MEAN):
    mean = X @ to_mean
    return np.mean(0.5 * np.sum(mean**2 + np.exp(LOG_VAR) - 1 - LOG_VAR, -1))


def model(to_mean=TO_MEAN):
    kernel, log_var = tensor(to_mean), tensor(LOG_VAR)

    def encoder(x):
        mean = x @ kernel
        return mean, ops.zeros_like(mean) + log_var

    def decoder(z):
        return ops.zeros_like(z[:, :1]) + tensor(np.zeros(3))

    return Latents(encoder, decoder, likelihood=Gaussian(scale=1.0))


def test_the_exact_terms_sum_to_the_closed_form():
    assert sum(exact_terms()) == pytest.approx(exact_kl(), rel=1e-9)


@pytest.mark.slow
def test_the_terms_of_all_data_are_those_of_quadrature_and_sum_to_the_kl():
    draws = model().draws(X, 20_000, seed=0)
    terms = kl_decomposition(draws, NUM)
    together = numpy(sum(terms[1:], terms[0]))
    ratio = numpy(ops.mean(draws.log_posterior - draws.log_prior, axis=0))
    np.testing.assert_allclose(together, ratio, rtol=1e-4, atol=1e-4)
    several = np.array(
        [
            [numpy(ops.mean(t)) for t in kl_decomposition(model().draws(X, 500, seed=s), NUM)]
            for s in range(1, 41)
        ]
    )
    exact = np.array(exact_terms())
    error = several.std(0, ddof=1) / len(several) ** 0.5
    assert np.all(np.abs(several.mean(0) - exact) < 5 * error)
    assert np.all(error < 0.02 * exact)


@pytest.mark.long
def test_the_gradient_is_that_of_quadrature():
    objective = BetaTC(NUM, beta=4.0, num_samples=100)
    x, parts = tensor(X), 60

    def loss(kernel, seed):
        latents = model()
        moved = Latents(
            lambda x: (x @ kernel[0], ops.zeros((NUM, 2)) + tensor(LOG_VAR)), latents.decoder
        )
        return ops.mean(objective.call(moved.draws(x, 100, seed=seed)))

    found = np.array(
        [gradients(lambda k, s=s: loss(k, s), [tensor(TO_MEAN)])[0].ravel() for s in range(parts)]
    )

    def exact(kernel):
        return exact_kl(kernel) + 3 * exact_terms(kernel)[1]

    expected = []
    for i in range(6):
        step = 1e-4 * np.eye(6)[i].reshape(3, 2)
        expected.append((exact(TO_MEAN + step) - exact(TO_MEAN - step)) / 2e-4)
    error = found.std(0, ddof=1) / parts**0.5
    assert np.all(np.abs(found.mean(0) - expected) < 5 * error)
    assert np.all(error < 0.1 * np.max(np.abs(expected)))


def test_the_estimate_of_q_from_batches_is_unbiased():
    """All batches of three that hold the first example, of which z is a draw."""
    z = np.array([0.4, -0.8])
    each = scipy.stats.norm.pdf(z, X @ TO_MEAN, np.exp(LOG_VAR / 2))  # (examples, dim)
    latents, found = model(), []
    for others in itertools.combinations(range(1, NUM), 2):
        x = tensor(X[[0, *others]])
        statistics = latents.encoded(x)
        value = tensor(np.repeat(z[None], 3, 0))
        log_q = Gaussian().log_prob(statistics, value)
        draws = Draws(latents, x, statistics, value, log_q, 1)
        terms = kl_decomposition(draws, NUM)
        log_aggregate = log_q - terms.mutual_information
        found.append(
            [float(log_aggregate[0]), float(log_aggregate[0] - terms.total_correlation[0])]
        )
    found = np.exp(found)
    assert found[:, 0].mean() == pytest.approx(each.prod(-1).mean(), rel=1e-4)
    assert found[:, 0].std() > 0.01 * found[:, 0].mean()
    # Of a single latent the estimate of the product is that of its factor.
    one = Latents(lambda x: (x, ops.zeros_like(x)), lambda z: z, likelihood=Gaussian(scale=1.0))
    for part in kl_decomposition(one.draws(X[:, :1], 4, seed=0), NUM)[1:2]:
        np.testing.assert_allclose(part, 0, atol=1e-6)


def test_a_weight_of_one_is_the_elbo():
    draws = model().draws(X, 3, seed=0)
    np.testing.assert_allclose(
        BetaTC(NUM, beta=1.0, num_samples=3).call(draws), ELBO(num_samples=3).call(draws)
    )


@pytest.mark.parametrize("weights", [None, [1.0, 0, 0]])
def test_without_other_examples_the_loss_is_the_elbo(weights):
    draws = model().draws(X[: len(weights or [1])], 3, seed=0)
    draws = dataclasses.replace(draws, weights=None if weights is None else tensor(weights))
    found = BetaTC(NUM, num_samples=3).call(draws)
    np.testing.assert_allclose(found[0], ELBO(num_samples=3).call(draws)[0], rtol=1e-6)


@pytest.mark.parametrize("objective", [BetaTC(NUM), InfoVAE(seed=0)])
def test_examples_of_weight_zero_do_not_count_for_the_others(objective):
    def losses(added, weights):
        draws = model().draws(np.concatenate([X, added]), 1, seed=0)
        draws = dataclasses.replace(draws, weights=tensor(weights), training=False)
        return numpy(objective.call(draws))

    on, off = np.ones(NUM), np.zeros(NUM)
    first, second = (losses(c + np.zeros_like(X), np.r_[on, off])[:NUM] for c in (0, 3))
    np.testing.assert_allclose(first, second, rtol=1e-5)
    assert np.max(np.abs(losses(0 * X, np.r_[on, on])[:NUM] - first)) > 0.1
    np.testing.assert_allclose(losses(X, np.r_[on, on] / 4), losses(X, np.r_[on, on]), rtol=1e-5)


def test_weights_share_out_what_is_not_the_examples_own():
    """Weights 1, 2, 3: of q at a draw of the first, 1/N is its own, and 2/5 and 3/5 of the rest."""
    draws = dataclasses.replace(model().draws(X[:3], 1, seed=0), weights=tensor([1, 2, 3]))
    each = [
        float(Gaussian().log_prob([s[i : i + 1] for s in draws.statistics], draws.value[:1])[0])
        for i in range(3)
    ]
    parts = np.array([1 / NUM, 0.4 * (1 - 1 / NUM), 0.6 * (1 - 1 / NUM)])
    log_q = float(draws.log_posterior[0, 0] - kl_decomposition(draws, NUM).mutual_information[0])
    assert log_q == pytest.approx(np.log(np.sum(parts * np.exp(each))), rel=1e-4)


FACTORS = [
    (Gaussian(), (2,)),
    (Gaussian(scale=0.5), (2,)),
    (StudentT(), (2,)),
    (RelaxedBernoulli(), (2,)),
    (RelaxedCategorical(3), (2, 2)),
    (ContinuousBernoulli(), (2,)),
    (Bernoulli(), (2,)),
    (Categorical(3), (2,)),
    (Poisson(), (2,)),
    (NegativeBinomial(), (2,)),
    (ZeroInflated(Poisson()), (2,)),
    (LogisticMixture(2), (2,)),
    (Own(Gaussian(), (2,)), (2,)),
]


@pytest.mark.parametrize(("part", "event"), FACTORS, ids=lambda a: getattr(a, "name", ""))
def test_factors_are_those_of_each_entry_and_of_no_other(part, event):
    """Values that differ in their second entry have equal first terms, and unequal second ones."""
    rng = np.random.default_rng(0)
    statistics = None
    if not part.is_unconditional:
        statistics = keras.tree.map_shape_structure(
            lambda shape: tensor(np.repeat(rng.normal(size=(1, *shape)), 2, 0)), part.shapes(event)
        )
    value = np.zeros((2, *event)) + 0.25 * (part.space == "real")
    value[1, 1] += 1.0 if part.space == "discrete" else 0.5
    dtype = "int32" if isinstance(part, Categorical) else "float32"
    terms = part.terms(statistics, ops.convert_to_tensor(value.astype(dtype)))
    terms = numpy(terms).reshape(2, -1)
    assert part.is_factorized and terms.shape[1] >= 2
    assert np.all(terms[0, 0] == terms[1, 0]) and np.all(terms[0, 1] != terms[1, 1])


@pytest.mark.parametrize(
    "part",
    [
        FullGaussian(),
        Flow(Gaussian(), [Coupling(2)]),
        Mixture(Gaussian(), 2),
        Chain({"a": Gaussian(), "b": Gaussian()}),
        Own(FullGaussian(), (2,)),
    ],
    ids=lambda part: part.name,
)
def test_parts_whose_entries_depend_on_one_another_are_refused(part):
    with pytest.raises(ValueError, match=r"entries of \w+ are not independent given x"):
        check_factors(part)


def test_options_without_meaning_are_refused():
    with pytest.raises(ValueError, match="num_data must be an integer of 2 or more"):
        BetaTC(1)
    with pytest.raises(ValueError, match="beta must be 0 or above"):
        BetaTC(10, beta=-1.0)
    pair = tensor(np.zeros((NUM, 2))), tensor(np.zeros((NUM, 2))), tensor(np.zeros((NUM, 1)))
    parts = {"posterior": FullGaussian(), "likelihood": Gaussian(scale=1.0)}
    full = Latents(lambda x: pair, lambda z: z, **parts)
    with pytest.raises(ValueError, match="not independent"):
        BetaTC(10).call(full.draws(X[:, :2], 1, seed=0))


def test_it_comes_back_from_its_configuration():
    objective = BetaTC(60_000, beta=3.0, num_samples=2)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(objective))
    assert copy.get_config() == objective.get_config()

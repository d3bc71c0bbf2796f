"""Annealing of models of parts, against exact evidences: ladders, flows, mixtures, conditions."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.special
import scipy.stats
from keras import ops, tree
from test_parts_flows import decoder_of, evidence, flow
from test_parts_latents import CONDITIONAL, MODEL, Bits, conditional_networks, linear, tensor
from test_parts_structures import TwoLayers
from test_vae_annealing import assert_mean_is_one

from vae_keras import dense_encoder
from vae_keras.evidence import ais, ais_path, annealing, iwae, reverse_ais
from vae_keras.parts import (
    Bernoulli,
    Chain,
    Coupling,
    Flow,
    FullGaussian,
    Gaussian,
    Latents,
    LowRankGaussian,
    Mixture,
    Own,
    RelaxedBernoulli,
    Vamp,
)

numpy = ops.convert_to_numpy
RNG = np.random.default_rng(5)
BETAS = np.linspace(0, 1, 40) ** 2  # dense where the prior changes most
LIKELIHOOD = Gaussian(scale=MODEL.scale)


def check_both_ways(model, x, z, log_p, base):
    """<w> = p(x) of the walk from the base, and <1/w> = 1/p(x) of the one back to it."""
    options = {"betas": BETAS, "base": base, "seed": 0}
    forward = ais(model, x, num_chains=1000, **options)
    assert_mean_is_one(np.exp(forward.log_weights - log_p), 0.1)
    reverse = reverse_ais(model, x, z, **options)
    assert reverse.log_weights.shape == forward.log_weights.shape
    assert_mean_is_one(np.exp(log_p - reverse.log_weights), 0.1)
    assert 0.4 < forward.acceptance.mean() < 0.95


def by_row(statistics):
    """An encoder that looks up the statistics of the example that the data name."""
    return lambda data: tree.map_structure(lambda a: ops.take(a, data["index"], axis=0), statistics)


def with_rows(x):
    return {"x": np.asarray(x, "float32"), "index": np.arange(len(x))}


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize(
    ("order", "base"), [("bottom_up", "posterior"), ("ladder", "posterior"), ("ladder", "prior")]
)
def test_two_layers_have_their_evidence_in_both_directions(order, base):
    exact = TwoLayers.latents(*getattr(TwoLayers, order)()).draws(TwoLayers.x, 1000, seed=1).value
    z = {name: numpy(a).reshape(1000, 5, 1) for name, a in exact.items()}
    encoded, q = getattr(TwoLayers, order)(shift=0.3)
    wrong = TwoLayers.latents(encoded, q)
    options = {"prior": wrong.prior, "likelihood": wrong.likelihood}
    model = Latents(by_row(encoded), wrong.decoder, posterior=q, **options)
    check_both_ways(model, with_rows(TwoLayers.x), z, TwoLayers.log_p(), base)


def exact_posterior(x, num_chains):
    noise = np.random.default_rng(2).normal(size=(num_chains, len(x), 2))
    return (x - MODEL.offset) @ MODEL.to_mean + noise / np.sqrt(MODEL.precision)


FAMILIES = {  # and the statistics of one with the mean and log_var of the encoder
    "identity flow": (Flow(Gaussian(), [Coupling(2), Coupling(2, flip=True)]), lambda *pair: pair),
    "full": (FullGaussian(), lambda mean, log_var: (mean, log_var, 0.1 + mean[:, :1] * 0)),
    "low rank": (
        LowRankGaussian(1),
        lambda mean, log_var: (mean, log_var, 0.2 + mean[..., None] * 0),
    ),
}


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize(  # the base of the prior knows of q no more than its width
    ("name", "base"), [*((name, "posterior") for name in FAMILIES), ("full", "prior")]
)
def test_probabilistic_pca_has_its_evidence_in_both_directions(name, base):
    (encoder, decoder), (q, statistics) = linear(shift=tensor([0.3, -0.4])), FAMILIES[name]
    model = Latents(lambda x: statistics(*encoder(x)), decoder, posterior=q, likelihood=LIKELIHOOD)
    x = MODEL.x[:4]
    check_both_ways(model, x, exact_posterior(x, 1000), MODEL.log_p()[:4], base)


KERNEL = RNG.normal(size=(2, 5))
X = RNG.integers(0, 2, size=(3, 5)).astype("float32")
PAIR = tensor(RNG.normal(size=(3, 2)) / 3), tensor(np.zeros((3, 2)))


def curved(statistics=PAIR, **options):
    decoder = decoder_of(2 * KERNEL)
    return Latents(by_row(statistics), lambda given: decoder(given["z"]), **options)


def learned_gaussian():
    prior = Own(Gaussian(), (2,))
    for weight, value in zip(prior.values, ([0.5, -1.0], [0.7, -0.3]), strict=True):
        weight.assign(value)
    return prior


CURVED = {
    "flow with context": lambda: curved(
        (PAIR, tensor(RNG.normal(size=(3, 3)))),
        posterior=flow("coupling", "flipped", "spline", context=True, size=0.3),
    ),
    "mixture": lambda: curved(
        (tensor(RNG.normal(size=(3, 4))), tuple(tensor(RNG.normal(size=(3, 4, 2))) for _ in "ab")),
        posterior=Mixture(Gaussian(), 4),
    ),
    "learned prior": lambda: curved(prior=learned_gaussian()),
    "flow prior": lambda: curved(prior=Own(flow("coupling", "flipped", size=0.3), (2,))),
    "mixture prior": lambda: curved(prior=Own(Mixture(Gaussian(), 4), (2,), spread=1.0, seed=1)),
    "vamp prior": lambda: curved(
        prior=Vamp(Gaussian(), dense_encoder((4,), latent_dim=2), (4,), num_components=4)
    ),
}


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("flow with context", "posterior"),
        ("mixture", "posterior"),
        ("learned prior", "prior"),
        ("flow prior", "prior"),
        ("mixture prior", "posterior"),
        ("mixture prior", "prior"),
        ("vamp prior", "prior"),
    ],
)
def test_any_posterior_and_prior_have_the_evidence_of_quadrature(name, base):
    model = CURVED[name]()
    prior = model.prior_part

    def log_prior(z):
        statistics = (tensor(0 * z),) * 2 if model.prior is None else prior.resolve(None, len(z))
        return numpy(prior.log_prob(statistics, tensor(z))).astype(float)

    exact = evidence(2 * KERNEL, X, log_prior)
    run = ais(model, with_rows(X), num_chains=1000, betas=BETAS, base=base, seed=0)
    assert_mean_is_one(np.exp(run.log_weights - exact), 0.1)


@pytest.mark.long
def test_one_relaxed_bit_is_annealed_as_the_real_number_it_is():
    part, noise = RelaxedBernoulli(0.5), np.linspace(-25, 25, 50_001)
    kernel, logits = 3 * RNG.normal(size=(1, 3)), tensor(RNG.normal(size=(3, 1)))
    model = Latents(by_row(logits), lambda given: given["z"] @ tensor(kernel), posterior=part)
    z = scipy.special.expit(noise / 0.5)[:, None, None]
    log_likelihood = Bits.log_bernoulli(z * kernel, Bits.x)
    exact = np.log(scipy.stats.logistic.pdf(noise) @ np.exp(log_likelihood) / 1000)
    for base in ("prior", "posterior"):
        run = ais(model, with_rows(Bits.x), num_chains=1000, betas=BETAS, base=base, seed=0)
        assert_mean_is_one(np.exp(run.log_weights - exact), 0.1)


@pytest.mark.long
def test_given_conditions_the_evidence_is_that_of_x_also_in_blocks(monkeypatch):
    encoder, decoder = conditional_networks()
    bias = encoder.layers[-2].bias if hasattr(encoder.layers[-2], "bias") else None
    bias.assign(bias + np.array([0.3, -0.4]))
    model = Latents(encoder, decoder, likelihood=LIKELIHOOD)
    data = {"x": CONDITIONAL.x[:3].astype(float), "y": CONDITIONAL.y[:3]}
    monkeypatch.setattr(annealing, "_BLOCK", 2 * 1000 * 8)  # two examples, of five and three
    for base in ("prior", "posterior"):
        run = ais(model, data, num_chains=1000, betas=BETAS, base=base, seed=0)
        assert_mean_is_one(np.exp(run.log_weights - CONDITIONAL.log_p()[:3]), 0.1)


@pytest.mark.long
def test_a_prior_network_is_the_base_of_each_condition():
    """p(z|y) = N(y, 1) with p(x|z) = N(z, 1): p(x|y) = N(y, 2); q is too wide, and beside."""
    x, y = RNG.normal(size=(2, 6, 1)).astype("float32")
    model = Latents(
        lambda data: (data["x"], 0 * data["x"]),
        lambda given: given["z"],
        prior=Gaussian(scale=1.0),
        prior_network=lambda y: y,
        likelihood=Gaussian(scale=1.0),
    )
    log_p = scipy.stats.norm(y, 2**0.5).logpdf(x)[:, 0]
    z = (x + y) / 2 + RNG.normal(size=(1000, 6, 1)) * 0.5**0.5
    for base in ("prior", "posterior"):
        check_both_ways(model, {"x": x, "y": y}, z, log_p, base)


@pytest.mark.long
def test_the_lambda_path_of_a_mixture_ends_at_its_elbo_and_evidence():
    model, options = CURVED["mixture"](), {"num_chains": 1000, "seed": 3}
    path = ais_path(model, with_rows(X), lambdas=BETAS, **options)
    run = ais(model, with_rows(X), betas=BETAS, base="posterior", **options)
    np.testing.assert_allclose(-path.free_energy[-1], iwae(run.log_weights), rtol=1e-9)
    log_w = numpy(model.log_weights(with_rows(X), 5000, seed=0)).astype(float)
    error = np.sqrt(log_w.var(0) * (1 / 5000 + 1 / 1000))
    assert np.all(np.abs(-path.mean[0] - log_w.mean(0)) < 5 * error)


@pytest.mark.long
def test_a_model_is_annealed_by_its_latents():
    latents = Latents(*linear(), likelihood=LIKELIHOOD)
    options = {"num_chains": 5, "betas": [0, 0.5, 1], "seed": 0}
    ours, its = (
        ais(model, MODEL.x, **options) for model in (latents, SimpleNamespace(latents=latents))
    )
    np.testing.assert_array_equal(ours.log_weights, its.log_weights)


@pytest.mark.parametrize(
    ("model", "x", "message"),
    [
        (Latents(*Bits.networks(), posterior=Bernoulli()), Bits.x, r"parts.enumerated\(model, x\)"),
        (
            SimpleNamespace(latents=Latents(*Bits.networks(), posterior=RelaxedBernoulli())),
            Bits.x,
            "enumerated",
        ),
        (
            TwoLayers.latents({}, Chain({"z1": Gaussian(scale=1.0), "a": Bernoulli()})),
            TwoLayers.x,
            "hold discrete ones",
        ),
        (
            Latents(*linear(), posterior=Gaussian(temperature=0.0), likelihood=LIKELIHOOD),
            MODEL.x,
            "has no density",
        ),
        (Latents(*linear()), {"x": MODEL.x, "y": MODEL.x[:3]}, r"of one length; got \[3, 30\]"),
        (Latents(*linear()), MODEL.x[:0], "at least one image"),
        ("model", MODEL.x, "VAE or Latents is needed"),
    ],
)
def test_what_cannot_be_annealed_is_refused(model, x, message):
    with pytest.raises(ValueError, match=message):
        ais(model, x, num_chains=2, betas=[0, 0.5, 1], base="posterior")


@pytest.mark.long
def test_exact_draws_of_another_shape_or_name_are_refused():
    encoded, q = TwoLayers.ladder()
    whole = TwoLayers.latents(encoded, q)
    model = Latents(by_row(encoded), whole.decoder, posterior=q, prior=whole.prior)
    data, good, options = with_rows(TwoLayers.x > 0), np.zeros((5, 1)), {"betas": [0, 0.5, 1]}
    run = reverse_ais(model, data, {"z1": good, "z2": good}, **options)
    assert run.log_weights.shape == (1, 5)
    for z in (
        good,
        {"z1": good, "z3": good},
        {"z1": good, "z2": good[:4]},
        {"z1": good, "z2": np.zeros((2, 5, 1))},
    ):
        with pytest.raises(ValueError, match=r"z must have shape \(5, 1\), \(5, 1\), one for"):
            reverse_ais(model, data, z, **options)

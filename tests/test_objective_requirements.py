"""Which objective takes which part; run it with KERAS_BACKEND=jax or torch, too."""

import dataclasses

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops
from objective_cases import STENCIL, STEP, cases, grid, tensor
from test_objective_gradients import sigmas

from vae_keras.objectives import (
    ELBO,
    IWAE,
    VIMCO,
    BetaTC,
    InfoVAE,
    Objective,
    PerturbativeBound,
    ThermodynamicObjective,
    check_objective,
)
from vae_keras.parts import (
    TFP,
    Bernoulli,
    Categorical,
    Chain,
    Coupling,
    Flow,
    FullGaussian,
    Gaussian,
    Latents,
    Levels,
    LogisticMixture,
    Masked,
    Mixture,
    Own,
    Poisson,
    Recurrent,
    RelaxedBernoulli,
    Vamp,
    ZeroInflated,
)

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TFP needs TensorFlow"
)
COLD = Gaussian(temperature=0.0)


def latents(posterior, prior=None, **networks):
    prior = prior or Own(Gaussian(), (2,), trainable=False)
    return Latents(lambda x: x, lambda z: z, posterior=posterior, prior=prior, **networks)


def walk(given, states):
    return given["previous"], states


@pytest.mark.parametrize(
    ("part", "has_path", "culprit"),
    [
        (Gaussian(), True, None),
        (Bernoulli(), False, "Bernoulli"),
        (Categorical(3), False, "Categorical"),
        (Poisson(), False, "Poisson"),
        (ZeroInflated(Poisson()), False, "Poisson"),
        (LogisticMixture(2), False, "LogisticMixture"),
        (Levels(Gaussian()), False, "Levels"),
        (Mixture(Gaussian(), 2), False, "Mixture"),
        (Flow(Gaussian(), [Coupling(2)]), True, None),
        (Flow(Mixture(Gaussian(), 2), [Coupling(2)]), False, "Mixture"),
        (Chain({"a": Gaussian(), "b": RelaxedBernoulli()}), True, None),
        (Chain({"a": Gaussian(), "b": Bernoulli()}), False, "Bernoulli"),
        (Masked(Gaussian()), True, None),
        (Masked(Categorical(3)), False, "Categorical"),
        (Recurrent(Gaussian(scale=1.0), walk, 2, (1,)), True, None),
        (Recurrent(Chain({"a": Bernoulli()}), walk, 2, (1,)), False, "Bernoulli"),
        (Own(Gaussian(), (2,)), True, None),
        (Own(Mixture(Gaussian(), 2), (2,)), False, "Mixture"),
        (Vamp(Gaussian(), lambda x: (x, x), (2,)), False, "Vamp"),
    ],
    ids=lambda a: getattr(a, "name", ""),
)
def test_a_part_has_a_path_if_all_in_it_have_one_and_the_one_without_is_named(
    part, has_path, culprit
):
    model = latents(part)
    for objective in (VIMCO(), ThermodynamicObjective()):
        check_objective(objective, model)
    for objective in (ELBO(), IWAE(), PerturbativeBound(), InfoVAE(), Objective()):
        if has_path:
            check_objective(objective, model)
            continue
        with pytest.raises(ValueError, match=f"those of {culprit} have none: train it with VIMCO"):
            check_objective(objective, model)


@on_tensorflow
@pytest.mark.parametrize("has_path", [True, False])
def test_a_distribution_of_tfp_has_the_path_that_it_is_said_to_have(has_path):
    import tensorflow_probability as tfp

    part = TFP(lambda s: tfp.distributions.Gamma(ops.exp(s), 1.0), has_path=has_path)
    if has_path:
        check_objective(IWAE(), latents(part))
    else:
        with pytest.raises(ValueError, match="those of TFP have none"):
            check_objective(IWAE(), latents(part))


@on_tensorflow
@pytest.mark.parametrize("kind", ["Poisson", "Mixture", "Joint"])
def test_a_distribution_of_tfp_that_has_no_path_is_found_out_when_it_draws(kind):
    import tensorflow_probability as tfp

    tfd = tfp.distributions
    make = {
        "Poisson": lambda s: tfd.Poisson(log_rate=s),
        "Mixture": lambda s: tfd.MixtureSameFamily(
            tfd.Categorical(logits=s), tfd.Normal(ops.zeros_like(s), 1.0)
        ),
        "Joint": lambda s: tfd.JointDistributionNamed({"a": tfd.Bernoulli(logits=s)}),
    }[kind]
    part, statistics = TFP(make, has_path=True), tensor(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="have no gradient, although the part says has_path=True"):
        part.draw(statistics, part.noise(statistics, 3, 0))


@pytest.mark.parametrize(
    "part",
    [
        COLD,
        Masked(COLD),
        Own(COLD, (2,)),
        Flow(COLD, [Coupling(2)]),
        Chain({"a": Gaussian(), "b": COLD}),
        Recurrent(Gaussian(0.5, temperature=0.0), walk, 2, (1,)),
    ],
    ids=lambda part: part.name,
)
def test_log_weights_need_a_density(part):
    for objective in (IWAE(), VIMCO(), ThermodynamicObjective(), PerturbativeBound()):
        with pytest.raises(ValueError, match="Gaussian of temperature 0 has none: take ELBO"):
            check_objective(objective, latents(part))
    check_objective(ELBO(), latents(part))
    check_objective(InfoVAE(), latents(part))


def test_a_kl_without_a_closed_form_and_without_a_density_is_refused():
    x = tensor(np.zeros((3, 2)))
    for posterior, prior in (
        (COLD, Own(Mixture(Gaussian(), 2), (2,))),
        (Flow(COLD, [Coupling(2)]), None),
    ):
        model = Latents(lambda x: (x, x), lambda z: z, posterior=posterior, prior=prior)
        with pytest.raises(ValueError, match="no closed form of the KL against"):
            ELBO().call(model.draws(x, 1, seed=0))
    standard = Latents(lambda x: (x, x), lambda z: z, posterior=COLD)
    assert np.all(np.isfinite(ops.convert_to_numpy(ELBO().call(standard.draws(x, 1, seed=0)))))


def test_the_total_correlation_needs_independent_entries():
    check_objective(BetaTC(100), latents(RelaxedBernoulli()))
    with pytest.raises(ValueError, match="entries of FullGaussian are not independent"):
        check_objective(BetaTC(100), latents(FullGaussian()))
    with pytest.raises(ValueError, match="those of Bernoulli have none"):
        check_objective(BetaTC(100), latents(Bernoulli()))


def test_a_learned_prior_without_a_path_is_refused_where_its_draws_teach_it():
    learned = Own(Mixture(Gaussian(), 2), (2,), spread=1.0)
    fixed = Own(Mixture(Gaussian(), 2), (2,), spread=1.0, trainable=False)
    check_objective(InfoVAE(), latents(Gaussian(), fixed))
    check_objective(ELBO(), latents(Gaussian(), learned))
    for model in (
        latents(Gaussian(), learned),
        latents(Gaussian(), Mixture(Gaussian(), 2), prior_network=lambda y: y),
    ):
        with pytest.raises(ValueError, match=r"those of Mixture have no gradient: take a prior"):
            check_objective(InfoVAE(), model)


def test_the_remedy_fits_the_part():
    for part, remedy in (
        (Bernoulli(), r"RelaxedBernoulli\(\)"),
        (Categorical(3), r"RelaxedCategorical\(num_classes\)"),
        (Poisson(), r"Gaussian\(\)"),
    ):
        with pytest.raises(ValueError, match=remedy):
            check_objective(IWAE(), latents(part))


@pytest.mark.slow
def test_the_perturbative_bound_has_the_gradient_at_fixed_v0_and_not_that_of_its_own_mean():
    """V0 follows the draws, and counts as fixed; with two draws and offset 0 that is no loss."""
    offset = 1.0
    noise, weights = grid(1, -6, 6, 61)
    mass = scipy.stats.norm.pdf(noise[:, 0]) * weights
    three = mass[:, None, None] * mass[:, None] * mass
    case = dataclasses.replace(cases()["Gaussian"], weights=weights)

    def log_weights(statistics):
        mean, log_var = statistics
        value = tensor(mean + np.exp(log_var / 2) * noise)
        return dataclasses.replace(case, value=value).on_grid(statistics)[0]

    def v0(log_w):
        return -(log_w[:, None, None] + log_w[:, None] + log_w) / 3 + offset

    def loss(log_w, v0):
        y = [log_w[:, None, None] + v0, log_w[:, None] + v0, log_w + v0]
        bracket = sum(1 + a + a**2 / 2 + a**3 / 6 for a in y) / 3
        tangent = np.log(0.1) + bracket / 0.1 - 1
        return np.sum(
            three * (v0 - np.where(bracket > 0.1, np.log(np.maximum(bracket, 0.1)), tangent))
        )

    begin = v0(log_weights(case.statistics))
    at_fixed, whole = [], []
    for i in range(2):
        derivative = np.zeros(2)
        for step, factor in STENCIL:
            moved = [s.copy() for s in case.statistics]
            moved[i] += step * STEP
            log_w = log_weights(moved)
            derivative += factor / STEP * np.array([loss(log_w, begin), loss(log_w, v0(log_w))])
        at_fixed.append(derivative[0])
        whole.append(derivative[1])
    found = case.sampled_gradients(PerturbativeBound(3, offset=offset), 20_000)
    assert np.all(sigmas(found, at_fixed)[0] < 5)
    assert np.any(sigmas(found, whole)[0] > 5)

"""The evidence of discrete latents as a sum over states; KERAS_BACKEND=jax or torch, too."""

import itertools

import numpy as np
import pytest
import scipy.special
from keras import ops
from test_parts_latents import Bits, tensor

from vae_keras.parts import (
    Bernoulli,
    Categorical,
    Chain,
    Gaussian,
    Latents,
    Mixture,
    Own,
    Poisson,
    Recurrent,
    RelaxedBernoulli,
    enumerated,
    enumeration,
)

numpy = ops.convert_to_numpy
RNG = np.random.default_rng(3)
TOLERANCE = {"rtol": 1e-6, "atol": 1e-5}  # of sums in float32


def assert_evidence(latents, x, log_joint):
    """log_joint is by NumPy, (states, batch)."""
    found = enumerated(latents, x)
    np.testing.assert_allclose(numpy(found), scipy.special.logsumexp(log_joint, 0), **TOLERANCE)


@pytest.mark.parametrize("part", [Bernoulli(), RelaxedBernoulli(0.3)])
def test_the_evidence_of_bits_is_the_sum_over_their_states(part):
    latents = Latents(*Bits.networks(), posterior=part, prior=Bits.prior(part))
    assert_evidence(latents, Bits.x, np.sum(Bits.log_w(), 0))


def test_blocks_of_states_and_of_examples_change_nothing(monkeypatch):
    prior = Bits.prior(Bernoulli())
    latents = Latents(
        lambda x: ops.zeros((ops.shape(x)[0], 4)),
        Bits.networks()[1],
        posterior=Bernoulli(),
        prior=prior,
    )
    monkeypatch.setattr(enumeration, "_EXAMPLES", 2)
    monkeypatch.setattr(enumeration, "_BLOCK", 2 * 3 * 5)  # five states of two examples
    assert_evidence(latents, Bits.x, np.sum(Bits.log_w(), 0))


def test_classes_under_a_prior_of_each_condition():
    logits, prior_kernel, kernel = (RNG.normal(size=s) for s in ((3, 2, 4), (1, 8), (2, 4, 3)))
    y = RNG.normal(size=(3, 1)).astype("float32")
    latents = Latents(
        lambda data: tensor(logits),
        lambda given: ops.sum(given["z"][..., None] * tensor(kernel), axis=(1, 2)),
        posterior=Categorical(4),
        prior=Categorical(4),
        prior_network=lambda y: ops.reshape(y @ tensor(prior_kernel), (-1, 2, 4)),
    )
    log_prior = scipy.special.log_softmax((y @ prior_kernel).reshape(3, 2, 4), -1)
    log_joint = [
        log_prior[:, 0, a]
        + log_prior[:, 1, b]
        + Bits.log_bernoulli(kernel[0, a] + kernel[1, b], Bits.x)
        for a, b in itertools.product(range(4), repeat=2)
    ]
    assert_evidence(latents, {"x": Bits.x.astype("float32"), "y": y}, log_joint)


def test_a_chain_with_networks_has_the_joint_states_of_its_parts():
    """Three classes, then two bits given the class, in the other order in q."""
    kernel, of_class, of_bits = (RNG.normal(size=s) for s in ((3, 2), (3, 3), (2, 3)))
    prior = Chain(
        {"class": Own(Categorical(3), ()), "bits": Bernoulli()},
        {"bits": lambda given: given["class"] @ tensor(kernel)},
    )
    statistics = {"bits": ops.zeros((3, 2)), "class": ops.zeros((3, 3))}
    latents = Latents(
        lambda x: statistics,
        lambda given: given["class"] @ tensor(of_class) + given["bits"] @ tensor(of_bits),
        posterior=Chain({"bits": Bernoulli(), "class": Categorical(3)}),
        prior=prior,
    )
    log_joint = [
        -np.log(3)
        + Bits.log_bernoulli(kernel[k], np.array(bits))
        + Bits.log_bernoulli(of_class[k] + bits @ of_bits, Bits.x)
        for k in range(3)
        for bits in itertools.product((0.0, 1.0), repeat=2)
    ]
    assert_evidence(latents, Bits.x, log_joint)


def test_a_hidden_markov_model_has_the_evidence_of_the_forward_algorithm():
    """Five steps of three classes; the first comes from zeros, so from the uniform one."""
    transition, emission = RNG.normal(size=(3, 3)), RNG.normal(size=3)
    x = (RNG.random((2, 5)) < 0.5).astype("float32")

    def cell(given, states):
        return given["previous"] @ tensor(transition), states

    latents = Latents(
        lambda x: ops.zeros((2, 5, 3)),
        lambda z: ops.sum(z * tensor(emission), axis=-1),
        posterior=Categorical(3),
        prior=Recurrent(Categorical(3), cell, 5, (3,)),
    )
    log_p = scipy.special.log_softmax(transition, -1)
    log_alpha = np.full((2, 3), -np.log(3))
    for t in range(5):
        if t:
            log_alpha = scipy.special.logsumexp(log_alpha[:, :, None] + log_p, 1)
        log_alpha += x[:, t, None] * emission - np.logaddexp(0, emission)
    assert_evidence(latents, x, log_alpha.T)


def test_a_mixture_of_bits_is_a_prior_of_bits():
    logits, components = RNG.normal(size=2), RNG.normal(size=(2, 4))
    prior = Own(Mixture(Bernoulli(), 2), (4,))
    for weight, value in zip(prior.values, (logits, components), strict=True):
        weight.assign(value)
    latents = Latents(*Bits.networks(), posterior=Bernoulli(), prior=prior)
    each = Bits.log_bernoulli(components, Bits.states[:, None])
    log_prior = scipy.special.logsumexp(scipy.special.log_softmax(logits) + each, 1)
    log_w, log_q = Bits.log_w()
    others = Bits.log_bernoulli(Bits.prior_logits, Bits.states)[:, None]
    assert_evidence(latents, Bits.x, log_w + log_q - others + log_prior[:, None])


@pytest.mark.parametrize(
    ("part", "statistics", "message"),
    [
        (Gaussian(), (ops.zeros((3, 4)),) * 2, "of real-valued latents take evidence.ais"),
        (Poisson(), ops.zeros((3, 4)), "finitely many values"),
        (
            Chain({"z": Gaussian(scale=1.0), "a": Bernoulli()}),
            {"z": ops.zeros((3, 4)), "a": ops.zeros((3, 1))},
            "All latents",
        ),
        (Bernoulli(), ops.zeros((3, 30)), r"30 latents have 2\^30 states"),
        (Categorical(3), ops.zeros((3, 7, 2, 3)), r"14 latents have 2\^22.19 states"),
        (Bernoulli(), ops.zeros((3, 784)), "average log-weights"),
    ],
)
def test_what_cannot_be_summed_is_refused_with_the_remedy(part, statistics, message):
    with pytest.raises(ValueError, match=message):
        enumerated(Latents(lambda x: statistics, lambda z: z, posterior=part), Bits.x)


def test_a_model_without_networks_is_refused():
    with pytest.raises(ValueError, match="networks with their parts; got str"):
        enumerated("model", Bits.x)

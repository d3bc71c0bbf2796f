"""Every sampler leaves the distribution that it samples as it is, and reaches it from elsewhere."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from linear_gaussian import LinearGaussian
from no_drift import (
    Gaussian,
    States,
    check_no_drift,
    check_samples,
    model_of_units,
    model_states,
)
from test_units_layers import KINDS, machine

from rbm_tf.gibbs import gibbs_chain
from rbm_tf.ising.spin_glass import planted_couplings
from rbm_tf.machine import Machine, hidden_input, machine_of
from rbm_tf.mean_field import tap
from rbm_tf.mean_field.path import all_log_weights, gibbs_path
from rbm_tf.rbm import RBM
from rbm_tf.tempered_path import pair_path, tempered_path
from rbm_tf.tempering import advance, tempered_sample, tempered_windows
from rbm_tf.training.negative_phase import (
    ContrastiveDivergence,
    ParallelTempering,
    PersistentContrastiveDivergence,
)
from rbm_tf.units import Binary
from vae_keras.evidence.paths import Schedule, anneal, latent_path

BETAS = np.array([0.0, 0.4, 0.7, 1.0])


@pytest.fixture
def rbm(random_rbm):
    return random_rbm(5, 3, scale=1.5)


def between(path, beta):
    """The RBM of the hidden units and F_beta(v) of `tempered_path`."""
    kernel, visible_bias, hidden_bias = path.machine.parameters
    bias = (1 - beta) * path.base_bias + beta * visible_bias
    return Machine(beta * kernel, bias, beta * hidden_bias)


def test_gibbs_step(rbm):
    check_no_drift(lambda v: rbm.gibbs_step(v, seed=1), model_states(rbm))


def test_gibbs_chain_of_hidden_states(rbm):
    kernel, visible_bias, hidden_bias = machine_of(rbm).parameters
    mirrored = Machine(tf.transpose(kernel), hidden_bias, visible_bias)
    start = model_states(mirrored).draw(np.random.default_rng(0), 20_000)
    v, inputs, h = gibbs_chain(
        rbm.machine, tf.constant(start), tf.constant(0), tf.constant(3), (0, 1)
    )
    check_samples(v, model_states(rbm))
    check_samples(h, model_states(mirrored))
    np.testing.assert_allclose(inputs, hidden_input(rbm.machine, v), atol=1e-12)


@pytest.mark.parametrize("beta", [0.4, 1.0])
def test_sweep_of_annealing(rbm, beta):
    path = tempered_path(rbm, base=np.linspace(0.2, 0.7, 5))

    def move(v):
        return path.sweep(path.hidden_input(v), beta, (0, 1))

    check_no_drift(move, model_states(between(path, beta)))


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_sweep_between_two_models(random_rbm, rbm, beta):
    path = pair_path(rbm, random_rbm(5, 2, seed=1))
    pairs = zip(path.first.parameters, path.second.parameters, strict=True)
    mixed = Machine(*((1 - beta) * first + beta * second for first, second in pairs))

    def move(v):
        return path.sweep(path.hidden_input(v), beta, (0, 1))

    check_no_drift(move, model_states(mixed))


@pytest.mark.parametrize("swap", [True, False])
def test_sweeps_and_swaps_of_tempering(rbm, swap):
    path = tempered_path(rbm, base=np.linspace(0.2, 0.7, 5))

    def move(*windows):
        v = tf.constant(np.stack(windows))
        state = v, path.hidden_input(v)
        for index in range(7):
            state = advance(path, tf.constant(BETAS), state, index, (0, 1), swap)
        np.testing.assert_allclose(state[1], path.hidden_input(state[0]), atol=1e-12)
        return state[0].numpy()

    check_no_drift(move, *(model_states(between(path, beta)) for beta in BETAS))


def chains_of(phase, rbm, data, num_updates=3):
    """The model's states after some updates; data are visible states."""
    inputs = hidden_input(rbm.machine, tf.constant(data))
    for _ in range(num_updates):
        states = phase(inputs, machine=rbm.machine, training=True)
    np.testing.assert_allclose(
        states.hidden_input, hidden_input(rbm.machine, states.visible), atol=1e-12
    )
    return states.visible


def test_contrastive_divergence_from_exact_data(rbm):
    phase = ContrastiveDivergence(num_steps=2, seed=0)
    phase.build((Binary(5), Binary(3)))
    check_no_drift(lambda v: chains_of(phase, rbm, v), model_states(rbm))


def test_persistent_contrastive_divergence(rbm):
    phase = PersistentContrastiveDivergence(num_chains=20_000, num_steps=2, seed=0)
    phase.build((Binary(5), Binary(3)))

    def move(v):
        mean = rbm.hidden_mean(v).numpy()
        phase.chains.assign(np.random.default_rng(1).random(mean.shape) < mean)
        return chains_of(phase, rbm, v[:1])

    check_no_drift(move, model_states(rbm))


def test_parallel_tempering_of_a_negative_phase(rbm):
    phase = ParallelTempering(num_betas=3, num_chains=20_000, num_steps=2, seed=0)
    phase.build((Binary(5), Binary(3)))
    path = tempered_path(rbm, base="uniform")  # fair coins

    def move(*windows):
        phase.chains.assign(np.stack(windows))
        visible = chains_of(phase, rbm, windows[-1][:1])
        np.testing.assert_array_equal(visible, phase.chains[-1])
        return phase.chains.numpy()

    check_no_drift(move, *(model_states(between(path, beta)) for beta in (0.0, 0.5, 1.0)))


UNIT_PAIRS = [  # every kind in every place where one layer can be summed over
    *((visible, "Binary") for visible in KINDS),
    *(("Spin", hidden) for hidden in KINDS if hidden != "Binary"),
    ("Potts", "Potts"),
    ("Gaussian", "Potts"),
    ("ReLU", "Spin"),
]


def rbm_of(visible, hidden, **options):
    v, h, a, b, kernel = machine(visible, hidden)
    return RBM.from_parameters(v, h, 2 * kernel, a, b, dtype="float64", seed=0, **options)


@pytest.mark.grid
@pytest.mark.slow
@pytest.mark.parametrize("names", UNIT_PAIRS, ids="-".join)
def test_gibbs_and_both_divergences_of_all_units(names):
    rbm = rbm_of(*names)
    target = model_of_units(rbm)
    check_no_drift(lambda v: rbm.gibbs_step(v, seed=1), target)
    once = ContrastiveDivergence(num_steps=2, seed=0)
    kept = PersistentContrastiveDivergence(num_chains=20_000, num_steps=2, seed=0)
    for phase in (once, kept):
        phase.build((rbm.visible, rbm.hidden))
    check_no_drift(lambda v: chains_of(once, rbm, v, 2), target)

    def move(v):
        fields = hidden_input(rbm.machine, tf.constant(v))
        kept.chains.assign(rbm.hidden.sample(fields, seed=3))
        return chains_of(kept, rbm, v[:1], 2)

    check_no_drift(move, target)


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize("names", UNIT_PAIRS, ids="-".join)
def test_sample_reaches_the_model_of_all_units(names):
    rbm = rbm_of(*names)
    v = rbm.sample(20_000, num_steps=30, seed=1)
    rbm.visible.check(v)
    check_samples(v, model_of_units(rbm))


def test_gibbs_step_of_gaussian_layers_keeps_the_joint_normal():
    rbm = rbm_of("Gaussian", "Gaussian")
    rbm.kernel.assign(rbm.kernel.numpy() / 2)  # lambda_max(K) of 0.46, and 1.8 before
    w, a, b = (x.numpy() for x in rbm.machine.parameters)
    layers = rbm.visible, rbm.hidden
    g = np.concatenate([np.exp(unit.parameters["log_precision"]) for unit in layers])
    precision = np.diag(g)
    precision[:3, 3:], precision[3:, :3] = -w, -w.T
    covariance = np.linalg.inv(precision)[:3, :3]
    mean = np.linalg.solve(precision, np.concatenate([a, b]))[:3]
    root = np.linalg.cholesky(covariance)

    def move(z):  # in coordinates of independent standard normal variables
        v = rbm.gibbs_step(mean + z @ root.T, seed=1).numpy()
        return np.linalg.solve(root, (v - mean).T).T

    check_no_drift(move, Gaussian(np.zeros(3), np.ones(3)))


@pytest.mark.long
def test_hamiltonian_moves_of_the_annealed_evidence():
    # ln q - ln p(x, z) is linear in z where q has the posterior's width: it shows one coordinate.
    model, shift, num_images = LinearGaussian(), 0.5, 3
    x = model.x[:num_images]
    mean, precision = (x - model.offset) @ model.to_mean, model.precision
    steps = Schedule(tf.constant([1.0] * 6 + [0.0]), tf.ones((5, num_images)), tf.constant(0.0))

    def move(z):
        z = z.reshape(-1, num_images, 2).astype("float32")
        moved = []
        for i in range(2):
            vae = model.vae(shift * np.eye(2)[i])
            path = latent_path(vae, x, "posterior")
            log_ratio, _, acceptance, _ = anneal(path, steps, tf.constant(z), seed=(0, 1))
            assert 0.5 < np.mean(acceptance) < 0.99
            along = (log_ratio + model.log_p()[:num_images]) / (precision[i] * shift)
            moved.append(mean[:, i] + along + shift / 2)
        return np.stack(moved, -1).reshape(len(z), -1)

    check_no_drift(move, Gaussian(mean.ravel(), np.tile(1 / precision, num_images)))


def test_sample_reaches_the_model(rbm):
    check_samples(rbm.sample(20_000, num_steps=100, seed=1), model_states(rbm))


@pytest.mark.long
def test_tempered_sample_reaches_the_model(rbm):
    v = tempered_sample(rbm, 20_000, betas=BETAS, num_steps=50, seed=1)
    check_samples(v, model_states(rbm))


@pytest.mark.parametrize("swap", [True, False])
def test_tempered_windows_reach_the_model(rbm, swap):
    options = {"num_chains": 20_000, "num_steps": 1, "num_burn_in": 40, "swap": swap, "seed": 1}
    check_samples(tempered_windows(rbm, betas=BETAS, **options).samples, model_states(rbm))


def test_base_of_annealing_has_its_means(rbm):
    path = tempered_path(rbm, base=np.linspace(0.2, 0.7, 5))
    check_samples(path.sample_base(20_000, (0, 1)), model_states(between(path, 0.0)))


def test_gibbs_path_reaches_the_distribution_at_each_lambda(rbm):
    point, lambdas = tap(rbm, order=1), [0.0, 0.5, 1.0]
    log_w, log_q = (x.numpy() for x in all_log_weights(rbm, point))
    samples = gibbs_path(rbm, point, lambdas, num_chains=20_000, num_steps=50, seed=0)
    for lam, perturbation in zip(lambdas, samples, strict=True):
        weight = np.exp(log_q + lam * log_w)
        target = States(-log_w[:, None], weight / weight.sum())
        check_samples(perturbation[:, None], target)


def test_planted_couplings_are_independent_with_the_planted_mean():
    glass = planted_couplings(20_000, (2, 2), beta=0.4, seed=3)
    bonds = np.stack([glass.right, glass.down], 1).reshape(20_000, 8)
    states = np.array(list(itertools.product([-1.0, 1.0], repeat=8)))
    weight = np.exp(0.4 * states.sum(1))
    check_samples(bonds, States(states, weight / weight.sum()))

"""Roads to ln Z that draw, for machines of all kinds of units, against exact answers."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logsumexp
from test_exact_pairs import pair
from test_units_layers import PAIRS

from rbm_tf.annealing import ais, choose_betas, log_z_ratio, reverse_ais, variance_verdict
from rbm_tf.enumeration import log_z, moments, thermodynamics
from rbm_tf.gibbs import gibbs_sweep
from rbm_tf.machine import Machine, clamped_free_energy, visible_input
from rbm_tf.pseudo_likelihood import pseudo_log_likelihood, stochastic_pseudo_log_likelihood
from rbm_tf.reweighting import importance_sampling, monte_carlo
from rbm_tf.tempered_path import pair_path, tempered_path
from rbm_tf.tempering import tempered_sample, tempered_windows
from rbm_tf.thermodynamics import annealed_thermodynamics
from rbm_tf.umbrella import bar, mbar, thermodynamic_integration
from rbm_tf.units import Binary, Gaussian, Mixed, Potts, Spin

TEN = [
    ("Gaussian", "Binary"),
    ("Binary", "Gaussian"),
    ("Spin", "DReLU"),
    ("Potts", "ReLU"),
    ("Potts", "Potts"),
    ("ReLU", "Gaussian"),
    ("ReLU", "ReLU"),
    ("DReLU", "Binary"),
    ("TruncatedExponential", "Potts"),
    ("Gaussian", "Gaussian"),
]
EXACT = {(visible, hidden): value for visible, hidden, value in PAIRS}
BETAS = np.linspace(0, 1, 31)


def exact_samples(machine, num, seed=0):
    """Independent draws of v from a machine whose hidden layer can be listed."""
    h = machine.hidden.layer_states()
    log_p = -clamped_free_energy(machine.transposed, h).numpy()
    p = np.exp(log_p - logsumexp(log_p))
    rows = np.random.default_rng(seed).choice(len(p), size=num, p=p / p.sum())
    return machine.visible.sample(visible_input(machine, tf.gather(h, rows)), seed=seed)


def within_five_errors(estimate, exact):
    assert abs(estimate.log_z - exact) < 5 * estimate.standard_error, estimate.log_z - exact
    assert estimate.standard_error < 0.2


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize(
    ("kinds", "start"), list(zip(TEN, itertools.cycle(["uniform", "means"]), strict=False)), ids=str
)
def test_annealing_is_unbiased(kinds, start):
    base = pair(*kinds)
    means = moments(base).visible + 0.05 * (kinds[0] != "Potts")
    start = means if start == "means" else start
    estimate = ais(base, num_chains=2000, betas=BETAS, seed=1, base=start)
    weights = np.exp(estimate.log_weights - EXACT[kinds])
    assert abs(weights.mean() - 1) < 5 * weights.std() / np.sqrt(2000)
    assert estimate.effective_sample_size > 1000


@pytest.mark.parametrize(
    "kinds", [("Gaussian", "Binary"), ("ReLU", "Spin"), ("Potts", "Potts"), ("DReLU", "Binary")]
)
def test_annealing_backwards_is_unbiased(kinds):
    base = pair(*kinds)
    samples = exact_samples(base, 2000)
    estimate = reverse_ais(base, samples, betas=BETAS, base="uniform", seed=1)
    inverse = np.exp(EXACT[kinds] - estimate.log_weights)
    assert abs(inverse.mean() - 1) < 5 * inverse.std() / np.sqrt(2000)


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize("kinds", TEN[::3], ids=str)
def test_tempering_with_bar_mbar_and_integration_agrees(kinds):
    betas = np.linspace(0, 1, 9)
    options = {"base": "uniform", "num_chains": 20, "num_steps": 60, "progress": False, "seed": 2}
    windows = tempered_windows(pair(*kinds), betas=betas, **options)
    for road in (bar, mbar):
        within_five_errors(road(windows), EXACT[kinds])
    energies = -thermodynamics(pair(*kinds), [0.0, 1.0]).energy
    bias = abs(np.diff(energies)[0]) / 12 / 8**2  # of the trapezoid rule
    integrated = thermodynamic_integration(windows)
    assert abs(integrated.log_z - EXACT[kinds]) < 5 * integrated.standard_error + 2 * bias


@pytest.mark.long
@pytest.mark.grid
@pytest.mark.parametrize("kinds", TEN, ids=str)
def test_independent_samples_give_log_z(kinds):
    base = pair(*kinds)
    within_five_errors(monte_carlo(base, num_samples=5000, seed=0), EXACT[kinds])
    if kinds[0] != "Potts":
        mean = moments(base).visible
        within_five_errors(importance_sampling(base, mean, num_samples=5000, seed=0), EXACT[kinds])


@pytest.mark.long
@pytest.mark.parametrize("kinds", [("Gaussian", "Binary"), ("ReLU", "Potts"), ("DReLU", "Spin")])
def test_the_ratio_of_two_machines_with_other_precisions(kinds):
    first = pair(*kinds)
    leaves = [x + 0.1 for x in tf.nest.flatten(first)]
    second = tf.nest.pack_sequence_as(first, leaves)
    samples = exact_samples(first, 2000)
    estimate = log_z_ratio(first, samples, second, betas=BETAS, seed=0)
    within_five_errors(estimate, log_z(second) - log_z(first))


def test_the_path_between_two_machines_mixes_their_energies():
    first, second = pair("DReLU", "ReLU"), pair("DReLU", "ReLU")
    second = tf.nest.map_structure(lambda x: 1.3 * x + 0.1, second)
    path, v = pair_path(first, second), tf.constant(np.random.default_rng(0).normal(size=(4, 3)))
    inputs = path.hidden_input(v)
    for old, new in ((0.0, 1.0), (0.2, 0.7)):
        ends = [between(first, second, beta) for beta in (old, new)]
        expected = clamped_free_energy(ends[0], v) - clamped_free_energy(ends[1], v)
        found = path.log_ratio(v, inputs, tf.constant(old, v.dtype), tf.constant(new, v.dtype))
        np.testing.assert_allclose(found, expected, atol=1e-10)


def between(first, second, beta):
    parameters = [
        (1 - beta) * a + beta * b for a, b in zip(first.parameters, second.parameters, strict=True)
    ]
    units = [
        getattr(first, layer).between(getattr(second, layer), beta)
        for layer in ("visible", "hidden")
    ]
    return Machine(*parameters, *units)


def test_machines_of_other_kinds_have_no_path_between_them():
    with pytest.raises(ValueError, match="same visible units; got Spin"):
        pair_path(pair("Spin", "Binary"), pair("Binary", "Binary"))
    with pytest.raises(ValueError, match=r"same kind; got .* with ais"):
        pair_path(pair("Binary", "Spin"), pair("Binary", "Binary"))


@pytest.mark.parametrize("kinds", TEN[::2], ids=str)
def test_energy_and_log_ratio_of_the_path_are_those_of_its_free_energy(kinds):  # B40
    base = pair(*kinds)
    path = tempered_path(base, base="uniform")
    v = base.visible.sample(tf.zeros((5, base.num_visible), tf.float64), seed=0)
    inputs, betas = path.hidden_input(v), [tf.constant(x, tf.float64) for x in (0.3, 0.8)]
    old, new = (path.free_energy(v, inputs, beta) for beta in betas)
    np.testing.assert_allclose(path.log_ratio(v, inputs, *betas), old - new, atol=1e-12)
    np.testing.assert_allclose(
        path.free_energy(v, inputs, tf.constant(1.0, tf.float64)),
        clamped_free_energy(base, v),
        atol=1e-12,
    )
    with tf.GradientTape() as tape:
        tape.watch(betas[0])
        total = tf.reduce_sum(path.free_energy(v, inputs, betas[0]))
    slope = tf.reduce_sum(path.derivative(v, inputs, betas[0]))
    np.testing.assert_allclose(slope, tape.gradient(total, betas[0]), atol=1e-10)


@pytest.mark.parametrize("kinds", [("Gaussian", "Binary"), ("Potts", "Spin"), ("ReLU", "Potts")])
def test_sweeps_leave_the_model_where_it_is(kinds):
    base, num = pair(*kinds), 20_000
    h = base.hidden.layer_states()
    log_p = -clamped_free_energy(base.transposed, h).numpy()
    p = np.exp(log_p - logsumexp(log_p))
    rows = np.random.default_rng(0).choice(len(p), size=num, p=p / p.sum())
    hidden = tf.gather(h, rows)
    for step in range(3):
        v, _, hidden = gibbs_sweep(base, hidden, tf.constant([5, step]))
    exact = moments(base)
    for draws, mean in ((v, exact.visible), (hidden, exact.hidden)):
        draws = draws.numpy()
        assert np.all(np.abs(draws.mean(0) - mean) < 5 * draws.std(0) / np.sqrt(num))
    products = v.numpy()[:, :, np.newaxis] * hidden.numpy()[:, np.newaxis]
    error = 5 * products.std(0) / np.sqrt(num)
    assert np.all(np.abs(products.mean(0) - exact.correlation) < error)


@pytest.mark.grid
@pytest.mark.slow
@pytest.mark.parametrize("kinds", [("Gaussian", "Gaussian"), ("Potts", "DReLU"), ("Spin", "ReLU")])
def test_tempered_samples_have_the_moments_of_the_model(kinds):
    base, num = pair(*kinds), 4000
    draws = tempered_sample(
        base, num, betas=np.linspace(0, 1, 4), num_steps=30, base="uniform", seed=0
    ).numpy()
    mean = moments(base).visible
    assert np.all(np.abs(draws.mean(0) - mean) < 5 * draws.std(0) / np.sqrt(num))


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [("Gaussian", "Binary"), ("Potts", "ReLU")])
def test_annealed_thermodynamics_follows_the_exact_curves(kinds):
    betas = np.linspace(0, 1, 41)
    found = annealed_thermodynamics(pair(*kinds), betas, num_chains=5000, seed=0)
    exact = thermodynamics(pair(*kinds), betas)
    np.testing.assert_allclose(found.log_z, exact.log_z, atol=0.05)
    np.testing.assert_allclose(found.entropy, exact.entropy, atol=0.15)
    np.testing.assert_allclose(found.heat_capacity, exact.heat_capacity, atol=0.25)


def gaussian_pair(coupling):
    """One Gaussian unit in each layer, with lambda_max(K) = coupling and ln Z in closed form."""
    kernel = np.array([[np.sqrt(coupling)]])
    return Machine(kernel, np.zeros(1), np.zeros(1), Gaussian(1), Gaussian(1))


def mean_square_of_a_step(coupling):
    """<w^2> / <w>^2 of one step from beta = 0 to 1, by the determinants of three Gaussians."""
    new, old = 1 - coupling, 1.0  # precisions of v
    return new / np.sqrt(2 * new - old)


def test_the_verdict_knows_where_the_variance_of_a_step_is_infinite():
    assert mean_square_of_a_step(0.36) == pytest.approx(1.8898 * 0.64, abs=1e-4)
    for coupling, finite in ((0.36, True), (0.49, True), (0.51, False), (0.64, False)):
        verdict = variance_verdict(gaussian_pair(coupling), [0.0, 1.0])
        assert verdict.trusted == finite == (2 * (1 - coupling) - 1 > 0)
        assert verdict.signs["largest_coupling"] == pytest.approx(coupling)
    assert variance_verdict(gaussian_pair(0.9), np.linspace(0, 1, 101)).trusted
    assert variance_verdict(pair("Gaussian", "Binary"), [0, 1]).signs["largest_step"] == 0


def test_annealing_warns_of_an_infinite_variance():
    with pytest.warns(UserWarning, match=r"reaches 1\.280, and lambda_max\(K\) is 0\.640"):
        ais(gaussian_pair(0.64), betas=[0, 1], num_chains=5, base="uniform", seed=0)


def test_a_chosen_path_serves_any_units():
    betas = choose_betas(pair("Gaussian", "ReLU"), num_betas=7, base="uniform", seed=0)
    assert betas[0] == 0 and betas[-1] == 1 and np.all(np.diff(betas) > 0)


@pytest.mark.parametrize("kinds", [("Spin", "Gaussian"), ("Potts", "ReLU"), ("Binary", "Potts")])
def test_pseudo_likelihood_is_the_conditional_of_each_unit(kinds):
    base = pair(*kinds)
    all_v = base.visible.layer_states().numpy()
    log_p = -clamped_free_energy(base, tf.constant(all_v)).numpy()
    width = base.visible.size // base.visible.num
    found = pseudo_log_likelihood(base, all_v[::3]).numpy()
    for row, v in enumerate(all_v[::3]):
        own = log_p[np.all(all_v == v, axis=1)][0]
        for unit in range(base.visible.num):
            others = np.delete(
                np.arange(base.visible.size), range(unit * width, (unit + 1) * width)
            )
            alike = np.all(all_v[:, others] == v[others], axis=1)
            assert found[row, unit] == pytest.approx(own - logsumexp(log_p[alike]), abs=1e-10)
    many = np.repeat(all_v[:1], 3000, 0)
    drawn = stochastic_pseudo_log_likelihood(base, many, seed=0).numpy()
    error = drawn.std() / np.sqrt(len(drawn))
    assert abs(drawn.mean() - pseudo_log_likelihood(base, all_v[:1]).numpy().sum()) < 5 * error


def test_pseudo_likelihood_of_mixed_layers_is_side_by_side():
    rng = np.random.default_rng(0)
    visible = Mixed([Binary(2), Potts(1, 3), Spin(1)])
    base = Machine(rng.normal(size=(6, 2)), rng.normal(size=6), np.zeros(2), visible, Binary(2))
    v = visible.layer_states().numpy()
    log_p = -clamped_free_energy(base, tf.constant(v)).numpy()
    found = pseudo_log_likelihood(base, v).numpy()
    assert found.shape == (24, 4)
    same = np.all(v[:, :5] == v[3, :5], axis=1)  # all but the spin
    assert found[3, 3] == pytest.approx(log_p[3] - logsumexp(log_p[same]), abs=1e-12)

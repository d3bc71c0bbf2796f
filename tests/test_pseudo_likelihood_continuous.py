"""The density of one continuous unit given all others, against closed forms and scipy."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from scipy.integrate import quad
from scipy.special import log_ndtr, logsumexp
from scipy.stats import norm
from test_exact_pairs import pair
from test_units_layers import KINDS, PRECISIONS, Count

from rbm_tf import pseudo_likelihood, quadrature
from rbm_tf.conditional import clamped_machine
from rbm_tf.machine import Machine, visible_input
from rbm_tf.pseudo_likelihood import pseudo_log_likelihood, stochastic_pseudo_log_likelihood
from rbm_tf.rbm import RBM
from rbm_tf.training import PseudoLikelihood
from rbm_tf.units import (
    Binary,
    DReLU,
    Gaussian,
    Mixed,
    Potts,
    ReLU,
    TruncatedExponential,
)

CONTINUOUS = ("Gaussian", "ReLU", "DReLU", "TruncatedExponential")


def random_machine(visible, hidden, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    shapes = (visible.size, hidden.size), visible.size, hidden.size
    kernel, a, b = (rng.normal(size=shape) for shape in shapes)
    return Machine(*map(tf.constant, (scale * kernel, a, b)), visible, hidden)


def _relu(x, g):
    return x * x / (2 * g) - np.log(g) / 2 + log_ndtr(x / np.sqrt(g))


GAMMA = {  # of a layer of KINDS in the fields x, without constants, by scipy
    "Binary": lambda x, g: np.logaddexp(0, x).sum(),
    "Spin": lambda x, g: np.logaddexp(x, -x).sum(),
    "Gaussian": lambda x, g: (x * x / (2 * g)).sum(),
    "Potts": lambda x, g: logsumexp(x.reshape(-1, 3), axis=1).sum(),
    "ReLU": lambda x, g: _relu(x, g).sum(),
    "DReLU": lambda x, g: np.logaddexp(_relu(x - 0.3, g), _relu(-0.2 - x, 2 * g)).sum(),
    "TruncatedExponential": lambda x, g: np.log(np.expm1(x) / x).sum(),
}
ENERGY = {  # of a visible unit of KINDS
    "Gaussian": lambda t, g: g * t * t / 2,
    "ReLU": lambda t, g: g * t * t / 2,
    "DReLU": lambda t, g: g * t * t / 2 + 0.3 * t if t > 0 else g * t * t - 0.2 * t,
    "TruncatedExponential": lambda t, g: 0.0,
}


def integrated(log_density, own, low, high):
    """ln p(own) of a density by scipy."""
    ends = [low, 0.0, high] if low < 0 < high else [low, high]
    here = log_density(own)
    pieces = [
        quad(lambda t: math.exp(log_density(t) - here), *piece, epsabs=0, epsrel=1e-10)
        for piece in itertools.pairwise(ends)
    ]
    return -math.log(sum(value for value, _ in pieces))


def mixture(machine, v):
    """ln p(v_i | others) of Gaussian units as a mixture over all states of the hidden ones."""
    kernel, _, b = (x.numpy() for x in machine.parameters)
    h = machine.hidden.layer_states().numpy()
    width = np.exp(-np.asarray(machine.visible.parameters["log_precision"]) / 2)
    mean = visible_input(machine, tf.constant(h)).numpy() * width**2  # (states, units)
    log_p = np.empty_like(v)
    for row, column in np.ndindex(*v.shape):
        others = np.where(np.arange(v.shape[1]) == column, 0, v[row])
        log_weight = h @ (b + others @ kernel) + (mean / width)[:, column] ** 2 / 2
        own = norm.logpdf(v[row, column], mean[:, column], width[column])
        log_p[row, column] = logsumexp(log_weight + own) - logsumexp(log_weight)
    return log_p


def test_two_gaussian_layers_leave_gaussian_units():
    precisions = np.array([1.0, 2.0, 0.5, 30.0]), np.array([1.0, 1.5, 0.2])
    machine = random_machine(Gaussian(4, precisions[0]), Gaussian(3, precisions[1]), scale=0.1)
    kernel, a, b = (x.numpy() for x in machine.parameters)
    matrix = np.diag(precisions[0]) - kernel / precisions[1] @ kernel.T  # the precision of v
    own = np.diag(matrix)
    v = 3 * np.random.default_rng(1).normal(size=(5, 4))
    mean = (a + kernel @ (b / precisions[1]) - v @ matrix + v * own) / own
    expected = norm.logpdf(v, mean, own**-0.5)
    np.testing.assert_allclose(pseudo_log_likelihood(machine, v), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("hidden", [Binary(5), Potts(2, 3)], ids=repr)
@pytest.mark.parametrize("scale", [0.3, 3.0, 100.0])
def test_gaussian_units_over_finite_ones_are_a_mixture_of_gaussians(hidden, scale):
    """At the largest scale its peaks are hundreds of widths apart."""
    machine = random_machine(Gaussian(3, [1.0, 0.3, 9.0]), hidden, scale)
    v = machine.visible.sample(tf.random.stateless_normal((6, 3), [0, 1], dtype="float64"), seed=0)
    v = scale * v.numpy()
    exact = mixture(machine, v)
    found = pseudo_log_likelihood(machine, v).numpy()
    np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("distance", [100.0, 1000.0])
def test_a_peak_far_from_v_counts_as_much_as_the_one_where_v_is(distance):
    parameters = [[distance]], [0.0], [-(distance**2) / 2]  # peaks alike at 0 and at the distance
    machine = Machine(*map(tf.constant, map(np.array, parameters)), Gaussian(1), Binary(1))
    found = pseudo_log_likelihood(machine, [[0.5], [distance - 1]]).numpy()
    np.testing.assert_allclose(found[:, 0], norm.logpdf([0.5, 1]) - math.log(2), rtol=0, atol=1e-9)


@pytest.mark.long
@pytest.mark.grid
@pytest.mark.parametrize("hidden", KINDS)
@pytest.mark.parametrize("visible", CONTINUOUS)
def test_density_of_every_pair_has_the_integral_of_scipy(visible, hidden):
    machine = pair(visible, hidden)
    kernel, a, b = (x.numpy() for x in machine.parameters)
    v = machine.visible.sample(tf.zeros((2, 3), tf.float64), seed=0).numpy()
    found = pseudo_log_likelihood(machine, v).numpy()
    for row, i in np.ndindex(2, 3):

        def log_density(t, row=row, i=i):
            fields = b + v[row] @ kernel + (t - v[row, i]) * kernel[i]
            gamma = GAMMA[hidden](fields, PRECISIONS[2])
            return a[i] * t - ENERGY[visible](t, PRECISIONS[3][i]) + gamma

        expected = integrated(log_density, v[row, i], *machine.visible.bounds)
        assert found[row, i] == pytest.approx(expected, abs=1e-9)


@pytest.mark.long
def test_mixed_layer_has_probabilities_and_densities_side_by_side():
    visible = Mixed([Binary(2), Gaussian(1, 2.0), Potts(1, 3), TruncatedExponential(1)])
    machine = random_machine(visible, Mixed([Binary(2), Gaussian(1, 10.0)]))
    kernel, a, b = (x.numpy() for x in machine.parameters)

    def log_p(x):
        fields = b + x @ kernel
        gamma = GAMMA["Binary"](fields[:2], 1) + GAMMA["Gaussian"](fields[2:], 10.0)
        return a @ x - x[2] ** 2 + gamma

    v = visible.sample(tf.zeros((3, 7), tf.float64), seed=0).numpy()
    found = pseudo_log_likelihood(machine, v).numpy()
    assert found.shape == (3, 5)
    for row in range(3):
        for unit, column, low, high in ((2, 2, -np.inf, np.inf), (4, 6, 0.0, 1.0)):

            def log_density(t, row=row, column=column):
                return log_p(np.where(np.arange(7) == column, t, v[row]))

            expected = integrated(log_density, v[row, column], low, high)
            assert found[row, unit] == pytest.approx(expected, abs=1e-9)
        flipped = np.where(np.arange(7) == 0, 1 - v[row], v[row])
        exact = log_p(v[row]) - np.logaddexp(log_p(v[row]), log_p(flipped))
        assert found[row, 0] == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "unit",
    [
        Gaussian(4, [1e-6, 1.0, 1e6, 1.0]),
        ReLU(4, [1e-6, 1.0, 1e6, 1.0]),
        DReLU(4, 1e-4, 1e4, threshold_plus=3.0, threshold_minus=-3.0),
        TruncatedExponential(4),
    ],
    ids=repr,
)
def test_ranges_fit_densities_of_any_width_wherever_v_is(unit, dtype):
    bias = np.array([0.5, -1e4, 30.0, 1e4])
    parameters = np.zeros((4, 2)), bias, np.zeros(2)
    machine = Machine(*(tf.constant(x, dtype) for x in parameters), unit, Binary(2))
    v = np.array([[0.3, 0.01, 1.0, 0.9], [0.0, 1.0, 0.5, 0.0]])
    wide = tf.constant(v)
    expected = bias * wide - unit.energy(wide) - unit.cgf(tf.constant(bias))
    found = pseudo_log_likelihood(machine, v)
    assert found.dtype == dtype
    rtol = 1e-12 if dtype == "float64" else 1e-6
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-9)


@pytest.mark.parametrize("coupling", [0.999, 0.9999])
def test_a_density_that_hardly_falls_off_is_integrated_and_one_that_rises_is_refused(coupling):
    layers = Gaussian(1), Gaussian(1)
    machine = Machine(np.full((1, 1), coupling**0.5), np.ones(1), np.zeros(1), *layers)
    width = (1 - coupling) ** -0.5
    expected = norm.logpdf(3.0, width**2, width)
    found = pseudo_log_likelihood(machine, [[3.0]])
    np.testing.assert_allclose(found, [[expected]], rtol=0, atol=1e-8)
    for kernel in (1.0, 1.3, np.nan):
        machine = Machine(np.full((1, 1), kernel), np.ones(1), np.zeros(1), *layers)
        with pytest.raises(ValueError, match="does not fall off"):
            pseudo_log_likelihood(machine, [[3.0]])


def test_densities_are_found_wherever_they_exist_and_refused_where_they_rise_far_out():
    many = Gaussian(3), Gaussian(3)  # each unit has a density, and all together have none
    machine = Machine(np.full((3, 3), 0.5), *np.zeros((2, 3)), *many)
    assert np.all(np.isfinite(pseudo_log_likelihood(machine, np.ones((1, 3)))))
    layers = ReLU(1), ReLU(1)
    below = Machine(np.full((1, 1), -3.0), np.ones(1), np.ones(1), *layers)  # K is 9
    expected = integrated(lambda t: t - t * t / 2 + _relu(1 - 3 * t, 1.0), 0.7, 0.0, np.inf)
    assert float(pseudo_log_likelihood(below, [[0.7]])[0, 0]) == pytest.approx(expected, abs=1e-9)
    rising = Machine(np.full((1, 1), 1.3), np.zeros(1), np.full(1, -50.0), *layers)
    with pytest.raises(ValueError, match="does not fall off"):
        pseudo_log_likelihood(rising, [[0.7]])


@pytest.mark.long
def test_stochastic_value_is_that_of_one_unit_of_each_example():
    visible = Mixed([Gaussian(2), Binary(2), TruncatedExponential(2)])
    machine = random_machine(visible, Binary(3))
    v = visible.sample(tf.zeros((200, 6), tf.float64), seed=0)
    exact = 6 * pseudo_log_likelihood(machine, v).numpy()
    drawn = stochastic_pseudo_log_likelihood(machine, v, seed=0).numpy()
    distance = np.abs(exact - drawn[:, np.newaxis])
    assert distance.min(1).max() < 1e-10
    assert set(distance.argmin(1)) == set(range(6))
    assert len(stochastic_pseudo_log_likelihood(machine, v[:1], seed=0)) == 1


def test_blocks_of_examples_change_nothing(monkeypatch):
    machine = random_machine(ReLU(2), Binary(4))
    v = machine.visible.sample(tf.zeros((3, 2), tf.float64), seed=0)
    whole = pseudo_log_likelihood(machine, v).numpy()
    for module in (pseudo_likelihood, quadrature):
        monkeypatch.setattr(module, "_NUMBERS", 500)
    np.testing.assert_allclose(pseudo_log_likelihood(machine, v), whole, rtol=1e-13)


def test_units_that_no_integral_is_for_are_refused():
    with pytest.raises(ValueError, match=r"Count\(2\) are neither continuous nor of finitely many"):
        pseudo_log_likelihood(random_machine(Count(2), Binary(2)), [[1.0, 3.0]])
    rbm = RBM(Gaussian(2), Binary(2))
    with pytest.raises(ValueError, match=r"units that are free; got Clamped"):
        pseudo_log_likelihood(clamped_machine(rbm, [[1.0, np.nan]]), [[1.0, 3.0]])
    with pytest.raises(ValueError, match=r"\[0, 1\]: the first is 3.0"):
        pseudo_log_likelihood(RBM(TruncatedExponential(2), Binary(2)), [[1.0, 3.0]])


def test_monitor_watches_continuous_units():
    x = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    rbm = RBM(Gaussian(3), Binary(2), seed=0)
    monitor = PseudoLikelihood(x, seed=0)
    logged = rbm.fit(x, verbose=0, callbacks=[monitor]).history["pseudo_log_likelihood"]
    exact = stochastic_pseudo_log_likelihood(rbm, x, seed=tf.random.fold_in(monitor.seed, 0))
    assert logged == [pytest.approx(float(tf.reduce_mean(exact)), rel=1e-6)]

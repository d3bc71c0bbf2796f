"""Exact ln Z and averages of small machines of all pairs of kinds of units."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy.integrate import quad
from scipy.special import gammaln, logsumexp
from scipy.stats import norm
from test_units_layers import KINDS, PAIRS, PRECISIONS, A, B, Count, W, machine, points

from rbm_tf import quadrature
from rbm_tf.enumeration import log_z, moments, thermodynamics
from rbm_tf.machine import Machine, clamped_free_energy, energy, hidden_input
from rbm_tf.quadrature import visible_rule
from rbm_tf.rbm import RBM
from rbm_tf.state_sums import is_quick, oriented
from rbm_tf.units import Binary, DReLU, Gaussian, Mixed, Potts, ReLU, Spin, TruncatedExponential


def pair(visible, hidden):
    """The machine of the table for two kinds, float64."""
    v, h, a, b, kernel = machine(visible, hidden)
    return Machine(*map(tf.constant, (kernel, a, b)), v, h)


@pytest.mark.grid
@pytest.mark.parametrize(("visible", "hidden", "exact"), PAIRS)
def test_log_z_is_exact_for_every_pair(visible, hidden, exact):
    assert log_z(pair(visible, hidden)) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("hidden", KINDS)
@pytest.mark.parametrize("visible", ["Spin", "Gaussian", "Potts"])
def test_clamped_free_energy_has_the_hidden_units_summed_out(visible, hidden):  # B36
    base = pair(visible, hidden)
    v = base.visible.sample(tf.zeros((3, base.num_visible), tf.float64), seed=0)
    h, log_weights = points(base.hidden)
    with tf.GradientTape() as tape:
        tape.watch(base.kernel)
        clamped = clamped_free_energy(base, v)
    summed = [
        -logsumexp(log_weights - energy(base, tf.repeat(row[tf.newaxis], len(h), 0), h))
        for row in v
    ]
    np.testing.assert_allclose(clamped, summed, atol=1e-10)
    mean = base.hidden.mean(hidden_input(base, v)).numpy()
    np.testing.assert_allclose(tape.gradient(clamped, base.kernel), -v.numpy().T @ mean, atol=1e-12)


MOMENTS = {  # <v_1>, <h_1>, <v_1 h_1>
    ("Gaussian", "Binary"): (0.2480214106, 0.5750460007, 0.2671185974),
    ("Binary", "Gaussian"): (0.5483906723, 0.2014634805, 0.2218154641),
    ("Gaussian", "ReLU"): (0.3058360652, 0.9377371752, 0.5452563682),
    ("Spin", "DReLU"): (0.1831327456, 0.2991316423, 0.3716946896),
    ("Potts", "Potts"): (0.3207709815, 0.3138177654, 0.1291126064),
    ("ReLU", "ReLU"): (0.9328527431, 0.9187262324, 0.9617340541),
}


@pytest.mark.grid
@pytest.mark.parametrize("kinds", MOMENTS, ids=str)
def test_moments_are_exact(kinds):
    found = moments(pair(*kinds))
    first = found.visible[0], found.hidden[0], found.correlation[0, 0]
    np.testing.assert_allclose(first, MOMENTS[kinds], atol=1e-9)


@pytest.mark.grid
@pytest.mark.parametrize(
    "kinds",
    [
        ("Gaussian", "Binary"),
        ("DReLU", "Spin"),
        ("ReLU", "Gaussian"),
        ("Potts", "DReLU"),
        ("Gaussian", "Gaussian"),
        pytest.param(("TruncatedExponential", "ReLU"), marks=pytest.mark.long),
    ],
    ids=str,
)
def test_moments_are_the_slopes_of_log_z(kinds):
    base = pair(*kinds)
    found, leaves = moments(base), tf.nest.flatten(base)
    slopes = [found.correlation, found.visible, found.hidden]
    slopes += [*found.visible_slopes.values(), *found.hidden_slopes.values()]
    assert len(slopes) == len(leaves)
    rng = np.random.default_rng(0)
    for index, (leaf, slope) in enumerate(zip(leaves, slopes, strict=True)):
        direction = rng.normal(size=leaf.shape)

        def moved(step, index=index, leaf=leaf, direction=direction):
            others = list(leaves)
            others[index] = leaf + step * direction
            return log_z(tf.nest.pack_sequence_as(base, others))

        difference = (moved(1e-4) - moved(-1e-4)) / 2e-4
        assert difference == pytest.approx(np.sum(slope * direction), abs=1e-6)


@pytest.mark.parametrize("kinds", [("Spin", "Binary"), ("Potts", "ReLU"), ("Gaussian", "Gaussian")])
def test_energy_and_heat_capacity_are_derivatives_of_log_z(kinds):
    base, betas, step = pair(*kinds), np.array([0.4, 1.0]), 3e-4
    exact = thermodynamics(base, betas)
    below, above = (thermodynamics(base, betas + shift).log_z for shift in (-step, step))
    np.testing.assert_allclose(exact.energy, -(above - below) / (2 * step), atol=1e-6)
    bend = (above - 2 * exact.log_z + below) / step**2
    np.testing.assert_allclose(exact.heat_capacity, betas**2 * bend, atol=1e-5)


def test_rectified_pairs_have_the_closed_form():  # also beyond lambda_max(K) = 1
    def found(w):
        return np.exp(log_z(Machine(np.array([[w]]), np.zeros(1), np.zeros(1), ReLU(1), ReLU(1))))

    for w in (-0.9, -0.3, 0.5, 0.95):
        assert found(w) == pytest.approx(np.arccos(-w) / np.sqrt(1 - w**2), rel=1e-9)
    for w in (-1.2, -3.0):
        assert found(w) == pytest.approx(np.arccosh(-w) / np.sqrt(w**2 - 1), rel=1e-9)


@pytest.mark.parametrize("kind", [Gaussian, ReLU])
def test_an_infinite_log_z_is_refused(kind):
    grows = Machine(np.array([[1.1]]), np.zeros(1), np.zeros(1), kind(1), kind(1))
    with pytest.raises(ValueError, match="Z is infinite"):
        log_z(grows)


def test_spin_layers_are_binary_ones_with_other_parameters():
    spin = Machine(W, A, B, Spin(3), Spin(2))
    binary = Machine(4 * W, 2 * (A - W.sum(1)), 2 * (B - W.sum(0)))
    assert log_z(spin) == pytest.approx(log_z(binary) + W.sum() - A.sum() - B.sum(), abs=1e-12)


def test_binary_units_with_gaussian_hidden_ones_are_the_hopfield_model():  # B39
    g = PRECISIONS[2]
    coupling = W / g @ W.T
    v = Binary(3).layer_states().numpy()
    exponents = v @ (A + W @ (B / g)) + np.einsum("si,ij,sj->s", v, coupling, v) / 2
    constant = np.sum(B**2 / (2 * g) + np.log(2 * np.pi / g) / 2)
    assert log_z(pair("Binary", "Gaussian")) == pytest.approx(
        np.logaddexp.reduce(exponents) + constant, abs=1e-12
    )


def test_a_mixed_layer_is_summed_over_where_the_other_cannot_be():
    kernel = np.concatenate([W, W[:, ::-1]])
    visible = Mixed([Binary(3), Spin(3)])
    hidden = Gaussian(2, PRECISIONS[2])
    found = log_z(Machine(kernel, np.append(A, A), B, visible, hidden))
    states = visible.layer_states().numpy()
    inputs = B + states @ kernel
    exact = states @ np.append(A, A) + np.sum(hidden.cgf(inputs), -1)
    assert found == pytest.approx(np.logaddexp.reduce(exact), abs=1e-12)


@pytest.mark.long
def test_machines_whose_rules_have_other_lengths_share_a_graph():
    g = np.array([[1.0, -0.5], [-0.5, 1.0]])  # U of v and h together, of which h is above 0
    for bias in (0.0, 50.0):
        one = Machine(np.array([[0.5]]), np.array([bias]), np.zeros(1), Gaussian(1), ReLU(1))
        mean = np.linalg.solve(g, [bias, 0.0])
        whole = np.log(2 * np.pi) - np.log(np.linalg.det(g)) / 2 + bias * mean[0] / 2
        exact = whole + norm.logcdf(mean[1] / np.linalg.inv(g)[1, 1] ** 0.5)
        assert log_z(one) == pytest.approx(exact, abs=1e-9)
        assert thermodynamics(one, [0.1, 1.0]).log_z[1] == pytest.approx(exact, abs=1e-9)
        found = moments(one)
        assert found.visible[0] == pytest.approx(bias + found.hidden[0] / 2, abs=1e-9)


def test_the_box_of_a_rule_follows_a_sharp_and_distant_peak():
    for precision, field in ((1e4, 1e6), (1e-6, 3.0), (1.0, -200.0)):
        kernel, biases = np.array([[0.1]]), (np.array([field]), np.zeros(1))
        sharp = Machine(kernel, *biases, Gaussian(1, precision), KINDS["ReLU"](2).__class__(1, 1e8))
        points, log_weights = visible_rule(sharp)
        mean, sd = field / precision, precision**-0.5
        assert abs(points.numpy().mean() - mean) < 12 * sd
        log_total = float(tf.reduce_logsumexp(log_weights - _quadratic(points, precision, field)))
        exact = field**2 / (2 * precision) + np.log(2 * np.pi / precision) / 2
        assert log_total == pytest.approx(exact, rel=1e-12, abs=1e-9)


TWO_PEAKS = {"threshold_plus": -15.1, "threshold_minus": 0.15}  # at 15.1 and at -1500


@pytest.mark.slow
@pytest.mark.parametrize("w", [0.0, 0.001])
@pytest.mark.parametrize("num", [1, 2])
def test_peaks_far_from_each_other_all_count(num, w):
    layers = DReLU(num, 1.0, 1e-4, **TWO_PEAKS), Gaussian(num)
    assert oriented(Machine(tf.zeros((num, num), tf.float64), *np.zeros((2, num)), *layers))[1]
    found = log_z(Machine(w * np.eye(num), np.zeros(num), np.zeros(num), *layers))
    without_h = DReLU(1, 1.0 - w**2, 1e-4 - w**2, **TWO_PEAKS).cgf(np.zeros(1))[0]
    assert found == pytest.approx(num * (float(without_h) + np.log(2 * np.pi) / 2), abs=1e-8)


@pytest.mark.long
@pytest.mark.parametrize(("num", "w"), [(1, 50.0), (1, 300.0), (2, 20.0), (2, 300.0)])
def test_mass_in_the_corners_of_the_box_is_found(num, w):
    kernel, biases = w * np.tile([1.0, -1.0], (num, 1)), (np.zeros(num), np.array([0.0, w * num]))
    found = log_z(Machine(kernel, *biases, TruncatedExponential(num), ReLU(2)))

    def gamma(x):
        return x**2 / 2 + np.log(2 * np.pi) / 2 + norm.logcdf(x)

    def integrand(s):  # of the sum of v, which has the density 1, or s for two below 1; times 2
        top = gamma(0.0) + gamma(w * num)
        return 2 * np.exp(gamma(w * s) + gamma(w * (num - s)) - top) * s ** (num - 1)

    ends = np.append(0, num / 2 * 0.5 ** np.arange(30, -1, -1.0))
    parts = [quad(integrand, *pair, epsabs=0)[0] for pair in itertools.pairwise(ends)]
    exact = gamma(0.0) + gamma(w * num) + np.log(sum(parts))
    assert found == pytest.approx(exact, rel=1e-13, abs=1e-8)


def test_an_integral_that_does_not_settle_is_refused(monkeypatch):
    monkeypatch.setattr(quadrature, "_MOST_POINTS", 500)
    kernel, biases = np.array([[300.0, -300.0]]), (np.zeros(1), np.array([0.0, 300.0]))
    with pytest.raises(ValueError, match=r"does not settle with 500 points.*annealing\.ais"):
        log_z(Machine(kernel, *biases, TruncatedExponential(1), ReLU(2)))


@pytest.mark.slow
def test_counts_are_summed_and_not_integrated():
    t, a, b, w = np.arange(60.0), 0.3, -0.2, 0.5
    exact = logsumexp(a * t - gammaln(t + 1) + np.log(np.expm1(b + w * t) / (b + w * t)))
    base = Machine(*map(np.array, ([[w]], [a], [b])), Count(1), TruncatedExponential(1))
    for counted in (base, base.transposed):
        assert is_quick(counted)
        assert log_z(counted) == pytest.approx(exact, abs=1e-9)
    mixed = Mixed([Count(1), Gaussian(1)])
    both = Machine(np.array([[w], [0.0]]), np.array([a, 0.0]), np.array([b]), mixed, base.hidden)
    assert log_z(both) == pytest.approx(exact + np.log(2 * np.pi) / 2, abs=1e-9)
    counts = Machine(np.array([[w]]), np.array([a]), np.array([b]), Count(1), Count(1))
    assert not is_quick(counts)
    with pytest.raises(ValueError, match=r"Count\(1\) and Count\(1\).*annealing\.ais"):
        log_z(counts)
    with pytest.raises(ValueError, match="Z is infinite"):
        log_z(Machine(0.1 * np.eye(2), np.zeros(2), np.zeros(2), Count(2), Gaussian(2)))


def _quadratic(points, precision, field):
    return tf.reduce_sum(precision * points**2 / 2 - field * points, -1)


def test_what_is_too_large_or_has_no_end_is_refused_with_the_remedy():
    large = RBM(Potts(20, 3), Binary(30))
    with pytest.raises(ValueError, match=r"Potts\(20, 3\).* about 2\^30.*annealing"):
        log_z(large)
    with pytest.raises(ValueError, match=r"about 2\^1100"):
        log_z(Machine(np.zeros((1100, 1100)), np.zeros(1100), np.zeros(1100)))
    with pytest.raises(ValueError, match=r"both have infinitely many.*annealing\.ais"):
        log_z(RBM(Gaussian(4), ReLU(4)))
    assert not is_quick(large) and is_quick(RBM(Gaussian(50), Gaussian(40)))

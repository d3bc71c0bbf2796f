"""Mean field where its answer is known: Gaussian layers, and theories that are the same."""

import numpy as np
import pytest
from scipy.optimize import root
from test_mean_field_units import machine_with, random_machine

from rbm_tf import enumeration
from rbm_tf.machine import Machine
from rbm_tf.mean_field import cumulant_free_energy, tap
from rbm_tf.units import Binary, Gaussian, Mixed, Potts, ReLU, Spin, TruncatedExponential


def gaussian_machine(num_visible, num_hidden, scale, *, seed=0, biases=True):
    """Random weights of scale / sqrt(num_visible) and precisions around 1."""
    rng = np.random.default_rng(seed)
    kernel = scale * rng.normal(size=(num_visible, num_hidden)) / np.sqrt(num_visible)
    a, b = (biases * rng.normal(size=num) for num in kernel.shape)
    units = [Gaussian(num, rng.uniform(0.8, 1.5, num)) for num in kernel.shape]
    return Machine(kernel, a, b, *units)


def exact_gaussian(machine):
    """ln Z, the means, and the spectrum kappa of gv^-1/2 W gh^-1 W^T gv^-1/2."""
    gv, gh = (np.exp(unit.parameters["log_precision"]) for unit in layers(machine))
    w, k = machine.kernel, np.concatenate([machine.visible_bias, machine.hidden_bias])
    precision = np.block([[np.diag(gv), -w], [-w.T, np.diag(gh)]])
    log_z = len(k) / 2 * np.log(2 * np.pi) - np.linalg.slogdet(precision)[1] / 2
    means = np.linalg.solve(precision, k)
    scaled = w / np.sqrt(np.outer(gv, gh))
    return log_z + k @ means / 2, means, np.linalg.eigvalsh(scaled @ scaled.T)


def layers(machine):
    return machine.visible, machine.hidden


@pytest.mark.slow
def test_gaussian_layers_have_exact_means_and_the_series_of_a_determinant():
    machine = gaussian_machine(5, 4, 0.4)
    log_z, means, kappa = exact_gaussian(machine)
    terms = {1: -np.sum(np.log1p(-kappa)) / 2}  # F_1 - F = -ln det(1 - K) / 2
    terms[2] = terms[3] = terms[1] - np.sum(kappa) / 2
    terms[4] = terms[3] - np.sum(kappa**2) / 4
    for order, gap in terms.items():
        point = tap(machine, order=order)
        assert point.free_energy + log_z == pytest.approx(gap, abs=1e-11)
        np.testing.assert_allclose(np.concatenate([point.visible, point.hidden]), means, atol=1e-10)
        series = float(cumulant_free_energy(machine, order))
        assert series == pytest.approx(point.free_energy, abs=1e-11)


def test_without_a_finite_log_z_there_is_no_convergence():
    point = tap(gaussian_machine(6, 6, 1.5), order=1)  # K has an eigenvalue above 1
    assert not point.converged
    assert exact_gaussian(gaussian_machine(6, 6, 1.5))[2].max() > 1


@pytest.mark.slow
def test_binary_units_between_gaussian_ones_have_the_mean_field_of_their_own():
    """Order 2 is naive mean field of p(h), whose couplings are W^T W: a bound again."""
    machine = machine_with("Gaussian", "Binary")
    w, a, b = (x.numpy() for x in machine.parameters)
    g = np.exp(machine.visible.parameters["log_precision"])
    coupling, field = w.T @ (w / g[:, None]), b + w.T @ (a / g)

    def logits(n):
        return field + np.diag(coupling) / 2 + (coupling - np.diag(np.diag(coupling))) @ n

    n = root(lambda n: n - 1 / (1 + np.exp(-logits(n))), np.full(2, 0.5), tol=1e-14).x
    constant = np.sum(a**2 / g - np.log(g / (2 * np.pi))) / 2
    naive = np.sum(n * np.log(n) + (1 - n) * np.log1p(-n)) - field @ n - n @ coupling @ n / 2
    naive -= np.diag(coupling) @ (n - n**2) / 2 + constant
    for order in (2, 3):
        point = tap(machine, order=order)
        np.testing.assert_allclose(point.hidden, n, atol=1e-11)
        np.testing.assert_allclose(point.visible, (a + w @ n) / g, atol=1e-11)
        assert point.free_energy == pytest.approx(naive, abs=1e-12)
        assert point.free_energy > -enumeration.log_z(machine)


@pytest.mark.long
def test_means_alone_are_wrong_by_an_amount_that_grows_with_size_and_variances_cure_it():
    errors, cured = [], []
    for num in (50, 100, 200):
        rng = np.random.default_rng(num)
        kernel = 0.4 * rng.normal(size=(num, num)) / np.sqrt(num)
        machine = Machine(kernel, np.zeros(num), np.zeros(num), Gaussian(num), Gaussian(num))
        log_z = exact_gaussian(machine)[0]
        points = [tap(machine, moments=moments, num_starts=1) for moments in (1, 2)]
        assert all(point.converged for point in points)
        gaps = [point.free_energy + log_z for point in points]
        errors.append(gaps[0] / num)
        cured.append(gaps[1])
    np.testing.assert_allclose(errors, 0.0183, rtol=0.12)  # 0.9, 1.8, 3.7 nats
    assert np.all(np.abs(cured) < 0.1)


def test_variances_of_gaussian_layers_are_better_than_without_reaction():
    machine = gaussian_machine(60, 60, 0.4, biases=False)
    gv = np.exp(machine.visible.parameters["log_precision"])
    gh = np.exp(machine.hidden.parameters["log_precision"])
    precision = np.block([[np.diag(gv), -machine.kernel], [-machine.kernel.T, np.diag(gh)]])
    exact = np.diag(np.linalg.inv(precision))[:60]
    found = {}
    for moments in (1, 2):
        slope = tap(machine, moments=moments, num_starts=1).visible_slopes["log_precision"]
        found[moments] = np.abs(-2 * slope / gv - exact).max()  # slope = -g <v^2> / 2
    assert found[2] < found[1] / 2 < np.abs(1 / gv - exact).max() / 2


@pytest.mark.parametrize("layers", [(Binary(5), Binary(4)), (Spin(5), Binary(4))])
def test_two_moments_of_units_with_two_states_are_tap(layers):
    machine = random_machine(*layers, scale=0.4)
    one, two = (tap(machine, moments=moments) for moments in (1, 2))
    assert two.converged
    assert two.free_energy == pytest.approx(one.free_energy, rel=1e-12)
    for name in ("visible", "hidden", "visible_field", "hidden_field", "correlation"):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), atol=1e-10)


@pytest.mark.long
@pytest.mark.parametrize(
    ("visible", "hidden", "power"), [("Gaussian", "Spin", 4), ("ReLU", "Binary", 3)]
)
def test_two_moments_are_of_second_order(visible, hidden, power):
    errors = []
    for scale in (0.2, 0.1):
        machine = machine_with(visible, hidden, scale)
        point, exact = tap(machine, moments=2), enumeration.moments(machine)
        name = "log_precision"
        slope = point.visible_slopes[name] - exact.visible_slopes[name]
        gap = point.log_z - enumeration.log_z(machine)
        pair = point.correlation - exact.correlation
        errors.append([abs(gap), np.linalg.norm(slope), np.linalg.norm(pair)])
    found = np.log2(np.divide(*errors))
    assert np.all(found > np.array([power, power, power - 1]) - 0.35), found


def one_bond(w):
    return Machine(np.full((1, 1), w), np.ones(1), np.zeros(1), Gaussian(1), Gaussian(1))


def test_two_moments_of_one_bond_have_a_fixed_point_up_to_half():
    """The variance c = 1/(1 - w^2 c) has no real solution for w above 1/2; Z ends at w = 1."""
    point = tap(one_bond(0.49), moments=2)
    variance = (1 - np.sqrt(1 - 4 * 0.49**2)) / (2 * 0.49**2)
    mean = 1 / (1 - 0.49**2)
    assert point.converged and point.visible[0] == pytest.approx(mean, abs=1e-10)
    square = -2 * point.visible_slopes["log_precision"][0]
    assert square == pytest.approx(variance + mean**2, abs=1e-8)
    point = tap(one_bond(0.6), moments=2)
    assert not point.converged and np.isnan(point.log_z)
    assert tap(one_bond(0.6)).converged


def test_what_has_no_two_moments_is_refused():
    for unit in (Potts(1, 2), TruncatedExponential(2), Mixed([Binary(1), TruncatedExponential(1)])):
        with pytest.raises(ValueError, match=r"precision cannot be added to .* means alone"):
            tap(random_machine(ReLU(3), unit), moments=2)
    for options in ({"moments": 2, "order": 3}, {"moments": 3}):
        with pytest.raises(ValueError, match="moments must be 1, or 2 with order=2"):
            tap(random_machine(Binary(2), Binary(2)), **options)


def test_mixed_layers_have_two_moments():
    mixed = Mixed([Gaussian(2, [1.0, 1.5]), Gaussian(1, 2.0)])
    one = Machine(np.full((3, 2), 0.3), np.ones(3), np.ones(2), mixed, Binary(2))
    other = Machine(*one.parameters, Gaussian(3, [1.0, 1.5, 2.0]), Binary(2))
    points = [tap(machine, moments=2) for machine in (one, other)]
    assert points[0].log_z == pytest.approx(points[1].log_z, rel=1e-13)


def test_averages_of_two_moments_are_minus_the_gradient_of_their_free_energy():
    machine, step = machine_with("Gaussian", "Spin"), 1e-4
    point = tap(machine, moments=2)
    ends = {"kernel": [], "log_precision": []}
    for shift in (step, -step):
        w = machine.kernel.numpy()
        w[1, 0] += shift
        moved = Machine(w, *machine.parameters[1:], *layers(machine))
        ends["kernel"].append(tap(moved, moments=2).free_energy)
        log_g = np.log([1.0, 1.5, 2.0]) + np.array([0, 0, shift])
        visible = machine.visible.with_parameters(log_precision=log_g)
        moved = Machine(*machine.parameters, visible, machine.hidden)
        ends["log_precision"].append(tap(moved, moments=2).free_energy)
    slopes = {key: -(up - down) / (2 * step) for key, (up, down) in ends.items()}
    assert slopes["kernel"] == pytest.approx(point.correlation[1, 0], abs=1e-8)
    found = point.visible_slopes["log_precision"][2]
    assert slopes["log_precision"] == pytest.approx(found, abs=1e-8)


@pytest.mark.long
def test_a_kernel_of_zeros_is_exact():
    machine = random_machine(Mixed([Potts(1, 3), Gaussian(1, 2.0)]), Spin(2), scale=0.0)
    exact = enumeration.moments(machine)
    for order in (1, 3):
        point = tap(machine, order=order)
        assert point.log_z == pytest.approx(enumeration.log_z(machine), rel=1e-13)
        np.testing.assert_allclose(point.correlation, exact.correlation, atol=1e-13)
        for name, slope in exact.visible_slopes.items():
            np.testing.assert_allclose(point.visible_slopes[name], slope, atol=1e-13)

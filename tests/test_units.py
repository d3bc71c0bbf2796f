"""Each kind of unit against sums and quadrature over the density that its energy defines."""

import itertools
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import optimize
from scipy.special import log_ndtr

from rbm_tf.units import (
    Binary,
    DReLU,
    Gaussian,
    Mixed,
    Potts,
    ReLU,
    Spin,
    TruncatedExponential,
    Unit,
    check_unit,
    sample_half_gaussian,
)

FIELDS = np.array([-9.0, -4.0, -2.1, -2.0, -1.9, -1.0, -0.3, 0.0, 0.05, 0.9, 1.1, 2.5, 6.0])
G = 1.5


def d_relu(num, g=G):
    return DReLU(num, g, 2 * g, threshold_plus=0.3, threshold_minus=-0.2)


def d_relu_energy(t):
    quadratic = np.where(t > 0, G, 2 * G) * t**2 / 2
    return quadratic + np.where(t > 0, 0.3, -0.2) * t


def square(t):
    return G * t**2 / 2


def nothing(t):
    return 0 * t


SCALAR = {  # the unit, its energy, its support
    "Binary": (Binary(1), nothing, "01"),
    "Spin": (Spin(1), nothing, "+-"),
    "Gaussian": (Gaussian(1, G), square, "real"),
    "ReLU": (ReLU(1, G), square, "positive"),
    "DReLU": (d_relu(1), d_relu_energy, "real"),
    "TruncatedExponential": (TruncatedExponential(1), nothing, "unit"),
}
SEARCHED = [  # the bisection of the slowest mean takes a second
    pytest.param(name, marks=pytest.mark.slow) if name == "DReLU" else name for name in SCALAR
]
ALL = [unit for unit, *_ in SCALAR.values()] + [
    Potts(2, 3),
    Gaussian(2, [0.5, 3.0]),
    Mixed([Binary(2), Potts(1, 3), ReLU(2, [1.0, 2.0])]),
]


def nodes(support):
    """Points and the logarithms of their weights: all states, or Gauss-Legendre quadrature."""
    if support in ("01", "+-"):
        return np.array([0.0, 1.0] if support == "01" else [-1.0, 1.0]), np.zeros(2)
    edges = [0.0, 1.0] if support == "unit" else [0.0, 1.0, 4.0, 20.0]
    x, w = np.polynomial.legendre.leggauss(200)
    ends = list(itertools.pairwise(edges))
    t = np.concatenate([(b - a) / 2 * x + (a + b) / 2 for a, b in ends])
    w = np.concatenate([(b - a) / 2 * w for a, b in ends])
    if support == "real":
        t, w = np.concatenate([t, -t]), np.concatenate([w, w])
    return t, np.log(w)


def by_summation(energy, support, fields):
    """Gamma and kappa_1 .. kappa_4, (5, num_fields)."""
    t, log_w = nodes(support)
    exponent = fields[:, None] * t - energy(t) + log_w
    shift = exponent.max(-1, keepdims=True)
    p = np.exp(exponent - shift)
    total = p.sum(-1, keepdims=True)
    gamma, p = (shift + np.log(total))[:, 0], p / total
    mean = p @ t
    second, third, fourth = (np.sum(p * (t - mean[:, None]) ** n, -1) for n in (2, 3, 4))
    return np.stack([gamma, mean, second, third, fourth - 3 * second**2])


def all_of(unit, fields, dtype="float64"):
    """The same from a unit of one column."""
    x = tf.constant(fields[:, None], dtype)
    return np.concatenate([unit.cgf(x)[None], unit.cumulants(x, 4)])[..., 0].astype(float)


@pytest.mark.parametrize("name", SCALAR)
def test_cgf_and_cumulants_are_those_of_the_density(name):  # B35
    unit, energy, support = SCALAR[name]
    exact = by_summation(energy, support, FIELDS)
    np.testing.assert_allclose(all_of(unit, FIELDS), exact, rtol=2e-11, atol=2e-13)
    t, _ = nodes(support)
    np.testing.assert_allclose(unit.energy(t[:, None])[:, 0], energy(t), rtol=1e-14)


def test_potts_has_the_probabilities_of_its_states():
    x = np.random.default_rng(0).normal(size=(5, 6))
    blocks = np.exp(x.reshape(5, 2, 3))
    p = (blocks / blocks.sum(-1, keepdims=True)).reshape(5, 6)
    unit, c = Potts(2, 3), p * (1 - p)
    np.testing.assert_allclose(unit.cgf(x), np.log(blocks.sum(-1)), rtol=1e-14)
    exact = [p, c, c * (1 - 2 * p), c * (1 - 6 * c)]
    np.testing.assert_allclose(unit.cumulants(x, 4), exact, rtol=1e-12, atol=1e-15)


def test_units_have_the_tabulated_cumulants():
    table = {
        "ReLU": [-0.9217888305, 0.3425220681, 0.0926492086, 0.0413469701, 0.0229107335],
        "DReLU": [0.9053956750, -0.6012274059, 0.3381251446, 0.0126981391, 0.0187122281],
        "TruncatedExponential": [
            *(-0.8385606384, 0.3434823573, 0.0689845848, 0.0123203726, -0.0026148986)
        ],
    }
    for name, exact in table.items():
        found = all_of(SCALAR[name][0], np.array([-2.0]))[:, 0]
        np.testing.assert_allclose(found, exact, rtol=0, atol=6e-11)


@pytest.mark.parametrize("unit", ALL, ids=repr)
def test_the_parts_of_a_unit_agree(unit):
    check_unit(unit)


@pytest.mark.parametrize("unit", [*ALL, *(kind(n) for kind in (Binary, Spin) for n in (499, 500))])
def test_gain_is_the_difference_of_two_sums_of_cgfs(unit):
    rng = np.random.default_rng(0)
    x, y = (rng.normal(0, scale, (2, 3, unit.size)) for scale in (1, 20))
    exact = tf.reduce_sum(unit.cgf(x) - unit.cgf(y), -1)
    np.testing.assert_allclose(unit.cgf_gain(*map(tf.constant, (x, y))), exact, rtol=1e-12)
    single = unit.cgf_gain(*(tf.constant(a, tf.float32) for a in (x, y)))
    np.testing.assert_allclose(single, exact, rtol=3e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_gain_of_many_saturated_units_does_not_overflow(dtype):
    ends = [tf.fill((1, 500), tf.constant(x, dtype)) for x in (0.0, 60.0)]
    for x, y in (ends, ends[::-1]):
        each = float(Binary(500).cgf(x)[0, 0] - Binary(500).cgf(y)[0, 0])
        assert float(Binary(500).cgf_gain(x, y)[0]) == pytest.approx(500 * each, rel=0.01)


def test_own_unit_needs_its_cgf_and_its_sampler():
    class Poisson(Unit):
        bounds = (0.0, np.inf)

        def cgf(self, x):
            return tf.exp(self.fields(x))

        def energy(self, t):
            return tf.math.lgamma(self.fields(t) + 1)

        def sample(self, x, *, seed):
            shape, x = tf.shape(x), self.fields(x)
            seed = tf.constant([seed, 0])
            return tf.random.stateless_poisson(shape, seed, tf.exp(x), dtype=x.dtype)

    check_unit(Poisson(2))
    x = np.array([[0.3, -1.0]])
    np.testing.assert_allclose(Poisson(2).cumulants(x, 4), np.exp([x] * 4), rtol=1e-12)
    m = np.exp(x)
    np.testing.assert_allclose(Poisson(2).cgf_conjugate(m), m * np.log(m) - m, rtol=1e-12)
    assert not Poisson(1).is_finite and not Poisson(1).is_bounded
    with pytest.raises(ValueError, match="infinitely many states"):
        Poisson(2).layer_states()


def test_own_finite_unit_needs_its_states_and_their_energy():
    class Binomial(Unit):  # the sum of three binary units in one field
        bounds = (0.0, 3.0)

        def states(self):
            return np.arange(4.0)[:, None]

        def energy(self, t):  # ln t!(3 - t)! - ln 3!
            t = self.fields(t)
            return tf.math.lgamma(t + 1) + tf.math.lgamma(4 - t) - np.log(6)

    unit = Binomial(2)
    check_unit(unit)
    binary = 3 * all_of(Binary(1), FIELDS)
    np.testing.assert_allclose(all_of(Binomial(1), FIELDS), binary, rtol=1e-11, atol=1e-12)
    assert unit.num_layer_states == 16 and unit.is_bounded
    with pytest.raises(ValueError, match=r"\[0.0, 1.0, 2.0, 3.0\]"):
        unit.check([[0.0, 1.5]])
    unit.check([[0.0, 1.5]], means=True)


def test_a_unit_with_nothing_says_what_it_lacks():
    with pytest.raises(NotImplementedError, match="cgf and sample, or states"):
        Unit(2).cgf([0.0, 0.0])


class WrongVariance(ReLU):
    def each_cumulant(self, x):
        mean, variance, *rest = super().each_cumulant(x)
        yield from (mean, 1.01 * variance, *rest)


class WrongDraws(Binary):
    def sample(self, x, *, seed):
        return super().sample(x + 0.1, seed=seed)


class WrongSpread(Gaussian):
    def sample(self, x, *, seed):
        return self.mean(x) + 1.1 * (super().sample(x, seed=seed) - self.mean(x))


class WrongSeed(Gaussian):
    def sample(self, x, *, seed):
        return super().sample(x, seed=None)


class WrongStates(Binary):
    def states(self):
        return np.array([[0.0], [2.0]])


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (WrongVariance(2), "the slopes of cumulants"),
        (WrongDraws(2), "mean of the draws is off"),
        (WrongSpread(2), "variance of the draws is off"),
        (WrongSeed(2), "the same seed gives other draws"),
        (WrongStates(2), "cgf and the sum over states"),
    ],
)
def test_check_unit_finds_what_is_wrong(unit, message):
    with pytest.raises(AssertionError, match=message):
        check_unit(unit)


@pytest.mark.grid
@pytest.mark.parametrize("name", SEARCHED)
def test_conjugate_is_the_legendre_transform(name):  # B37
    unit = SCALAR[name][0]
    m = unit.mean(tf.constant([[-1.7], [0.4], [2.2]], tf.float64))

    def minus_objective(x, m):
        return float(unit.cgf(tf.constant([x], tf.float64))[0]) - x * m

    best = [
        optimize.minimize_scalar(minus_objective, (-1, 1), args=(float(value),), tol=1e-9)
        for value in m[:, 0]
    ]
    exact = [[-result.fun] for result in best]
    np.testing.assert_allclose(unit.cgf_conjugate(m), exact, rtol=1e-12, atol=1e-13)
    x = unit.conjugate_field(m)
    np.testing.assert_allclose(x, [[-1.7], [0.4], [2.2]], rtol=1e-11)
    np.testing.assert_allclose(unit.cgf_conjugate_at(x), exact, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(x, [[result.x] for result in best], rtol=1e-6, atol=1e-7)


def test_conjugate_of_potts_is_minus_its_entropy():
    x = np.random.default_rng(0).normal(size=(4, 6))
    unit = Potts(2, 3)
    p = unit.mean(x).numpy()
    exact = np.sum((p * np.log(p)).reshape(4, 2, 3), -1)
    np.testing.assert_allclose(unit.cgf_conjugate(p), exact, rtol=1e-13)
    np.testing.assert_allclose(unit.cgf_conjugate_at(x), exact, rtol=1e-13)
    centered = x.reshape(4, 2, 3) - x.reshape(4, 2, 3).mean(-1, keepdims=True)
    np.testing.assert_allclose(unit.conjugate_field(p), centered.reshape(4, 6), atol=1e-13)


@pytest.mark.parametrize("unit", [ReLU(2, G), d_relu(2), TruncatedExponential(2)], ids=repr)
@pytest.mark.slow
def test_conjugate_field_is_exact_and_passes_gradients_at_all_sizes(unit):
    x = tf.constant([[-3000.0, -40.0], [-1e-3, 1e-3], [5.0, 40.0]], tf.float64)
    m, variance = tf.unstack(unit.cumulants(x, 2))
    with tf.GradientTape() as tape:
        tape.watch(m)
        found = unit.conjugate_field(m)
    np.testing.assert_allclose(unit.mean(found), m, rtol=1e-13)
    np.testing.assert_allclose(tape.gradient(found, m), 1 / variance, rtol=1e-8)


def test_no_field_gives_a_mean_outside_the_support():
    assert np.isnan(ReLU(2).conjugate_field([-0.1, 0.0])).all()
    assert np.isnan(TruncatedExponential(2).conjugate_field([1.0, 1.1])).all()


@pytest.mark.parametrize("size", [-1000.0, -30.0, -3.0, -2.0, -0.5, 0.0, 2.0, 12.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [ReLU, d_relu, TruncatedExponential, Gaussian, Spin, Binary])
def test_draws_have_the_mean_and_the_variance(kind, dtype, size):
    num = 20_000
    unit, x = kind(1), tf.fill([num, 1], tf.constant(size, dtype))
    draws = unit.sample(x, seed=1)
    assert draws.dtype == dtype
    draws = draws.numpy().astype(float)
    mean, variance, _, fourth = all_of(unit, np.array([size]))[1:]
    error = np.sqrt(variance / num) + 1e-12
    assert np.abs(draws.mean() - mean) < 5 * error
    error = np.sqrt((fourth + 2 * variance**2) / num) + 1e-12
    assert np.abs(np.mean((draws - mean) ** 2) - variance) < 5 * error


@pytest.mark.parametrize("unit", ALL, ids=repr)
def test_the_seed_fixes_the_draws(unit):
    x = tf.zeros((50, unit.size))
    one, same, other = (unit.sample(x, seed=seed) for seed in (1, tf.constant([1, 0]), 2))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)
    unit.check(one)


def test_a_draw_far_below_is_no_coarse_grid():
    draws = ReLU(1).sample(tf.fill([10_000, 1], -1e4), seed=0).numpy()
    assert len(np.unique(draws)) > 9_900 and draws.min() >= 0
    assert abs(draws.mean() * 1e4 - 1) < 5 / np.sqrt(len(draws))


@pytest.mark.parametrize("y", [2.001, 3.0, 10.0, 30.0])
def test_a_draw_far_below_inverts_its_survival(y):
    seed = tf.constant([1, 2])
    t = sample_half_gaussian(tf.fill([1000], tf.constant(-y, tf.float64)), seed).numpy()
    uniform = tf.random.stateless_uniform([1000], tf.random.split(seed)[1], dtype=tf.float64)
    survival = log_ndtr(-y - t) - log_ndtr(-y)
    np.testing.assert_allclose(survival, np.log1p(-uniform), rtol=2e-8, atol=1e-11)


SIZES = -np.concatenate([np.geomspace(3, 1000, 200), [30.0]])


def relative(unit, fields):
    """Errors of Gamma and the cumulants in float32, relative to float64."""
    fields = fields.astype("float32").astype(float)
    narrow, exact = all_of(unit, fields, "float32"), all_of(unit, fields)
    return np.abs(narrow - exact) / np.abs(exact)


def test_relu_in_float32_keeps_its_digits():
    far = relative(ReLU(1), SIZES)
    assert far[:3].max() < 3e-7 and far[3:].max() < 8e-7
    body = np.linspace(-50, 12, 2000)
    errors = relative(ReLU(1), body)
    assert errors[1].max() < 3e-6 and errors[2].max() < 3e-5
    assert errors[3, body < 3].max() < 1.5e-4
    np.testing.assert_allclose(
        all_of(ReLU(1), np.array([-30.0]), "float32")[2], 1.1037715e-3, rtol=1e-7
    )


@pytest.mark.parametrize("order", range(5))
def test_relu_far_below_follows_its_asymptotic_series(order):
    t = 1 / SIZES[SIZES < -30] ** 2
    y = t**-0.5
    series = [
        -np.log(y * (1 + t * (1 - 2 * t + 10 * t**2 - 74 * t**3))),
        (1 - 2 * t + 10 * t**2 - 74 * t**3) / y,
        t * (1 - 6 * t + 50 * t**2 - 518 * t**3),
        (2 - 24 * t + 300 * t**2 - 4144 * t**3) / y**3,
        (6 - 120 * t + 2100 * t**2 - 37296 * t**3) / y**4,
    ]
    np.testing.assert_allclose(all_of(ReLU(1), -y)[order], series[order], rtol=2e-7)


def test_truncated_exponential_in_float32_keeps_its_digits():
    fields = np.concatenate([np.linspace(-12, 12, 2001), [-1000.0, 1000.0]])
    exact, narrow = (all_of(TruncatedExponential(1), fields, d) for d in ("float64", "float32"))
    errors = np.abs(narrow - exact)
    assert np.max(errors[:3] / np.maximum(np.abs(exact[:3]), [[1], [0], [0]])) < 6e-7
    assert errors[3:].max() < 1e-7  # both cross 0


@pytest.mark.parametrize("name", SCALAR)
def test_gradients_of_all_orders_are_finite_everywhere(name):
    unit = SCALAR[name][0]
    values = [-1e6, -1000, -50, -2, -1, -1e-3, 0, 1e-3, 1, 2, 13, 50]
    x = tf.constant(np.array(values)[:, None], "float32")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        kappa = tf.unstack(unit.cumulants(x, 4))
        outputs = [unit.cgf(x), *kappa, unit.cgf_conjugate_at(x)]
    for value in outputs:
        assert np.all(np.isfinite(value)) and np.all(np.isfinite(tape.gradient(value, x)))


@pytest.mark.parametrize("name", SCALAR)
def test_derivatives_of_the_cgf_by_autodiff_are_the_cumulants(name):
    unit = SCALAR[name][0]
    x = tf.constant(FIELDS[:, None])
    numeric = list(itertools.islice(Unit.each_cumulant(unit, x), 2))
    np.testing.assert_allclose(numeric, unit.cumulants(x, 2), rtol=1e-9, atol=1e-12)
    with tf.GradientTape() as tape:
        tape.watch(x)
        third = unit.cumulants(x, 3)[2]
    fourth = unit.cumulants(x, 4)[3]
    np.testing.assert_allclose(tape.gradient(third, x), fourth, rtol=1e-9, atol=1e-11)


@pytest.mark.long
@pytest.mark.parametrize("unit", ALL, ids=repr)
def test_a_graph_computes_the_same_without_a_warning(unit, caplog):
    x = tf.constant(np.random.default_rng(0).normal(size=(3, unit.size)))

    def everything(x):
        m = unit.mean(x)
        return unit.cgf(x), unit.cumulants(x, 4), unit.sample(x, seed=3), unit.energy(m)

    signature = [tf.TensorSpec((None, unit.size), tf.float64)]
    with caplog.at_level(logging.WARNING):
        graph = tf.function(everything, input_signature=signature)(x)
    assert not caplog.records
    for a, b in zip(graph, everything(x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


def test_spin_is_binary_in_twice_the_field():
    x = FIELDS[:, None]
    np.testing.assert_allclose(Spin(1).cgf(x), Binary(1).cgf(2 * x) - x, rtol=1e-14, atol=1e-14)
    scale = 2.0 ** np.arange(1, 5)[:, None, None]
    binary = scale * Binary(1).cumulants(2 * x, 4) - [[[1]], [[0]], [[0]], [[0]]]
    np.testing.assert_allclose(Spin(1).cumulants(x, 4), binary, rtol=1e-13, atol=1e-15)


def test_potts_of_two_states_is_binary():
    x = FIELDS[:, None]
    pair = np.concatenate([0 * x, x], -1)
    np.testing.assert_allclose(Potts(1, 2).cgf(pair), Binary(1).cgf(x), rtol=1e-13, atol=1e-15)
    found = Potts(1, 2).cumulants(pair, 4)[..., 1:]
    np.testing.assert_allclose(found, Binary(1).cumulants(x, 4), rtol=1e-12, atol=1e-15)


def test_drelu_of_equal_halves_is_gaussian():
    equal = DReLU(1, G, G)
    np.testing.assert_allclose(all_of(equal, FIELDS), all_of(Gaussian(1, G), FIELDS), atol=1e-10)
    shifted = DReLU(1, G, G, threshold_plus=0.4, threshold_minus=0.4)  # a bias of -0.4
    expected = all_of(Gaussian(1, G), FIELDS - 0.4)
    np.testing.assert_allclose(all_of(shifted, FIELDS), expected, atol=1e-10)


@pytest.mark.parametrize("name", SEARCHED[:-1])
@pytest.mark.parametrize("added", [-0.6, 1.3])
def test_added_precision_is_a_part_of_the_energy(name, added):
    unit, energy, support = SCALAR[name]
    more = unit.add_precision(tf.constant([added], tf.float64))
    exact = by_summation(lambda t: energy(t) + added * t**2 / 2, support, FIELDS[1:])
    np.testing.assert_allclose(all_of(more, FIELDS[1:]), exact, rtol=2e-11, atol=2e-13)
    check_unit(more)
    x = tf.constant([[0.4]], tf.float64)
    np.testing.assert_allclose(more.conjugate_field(more.mean(x)), x, rtol=1e-11)
    twice = unit.add_precision(np.array([added / 2])).add_precision(np.array([added / 2]))
    np.testing.assert_allclose(all_of(twice, FIELDS), all_of(more, FIELDS), rtol=1e-12)


def test_added_precision_may_differ_between_starts_and_units():
    added, x = np.array([[0.0, 1.0], [2.0, 0.5]]), np.ones((2, 2))
    mixed = Mixed([Gaussian(1), Binary(1)]).add_precision(added)
    alone = Gaussian(2).add_precision(added)
    np.testing.assert_allclose(alone.mean(x), 1 / (1 + added), rtol=1e-14)
    expected = [[1.0, 1 / (1 + np.exp(-0.5))], [1 / 3, 1 / (1 + np.exp(-0.75))]]
    np.testing.assert_allclose(mixed.mean(x), expected, rtol=1e-14)


def test_added_precision_that_leaves_none_is_nan_and_units_without_it_say_so():
    assert np.isnan(Gaussian(1).add_precision([-1.0]).cgf([0.0])).all()
    assert np.isnan(ReLU(1).add_precision([-2.0]).mean([0.0])).all()
    for unit in (Potts(1, 3), TruncatedExponential(1)):
        with pytest.raises(ValueError, match="precision cannot be added"):
            unit.add_precision([0.1])


@pytest.mark.parametrize("kind", [Gaussian, ReLU])
def test_slope_by_the_log_precision_is_minus_the_mean_energy(kind):
    log_g = tf.Variable([0.3, -0.7], dtype=tf.float32)
    unit = kind(2).with_parameters(log_precision=log_g)
    x = tf.constant([[0.4, -1.0], [-40.0, 3.0]])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(unit.cgf(x))
    mean, variance = tf.unstack(unit.cumulants(x, 2))
    exact = -tf.reduce_sum(tf.exp(log_g) * (variance + mean**2) / 2, 0)
    np.testing.assert_allclose(tape.gradient(total, log_g), exact, rtol=1e-5)


def test_slope_by_a_precision_that_is_a_tensor():
    g = tf.Variable([2.0, 3.0], dtype=tf.float64)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(Gaussian(2, g).cgf(np.zeros((1, 2))))
    np.testing.assert_allclose(tape.gradient(total, g), -0.5 / g, rtol=1e-14)


def test_slopes_by_the_parameters_of_drelu_are_mean_energies_of_each_half():
    unit = d_relu(1)
    variables = {key: tf.Variable(value) for key, value in unit.parameters.items()}
    x = 0.4
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(unit.with_parameters(**variables).cgf(np.array([x])))
    slopes = {key: float(s[0]) for key, s in tape.gradient(total, variables).items()}
    t, log_w = nodes("real")
    p = np.exp(x * t - d_relu_energy(t) + log_w)
    p /= p.sum()
    exact = {
        "log_precision_plus": -G * p @ np.maximum(t, 0) ** 2 / 2,
        "log_precision_minus": -G * p @ np.minimum(t, 0) ** 2,
        "threshold_plus": -p @ np.maximum(t, 0),
        "threshold_minus": -p @ np.minimum(t, 0),
    }
    assert slopes == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("unit", ALL, ids=repr)
def test_config_makes_the_same_units(unit):
    config = unit.get_config()
    again = type(unit).from_config(config)
    assert again.get_config() == config and repr(again) == repr(unit)
    saved = keras.saving.serialize_keras_object(unit)
    other = keras.saving.deserialize_keras_object(saved)
    x = np.random.default_rng(0).normal(size=(3, unit.size))
    np.testing.assert_array_equal(other.cgf(x), unit.cgf(x))


@pytest.mark.parametrize("unit", ALL, ids=repr)
def test_initial_bias_gives_the_mean_of_the_data(unit):
    data = unit.sample(tf.zeros((200, unit.size), tf.float64) + 0.3, seed=0).numpy()
    mean = unit.check(data).mean(0)
    found = unit.mean(unit.initial_bias(mean, count=1e13))
    np.testing.assert_allclose(found, mean, atol=0.02 if "Potts" in repr(unit) else 1e-10)


@pytest.mark.parametrize("kind", [Binary, Spin, ReLU, TruncatedExponential])
def test_initial_bias_is_finite_at_the_edge(kind):
    ends = np.array(kind(1).bounds, "float32")
    mean = kind(2).mean(kind(2).initial_bias(np.where(np.isfinite(ends), ends, 1.0), count=98))
    step = 1 / 99 if np.isinf(ends[1]) else 0.01 * (ends[1] - ends[0])  # one or two examples
    assert float(mean[0]) == pytest.approx(ends[0] + step, abs=1e-5)


@pytest.mark.parametrize(
    ("unit", "t", "message"),
    [
        (Binary(2), [[0, 1], [1, 0.5]], "must hold 0 and 1 alone"),
        (Spin(2), [[0, 1]], r"\[-1.0, 1.0\].* 0 in row 0, column 0"),
        (ReLU(2), [[0, -1.5]], r"\[0, inf\].* -1.5 in row 0, column 1"),
        (TruncatedExponential(1), [[1.5]], r"\[0, 1\].* 1.5 in row 0"),
        (Gaussian(1), [[np.nan]], "nan in row 0"),
        (Gaussian(1), [[np.inf]], "inf in row 0"),
        (Potts(1, 3), [[0, 1, 1]], "one-hot blocks of 3 columns"),
        (Potts(1, 3), [[0.5, 0.5, 0]], "one-hot"),
        (Binary(2), [[0, 1, 1]], r"shape \(num, 2\)"),
        (Spin(2), [[1, 1, 1]], r"shape \(num, 2\)"),
        (Spin(2), np.zeros((0, 2)), r"shape \(num, 2\)"),
        (Mixed([Binary(1), Spin(1)]), [[1, 0]], "the 1 columns from 1.* Spin"),
        (Mixed([Gaussian(1), Binary(1)]), [[9, 2]], "the 1 columns from 1 must lie in"),
        (Mixed([Gaussian(1), Binary(1)]), [[np.nan, 1]], "nan in row 0, column 0"),
    ],
)
def test_data_that_are_no_states_are_refused(unit, t, message):
    with pytest.raises(ValueError, match=message):
        unit.check(t)


def test_grey_levels_are_means_of_binary_units():
    grey = np.array([[0.2, 0.7]], "float32")
    assert Binary(2).check(grey, means=True) is grey
    Mixed([Binary(1), Spin(1)]).check([[0.2, -0.7]], means=True)
    Potts(1, 2).check([[0.3, 0.7]], means=True)
    with pytest.raises(ValueError, match="must lie in \\[0, 1\\]"):
        Binary(2).check([[0.2, 1.7]], means=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Binary(0), "num must be an integer of 1 or more"),
        (lambda: Potts(2, 1), "num_states must be an integer of 2 or more"),
        (lambda: Gaussian(2, 0.0), "precision must be above 0"),
        (lambda: Gaussian(2, tf.constant([1.0, -1.0])), "precision must be above 0"),
        (lambda: Gaussian(2, [1.0, np.nan]), "precision must be a finite number"),
        (lambda: ReLU(2, [1.0, 1.0, 1.0]), "one for each of 2 units"),
        (lambda: DReLU(2, threshold_plus=np.inf), "threshold_plus must be a finite number"),
        (lambda: Mixed([]), "one unit or more"),
        (lambda: Mixed([3]), "one unit or more"),
        (lambda: Binary(2).cgf([0.0]), "last axis must have 2 entries"),
        (lambda: Binary(2).cumulants([0.0, 0.0], 5), "max_order must be from 1 to 4"),
        (lambda: Binary(2).with_parameters(precision=1.0), "no parameters precision"),
        (lambda: Mixed([ReLU(1)]).with_parameters(precision=1.0), "0_log_precision"),
        (lambda: Gaussian(2).layer_states(), "infinitely many states"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

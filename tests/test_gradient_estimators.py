import itertools

import numpy as np
import pytest
import tensorflow as tf

from vae_keras.gradients.bernoulli import (
    exact_gradient,
    relaxed_bernoulli,
    score_function_bernoulli,
)
from vae_keras.gradients.gaussian import importance_weighted, pathwise, score_function

MEAN, LOG_VAR = np.array([0.3, -0.6, 1.1]), np.array([-0.4, 0.2, -1.0])
CURVATURE, CENTRE = np.array([1.5, 0.7, 1.0]), np.array([1.0, 0.4, 0.2])
NUM = 200_000


def quadratic(z):
    return tf.reduce_sum(CURVATURE * (z - CENTRE) ** 2, -1) / 2


def closed_form(estimator):
    """Exact mean and variance of one sample's gradient of E[quadratic], (mean, log_var) each."""
    a, d, s2 = CURVATURE, MEAN - CENTRE, np.exp(LOG_VAR)
    gradient = np.array([a * d, a * s2 / 2])
    if estimator == "pathwise":
        return gradient, np.array([a**2 * s2, a**2 * s2 * (d**2 + 2 * s2) / 4])
    value, variance = a * (d**2 + s2) / 2, a**2 * (d**2 * s2 + s2**2 / 2)
    rest, noise = value.sum() - value, variance.sum() - variance  # of the other dimensions
    score_variance = np.array([1 / s2, np.full(3, 0.5)])
    first = np.array([a * (d**2 + 3 * s2) / 2 / s2, a * (d**2 / 2 + 5 * s2 / 2) / 2])  # E[f s^2]
    second = np.array(  # E[f^2 s^2], f the term of the same dimension
        [
            a**2 * (d**4 + 18 * d**2 * s2 + 15 * s2**2) / 4 / s2,
            a**2 * (d**4 / 2 + 15 * d**2 * s2 + 39 * s2**2 / 2) / 4,
        ]
    )
    shift = {
        "none": rest,
        "leave_one_out": np.broadcast_to(-value, (2, 3)),
        "optimal": -first / score_variance,
    }[estimator]
    square = second + 2 * shift * first + (shift**2 + noise) * score_variance
    return gradient, square - gradient**2


def estimate(estimator, num_samples=NUM):
    arguments = {"mean": MEAN, "log_var": LOG_VAR, "num_samples": num_samples, "seed": 1}
    if estimator == "pathwise":
        return np.array(pathwise(quadratic, **arguments))
    return np.array(score_function(quadratic, baseline=estimator, **arguments))


ESTIMATORS = ("none", "leave_one_out", "optimal", "pathwise")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gradients_have_the_closed_form_mean_and_variance(estimator):  # B17
    rows = estimate(estimator)
    mean, variance = closed_form(estimator)
    assert np.all(abs(rows.mean(1) - mean) < 5 * np.sqrt(variance / NUM))
    square = (rows - mean[:, None]) ** 2
    assert np.all(abs(square.mean(1) - variance) < 5 * square.std(1) / np.sqrt(NUM))


def test_closed_form_variances_are_ordered():
    none, leave_one_out, optimal, path = (closed_form(name)[1] for name in ESTIMATORS)
    assert np.all(path < optimal) and np.all(optimal < leave_one_out)
    assert np.all(optimal < none)


@pytest.mark.parametrize("baseline", ["leave_one_out", "optimal"])
def test_baselines_keep_the_mean_with_three_samples(baseline):  # B17
    @tf.function
    def repeat(seed):
        return score_function(quadratic, MEAN, LOG_VAR, 3, seed=seed, baseline=baseline)

    seeds = tf.unstack(tf.random.split([0, 3], 1500))
    means = np.array([[x.numpy().mean(0) for x in repeat(seed)] for seed in seeds])
    error = means.mean(0) - closed_form("none")[0]
    assert np.all(abs(error) < 5 * means.std(0, ddof=1) / np.sqrt(len(means)))


@pytest.mark.parametrize("baseline", ["leave_one_out", "optimal"])
def test_baselines_equal_their_definition(baseline):
    rows = np.array(score_function(quadratic, MEAN, LOG_VAR, 6, seed=2, baseline=baseline))
    plain = np.array(score_function(quadratic, MEAN, LOG_VAR, 6, seed=2))
    eps = np.array(pathwise(lambda z: tf.reduce_sum(z, -1), MEAN, LOG_VAR, 6, seed=2).log_var)
    eps = 2 * eps / np.exp(LOG_VAR / 2)
    scores = np.array([eps / np.exp(LOG_VAR / 2), (eps**2 - 1) / 2])
    values = (plain / scores)[0, :, 0]
    for parameter, score_variance in ((0, np.exp(-LOG_VAR)), (1, np.full(3, 0.5))):
        for k, j in itertools.product(range(6), range(3)):
            f, s2 = np.delete(values, k), np.delete(scores[parameter, :, j], k) ** 2
            level = f.mean()
            if baseline == "optimal":
                level += (np.mean(f * s2) - f.mean() * s2.mean()) / score_variance[j]
            expected = (values[k] - level) * scores[parameter, k, j]
            np.testing.assert_allclose(rows[parameter, k, j], expected, rtol=1e-9)


def test_a_constant_is_no_gradient_with_a_baseline():
    for baseline in ("leave_one_out", "optimal"):
        rows = score_function(
            lambda z: 7 + 0 * z[:, 0], MEAN, LOG_VAR, 5, seed=0, baseline=baseline
        )
        np.testing.assert_allclose(rows.mean, 0, atol=1e-12)


def test_score_function_handles_a_step_where_the_path_gives_zero():  # B17
    def step(z):
        return (1 + tf.sign(z[:, 0])) / 2

    mean, log_var, sigma = np.array([0.4]), np.array([0.5]), np.exp(0.25)
    exact = np.exp(-((0.4 / sigma) ** 2) / 2) / np.sqrt(2 * np.pi) / sigma
    rows = score_function(step, mean, log_var, NUM, seed=0).mean.numpy()
    assert abs(rows.mean() - exact) < 5 * rows.std() / np.sqrt(NUM)
    assert not np.any(pathwise(step, mean, log_var, 100, seed=0).mean)


# The importance-weighted bound: x = 1 with p(z) = N(0, 1), p(x|z) = N(z, 1).


def log_joint(z):
    return -tf.reduce_sum(z**2 + (1 - z) ** 2, -1) / 2


Q_MEAN, Q_LOG_VAR = np.array([0.2]), np.array([-0.3])


def bound(mean, log_var, num_samples):
    """E[ln (1/K) sum w] up to a constant, K = 1 or 2, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    z = mean + np.exp(log_var / 2) * nodes
    log_w = -(z**2 + (1 - z) ** 2) / 2 + nodes**2 / 2 + log_var / 2
    if num_samples == 1:
        return weights @ log_w
    return weights @ (np.logaddexp(log_w[:, None], log_w) - np.log(2)) @ weights


@pytest.mark.parametrize("num_samples", [1, 2])
@pytest.mark.parametrize("double", [False, True])
def test_importance_weighted_gradients_are_unbiased(num_samples, double):  # B17
    shape = (NUM, num_samples)
    rows = np.array(
        importance_weighted(log_joint, Q_MEAN, Q_LOG_VAR, shape, seed=5, double=double)
    )[..., 0]
    step, (m, v) = 1e-4, (Q_MEAN[0], Q_LOG_VAR[0])
    moves = np.array([[step, 0], [0, step]])
    exact = [
        (bound(m + a, v + b, num_samples) - bound(m - a, v - b, num_samples)) / (2 * step)
        for a, b in moves
    ]
    assert np.all(abs(rows.mean(1) - exact) < 5 * rows.std(1) / np.sqrt(NUM) + 1e-7)


def test_both_forms_have_the_same_mean_in_three_dimensions():  # B17
    def joint(z):
        return -quadratic(z) - tf.reduce_sum(z, -1) ** 2 / 4

    difference = np.array(
        importance_weighted(joint, MEAN, LOG_VAR, (20_000, 6), seed=1)
    ) - np.array(importance_weighted(joint, MEAN, LOG_VAR, (20_000, 6), seed=1, double=True))
    assert np.all(abs(difference.mean(1)) < 5 * difference.std(1) / np.sqrt(20_000))


def test_the_second_form_has_no_variance_at_the_posterior_and_the_first_has():  # B17
    posterior = np.array([0.5]), np.log([0.5])
    double = importance_weighted(log_joint, *posterior, (50, 4), seed=0, double=True)
    plain = importance_weighted(log_joint, *posterior, (50, 4), seed=0)
    np.testing.assert_allclose(double, 0, atol=1e-12)
    assert np.std(plain.mean) > 0.1


def test_signal_to_noise_falls_with_k_and_rises_in_the_second_form():
    def ratio(num_samples, double):
        rows = importance_weighted(
            log_joint, Q_MEAN, Q_LOG_VAR, (40_000, num_samples), seed=3, double=double
        )
        return abs(np.mean(rows.mean)) / np.std(rows.mean)

    assert ratio(2, False) > 1.5 * ratio(32, False)
    assert ratio(32, True) > 2 * ratio(2, True)


def test_plain_gradient_equals_automatic_differentiation():
    mean, log_var = tf.constant(MEAN), tf.constant(LOG_VAR)
    eps = tf.random.stateless_normal((1, 5, 3), [4, 0], dtype=tf.float64)
    with tf.GradientTape() as tape:
        tape.watch((mean, log_var))
        z = mean + tf.exp(log_var / 2) * eps
        log_q = -tf.reduce_sum((z - mean) ** 2 / tf.exp(log_var) + log_var, -1) / 2
        value = tf.reduce_logsumexp(-quadratic(z) - log_q)
    expected = tape.gradient(value, (mean, log_var))
    rows = importance_weighted(lambda z: -quadratic(z), mean, log_var, (1, 5), seed=4)
    np.testing.assert_allclose(rows.mean[0], expected[0], rtol=1e-9)
    np.testing.assert_allclose(rows.log_var[0], expected[1], rtol=1e-9)


LOGITS = np.array([0.5, -1.2, 0.1, 2.0])


def cubic(x):
    return (x[:, 0] + 2 * x[:, 1] - x[:, 2] * x[:, 3]) ** 3


def test_exact_bernoulli_gradient_is_the_derivative_of_the_enumerated_average():  # B17
    states = np.array(list(itertools.product([0.0, 1.0], repeat=4)))

    def average(logits):
        p = 1 / (1 + np.exp(-logits))
        return np.prod(np.where(states == 1, p, 1 - p), 1) @ cubic(states)

    moves = 1e-5 * np.eye(4)
    expected = [(average(LOGITS + d) - average(LOGITS - d)) / 2e-5 for d in moves]
    np.testing.assert_allclose(exact_gradient(cubic, LOGITS), expected, rtol=1e-7)


@pytest.mark.parametrize("baseline", ["none", "leave_one_out", "optimal"])
def test_bernoulli_score_function_is_unbiased(baseline):  # B17
    rows = score_function_bernoulli(cubic, LOGITS, NUM, seed=1, baseline=baseline).numpy()
    error = rows.mean(0) - exact_gradient(cubic, LOGITS)
    assert np.all(abs(error) < 5 * rows.std(0) / np.sqrt(NUM))


def test_relaxation_of_a_linear_function_has_the_quadrature_gradient():
    logit, temperature = 0.7, 0.5
    u = (np.arange(400_000) + 0.5) / 400_000  # midpoints of the uniform noise
    x = 1 / (1 + np.exp(-(logit + np.log(u) - np.log1p(-u)) / temperature))
    exact = np.mean(x * (1 - x)) / temperature
    rows = relaxed_bernoulli(lambda x: x[:, 0], [logit], temperature, NUM, seed=0).numpy()
    assert abs(rows.mean() - exact) < 5 * rows.std() / np.sqrt(NUM)


def test_relaxation_trades_bias_for_variance():
    bias, deviation = [], []
    for temperature in (0.05, 2.0):
        rows = relaxed_bernoulli(cubic, LOGITS, temperature, NUM, seed=0).numpy()
        bias.append(np.linalg.norm(rows.mean(0) - exact_gradient(cubic, LOGITS)))
        deviation.append(np.linalg.norm(rows.std(0)))
    assert bias[0] < bias[1] / 3 and deviation[0] > 3 * deviation[1]


def test_same_seed_same_gradients_in_eager_mode_and_in_a_graph():
    calls = (
        lambda seed: (
            score_function(quadratic, MEAN, LOG_VAR, 4, seed=seed, baseline="optimal").mean
        ),
        lambda seed: pathwise(quadratic, MEAN, LOG_VAR, 4, seed=seed).log_var,
        lambda seed: (
            importance_weighted(log_joint, Q_MEAN, Q_LOG_VAR, (4, 2), seed=seed, double=True).mean
        ),
        lambda seed: score_function_bernoulli(cubic, LOGITS, 4, seed=seed),
        lambda seed: relaxed_bernoulli(cubic, LOGITS, 0.5, 4, seed=seed),
    )
    for call in calls:
        first = call(7).numpy()
        np.testing.assert_array_equal(first, call(7).numpy())
        np.testing.assert_allclose(first, tf.function(call)(tf.constant([7, 0])), rtol=1e-12)
        assert np.any(first != call(8).numpy())


def test_bad_input_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="same shape"):
        pathwise(quadratic, MEAN, LOG_VAR[:2], 4)
    with pytest.raises(ValueError, match="no derivative"):
        pathwise(lambda z: tf.cast(z[:, 0] > 0, z.dtype), MEAN, LOG_VAR, 4)
    with pytest.raises(ValueError, match="one value for each row"):
        pathwise(lambda z: z**2, MEAN, LOG_VAR, 4)
    with pytest.raises(ValueError, match="num_samples of 2 or more"):
        score_function(quadratic, MEAN, LOG_VAR, 1, baseline="optimal")
    with pytest.raises(ValueError, match="baseline must be one of"):
        score_function(quadratic, MEAN, LOG_VAR, 4, baseline="mean")
    with pytest.raises(ValueError, match="too many to sum"):
        exact_gradient(cubic, np.zeros(30))
    with pytest.raises(ValueError, match="above 0"):
        relaxed_bernoulli(cubic, LOGITS, 0.0, 4)
    with pytest.raises(ValueError, match=r"shape \(dim,\)"):
        score_function_bernoulli(cubic, np.zeros((2, 2)), 4)

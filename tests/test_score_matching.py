import keras
import numpy as np
import pytest
import tensorflow as tf

from vae_keras.gradients.score_matching import (
    denoise,
    denoising_score_matching,
    explicit_score_matching,
    score,
)

rng = np.random.default_rng(0)
DATA = tf.constant(rng.normal(size=(400, 2)) @ np.array([[1.0, 0.4], [0.0, 0.7]]) + [1.0, -0.5])
COVARIANCE = np.cov(DATA.numpy().T, bias=True)


def gaussian(mean, precision, constant=0.0):
    def log_density(x):
        centred = x - mean
        return constant - tf.reduce_sum(centred * (centred @ precision), -1) / 2

    return log_density


def gradient_at(loss, mean, precision):
    mean, precision = tf.constant(mean), tf.constant(precision)
    with tf.GradientTape() as tape:
        tape.watch((mean, precision))
        value = loss(gaussian(mean, precision))
    return tape.gradient(value, (mean, precision))


def test_score_and_losses_do_not_depend_on_the_constant():  # B11
    plain, shifted = (gaussian([0.0, 0.0], np.eye(2), constant) for constant in (0.0, 1e3))
    np.testing.assert_allclose(score(plain, DATA), -DATA, rtol=1e-12)
    for loss in (explicit_score_matching, lambda q, x: denoising_score_matching(q, x, 0.3, seed=0)):
        np.testing.assert_allclose(loss(plain, DATA), loss(shifted, DATA), rtol=1e-10)


def test_trace_form_is_half_the_fisher_divergence_up_to_a_constant():  # B11
    """N(0, 1) against N(m, 1 / p): E|x + ..|^2 by Gauss-Hermite quadrature, both sides exact."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    gaps = []
    for mean, precision in ((0.0, 1.0), (0.7, 2.0), (-1.0, 0.3)):
        q = gaussian([mean], np.array([[precision]]))
        trace_form = weights @ explicit_score_matching(q, nodes[:, None]).numpy()
        fisher = weights @ (-nodes - score(q, nodes[:, None]).numpy()[:, 0]) ** 2 / 2
        gaps.append(fisher - trace_form)
    np.testing.assert_allclose(gaps, 0.5, rtol=1e-10)  # E[s_data^2] / 2


def test_trace_form_of_a_gaussian_is_least_at_the_sample_moments():  # B11
    def loss(q):
        return tf.reduce_mean(explicit_score_matching(q, DATA))

    mean, best = np.mean(DATA, 0), np.linalg.inv(COVARIANCE)
    for slope in gradient_at(loss, mean, best):
        np.testing.assert_allclose(slope, 0, atol=1e-10)
    least = loss(gaussian(mean, best)).numpy()
    np.testing.assert_allclose(least, -np.trace(best) / 2, rtol=1e-10)
    assert loss(gaussian(mean + 0.1, best)) > least < loss(gaussian(mean, 1.1 * best))


def test_denoising_form_averages_to_its_closed_form_on_a_gaussian():  # B11
    """E_noise |s(y) + noise / scale|^2 / 2 with s(y) = -P (y - m), averaged by hand."""
    noise_scale, mean, precision = 0.5, np.array([0.8, -0.2]), np.array([[1.5, -0.3], [-0.3, 2.0]])
    repeated = tf.tile(DATA, (200, 1))
    rows = denoising_score_matching(gaussian(mean, precision), repeated, noise_scale, seed=0)
    pulled = (DATA.numpy() - mean) @ precision
    remaining = np.eye(2) / noise_scale - noise_scale * precision
    exact = np.mean(np.sum(pulled**2, 1)) / 2 + np.sum(remaining**2) / 2
    groups = rows.numpy().reshape(200, 400).mean(1)
    assert abs(groups.mean() - exact) < 5 * groups.std(ddof=1) / np.sqrt(200)


def test_denoising_form_is_least_at_the_blurred_covariance():  # B11
    noise_scale, repeated = 0.5, tf.tile(DATA, (50, 1))
    blurred = np.linalg.inv(COVARIANCE + noise_scale**2 * np.eye(2))
    slopes = []
    for seed in range(30):
        parts = gradient_at(
            lambda q, seed=seed: tf.reduce_mean(
                denoising_score_matching(q, repeated, noise_scale, seed=seed)
            ),
            np.mean(DATA, 0),
            blurred,
        )
        slopes.append(np.concatenate([tf.reshape(x, -1) for x in parts]))
    slopes = np.array(slopes)
    assert np.all(abs(slopes.mean(0)) < 5 * slopes.std(0, ddof=1) / np.sqrt(30))


def test_denoiser_of_a_blurred_gaussian_is_the_posterior_mean():  # B11
    noise_scale = 0.5
    blurred = np.linalg.inv(COVARIANCE + noise_scale**2 * np.eye(2))
    clean = denoise(gaussian([0.0, 0.0], blurred), DATA, noise_scale)
    np.testing.assert_allclose(clean, DATA.numpy() @ blurred @ COVARIANCE, rtol=1e-9)


def test_denoising_loss_is_a_denoising_autoencoders_loss():  # B11
    q, noise_scale = gaussian([0.2, 0.1], np.eye(2)), 0.3
    noise = tf.random.stateless_normal(DATA.shape, [5, 0], dtype=tf.float64)
    reconstruction = denoise(q, DATA + noise_scale * noise, noise_scale)
    expected = np.sum((reconstruction - DATA) ** 2, 1) / (2 * noise_scale**4)
    loss = denoising_score_matching(q, DATA, noise_scale, seed=5)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
    residual = score(q, DATA + noise_scale * noise) + noise / noise_scale
    np.testing.assert_allclose(loss, np.sum(residual**2, 1) / 2, rtol=1e-9)


def test_losses_train_a_network_inside_a_graph():
    network = keras.Sequential([keras.layers.Dense(16, "tanh"), keras.layers.Dense(1)])
    network.build((None, 2))
    x = tf.cast(DATA, tf.float32)

    @tf.function
    def slopes():
        with tf.GradientTape() as tape:
            q = lambda y: network(y)[:, 0] - tf.reduce_sum(y**2, -1) / 2  # noqa: E731
            value = tf.reduce_mean(
                explicit_score_matching(q, x) + denoising_score_matching(q, x, 0.3, seed=0)
            )
        return tape.gradient(value, network.trainable_variables[:3])

    assert all(np.all(np.isfinite(slope)) and np.any(slope != 0) for slope in slopes())


def test_bad_input_is_refused_with_the_remedy():
    q = gaussian([0.0, 0.0], np.eye(2))
    with pytest.raises(ValueError, match="Reshape it"):
        explicit_score_matching(q, np.zeros(4))
    with pytest.raises(ValueError, match="above 0"):
        denoising_score_matching(q, DATA, 0.0)
    with pytest.raises(ValueError, match="no derivative"):
        score(lambda x: tf.zeros(len(x), tf.float64), DATA)

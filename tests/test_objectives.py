import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from linear_gaussian import LinearGaussian

from vae_keras import evidence
from vae_keras.objectives import (
    ELBO,
    IWAE,
    DoublyReparameterizedIWAE,
    Objective,
    ThermodynamicObjective,
)

SHIFT = np.array([0.3, -0.4])
MODEL = LinearGaussian()
OBJECTIVES = [
    ELBO(),
    IWAE(5),
    DoublyReparameterizedIWAE(5),
    ThermodynamicObjective(10, num_partitions=3),
    ThermodynamicObjective(10, num_partitions=1, rule="right"),
]


@keras.saving.register_keras_serializable(package="test")
class SecondOrder(Objective):
    """Minus the cumulant expansion to order 2 (B25)."""

    def call(self, draws):
        variance = ops.var(draws.log_weights, axis=0) * self.num_samples / (self.num_samples - 1)
        return -ops.mean(draws.log_weights, axis=0) - variance / 2


def gradients(vae, layer, x=MODEL.x):
    weights = [w.value for w in layer.trainable_weights]
    with tf.GradientTape() as tape:
        loss = vae.compute_loss(x)
    return tf.concat([tf.reshape(g, [-1]) for g in tape.gradient(loss, weights)], 0)


def mean_and_error(vae, layer, num=60, copies=10):
    x = tf.constant(np.tile(MODEL.x, (copies, 1)))
    draw = tf.function(lambda: gradients(vae, layer, x))
    values = [draw().numpy() for _ in range(num)]
    return np.mean(values, 0), np.std(values, 0, ddof=1) / np.sqrt(num)


@pytest.mark.parametrize(
    ("objective", "estimate"),
    [
        (IWAE(7), evidence.iwae),
        (DoublyReparameterizedIWAE(7), evidence.iwae),
        (ThermodynamicObjective(7, num_partitions=1), evidence.elbo),
        (
            ThermodynamicObjective(7, num_partitions=3),
            lambda w: evidence.thermodynamic_sum(w, [0, 0.025, 0.025**0.5, 1], rule="left"),
        ),
        (
            ThermodynamicObjective(7, num_partitions=2, first_beta=0.1, rule="right"),
            lambda w: evidence.thermodynamic_sum(w, [0, 0.1, 1], rule="right"),
        ),
        (SecondOrder(7), evidence.cumulant),
    ],
)
def test_losses_are_the_estimates_of_the_evidence(objective, estimate):
    vae = MODEL.vae(SHIFT, objective=objective, seed=0)
    draws = vae.draws(tf.constant(MODEL.x), training=False)
    expected = -np.asarray(estimate(draws.log_weights))
    np.testing.assert_allclose(objective.call(draws), expected, rtol=1e-5, atol=1e-5)


def test_elbo_is_reconstruction_plus_beta_times_kl():  # B14
    objective = ELBO(beta=0.5, num_samples=3)
    vae = MODEL.vae(SHIFT, objective=objective, seed=0)
    draws = vae.draws(tf.constant(MODEL.x), training=False)
    mean, log_var = vae.encode(MODEL.x)
    kl = 0.5 * np.sum(mean**2 + np.exp(log_var) - 1 - log_var, -1)
    expected = -np.mean(draws.log_likelihood, 0) + 0.5 * kl
    np.testing.assert_allclose(objective.call(draws), expected, rtol=1e-5)


def test_beta_that_is_assigned_takes_effect_in_a_compiled_step():
    vae = MODEL.vae(objective=ELBO(beta=2.0), seed=0)
    first = vae.train_on_batch(MODEL.x, return_dict=True)
    assert first["loss"] == pytest.approx(first["reconstruction"] + 2 * first["kl"], rel=1e-5)
    vae.objective.beta.assign(0.0)
    vae.reset_metrics()
    second = vae.train_on_batch(MODEL.x, return_dict=True)
    assert second["loss"] == pytest.approx(second["reconstruction"], rel=1e-5)


@pytest.mark.long
@pytest.mark.grid
@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: o.name)
def test_decoder_gradient_at_the_exact_posterior_is_that_of_the_evidence(objective):
    vae = MODEL.vae(objective=objective, seed=1)
    loadings, offset = (tf.Variable(w, dtype="float64") for w in (MODEL.loadings, MODEL.offset))
    with tf.GradientTape() as tape:
        covariance = loadings @ tf.transpose(loadings) + MODEL.scale**2 * tf.eye(5, dtype="float64")
        residual = MODEL.x.astype(float) - offset
        whitened = tf.linalg.solve(covariance, tf.transpose(residual))
        squares = tf.reduce_sum(residual * tf.transpose(whitened), -1)
        loss = 0.5 * (tf.reduce_mean(squares) + tf.linalg.slogdet(covariance)[1])
    by_loadings, by_offset = tape.gradient(loss, [loadings, offset])
    exact = np.concatenate([np.ravel(tf.transpose(by_loadings)), by_offset])
    mean, error = mean_and_error(vae, vae.decoder)
    assert np.all(np.abs(mean - exact) < 5 * error + 1e-6)
    assert np.max(error) < 0.1 * np.max(np.abs(exact))


@pytest.mark.long
@pytest.mark.parametrize(
    ("objective", "factor"),
    [
        (ELBO(), 1),
        (ThermodynamicObjective(400, num_partitions=1), 1),
        (ThermodynamicObjective(400, num_partitions=2, first_beta=0.5), 0.5),
        (ThermodynamicObjective(400, num_partitions=2, first_beta=0.5, rule="right"), -0.5),
    ],
)
def test_encoder_gradient_is_the_derivative_of_the_exact_bound(objective, factor):
    # ln w is Gaussian with mean ln p - D and variance 2 D, D = shift^2 precision / 2, so that
    # <ln w>_beta = ln p - D + 2 beta D and the left sum over 0, 1/2, 1 is ln p - D / 2.
    shift = SHIFT / 5
    vae = MODEL.vae(shift, objective=objective, seed=2)
    mean_layer = vae.encoder.get_layer("mean")
    mean, error = mean_and_error(vae, mean_layer, copies=1)
    exact = factor * shift * MODEL.precision
    assert np.all(np.abs(mean - exact_of_kernel_and_bias(exact))[-2:] < 5 * error[-2:])
    assert np.max(error[-2:]) < 0.2 * np.max(np.abs(exact))


def exact_of_kernel_and_bias(by_bias):
    return np.concatenate([np.ravel(np.outer(MODEL.x.mean(0), by_bias)), by_bias])


def test_doubly_reparameterised_gradient_is_its_formula():
    vae = MODEL.vae(SHIFT, objective=DoublyReparameterizedIWAE(4), seed=3)
    state = vae.noise.seed_generator.state.numpy()
    by_autodiff = gradients(vae, vae.encoder)
    vae.noise.seed_generator.state.assign(state)
    weights = [w.value for w in vae.encoder.trainable_weights]
    with tf.GradientTape() as through_encoder:
        draws = vae.draws(tf.constant(MODEL.x), training=True)
        with tf.GradientTape() as through_z:
            z = draws.z  # (num_samples, batch, latent_dim)
            through_z.watch(z)
            mean = tf.stop_gradient(draws.statistics[0])
            eps = (z - mean) * MODEL.precision**0.5
            log_q = -0.5 * tf.reduce_sum(eps**2 - np.log(MODEL.precision) + np.log(2 * np.pi), -1)
            at_z = dataclasses.replace(draws, value=tf.reshape(z, (-1, 2)))
            log_w = at_z.log_joint - log_q
        by_z = through_z.gradient(log_w, z)
        normalized = tf.nn.softmax(log_w, axis=0)[..., None]
        pulled_back = tf.stop_gradient(normalized**2 * by_z) * z
        loss = -tf.reduce_sum(pulled_back) / len(MODEL.x)
    formula = through_encoder.gradient(loss, weights)
    formula = np.concatenate([np.ravel(g) for g in formula])
    np.testing.assert_allclose(by_autodiff, formula, rtol=1e-3, atol=1e-4)


@pytest.mark.long
def test_doubly_reparameterised_gradient_has_the_mean_of_iwae_and_less_noise():
    results = {}
    for kind in (IWAE, DoublyReparameterizedIWAE):
        vae = MODEL.vae(SHIFT, objective=kind(8), seed=4)
        results[kind] = mean_and_error(vae, vae.encoder)
        assert np.all(np.isfinite(results[kind]))
    (mean, error), (other_mean, other_error) = results.values()
    assert np.all(np.abs(mean - other_mean) < 5 * np.hypot(error, other_error))
    assert np.median(other_error / error) < 0.6


def test_doubly_reparameterised_gradient_vanishes_at_the_exact_posterior():
    plain, doubly = (
        gradients(vae, vae.encoder)
        for vae in (
            MODEL.vae(objective=IWAE(5), seed=5),
            MODEL.vae(objective=DoublyReparameterizedIWAE(5), seed=5),
        )
    )
    assert np.max(np.abs(doubly)) < 1e-4 < 1e-2 < np.max(np.abs(plain))


def test_thermodynamic_sums_bracket_the_evidence_and_close_in_on_it():  # B20
    losses = {}
    for rule in ("left", "right"):
        for num in (2, 30):
            objective = ThermodynamicObjective(2000, num_partitions=num, first_beta=0.05, rule=rule)
            vae = MODEL.vae(SHIFT, objective=objective, seed=6)
            draws = vae.draws(tf.constant(MODEL.x), training=False)
            losses[rule, num] = float(np.mean(-objective.call(draws) - MODEL.log_p()))
    assert losses["left", 2] < losses["left", 30] < 0 < losses["right", 30] < losses["right", 2]
    assert losses["right", 30] - losses["left", 30] < 0.15


@pytest.mark.long
@pytest.mark.grid
@pytest.mark.parametrize("objective", [*OBJECTIVES, SecondOrder(5)], ids=lambda o: o.name)
def test_models_with_any_objective_train_and_load_in_safe_mode(tmp_path, objective):
    vae = MODEL.vae(SHIFT, objective=objective, seed=7)
    history = vae.fit(MODEL.x, epochs=1, batch_size=30, verbose=0).history
    assert set(history) == {"loss", "reconstruction", "kl"}
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    assert json.dumps(loaded.get_config()) == json.dumps(vae.get_config())
    values = [model.evaluate(MODEL.x, verbose=0) for model in (vae, loaded)]
    assert values[0] == values[1]
    assert np.all(np.isfinite(values[0]))


def test_assigned_beta_is_saved_with_the_weights(tmp_path):
    vae = MODEL.vae(objective=ELBO(beta=0.1))
    vae.objective.beta.assign(0.7)
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    assert float(loaded.objective.beta) == pytest.approx(0.7)


def test_options_without_meaning_are_refused():
    for make, message in (
        (lambda: IWAE(0), "num_samples must be an integer of 1 or more"),
        (lambda: ELBO(beta=-1.0), "beta must be 0 or above"),
        (lambda: ThermodynamicObjective(1), "2 or more"),
        (lambda: ThermodynamicObjective(5, num_partitions=0), "num_partitions of 1 or more"),
        (lambda: ThermodynamicObjective(5, num_partitions=2, first_beta=1.0), "between 0 and 1"),
        (lambda: ThermodynamicObjective(5, num_partitions=2, rule="middle"), "'left' or 'right'"),
    ):
        with pytest.raises(ValueError, match=message):
            make()

"""An RBM as prior: probabilities that sum to one, exact gradients, and both halves in one model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rbm_tf.enumeration import log_z, moments
from rbm_tf.machine import clamped_free_energy
from rbm_tf.rbm import BernoulliRBM
from vae_keras.networks import dense_decoder
from vae_keras.objectives import ThermodynamicObjective
from vae_keras.parts import Bernoulli, enumerated
from vae_keras.rbm_prior import FollowRBM, RBMPrior
from vae_keras.vae import VAE

BITS = np.array(list(np.ndindex(*4 * (2,))), "float32")
RNG = np.random.default_rng(0)


def rbm(num_visible=4, num_hidden=3, scale=1.0):
    return BernoulliRBM.from_parameters(
        RNG.normal(size=(num_visible, num_hidden)) * scale,
        RNG.normal(size=num_visible) * scale,
        RNG.normal(size=num_hidden) * scale,
    )


def model(prior, **options):
    keras.utils.set_random_seed(0)
    num_bits = prior.num_visible
    encoder = keras.Sequential([keras.Input((6,)), keras.layers.Dense(num_bits)])
    return VAE(
        encoder,
        dense_decoder((6,), num_bits, hidden_units=(8,)),
        posterior=Bernoulli(),
        prior=prior,
        objective=ThermodynamicObjective(10),
        seed=0,
        **options,
    )


def test_probabilities_of_bits_sum_to_one_and_draws_have_their_frequencies():
    prior = RBMPrior.from_rbm(rbm(), num_sweeps=60)
    p = np.exp(prior.log_prob(None, tf.constant(BITS)).numpy().astype(float))
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-5)
    num = 20_000
    value, log_p = prior.draw(None, prior.noise(None, num, 3))
    index = value.numpy().astype(int) @ [8, 4, 2, 1]
    np.testing.assert_allclose(np.exp(log_p), p[index], rtol=1e-4)
    error = np.sqrt(p * (1 - p) / num)
    assert np.all(np.abs(np.bincount(index, minlength=16) / num - p) < 5 * error)


def test_gradient_of_the_prior_is_that_of_the_sum_over_all_states():
    prior, bits = RBMPrior.from_rbm(rbm()), tf.constant(BITS[[3, 9]])
    weights = [w.value for w in (prior.kernel, prior.visible_bias, prior.hidden_bias)]
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(prior.log_prob(None, bits))
    ours = tape.gradient(value, weights)
    with tf.GradientTape() as tape:
        free = [-clamped_free_energy(prior.machine, b) for b in (bits, tf.constant(BITS))]
        value = tf.reduce_sum(free[0]) - 2 * tf.reduce_logsumexp(free[1])
    for a, b in zip(ours, tape.gradient(value, weights), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_log_weights_average_to_the_sum_over_all_bits():
    vae = model(RBMPrior.from_rbm(rbm()))
    x = (RNG.random((3, 6)) < 0.5).astype("float32")
    logits = vae.decoder(BITS).numpy().astype(float)[:, None]
    log_p = np.sum(x * logits - np.logaddexp(0, logits), -1)  # (16, 3)
    log_prior = vae.prior.log_prob(None, tf.constant(BITS)).numpy().astype(float)
    exact = np.logaddexp.reduce(log_p + log_prior[:, None], 0)
    w = np.exp(vae.log_weights(x, 5000, seed=0).numpy().astype(float) - exact)
    assert np.all(np.abs(w.mean(0) - 1) < 5 * w.std(0) / np.sqrt(5000))


def test_bound_is_likelihood_and_entropy_less_both_free_energies_and_misses_the_divergence():
    """B58: <ln p(x|z)>_q + S(q) - <F_c(z)>_q - ln Z, by sums over all bits."""
    vae = model(RBMPrior.from_rbm(rbm()))
    x = (RNG.random((3, 6)) < 0.5).astype("float32")
    logits = vae.decoder(BITS).numpy().astype(float)[:, None]
    log_p = np.sum(x * logits - np.logaddexp(0, logits), -1)  # (16, 3)
    on = vae.encoder(x).numpy().astype(float)
    log_q = -BITS @ np.logaddexp(0, -on.T) - (1 - BITS) @ np.logaddexp(0, on.T)
    free_energy = clamped_free_energy(vae.prior.machine, BITS).numpy().astype(float)[:, None]
    bound = np.sum(np.exp(log_q) * (log_p - log_q - free_energy), 0) - log_z(vae.prior)
    exact = np.logaddexp.reduce(log_p - free_energy, 0) - log_z(vae.prior)
    log_posterior = log_p - free_energy - log_z(vae.prior) - exact
    gap = np.sum(np.exp(log_q) * (log_q - log_posterior), 0)
    np.testing.assert_allclose(exact - bound, gap, rtol=1e-6)
    log_w = vae.log_weights(x, 5000, seed=0).numpy().astype(float)
    assert np.all(np.abs(log_w.mean(0) - bound) < 5 * log_w.std(0) / np.sqrt(5000))


@pytest.mark.long
def test_both_halves_learn_together_and_come_back_from_a_file(tmp_path):
    pattern = (RNG.random((2, 6)) < 0.5).astype("float32")
    x = np.abs(pattern[RNG.integers(2, size=200)] - (RNG.random((200, 6)) < 0.05))
    vae = model(RBMPrior(4, 3, seed=0))
    before = [w.numpy().copy() for w in vae.prior.trainable_variables]
    first = vae.evaluate(x, verbose=0)[0]
    vae.compile(keras.optimizers.Adam(0.02))
    vae.fit(x, epochs=15, batch_size=50, verbose=0)
    assert vae.evaluate(x, verbose=0)[0] < first - 1
    for w, old in zip(vae.prior.trainable_variables, before, strict=True):
        assert np.max(np.abs(w.numpy() - old)) > 1e-3
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    for a, b in zip(
        (vae.log_weights(x[:3], 5, seed=0), vae.generate(3, seed=0)),
        (loaded.log_weights(x[:3], 5, seed=0), loaded.generate(3, seed=0)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.long
def test_large_priors_follow_their_chains_and_anneal_ln_z():
    machine = rbm(13, 13, scale=0.3)
    prior = RBMPrior.from_rbm(machine, num_chains=2000, num_sweeps=50, seed=0)
    assert not prior.is_exact
    assert abs(float(prior.log_z()) - log_z(machine)) < 0.05
    chains, exact = prior.kept["chains"].numpy(), moments(machine)
    for name in ("visible", "hidden"):
        error = 5 * np.sqrt(0.25 / 2000)
        assert np.all(np.abs(prior.kept[name] - getattr(exact, name)) < error)
    assert np.all(np.abs(prior.kept["correlation"] - exact.correlation) < error)
    with tf.GradientTape() as tape:
        value = prior.log_z()
    slope = tape.gradient(value, prior.visible_bias.value)
    np.testing.assert_allclose(slope, prior.kept["visible"], rtol=1e-5)
    callback = FollowRBM(prior, num_sweeps=2)
    callback.on_train_batch_end(0)
    assert np.any(prior.kept["chains"].numpy() != chains)
    prior.visible_bias.assign(prior.visible_bias + 1)
    callback.on_epoch_end(0)
    assert abs(float(prior.log_z()) - log_z(prior)) < 0.05


def large_model(rate=0.03):
    vae = model(RBMPrior(13, 13, seed=0))
    vae.compile(keras.optimizers.Adam(rate))
    return vae, np.repeat((RNG.random((40, 2)) < 0.4).astype("float32"), 3, axis=1)


def error_of(prior):
    """Of the ln Z that the file or the graph holds, nats; annealing is good to a few hundredths."""
    return abs(float(prior.kept["log_z"]) - log_z(prior.machine))


@pytest.mark.long
def test_fit_follows_a_large_prior_by_itself_on_arrays_and_on_data_sets():
    vae, x = large_model()
    for data in (x, tf.data.Dataset.from_tensor_slices(x).batch(10)):
        before = log_z(vae.prior.machine)
        vae.fit(data, epochs=5, batch_size=10, verbose=0)
        assert abs(log_z(vae.prior.machine) - before) > 0.5
        assert error_of(vae.prior) < 0.1
        assert np.all(enumerated(vae, x[:3]) < 0)


@pytest.mark.long
def test_evaluation_anneals_ln_z_first_where_the_parameters_are_others():
    vae, x = large_model()
    prior = vae.prior
    evaluations = (
        lambda: prior.log_z(),
        lambda: vae.log_weights(x[:2], 2, seed=0),
        lambda: enumerated(vae, x[:2]),
        lambda: vae.evaluate(x, verbose=0),
        lambda: vae.test_on_batch(x),
    )
    for k, evaluate in enumerate(evaluations):
        prior.visible_bias.assign(np.full(13, 0.5 * (1 - k % 2)))
        assert error_of(prior) > 0.5
        evaluate()
        assert error_of(prior) < 0.1
        vae.train_on_batch(x)  # after which ln Z has moved and is not annealed
        assert float(prior.kept["moved"]) > 0
        vae.elbo(x[:2], seed=0)
        assert float(prior.kept["moved"]) == 0


@pytest.mark.long
def test_between_annealings_ln_z_moves_with_the_parameters():
    machine = rbm(13, 13, scale=0.3)
    prior = RBMPrior.from_rbm(machine, num_chains=2000, num_sweeps=50, seed=0)
    before = log_z(machine)
    for _ in range(10):
        prior.visible_bias.assign_add(np.full(13, 0.05))
        prior.follow(20)
    moved = log_z(prior.machine) - before
    assert moved > 2 and error_of(prior) < 0.1
    prior.visible_bias.assign_add(np.full(13, 0.01))

    @tf.function
    def in_graph():
        return prior.log_z()

    assert abs(float(in_graph()) - log_z(prior.machine)) < 0.1


@pytest.mark.long
def test_validation_and_checkpoints_hold_the_ln_z_of_their_own_weights_in_any_order(tmp_path):
    for callback_first in (True, False):
        vae, x = large_model()
        follow = FollowRBM(vae.prior)
        save = keras.callbacks.ModelCheckpoint(tmp_path / "vae.keras")
        stop = keras.callbacks.EarlyStopping(patience=9, restore_best_weights=True)
        pair = [follow, save, stop] if callback_first else [save, stop, follow]
        options = {"validation_data": x[:20], "callbacks": pair, "verbose": 0}
        history = vae.fit(x, epochs=1, batch_size=10, **options).history
        assert error_of(vae.prior) < 0.1
        assert error_of(keras.models.load_model(tmp_path / "vae.keras").prior) < 0.1
        loss = vae.evaluate(x[:20], batch_size=10, verbose=0)[0]
        np.testing.assert_allclose(history["val_loss"][0], loss, rtol=1e-6)


def test_fit_refuses_to_follow_a_prior_that_the_model_does_not_have():
    vae, x = large_model()
    other = FollowRBM(RBMPrior(13, 13, seed=0))
    with pytest.raises(ValueError, match="fit adds its own"):
        vae.fit(x, callbacks=other, verbose=0)

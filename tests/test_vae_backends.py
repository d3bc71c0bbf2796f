"""What the VAE promises on every Keras backend: run it with KERAS_BACKEND=jax or torch, too."""

import keras
import numpy as np
import pytest
from keras import ops
from linear_gaussian import LinearGaussian

from rbm_tf.diagnostics import effective_sample_size, pareto_k
from rbm_tf.shared.checkpoints import BackupAndRestore
from vae_keras import evidence
from vae_keras.callbacks import WeightSchedule
from vae_keras.evidence import annealing
from vae_keras.evidence.blocks import estimate_in_blocks, streamed_iwae
from vae_keras.evidence.groups import grouped_estimate
from vae_keras.evidence.unbiased import sumo
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.objectives import ELBO, IWAE, DoublyReparameterizedIWAE, ThermodynamicObjective
from vae_keras.parts import ContinuousBernoulli
from vae_keras.vae import VAE

MODEL, CONDITIONAL = LinearGaussian(), LinearGaussian(num_conditions=3)
OBJECTIVES = {
    "elbo": lambda: ELBO(beta=0.5, num_samples=2),
    "iwae": lambda: IWAE(3),
    "doubly": lambda: DoublyReparameterizedIWAE(3),
    "thermodynamic": lambda: ThermodynamicObjective(3, num_partitions=2),
}


def arrays(weights):
    return [ops.convert_to_numpy(weight) for weight in weights]


def assert_same(weights, others):
    for weight, other in zip(arrays(weights), arrays(others), strict=True):
        np.testing.assert_array_equal(weight, other)


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize("name", OBJECTIVES)
def test_interrupted_training_with_any_objective_goes_on_from_a_file(tmp_path, name):
    options = {"batch_size": 8, "epochs": 1, "verbose": 0, "validation_split": 0.2}
    vae = MODEL.vae(0.3, objective=OBJECTIVES[name](), seed=0)
    history = vae.fit(MODEL.x, sample_weight=np.linspace(0.5, 1, 30), **options).history
    assert np.all(np.isfinite([history["loss"], history["val_loss"]]))
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    for model in (vae, loaded):
        model.fit(MODEL.x, **options)
    assert_same(vae.weights, loaded.weights)
    assert np.all(np.isfinite(loaded.evaluate(MODEL.x, verbose=0)))


@pytest.mark.long
def test_backup_resumes_interrupted_training_to_the_last_bit(tmp_path):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    whole, broken, resumed = (MODEL.vae(0.3, seed=0) for _ in range(3))
    options = {"batch_size": 8, "epochs": 4, "verbose": 0}
    whole.fit(MODEL.x, **options)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(MODEL.x, callbacks=[BackupAndRestore(tmp_path), Interrupt()], **options)
    history = resumed.fit(MODEL.x, callbacks=[BackupAndRestore(tmp_path)], **options)
    assert history.epoch == [2, 3]
    assert_same(whole.variables, resumed.variables)
    assert_same(whole.optimizer.variables, resumed.optimizer.variables)


@pytest.mark.parametrize("name", ["iwae", "doubly"])
def test_step_at_the_exact_posterior_moves_the_encoder_only_if_reparameterised_once(name):
    vae = MODEL.vae(objective=OBJECTIVES[name](), seed=1)
    vae.compile(keras.optimizers.SGD(1.0))
    before = arrays(vae.encoder.weights)
    vae.fit(MODEL.x, batch_size=30, verbose=0)
    moved = [
        np.max(np.abs(w - b)) for w, b in zip(arrays(vae.encoder.weights), before, strict=True)
    ]
    assert max(moved) < 1e-4 if name == "doubly" else max(moved) > 1e-2


def test_log_weights_are_the_evidence_at_the_exact_posterior():
    log_weights = ops.convert_to_numpy(MODEL.vae().log_weights(MODEL.x, 3, seed=0))
    np.testing.assert_allclose(log_weights, np.tile(MODEL.log_p(), (3, 1)), rtol=1e-4, atol=1e-4)
    vae = CONDITIONAL.conditional_vae()
    log_weights = ops.convert_to_numpy(
        vae.log_weights({"x": CONDITIONAL.x, "y": CONDITIONAL.y}, 3, seed=0)
    )
    expected = np.tile(CONDITIONAL.log_p(), (3, 1))
    np.testing.assert_allclose(log_weights, expected, rtol=1e-4, atol=1e-4)


def test_conditional_vae_trains_and_predicts():
    vae = CONDITIONAL.conditional_vae(seed=0)
    vae.fit(CONDITIONAL.x, CONDITIONAL.y, batch_size=8, validation_split=0.2, verbose=0)
    pair = CONDITIONAL.x, CONDITIONAL.y
    reconstruction = ops.convert_to_numpy(vae.reconstruct(pair))
    np.testing.assert_allclose(vae.predict(pair, verbose=0), reconstruction, rtol=1e-4, atol=1e-4)


@pytest.mark.long
def test_autoencoder_of_grey_levels_trains_without_noise():
    x = np.random.default_rng(0).random((40, 6)).astype("float32")
    keras.utils.set_random_seed(0)
    likelihood = ContinuousBernoulli()
    vae = VAE(
        dense_encoder((6,), 2), dense_decoder((6,), 2), likelihood=likelihood, temperature=0.0
    )
    losses = vae.fit(x, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert vae.evaluate(x, verbose=0) == vae.evaluate(x, verbose=0)


def test_beta_follows_a_schedule_during_fit():
    vae = MODEL.vae(objective=ELBO(beta=0.0), seed=0)
    warm_up = WeightSchedule(vae.objective.beta, num_epochs=2)
    vae.compile(keras.optimizers.SGD(0.0))
    history = vae.fit(MODEL.x, batch_size=30, epochs=3, verbose=0, callbacks=[warm_up]).history
    difference = np.subtract(history["loss"], history["reconstruction"])
    np.testing.assert_allclose(difference, [0, history["kl"][1] / 2, history["kl"][2]], atol=1e-5)


def test_wrong_data_are_refused():
    vae = VAE(dense_encoder((6,), 2), dense_decoder((6,), 2))
    for call in (vae.fit, vae.evaluate):
        with pytest.raises(ValueError, match="divide 8-bit images by 255"):
            call(np.full((3, 6), 2.0))
        with pytest.raises(ValueError, match="must have shape"):
            call(np.zeros((3, 5)))


def test_every_estimate_takes_the_log_weights_of_the_backend():
    vae = MODEL.vae(0.2)
    tensor = vae.log_weights(MODEL.x, 40, seed=0)
    array = ops.convert_to_numpy(tensor)
    for estimate in (
        evidence.elbo,
        evidence.iwae,
        evidence.jackknife,
        evidence.cumulant,
        lambda w: evidence.grouped_cumulant(w, 5),
        lambda w: evidence.thermodynamic_sum(w, [0, 1]),
        lambda w: grouped_estimate(w, seed=0).log_p,
        lambda w: sumo(w, np.full(30, 3)),
        pareto_k,
        effective_sample_size,
    ):
        np.testing.assert_array_equal(estimate(tensor), estimate(array))


def test_many_images_are_evaluated_in_blocks():
    vae, x = MODEL.vae(), np.tile(MODEL.x, (20, 1))  # six blocks, with seeds of 31 bits and more
    exact = np.tile(MODEL.log_p(), 20)
    values = estimate_in_blocks(vae, x, {"iwae": evidence.iwae}, 5, seed=0)["iwae"]
    np.testing.assert_allclose(values, exact, rtol=1e-4, atol=1e-4)
    values = streamed_iwae(vae, x[:200], 5, seed=0)
    np.testing.assert_allclose(values, exact[:200], rtol=1e-4, atol=1e-4)


@pytest.mark.long
def test_annealing_works_on_tensorflow_and_says_so_elsewhere():
    vae, betas = MODEL.vae(), [0, 0.5, 1]
    x, z = vae.sample(3, seed=0)
    calls = (
        lambda: annealing.ais(vae, MODEL.x, num_chains=5, betas=betas, seed=0),
        lambda: annealing.ais_path(vae, MODEL.x, num_chains=5, lambdas=betas, seed=0),
        lambda: annealing.reverse_ais(vae, x, z, betas=betas, seed=0),
    )
    for call in calls:
        if keras.backend.backend() == "tensorflow":
            call()
        else:
            with pytest.raises(NotImplementedError, match=r"KERAS_BACKEND=tensorflow.*iwae works"):
                call()

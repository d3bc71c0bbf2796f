import keras
import numpy as np
import pytest
import tensorflow as tf

from rbm_tf import enumeration
from rbm_tf.datasets import bars_and_stripes
from rbm_tf.rbm import BernoulliRBM
from rbm_tf.training.negative_phase import (
    ExactPhase,
)


@pytest.mark.long
def test_exact_gradient_reaches_the_entropy_of_bars_and_stripes():
    x = bars_and_stripes(3)[0].reshape(-1, 9)
    rbm = BernoulliRBM(9, 10, negative_phase=ExactPhase(), seed=0)
    rbm.compile(keras.optimizers.SGD(0.3, momentum=0.9), steps_per_execution=50)
    rbm.fit(np.tile(x, (50, 1)), batch_size=14, epochs=50, shuffle=False, verbose=0)
    log_likelihood = -rbm.free_energy(x).numpy().mean() - enumeration.log_z(rbm)
    assert -np.log(14) - 0.05 < log_likelihood <= -np.log(14)


@pytest.mark.long
def test_training_raises_the_exact_likelihood_of_bars_and_stripes():
    x = bars_and_stripes(3)[0].reshape(-1, 9)
    rbm = BernoulliRBM(9, 8, seed=0)

    def log_likelihood():
        return -rbm.free_energy(x).numpy().mean() - enumeration.log_z(rbm)

    schedule = keras.optimizers.schedules.PolynomialDecay(0.3, 1500, 0.0)
    rbm.compile(keras.optimizers.SGD(schedule), steps_per_execution=50)
    before = log_likelihood()
    rbm.fit(np.tile(x, (250, 1)), batch_size=70, epochs=30, verbose=0)
    assert before < -6
    assert -np.log(len(x)) - 1 < log_likelihood() < -np.log(len(x))  # 14 images: at most -ln 14


def test_fit_takes_what_keras_users_give_it():
    rng = np.random.default_rng(0)
    x = (rng.random((60, 6)) < 0.3).astype("float32")
    rbm = BernoulliRBM(6, 4, seed=0)
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=50)
    history = rbm.fit(
        x,
        epochs=2,
        batch_size=25,
        verbose=0,
        sample_weight=np.linspace(0, 1, 60),
        validation_data=x[:20],
        callbacks=[stop],
    )
    assert set(history.history) == {"loss", "free_energy", "val_loss", "val_free_energy"}
    dataset = tf.data.Dataset.from_tensor_slices(x).batch(20)
    rbm.fit(dataset, epochs=1, verbose=0)
    sequential = keras.Sequential([rbm, keras.layers.Dense(2)])
    assert sequential(x).shape == (60, 2)
    inputs = keras.Input((6,))
    functional = keras.Model(inputs, keras.layers.Dense(2)(rbm(inputs)))
    assert functional.predict(x, verbose=0).shape == (60, 2)


@pytest.mark.long
def test_adam_gets_the_plain_gradient_and_converges():
    x = bars_and_stripes(3)[0].reshape(-1, 9)
    rbm = BernoulliRBM(9, 8, negative_phase=ExactPhase(), seed=0)
    rbm.compile("adam", steps_per_execution=50)
    rbm.optimizer.learning_rate = 0.03
    losses = rbm.fit(np.tile(x, (50, 1)), batch_size=14, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 4.5 < losses[0]


def test_zero_sample_weight_removes_an_example(random_rbm):
    rbm = random_rbm(5, 3)
    rng = np.random.default_rng(0)
    data = tf.constant(rng.integers(2, size=(4, 5)) * 1.0)

    def gradient(x, weight):
        rbm.negative_phase.random_state.assign([7, 7])
        with tf.GradientTape() as tape:
            loss = rbm.compute_loss(x, sample_weight=weight, training=False)
        return tape.gradient(loss, rbm.kernel.value).numpy()

    weighted = gradient(data, tf.constant([2.0, 2.0, 0.0, 0.0]))
    np.testing.assert_allclose(weighted, gradient(data[:2], None), rtol=1e-10, atol=1e-12)


@pytest.mark.long
def test_batches_are_a_permutation_that_seed_and_epoch_decide():
    x = np.linspace(0, 1, 23)[:, np.newaxis] * np.ones(2)
    seen = []

    class Record(BernoulliRBM):
        def compute_loss(self, x=None, *args, **kwargs):
            seen.append(x.numpy()[:, 0])
            return super().compute_loss(x, *args, **kwargs)

    for seed in (3, 3, 4):
        rbm = Record(2, 1, seed=seed)
        rbm.compile("sgd", run_eagerly=True)
        rbm.fit(x, batch_size=5, epochs=2, verbose=0)
    assert [len(batch) for batch in seen] == 6 * [5, 5, 5, 5, 3]
    orders = np.concatenate(seen).reshape(3, 2, 23)
    np.testing.assert_allclose(np.sort(orders), np.broadcast_to(x[:, 0], orders.shape), rtol=1e-6)
    np.testing.assert_array_equal(orders[0], orders[1])
    assert np.any(orders[0, 0] != orders[0, 1]) and np.any(orders[0] != orders[2])


def test_validation_split_holds_back_the_last_examples():
    x = np.zeros((50, 6), "float32")
    x[40:] = 1
    rbm = BernoulliRBM(6, 4, seed=0)
    history = rbm.fit(x, validation_split=0.2, sample_weight=np.ones(50), verbose=0).history
    held_back = rbm.free_energy(x[40:]).numpy().mean()
    assert history["val_free_energy"][0] == pytest.approx(held_back, rel=1e-5)
    assert rbm.visible_offset.numpy().max() == 0  # the held-back ones were not seen


def test_first_fit_sets_visible_bias_to_log_odds_and_keeps_constant_pixels_finite():
    x = np.zeros((50, 3), "float32")
    x[:, 1], x[:25, 2] = 1, 1
    rbm = BernoulliRBM(3, 2, seed=0)
    rbm.adapt(x)
    np.testing.assert_allclose(rbm.visible_bias, np.log([1 / 51, 51, 1]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rbm.visible_offset, [0, 1, 0.5])
    rbm.fit(x, epochs=1, verbose=0)
    assert np.all(np.isfinite(rbm.kernel.numpy()))


def test_mixed_precision_trains_with_float32_free_energies():
    x = (np.random.default_rng(0).random((60, 6)) < 0.3).astype("float32")
    rbm = BernoulliRBM(6, 4, seed=0, dtype="mixed_bfloat16")
    rbm.fit(x, epochs=1, verbose=0)
    assert rbm(x).dtype == tf.bfloat16
    assert rbm.free_energy(x).dtype == tf.float32
    wide = BernoulliRBM(6, 4, seed=0)
    wide.set_weights(rbm.get_weights())
    np.testing.assert_allclose(rbm.free_energy(x), wide.free_energy(x), rtol=2e-2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((5, 2, 3)), "Flatten images"),
        (np.zeros((5, 7)), "Flatten images"),
        (np.full((5, 6), 255.0), "divide 8-bit images by 255"),
        (np.full((5, 6), np.nan), "without NaN"),
        (np.zeros((0, 6)), "no data"),
    ],
)
def test_wrong_data_are_refused_with_the_remedy(data, message):
    with pytest.raises(ValueError, match=message):
        BernoulliRBM(6, 4).fit(data, verbose=0)

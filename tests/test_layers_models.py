"""The layers inside whole models: functional, Sequential, subclassed; annealed; saved."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from vae_keras.callbacks import WeightSchedule
from vae_keras.layers import (
    AddKL,
    BernoulliKL,
    BernoulliSampling,
    CategoricalKL,
    CategoricalSampling,
    FlowPosterior,
    GaussianKL,
    GaussianSampling,
)

numpy = ops.convert_to_numpy
X = np.random.default_rng(0).random((64, 6)).astype("float32")


def functional_gaussian():
    x = keras.Input((6,))
    pair = AddKL(GaussianKL(free_bits=0.1), weight=0.5, name="add_kl")(
        (layers.Dense(2)(x), layers.Dense(2)(x))
    )
    return keras.Model(x, layers.Dense(6)(GaussianSampling(seed=0)(pair)))


def sequential_bernoulli():
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(4),
            AddKL(BernoulliKL(), weight=0.5, name="add_kl"),
            BernoulliSampling(seed=0),
            layers.Dense(6),
        ]
    )


def functional_categorical():
    x = keras.Input((6,))
    logits = layers.Reshape((3, 4))(layers.Dense(12)(x))
    logits = AddKL(CategoricalKL(), weight=0.5, name="add_kl")(logits)
    z = layers.Flatten()(CategoricalSampling(seed=0)(logits))
    return keras.Model(x, layers.Dense(6)(z))


@keras.saving.register_keras_serializable(package="tests")
class FlowAutoencoder(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.mean, self.log_var = layers.Dense(2), layers.Dense(2)
        self.posterior, self.decoder = FlowPosterior(2, num_hidden=8, seed=0), layers.Dense(6)

    def call(self, x):
        z, kl = self.posterior((self.mean(x), self.log_var(x)))
        self.add_loss(ops.mean(kl))
        return self.decoder(z)


MODELS = [functional_gaussian, sequential_bernoulli, functional_categorical, FlowAutoencoder]


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize("make", MODELS)
def test_model_trains_compiled_and_comes_back_in_safe_mode(make, tmp_path):
    model = make()
    model.compile(keras.optimizers.Adam(0.02), "mse")
    losses = model.fit(X, X, epochs=12, batch_size=16, verbose=0).history["loss"]
    assert np.mean(losses[-3:]) < 0.9 * losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    loaded(X), model(X)
    assert numpy(loaded.losses[0]) == pytest.approx(numpy(model.losses[0]), rel=1e-6)


@pytest.mark.grid
@pytest.mark.parametrize("make", MODELS[:3])
def test_loss_of_fit_is_reconstruction_plus_weighted_kl(make):
    model = make()
    add_kl = model.get_layer("add_kl")
    statistics = keras.Model(model.inputs[0], add_kl.input)(X)
    kl = numpy(add_kl.kl(statistics)).mean()
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=["mse"])
    for weight in (0.5, 0.0, 3.0):  # a compiled step follows the weight
        add_kl.weight.assign(weight)
        history = model.fit(X, X, batch_size=64, verbose=0).history
        assert history["loss"][0] == pytest.approx(history["mse"][0] + weight * kl, rel=1e-4)


def test_kl_per_example_is_a_part_of_a_loss_too():
    x = keras.Input((6,))
    pair = layers.Dense(2)(x), layers.Dense(2)(x)
    model = keras.Model(x, {"kl": GaussianKL()(pair), "y": layers.Dense(6)(pair[0])})

    class Mean(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return y_pred

    model.compile("sgd", {"kl": Mean(), "y": "mse"})
    expected = numpy(model(X)["kl"]).mean() + np.mean((numpy(model(X)["y"]) - X) ** 2)
    loss = model.evaluate(X, {"kl": np.zeros(64), "y": X}, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(expected, rel=1e-4)


def warmed(schedule_options, epochs, initial_epoch=0, **compile_options):
    """The weights' values seen in the loss of each batch of four, and the history."""
    keras.utils.set_random_seed(0)
    model = functional_gaussian()
    add_kl = model.get_layer("add_kl")
    seen = []

    class See(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if hasattr(self.model, "jax_state_sync"):
                self.model.jax_state_sync()
            seen.append(float(add_kl.weight))

    schedule = WeightSchedule(add_kl.weight, **schedule_options)
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=["mse"], **compile_options)
    history = model.fit(
        X,
        X,
        batch_size=16,
        shuffle=False,  # free bits look at the mean of a batch
        epochs=epochs,
        initial_epoch=initial_epoch,
        callbacks=[schedule, See()],
        verbose=0,
    ).history
    return np.array(seen), history


@pytest.mark.long
def test_schedule_moves_the_weight_linearly_batch_by_batch():
    seen, history = warmed({"start": 1.0, "end": 0.0, "num_epochs": 2}, epochs=3)
    np.testing.assert_allclose(seen, [*(1 - np.arange(8) / 8), 0, 0, 0, 0], atol=1e-7)
    np.testing.assert_allclose(history["weight"], seen[3::4], atol=1e-7)


def test_schedule_changes_the_loss_of_a_compiled_step():
    _, history = warmed({"num_epochs": 2}, epochs=4)
    kl = np.subtract(history["loss"], history["mse"])
    mean_weights = np.array([0 + 3 / 16, 0.5 + 3 / 16, 1, 1])  # of the epoch's four batches
    np.testing.assert_allclose(kl / kl[-1], mean_weights, rtol=0.15)
    assert kl[2] == pytest.approx(kl[3], rel=1e-4)


@pytest.mark.long
def test_schedule_can_cycle_and_resumes_where_it_would_have_been():
    options = {"end": 2.0, "num_epochs": 1, "cycle_epochs": 2}
    seen, _ = warmed(options, epochs=4)
    cycle = [0, 0.5, 1, 1.5, 2, 2, 2, 2]
    np.testing.assert_allclose(seen, cycle * 2, atol=1e-7)
    resumed, _ = warmed(options, epochs=4, initial_epoch=3)
    np.testing.assert_array_equal(resumed, seen[12:])


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="one step at a time on PyTorch")
def test_schedule_moves_with_each_execution_of_several_steps():
    seen, _ = warmed({"num_epochs": 1}, epochs=1, steps_per_execution=2)
    np.testing.assert_allclose(seen, [0, 0.5], atol=1e-7)


def test_schedule_anneals_a_temperature_too():
    model = sequential_bernoulli()
    temperature = model.layers[2].temperature
    model.compile("sgd", "mse")
    schedule = WeightSchedule(temperature, start=1.0, end=0.1, num_epochs=2)
    model.fit(X, X, epochs=3, callbacks=[schedule], verbose=0)
    assert float(temperature) == pytest.approx(0.1)


def test_schedule_without_a_scalar_variable_or_with_wrong_lengths_is_refused():
    weight = AddKL().weight
    for wrong in ("weight", 0.5, layers.Dense(2)):
        with pytest.raises(ValueError, match="scalar variable itself"):
            WeightSchedule(wrong)
    for options in ({"num_epochs": 0}, {"num_epochs": 3, "cycle_epochs": 2}):
        with pytest.raises(ValueError, match="num_epochs must be above 0"):
            WeightSchedule(weight, **options)

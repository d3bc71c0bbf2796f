"""`FusedAdam` on every Keras backend: run it with KERAS_BACKEND=jax or torch, too."""

import keras
import numpy as np
import pytest
from keras import ops

from vae_keras.optimizers import FusedAdam

BETAS = {"beta_1": 0.5, "beta_2": 0.875}  # which float32 holds exactly
OPTIONS = {
    "plain": {},
    "decay": {"weight_decay": 0.1},
    "clipped": {"clipnorm": 0.1},
    "average": {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 4},
    "accumulated": {"gradient_accumulation_steps": 2},
    "amsgrad": {"amsgrad": True},
}
CLASSES = FusedAdam, keras.optimizers.Adam


def network(dtype):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(5, "tanh", dtype=dtype), keras.layers.Dense(2, dtype=dtype)]
    return keras.Sequential([keras.Input((3,), dtype=dtype), *layers])


def state(model):
    return [ops.convert_to_numpy(v) for v in [*model.weights, *model.optimizer.variables]]


def after_ten_steps(optimizer, dtype, **options):
    """A model's weights and its optimizer's state."""
    rng, model = np.random.default_rng(0), network(dtype)
    model.compile(optimizer, "mse", **options)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    return state(model)


def assert_close(values, others, tolerance):
    for value, other in zip(values, others, strict=True):
        np.testing.assert_allclose(value, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-6)])
def test_ten_steps_are_those_of_the_published_algorithm(dtype, tolerance):
    if keras.backend.backend() == "jax" and dtype == "float64":
        pytest.skip("JAX has no float64 unless told")
    rate, beta_1, beta_2, epsilon = 0.125, 0.5, 0.875, 1e-7
    gradients = np.random.default_rng(0).normal(size=(10, 5))
    optimizer, weight = FusedAdam(rate, **BETAS), keras.Variable(np.ones(5), dtype=dtype)
    optimizer.build([weight])
    expected, m, v = np.ones(5), 0, 0
    for t, gradient in enumerate(gradients, start=1):
        optimizer.apply([ops.convert_to_tensor(gradient, dtype)], [weight])
        m = beta_1 * m + (1 - beta_1) * gradient
        v = beta_2 * v + (1 - beta_2) * gradient**2
        scale = rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        expected = expected - scale * m / (np.sqrt(v) + epsilon)
    assert_close([ops.convert_to_numpy(weight)], [expected], tolerance)


@pytest.mark.long
@pytest.mark.grid
@pytest.mark.parametrize("name", OPTIONS)
def test_weights_and_state_are_those_of_keras_adam(name):
    fused_kernel = keras.backend.backend() == "tensorflow"
    dtype, tolerance = ("float64", 1e-12) if fused_kernel else ("float32", 1e-5)
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.9)
    fused, plain = (make(schedule, **BETAS, **OPTIONS[name]) for make in CLASSES)
    assert_close(*(after_ten_steps(each, dtype) for each in (fused, plain)), tolerance)


@pytest.mark.long
def test_default_betas_in_float32_differ_from_keras_by_their_rounding_only():
    fused, plain = (after_ten_steps(make(0.1), "float32") for make in CLASSES)
    assert_close(fused, plain, 1e-4)  # 1 - beta_2 rounds to 1.00001e-3


@pytest.mark.long
def test_sparse_gradients_are_taken():
    values = []
    for make in CLASSES:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Embedding(6, 3)])
        model.compile(make(0.1), "mse")
        model.fit(np.array([[0, 1], [1, 4]]), np.ones((2, 2, 3)), epochs=5, verbose=0)
        values.append(state(model))
    assert_close(*values, 1e-6)


@pytest.mark.long
@pytest.mark.parametrize("compiled", [{"run_eagerly": True}, {"jit_compile": True}])
def test_steps_without_a_graph_and_by_xla_are_the_same(compiled):
    if keras.backend.backend() == "torch" and "jit_compile" in compiled:
        pytest.skip("Keras compiles PyTorch models by another compiler")
    plain = after_ten_steps(FusedAdam(0.1), "float32")
    assert_close(after_ten_steps(FusedAdam(0.1), "float32", **compiled), plain, 1e-4)


@pytest.mark.long
def test_a_saved_model_trains_on_as_it_would_have(tmp_path):
    rng, model = np.random.default_rng(0), network("float32")
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    model.compile(FusedAdam(0.1, **BETAS), "mse")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is FusedAdam
    for each in (model, loaded):
        each.fit(x, y, epochs=3, shuffle=False, verbose=0)
    assert_close(state(loaded), state(model), 0)

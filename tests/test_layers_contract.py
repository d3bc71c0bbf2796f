"""What every layer owes Keras: its own layer test, seeds, saving, compiled training."""

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.testing import TestCase

from vae_keras.layers import (
    AddKL,
    AffineCoupling,
    BernoulliKL,
    BernoulliSampling,
    CategoricalKL,
    CategoricalSampling,
    FlowPosterior,
    GaussianKL,
    GaussianSampling,
)

numpy = ops.convert_to_numpy
PAIR, PRIOR_TOO = [(2, 3), (2, 3)], [(2, 3)] * 4
CASES = [  # layer, arguments, input shape, output shape, weights (trainable, other), seeds, losses
    (GaussianSampling, {}, PAIR, (2, 3), (0, 0), 1, 0),
    (GaussianSampling, {"temperature": 0.0}, PAIR, (2, 3), (0, 0), 1, 0),
    (BernoulliSampling, {"temperature": 0.3}, (2, 3), (2, 3), (0, 1), 1, 0),
    (CategoricalSampling, {"temperature": 0.3}, (2, 4, 3), (2, 4, 3), (0, 1), 1, 0),
    (GaussianKL, {"free_bits": 0.5, "temperature": 0.5}, PAIR, (2,), (0, 0), 0, 0),
    (GaussianKL, {}, PRIOR_TOO, (2,), (0, 0), 0, 0),
    (BernoulliKL, {}, (2, 3), (2,), (0, 0), 0, 0),
    (BernoulliKL, {}, PAIR, (2,), (0, 0), 0, 0),
    (CategoricalKL, {}, (2, 4, 3), (2,), (0, 0), 0, 0),
    (AddKL, {"weight": 0.5}, PAIR, PAIR, (0, 1), 0, 1),
    (AffineCoupling, {"flip": True, "seed": 1}, (2, 3), ((2, 3), (2,)), (4, 0), 0, 0),
    (AffineCoupling, {}, (2, 4, 3), ((2, 4, 3), (2, 4)), (4, 0), 0, 0),
    (FlowPosterior, {"num_layers": 2, "seed": 1}, PAIR, ((2, 3), (2,)), (8, 0), 1, 0),
    (FlowPosterior, {"num_layers": 1}, [(2, 4, 3)] * 2, ((2, 4, 3), (2,)), (4, 0), 1, 0),
]
SAMPLING = [GaussianSampling, BernoulliSampling, CategoricalSampling, FlowPosterior]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0].__name__}-{case[1]}")
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_layer_passes_keras_own_layer_test(case, policy):
    layer, arguments, input_shape, output_shape, num_weights, seeds, losses = case
    TestCase().run_layer_test(
        layer,
        init_kwargs={**arguments, "dtype": policy},
        input_shape=input_shape,
        expected_output_shape=output_shape,
        expected_num_trainable_weights=num_weights[0],
        expected_num_non_trainable_weights=num_weights[1],
        expected_num_seed_generators=seeds,
        expected_num_losses=losses,
        # Keras's own step feeds one input to something trainable; test_layers_models trains all
        run_training_check=layer is AffineCoupling,
        run_mixed_precision_check=True,
        supports_masking=True,
        assert_built_after_instantiation=False,
    )


@pytest.mark.parametrize("layer", [GaussianKL, BernoulliKL, CategoricalKL])
def test_kl_is_computed_in_float32_under_mixed_precision_and_in_float64_where_asked(layer):
    arrays = np.random.default_rng(0).normal(size=(2, 5, 3))
    inputs = tuple(ops.convert_to_tensor(x, "float16") for x in arrays)
    kl = layer(dtype="mixed_float16")(inputs)
    assert keras.backend.standardize_dtype(kl.dtype) == "float32"
    exact = layer()(tuple(ops.cast(x, "float32") for x in inputs))
    np.testing.assert_allclose(numpy(kl), numpy(exact), rtol=1e-6)
    if keras.backend.backend() != "jax":  # it has no float64 unless that is switched on
        wide = layer(dtype="float64")(tuple(ops.convert_to_tensor(x, "float64") for x in arrays))
        assert keras.backend.standardize_dtype(wide.dtype) == "float64"


@pytest.mark.parametrize("layer", SAMPLING)
def test_a_seed_gives_the_same_sequence_and_saved_weights_continue_it(layer, tmp_path):
    shape = (4, 2)
    takes_pair = layer in (GaussianSampling, FlowPosterior)
    x = (ops.zeros(shape), ops.zeros(shape)) if takes_pair else ops.zeros(shape)
    inputs = (keras.Input((2,)), keras.Input((2,))) if takes_pair else keras.Input((2,))

    def draw(source):
        output = source(x)
        return numpy(output[0] if isinstance(output, (tuple, list)) else output)

    first_layer, twin = layer(seed=5), layer(seed=5)
    first, second = draw(first_layer), draw(first_layer)
    np.testing.assert_array_equal(first, draw(twin))
    assert np.any(first != second) and np.any(first != draw(layer(seed=6)))
    model = keras.Model(inputs, first_layer(inputs))
    model.save(tmp_path / "model.keras")
    third = draw(first_layer)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(draw(loaded), third)
    other = keras.Model(inputs, layer(seed=7)(inputs))
    model.save_weights(tmp_path / "model.weights.h5")
    fourth = draw(first_layer)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(draw(other), fourth)


@pytest.mark.parametrize("layer", SAMPLING)
def test_every_call_of_a_compiled_predict_draws_anew(layer):
    takes_pair = layer in (GaussianSampling, FlowPosterior)
    inputs = (keras.Input((2,)), keras.Input((2,))) if takes_pair else keras.Input((2,))
    output = layer(seed=0)(inputs)
    model = keras.Model(inputs, output[0] if layer is FlowPosterior else output)
    zeros = np.zeros((4, 2), "float32")
    x = (zeros, zeros) if takes_pair else zeros
    first, second = model.predict(x, verbose=0), model.predict(x, verbose=0)
    assert np.any(first != second)

import keras
import numpy as np
import pytest
from autodiff import jacobian
from keras import ops

from vae_keras.parts.cross_entropy import bernoulli_cross_entropy


def reference(x, logits):
    logits = logits.astype(np.longdouble)
    return np.sum(np.logaddexp(0, logits) - x * logits, axis=-1)


@pytest.mark.parametrize("num", [1, 7, 112, 127, 240, 784])
@pytest.mark.parametrize("batch, scale", [(5, 0.0), (5, 1e-4), (4, 3.0), (3, 100.0)])
def test_cross_entropy_for_any_number_of_variables(num, batch, scale):
    rng = np.random.default_rng(num)
    x = rng.random((batch, num)).astype("float32")
    logits = (scale * rng.normal(size=(batch, num))).astype("float32")
    values = ops.convert_to_numpy(bernoulli_cross_entropy(x, logits))
    np.testing.assert_allclose(values, reference(x, logits).astype(float), rtol=2e-6)


def test_cross_entropy_does_not_overflow_and_keeps_nan():
    logits = np.array([[1e30, -1e30], [np.nan, 0]], "float32")
    values = ops.convert_to_numpy(bernoulli_cross_entropy(np.zeros((2, 2), "float32"), logits))
    np.testing.assert_array_equal(values, np.array([1e30, np.nan], "float32"))


def test_cross_entropy_derivatives():
    rng = np.random.default_rng(0)
    x, logits = rng.random((3, 6)).astype("float32"), rng.normal(size=(3, 6)).astype("float32")
    x, logits = ops.convert_to_tensor(x), ops.convert_to_tensor(logits)
    by_logits = jacobian(lambda a: bernoulli_cross_entropy(x, a), logits)
    by_x = jacobian(lambda a: bernoulli_cross_entropy(a, logits), x)
    expected = ops.convert_to_numpy(ops.sigmoid(logits) - x)
    np.testing.assert_allclose(np.einsum("iij->ij", by_logits), expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(np.einsum("iij->ij", by_x), -ops.convert_to_numpy(logits))


def test_cross_entropy_of_symbolic_tensors():
    x, logits = keras.Input((6,)), keras.Input((6,))
    model = keras.Model([x, logits], bernoulli_cross_entropy(x, logits))
    arrays = np.random.default_rng(0).random((2, 3, 6)).astype("float32")
    values = ops.convert_to_numpy(model(list(arrays)))
    np.testing.assert_allclose(values, reference(*arrays).astype(float), rtol=1e-6)

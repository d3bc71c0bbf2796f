import keras
import numpy as np
import pytest
import tensorflow as tf

from rbm_tf.rbm import BernoulliRBM
from rbm_tf.shared.arrays import as_array
from vae_keras.parts.inputs import check_range


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64"])
def test_tensors_are_the_arrays_that_they_hold(dtype):
    tensor = tf.cast([[0, 1], [2, 3]], dtype)
    np.testing.assert_array_equal(as_array(tensor, "float32"), [[0, 1], [2, 3]])


def test_large_tensors_and_arrays_are_seen_and_not_copied():
    tensor, array = tf.ones((3, 2)), np.ones((3, 2), "float32")
    assert np.shares_memory(as_array(tensor, None), as_array(tensor, "float32"))
    assert as_array(array, "float32") is array


def test_masked_numbers_are_missing_ones_and_no_integers_are_made_of_them():
    masked = np.ma.masked_array([[0, 1], [2, 3]], [[True, False], [False, False]])
    for dtype in ("float32", None):
        np.testing.assert_array_equal(as_array(masked, dtype), [[np.nan, 1], [2, 3]])
    assert as_array(np.ma.masked_array([1, 2]), None).dtype == int
    for wrong in (masked, [1.5], [2.0**70]):
        with pytest.raises(ValueError, match="y must hold integers of type int64"):
            as_array(wrong, "int64", "y")
    np.testing.assert_array_equal(as_array([2.0, 3.0], "int64"), [2, 3])


def test_an_rbm_refuses_what_is_masked_unless_it_draws_it():
    masked = np.ma.masked_array(np.eye(3), np.eye(3)[::-1] > 0)
    with pytest.raises(ValueError, match="3 of 9 values are NaN"):
        BernoulliRBM(3, 2, seed=0).fit(masked, verbose=0)
    trained = []
    for data in (masked, np.where(masked.mask, np.nan, np.eye(3))):
        rbm = BernoulliRBM(3, 2, missing_steps=2, seed=0)
        rbm.fit(data, verbose=0)
        trained.append(rbm.kernel.numpy())
    np.testing.assert_array_equal(*trained)


def test_an_rbm_refuses_a_y_that_would_be_lost():
    with pytest.raises(ValueError, match=r"y is not used: an RBM.*with_labels\(x, y, num_cl"):
        BernoulliRBM(3, 2, seed=0).fit(np.eye(3), [0, 1, 2], verbose=0)
    BernoulliRBM(3, 2, seed=0).fit(np.eye(3), np.eye(3), verbose=0)


def test_a_tensor_trains_as_its_array_does():
    array, trained = (np.random.default_rng(0).random((20, 3)) < 0.3).astype("float32"), []
    for data in (array, tf.constant(array), tf.constant(array, "float64")):
        rbm = BernoulliRBM(3, 2, seed=0)
        rbm.fit(data, batch_size=5, epochs=2, validation_split=0.2, verbose=0)
        trained.append(rbm.get_weights())
    for other in trained[1:]:
        keras.tree.map_structure(np.testing.assert_array_equal, other, trained[0])


def test_ranges_end_where_they_say():
    def is_taken(value, *bounds, **options):
        try:
            check_range("Part", np.asarray(value), *bounds, **options, remedy="none")
        except ValueError:
            return False
        return True

    largest = np.finfo("float32").max
    assert is_taken(np.array([largest, -largest]))
    assert is_taken([0.0, 1.0], 0, 1) and is_taken(np.array([True, False]), 0, 1)
    assert is_taken(np.zeros((0, 3)), 0, 1) and is_taken([0, 3], 0, is_whole=True)
    for value in (np.nan, -np.inf, -0.1, 1.1, np.inf):
        assert not is_taken([0.5, value], 0, 1) and not is_taken([value, 0.5], 0, 1)
    for value in (np.nan, np.inf, -np.inf):
        assert not is_taken([0.5, value])
    assert not is_taken([0.0, 0.5], 0, is_whole=True)

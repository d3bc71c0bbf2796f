"""Data sets for Gaussian and Potts units."""

import types

import numpy as np
import pytest
from sklearn.datasets import load_digits as sklearn_digits
from sklearn.datasets import load_wine as sklearn_wine

from rbm_tf.datasets import (
    LOADERS_BY_UNITS,
    load_digit_levels,
    load_digits,
    load_patches,
    load_wine,
)
from rbm_tf.units import Potts


@pytest.mark.parametrize("size", [2, 8])
def test_training_patches_have_mean_0_variance_1_and_one_variance_in_all_directions(size):
    (x, labels), (x_test, _) = load_patches(size)
    assert x.shape == (8000, size, size) and x_test.shape == (2000, size, size)
    assert x.dtype == np.float32 and set(labels) == {0, 1}
    x = x.reshape(len(x), -1).astype(float)
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(x.var(0), 1, rtol=1e-5)
    variances = np.linalg.eigvalsh(np.cov(x, rowvar=False))
    assert variances[0] < 1e-3  # of the mean of a patch
    expected = size**2 / (size**2 - 1)  # the other directions share the variance of all pixels
    np.testing.assert_allclose(variances[1:], expected, rtol=0.1)  # l / (l + epsilon)
    assert size == 2 or 0.75 < x_test.var() < 0.85


def photographs(monkeypatch, scale):
    """Noise in place of the two photographs, with another scale in the strips of the test set."""
    noise = np.random.default_rng(0).normal(size=(2, 427, 10, 64, 1))
    noise[:, :, [2, 7]] *= scale
    images = noise.reshape(2, 427, 640, 1) + np.array([50, 100]).reshape(2, 1, 1, 1)
    found = types.SimpleNamespace(images=images)
    monkeypatch.setattr("sklearn.datasets.load_sample_images", lambda: found)


def test_no_test_patch_shares_a_pixel_with_a_training_patch(monkeypatch):
    photographs(monkeypatch, scale=0)
    (x_train, _), (x_test, _) = load_patches(4)
    assert np.all(x_train.std((1, 2)) > 0.1)
    assert np.all(x_test == x_test[0])  # -m after whitening, wherever they lie


def test_white_noise_stays_white_noise_less_the_mean_of_each_patch(monkeypatch):
    photographs(monkeypatch, scale=3)
    (x_train, _), (x_test, _) = load_patches(3, num=20_000)
    correlation = np.cov(x_train.reshape(len(x_train), -1), rowvar=False)
    error = 5 / np.sqrt(len(x_train))
    np.testing.assert_allclose(correlation[~np.eye(9, dtype=bool)], -1 / 8, atol=error)
    variance = np.mean(np.square(x_test, dtype=float), (1, 2))
    assert abs(variance.mean() - 9) < 5 * variance.std() / np.sqrt(len(x_test)) + 9 * error


def test_a_seed_fixes_the_patches():
    first, second = load_patches(4, num=100), load_patches(4, num=100)
    for (x, y), (other_x, other_y) in zip(first, second, strict=True):
        np.testing.assert_array_equal(x, other_x)
        np.testing.assert_array_equal(y, other_y)
    assert np.any(load_patches(4, num=100, seed=1)[0][0] != first[0][0])


@pytest.mark.parametrize("options", [{"size": 33}, {"size": 8, "num": 80}, {"size": 1}])
def test_patches_that_cannot_be_whitened_are_refused(options):
    with pytest.raises(ValueError, match=r"size.* 2 "):
        load_patches(**options)


def test_wine_is_every_row_once_up_to_one_scale_and_shift_a_column():
    (x_train, y_train), (x_test, y_test) = load_wine()
    np.testing.assert_allclose(x_train.mean(0, dtype=float), 0, atol=1e-6)
    np.testing.assert_allclose(x_train.var(0, dtype=float), 1, rtol=1e-5)
    wine = sklearn_wine()
    x, y = np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test])
    for ours, theirs in zip(x.T, wine.data.T, strict=True):
        slope, intercept = np.polyfit(np.sort(ours), np.sort(theirs), 1)
        np.testing.assert_allclose(slope * np.sort(ours) + intercept, np.sort(theirs), rtol=1e-4)
    assert np.array_equal(np.sort(y), wine.target)
    assert x.dtype == np.float32


@pytest.mark.parametrize("num_levels", [2, 4, 17])
def test_levels_are_equal_parts_of_the_17_grey_levels_and_states_of_potts_units(num_levels):
    parts = load_digit_levels(num_levels)
    edges = np.arange(1, num_levels) * 17 / num_levels
    for (x, y), (images, labels) in zip(parts, load_digits(), strict=True):
        found = x.reshape(-1, 8, 8, num_levels).argmax(-1)
        np.testing.assert_array_equal(found, np.searchsorted(edges, 16 * images, side="right"))
        np.testing.assert_array_equal(y, labels)
        Potts(64, num_levels).check(x)
    assert sum(len(x) for x, _ in parts) == len(sklearn_digits().images)


def test_numbers_of_levels_that_the_digits_do_not_have_are_refused():
    with pytest.raises(ValueError, match="17 grey levels"):
        load_digit_levels(18)
    with pytest.raises(ValueError, match="2 or more"):
        load_digit_levels(1)


@pytest.mark.parametrize("units", ["gaussian", "potts"])
def test_every_data_set_is_called_by_its_name_without_an_argument(units):
    for name, loader in LOADERS_BY_UNITS[units].items():
        assert loader.__name__ == f"load_{name}"
        (x_train, y_train), (x_test, y_test) = loader()
        assert len(x_train) == len(y_train) and len(x_test) == len(y_test)
        assert x_train.dtype == x_test.dtype == np.float32
        assert abs(len(x_test) / (len(x_train) + len(x_test)) - 0.2) < 0.003

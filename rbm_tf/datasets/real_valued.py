"""Data on the real line, for Gaussian units: whitened patches of photographs, and a table."""

from __future__ import annotations

import numpy as np

from rbm_tf.datasets.preparation import stratified_split
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.memory import check_memory
from rbm_tf.shared.types import DataSet

_REGULARISATION = 0.01  # epsilon in units of the mean variance of a pixel
_STRIP = 64  # columns of a photograph, 640 wide
_TEST_STRIPS = (2, 7)  # of ten


def load_patches(size: int = 8, *, num: int = 10_000, seed: int | None = 0) -> DataSet:
    """Whitened grey patches of the two photographs that come with scikit-learn.

    Each patch loses its mean. With the mean m and the covariance E diag(l) E^T of the training
    patches, and epsilon = 0.01 times their mean variance, whitening is
    y = (x - m) E diag(1 / sqrt(l + epsilon)) E^T (ZCA), and each pixel is then divided by its
    standard deviation. So each pixel of the training set has mean 0 and variance 1, and what is
    left of correlations comes from epsilon and from the lost means, -1/(size^2 - 1). The
    distribution is not Gaussian: its tails are heavy where there are edges.

    Test patches lie in strips of the photographs that no training patch touches; there the
    variance is another, 0.8 for the defaults.

    Args:
        size: the length of an edge of a patch in pixels, 2 to 32.
        num: the number of patches; 20 % are the test set.
        seed: integer that fixes where patches lie; None draws them anew.

    Returns:
        (x_train, y_train), (x_test, y_test): patches (num, size, size) float32, and as labels the
        number of the photograph: 0 the temple, 1 the flower.

    Raises:
        ValueError: if size is not 2 to 32, or num does not give more training patches than pixels.

    Reference: Bell and Sejnowski (1997), The independent components of natural scenes are edge
    filters, Vision Research 37.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_patches()
        >>> x_train.shape, x_test.shape
        ((8000, 8, 8), (2000, 8, 8))
        >>> bool(np.all(np.abs(x_train.var(0) - 1) < 1e-4))
        True
    """
    check_counts(2, size=size)
    check_counts(num=num)
    num_test = num // 5
    if size > 32 or num - num_test <= size**2:
        raise ValueError(
            f"size must be 2 to 32, and 4/5 of num more than size^2; got size={size}, num={num}."
        )
    check_memory(64 * num * size**2, f"num={num} patches", "choose a smaller num")
    rng = np.random.default_rng(seed)
    windows = _windows(size)
    train_strips = np.setdiff1d(np.arange(windows.shape[1]), _TEST_STRIPS)
    x_train, y_train = _draw(windows, train_strips, num - num_test, rng)
    x_test, y_test = _draw(windows, _TEST_STRIPS, num_test, rng)
    x_train, x_test = (
        x.astype(np.float32).reshape(-1, size, size) for x in _whitened(x_train, x_test)
    )
    return (x_train, y_train), (x_test, y_test)


def _windows(size):
    """All patches as a view, (image, strip, row, column, size, size), float64 in [0, 1]."""
    from sklearn.datasets import load_sample_images

    grey = np.mean(load_sample_images().images, -1) / 255  # (2, 427, 640)
    strips = grey.reshape(*grey.shape[:2], -1, _STRIP).swapaxes(1, 2)
    return np.lib.stride_tricks.sliding_window_view(strips, (size, size), axis=(2, 3))


def _draw(windows, strips, num, rng):
    """Patches from places in these strips, (num, pixels) without their means, and their images."""
    image, row, column = (rng.integers(windows.shape[axis], size=num) for axis in (0, 2, 3))
    patches = windows[image, rng.choice(strips, num), row, column].reshape(num, -1)
    return patches - patches.mean(1, keepdims=True), image


def _whitened(x_train, x_test):
    mean = x_train.mean(0)
    variances, directions = np.linalg.eigh(np.cov(x_train, rowvar=False))
    scales = 1 / np.sqrt(variances + _REGULARISATION * variances.mean())
    zca = (directions * scales) @ directions.T
    x_train, x_test = (x_train - mean) @ zca, (x_test - mean) @ zca
    deviation = x_train.std(0)
    return x_train / deviation, x_test / deviation


def load_wine() -> DataSet:
    """13 measurements of 178 wines of three growers, which come with scikit-learn.

    Each column is standardised, y = (x - m) / s with the mean m and the standard deviation s of
    the training set; 20 % are the test set. The growers are three clusters.

    Returns:
        (x_train, y_train), (x_test, y_test): rows (num, 13) float32, and the grower 0, 1 or 2.

    Reference: Aeberhard and Forina (1992), Wine, UCI.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_wine()
        >>> x_train.shape, x_test.shape
        ((142, 13), (36, 13))
    """
    from sklearn.datasets import load_wine as sklearn_wine

    wine = sklearn_wine()
    (x_train, y_train), (x_test, y_test) = stratified_split(wine.data, wine.target)
    mean, deviation = x_train.mean(0), x_train.std(0)
    x_train, x_test = (((x - mean) / deviation).astype(np.float32) for x in (x_train, x_test))
    return (x_train, y_train), (x_test, y_test)

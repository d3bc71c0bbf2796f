"""Small images: bars and stripes, and the handwritten digits of scikit-learn."""

from __future__ import annotations

import numpy as np

from rbm_tf.datasets.preparation import binarize_both, stratified_split
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import DataSet


def bars_and_stripes(size: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """All bars-and-stripes images: rows all alike or columns all alike.

    Args:
        size: the length of an edge in pixels, 2 to 16.

    Returns:
        images (2 ** (size + 1) - 2, size, size) float32, and labels: 0 for vertical bars (the two
        uniform images among them), 1 for horizontal stripes.

    Raises:
        ValueError: if size is not 2 to 16.

    Reference: MacKay (2003), Information Theory, Inference and Learning Algorithms, section 43.

    Example:
        >>> bars_and_stripes(2)[0].shape
        (6, 2, 2)
    """
    if not 2 <= size <= 16:
        raise ValueError(f"size must be 2 to 16; got {size}.")
    patterns = (np.arange(2**size)[:, None] >> np.arange(size)) & 1  # (2 ** size, size)
    bars = np.repeat(patterns[:, None, :], size, axis=1)  # (2 ** size, size, size)
    stripes = np.repeat(patterns[1:-1, :, None], size, axis=2)  # uniform images count once
    images = np.concatenate([bars, stripes]).astype(np.float32)
    return images, np.repeat([0, 1], [len(bars), len(stripes)])


def load_bars_and_stripes(size: int = 4) -> DataSet:
    """All bars-and-stripes images, as both the training and the test set.

    Args:
        size: the length of an edge in pixels, 2 to 16.

    Returns:
        (x_train, y_train), (x_test, y_test): images (num, size, size) float32, labels (num,).

    Raises:
        ValueError: if size is not 2 to 16.

    Example:
        >>> (x_train, y_train), _ = load_bars_and_stripes()
        >>> x_train.shape
        (30, 4, 4)
    """
    images, labels = bars_and_stripes(size)
    return (images, labels), (images.copy(), labels.copy())


def load_digits(binarization: str = "none", *, seed: int | None = None) -> DataSet:
    """The 1,797 handwritten 8 x 8 digits that ship with scikit-learn; 20 % are the test set.

    Args:
        binarization: what becomes of grey levels, as `binarize` takes it.
        seed: integer that fixes the drawn pixels; the split is always the same.

    Returns:
        (x_train, y_train), (x_test, y_test): images (num, 8, 8) float32, labels (num,).

    Reference: Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_digits()
        >>> x_train.shape, x_test.shape
        ((1437, 8, 8), (360, 8, 8))
    """
    from sklearn.datasets import load_digits as sklearn_digits

    digits = sklearn_digits()
    data = stratified_split((digits.images / 16).astype(np.float32), digits.target)
    return binarize_both(data, binarization=binarization, seed=seed)


def load_digit_levels(num_levels: int = 4) -> DataSet:
    """The digits of scikit-learn with each pixel in one of a few levels, one-hot: Potts units.

    A grey level g of 0 to 16 becomes level floor(q g / 17) of q. Columns q i to q i + q - 1 are
    the levels of pixel i, as `rbm_tf.units.Potts(64, q)` has them;
    `x.reshape(-1, 8, 8, q).argmax(-1)` gives the levels back. The split is that of `load_digits`.

    Args:
        num_levels: the number q of levels, 2 to 17; 17 keeps all.

    Returns:
        (x_train, y_train), (x_test, y_test): states (num, 64 num_levels) float32, labels (num,).

    Raises:
        ValueError: if num_levels is not 2 to 17.

    Reference: as `load_digits`.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_digit_levels()
        >>> x_train.shape, x_test.shape
        ((1437, 256), (360, 256))
    """
    check_counts(2, num_levels=num_levels)
    if num_levels > 17:
        raise ValueError(f"The digits have 17 grey levels; got num_levels={num_levels}.")
    one_hot = np.eye(num_levels, dtype=np.float32)
    parts = []
    for images, labels in load_digits():
        levels = np.rint(16 * images).astype(int) * num_levels // 17  # (num, 8, 8)
        parts.append((one_hot[levels].reshape(len(images), -1), labels))
    return parts[0], parts[1]

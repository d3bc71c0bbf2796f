"""The one door by which data and their weights come to a model: `fit`, `evaluate`, `predict`."""

from __future__ import annotations

import collections
import contextlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from rbm_tf.shared.arrays import (
    as_array,
    checked_batch_size,
    checked_weights,
    common_length,
    epoch_rows,
    held_back,
)
from rbm_tf.shared.carriers import ArrayBatches, Door, element, is_carrier
from rbm_tf.shared.types import ArrayLike, Data

_Model: Any = object  # keras.Model, which a subclass has behind this class among its bases


class CheckedFit(_Model):
    """Keras's `fit`, `evaluate` and `predict`, with data that are checked on every path.

    Arrays, tensors, lists, tables of pandas and scipy's sparse matrices are checked at once;
    batches of a `tf.data.Dataset`, a `keras.utils.PyDataset`, PyTorch's `DataLoader` or a generator
    as they pass. Sample weights count on every path, and regularisers and `add_loss` in every loss.

    Arrays are shuffled in an order that follows from what a checkpoint holds: with
    `rbm_tf.BackupAndRestore` interrupted training resumes to the last bit. With
    `steps_per_epoch` the passes over the data follow one another without end, and an epoch is that
    many batches of them.

    y is refused where the model does not take it, unless it is x, as autoencoders in Keras are
    trained.

    Put it before `keras.Model` among the bases. A subclass writes `_check(*inputs)`, which refuses
    arrays, `_specs`, their shapes and dtypes by name, and `_order(num, index)`, the order of the
    rows in a pass of that number, or in this epoch if it is None. One that takes several inputs
    writes `_inputs(x, y)`, one that learns from the data before its first step `_look_at(data)`,
    and one whose state a callback keeps `_followers(callbacks)`.

    Raises:
        ValueError: if data, weights or options are not what the model takes.

    Example:
        >>> BernoulliRBM(3, 2).fit(np.full((10, 3), 2.0))
        Traceback (most recent call last):
        ...
        ValueError: Data must lie in [0, 1], without NaN: divide 8-bit images by 255, ...
    """

    _without_y = "the model learns x alone. Leave y out, in a data set by .map(lambda x, y: x)."

    def fit(
        self,
        x: Data = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Data = None,
        shuffle: bool = True,
        class_weight: None = None,
        sample_weight: ArrayLike | None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> keras.callbacks.History:
        """Train on data, as `keras.Model.fit` and with its arguments.

        Raises:
            ValueError: if data, weights or options are not what the model takes.
        """
        _refuse(class_weight)
        self._check_replicas()
        door, size = self._door(), checked_batch_size(batch_size)
        val_size = validation_batch_size or size
        if validation_data is not None:
            parts = keras.utils.unpack_x_y_sample_weight(validation_data)
            validation_data = self._batched(door, val_size, *parts)
        options: dict[str, Any] = {}
        if is_carrier(x):
            if validation_split:
                raise ValueError("validation_split takes arrays: give a data set validation_data.")
            x = self._looked_at(x, steps_per_epoch)
            options["shuffle"] = shuffle and isinstance(x, keras.utils.PyDataset)
            options["steps_per_epoch"] = steps_per_epoch
            x = _through(door, x, y, sample_weight)
        else:
            data = self._taken(*self._given(x, y, sample_weight))
            if validation_split and validation_data is None:
                data, held = held_back(data, validation_split)
                validation_data = _batches(val_size, *held)
            self._look_at(data[0][0])
            x, renewal = self._shuffled(size, shuffle, steps_per_epoch, *data)
            callbacks, options["shuffle"] = self._with([renewal], callbacks), False
        callbacks = self._with(self._followers(_listed(callbacks)), callbacks)
        self._build_optimizer()
        with door.own_errors():
            return super().fit(
                x,
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                validation_data=validation_data,
                initial_epoch=initial_epoch,
                validation_steps=validation_steps,
                validation_freq=validation_freq,
                **options,
            )

    def evaluate(
        self,
        x: Data = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: ArrayLike | None = None,
        **kwargs: Any,
    ) -> Any:
        """The mean loss of data, as `keras.Model.evaluate` and with its arguments.

        Raises:
            ValueError: if data, weights or options are not what the model takes.
        """
        door = self._door()
        if not kwargs.get("_use_cached_eval_dataset"):  # which `fit` made
            x = self._batched(door, checked_batch_size(batch_size), x, y, sample_weight)
        with door.own_errors():
            return super().evaluate(x, verbose=verbose, **kwargs)

    def predict(self, x: Data, *args: Any, **kwargs: Any) -> Any:
        """What the model returns for data, as `keras.Model.predict` and with its arguments.

        Raises:
            ValueError: if the data are not what the model takes.
        """
        door = self._door()
        door.check = lambda inputs, weight, y: self._taken(inputs, weight)  # no loss, no y
        x = door.through(x) if is_carrier(x) else self._batch(x)[0]
        with door.own_errors():
            return super().predict(x, *args, **kwargs)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        class_weight: None = None,
        **kwargs: Any,
    ) -> Any:
        """One step of training on arrays, as `keras.Model.train_on_batch`."""
        _refuse(class_weight)
        self._check_no_loss()
        self._build_optimizer()
        return super().train_on_batch(*self._batch(x, y, sample_weight), **kwargs)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: ArrayLike | None = None, **kwargs: Any
    ) -> Any:
        """The loss of arrays, as `keras.Model.test_on_batch`."""
        self._check_no_loss()
        return super().test_on_batch(*self._batch(x, y, sample_weight), **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """What the model returns for arrays, as `keras.Model.predict_on_batch`."""
        return super().predict_on_batch(self._batch(x)[0])

    def _check_replicas(self):
        strategy = getattr(self, "distribute_strategy", None)  # of TensorFlow's models
        if strategy and strategy.num_replicas_in_sync > 1 and self.steps_per_execution > 1:
            raise ValueError(
                f"steps_per_execution={self.steps_per_execution} needs one device: replicas run "
                "one step at a time in Keras. Leave it away in compile."
            )

    def _maybe_symbolic_build(self, *args, **kwargs):
        """Under a strategy Keras takes a batch here, of shares that must be equal, to build by."""
        if not self.built:
            super()._maybe_symbolic_build(*args, **kwargs)

    def _build_optimizer(self):
        """Make its variables now: a first step that made them would be traced a second time."""
        if self.optimizer is None:
            raise ValueError("The model has no optimizer to train by: call compile(optimizer).")
        if self.optimizer.built:
            return
        strategy = getattr(self, "distribute_strategy", None)  # of TensorFlow's models
        with strategy.scope() if strategy else contextlib.nullcontext():
            self.optimizer.build(self.trainable_variables)

    def _with_added_losses(self, loss):
        """The loss with those of regularisers and `add_loss`, scaled as Keras scales them."""
        return loss + super().compute_loss() if self.losses else loss

    def _inputs(self, x, y):
        """The tuple of what the model takes, and y where it is none of it."""
        if not isinstance(x, dict):
            return (x,), y
        if len(x) != 1:
            raise ValueError(f"x must hold one input; got a dict with the keys {', '.join(x)}.")
        return tuple(x.values()), y

    def _given(self, x, y, sample_weight):
        inputs, y = self._inputs(x, y)
        return inputs, sample_weight, y

    def _look_at(self, data):
        """Learn from arrays, or from an iterable of batches."""

    def _looked_at(self, carrier, num_batches):
        if isinstance(carrier, collections.abc.Iterator):  # whose batches come once
            first = list(itertools.islice(carrier, 1))
            self._look_at(iter(first))
            return itertools.chain(first, carrier)
        self._look_at(itertools.islice(carrier, num_batches))
        return carrier

    def _taken(self, inputs, sample_weight=None, y=None):
        """Inputs and weights as arrays, checked; what is a tensor for a graph already stays it."""
        specs = self._specs.items()
        arrays = tuple(
            as_array(x, spec.dtype, name) for (name, spec), x in zip(specs, inputs, strict=True)
        )
        self._check(*arrays)
        weights = checked_weights(sample_weight, common_length(arrays))
        if y is not None and y is not inputs[0] and not _is_equal(y, arrays[0]):
            raise ValueError(f"y is not used: {self._without_y}")
        return tuple(map(_as_given, inputs, arrays)), weights

    def _batch(self, x, y=None, sample_weight=None):
        inputs, weight = self._taken(*self._given(x, y, sample_weight))
        return element([keras.ops.convert_to_tensor(a) for a in inputs], weight)

    def _check_no_loss(self):
        if self.loss is not None or self._compile_metrics is not None:
            raise ValueError(
                f"{type(self).__name__} has a loss of its own and no targets to compare with: call "
                "compile(optimizer) without a loss and metrics, and add to its loss by "
                "regularisers or add_loss."
            )

    def _door(self):
        self._check_no_loss()
        return Door(self._inputs, self._taken, self._specs)

    @property
    def _specs(self) -> Mapping[str, keras.InputSpec]:
        raise NotImplementedError(f"{type(self).__name__} does not say what data it takes.")

    @property
    def _wide_dtype(self):
        return keras.backend.result_type(self.variable_dtype, "float32")

    def _batched(self, door, batch_size, x, y, sample_weight):
        if is_carrier(x):
            return _through(door, x, y, sample_weight)
        return _batches(batch_size, *self._taken(*self._given(x, y, sample_weight)))

    def _shuffled(self, batch_size, shuffle, num_steps, inputs, weight):
        """Batches in an order that is new in every epoch, and the callback that renews it."""
        num = len(inputs[0])

        def order(index=None):
            return self._order(num, index) if shuffle else np.arange(num)

        def rows():
            if num_steps is None:
                return order()
            num_done = int(self.optimizer.iterations)
            return epoch_rows(num, batch_size, num_steps, num_done, order)

        if keras.backend.backend() != "tensorflow":
            return ArrayBatches(inputs, weight, batch_size, rows), keras.callbacks.Callback()
        variable = keras.Variable(rows(), dtype="int64", trainable=False)
        renewal = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: variable.assign(rows())
        )
        return _batches(batch_size, inputs, weight, variable), renewal

    def _followers(self, callbacks):
        """Those of the callbacks that come before all others, and further ones of the model."""
        return []

    def _with(self, first, callbacks):
        """The callbacks behind those that come first, which may be among them."""
        ordered = [*first, *(c for c in _listed(callbacks) if all(c is not f for f in first))]
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            return ordered
        for callback in first:
            callback.set_model(self)
        callbacks.callbacks[:] = ordered
        return callbacks


def _listed(callbacks):
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks.callbacks
    return keras.tree.flatten(callbacks or [])


def _is_equal(y, x):
    """Whether y holds the numbers of the array x."""
    try:
        return np.array_equal(as_array(y, x.dtype, "y"), x, equal_nan=True)
    except ValueError:
        return False


def _as_given(data, array):
    """The data, if they are the tensor that TensorFlow would make of the array, by a copy."""
    if keras.backend.backend() != "tensorflow" or not keras.ops.is_tensor(data):
        return array
    return data if data.dtype == array.dtype else array


def _batches(batch_size, inputs, weight, rows=None):
    """Batches of arrays in memory, by default in their own order."""
    rows = np.arange(len(inputs[0])) if rows is None else rows
    if keras.backend.backend() != "tensorflow":
        return ArrayBatches(inputs, weight, batch_size, lambda: rows)
    from rbm_tf.shared.batches import gathered_batches  # the data stay in the graph, without Python

    # A strategy cannot share out None, which would stand for y beside weights.
    return gathered_batches(element(inputs, weight, unused=weight), batch_size, rows)


def _through(door, carrier, y, sample_weight):
    if y is not None or sample_weight is not None:
        raise ValueError(
            "A data set carries its own targets and weights, as (x, y, sample_weight): give y and "
            "sample_weight beside arrays only."
        )
    return door.through(carrier)


def _refuse(class_weight):
    if class_weight is not None:
        raise ValueError(
            "class_weight needs labels, which these models do not take: give "
            "sample_weight=[class_weight[label] for label in labels]."
        )

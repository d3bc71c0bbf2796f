"""How an RBM takes data and learns from them: the part of the model that `fit` drives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rbm_tf.machine import hidden_input
from rbm_tf.shared.carriers import is_carrier
from rbm_tf.shared.checked_fit import CheckedFit
from rbm_tf.shared.types import Data
from rbm_tf.training.coordinates import Coordinates
from rbm_tf.training.free_energy_gap import free_energy_gap
from rbm_tf.training.gauge import fix_gauge
from rbm_tf.training.negative_phase import ModelStates
from rbm_tf.training.stability import check_coupling, kept_stable

_HIDDEN_RATE = 0.01  # of the running mean and variance of the hidden units
_RESAMPLING = 7  # sets the seed of the data's draw apart from the chains'


class RBMFit(CheckedFit):
    """The training of `rbm_tf.rbm.RBM`, which has the parameters that this changes.

    Example:
        >>> issubclass(BernoulliRBM, RBMFit)
        True
    """

    def adapt(self, data: Data) -> None:
        """Set what the data alone decide: the visible offset and, while it is 0, the visible bias.

        The offset becomes the mean of each column (its variance is kept too if the gradient is
        "standardized"), the bias the one that gives units without
        weights that mean: the log-odds of a pixel with one 0 and one 1 added to the data, so that
        a pixel that never changes stays finite. `fit` calls it once, with the data of its first
        epoch; of a generator it sees the first batch.

        Args:
            data: array (num, num_visible) of means or states of the visible units, or batches of
                it, which must end: a `tf.data.Dataset`, a `keras.utils.PyDataset`, a `DataLoader`
                or an iterator.

        Raises:
            ValueError: if the data have another width, are no means or states of the visible
                units, or hold no example.
        """
        batches = data if is_carrier(data) else [(data,)]
        total, squares, count = np.zeros(self.num_visible), np.zeros(self.num_visible), 0
        for batch in batches:
            x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
            (v,), _ = self._taken(self._inputs(x, y))  # (batch, num_visible)
            total, count = total + v.sum(0, dtype=float), count + len(v)
            if self.gradient == "standardized":
                squares += np.square(v, dtype=float).sum(0)
        if not count:
            raise ValueError("There are no data: the data set holds no batch.")
        self.visible_offset.assign(total / count)
        if self.gradient == "standardized":
            variance = squares / count - (total / count) ** 2
            self.visible_variance.assign(np.maximum(variance, 0))  # rounding
        if not np.any(self.visible_bias):
            self.visible_bias.assign(self.visible.initial_bias(total / count, count=count))
        self._adapted.assign(1.0)

    def fit(  # type: ignore[override]  # the other options by keyword
        self,
        x: Data = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train on data, as `keras.Model.fit` and with its arguments; y is not used.

        Raises:
            ValueError: if the data have another width or are no means or states of the visible
                units, an option does not fit, or Z is infinite between two layers of Gaussian
                units.
        """
        check_coupling(self)
        counter = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: self._epoch.assign_add(1)
        )
        callbacks = self._with(counter, callbacks)  # counted before a backup is made
        return super().fit(x, y, batch_size, epochs, verbose, callbacks, **kwargs)

    def _check(self, v):
        self.visible.check(v, name="Data", means=True)

    def _look_at(self, data):
        if not self._adapted.numpy():
            self.adapt(data)

    def _order(self, num, index):
        epoch = tf.cast(self._epoch.value if index is None else index, tf.int64)
        key = tf.stack([tf.cast(self.negative_phase.random_state.value[0], tf.int64), epoch])
        rows = tf.range(num, dtype=tf.int64)
        return tf.random.experimental.index_shuffle(rows, key, num - 1).numpy()

    def compute_loss(
        self,
        x: tf.Tensor = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: tf.Tensor | None = None,
        training: bool = True,
    ) -> tf.Tensor:
        """The mean free-energy gap of a batch, nats; training moves chains and offsets on."""
        v = self._states(x, self.num_visible, "x")
        if self.resample:
            seed = tf.random.fold_in(self.negative_phase.random_state.value, _RESAMPLING)
            v = self.visible.sample_of_mean(v, seed=seed)
        machine = self.machine
        data = ModelStates.of(machine, v, hidden_input(machine, v))
        model = self.negative_phase(data.hidden_input, machine=machine, training=training)
        gap, free_energy = self._free_energy_gap(data, model)
        self._free_energy_tracker.update_state(free_energy, sample_weight)
        if training:
            self._follow(data, model)
        return self._with_added_losses(self._gap_to_loss(gap, gap, sample_weight))

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step, after which the kernel is put in its gauge and kept stable."""
        logs = super().train_step(data)
        if self._has_gauge:
            self._assign_machine(fix_gauge(self._values))
        if self.max_coupling is not None:
            vector, limit = tf.convert_to_tensor(self._coupling_vector), self.max_coupling
            kernel, vector = kept_stable(self._values, vector, limit=limit)
            self.kernel.assign(kernel)
            self._coupling_vector.assign(vector)
        return logs

    def _follow(self, data, model):
        """Move the running means of the hidden units on."""
        hidden = (data.hidden, model.hidden)
        mean = sum(tf.reduce_mean(tf.reshape(h, (-1, self.num_hidden)), 0) for h in hidden) / 2
        if self.gradient == "standardized":
            squares = (data.hidden - self.hidden_offset) ** 2
            squares += self.hidden.variance(data.hidden_input)
            step = _HIDDEN_RATE * (tf.reduce_mean(squares, 0) - self.hidden_variance)
            self.hidden_variance.assign_add(step)
        self.hidden_offset.assign_add(_HIDDEN_RATE * (mean - self.hidden_offset))

    def _free_energy_gap(self, data, model):
        machine = self._values
        return free_energy_gap(machine, data, model, self._coordinates(), self.compute_dtype)

    def _penalty(self):
        return self.kernel_regularizer(self._coordinates().kernel_of(self._values))

    def _coordinates(self):
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)  # of mixed_float16
        if not isinstance(optimizer, keras.optimizers.SGD):
            return Coordinates()
        if self.gradient == "plain":
            return Coordinates(unit_rate=self.unit_rate)
        variables = self.visible_offset, self.hidden_offset
        offsets = tuple(tf.convert_to_tensor(x.value) for x in variables)
        scales = None
        if self.gradient == "standardized":
            variances = self.visible_variance, self.hidden_variance
            scales = tuple(
                unit.standard_scale(tf.convert_to_tensor(x.value))
                for unit, x in zip(self._kinds.values(), variances, strict=True)
            )
        return Coordinates(offsets, scales, self.unit_rate)

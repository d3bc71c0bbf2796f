"""How an RBM takes data and learns from them: the part of the model that `fit` drives."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rbm_tf.labels import num_classes_of
from rbm_tf.machine import hidden_input
from rbm_tf.shared.carriers import is_carrier
from rbm_tf.shared.checked_fit import CheckedFit
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.replicas import mean_over_all, own_seed
from rbm_tf.shared.types import Data
from rbm_tf.stability import check_coupling, kept_stable
from rbm_tf.training.coordinates import Coordinates
from rbm_tf.training.discriminative import label_loss
from rbm_tf.training.free_energy_gap import free_energy_gap
from rbm_tf.training.gauge import fix_gauge
from rbm_tf.training.missing import check_data, draw_missing
from rbm_tf.training.negative_phase import ModelStates

_HIDDEN_RATE = 0.01  # of the running mean and variance of the hidden units
_RESAMPLING = 7  # sets the seed of the data's draw apart from the chains'
_MISSING = 2**30 + 1  # and that of what is missing in the data


class RBMFit(CheckedFit):
    """The training of `rbm_tf.rbm.RBM`, which has the parameters that this changes.

    Args:
        missing_steps: the number of Gibbs sweeps that draw the units which are missing, NaN in the
            data, given those that are observed. 0 refuses NaN.
        discriminative: the share s of -ln p(y | v) in the loss (1 - s) gap + s (-ln p(y | v)), from
            0 to 1, where the last visible unit is a label y as `rbm_tf.labels` has it.
        **kwargs: arguments of `keras.Model`.

    Raises:
        ValueError: if missing_steps or discriminative is another number.

    Example:
        >>> rbm = BernoulliRBM(3, 2, missing_steps=5, seed=0)
        >>> history = rbm.fit([[1, 0, np.nan], [np.nan, 0, 1]], verbose=0)
        >>> rbm.visible_offset.numpy()
        array([1., 0., 1.], dtype=float32)
    """

    _without_y = (
        "an RBM learns x alone. Leave y out, in a data set by .map(lambda x, y: x); labels are "
        "visible units, as rbm_tf.labels.with_labels(x, y, num_classes) puts them."
    )

    def __init__(
        self, *, missing_steps: int = 0, discriminative: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_counts(0, missing_steps=missing_steps)
        if not 0 <= discriminative <= 1:
            raise ValueError(f"discriminative must be from 0 to 1; got {discriminative!r}.")
        self.missing_steps, self.discriminative = missing_steps, float(discriminative)

    def adapt(self, data: Data) -> None:
        """Set what the data alone decide: the visible offset and, while it is 0, the visible bias.

        The offset becomes the mean of each column, of what is not missing there (its variance is
        kept too if the gradient is "standardized"), the bias the one that gives units without
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
        total, squares, count = (np.zeros(self.num_visible) for _ in range(3))
        for batch in batches:
            x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
            (v,), _ = self._taken(*self._given(x, y, None))  # (batch, num_visible)
            total += np.nansum(v, 0, dtype=float)
            count += np.sum(~np.isnan(v), 0)
            if self.gradient == "standardized":
                squares += np.nansum(np.square(v, dtype=float), 0)
        if not count.any():
            raise ValueError("There are no data: the data set holds no batch, or NaN alone.")
        unknown = self.visible.mean(tf.zeros(self.num_visible, tf.float64))
        known, count = count > 0, np.maximum(count, 1)
        mean = np.where(known, total / count, unknown)
        self.visible_offset.assign(mean)
        if self.gradient == "standardized":
            variance = squares / count - (total / count) ** 2
            self.visible_variance.assign(np.maximum(variance, 0))  # rounding
        if not np.any(self.visible_bias):
            self.visible_bias.assign(self.visible.initial_bias(mean, count=count))
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
        """Train on data, as `keras.Model.fit` and with its arguments.

        Raises:
            ValueError: if the data have another width or are no means or states of the visible
                units, there is a y other than x, an option does not fit, the labels of
                `discriminative` are missing, or the coupling of two layers of unbounded units is 1
                or more.
        """
        check_coupling(self)
        if self.discriminative:
            num_classes_of(self.visible)  # or it says what a label is
        counter = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: self._epoch.assign_add(1)
        )
        callbacks = self._with([counter], callbacks)  # counted before a backup is made
        return super().fit(x, y, batch_size, epochs, verbose, callbacks, **kwargs)

    def predict(self, x: Data, *args: Any, **kwargs: Any) -> Any:
        with self._whole_data():
            return super().predict(x, *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        with self._whole_data():
            return super().predict_on_batch(x)

    @contextlib.contextmanager
    def _whole_data(self):
        """In a block, refuse NaN: <h> given what is observed is no function of the fields alone."""
        missing_steps, self.missing_steps = self.missing_steps, 0
        try:
            yield
        finally:
            self.missing_steps = missing_steps

    @property
    def _specs(self):
        return {"x": keras.InputSpec(self._wide_dtype, (None, self.num_visible))}

    def _check(self, v):
        check_data(self.visible, v, missing_steps=self.missing_steps)

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
        v = self._states(x, "visible", "x")
        observed = ~tf.math.is_nan(v)
        if self.missing_steps:
            v = tf.where(observed, v, self.visible_offset)
        if self.resample:
            seed = tf.random.fold_in(self.negative_phase.random_state.value, _RESAMPLING)
            v = self.visible.sample_of_mean(v, seed=own_seed(seed))
        # Nothing here is recorded for a gradient: the gap brings its own.
        machine = tf.nest.map_structure(tf.stop_gradient, self.machine)
        if self.missing_steps:
            seed = tf.random.fold_in(self.negative_phase.random_state.value, _MISSING)
            v = draw_missing(
                machine, v, observed, num_steps=self.missing_steps, seed=own_seed(seed)
            )
        data = ModelStates.of(machine, v, hidden_input(machine, v))
        model = self.negative_phase(data.hidden_input, machine=machine, training=training)
        gap, free_energy = self._free_energy_gap(data, model)
        if self.discriminative:
            of_label = tf.where(observed[:, -1], self._label_loss(v), 0.0)
            gap = (1 - self.discriminative) * gap + self.discriminative * of_label
        self._free_energy_tracker.update_state(free_energy, sample_weight)
        loss = self._with_added_losses(self._gap_to_loss(gap, gap, sample_weight))
        if training:
            self._follow(data, model)  # at last: gap and penalty take the same coordinates
        return loss

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step, after which the kernel is put in its gauge and kept stable."""
        logs = super().train_step(data)
        if self._has_gauge:
            self._assign_machine(fix_gauge(self._values))
        if self._coupling_vector is not None:
            vector, limit = tf.convert_to_tensor(self._coupling_vector), self.max_coupling
            kernel, vector = kept_stable(self._values, vector, limit=limit)
            self.kernel.assign(kernel)
            self._coupling_vector.assign(vector)
        return logs

    def _follow(self, data, model):
        """Move the running means of the hidden units on."""
        hidden = (data.hidden, model.hidden)
        mean = sum(mean_over_all(tf.reshape(h, (-1, self.num_hidden))) for h in hidden) / 2
        if self.gradient == "standardized":
            squares = (data.hidden - self.hidden_offset) ** 2
            squares += self.hidden.variance(data.hidden_input)
            step = _HIDDEN_RATE * (mean_over_all(squares) - self.hidden_variance)
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
        parameters = self.kernel, self.visible_bias, self.hidden_bias
        if self.gradient == "plain" or not all(variable.trainable for variable in parameters):
            return Coordinates(unit_rates=self._unit_rates())
        offsets = tuple(tf.convert_to_tensor(x) for x in (self.visible_offset, self.hidden_offset))
        scales = None
        if self.gradient == "standardized":
            variances = self.visible_variance, self.hidden_variance
            scales = tuple(
                unit.standard_scale(tf.convert_to_tensor(x))
                for unit, x in zip(self._kinds.values(), variances, strict=True)
            )
        return Coordinates(offsets, scales, self._unit_rates())

    def _unit_rates(self):
        def rate(layer, name):
            return self.unit_rate * self.unit_parameters[f"{layer}_{name}"].trainable

        return tuple(
            {name: rate(layer, name) for name in unit.parameters}
            for layer, unit in self._kinds.items()
        )

    def _label_loss(self, v):
        return label_loss(self._values, v, self._coordinates())

    def get_config(self) -> dict[str, Any]:
        own = {"missing_steps": self.missing_steps, "discriminative": self.discriminative}
        return {**super().get_config(), **own}

"""The variables of an RBM, and the value that they have."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rbm_tf.machine import Machine, machine_of
from rbm_tf.units import Unit

_Model: Any = object  # keras.Model, which a subclass has behind this class among its bases


class _Penalty(keras.regularizers.Regularizer):
    """The penalty of a model as that of its kernel: `losses` then holds it."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, _: Any) -> tf.Tensor:
        return self.model._penalty()


class RBMVariables(_Model):
    """What `rbm_tf.rbm.RBM` consists of: its parameters, and what training keeps beside them.

    Example:
        >>> [variable.name for variable in RBM(units.Gaussian(3), units.Binary(2)).weights[:4]]
        ['kernel', 'visible_bias', 'hidden_bias', 'visible_log_precision']
    """

    def _add_variables(self, visible, hidden):
        self._kinds = {"visible": visible, "hidden": hidden}
        self.num_visible, self.num_hidden = visible.size, hidden.size
        normal = keras.initializers.RandomNormal(stddev=0.01, seed=self.seed)
        penalty = self.kernel_regularizer and _Penalty(self)
        shape = (self.num_visible, self.num_hidden)
        self.kernel = self._add("kernel", shape, normal, trainable=True, regularizer=penalty)
        self.visible_bias = self._add("visible_bias", shape[:1], "zeros", trainable=True)
        self.hidden_bias = self._add("hidden_bias", shape[1:], "zeros", trainable=True)
        self.unit_parameters = {}
        for layer, unit in self._kinds.items():
            for name, value in unit.parameters.items():
                self._add_unit_parameter(layer, unit, name, np.asarray(value))
            self._add_statistics(layer, unit)
        zeros = (tf.zeros((1, unit.size)) for unit in (visible, hidden))
        parts = (unit.redundant_part(x) for unit, x in zip((visible, hidden), zeros, strict=True))
        self._has_gauge = any(part is not None for part in parts)
        self._adapted = self._add("adapted", (), "zeros")
        self._epoch = self.add_weight(
            name="epoch", dtype="int32", initializer="zeros", trainable=False
        )
        self._coupling_vector = None
        if self.max_coupling is not None and not (visible.is_bounded or hidden.is_bounded):
            start = keras.initializers.RandomNormal(seed=self.seed)
            self._coupling_vector = self._add("coupling_vector", shape[1:], start)
        phase = self.negative_phase
        if phase.built and any(x is not phase.random_state for x in phase.variables):
            raise ValueError(
                f"This {type(phase).__name__} belongs to another model, with which it would share "
                "its chains: make a negative phase for each model."
            )
        if not phase.built:
            phase.build((visible, hidden))

    def _add(self, name, shape, initializer, trainable=False, **options):
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            trainable=trainable,
            autocast=False,  # free energies are sums of thousands of terms
            **options,
        )

    def _add_unit_parameter(self, layer, unit, name, value):
        if value.ndim > 1:
            raise ValueError(
                f"The {name} of {unit!r} must be one number for each unit; got shape {value.shape}."
            )
        variable = self._add(f"{layer}_{name}", value.shape, _constant(value), trainable=True)
        no_news = layer == "hidden" and name in unit.scale_parameters
        variable.trainable = self.unit_rate > 0 and not no_news  # which users may overrule
        self.unit_parameters[f"{layer}_{name}"] = variable

    def _add_statistics(self, layer, unit):
        """The offset, and if needed the variance, of the units: without fields to begin with."""
        zero = tf.zeros(unit.size, self.variable_dtype)
        statistics = {"offset": unit.mean}
        if self.gradient == "standardized":
            statistics["variance"] = unit.variance
        for name, function in statistics.items():
            variable = self._add(f"{layer}_{name}", (unit.size,), _constant(function(zero)))
            setattr(self, f"{layer}_{name}", variable)

    def _assign(self, *parameters):
        lists = (list, tuple)  # whose numbers are float64, and would lose digits as a tensor
        kernel, *biases = (np.asarray(x) if isinstance(x, lists) else x for x in parameters)
        machine = machine_of(Machine(kernel, biases[0], biases[1], **self._kinds))
        self._assign_machine(machine)

    def _assign_machine(self, machine):
        variables = self.kernel, self.visible_bias, self.hidden_bias
        for variable, value in zip(variables, machine.parameters, strict=True):
            variable.assign(value)

    @property
    def visible(self) -> Unit:
        """The visible units, with the present values of their parameters."""
        return self._units("visible")

    @property
    def hidden(self) -> Unit:
        """The hidden units, with the present values of their parameters."""
        return self._units("hidden")

    def _units(self, layer):
        unit = self._kinds[layer]
        values = {name: self.unit_parameters[f"{layer}_{name}"].value for name in unit.parameters}
        return unit.with_parameters(
            **{name: tf.convert_to_tensor(value) for name, value in values.items()}
        )

    @property
    def machine(self) -> Machine:
        """The value: the kernel in the compute dtype, all else in its own."""
        return self._value_in(self.compute_dtype)

    def _value_in(self, kernel_dtype):
        variables = self.kernel, self.visible_bias, self.hidden_bias
        kernel, visible_bias, hidden_bias = (tf.convert_to_tensor(x.value) for x in variables)
        kernel = tf.cast(kernel, kernel_dtype)
        return Machine(kernel, visible_bias, hidden_bias, self.visible, self.hidden)

    @property
    def _values(self):
        """The value in the dtype of the variables alone."""
        return self._value_in(self.variable_dtype)


def _constant(value):
    """An initializer with given values."""
    return lambda shape, dtype: tf.broadcast_to(tf.cast(value, dtype), shape)

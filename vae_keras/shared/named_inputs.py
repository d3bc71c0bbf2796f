"""Data that are one array, or several by name: the one door by which they come to a VAE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from rbm_tf.shared.checked_fit import CheckedFit
from rbm_tf.shared.types import Shape
from vae_keras.shared.checks import array_or_tensor, check_shape, checked_array, zeros_of


class NamedInputs(CheckedFit):
    """`CheckedFit` for x that is one array, or a dict of arrays of which one is the target.

    A model that puts it among its bases sets `data_shapes`, the shape of one example by name, the
    target first; `data_dtypes`, the integer type of a condition that a network takes so; `target`,
    its name; and `likelihood`, the part that knows which values there are.

    Raises:
        ValueError: if data are not what the networks and the likelihood take.

    Example:
        >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
        >>> vae.fit(np.full((10, 64), 2.0))
        Traceback (most recent call last):
        ...
        ValueError: Data of Bernoulli must lie in [0, 1], without NaN: divide 8-bit ...
    """

    data_shapes: dict[str, Shape]
    data_dtypes: dict[str, str]
    target: str
    likelihood: Any
    _without_y = (
        "the likelihood scores x. Leave y out, in a data set by .map(lambda x, y: x). The inputs "
        "of a denoising VAE have names, keras.Input(.., name='x') and name='noisy', which is the "
        "one that its encoder uses, and name='z' of its decoder: give {'x': clean, 'noisy': noisy}."
    )

    @property
    def _specs(self):
        return {
            name: keras.InputSpec(self.data_dtypes.get(name, self._wide_dtype), (None, *shape))
            for name, shape in self.data_shapes.items()
        }

    def _zeros(self):
        zeros = zeros_of(self.data_shapes)
        return zeros if self._takes_dict else zeros[self.target]

    @property
    def _takes_dict(self):
        return len(self.data_shapes) > 1

    @property
    def condition_names(self) -> list[str]:
        """The names of what the networks take beside the target."""
        return [name for name in self.data_shapes if name != self.target]

    def _named(self, x):
        """x as the latents take it: of several inputs a dict by name."""
        if self._takes_dict and not isinstance(x, Mapping):
            return dict(zip(self.data_shapes, x, strict=True))
        return x

    def _inputs(self, x, y):
        if not self._takes_dict:
            return super()._inputs(x, y)
        names = list(self.data_shapes)
        if y is not None and len(names) == 2 and not isinstance(x, (Mapping, tuple)):
            x, y = (x, y), None
        if isinstance(x, Mapping) and set(names) <= set(x):
            x = [x[name] for name in names]
        if not isinstance(x, (tuple, list)) or len(x) != len(names):
            raise ValueError(
                f"This model takes {', '.join(map(repr, names))}: give x as a dict with these "
                "keys, or as a tuple in this order."
            )
        return tuple(x), y

    def _check(self, *inputs):
        for (name, shape), a in zip(self.data_shapes.items(), inputs, strict=True):
            check_shape(a, shape, name)
            self._check_values(name, a)

    def _check_values(self, name, a):
        if name == self.target:
            self.likelihood.check_value(a)
        elif not np.all(np.isfinite(a)):
            raise ValueError(f"{name} must be finite: remove or replace NaN and infinite values.")

    def _checked(self, x):
        """x as tensors, by name where there are several, checked: all questions' one door."""
        found = self._tensors(dict(zip(self.data_shapes, self._inputs(x, None)[0], strict=True)))
        return found if self._takes_dict else found[self.target]

    def _conditions(self, conditions):
        names, given = self.condition_names, {} if conditions is None else conditions
        if not isinstance(given, Mapping) or not set(given) <= set(names):
            kind = set(given) if isinstance(given, Mapping) else type(given).__name__
            raise ValueError(f"conditions must be a dict with the keys {names}; got {kind}.")
        if missing := set(names) - set(given):
            lacks = ", ".join(map(repr, missing))
            raise ValueError(f"x lacks {lacks}: pass conditions= as a dict with the keys {names}.")
        return self._tensors(given)

    def _tensors(self, given):
        """Arrays as tensors by name, checked; of tensors, perhaps symbolic, the shape alone."""
        found = {}
        for name, a in given.items():
            dtype = self.data_dtypes.get(name, "float32")
            a = array_or_tensor(a, dtype, name)
            found[name] = checked_array(a, self.data_shapes[name], name, dtype)
            if isinstance(a, np.ndarray):
                self._check_values(name, a)
        if len({a.shape[0] for a in found.values()}) > 1:
            raise ValueError(f"{' and '.join(found)} must be of one length.")
        return found

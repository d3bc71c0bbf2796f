"""Data that are one array, or several by name: the one door by which they come to a VAE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from rbm_tf.shared.checked_fit import CheckedFit
from rbm_tf.shared.types import Shape
from vae_keras.shared.checks import check_shape, checked_array, zeros_of


class NamedInputs(CheckedFit):
    """`CheckedFit` for x that is one array, or a dict of arrays of which one is the target.

    A model that puts it among its bases sets `data_shapes`, the shape of one example by name, the
    target first; `target`, its name; and `likelihood`, the part that knows which values there are.

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
    target: str
    likelihood: Any

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
        if y is not None and len(names) == 2 and not isinstance(x, Mapping):
            x = (x, y)
        if isinstance(x, Mapping) and set(names) <= set(x):
            x = [x[name] for name in names]
        if not isinstance(x, (tuple, list)) or len(x) != len(names):
            raise ValueError(
                f"This model takes {', '.join(map(repr, names))}: give x as a dict with these "
                "keys, or as a tuple in this order."
            )
        return tuple(x)

    def _check(self, *inputs):
        for (name, shape), a in zip(self.data_shapes.items(), inputs, strict=True):
            check_shape(a, shape, name)
            self._check_values(name, a)

    def _check_values(self, name, a):
        if name == self.target:
            self.likelihood.check_value(a)
        elif not np.all(np.isfinite(a)):
            raise ValueError(f"{name} must be finite: remove or replace NaN and infinite values.")

    def _checked(self, x, names=None):
        """x as float32 tensors by name, checked; what is no array already is taken as it is."""
        names = list(self.data_shapes) if names is None else names
        alone = not self._takes_dict and not isinstance(x, Mapping)
        given = {self.target: x} if alone else x
        if not isinstance(given, Mapping):
            given = dict(zip(names, self._inputs(x, None), strict=True))
        if missing := set(names) - set(given):
            raise ValueError(f"x lacks {', '.join(map(repr, missing))} of {names}.")
        found = {}
        for name in names:
            found[name] = checked_array(given[name], self.data_shapes[name], name)
            if not ops.is_tensor(given[name]):  # a tensor may be symbolic
                self._check_values(name, ops.convert_to_numpy(found[name]))
        if len({a.shape[0] for a in found.values()}) > 1:
            raise ValueError(f"{' and '.join(names)} must be of one length.")
        return found[self.target] if alone else found

    def _conditions(self, conditions):
        return self._checked(conditions or {}, self.condition_names)

"""Steps of flows that scale and shift: couplings, and masked autoregressive networks."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import Tensor
from vae_keras.parts.flow import FlowStep


class NetworkStep(FlowStep):
    """A step with a network of one hidden layer, whose outputs are zero when it begins.

    hidden = relu(z A + context C + a) and outputs = hidden B + b, where masks may take entries out
    of A and B.

    Args:
        dim: the number of variables, 1 or more.
        num_hidden: the number of units in the hidden layer.
        context_dim: the number of entries of the context; 0 for none.
        seed: integer that fixes the initial weights.

    Raises:
        ValueError: if a number is too small, or at call time z or the context does not fit.

    Example:
        >>> NetworkStep(2).num_hidden
        64
    """

    def __init__(
        self,
        dim: int,
        *,
        num_hidden: int = 64,
        context_dim: int = 0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        check_counts(dim=dim, num_hidden=num_hidden)
        check_counts(0, context_dim=context_dim)
        self.dim, self.num_hidden, self.context_dim = dim, num_hidden, context_dim

    def make_network(self, num_given: int, num_outputs: int) -> None:
        """Make the weights.

        Args:
            num_given: the number of inputs beside the context.
            num_outputs: the number of outputs.
        """
        random = keras.initializers.GlorotUniform(self.seed)
        hidden = self.num_hidden
        self._first = self.add_weight((num_given, hidden), random, name="first")
        self._bias = self.add_weight((hidden,), "zeros", name="bias")
        if self.context_dim:
            other = keras.initializers.GlorotUniform(None if self.seed is None else self.seed + 1)
            self._of_context = self.add_weight((self.context_dim, hidden), other, name="context")
        self._last = self.add_weight((hidden, num_outputs), "zeros", name="last")
        self._offset = self.add_weight((num_outputs,), "zeros", name="offset")

    def outputs(self, given: Tensor, context: Tensor | None, masks: Any = (1.0, 1.0)) -> Tensor:
        """The network's outputs, (rows, num_outputs).

        Args:
            given: its inputs, (rows, num_given).
            context: (rows, context_dim), or None.
            masks: factors of the first and the last weights.
        """
        if (context is None) != (self.context_dim == 0):
            raise ValueError(
                f"{type(self).__name__} has context_dim {self.context_dim}; got "
                f"{'no context' if context is None else 'a context'}: set context_dim of the "
                "steps and context=True of the Flow together."
            )
        hidden = given @ (ops.convert_to_tensor(self._first) * masks[0]) + self._bias
        if context is not None:
            hidden = hidden + context @ ops.convert_to_tensor(self._of_context)
        return ops.relu(hidden) @ (ops.convert_to_tensor(self._last) * masks[1]) + self._offset

    def check_dim(self, z: Tensor) -> None:
        """Refuse points of another dimension.

        Args:
            z: points, (rows, dim).
        """
        if len(z.shape) != 2 or z.shape[1] != self.dim:
            raise ValueError(
                f"{type(self).__name__} of dim {self.dim} takes z of shape (rows, {self.dim}); got "
                f"{tuple(z.shape)}."
            )

    def get_config(self) -> dict[str, Any]:
        own = {"dim": self.dim, "num_hidden": self.num_hidden, "context_dim": self.context_dim}
        return {**super().get_config(), **own}


class HalfStep(NetworkStep):
    """A step that moves one half of the variables given the other.

    Args:
        dim: the number of variables, 2 or more; of an odd one the first half is the smaller one.
        flip: whether to move the first half given the second.
        num_hidden: the number of units in the hidden layer.
        context_dim: the number of entries of the context; 0 for none.
        seed: integer that fixes the initial weights.

    Example:
        >>> HalfStep(5).num_moved, HalfStep(5, flip=True).num_moved
        (3, 2)
    """

    def __init__(self, dim: int, *, flip: bool = False, **kwargs: Any) -> None:
        super().__init__(dim, **kwargs)
        check_counts(2, dim=dim)
        self.flip, self._first_half = flip, dim // 2
        self.num_moved = dim // 2 if flip else dim - dim // 2

    def halves(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The half that is given and the half that is moved.

        Args:
            z: points, (rows, dim).
        """
        self.check_dim(z)
        first, second = z[:, : self._first_half], z[:, self._first_half :]
        return (second, first) if self.flip else (first, second)

    def joined(self, given: Tensor, moved: Tensor) -> Tensor:
        """The two halves in their places, (rows, dim).

        Args:
            given: the one.
            moved: the other.
        """
        return ops.concatenate((moved, given) if self.flip else (given, moved), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "flip": self.flip}


@keras.saving.register_keras_serializable(package="vae_keras")
class Coupling(HalfStep):
    """z'_b = z_b exp(s) + t with s, t of the other half and the context: ln |det| = sum s.

    s lies in (-1, 1); s and t are 0 at first. Inverting takes as long as drawing, so that flows of
    couplings suit annealing and doubly reparameterised gradients.

    Args:
        dim: the number of variables, 2 or more.
        flip: whether to move the first half given the second; alternate it.
        num_hidden: the number of units in the hidden layer.
        context_dim: the number of entries of the context; 0 for none.
        seed: integer that fixes the initial weights.

    Reference: Dinh, Sohl-Dickstein and Bengio (2017), Density estimation using real NVP.

    Example:
        >>> moved, log_det = Coupling(4)(ops.ones((1, 4)))
        >>> print(ops.convert_to_numpy(moved), float(log_det[0]))
        [[1. 1. 1. 1.]] 0.0
    """

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(dim, **kwargs)
        self.make_network(dim - self.num_moved, 2 * self.num_moved)

    def _scale_and_shift(self, given, context):
        raw, shift = ops.split(self.outputs(given, context), 2, axis=-1)
        return ops.tanh(raw), shift

    def call(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        given, moved = self.halves(z)
        log_scale, shift = self._scale_and_shift(given, context)
        moved = moved * ops.exp(log_scale) + shift
        return self.joined(given, moved), ops.sum(log_scale, axis=-1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        given, moved = self.halves(z)
        log_scale, shift = self._scale_and_shift(given, context)
        moved = (moved - shift) * ops.exp(-log_scale)
        return self.joined(given, moved), -ops.sum(log_scale, axis=-1)


@keras.saving.register_keras_serializable(package="vae_keras")
class Autoregressive(NetworkStep):
    """z'_i = z_i exp(s_i) + t_i with s_i, t_i of the variables before i and the context.

    Masks keep the network triangular; s lies in (-1, 1), and both are 0 at first. A draw takes one
    pass, its inverse as many as there are variables, one after another: for annealing and doubly
    reparameterised gradients take `Coupling`.

    Args:
        dim: the number of variables, 1 or more.
        reverse: whether "before" means after, for every other step.
        num_hidden: the number of units in the hidden layer.
        context_dim: the number of entries of the context; 0 for none.
        seed: integer that fixes the initial weights.

    Reference: Kingma, Salimans, Jozefowicz, Chen, Sutskever and Welling (2016), Improved
    variational inference with inverse autoregressive flow; Germain, Gregor, Murray and Larochelle
    (2015), MADE (the masks).

    Example:
        >>> moved, log_det = Autoregressive(4)(ops.ones((1, 4)))
        >>> print(ops.convert_to_numpy(moved), float(log_det[0]))
        [[1. 1. 1. 1.]] 0.0
    """

    def __init__(self, dim: int, *, reverse: bool = False, **kwargs: Any) -> None:
        super().__init__(dim, **kwargs)
        self.reverse = reverse
        self.make_network(dim, 2 * dim)

    def _masks(self):
        """Hidden unit h sees variables up to its degree 0 .. dim - 1, output i units below i."""
        place = np.arange(1, self.dim + 1)
        place = place[::-1] if self.reverse else place
        degree = np.arange(self.num_hidden) % self.dim
        first = (degree >= place[:, None]).astype("float32")
        last = (np.tile(place, 2) > degree[:, None]).astype("float32")
        return ops.convert_to_tensor(first), ops.convert_to_tensor(last)

    def _scale_and_shift(self, z, context):
        raw, shift = ops.split(self.outputs(z, context, self._masks()), 2, axis=-1)
        return ops.tanh(raw), shift

    def call(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.check_dim(z)
        log_scale, shift = self._scale_and_shift(z, context)
        return z * ops.exp(log_scale) + shift, ops.sum(log_scale, axis=-1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.check_dim(z)
        found = ops.zeros_like(z)
        for _ in range(self.dim):  # the first variable is right after one pass, the next after two
            log_scale, shift = self._scale_and_shift(found, context)
            found = (z - shift) * ops.exp(-log_scale)
        return found, -ops.sum(log_scale, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "reverse": self.reverse}

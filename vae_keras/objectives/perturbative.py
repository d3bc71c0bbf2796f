"""Training objectives that go beyond the ELBO by perturbation theory: cumulants and Bamler's bound.

Both have the ELBO as their order 1. `CumulantObjective` corrects it and is no bound;
`PerturbativeBound` is a bound at odd orders, with a reference energy V0 to tune.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import Tensor
from vae_keras.objectives.bounds import Objective
from vae_keras.parts import Draws


@keras.saving.register_keras_serializable(package="vae_keras")
class CumulantObjective(Objective):
    """Minus the cumulant expansion -(<ln w> + 1/2 <<(ln w)^2>> + 1/6 <<(ln w)^3>>), truncated.

    The cumulants are unbiased k-statistics of the draws. This is not a bound: the objective can be
    increased without limit by a q whose ln w varies ever more. Watch the test ELBO.

    Args:
        num_samples: the number of draws of z for each example, at least the order.
        order: the last order that counts, 2 or 3.

    Raises:
        ValueError: if the order is another, or there are fewer draws than the order.

    Reference: B25.

    Example:
        >>> objective = CumulantObjective(num_samples=5, order=2)
    """

    def __init__(self, num_samples: int = 5, *, order: int = 2, **kwargs: Any) -> None:
        super().__init__(num_samples, **kwargs)
        if order not in (2, 3):
            raise ValueError(f"order must be 2 or 3; got {order!r}. Order 1 is the ELBO.")
        if num_samples < order:
            raise ValueError(f"Order {order} needs num_samples of {order} or more.")
        self.order = order

    def call(self, draws: Draws) -> Tensor:
        log_weights, n = draws.log_weights, self.num_samples  # (num_samples, batch)
        mean = ops.mean(log_weights, axis=0)  # (batch,)
        deviation = log_weights - mean
        value = mean + ops.sum(ops.square(deviation), axis=0) / (2 * (n - 1))
        if self.order == 3:
            third = ops.sum(deviation**3, axis=0) * n / ((n - 1) * (n - 2))
            value = value + third / 6
        return -value

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "order": self.order}


@keras.saving.register_keras_serializable(package="vae_keras")
class PerturbativeBound(Objective):
    """Minus the order-3 perturbative bound of ln p(x), in logarithm.

    With V = -ln w, e^-V = e^-V0 e^(V0 - V) and e^y >= 1 + y + y^2/2 + y^3/6 for every real y, so

        p(x) = <e^-V> >= e^-V0 <1 + (V0 - V) + (V0 - V)^2 / 2 + (V0 - V)^3 / 6>

    whatever V0 is; the exponential is truncated, not its logarithm. The loss is minus the bound's
    logarithm, with V0 the mean of V over the draws plus `offset`, held fixed in the gradient. It
    is nowhere below the loss of `IWAE` for the same draws. Where the bracket is below 0.1 its
    logarithm is continued by the tangent.

    Args:
        num_samples: the number of draws of z for each example, 2 or more.
        offset: how far V0 lies above the draws' mean of V, nats, -2 or above.

    Raises:
        ValueError: if num_samples is below 2, or the offset below -2.

    Reference: Bamler, Zhang, Opper and Mandt (2017), Perturbative black box variational inference;
    B25.

    Example:
        >>> objective = PerturbativeBound(num_samples=5, offset=0.0)
    """

    _FLOOR = 0.1

    def __init__(self, num_samples: int = 5, *, offset: float = 0.0, **kwargs: Any) -> None:
        super().__init__(num_samples, **kwargs)
        check_counts(2, num_samples=num_samples)
        if not offset >= -2:
            raise ValueError(f"offset must be -2 or above; got {offset}.")
        self.offset = offset

    def call(self, draws: Draws) -> Tensor:
        log_weights = draws.log_weights  # (num_samples, batch)
        v0 = ops.stop_gradient(self.offset - ops.mean(log_weights, axis=0))
        y = log_weights + v0  # V0 - V
        bracket = ops.mean(1 + y + ops.square(y) / 2 + y**3 / 6, axis=0)  # (batch,)
        tangent = math.log(self._FLOOR) + (bracket - self._FLOOR) / self._FLOOR
        safe = ops.maximum(bracket, self._FLOOR)
        return v0 - ops.where(bracket > self._FLOOR, ops.log(safe), tangent)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "offset": self.offset}

"""Any distribution of TensorFlow Probability as a part; on TensorFlow alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import keras
from keras import tree

from rbm_tf.shared.types import Tensor
from vae_keras.parts.inputs import check_tensorflow, total
from vae_keras.parts.part import Part


@keras.saving.register_keras_serializable(package="vae_keras")
class TFP(Part):
    """The distribution that `make(statistics)` returns, a `tfd.Distribution` with rows as batch.

    It is made where it is used: no layer may take or return a distribution. ln p is summed over
    all axes but the first. The noise is a seed of TensorFlow's, one for all rows.

    Args:
        make: maps statistics to a distribution; registered with Keras if the part is to be saved.
        emit: maps values to what networks see, such as (cos, sin) of an angle; None leaves them.
        space: "real", or "discrete" where the distribution has probabilities.
        has_path: whether its draws are reparameterised, so that gradients pass through them.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: nested tensors, each (rows, ..).

    Output: a draw as networks take it, (rows, ..), and its log-probability, (rows,), nats.

    Raises:
        ValueError: if the backend is not TensorFlow, or at draws if has_path is not true.

    Example:
        >>> import tensorflow_probability as tfp
        >>> part = TFP(lambda rate: tfp.distributions.Exponential(ops.exp(rate)), has_path=True)
        >>> float(part.log_prob(ops.zeros((1, 1)), ops.full((1, 1), 2.0))[0])
        -2.0
    """

    def __init__(
        self,
        make: Callable[[Any], Any],
        *,
        emit: Callable[[Any], Any] | None = None,
        space: str = "real",
        has_path: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        check_tensorflow(self)
        self.make, self.emitted = make, emit
        self.space, self.has_path, self.has_mean = space, has_path, emit is None

    def noise(self, statistics: Any, rows: Any, seed: Any) -> Tensor:
        return keras.random.randint((1, 2), 0, 2**31 - 1, dtype="int32", seed=seed)

    def draw(self, statistics: Any, noise: Tensor) -> tuple[Tensor, Tensor]:
        distribution = self.make(statistics)
        kinds = tree.flatten(getattr(distribution, "reparameterization_type", None))
        if self.has_path and any("NOT_REPARAMETERIZED" in repr(kind) for kind in kinds):
            raise ValueError(
                f"Draws of TensorFlow Probability's {distribution.name} have no gradient, although "
                "the part says has_path=True: leave it out, and train with VIMCO(), say."
            )
        value = distribution.sample(seed=noise[0])
        return value, total(distribution.log_prob(value))

    def terms(self, statistics: Any, value: Tensor) -> Tensor:
        log_prob = self.make(statistics).log_prob(value)
        return log_prob if len(log_prob.shape) > 1 else log_prob[:, None]

    def mean(self, statistics: Any) -> Tensor:
        return self.emit(self.make(statistics).mean())

    def emit(self, value: Any) -> Any:
        return value if self.emitted is None else self.emitted(value)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        own = {"make": serialize(self.make), "emit": serialize(self.emitted)}
        return {**super().get_config(), **own, "space": self.space, "has_path": self.has_path}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        deserialize = keras.saving.deserialize_keras_object
        own = {name: deserialize(config[name]) for name in ("make", "emit")}
        return cls(**{**config, **own})

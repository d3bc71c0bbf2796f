"""Relaxed discrete variables as real ones, with a density of their own: logits and log-ratios."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.types import Shape, Shapes, Tensor
from vae_keras.parts.bernoulli import Bernoulli
from vae_keras.parts.categorical import Categorical
from vae_keras.parts.inputs import check_event, float_dtype, gumbel, logistic, total
from vae_keras.parts.part import Part
from vae_keras.shared.temperature import add_temperature


class Relaxed(Part):
    """A part that draws at the temperature of its scalar weight `temperature`.

    Args:
        temperature: initial value of the weight, above 0; anneal it with `WeightSchedule`.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Raises:
        ValueError: if temperature is not above 0.

    Example:
        >>> float(Relaxed(temperature=0.25).temperature)
        0.25
    """

    is_factorized = True
    has_mean = False  # it is that of the discrete variable

    def __init__(self, temperature: float = 0.5, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        remedy = "The variable at 0 is the discrete one, which exactly() returns."
        self.temperature = add_temperature(self, temperature, remedy=remedy)
        self._initial_temperature = temperature

    def _temperature(self, like):
        return ops.cast(self.temperature, like.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self._initial_temperature}


@keras.saving.register_keras_serializable(package="vae_keras")
class RelaxedBernoulli(Relaxed):
    """The logit y = (logits + s) / T of a relaxed bit, s logistic; networks see sigmoid(y).

    ln p(y) = sum [ln T - s - 2 ln(1 + e^-s)] with s = T y - logits: a density on the real line,
    finite at temperatures where sigmoid(y) is 0 or 1 to the last digit. With such a prior the
    log-weights are those of a relaxed model, whose evidence differs from that of the discrete one.
    `exactly()` is `Bernoulli`, which evaluation takes.

    Args:
        temperature: initial value T, above 0, of the scalar weight `temperature`.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: the logits, (rows, ..).

    Output: relaxed bits in [0, 1], (rows, ..), and ln p of their logits, (rows,), nats.

    Raises:
        ValueError: if temperature is not above 0, or value and logits differ in shape.

    Reference: Maddison, Mnih and Teh (2017), The concrete distribution, appendix C.3.1.

    Example:
        >>> float(RelaxedBernoulli(1.0).log_prob(ops.zeros((1, 1)), ops.zeros((1, 1)))[0])  # 1/4
        -1.3862943649291992
    """

    own_activation = "sigmoid"

    def noise(self, statistics: Tensor, rows: Any, seed: Any) -> Tensor:
        return logistic((rows, *statistics.shape[1:]), float_dtype(statistics), seed)

    def draw(self, statistics: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        return (statistics + noise) / self._temperature(noise), total(self._terms(noise))

    def terms(self, statistics: Tensor, value: Tensor) -> Tensor:
        check_event(self, value, statistics.shape[1:])
        return self._terms(self._temperature(value) * value - statistics)

    def _terms(self, noise):
        return ops.log(self._temperature(noise)) - noise - 2 * ops.softplus(-noise)

    def mean(self, statistics: Tensor) -> Tensor:
        return ops.sigmoid(statistics)

    def emit(self, value: Tensor) -> Tensor:
        return ops.sigmoid(value)

    def exactly(self) -> Part:
        return Bernoulli(self.seed, dtype=self.dtype_policy)

    def shapes(self, event: Shape) -> Shapes:
        return event


@keras.saving.register_keras_serializable(package="vae_keras")
class RelaxedCategorical(Relaxed):
    """Log-ratios of a relaxed one-hot vector to its last entry; networks see softmax((y, 0)).

    With Gumbel noise g, y_k = (logit_k + g_k - logit_K - g_K) / T for k < K, and

        ln p(y) = ln (K-1)! + (K-1) ln T - sum_k g_k - K ln sum_k e^-g_k

    with g_k = T y_k - logit_k and y_K = 0, to which a constant may be added. It is a density on
    K - 1 real numbers, finite at every temperature. `exactly()` is `Categorical`.

    Args:
        num_classes: the number K of classes, 2 or more.
        temperature: initial value T, above 0, of the scalar weight `temperature`.
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: the logits, (rows, .., num_classes).

    Output: relaxed one-hot vectors, (rows, .., num_classes), and ln p of their log-ratios, (rows,).

    Raises:
        ValueError: if an argument is out of range, or logits or value have another shape.

    Reference: Maddison, Mnih and Teh (2017), The concrete distribution, appendix C.3.2.

    Example:
        >>> part = RelaxedCategorical(3, temperature=1.0)
        >>> float(part.log_prob(ops.zeros((1, 3)), ops.zeros((1, 2)))[0])  # ln 2!/3^3
        -2.60268974...
    """

    own_activation = "softmax"

    def __init__(
        self,
        num_classes: int,
        temperature: float = 0.5,
        *,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(temperature, seed=seed, **kwargs)
        check_counts(2, num_classes=num_classes)
        self.num_classes = num_classes

    def noise(self, statistics: Tensor, rows: Any, seed: Any) -> Tensor:
        return gumbel((rows, *statistics.shape[1:]), float_dtype(statistics), seed)

    def draw(self, statistics: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        scaled = (statistics + noise) / self._temperature(noise)
        return scaled[..., :-1] - scaled[..., -1:], total(self._terms(noise))

    def terms(self, statistics: Tensor, value: Tensor) -> Tensor:
        check_event(self, value, (*statistics.shape[1:-1], self.num_classes - 1))
        return self._terms(self._temperature(value) * self._whole(value) - statistics)

    def _terms(self, noise):
        constant = (self.num_classes - 1) * ops.log(self._temperature(noise))
        log_sum = self.num_classes * ops.logsumexp(-noise, axis=-1)
        return math.lgamma(self.num_classes) + constant - ops.sum(noise, axis=-1) - log_sum

    def _whole(self, value):
        return ops.concatenate([value, ops.zeros_like(value[..., :1])], axis=-1)

    def mean(self, statistics: Tensor) -> Tensor:
        return ops.softmax(statistics, axis=-1)

    def emit(self, value: Tensor) -> Tensor:
        return ops.softmax(self._whole(value), axis=-1)

    def exactly(self) -> Part:
        return Categorical(self.num_classes, seed=self.seed, dtype=self.dtype_policy)

    def shapes(self, event: Shape) -> Shapes:
        return (*event[:-1], self.num_classes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes}

"""Likelihoods p(x|z) of a decoder's output, as Keras losses; they run on every Keras backend."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from rbm_tf.shared.seeds import integer_seed
from rbm_tf.shared.types import ArrayLike, Tensor
from vae_keras.likelihoods.cross_entropy import bernoulli_cross_entropy

_SMALL = 0.5  # below this logit the continuous Bernoulli is summed as a power series


class NegativeLogLikelihood(keras.losses.Loss):
    """-ln p(x|z) summed over pixels, from data x and the decoder's output.

    As a Keras loss it averages over the batch; `call(x, output)` gives the values per example,
    `mean(output)` the expected data, `sample(output, seed)` draws data, and `check_data(x)` refuses
    data outside the support. One of your own writes the first two, and the third to simulate data.

    Example:
        >>> @keras.saving.register_keras_serializable(package="example")
        ... class Poisson(NegativeLogLikelihood):
        ...     def call(self, y_true, y_pred):
        ...         return ops.sum(ops.exp(y_pred) - y_true * y_pred, axis=-1)
        ...
        ...     def mean(self, log_rate):
        ...         return ops.exp(log_rate)
    """

    def sample(
        self, output: Tensor, seed: int | keras.random.SeedGenerator | None = None
    ) -> Tensor:
        """Draw data x from p(x|z).

        Args:
            output: what the decoder returns, (batch, ..).
            seed: integer that fixes the draw, or a `keras.random.SeedGenerator`.

        Returns:
            x, the shape of output, float32.

        Raises:
            NotImplementedError: if the likelihood does not write it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how to draw data.")

    def check_data(self, x: ArrayLike) -> None:
        """Refuse data that are not finite.

        Args:
            x: data as an array or an eager tensor, (batch, ..).

        Raises:
            ValueError: if a value is NaN or infinite; it says what to do.
        """
        if not bool(ops.all(ops.isfinite(x))):
            raise ValueError("Data must be finite: remove or replace NaN and infinite values.")


@keras.saving.register_keras_serializable(package="vae_keras")
class BernoulliNegativeLogLikelihood(NegativeLogLikelihood):
    """-ln p(x|z) for binary pixels, summed over pixels: the reconstruction term of the VAE (B32).

    -ln p(x|z) = sum_pixels [softplus(logit) - x logit]. As a Keras loss it averages over the batch;
    `call(x, logits)` gives the values per example.

    Args:
        name: what Keras calls the loss.

    Call arguments:
        y_true: data x, (batch, ..).
        y_pred: what the decoder returns, the same shape.

    Output: one value per example, (batch,), nats; called as a Keras loss, their mean.

    Raises:
        ValueError: at call time, if x and logits differ in shape.

    Example:
        >>> nll = BernoulliNegativeLogLikelihood()
        >>> float(nll(ops.ones((5, 2)), ops.zeros((5, 2))))  # 2 ln 2
        1.3862943649291992
    """

    def __init__(self, name: str = "bernoulli_negative_log_likelihood", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        x, logits = _checked(y_true, y_pred)
        shape = -1, math.prod(logits.shape[1:])
        return bernoulli_cross_entropy(ops.reshape(x, shape), ops.reshape(logits, shape))

    def mean(self, logits: Tensor) -> Tensor:
        """The expected data, <x|z> = sigmoid(logits)."""
        return ops.sigmoid(logits)

    def sample(
        self, output: Tensor, seed: int | keras.random.SeedGenerator | None = None
    ) -> Tensor:
        """Binary data, 1 with probability sigmoid(output), the shape of output."""
        mean = ops.sigmoid(ops.cast(output, "float32"))
        return ops.cast(_uniform_like(output, seed) < mean, "float32")

    def check_data(self, x: ArrayLike) -> None:
        """Refuse data outside [0, 1], and NaN; grey levels stand for probabilities."""
        _check_unit_interval(x)


@keras.saving.register_keras_serializable(package="vae_keras")
class ContinuousBernoulliNegativeLogLikelihood(NegativeLogLikelihood):
    """-ln p(x|z) for grey levels in [0, 1], p(x) proportional to exp(x logit), over all pixels.

    -ln p(x|z) = sum_pixels [A(logit) - x logit] with A(l) = ln INT_0^1 exp(l x) dx = ln((e^l - 1)
    / l), a power series near l = 0. Unlike the Bernoulli's, it is a density of grey levels; it is
    often above 1, so that ELBOs may be positive, and it does not compare with a Bernoulli's.

    Args:
        name: what Keras calls the loss.

    Call arguments:
        y_true: data x, (batch, ..).
        y_pred: what the decoder returns, the same shape.

    Output: one value per example, (batch,), nats; called as a Keras loss, their mean.

    Raises:
        ValueError: at call time, if x and logits differ in shape.

    Reference: Loaiza-Ganem and Cunningham (2019), The continuous Bernoulli: fixing a pervasive
    error in variational autoencoders.

    Example:
        >>> nll = ContinuousBernoulliNegativeLogLikelihood()
        >>> float(nll(ops.ones((5, 2)), ops.zeros((5, 2))))  # uniform
        0.0
    """

    def __init__(
        self, name: str = "continuous_bernoulli_negative_log_likelihood", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        x, logits = _checked(y_true, y_pred)
        size, is_small = _absolute(logits)
        large = ops.log(-ops.expm1(-size) / size) + ops.relu(logits)
        square = ops.square(ops.where(is_small, logits, 0.0))
        small = logits / 2 + square / 24 * (1 - square / 120 * (1 - square / 63))
        return _sum_over_pixels(ops.where(is_small, small, large) - x * logits)

    def mean(self, logits: Tensor) -> Tensor:
        """The expected data, <x|z> = dA / dlogit = 1 / (1 - exp(-logit)) - 1 / logit."""
        size, is_small = _absolute(logits)
        above_half = -1 / ops.expm1(-size) - 1 / size - 0.5
        square = ops.square(ops.where(is_small, logits, 0.0))
        small = logits / 12 * (1 - square / 60 * (1 - square / 42))
        return 0.5 + ops.where(is_small, small, ops.sign(logits) * above_half)

    def sample(
        self, output: Tensor, seed: int | keras.random.SeedGenerator | None = None
    ) -> Tensor:
        """Grey levels in [0, 1], the shape of output, by the inverse of their distribution."""
        output = ops.cast(output, "float32")
        small = ops.abs(output) < 1e-3  # there the density is flat to a thousandth
        logits, u = ops.where(small, 1.0, ops.abs(output)), _uniform_like(output, seed)
        from_one = -ops.log1p(u * ops.expm1(-logits)) / logits  # of 1 - x where the logit is > 0
        x = ops.where(small, u, ops.where(output > 0, 1 - from_one, from_one))
        return ops.clip(x, 0.0, 1.0)

    def check_data(self, x: ArrayLike) -> None:
        """Refuse data outside [0, 1], and NaN."""
        _check_unit_interval(x)


@keras.saving.register_keras_serializable(package="vae_keras")
class GaussianNegativeLogLikelihood(NegativeLogLikelihood):
    """-ln N(x; y, scale^2 I) for real data and a decoder that returns the mean y, over all pixels.

    Args:
        scale: the standard deviation of the noise, above 0.
        name: what Keras calls the loss.

    Call arguments:
        y_true: data x, (batch, ..).
        y_pred: what the decoder returns, the same shape.

    Output: one value per example, (batch,), nats; called as a Keras loss, their mean.

    Raises:
        ValueError: if scale is not above 0; at call time, if x and the mean differ in shape.

    Example:
        >>> nll = GaussianNegativeLogLikelihood()
        >>> float(nll(ops.zeros((5, 2)), ops.zeros((5, 2))))  # ln(2 pi)
        1.8378770351409912
    """

    def __init__(
        self, scale: float = 1.0, *, name: str = "gaussian_negative_log_likelihood", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not 0 < scale < math.inf:
            raise ValueError(f"scale must be above 0 and finite; got {scale}.")
        self.scale = scale

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        x, mean = _checked(y_true, y_pred)
        log_normalizer = math.log(2 * math.pi * self.scale**2)
        return 0.5 * _sum_over_pixels(ops.square((x - mean) / self.scale) + log_normalizer)

    def mean(self, mean: Tensor) -> Tensor:
        """The expected data, which is what the decoder returns."""
        return mean

    def sample(
        self, output: Tensor, seed: int | keras.random.SeedGenerator | None = None
    ) -> Tensor:
        """The mean plus Gaussian noise of standard deviation scale, the shape of output."""
        noise = keras.random.normal(ops.shape(output), dtype="float32", seed=_seed(seed))
        return ops.cast(output, "float32") + self.scale * noise

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}


def _uniform_like(output, seed):
    return keras.random.uniform(ops.shape(output), dtype="float32", seed=_seed(seed))


def _seed(seed):
    return seed if isinstance(seed, keras.random.SeedGenerator) else integer_seed(seed)


def _check_unit_interval(x):
    if not (bool(ops.min(x) >= 0) and bool(ops.max(x) <= 1)):  # false for NaN
        raise ValueError(
            "Data of a Bernoulli likelihood must lie in [0, 1], without NaN: divide 8-bit images "
            "by 255, or take GaussianNegativeLogLikelihood for real data."
        )


def _absolute(logits):
    """|logit| where the closed form is precise, 1 elsewhere, and whether it is elsewhere."""
    is_small = ops.abs(logits) < _SMALL
    return ops.abs(ops.where(is_small, 1.0, logits)), is_small


def _checked(y_true, y_pred):
    if tuple(y_true.shape[1:]) != tuple(y_pred.shape[1:]):
        raise ValueError(
            f"Data have shape {tuple(y_true.shape)} and the decoder's output "
            f"{tuple(y_pred.shape)}; give the decoder the data's shape, or reshape the data."
        )
    wide = keras.backend.result_type(y_pred.dtype, "float32")
    return ops.cast(y_true, wide), ops.cast(y_pred, wide)


def _sum_over_pixels(terms):
    return ops.sum(terms, axis=tuple(range(1, len(terms.shape))))

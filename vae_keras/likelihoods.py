"""Likelihoods p(x|z) of a decoder's output, as Keras losses; they run on every Keras backend."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="vae_keras")
class BernoulliNegativeLogLikelihood(keras.losses.Loss):
    """-ln p(x|z) for binary pixels, summed over pixels: the reconstruction term of the VAE (B32).

    -ln p(x|z) = sum_pixels [softplus(logit) - x logit]. As a Keras loss it averages over the batch;
    `call(x, logits)` gives the values per example.

    Args:
        name: of the loss.

    Raises:
        ValueError: at call time, if x and logits differ in shape.

    Example:
        >>> nll = BernoulliNegativeLogLikelihood()
        >>> float(nll(ops.ones((5, 2)), ops.zeros((5, 2))))  # 2 ln 2
        1.3862943649291992
    """

    def __init__(self, name="bernoulli_negative_log_likelihood", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        x, logits = _checked(y_true, y_pred)
        return _sum_over_pixels(ops.softplus(logits) - x * logits)

    def mean(self, logits):
        """The expected data, <x|z> = sigmoid(logits)."""
        return ops.sigmoid(logits)


@keras.saving.register_keras_serializable(package="vae_keras")
class GaussianNegativeLogLikelihood(keras.losses.Loss):
    """-ln N(x; y, scale^2 I) for real data and a decoder that returns the mean y, over all pixels.

    Args:
        scale: standard deviation of the noise.
        name: of the loss.

    Raises:
        ValueError: if scale is not above 0; at call time, if x and the mean differ in shape.

    Example:
        >>> nll = GaussianNegativeLogLikelihood()
        >>> float(nll(ops.zeros((5, 2)), ops.zeros((5, 2))))  # ln(2 pi)
        1.8378770351409912
    """

    def __init__(self, scale=1.0, name="gaussian_negative_log_likelihood", **kwargs):
        super().__init__(name=name, **kwargs)
        if not scale > 0:
            raise ValueError(f"scale must be above 0; got {scale}.")
        self.scale = scale

    def call(self, y_true, y_pred):
        x, mean = _checked(y_true, y_pred)
        log_normalizer = math.log(2 * math.pi * self.scale**2)
        return 0.5 * _sum_over_pixels(ops.square((x - mean) / self.scale) + log_normalizer)

    def mean(self, mean):
        """The expected data, which is what the decoder returns."""
        return mean

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


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

"""Likelihoods p(x|z) of a decoder's output, as Keras losses; they run on every Keras backend."""

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
        if tuple(y_true.shape[1:]) != tuple(y_pred.shape[1:]):
            raise ValueError(
                f"Data have shape {tuple(y_true.shape)} and the decoder's logits "
                f"{tuple(y_pred.shape)}; give the decoder the data's shape, or reshape the data."
            )
        x, logits = (
            ops.cast(a, keras.backend.result_type(a.dtype, "float32")) for a in (y_true, y_pred)
        )
        terms = ops.softplus(logits) - x * logits
        return ops.sum(terms, axis=tuple(range(1, len(terms.shape))))

    def mean(self, logits):
        """The expected data, <x|z> = sigmoid(logits)."""
        return ops.sigmoid(logits)

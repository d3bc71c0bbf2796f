"""Likelihoods p(x|z) of a decoder's output, as Keras losses."""

from vae_keras.likelihoods.cross_entropy import bernoulli_cross_entropy
from vae_keras.likelihoods.losses import (
    BernoulliNegativeLogLikelihood,
    ContinuousBernoulliNegativeLogLikelihood,
    GaussianNegativeLogLikelihood,
    NegativeLogLikelihood,
)

__all__ = [
    "BernoulliNegativeLogLikelihood",
    "ContinuousBernoulliNegativeLogLikelihood",
    "GaussianNegativeLogLikelihood",
    "NegativeLogLikelihood",
    "bernoulli_cross_entropy",
]

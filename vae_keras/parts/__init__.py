"""Parts: conditional densities that serve as posterior, prior or likelihood alike."""

from vae_keras.parts.bernoulli import Bernoulli, ContinuousBernoulli
from vae_keras.parts.categorical import Categorical
from vae_keras.parts.gaussian import Gaussian
from vae_keras.parts.own import Own
from vae_keras.parts.part import Part
from vae_keras.parts.rules import kl_rule, kl_terms
from vae_keras.parts.testing import check_part

__all__ = [
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "Gaussian",
    "Own",
    "Part",
    "check_part",
    "kl_rule",
    "kl_terms",
]

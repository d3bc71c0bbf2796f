"""Parts: conditional densities that serve as posterior, prior or likelihood alike."""

from vae_keras.parts.bernoulli import Bernoulli, ContinuousBernoulli
from vae_keras.parts.categorical import Categorical
from vae_keras.parts.draws import Draws
from vae_keras.parts.gaussian import Gaussian
from vae_keras.parts.latents import Latents, log_weights
from vae_keras.parts.names import call_by_name
from vae_keras.parts.own import Own
from vae_keras.parts.part import Part
from vae_keras.parts.relaxed import Relaxed, RelaxedBernoulli, RelaxedCategorical
from vae_keras.parts.rules import kl_rule, kl_terms
from vae_keras.parts.testing import check_part

__all__ = [
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "Draws",
    "Gaussian",
    "Latents",
    "Own",
    "Part",
    "Relaxed",
    "RelaxedBernoulli",
    "RelaxedCategorical",
    "call_by_name",
    "check_part",
    "kl_rule",
    "kl_terms",
    "log_weights",
]

"""Parts: conditional densities that serve as posterior, prior or likelihood alike."""

from vae_keras.parts.bernoulli import Bernoulli, ContinuousBernoulli
from vae_keras.parts.categorical import Categorical
from vae_keras.parts.chain import Chain
from vae_keras.parts.closed_forms import (
    bernoulli_kl_terms,
    categorical_kl_terms,
    gaussian_kl_terms,
)
from vae_keras.parts.counts import Counts, NegativeBinomial, Poisson, ZeroInflated
from vae_keras.parts.coupling import Autoregressive, Coupling, HalfStep, NetworkStep
from vae_keras.parts.cross_entropy import bernoulli_cross_entropy
from vae_keras.parts.draws import Draws
from vae_keras.parts.enumeration import enumerated
from vae_keras.parts.flow import Flow, FlowStep
from vae_keras.parts.full_gaussian import Correlated, FullGaussian, LowRankGaussian
from vae_keras.parts.gaussian import Gaussian
from vae_keras.parts.latents import Latents
from vae_keras.parts.levels import Levels
from vae_keras.parts.log_gamma import (
    log_gamma,
    log_gamma_ratio,
    log_negative_binomial,
    log_poisson,
)
from vae_keras.parts.log_normal import log_ndtr, log_normal_mass
from vae_keras.parts.logistic_mixture import LogisticMixture
from vae_keras.parts.masked import Masked
from vae_keras.parts.mixture import Mixture, Vamp
from vae_keras.parts.models import data_of, latents_of
from vae_keras.parts.names import call_by_name
from vae_keras.parts.observed import Observed
from vae_keras.parts.of_part import OfPart, SomeTerms
from vae_keras.parts.own import Own
from vae_keras.parts.part import Part
from vae_keras.parts.recurrent import Recurrent
from vae_keras.parts.relaxed import Relaxed, RelaxedBernoulli, RelaxedCategorical
from vae_keras.parts.rules import kl_rule, kl_terms
from vae_keras.parts.spline import SplineCoupling
from vae_keras.parts.student_t import StudentT
from vae_keras.parts.testing import check_part
from vae_keras.parts.tfp import TFP
from vae_keras.parts.weights import log_weights

__all__ = [
    "TFP",
    "Autoregressive",
    "Bernoulli",
    "Categorical",
    "Chain",
    "ContinuousBernoulli",
    "Correlated",
    "Counts",
    "Coupling",
    "Draws",
    "Flow",
    "FlowStep",
    "FullGaussian",
    "Gaussian",
    "HalfStep",
    "Latents",
    "Levels",
    "LogisticMixture",
    "LowRankGaussian",
    "Masked",
    "Mixture",
    "NegativeBinomial",
    "NetworkStep",
    "Observed",
    "OfPart",
    "Own",
    "Part",
    "Poisson",
    "Recurrent",
    "Relaxed",
    "RelaxedBernoulli",
    "RelaxedCategorical",
    "SomeTerms",
    "SplineCoupling",
    "StudentT",
    "Vamp",
    "ZeroInflated",
    "bernoulli_cross_entropy",
    "bernoulli_kl_terms",
    "call_by_name",
    "categorical_kl_terms",
    "check_part",
    "data_of",
    "enumerated",
    "gaussian_kl_terms",
    "kl_rule",
    "kl_terms",
    "latents_of",
    "log_gamma",
    "log_gamma_ratio",
    "log_ndtr",
    "log_negative_binomial",
    "log_normal_mass",
    "log_poisson",
    "log_weights",
]

"""Keras layers for variational inference: sampling, KL and normalising flows, on every backend.

Put them into any model, Sequential, functional or subclassed. Densities and variances are computed
in float32 or wider whatever the policy: exp(0.5 log_var) overflows float16.
"""

from vae_keras.layers.add_kl import AddKL
from vae_keras.layers.affine_coupling import AffineCoupling
from vae_keras.layers.bernoulli import BernoulliKL, BernoulliSampling
from vae_keras.layers.categorical import CategoricalKL, CategoricalSampling
from vae_keras.layers.flow_posterior import FlowPosterior
from vae_keras.layers.gaussian import GaussianKL, GaussianSampling
from vae_keras.shared.random_layer import xla_draws_fast

__all__ = [
    "AddKL",
    "AffineCoupling",
    "BernoulliKL",
    "BernoulliSampling",
    "CategoricalKL",
    "CategoricalSampling",
    "FlowPosterior",
    "GaussianKL",
    "GaussianSampling",
    "xla_draws_fast",
]

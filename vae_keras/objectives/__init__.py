"""What a VAE minimises: bounds and estimates of ln p(x), as losses per example."""

from vae_keras.objectives.beta_tc import BetaTC, KLDecomposition, kl_decomposition
from vae_keras.objectives.bounds import (
    ELBO,
    IWAE,
    DoublyReparameterizedIWAE,
    Objective,
    ThermodynamicObjective,
)
from vae_keras.objectives.info_vae import InfoVAE, mmd_terms
from vae_keras.objectives.perturbative import CumulantObjective, PerturbativeBound
from vae_keras.objectives.requirements import check_factors, check_objective
from vae_keras.objectives.vimco import VIMCO

__all__ = [
    "ELBO",
    "IWAE",
    "VIMCO",
    "BetaTC",
    "CumulantObjective",
    "DoublyReparameterizedIWAE",
    "InfoVAE",
    "KLDecomposition",
    "Objective",
    "PerturbativeBound",
    "ThermodynamicObjective",
    "check_factors",
    "check_objective",
    "kl_decomposition",
    "mmd_terms",
]

"""What a VAE minimises: bounds and estimates of ln p(x), as losses per example."""

from vae_keras.objectives.bounds import (
    ELBO,
    IWAE,
    DoublyReparameterizedIWAE,
    Objective,
    ThermodynamicObjective,
)
from vae_keras.objectives.perturbative import CumulantObjective, PerturbativeBound

__all__ = [
    "ELBO",
    "IWAE",
    "CumulantObjective",
    "DoublyReparameterizedIWAE",
    "Objective",
    "PerturbativeBound",
    "ThermodynamicObjective",
]

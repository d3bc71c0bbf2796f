"""The cumulant correction for any model of TensorFlow Probability: evidence, means, losses."""

from vae_keras.black_box.draws import log_weights
from vae_keras.black_box.evidence import Evidence, evidence, evidence_of_weights
from vae_keras.black_box.expectations import (
    CorrectedExpectation,
    corrected_expectation,
    corrected_variance,
    expectation_of_weights,
    variance_of_weights,
)
from vae_keras.black_box.free_energies import FreeEnergy, free_energy
from vae_keras.black_box.losses import monte_carlo_cumulant_loss
from vae_keras.black_box.quantiles import corrected_quantiles, series_weights

__all__ = [
    "CorrectedExpectation",
    "Evidence",
    "FreeEnergy",
    "corrected_expectation",
    "corrected_quantiles",
    "corrected_variance",
    "evidence",
    "evidence_of_weights",
    "expectation_of_weights",
    "free_energy",
    "log_weights",
    "monte_carlo_cumulant_loss",
    "series_weights",
    "variance_of_weights",
]

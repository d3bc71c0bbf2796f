"""Estimates of ln p(x), in nats: from log-weights, by groups, by annealing."""

from vae_keras.evidence.annealing import (
    AnnealedEstimate,
    ais,
    ais_path,
    bracket_verdict,
    reverse_ais,
)
from vae_keras.evidence.blocks import estimate_in_blocks, streamed_cumulants, streamed_iwae
from vae_keras.evidence.estimators import (
    cumulant,
    elbo,
    grouped_cumulant,
    iwae,
    jackknife,
    log_means_of_groups,
    num_groups,
    thermodynamic_sum,
)
from vae_keras.evidence.groups import (
    NUM_GROUPS,
    GroupedEstimate,
    gamma_closure,
    grouped_estimate,
    grouped_standard_error,
    regrouped_cumulants,
    shrunken_cumulants,
)
from vae_keras.evidence.targeted import TargetedRatio, targeted_log_z_ratio
from vae_keras.evidence.unbiased import sumo, sumo_lengths

__all__ = [
    "NUM_GROUPS",
    "AnnealedEstimate",
    "GroupedEstimate",
    "TargetedRatio",
    "ais",
    "ais_path",
    "bracket_verdict",
    "cumulant",
    "elbo",
    "estimate_in_blocks",
    "gamma_closure",
    "grouped_cumulant",
    "grouped_estimate",
    "grouped_standard_error",
    "iwae",
    "jackknife",
    "log_means_of_groups",
    "num_groups",
    "regrouped_cumulants",
    "reverse_ais",
    "shrunken_cumulants",
    "streamed_cumulants",
    "streamed_iwae",
    "sumo",
    "sumo_lengths",
    "targeted_log_z_ratio",
    "thermodynamic_sum",
]

"""Mean field: Plefka's expansion, TAP, and the cumulant expansion beside it."""

from rbm_tf.mean_field.expansion import (
    cumulant_free_energy,
    cumulant_moments,
    fourth_cumulant,
    plefka_fourth_term,
    response_step,
)
from rbm_tf.mean_field.path import all_log_weights, gibbs_path, interpolated_rbm, perturbation
from rbm_tf.mean_field.plefka import check_order, correlation, damped_step, gamma, reaction_field
from rbm_tf.mean_field.stationary import MeanField, tap, tap_of

__all__ = [
    "MeanField",
    "all_log_weights",
    "check_order",
    "correlation",
    "cumulant_free_energy",
    "cumulant_moments",
    "damped_step",
    "fourth_cumulant",
    "gamma",
    "gibbs_path",
    "interpolated_rbm",
    "perturbation",
    "plefka_fourth_term",
    "reaction_field",
    "response_step",
    "tap",
    "tap_of",
]

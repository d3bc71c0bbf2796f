"""Mean field: Plefka's expansion, TAP, and the cumulant expansion beside it."""

from rbm_tf.mean_field.bonds import (
    Part,
    bond_moments,
    bond_reaction,
    has_vectors,
    layer_means,
    layer_parts,
    parts_of,
)
from rbm_tf.mean_field.expansion import (
    check_fourth_order,
    cumulant_moments,
    fourth_cumulant,
    fourth_cumulant_at,
    plefka_fourth_term,
    plefka_fourth_term_at,
    response_step,
)
from rbm_tf.mean_field.fields import Averages, FieldTheory, averages_at, damped_fields, gamma_at
from rbm_tf.mean_field.path import all_log_weights, gibbs_path, interpolated_rbm, perturbation
from rbm_tf.mean_field.plefka import (
    BinaryTheory,
    check_order,
    correlation,
    damped_step,
    gamma,
    reaction_field,
)
from rbm_tf.mean_field.products import cumulant_free_energy, cumulant_free_energy_at
from rbm_tf.mean_field.series import bond_singularities, plefka_series
from rbm_tf.mean_field.stationary import MeanField, tap, tap_of, theory_of
from rbm_tf.mean_field.two_moments import TwoMomentTheory, check_moments, check_precisions

__all__ = [
    "Averages",
    "BinaryTheory",
    "FieldTheory",
    "MeanField",
    "Part",
    "TwoMomentTheory",
    "all_log_weights",
    "averages_at",
    "bond_moments",
    "bond_reaction",
    "bond_singularities",
    "check_fourth_order",
    "check_moments",
    "check_order",
    "check_precisions",
    "correlation",
    "cumulant_free_energy",
    "cumulant_free_energy_at",
    "cumulant_moments",
    "damped_fields",
    "damped_step",
    "fourth_cumulant",
    "fourth_cumulant_at",
    "gamma",
    "gamma_at",
    "gibbs_path",
    "has_vectors",
    "interpolated_rbm",
    "layer_means",
    "layer_parts",
    "parts_of",
    "perturbation",
    "plefka_fourth_term",
    "plefka_fourth_term_at",
    "plefka_series",
    "reaction_field",
    "response_step",
    "tap",
    "tap_of",
    "theory_of",
]

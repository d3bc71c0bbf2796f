"""Kinds of units: what a layer's states are, and how they answer to a field."""

from rbm_tf.units.clamped import Clamped
from rbm_tf.units.finite import Binary, Potts, Spin, bernoulli_cumulants, sample_bernoulli
from rbm_tf.units.gaussian import Gaussian
from rbm_tf.units.half_gaussian import (
    half_gaussian_cgf,
    half_gaussian_cumulants,
    sample_half_gaussian,
)
from rbm_tf.units.inversion import field_of_mean
from rbm_tf.units.mixed import Mixed
from rbm_tf.units.names import UNITS_BY_NAME, name_of_units, units_by_name
from rbm_tf.units.parameters import log_positive, log_sum, per_unit
from rbm_tf.units.rectified import DReLU, ReLU
from rbm_tf.units.structure import Kind, Structure
from rbm_tf.units.support import Support
from rbm_tf.units.testing import check_unit
from rbm_tf.units.truncated_exponential import TruncatedExponential
from rbm_tf.units.unit import Unit, gumbel, state_numbers

__all__ = [
    "UNITS_BY_NAME",
    "Binary",
    "Clamped",
    "DReLU",
    "Gaussian",
    "Kind",
    "Mixed",
    "Potts",
    "ReLU",
    "Spin",
    "Structure",
    "Support",
    "TruncatedExponential",
    "Unit",
    "bernoulli_cumulants",
    "check_unit",
    "field_of_mean",
    "gumbel",
    "half_gaussian_cgf",
    "half_gaussian_cumulants",
    "log_positive",
    "log_sum",
    "name_of_units",
    "per_unit",
    "sample_bernoulli",
    "sample_half_gaussian",
    "state_numbers",
    "units_by_name",
]

"""Cumulants: of samples, of weights, of distributions, and the series for ln <exp(x)>."""

from rbm_tf.cumulants.errors import (
    cumulant_standard_errors,
    jackknife_error,
    leave_one_out_cumulants,
    series_standard_error,
)
from rbm_tf.cumulants.exact import exact_cumulants
from rbm_tf.cumulants.joint import (
    StreamingJointCumulants,
    expectation_series,
    expectation_weights,
    joint_cumulants,
)
from rbm_tf.cumulants.k_statistics import (
    MAX_ORDER,
    cumulants_from_moments,
    k_statistic,
    sample_cumulants,
    weighted_cumulants,
)
from rbm_tf.cumulants.path import LambdaPath, integrate_path, lambda_path, taylor_polynomials
from rbm_tf.cumulants.series import derivatives, generating_function, log_expectation
from rbm_tf.cumulants.streaming import StreamingCumulants

__all__ = [
    "MAX_ORDER",
    "LambdaPath",
    "StreamingCumulants",
    "StreamingJointCumulants",
    "cumulant_standard_errors",
    "cumulants_from_moments",
    "derivatives",
    "exact_cumulants",
    "expectation_series",
    "expectation_weights",
    "generating_function",
    "integrate_path",
    "jackknife_error",
    "joint_cumulants",
    "k_statistic",
    "lambda_path",
    "leave_one_out_cumulants",
    "log_expectation",
    "sample_cumulants",
    "series_standard_error",
    "taylor_polynomials",
    "weighted_cumulants",
]

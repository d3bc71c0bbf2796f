"""Estimators of gradients of expectations, each with its variance, and score matching."""

from vae_keras.gradients.bernoulli import (
    exact_gradient,
    relaxed_bernoulli,
    score_function_bernoulli,
)
from vae_keras.gradients.gaussian import (
    BASELINES,
    Gradients,
    importance_weighted,
    pathwise,
    score_function,
    value_and_slope,
    with_baseline,
)
from vae_keras.gradients.score_matching import (
    denoise,
    denoising_score_matching,
    explicit_score_matching,
    score,
)

__all__ = [
    "BASELINES",
    "Gradients",
    "denoise",
    "denoising_score_matching",
    "exact_gradient",
    "explicit_score_matching",
    "importance_weighted",
    "pathwise",
    "relaxed_bernoulli",
    "score",
    "score_function",
    "score_function_bernoulli",
    "value_and_slope",
    "with_baseline",
]

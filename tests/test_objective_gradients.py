"""Every objective on every posterior: the gradient of its own exact expectation, or a refusal.

Run it with KERAS_BACKEND=jax or torch, too.
"""

import numpy as np
import pytest
from objective_cases import cases, mean, over_pairs, thermodynamic_sum

from vae_keras.objectives import (
    ELBO,
    IWAE,
    VIMCO,
    CumulantObjective,
    DoublyReparameterizedIWAE,
    PerturbativeBound,
    ThermodynamicObjective,
    check_objective,
)

CASES = cases()
EXPECTATIONS = {
    "elbo": mean,
    "iwae": over_pairs(lambda a, b: np.log(2) - np.logaddexp(a, b)),
    "cumulant": over_pairs(lambda a, b: -(a + b) / 2 - (a - b) ** 2 / 4),
    "perturbative": over_pairs(lambda a, b: -(a + b) / 2 - np.log1p((a - b) ** 2 / 8)),
    "thermodynamic": thermodynamic_sum([0, 0.3, 1]),
}
EXACT = {}
# An objective, the expectation whose gradient it has, its factor, and how many rows of draws.
OBJECTIVES = {
    "ELBO": (ELBO(), "elbo", 1, 4000),
    "IWAE": (IWAE(2), "iwae", 1, 4000),
    "DoublyReparameterizedIWAE": (DoublyReparameterizedIWAE(2), "iwae", 1, 4000),
    "VIMCO": (VIMCO(2), "iwae", 1, 4000),
    "CumulantObjective": (CumulantObjective(2), "cumulant", 1, 4000),
    "PerturbativeBound": (PerturbativeBound(2), "perturbative", 1, 4000),
    # Its covariance divides by num_samples, and not by one less.
    "ThermodynamicObjective": (ThermodynamicObjective(4, num_partitions=1), "elbo", 3 / 4, 4000),
    "ThermodynamicObjective of two partitions": (
        ThermodynamicObjective(400, num_partitions=2, first_beta=0.3),
        "thermodynamic",
        1,
        100,
    ),
}


def exact(case, expectation):
    if case not in EXACT:
        EXACT[case] = CASES[case].exact_gradients(EXPECTATIONS)
    return EXACT[case][expectation]


def sigmas(found, expected):
    """How many standard errors the mean over rows is off, for each statistic."""
    error = found.std(0, ddof=1) / len(found) ** 0.5
    return np.abs(found.mean(0) - expected) / (error + 1e-4), error


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_of_the_encoder_are_those_of_the_exact_expectation_or_refused(name, case):
    objective, expectation, factor, rows = OBJECTIVES[name]
    latents = CASES[case].latents(CASES[case].statistics)
    expected = factor * exact(case, expectation)
    if objective.needs_path and not latents.posterior.has_path:
        with pytest.raises(ValueError, match=f"needs gradients through draws, and those of {case}"):
            check_objective(objective, latents)
        if not isinstance(objective, DoublyReparameterizedIWAE):  # which refuses by itself
            off = sigmas(CASES[case].sampled_gradients(objective, rows), expected)[0]
            assert np.max(off) > 10  # without the refusal it would be wrong, and nobody told
        return
    check_objective(objective, latents)
    off, error = sigmas(CASES[case].sampled_gradients(objective, rows), expected)
    assert np.all(off < 5)
    assert np.max(np.abs(expected) / error) > 8  # and the gradient is seen at all


@pytest.mark.parametrize("case", CASES)
def test_sums_over_the_grid_are_expectations(case):
    _, log_mass = CASES[case].on_grid(CASES[case].statistics)
    assert np.exp(log_mass).sum() == pytest.approx(1, abs=2e-5)

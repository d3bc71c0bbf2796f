"""What every part owes Keras: its own layer test, in float32 and under mixed precision."""

import pytest
from keras.src.testing import TestCase

from vae_keras import parts
from vae_keras.parts import Categorical, Coupling, Gaussian, Poisson

PAIR = [(4, 3)] * 2


CASES = {  # the part, the shapes of its statistics, of its draws, weights (trainable, other), seeds
    "gaussian": (parts.Gaussian, {}, PAIR, (4, 3), (0, 0), 1),
    "fixed scale": (parts.Gaussian, {"scale": 0.5}, (4, 3), (4, 3), (0, 0), 1),
    "shared scale": (parts.Gaussian, {"scale": 0.5, "shared": True}, (4, 3), (4, 3), (1, 0), 1),
    "full": (parts.FullGaussian, {}, [*PAIR, (4, 3)], (4, 3), (0, 0), 1),
    "low rank": (parts.LowRankGaussian, {"rank": 2}, [*PAIR, (4, 3, 2)], (4, 3), (0, 0), 1),
    "bernoulli": (parts.Bernoulli, {}, (4, 3), (4, 3), (0, 0), 1),
    "continuous": (parts.ContinuousBernoulli, {}, (4, 3), (4, 3), (0, 0), 1),
    "categorical": (parts.Categorical, {"num_classes": 3}, (4, 2, 3), (4, 2, 3), (0, 0), 1),
    "relaxed": (parts.RelaxedBernoulli, {"temperature": 0.3}, (4, 3), (4, 3), (0, 1), 1),
    "relaxed classes": (
        parts.RelaxedCategorical,
        {"num_classes": 3, "temperature": 0.3},
        *((4, 2, 3), (4, 2, 3), (0, 1), 1),
    ),
    "levels": (parts.LogisticMixture, {"num_components": 2}, [(4, 3, 2)] * 3, (4, 3), (0, 0), 1),
    "bins": (parts.Levels, {"part": Gaussian()}, PAIR, (4, 3), (0, 0), 2),
    "poisson": (parts.Poisson, {}, (4, 3), (4, 3), (0, 0), 1),
    "negative binomial": (parts.NegativeBinomial, {}, PAIR, (4, 3), (0, 0), 1),
    "inflated": (parts.ZeroInflated, {"part": Poisson()}, PAIR, (4, 3), (0, 0), 2),
    "student": (parts.StudentT, {}, PAIR, (4, 3), (0, 0), 1),
    "masked": (parts.Masked, {"part": Categorical(3)}, (4, 2, 3), (4, 2, 3), (0, 0), 2),
    "observed": (parts.Observed, {"part": Gaussian()}, PAIR, (4, 3), (0, 0), 2),
    "flow": (parts.Flow, {"part": Gaussian(), "steps": [Coupling(3)]}, PAIR, (4, 3), (4, 0), 2),
    "own": (parts.Own, {"part": Gaussian(), "event": (3,)}, (4, 1), (4, 3), (2, 0), 2),
}


def test_weights_have_names_of_their_own():
    for part, arguments, *_ in CASES.values():
        paths = [weight.path for weight in part(**arguments).weights]
        assert len(set(paths)) == len(paths), paths


@pytest.mark.grid
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_part_passes_keras_own_layer_test(name, policy):
    part, arguments, input_shape, output_shape, num_weights, seeds = CASES[name]
    TestCase().run_layer_test(
        part,
        init_kwargs={**arguments, "dtype": policy},
        input_shape=input_shape,
        expected_output_shape=(output_shape, (4,)),
        expected_num_trainable_weights=num_weights[0],
        expected_num_non_trainable_weights=num_weights[1],
        expected_num_seed_generators=seeds,
        expected_num_losses=0,
        run_training_check=False,
        run_mixed_precision_check=True,
        supports_masking=False,
        assert_built_after_instantiation=True,
    )

import numpy as np
import pytest

from rbm_tf import annealing, tempering
from rbm_tf.roads import compare
from rbm_tf.shared import progress
from rbm_tf.shared.progress import in_parts

BETAS = np.linspace(0, 1, 9)
OPTIONS = {"betas": BETAS, "base": "uniform", "seed": 0}


def annealed_to(rbm, seed):
    return annealing.ais(rbm, num_chains=5, betas=BETAS, base="uniform", seed=seed)


LONG = {  # functions of an RBM that take their time, in parts
    "sample": lambda rbm, **off: rbm.sample(5, num_steps=8, seed=0, **off).numpy(),
    "ais": lambda rbm, **off: annealing.ais(rbm, num_chains=5, **OPTIONS, **off).log_weights,
    "reverse_ais": lambda rbm, **off: (
        annealing.reverse_ais(rbm, np.eye(4), **OPTIONS, **off).log_weights
    ),
    "tempered_sample": lambda rbm, **off: tempering.tempered_sample(
        rbm, 5, num_steps=8, betas=BETAS, seed=0, **off
    ).numpy(),
    "compare": lambda rbm, **off: [
        row["ln Z"] for row in compare(rbm, roads={"AIS": annealed_to}, seed=0, **off)
    ],
    "tempered_windows": lambda rbm, **off: (
        tempering.tempered_windows(
            rbm, num_chains=2, num_steps=8, num_burn_in=3, **OPTIONS, **off
        ).free_energies
    ),
}


@pytest.mark.grid
@pytest.mark.parametrize("name", LONG)
def test_parts_give_the_same_numbers_as_the_whole_behind_a_bar(
    name, random_rbm, monkeypatch, capsys
):
    rbm = random_rbm(4, 3)
    monkeypatch.setattr(progress, "_DELAY", np.inf)
    whole = LONG[name](rbm)
    assert capsys.readouterr().err == ""  # it takes less than the delay
    monkeypatch.setattr(progress, "_FIRST", 1)
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    np.testing.assert_array_equal(LONG[name](rbm), whole)
    assert "step" in capsys.readouterr().err
    np.testing.assert_array_equal(LONG[name](rbm, progress=False), whole)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    np.testing.assert_array_equal(LONG[name](rbm), whole)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("num_steps", [0, 1, 64, 1000])
def test_parts_cover_every_step_once(num_steps):
    steps = [step for part in in_parts(num_steps, "steps") for step in range(*part)]
    assert steps == list(range(num_steps))

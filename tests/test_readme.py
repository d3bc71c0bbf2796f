import pathlib
import re

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.long
def test_python_examples_run_one_after_another(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    for block in blocks:
        exec(block, names)
    assert len(blocks) == 13
    images = (names["np"].random.default_rng(0).random((32, 784)) < 0.2).astype("float32")
    for model, callback in (("vae", None), ("bottleneck", "warm_up"), ("discrete", "cooling")):
        callbacks = [names[callback]] if callback else []
        names[model].fit(images, images, callbacks=callbacks, verbose=0)
    printed = capsys.readouterr().out
    elbo, order_two = map(float, printed.split()[:2])
    assert elbo < order_two < 0
    assert abs(names["mean"].value - 2.5) < 5 * names["mean"].standard_error  # of Gamma(10, 4)
    assert "cumulants to 2" in printed and "Trust order 2: k-hat" in printed
    wines, bits = names["forward"], names["exact"].numpy() - names["bound"].numpy()
    assert names["estimate"].log_z.shape == (50,) and 0.4 < wines.acceptance.mean() < 0.9
    assert np.max(np.abs(bits)) < 0.2  # the importance-weighted bound against the sum of 2^8 states
    assert names["classifier"](names["x_test"].reshape(-1, 64)).shape == (360, 10)


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def test_contributing_names_places_that_exist():
    places = re.findall(r"`((?:rbm_tf|vae_keras|tests|notebooks)/[\w./]*)`", CONTRIBUTING)
    assert len(places) > 15
    for place in places:
        assert (ROOT / place).exists() or "NN" in place, place


def test_links_lead_to_files():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert f"\n{target}: " in makefile

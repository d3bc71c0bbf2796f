import matplotlib.pyplot as plt
import numpy as np
import pytest

from rbm_tf import diagrams


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def circles(ax):
    return sum(len(collection.get_offsets()) for collection in ax.collections)


def test_a_boltzmann_machine_has_a_line_for_each_weight(ax):
    assert diagrams.boltzmann_machine(ax, num_visible=5, num_hidden=3) is ax
    assert circles(ax) == 5 + 3
    assert len(ax.lines) == 5 * 3


def test_an_autoencoder_has_as_many_pixels_on_both_sides(ax):
    assert diagrams.autoencoder(ax, num_pixels=5, num_latents=2) is ax
    left, right = (
        np.concatenate([c.get_offsets() for c in ax.collections])[:, 0] == x for x in (0, 6)
    )
    assert left.sum() == right.sum() == 5
    assert len(ax.lines) == 2 * (5 * 3 + 3 * 2)


def test_each_density_of_the_path_has_the_integral_one_and_the_last_has_two_peaks(ax):
    assert diagrams.lambda_path(ax) is ax
    peaks = []
    for line in ax.lines:
        x, density = line.get_data()
        assert np.trapezoid(density, x) == pytest.approx(1, abs=1e-3)
        peaks.append(np.sum(np.diff(np.sign(np.diff(density))) < 0))
    assert peaks[0] == 1
    assert peaks[-1] == 2


def test_draw_names_one_latent_variable_a_step(ax):
    assert diagrams.recurrent_autoencoder(ax, num_steps=3) is ax
    labels = [text.get_text() for text in ax.texts]
    assert [f"$z_{step}$" in labels for step in range(1, 5)] == [True, True, True, False]
    assert labels.count("encoder") == labels.count("decoder") == 3

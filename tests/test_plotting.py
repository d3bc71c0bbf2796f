import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from rbm_tf import diagrams, plotting


@pytest.fixture
def ax():
    return Figure().subplots()


def test_image_grid_holds_every_image_in_reading_order(ax):
    images = np.arange(5)[:, None, None] + np.zeros((5, 3, 2))
    assert plotting.image_grid(ax, images, columns=3) is ax
    canvas = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert canvas.shape == (2 * 4 + 1, 3 * 3 + 1)
    assert canvas[1, 1] == 0
    assert canvas[2, 8] == 2
    assert canvas[6, 5] == 4
    assert np.isnan(canvas[6, 8])  # no sixth image


def test_estimates_are_drawn_relative_to_the_exact_value(ax):
    plotting.estimates(ax, ["AIS", "TAP"], [44.5, 45.5], [0.1, None], exact=45.0)
    points = ax.lines[1].get_xydata()
    np.testing.assert_allclose(points, [[-0.5, 1], [0.5, 0]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["AIS", "TAP"]
    assert "nats" in ax.get_xlabel()


def test_histogram_has_the_gaussian_of_equal_mean_and_variance(ax):
    samples = np.random.default_rng(0).normal(3, 2, 5000)
    plotting.histogram_with_gaussian(ax, samples)
    x, density = ax.lines[0].get_data()
    assert x[np.argmax(density)] == pytest.approx(samples.mean(), abs=0.05)
    assert density.max() == pytest.approx(1 / (samples.std() * np.sqrt(2 * np.pi)), rel=1e-3)


def test_curves_and_scatter_label_what_they_draw(ax):
    plotting.curves(ax, [0, 1], {"U": [0, 1], "S": [1, 2]}, "beta", "nats")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["U", "S"]
    other = Figure().subplots()
    plotting.scatter_by_label(other, np.zeros((4, 2)), [0, 0, 3, 3])
    assert [text.get_text() for text in other.get_legend().get_texts()] == ["0", "3"]


def test_save_images_writes_a_png(tmp_path):
    plotting.save_images(tmp_path / "images.png", np.zeros((4, 3, 3)), "title")
    assert (tmp_path / "images.png").read_bytes().startswith(b"\x89PNG")


def contrast(colour, page):
    """The ratio of luminances that the Web Content Accessibility Guidelines define, 1 to 21."""
    levels = np.array([to_rgb(colour), to_rgb(page)])
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    light, dark = np.sort(linear @ [0.2126, 0.7152, 0.0722])[::-1]
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("styles", (["rbm_tf.course"], ["rbm_tf.course", "rbm_tf.dark"]))
def test_words_and_lines_stand_out_from_a_light_and_from_a_dark_page(styles):
    with plt.style.context(styles):
        figure = plt.figure(figsize=(9, 6))
        axes = figure.subplots(2, 3).ravel()
        plotting.estimates(axes[0], ["AIS", "TAP"], [44.5, 45.5], [0.1, None], exact=45.0)
        diagrams.autoencoder(axes[1])
        diagrams.recurrent_autoencoder(axes[2])
        diagrams.boltzmann_machine(axes[3])
        axes[4].plot([0, 1], [0, 1], label="a line")
        axes[4].set(title="title", xlabel="x", ylabel="y")
        axes[4].legend()
        figure.canvas.draw()
        page = axes[0].get_facecolor()
        words = [text for text in figure.findobj(Text) if text.get_text()]
        lines = [line for ax in axes for line in ax.get_lines()]
        assert len(words) > 30 and len(lines) > 3
        assert figure.get_facecolor() == page
        for part in words + lines:
            behind = part.get_bbox_patch() if isinstance(part, Text) else None
            surface = behind.get_facecolor() if behind else page
            assert contrast(part.get_color(), surface) > 3, part
        plt.close(figure)

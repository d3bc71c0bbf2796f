import base64
import io

import matplotlib.image
import numpy as np
import pytest

from rbm_tf.explorable import Explorable

x = np.linspace(-3, 3, 61)
widths = np.array([0.5, 1.0, 2.0])
bells = np.exp(-0.5 * (x / widths[:, np.newaxis]) ** 2)  # (3, 61)
options = {"name": "width", "values": widths, "alt": "A bell"}


def test_the_browser_gets_each_curve_of_each_frame():
    picture = Explorable(x, {"bell": bells, "half": bells / 2}, **options)
    frames = np.array(picture.frames)
    assert frames.shape == (3, 2, 61)
    np.testing.assert_allclose(frames[:, 0], bells, rtol=1e-3)
    np.testing.assert_allclose(frames[:, 1], bells / 2, rtol=1e-3)
    assert picture.labels == ["0.5", "1", "2"] and picture.curves == ["bell", "half"]
    assert np.allclose(picture.ylim, [bells.min() / 2, 1], rtol=1e-3)


def test_where_no_widget_is_drawn_there_is_a_picture_with_its_description():
    picture = Explorable(x, {"bell": bells}, index=1, bars=True, **options)
    data, metadata = picture._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/plain"] == metadata["image/png"]["alt"] == "A bell"
    pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(data["image/png"])))
    assert pixels.ndim == 3 and pixels.std() > 0.1  # not blank


def test_the_picture_shows_the_frame_of_the_slider():
    picture = Explorable(x, {"bell": bells}, **options)
    for index, width in enumerate(("0.5", "1", "2")):
        picture.index = index
        axis = picture.figure().axes[0]
        assert axis.get_title() == f"width = {width}"
        np.testing.assert_allclose(axis.lines[0].get_ydata(), bells[index], rtol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"curves": {"bell": bells[:2]}}, r"shape \(values, x\) = \(3, 61\)"),
        ({"curves": {"bell": bells[:, :60]}}, r"shape \(values, x\) = \(3, 61\)"),
        ({"x": x[::-1]}, "increase"),
        ({"index": 3}, "from 0 to 2"),
        (
            {
                "x": np.arange(9000),
                "curves": {"many": np.zeros((3, 9000))},
            },
            "27,000 numbers",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(change, message):
    arguments = {"x": x, "curves": {"bell": bells}, **options, **change}
    with pytest.raises(ValueError, match=message):
        Explorable(**arguments)

"""A picture with a slider: it moves in JupyterLab, and in the book, where no kernel runs."""

from __future__ import annotations

import base64
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import anywidget
import numpy as np
import traitlets
from matplotlib.figure import Figure

from rbm_tf.shared.types import ArrayLike

DIGITS = 4  # significant ones of what is drawn
MAX_NUMBERS = 20_000  # of a notebook that stays small


class Explorable(anywidget.AnyWidget):
    """Curves over x, one set of them for each position of a slider.

    The numbers are computed once, in Python, and travel with the notebook: the slider needs no
    running kernel. Where nothing runs, as on GitHub, a picture of one frame is shown.

    Args:
        x: where the curves are drawn, (num_x,), increasing.
        curves: for each curve its name and its values, (num_frames, num_x). Values beyond `ylim`
            are drawn at the edge.
        name: the name of what the slider changes.
        values: its values, (num_frames,), numbers or texts.
        xlabel: what x is, with its unit.
        ylabel: what the curves are, with their unit.
        alt: what is to be seen, for those who cannot see it.
        ylim: the lowest and the highest value that the picture shows; the curves' own by default.
        bars: whether the first curve is drawn as bars.
        index: the frame that is shown first.

    Raises:
        ValueError: for curves whose shape does not fit x and the values, for x that does not
            increase, for more than 20,000 numbers, and for a frame that there is not.

    Example:
        >>> x = np.linspace(-3, 3, 61)
        >>> widths = np.linspace(0.5, 2, 16)
        >>> bells = np.exp(-0.5 * (x / widths[:, np.newaxis]) ** 2)
        >>> picture = Explorable(x, {"bell": bells}, name="width", values=widths, alt="A bell")
    """

    _esm = pathlib.Path(__file__).with_suffix(".js")
    x: Any = traitlets.List().tag(sync=True)
    frames: Any = traitlets.List().tag(sync=True)
    curves: Any = traitlets.List().tag(sync=True)
    labels: Any = traitlets.List().tag(sync=True)
    ylim: Any = traitlets.List().tag(sync=True)
    index = traitlets.Int(0).tag(sync=True)
    bars = traitlets.Bool(False).tag(sync=True)
    name = traitlets.Unicode("").tag(sync=True)
    xlabel = traitlets.Unicode("").tag(sync=True)
    ylabel = traitlets.Unicode("").tag(sync=True)
    alt = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        x: ArrayLike,
        curves: Mapping[str, ArrayLike],
        *,
        name: str,
        values: Sequence[Any] | np.ndarray,
        alt: str,
        xlabel: str = "",
        ylabel: str = "",
        ylim: tuple[float, float] | None = None,
        bars: bool = False,
        index: int = 0,
    ) -> None:
        x = np.asarray(x, float)
        frames = np.stack([np.asarray(curve, float) for curve in curves.values()], axis=1)
        if frames.shape != (len(values), len(curves), len(x)):
            raise ValueError(
                f"each curve needs the shape (values, x) = {(len(values), len(x))}, "
                f"not {frames.shape[::2]}"
            )
        if np.any(np.diff(x) <= 0):
            raise ValueError("x has to increase from each value to the next")
        if frames.size > MAX_NUMBERS:
            raise ValueError(
                f"{frames.size:,} numbers make the notebook large: give fewer values or fewer x, "
                f"{MAX_NUMBERS:,} in all at most"
            )
        if index not in range(len(frames)):
            raise ValueError(f"index must be from 0 to {len(frames) - 1}; got {index!r}")
        super().__init__(
            x=_rounded(x),
            frames=_rounded(frames),
            curves=list(curves),
            labels=[one if isinstance(one, str) else f"{one:.3g}" for one in values],
            ylim=_rounded(np.asarray(ylim or (frames.min(), frames.max()))),
            index=index,
            bars=bars,
            name=name,
            xlabel=xlabel,
            ylabel=ylabel,
            alt=alt,
        )

    def figure(self) -> Figure:
        """The frame that is shown, drawn by matplotlib."""
        figure = Figure(figsize=(6.4, 3.4))
        axis = figure.subplots()
        for number, (curve, values) in enumerate(
            zip(self.curves, self.frames[self.index], strict=True)
        ):
            if self.bars and number == 0:
                axis.bar(self.x, values, width=self.x[1] - self.x[0], label=curve)
            else:
                axis.plot(self.x, values, label=curve)
        axis.set(xlabel=self.xlabel, ylabel=self.ylabel, ylim=self.ylim)
        axis.set_title(f"{self.name} = {self.labels[self.index]}")
        if len(self.curves) > 1:
            axis.legend()
        return figure

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, and a picture of it for where no widget is drawn."""
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        buffer = io.BytesIO()
        self.figure().savefig(buffer, format="png", dpi=80)
        data["image/png"] = base64.b64encode(buffer.getvalue()).decode()
        data["text/plain"] = self.alt
        return data, {**metadata, "image/png": {"alt": self.alt}}


def _rounded(values):
    """The values as lists of a few significant digits."""
    return np.vectorize(lambda value: float(f"{value:.{DIGITS}g}"), otypes=[float])(values).tolist()

"""Pictures: functions draw into the Axes they are given and return them; two save files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rbm_tf.shared.files import written_whole
from rbm_tf.shared.types import ArrayLike, PathLike


def image_grid(ax: Axes, images: ArrayLike, *, columns: int = 10) -> Axes:
    """Draw images side by side, dark ink on white.

    Args:
        ax: matplotlib Axes to draw into.
        images: the images, (num, height, width), all scaled alike from the least to the greatest
            value.
        columns: the number of images in a row.

    Returns:
        ax.

    Example:
        >>> ax = image_grid(plt.gca(), np.random.rand(20, 8, 8))
    """
    images = np.asarray(images, float)
    num, height, width = images.shape
    rows = -(-num // columns)
    canvas = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1), np.nan)
    for index, image in enumerate(images):
        top, left = index // columns * (height + 1) + 1, index % columns * (width + 1) + 1
        canvas[top : top + height, left : left + width] = image
    greys = colormaps["Greys"].with_extremes(bad="lightsteelblue")  # the gaps
    ax.imshow(canvas, cmap=greys, interpolation="nearest")
    ax.set_axis_off()
    return ax


def estimates(
    ax: Axes,
    names: Sequence[str],
    values: ArrayLike,
    standard_errors: Sequence[float | None],
    exact: float,
) -> Axes:
    """Draw estimates as points with error bars of 2 standard errors, below each other.

    Args:
        ax: matplotlib Axes to draw into.
        names: the names of the methods, the first at the top.
        values: the estimates, (num,), nats.
        standard_errors: their standard errors, (num,), nats; None or NaN where there is none.
        exact: the true value, nats; drawn as a line at 0.

    Returns:
        ax.

    Example:
        >>> ax = estimates(plt.gca(), ["AIS", "TAP"], [44.7, 43.6], [0.01, None], exact=44.8)
    """
    errors = np.asarray(values, float) - exact
    bars = 2 * np.nan_to_num(np.array(standard_errors, float))
    rows = np.arange(len(names))[::-1]
    ax.axvline(0, color=rcParams["text.color"], linewidth=1)
    ax.hlines(rows, 0, errors, color="lightsteelblue", linewidth=3)
    ax.errorbar(errors, rows, xerr=bars, fmt="o", color="tab:blue", ecolor="tab:orange", capsize=3)
    place: dict[str, Any] = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center"}
    box = {"fc": rcParams["axes.facecolor"], "ec": "none", "pad": 1}
    for row, error in zip(rows, errors, strict=True):
        ax.annotate(f"{error:+.3f}", (error, row), bbox=box, **place)
    ax.set_yticks(rows, names)
    ax.margins(x=0.12, y=0.08)
    ax.set_xlabel("estimate minus exact value (nats)")
    return ax


def curves(
    ax: Axes, x: ArrayLike, series: Mapping[str, ArrayLike], xlabel: str, ylabel: str
) -> Axes:
    """Draw several curves with a legend.

    Args:
        ax: matplotlib Axes to draw into.
        x: the points of the horizontal axis, (num,).
        series: for each label the values of its curve, (num,).
        xlabel: the name of the horizontal axis, with its unit.
        ylabel: the name of the vertical axis, with its unit.

    Returns:
        ax.

    Example:
        >>> ax = curves(plt.gca(), [0, 1], {"U": [0, -1]}, "inverse temperature", "energy (nats)")
    """
    for label, values in series.items():
        ax.plot(x, values, label=label)
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.legend(frameon=False)
    return ax


def scatter_by_label(ax: Axes, points: ArrayLike, labels: ArrayLike) -> Axes:
    """Draw points of the plane in the colour of their label.

    Args:
        ax: matplotlib Axes to draw into.
        points: coordinates, (num, 2).
        labels: integers from 0 to 9, (num,).

    Returns:
        ax.

    Example:
        >>> ax = scatter_by_label(plt.gca(), np.random.randn(50, 2), np.arange(50) % 10)
    """
    points, labels = np.asarray(points), np.asarray(labels)
    for label in np.unique(labels):
        chosen = points[labels == label]
        ax.scatter(chosen[:, 0], chosen[:, 1], s=12, color=f"C{label}", label=str(label))
    ax.legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    ax.set_aspect("equal")
    return ax


def histogram_with_gaussian(ax: Axes, samples: ArrayLike) -> Axes:
    """Draw a histogram with the Gaussian of the same mean and variance.

    Args:
        ax: matplotlib Axes to draw into.
        samples: numbers such as the log-weights of one image, (num,), nats.

    Returns:
        ax.

    Example:
        >>> ax = histogram_with_gaussian(plt.gca(), np.random.randn(1000))
    """
    samples = np.asarray(samples, float)
    mean, deviation = samples.mean(), samples.std()
    ax.hist(samples, bins=80, density=True, color="lightsteelblue")
    x = np.linspace(samples.min(), samples.max() + deviation, 300)
    density = np.exp(-(((x - mean) / deviation) ** 2) / 2) / (deviation * np.sqrt(2 * np.pi))
    ax.plot(x, density, color="tab:orange", label="Gaussian of equal mean and variance")
    ax.set_ylim(top=1.25 * ax.get_ylim()[1])  # room for the legend
    ax.legend(frameon=False)
    return ax


def save_images(path: PathLike, images: np.ndarray, title: str, *, columns: int = 10) -> None:
    """Write a PNG of a grid of images.

    Args:
        path: where the file is to stand.
        images: the images, (num, height, width).
        title: the line above the grid.
        columns: the number of images in a row.

    Example:
        >>> save_images("images.png", np.zeros((20, 8, 8)), "Nothing")
    """
    rows = -(-len(images) // columns)
    figure = Figure((0.6 * columns, 0.6 * rows + 0.4), layout="constrained")
    image_grid(figure.subplots(), images, columns=columns).set_title(title, fontsize=10)
    save_figure(figure, path)


def save_figure(figure: Figure, path: PathLike) -> None:
    """Write a picture whole or not at all, 150 dots an inch.

    Args:
        figure: matplotlib Figure to write.
        path: where the file is to stand; its ending decides the format.

    Example:
        >>> save_figure(Figure(), "empty.png")
    """
    with written_whole(path) as partial:
        figure.savefig(partial, dpi=150)

"""Drawings of the models of the course: units as circles, what depends on what as lines.

Each function draws into the Axes it is given and returns them.
"""

from __future__ import annotations

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes

from rbm_tf.shared.types import ArrayLike

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "0.5"


def boltzmann_machine(ax: Axes, num_visible: int = 6, num_hidden: int = 4) -> Axes:
    """Draw a restricted Boltzmann machine: two layers, and a weight between any two of their units.

    Args:
        ax: matplotlib Axes to draw into.
        num_visible: the number of circles below, v.
        num_hidden: the number of circles above, h.

    Returns:
        ax.

    Example:
        >>> ax = boltzmann_machine(plt.gca(), num_visible=6, num_hidden=4)
    """
    below, above = _row(num_visible, 0), _row(num_hidden, 1)
    _all_to_all(ax, below, above)
    _units(ax, below, BLUE, "$v$")
    _units(ax, above, ORANGE, "$h$")
    ax.text(0.25 * (num_visible + num_hidden), 0.5, "$W$", fontsize=13, va="center")
    return _framed(ax)


def autoencoder(ax: Axes, num_pixels: int = 6, num_latents: int = 2) -> Axes:
    """Draw a variational autoencoder: x through q(z | x) to a draw of z, and by p(x | z) back.

    Args:
        ax: matplotlib Axes to draw into.
        num_pixels: the number of circles at either end, x.
        num_latents: the number of circles in the middle, z.

    Returns:
        ax.

    Example:
        >>> ax = autoencoder(plt.gca())
    """
    layers = [_column(num_pixels, 0), _column(num_latents, 3), _column(num_pixels, 6)]
    middle = [_column(num_pixels - 2, 1.5), _column(num_pixels - 2, 4.5)]
    for left, right in zip(
        [layers[0], middle[0], layers[1], middle[1]],
        [middle[0], layers[1], middle[1], layers[2]],
        strict=True,
    ):
        _all_to_all(ax, left, right)
    for units in middle:
        _units(ax, units, GREY, size=40)
    for units, colour in zip(layers, (BLUE, ORANGE, BLUE), strict=True):
        _units(ax, units, colour)
    top = 0.5 * num_pixels + 0.3
    labels = {
        0: "$x$",
        1.5: r"encoder $q(z\,|\,x)$",
        3: "$z$",
        4.5: r"decoder $p(x\,|\,z)$",
        6: "$x$",
    }
    for place, label in labels.items():
        ax.text(place, top, label, ha="center", va="bottom", fontsize=12)
    ax.annotate(
        r"$z = \mu + \sigma\,\epsilon$", (3, layers[1][0, 1] - 0.3), (3, -0.5 * num_pixels - 0.4),
        ha="center", fontsize=12, arrowprops={"arrowstyle": "->", "color": GREY},
    )  # fmt: skip
    return _framed(ax)


def lambda_path(ax: Axes) -> Axes:
    """Draw the way from a trial q to the model p: energies H_q + lambda V, and their densities.

    The densities are those of one variable: q is a Gaussian, and exp(-H_q - V) has two peaks.

    Args:
        ax: matplotlib Axes to draw into.

    Returns:
        ax.

    Example:
        >>> ax = lambda_path(plt.gca())
    """
    x = np.linspace(-3.2, 3.2, 401)
    trial = 0.5 * x**2
    perturbation = 0.5 * (x**2 - 2.25) ** 2 - 0.3 * x - trial
    steps = np.linspace(0, 1, 6)
    for index, step in enumerate(steps):
        density = np.exp(-trial - step * perturbation)
        height = density / density.sum() / (x[1] - x[0])
        colour = (1 - step) * np.array([0, 0.447, 0.698]) + step * np.array([0.835, 0.369, 0])
        ax.fill_between(x + 7 * index, 0, height, color=colour, alpha=0.35, linewidth=0)
        ax.plot(x + 7 * index, height, color=colour)
        ax.text(7 * index, -0.06, rf"$\lambda = {step:.1f}$", ha="center", va="top", fontsize=11)
    ax.text(0, 0.5, "$q$", ha="center", fontsize=13, color=BLUE)
    ax.text(35, 0.75, "$p$", ha="center", fontsize=13, color=ORANGE)
    ax.set(xlim=(-4, 39), ylim=(-0.2, None))
    ax.set_axis_off()
    return ax


def recurrent_autoencoder(ax: Axes, num_steps: int = 4) -> Axes:
    """Draw DRAW: step by step an encoder sees what the canvas lacks, and a decoder adds to it.

    Args:
        ax: matplotlib Axes to draw into.
        num_steps: the number of steps, each with a draw of its own.

    Returns:
        ax.

    Example:
        >>> ax = recurrent_autoencoder(plt.gca(), num_steps=4)

    Reference: Gregor, Danihelka, Graves, Rezende, Wierstra (2015), DRAW: a recurrent neural network
    for image generation, figure 2.
    """
    heights = {"$x$": 0, "encoder": 1, "$z_t$": 2, "decoder": 3, "canvas": 4}
    box = {"boxstyle": "round", "facecolor": rcParams["axes.facecolor"], "edgecolor": GREY}
    for step in range(num_steps):
        for name, height in heights.items():
            label = f"$z_{step + 1}$" if name == "$z_t$" else name
            edge = {
                **box,
                "edgecolor": {"$z_t$": ORANGE, "$x$": BLUE, "canvas": BLUE}.get(name, GREY),
            }
            ax.text(2 * step, height, label, ha="center", va="center", fontsize=11, bbox=edge)
            if height:
                _arrow(ax, (2 * step, height - 0.7), (2 * step, height - 0.3))
        if step:
            for height in (1, 3, 4):  # what a step passes on to the next one
                _arrow(ax, (2 * step - 1.55, height), (2 * step - 0.45, height))
            _arrow(ax, (2 * step - 1.6, 3.7), (2 * step - 0.4, 1.35))  # what is still to be drawn
    ax.set(xlim=(-1.2, 2 * num_steps - 0.8), ylim=(-0.5, 4.5))
    ax.set_axis_off()
    return ax


def _row(num: int, height: float) -> np.ndarray:
    """Places side by side, centred, (num, 2)."""
    return np.stack([np.arange(num) - (num - 1) / 2, np.full(num, height)], axis=1)


def _column(num: int, left: float) -> np.ndarray:
    """Places one above the other, centred, (num, 2)."""
    return np.stack([np.full(num, left), (np.arange(num) - (num - 1) / 2)], axis=1)


def _units(ax: Axes, places: ArrayLike, colour: str, label: str = "", size: int = 150) -> None:
    places = np.asarray(places)
    edge = rcParams["axes.facecolor"]
    ax.scatter(places[:, 0], places[:, 1], s=size, color=colour, edgecolor=edge, zorder=3)
    if label:
        ax.text(places[0, 0] - 0.6, places[0, 1], label, fontsize=13, ha="right", va="center")


def _all_to_all(ax: Axes, some: np.ndarray, others: np.ndarray) -> None:
    for start in some:
        for end in others:
            ax.plot(*zip(start, end, strict=True), color=GREY, linewidth=0.7, alpha=0.6, zorder=1)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": GREY})


def _framed(ax: Axes) -> Axes:
    ax.margins(0.12)
    ax.set_axis_off()
    return ax

"""What chapters of the course share: the check, labels, and the trained models that they load."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rbm_tf.shared.files import written_whole


def check(left: ArrayLike, right: ArrayLike, tolerance: float = 1e-10) -> None:
    """Raise unless both are equal to the tolerance, relative above 1, absolute below.

    Args:
        left: numbers, of any shape.
        right: numbers; the smaller of the two is repeated.
        tolerance: as said.

    Raises:
        AssertionError: with the numbers that differ, and by how much.

    Example:
        >>> check([1.0, 1.0 + 1e-12], 1)
    """
    first, second = np.broadcast_arrays(left, right)
    np.testing.assert_allclose(first, second, rtol=tolerance, atol=tolerance)


def mean_and_error(values: ArrayLike) -> tuple[Any, Any]:
    """The mean over the first axis, and its standard error.

    Args:
        values: independent samples, (num_samples, ..), 2 or more.

    Returns:
        Two arrays of the shape of one sample.

    Example:
        >>> [float(x) for x in mean_and_error([1.0, 3.0])]
        [2.0, 1.0]
    """
    values = np.asarray(values)
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


def within(samples: ArrayLike, exact: ArrayLike) -> bool:
    """Whether the means of independent samples are within five standard errors of exact values.

    Args:
        samples: (num_samples, ..), 2 or more.
        exact: of the shape of one sample.

    Example:
        >>> within([1.0, 3.0], 2.5), within([1.9, 2.1], 2.6)
        (True, False)
    """
    mean, error = mean_and_error(samples)
    return bool(np.all(np.abs(mean - exact) < 5 * error))


def set_parameters(rbm: Any, kernel: ArrayLike, visible: ArrayLike, hidden: ArrayLike) -> Any:
    """Give an RBM that is there its kernel and its biases; see `BernoulliRBM.from_parameters`.

    Args:
        rbm: the model.
        kernel: (num_visible, num_hidden), nats.
        visible: visible biases, (num_visible,), nats.
        hidden: hidden biases, (num_hidden,), nats.

    Returns:
        The same model.

    Example:
        >>> rbm = set_parameters(BernoulliRBM(3, 2), np.ones((3, 2)), np.zeros(3), np.zeros(2))
        >>> float(rbm.kernel[0, 0])
        1.0
    """
    for parameter, value in zip(rbm.trainable_variables, (kernel, visible, hidden), strict=True):
        parameter.assign(value)
    return rbm


def label(axis: Any, title: str, xlabel: str, ylabel: str) -> None:
    """Give a picture its title and the names of its axes.

    Args:
        axis: of matplotlib.
        title: above it.
        xlabel: with the unit.
        ylabel: with the unit.

    Example:
        >>> label(plt.figure().gca(), "A bound", "epoch", "ELBO (nats)")
    """
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)


def shipped(
    name: str, make: Callable[[], dict[str, Any]], *, retrain: bool = False
) -> dict[str, np.ndarray]:
    """Arrays that come with a chapter in `models/NAME.npz`, or are made here.

    They are made where there is no such file, and on demand, which also writes the file anew.

    Args:
        name: of the file, without folder and ending.
        make: called without arguments; returns the arrays by their names.
        retrain: whether to make them although they are there.

    Returns:
        The arrays by their names.

    Raises:
        OSError: if the file cannot be written; before that they are made.

    Example:
        >>> squares = lambda: {"squares": np.arange(4) ** 2}
        >>> pathlib.Path("models").mkdir(exist_ok=True)
        >>> shipped("squares", squares, retrain=True)["squares"]
        array([0, 1, 4, 9])
        >>> shipped("squares", make=None)["squares"]  # now it is there
        array([0, 1, 4, 9])
    """
    file = pathlib.Path("models", f"{name}.npz")
    if file.exists() and not retrain:
        with np.load(file) as arrays:
            return dict(arrays)
    made: dict[str, Any] = {key: np.asarray(value) for key, value in make().items()}
    if retrain:
        with written_whole(file) as partial:
            np.savez_compressed(partial, **made)
    return made


def trained(
    model: Any, name: str, train: Callable[[], ArrayLike | None], *, retrain: bool = False
) -> np.ndarray:
    """Give a model the weights that come with a chapter, or train it here; see `shipped`.

    Args:
        model: with `get_weights` and `set_weights`, as Keras has them.
        name: of the file in `models`, without ending.
        train: called without arguments; trains the model and returns what is to be kept of the
            way there, such as the loss of each epoch, or None.
        retrain: whether to train it although the weights are there.

    Returns:
        What train returned, also where the weights were loaded; None is an empty array.

    Raises:
        ValueError: if the weights that are there are those of another model.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> model.compile("sgd", "mse")
        >>> x, y = np.eye(3), np.eye(3)[:, :2]
        >>> fit = lambda: model.fit(x, y, epochs=4, verbose=0).history["loss"]
        >>> trained(model, "example", fit).shape
        (4,)
    """

    def make():
        history = train()
        weights = {f"weight_{i}": weight for i, weight in enumerate(model.get_weights())}
        return {"history": [] if history is None else history, **weights}

    arrays = shipped(name, make, retrain=retrain)
    history = arrays.pop("history")
    shapes = [weight.shape for weight in arrays.values()]
    expected = [weight.shape for weight in model.get_weights()]
    if shapes != expected:
        raise ValueError(
            f"models/{name}.npz holds weights of the shapes {shapes}, and the model needs "
            f"{expected}: set retrain = True to train it here."
        )
    model.set_weights(list(arrays.values()))
    return history

"""What data sets share: binary pixels from grey levels, and a fifth that is held out for tests."""

from __future__ import annotations

import numpy as np

from rbm_tf.shared.arrays import as_array
from rbm_tf.shared.types import ArrayLike, DataSet

BINARIZATIONS = ("none", "threshold", "bernoulli")


def binarize(
    images: ArrayLike,
    *,
    binarization: str = "bernoulli",
    seed: int | np.random.SeedSequence | None = None,
) -> np.ndarray:
    """Turn grey levels into binary pixels.

    Args:
        images: grey levels in [0, 1], any shape.
        binarization: "none" leaves the grey levels; "threshold" is 1 above 1/2; "bernoulli" draws
            each pixel with its grey level as the probability of a 1. Likelihoods compare only
            under the same choice.
        seed: integer that fixes the draw; the same seed gives the same pixels.

    Returns:
        Array of the shape of images, float32.

    Raises:
        ValueError: for another name, or grey levels outside [0, 1].

    Example:
        >>> binarize(np.array([0.2, 0.8]), binarization="threshold")
        array([0., 1.], dtype=float32)
    """
    images = as_array(images, "float32", "images")
    if binarization not in BINARIZATIONS:
        raise ValueError(
            f"binarization must be one of {', '.join(BINARIZATIONS)}; got {binarization!r}."
        )
    if not (np.all(images >= 0) and np.all(images <= 1)):
        raise ValueError("Grey levels must lie in [0, 1], without NaN: divide 8-bit images by 255.")
    if binarization == "threshold":
        return (images > 0.5).astype(np.float32)
    if binarization == "bernoulli":
        uniform = np.random.default_rng(seed).random(images.shape, np.float32)
        return (uniform < images).astype(np.float32)
    return images


def binarize_both(data: DataSet, *, binarization: str, seed: int | None = None) -> DataSet:
    """Turn the grey levels of a training and of a test set into binary pixels, drawn apart.

    Args:
        data: (x_train, y_train), (x_test, y_test) with grey levels in [0, 1].
        binarization: what becomes of them, as `binarize` takes it.
        seed: integer that fixes the drawn pixels.

    Returns:
        (x_train, y_train), (x_test, y_test), images float32.

    Raises:
        ValueError: as `binarize`.

    Example:
        >>> data = (np.array([0.2]), np.array([0])), (np.array([0.7]), np.array([1]))
        >>> binarize_both(data, binarization="threshold")[1]
        (array([1.], dtype=float32), array([1]))
    """
    (x_train, y_train), (x_test, y_test) = data
    seeds = (None, None) if seed is None else np.random.SeedSequence(seed).spawn(2)
    x_train = binarize(x_train, binarization=binarization, seed=seeds[0])
    x_test = binarize(x_test, binarization=binarization, seed=seeds[1])
    return (x_train, y_train), (x_test, y_test)


def stratified_split(x: np.ndarray, labels: np.ndarray) -> DataSet:
    """Hold out a fifth of each class as the test set; the split is always the same.

    Args:
        x: array (num, ..).
        labels: integers (num,).

    Returns:
        (x_train, y_train), (x_test, y_test), each in random order.

    Example:
        >>> train, (x_test, y_test) = stratified_split(np.arange(10), np.arange(10) % 2)
        >>> x_test, y_test
        (array([8, 7]), array([0, 1]))
    """
    from sklearn.model_selection import train_test_split

    x_train, x_test, y_train, y_test = train_test_split(
        x, labels, test_size=0.2, random_state=0, stratify=labels
    )
    return (x_train, y_train), (x_test, y_test)

"""The arrays that `fit` takes: checks, and the examples held back for validation."""

import numpy as np
from keras import tree


def checked_data(data, num_visible):
    """The data as an array, refused unless it is (num, num_visible) in [0, 1].

    Raises:
        ValueError: for another width, values outside [0, 1] or NaN.

    Example:
        >>> checked_data([[0.0, 1.0]], num_visible=2).shape
        (1, 2)
    """
    data = np.asarray(data)
    if data.ndim != 2 or data.shape[1] != num_visible:
        raise ValueError(
            f"Data must have shape (num, {num_visible}); got {data.shape}. Flatten images with "
            "x.reshape(len(x), -1)."
        )
    return in_unit_interval(data, "Data")


def in_unit_interval(data, name):
    """The array as it is, refused if it leaves [0, 1].

    Raises:
        ValueError: for values outside [0, 1] or NaN.

    Example:
        >>> in_unit_interval(np.eye(2), "x").shape
        (2, 2)
    """
    if data.size and not (data.min() >= 0 and data.max() <= 1):  # false for NaN
        raise ValueError(
            f"{name} must lie in [0, 1], without NaN: divide 8-bit images by 255, and binarise "
            "with rbm_tf.datasets.binarize."
        )
    return data


def checked_length(arrays, batch_size):
    """The common length of nested arrays that are to be cut into batches; None counts as absent.

    Raises:
        ValueError: if batch_size is below 1, there are no data, or the arrays differ in length.

    Example:
        >>> checked_length((np.eye(3), None, np.ones(3)), batch_size=2)
        3
    """
    lengths = [len(array) for array in tree.flatten(arrays) if array is not None]
    if batch_size < 1 or min(lengths) < 1 or len(set(lengths)) > 1:
        raise ValueError(
            "Training takes batches of 1 or more from arrays of one length, without missing "
            f"weights; got batch_size={batch_size} and arrays of lengths {lengths}."
        )
    return lengths[0]


def split_off_validation(x, options):
    """Hold back the last examples, as `validation_split` of `keras.Model.fit` does.

    Args:
        x: array (num, ..) or a tuple of such arrays.
        options: keyword arguments of `fit`.

    Returns:
        The other examples, and the options with `validation_data` in place of the share.

    Raises:
        ValueError: if the share is not from 0 to below 1.

    Example:
        >>> x, options = split_off_validation(np.arange(10), {"validation_split": 0.2})
        >>> len(x), options["validation_data"][0]
        (8, array([8, 9]))
    """
    share, options = options.get("validation_split", 0.0), dict(options)
    options.pop("validation_split", None)
    if not share or options.get("validation_data") is not None:
        return x, options
    if not 0 < share < 1:
        raise ValueError(f"validation_split must be above 0 and below 1; got {share}.")
    first = int(len(tree.flatten(x)[0]) * (1 - share))
    weight = options.pop("sample_weight", None)
    held_back = tree.map_structure(lambda a: a[first:], x)
    options["validation_data"] = (
        (held_back,) if weight is None else (held_back, None, weight[first:])
    )
    if weight is not None:
        options["sample_weight"] = weight[:first]
    return tree.map_structure(lambda a: a[:first], x), options

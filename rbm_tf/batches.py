"""Training data: checks, validation split, and mini-batches that seed and epoch alone decide."""

import numpy as np
import tensorflow as tf


def shuffled_batches(x, sample_weight, batch_size, seed, epoch):
    """Batches of arrays in an order that is a function of seed and epoch.

    The arrays stay in memory as tensors; each pass gathers its batches by a keyed permutation.

    Args:
        x: data, (num, ..).
        sample_weight: (num,) or None.
        batch_size: the last batch may be smaller.
        seed: integer.
        epoch: integer `tf.Variable`, read anew in every pass.

    Returns:
        `tf.data.Dataset` of x, or of (x, None, sample_weight), as `keras.Model.fit` takes them.

    Raises:
        ValueError: if there are fewer than one example in a batch, or weights do not fit.

    Example:
        >>> data = np.arange(4.0)
        >>> batches = shuffled_batches(data, None, 2, seed=0, epoch=tf.Variable(0))
        >>> sorted(float(value) for batch in batches for value in batch)
        [0.0, 1.0, 2.0, 3.0]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more; got {batch_size}.")
    if sample_weight is not None and len(sample_weight) != len(x):
        raise ValueError(
            f"sample_weight must hold one value for each of {len(x)} examples; got "
            f"{len(sample_weight)}."
        )
    num = len(x)
    arrays = [tf.convert_to_tensor(a) for a in (x, sample_weight) if a is not None]

    def gather(start):
        index = tf.range(start, tf.minimum(start + batch_size, num))
        key = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
        order = tf.random.experimental.index_shuffle(index, key, num - 1)
        batch = [tf.gather(a, order) for a in arrays]
        return batch[0] if sample_weight is None else (batch[0], None, batch[1])

    return tf.data.Dataset.range(0, num, batch_size).map(gather, 2).prefetch(4)


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


def split_for_validation(x, options):
    """Hold back the last examples, as `validation_split` of `keras.Model.fit` does.

    Args:
        x: data, (num, ..).
        options: keyword arguments of `fit`.

    Returns:
        The other examples, and the options with `validation_data` in place of the share.

    Raises:
        ValueError: if the share is not from 0 to below 1.

    Example:
        >>> x, options = split_for_validation(np.arange(10), {"validation_split": 0.2})
        >>> len(x), options
        (8, {'validation_data': array([8, 9])})
    """
    share, options = options.get("validation_split", 0.0), dict(options)
    options.pop("validation_split", None)
    if not share:
        return x, options
    if not 0 < share < 1:
        raise ValueError(f"validation_split must be above 0 and below 1; got {share}.")
    first = int(len(x) * (1 - share))
    weight = options.pop("sample_weight", None)
    if weight is None:
        return x[:first], {**options, "validation_data": x[first:]}
    options["validation_data"] = (x[first:], None, weight[first:])
    return x[:first], {**options, "sample_weight": weight[:first]}

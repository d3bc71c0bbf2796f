"""Shuffled mini-batches that seed and epoch alone decide, so that training can resume."""

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

"""Mini-batches of arrays in memory, in an order that a key alone decides."""

import tensorflow as tf

from rbm_tf.arrays import checked_length


def shuffled_batches(x, sample_weight, batch_size, key):
    """Batches of arrays, in a new order in every pass that is a function of a key alone.

    A key made of what a checkpoint holds lets interrupted training resume with the batches that it
    would have had. The arrays stay in memory as tensors; each pass gathers its batches by a keyed
    permutation, which needs no memory.

    Args:
        x: array (num, ..) or a tuple of such arrays.
        sample_weight: (num,) or None.
        batch_size: the last batch may be smaller.
        key: function that returns an integer tensor (2,), called in a graph as every pass begins.

    Returns:
        `tf.data.Dataset` of (x,), or of (x, None, sample_weight), as `keras.Model.fit` takes them.

    Raises:
        ValueError: if batch_size is below 1, there are no data, or the arrays differ in length.

    Example:
        >>> batches = shuffled_batches(np.arange(4.0), None, 2, key=lambda: tf.constant([0, 0]))
        >>> sorted(float(value) for (batch,) in batches for value in batch)
        [0.0, 1.0, 2.0, 3.0]
    """
    data = (x,) if sample_weight is None else (x, None, sample_weight)
    num = checked_length(data, batch_size)
    data = tf.nest.map_structure(lambda a: None if a is None else tf.convert_to_tensor(a), data)

    def one_pass(key):
        def gather(start):
            index = tf.range(start, tf.minimum(start + batch_size, num))
            order = tf.random.experimental.index_shuffle(index, key, num - 1)
            return tf.nest.map_structure(lambda a: None if a is None else tf.gather(a, order), data)

        return tf.data.Dataset.range(0, num, batch_size).map(gather, 2)

    batches = tf.data.Dataset.range(1).map(lambda _: key()).flat_map(one_pass).prefetch(4)
    options = tf.data.Options()
    options.autotune.enabled = False  # an iterator waits for its tuner to wake up before it ends
    return batches.apply(
        tf.data.experimental.assert_cardinality(-(-num // batch_size))
    ).with_options(options)

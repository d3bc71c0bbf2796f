"""Mini-batches of arrays in memory, in an order that is given from outside."""

import tensorflow as tf

from rbm_tf.arrays import checked_length


def shuffled_batches(x, sample_weight, batch_size, order):
    """Batches of arrays, in an order that is a function of what a checkpoint holds.

    Interrupted training then resumes with the batches that it would have had. The arrays stay in
    memory as tensors, and each pass gathers its batches from them.

    Args:
        x: array (num, ..) or a tuple of such arrays.
        sample_weight: (num,) or None.
        batch_size: the last batch may be smaller.
        order: function from positions in the pass to rows of the arrays, both (batch,) int64,
            called in a graph for every batch. What it depends on must not change during a pass.

    Returns:
        `tf.data.Dataset` of (x,), or of (x, None, sample_weight), as `keras.Model.fit` takes them.

    Raises:
        ValueError: if batch_size is below 1, there are no data, or the arrays differ in length.

    Example:
        >>> batches = shuffled_batches(np.arange(4.0), None, 2, order=lambda index: 3 - index)
        >>> [batch.numpy().tolist() for (batch,) in batches]
        [[3.0, 2.0], [1.0, 0.0]]
    """
    data = (x,) if sample_weight is None else (x, None, sample_weight)
    num = checked_length(data, batch_size)
    data = _mapped(tf.convert_to_tensor, data)

    @tf.autograph.experimental.do_not_convert
    def gather(start, data):
        # Where every batch is full its size is part of the graph, which then has fewer operations.
        size = tf.minimum(num - start, batch_size) if num % batch_size else batch_size
        rows = order(start + tf.range(size, dtype=tf.int64))
        return _mapped(lambda a: tf.gather(a, rows), data)

    options = tf.data.Options()
    options.autotune.enabled = False  # an iterator waits for its tuner to wake up before it ends
    options.threading.private_threadpool_size = 1  # the others are for the steps of training
    starts = tf.data.Dataset.range(0, num, batch_size)
    # As elements, not captured by the function, the data are free as soon as the batches are.
    batches = tf.data.Dataset.zip((starts, tf.data.Dataset.from_tensors(data).repeat()))
    batches = batches.map(gather).prefetch(4)
    return batches.with_options(options)


def _mapped(function, data):
    return tf.nest.map_structure(lambda a: None if a is None else function(a), data)

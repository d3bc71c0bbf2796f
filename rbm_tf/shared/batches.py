"""Mini-batches of arrays in memory, in an order that is given from outside."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from rbm_tf.shared.types import ArrayLike


def gathered_batches(data: Any, batch_size: int, rows: tf.Variable | ArrayLike) -> tf.data.Dataset:
    """Batches of arrays, in an order that is a function of what a checkpoint holds.

    Interrupted training then resumes with the batches that it would have had. The arrays stay in
    memory as tensors, and each pass gathers its batches from them.

    Args:
        data: nested arrays (num, ..); None stays None.
        batch_size: the number of rows of a batch; the last one may have fewer.
        rows: integer `tf.Variable` or tensor, (num_rows,): the rows of an epoch, in order. It must
            not change during an epoch.

    Returns:
        `tf.data.Dataset` of data's structure.

    Example:
        >>> batches = gathered_batches((np.arange(4.0),), 2, rows=tf.constant([3, 2, 1, 0]))
        >>> [batch.numpy().tolist() for (batch,) in batches]
        [[3.0, 2.0], [1.0, 0.0]]
    """
    num = rows.shape[0]
    data = _mapped(tf.convert_to_tensor, data)

    @tf.autograph.experimental.do_not_convert
    def gather(start, data):
        # Where every batch is full its size is part of the graph, which then has fewer operations.
        size = tf.minimum(num - start, batch_size) if num % batch_size else batch_size
        index = tf.gather(rows, start + tf.range(size, dtype=tf.int64))
        return _mapped(lambda a: tf.gather(a, index), data)

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

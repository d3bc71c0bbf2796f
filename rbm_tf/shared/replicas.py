"""What the replicas of a `tf.distribute` strategy share out: chains, draws, means over a batch.

On one device every function returns what it is given, and a graph holds no operation of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

_OWN = 2**29  # sets the replicas' seeds apart from all others that are folded in


def _context():
    """The context of this replica, or None where it is the only one, or outside of all."""
    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None


def check_shares(num_chains: int) -> None:
    """Refuse chains that the replicas of the present strategy cannot share out evenly.

    Args:
        num_chains: the number of chains.

    Raises:
        ValueError: with the nearest numbers that they can.

    Example:
        >>> check_shares(100)
    """
    num_replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if num_chains % num_replicas:
        above = -(-num_chains // num_replicas) * num_replicas
        below = above - num_replicas
        near = f"{below} or {above}" if below else f"{above}"
        raise ValueError(
            f"{num_replicas} replicas cannot share out num_chains={num_chains} evenly: take {near}."
        )


def own_seed(seed: tf.Tensor) -> tf.Tensor:
    """A seed for the draws of this replica alone.

    Args:
        seed: (2,) int32 tensor.

    Example:
        >>> own_seed(tf.constant([3, 0])).numpy()
        array([3, 0], dtype=int32)
    """
    context = _context()
    if context is None:
        return seed
    return tf.random.fold_in(seed, _OWN + _number(context))


def own_share(x: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """The part that this replica takes of what all replicas hold.

    Args:
        x: a tensor that is the same on all replicas.
        axis: the axis of the chains, whose number the number of replicas divides.

    Example:
        >>> own_share(tf.range(4)).numpy()
        array([0, 1, 2, 3], dtype=int32)
    """
    context = _context()
    if context is None:
        return x
    num = context.num_replicas_in_sync
    along = _along(axis, x)
    size = tf.shape(x) // (1 + along * (num - 1))
    part = tf.slice(x, along * _number(context) * size, size)
    return tf.ensure_shape(part, _shape_with(x, axis, lambda n: n // num))


def of_all_shares(x: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """The parts of all replicas put together, the same on each: what undoes `own_share`.

    It is a sum of parts with zeros around them, which every kind of device adds up at once.

    Args:
        x: this replica's part.
        axis: the axis of the chains.

    Example:
        >>> of_all_shares(tf.range(4)).numpy()
        array([0, 1, 2, 3], dtype=int32)
    """
    context = _context()
    if context is None:
        return x
    num = context.num_replicas_in_sync
    size = _along(axis, x) * tf.shape(x)
    around = tf.stack([_number(context) * size, (num - 1 - _number(context)) * size], 1)
    whole = tf.ensure_shape(tf.pad(x, around), _shape_with(x, axis, lambda n: n * num))
    return context.all_reduce("SUM", whole)


def mean_over_all(x: tf.Tensor) -> tf.Tensor:
    """The mean along axis 0 over the rows of all replicas, of which some may have none.

    Args:
        x: (num, ..), where num may differ between replicas.

    Example:
        >>> float(mean_over_all(tf.constant([1.0, 3.0])))
        2.0
    """
    context = _context()
    if context is None:
        return tf.reduce_mean(x, 0)
    dtype = _wide(x.dtype)  # of both, so that they go together
    parts = tf.reduce_sum(tf.cast(x, dtype), 0), _num_rows(x, dtype)
    total, num = context.all_reduce("SUM", parts)
    return tf.cast(total / num, x.dtype)


def over_all(operation: str, x: Any) -> Any:
    """The sum or the average over replicas of one tensor, or of each in a structure.

    Args:
        operation: "SUM" or "MEAN".
        x: tensor or nested tensors, of the same shape on all replicas.

    Example:
        >>> float(over_all("SUM", tf.constant(2.0)))
        2.0
    """
    context = _context()
    return x if context is None else context.all_reduce(operation, x)


def in_proportion(mean: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """A mean over this replica's rows, with a gradient that counts by their number.

    Keras adds up the gradients of the replicas' means as if all had as many rows. With the factor
    num_replicas num / (the number of all rows) they become that of the mean over all rows, and the
    last batch of an epoch, whose shares may differ, counts as on one device.

    Args:
        mean: the mean over this replica's rows, scalar.
        rows: the rows, (num, ..).

    Example:
        >>> float(in_proportion(tf.constant(2.0), tf.zeros(3)))
        2.0
    """
    context = _context()
    if context is None:
        return mean
    own = _num_rows(rows, _wide(mean.dtype))
    factor = tf.cast(own / context.all_reduce("MEAN", own), mean.dtype)
    held = tf.stop_gradient(mean)
    return held + factor * (mean - held)


def _wide(dtype):
    """A type that sums over replicas and numbers of rows fit into."""
    return tf.float64 if dtype == tf.float64 else tf.float32


def _num_rows(x, dtype):
    return tf.cast(tf.shape(x)[0], dtype)


def shared_out(num_chains: int | None) -> tuple[Callable[..., Any], Callable[[Any], tf.Tensor]]:
    """How to walk chains on all replicas of the strategy in whose scope this is called.

    Args:
        num_chains: the number of chains, which the number of replicas divides; None shares nothing.

    Returns:
        A function that turns a function into one that every replica runs, each on its own values;
        and one that takes what is the same on all replicas. On one device, and in a replica, both
        return what they are given.

    Raises:
        ValueError: if the replicas cannot share out the chains evenly.

    Example:
        >>> each, same = shared_out(4)
        >>> same(each(of_all_shares)(each(own_share)(tf.range(4)))).numpy()
        array([0, 1, 2, 3], dtype=int32)
    """
    strategy = tf.distribute.get_strategy()
    several = strategy.num_replicas_in_sync > 1 and tf.distribute.in_cross_replica_context()
    if num_chains is None or not several:
        return lambda function: function, lambda x: x
    check_shares(num_chains)
    each = functools.partial(_on_each, strategy)
    return each, lambda x: strategy.experimental_local_results(x)[0]


@functools.lru_cache(maxsize=16)
def _on_each(strategy, function):
    return tf.function(lambda *args: strategy.run(function, args), reduce_retracing=True)


def _shape_with(x, axis, change):
    """The static shape of x with another number along an axis, if it is known."""
    shape = x.shape.as_list()
    shape[axis] = None if shape[axis] is None else change(shape[axis])
    return shape


def _along(axis, x):
    """1 at the axis, and 0 at the others."""
    return tf.one_hot(axis, x.shape.rank, dtype=tf.int32)


def _number(context):
    return tf.cast(context.replica_id_in_sync_group, tf.int32)

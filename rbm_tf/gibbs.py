"""Block Gibbs sampling of binary units, as pure functions of tensors and a seed."""

from typing import NamedTuple

import tensorflow as tf

UNROLLED = 10  # steps that a graph holds one by one, which is faster than a loop


class Parameters(NamedTuple):
    """The parameters of an RBM as tensors; the kernel in the dtype that products are made in."""

    kernel: tf.Tensor  # (num_visible, num_hidden)
    visible_bias: tf.Tensor  # (num_visible,)
    hidden_bias: tf.Tensor  # (num_hidden,)


def product(x, kernel, transpose=False):
    """The product x W, or x W^T, made in the kernel's dtype and returned in that of x."""
    return tf.cast(tf.matmul(tf.cast(x, kernel.dtype), kernel, transpose_b=transpose), x.dtype)


def sample_bernoulli(logits, seed):
    """Draw units {0, 1} from their logits, in the same dtype; seed is (2,) int32."""
    uniform = tf.random.stateless_uniform(tf.shape(logits), seed, dtype=logits.dtype)
    return tf.math.ceil(tf.sigmoid(logits) - uniform)  # 1 where uniform < p; faster than a cast


def gibbs_sweep(parameters, hidden, seed):
    """One sweep h -> v -> h' of block Gibbs sampling.

    Args:
        parameters: `Parameters`.
        hidden: binary hidden states, (num_chains, num_hidden).
        seed: (2,) int32.

    Returns:
        visible states (num_chains, num_visible), their inputs b + v W to the hidden units, and the
        new hidden states, both (num_chains, num_hidden).
    """
    kernel, visible_bias, hidden_bias = parameters
    seeds = tf.unstack(tf.random.split(seed))
    visible_input = visible_bias + product(hidden, kernel, transpose=True)
    visible = sample_bernoulli(visible_input, seeds[0])
    hidden_input = hidden_bias + product(visible, kernel)
    return visible, hidden_input, sample_bernoulli(hidden_input, seeds[1])


def repeated(step, state, num_steps):
    """Apply step num_steps times, in a graph whose size has a bound: long ones are a loop.

    Args:
        step: function of the step's number and the state's tensors, which returns new ones.
        state: tuple of tensors.
        num_steps: 0 or more.

    Returns:
        The last state.
    """
    if num_steps <= UNROLLED:
        for index in range(num_steps):
            state = step(index, *state)
        return state

    def counted(index, *state):
        return index + 1, *step(index, *state)

    start = tf.constant(0), *state
    return tf.while_loop(lambda index, *_: index < num_steps, counted, start)[1:]


@tf.function(reduce_retracing=True)
def gibbs_chain(parameters, hidden, num_steps, seed):
    """Run num_steps sweeps, a scalar int32 tensor of 1 or more; otherwise as `gibbs_sweep`."""

    def sweep(index, hidden):
        return gibbs_sweep(parameters, hidden, tf.random.fold_in(seed, index))

    def step(index, hidden):
        return index + 1, tf.ensure_shape(sweep(index, hidden)[2], hidden.shape)

    last = num_steps - 1
    start = tf.constant(0), hidden
    return sweep(last, tf.while_loop(lambda index, _: index < last, step, start)[1])

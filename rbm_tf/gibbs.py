"""Block Gibbs sampling of binary units, as pure functions of tensors and a seed."""

import tensorflow as tf

from rbm_tf.machine import hidden_input, visible_input

UNROLLED = 10  # steps that a graph holds one by one, which is faster than a loop


def sample_bernoulli(logits, seed):
    """Draw units {0, 1} from their logits, in the same dtype; seed is (2,) int32."""
    uniform = tf.random.stateless_uniform(tf.shape(logits), seed, dtype=logits.dtype)
    return tf.math.ceil(tf.sigmoid(logits) - uniform)  # 1 where uniform < p; faster than a cast


def gibbs_sweep(machine, hidden, seed):
    """One sweep h -> v -> h' of block Gibbs sampling.

    Args:
        machine: `Machine`.
        hidden: binary hidden states, (num_chains, num_hidden).
        seed: (2,) int32.

    Returns:
        visible states (num_chains, num_visible), their inputs b + v W to the hidden units, and the
        new hidden states, both (num_chains, num_hidden).
    """
    seeds = tf.unstack(tf.random.split(seed))
    visible = sample_bernoulli(visible_input(machine, hidden), seeds[0])
    inputs = hidden_input(machine, visible)
    return visible, inputs, sample_bernoulli(inputs, seeds[1])


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
def gibbs_chain(machine, hidden, first, last, seed):
    """Run the sweeps from first on, without last, two int32 scalars; otherwise as `gibbs_sweep`.

    A chain that is run in parts is the same as one that is run at once.
    """

    def sweep(index, hidden):
        return gibbs_sweep(machine, hidden, tf.random.fold_in(seed, index))

    def step(index, hidden):
        return index + 1, tf.ensure_shape(sweep(index, hidden)[2], hidden.shape)

    final = last - 1
    return sweep(final, tf.while_loop(lambda index, _: index < final, step, (first, hidden))[1])

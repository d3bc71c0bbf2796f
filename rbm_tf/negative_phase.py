"""The model's side of the RBM gradient: samples of p(v) by Gibbs chains, persistent or not.

A negative phase is a Keras layer, called with the model's parameters and the hidden inputs of the
data batch. It returns visible states and their hidden inputs b + v W. Chains and random state are
non-trainable weights, so that a checkpoint holds them.
"""

import random

import keras
import tensorflow as tf

from rbm_tf.gibbs import gibbs_chain, sample_bernoulli


class _GibbsPhase(keras.layers.Layer):
    """What both phases share: the number of sweeps and a random state that checkpoints hold."""

    def __init__(self, num_steps=1, seed=None, **kwargs):
        super().__init__(autocast=False, **kwargs)  # dtypes are the model's
        if num_steps < 1:
            raise ValueError(f"num_steps must be 1 or more; got {num_steps}.")
        self.num_steps = num_steps
        self.seed = random.randrange(2**31) if seed is None else seed

    def build(self, num_hidden):
        self.random_state = self.add_weight(
            name="random_state",
            shape=(2,),
            dtype="int32",
            initializer=lambda shape, dtype: tf.constant([self.seed, 0], dtype),
            trainable=False,
        )
        self.built = True

    def next_seed(self, training):
        """The random state, (2,) int32; training moves it on, evaluation leaves it alone."""
        seed = tf.identity(self.random_state.value)
        if training:
            self.random_state.assign_add([0, 1])
        return seed

    def get_config(self):
        return {**super().get_config(), "num_steps": self.num_steps, "seed": self.seed}


@keras.saving.register_keras_serializable(package="rbm_tf")
class ContrastiveDivergence(_GibbsPhase):
    """Chains that start from the data batch at every step (CD-k).

    Args:
        num_steps: Gibbs sweeps per update, k.
        seed: of the chains; the same seed gives the same chains.

    Reference: Hinton (2002), Training products of experts by minimizing contrastive divergence;
    B10.

    Example:
        >>> rbm = BernoulliRBM(64, 16, negative_phase=ContrastiveDivergence(num_steps=3))
    """

    def call(self, parameters, data_hidden_input, training):
        chain_seed, start_seed = tf.unstack(tf.random.split(self.next_seed(training)))
        hidden = sample_bernoulli(data_hidden_input, start_seed)
        visible, hidden_input, _ = gibbs_chain(parameters, hidden, self.num_steps, chain_seed)
        return visible, hidden_input


@keras.saving.register_keras_serializable(package="rbm_tf")
class PersistentContrastiveDivergence(_GibbsPhase):
    """Chains that go on from one update to the next (PCD-k).

    Args:
        num_chains: number of chains, independent of the batch size.
        num_steps: Gibbs sweeps per update, k.
        seed: of the chains; the same seed gives the same chains.

    Reference: Tieleman (2008), Training restricted Boltzmann machines using approximations to the
    likelihood gradient; B10.

    Example:
        >>> phase = PersistentContrastiveDivergence(num_chains=500)
        >>> rbm = BernoulliRBM(784, 500, negative_phase=phase)
    """

    def __init__(self, num_chains=100, num_steps=1, seed=None, **kwargs):
        super().__init__(num_steps, seed, **kwargs)
        if num_chains < 1:
            raise ValueError(f"num_chains must be 1 or more; got {num_chains}.")
        self.num_chains = num_chains

    def build(self, num_hidden):
        super().build(num_hidden)
        self.chains = self.add_weight(
            name="chains",
            shape=(self.num_chains, num_hidden),
            initializer=lambda shape, dtype: sample_bernoulli(
                tf.zeros(shape, dtype), tf.constant([self.seed, 2**30])
            ),
            trainable=False,
            autocast=False,
        )

    def call(self, parameters, data_hidden_input, training):
        hidden = tf.cast(tf.convert_to_tensor(self.chains), data_hidden_input.dtype)
        seed = self.next_seed(training)
        visible, hidden_input, hidden = gibbs_chain(parameters, hidden, self.num_steps, seed)
        if training:
            self.chains.assign(tf.cast(hidden, self.chains.dtype))
        return visible, hidden_input

    def get_config(self):
        return {**super().get_config(), "num_chains": self.num_chains}

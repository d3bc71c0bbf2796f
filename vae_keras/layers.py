"""Keras layers for variational inference with Gaussian factors; they run on every Keras backend.

Put them into any model, Sequential, functional or subclassed. Densities and variances are computed
in float32 or wider whatever the policy: exp(0.5 log_var) overflows float16.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="vae_keras")
class GaussianSampling(keras.layers.Layer):
    """Draws z = mean + exp(0.5 log_var) * eps with eps ~ N(0, I): the reparameterisation (B31).

    Gradients flow through mean and log_var. The layer draws whenever it is called, in training and
    in inference; take the mean itself where no noise is wanted.

    Args:
        seed: integer; the same seed gives the same sequence of draws. Saved weights hold the state
            of the sequence, so that a restored model goes on where it stopped.

    Input: a pair (mean, log_var) of equal shapes, (batch, ..).
    Output: z, the same shape.

    Raises:
        ValueError: if the input is not a pair of tensors of equal shape.

    Reference: Kingma and Welling (2014), Auto-encoding variational Bayes, section 2.4; B31.

    Example:
        >>> z = GaussianSampling(seed=0)((ops.zeros((2, 3)), ops.zeros((2, 3))))
        >>> tuple(z.shape)
        (2, 3)
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_jit = xla_draws_fast()

    def build(self, input_shape):
        _check_pair(input_shape, type(self).__name__)

    def call(self, inputs):
        mean, log_var = (_at_least_float32(x) for x in inputs)
        eps = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=self.seed_generator)
        return ops.cast(mean + ops.exp(0.5 * log_var) * eps, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return _check_pair(input_shape, type(self).__name__)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["random_state"] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store):
        self.seed_generator.state.assign(store["random_state"])

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable(package="vae_keras")
class GaussianKL(keras.layers.Layer):
    """KL(N(mean, diag(exp(log_var))) || N(0, I)) in closed form (B30).

    -1/2 sum_j (1 + log_var_j - mean_j^2 - exp(log_var_j)), summed over every axis but the first.

    Input: a pair (mean, log_var) of equal shapes, (batch, ..).
    Output: KL per example, (batch,), nats, float32 or wider.

    Raises:
        ValueError: if the input is not a pair of tensors of equal shape.

    Reference: Kingma and Welling (2014), appendix B; B30.

    Example:
        >>> float(GaussianKL()((ops.ones((1, 2)), ops.zeros((1, 2))))[0])
        1.0
    """

    def build(self, input_shape):
        _check_pair(input_shape, type(self).__name__)

    def call(self, inputs):
        mean, log_var = (_at_least_float32(x) for x in inputs)
        terms = 1 + log_var - ops.square(mean) - ops.exp(log_var)
        return -0.5 * ops.sum(terms, axis=tuple(range(1, len(terms.shape))))

    def compute_output_shape(self, input_shape):
        return _check_pair(input_shape, type(self).__name__)[:1]

    def compute_output_spec(self, inputs):
        dtype = keras.backend.result_type(*(x.dtype for x in inputs), "float32")
        return keras.KerasTensor(self.compute_output_shape([x.shape for x in inputs]), dtype)


@keras.saving.register_keras_serializable(package="vae_keras")
class AddGaussianKL(keras.layers.Layer):
    """Adds the mean Gaussian KL to the loss of the model it stands in; returns its input unchanged.

    It makes a variational autoencoder out of an ordinary `fit` with a reconstruction loss.

    Input and output: a pair (mean, log_var) of equal shapes, (batch, ..).

    Raises:
        ValueError: if the input is not a pair of tensors of equal shape.

    Reference: B30 and B32.

    Example:
        >>> pair = AddGaussianKL()((ops.ones((1, 2)), ops.zeros((1, 2))))
        >>> len(pair)
        2
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.kl = GaussianKL(dtype=self.dtype_policy)

    def build(self, input_shape):
        self.kl.build(input_shape)

    def call(self, inputs):
        self.add_loss(ops.mean(self.kl(inputs)))
        return inputs

    def compute_output_shape(self, input_shape):
        _check_pair(input_shape, type(self).__name__)
        return input_shape


def xla_draws_fast():
    """Whether a layer that draws should be compiled by XLA: not by TensorFlow on a CPU.

    There XLA's random numbers take about ten times as long as TensorFlow's own. Set a drawing
    layer's `supports_jit` to this.

    Example:
        >>> layer = keras.layers.Lambda(lambda x: x + keras.random.normal((2,)))
        >>> layer.supports_jit = xla_draws_fast()
    """
    on_tensorflow = keras.backend.backend() == "tensorflow"
    return not on_tensorflow or bool(keras.distribution.list_devices("gpu"))


def _check_pair(shapes, name):
    """The common shape of (mean, log_var)."""
    is_pair = isinstance(shapes, (tuple, list)) and len(shapes) == 2
    if not (is_pair and all(isinstance(shape, (tuple, list)) for shape in shapes)):
        raise ValueError(f"{name} takes a pair (mean, log_var); got input of shape {shapes}.")
    mean_shape, log_var_shape = (tuple(shape) for shape in shapes)
    if mean_shape != log_var_shape:
        raise ValueError(
            f"{name} needs mean and log_var of equal shape; got {mean_shape} and {log_var_shape}."
        )
    return mean_shape


def _at_least_float32(x):
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))

"""What all layers that draw have in common: the seed, its sequence in saved weights, XLA."""

from typing import Any

import keras
from keras import ops

from rbm_tf.shared.seeds import seed_of_keras

_STATE = "random_state"


class RandomLayer(keras.layers.Layer):
    """A layer with a sequence of random numbers of its own, `seed_generator`.

    The same seed gives the same sequence. Saved weights hold the state of the sequence, so that a
    restored model goes on where it stopped.

    Args:
        seed: integer that fixes the sequence of draws; None gives another one every time.

    Example:
        >>> class Noise(RandomLayer):
        ...     def call(self, x):
        ...         return x + keras.random.normal(ops.shape(x), seed=self.seed_generator)
        >>> first, second = (Noise(seed=0)(ops.zeros((3,))) for _ in range(2))
        >>> bool(ops.all(first == second))
        True
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed_of_keras(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.supports_jit = xla_draws_fast()

    def restart(self) -> None:
        """Begin the sequence again, as it was when the layer was made.

        Example:
            >>> layer = GaussianSampling(seed=0)
            >>> pair = ops.zeros((1, 2)), ops.zeros((1, 2))
            >>> first = layer(pair)
            >>> layer.restart()
            >>> bool(ops.all(layer(pair) == first))
            True
        """
        state = self.seed_generator.state  # the seed, and how many draws there were
        state.assign(ops.stack([state[0], ops.zeros_like(state[1])]))

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        store[_STATE] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store: Any) -> None:
        self.seed_generator.state.assign(store[_STATE])
        own = set(store.keys()) - {_STATE}
        super().load_own_variables({key: store[key] for key in own})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


def xla_draws_fast() -> bool:
    """Whether a layer that draws should be compiled by XLA: not by TensorFlow on a CPU.

    There XLA's random numbers take about ten times as long as TensorFlow's own. Set a drawing
    layer's `supports_jit` to this.

    Example:
        >>> layer = keras.layers.Lambda(lambda x: x + keras.random.normal((2,)))
        >>> layer.supports_jit = xla_draws_fast()
    """
    on_tensorflow = keras.backend.backend() == "tensorflow"
    return not on_tensorflow or bool(keras.distribution.list_devices("gpu"))

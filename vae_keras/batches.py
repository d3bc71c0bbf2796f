"""Training that resumes to the last bit: mini-batches whose order a checkpoint decides."""

import keras
import numpy as np
from keras import ops, tree

from rbm_tf.arrays import checked_length, split_off_validation


class ResumableFit:
    """`fit` and `evaluate` of a Keras model that checks arrays and shuffles them by its own state.

    Arrays are shuffled by the seed of the model's noise and the optimizer's count of steps, both of
    which a checkpoint holds: with `rbm_tf.checkpoints.BackupAndRestore`, interrupted training
    resumes to the last bit. Put it before `keras.Model` among the bases. The model has `sampling`,
    a layer with a seed generator, a `likelihood`, and `_checked(x)`, which returns x as tensors or
    refuses arrays that do not fit.

    Raises:
        ValueError: if the model refuses an array.

    Example:
        >>> vae = VAE(dense_encoder((64,), latent_dim=2), dense_decoder((64,), latent_dim=2))
        >>> vae.fit(np.full((10, 64), 2.0))
        Traceback (most recent call last):
        ...
        ValueError: Data of a Bernoulli likelihood must lie in [0, 1], without NaN: ...
    """

    def fit(self, x=None, y=None, batch_size=None, shuffle=True, **kwargs):
        """Train on data, as `keras.Model.fit`; y is not used.

        Raises:
            ValueError: if an array has another shape than the encoder's input, or the likelihood
                gives it no density.
        """
        if not _is_array(x):
            return super().fit(x, y, batch_size, shuffle=shuffle, **kwargs)
        x = self._checked_data(x)
        if not shuffle or kwargs.get("steps_per_epoch"):
            return super().fit(x, None, batch_size, shuffle=shuffle, **kwargs)
        x, kwargs = split_off_validation(x, kwargs)
        weight = kwargs.pop("sample_weight", None)
        batch_size = batch_size or 32
        if not _on_tensorflow():
            batches = ShuffledBatches(x, weight, batch_size, self._permutation)
            return super().fit(batches, shuffle=False, **kwargs)
        from rbm_tf.batches import shuffled_batches  # the data stay in the graph, without Python

        num = len(tree.flatten(x)[0])
        order = keras.Variable(np.arange(num), dtype="int64", trainable=False)
        batches = shuffled_batches(x, weight, batch_size, lambda index: ops.take(order, index))
        renewal = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: order.assign(self._permutation(num))
        )
        callbacks = [renewal, *(kwargs.pop("callbacks", None) or [])]
        return super().fit(batches, shuffle=False, callbacks=callbacks, **kwargs)

    def evaluate(self, x=None, y=None, **kwargs):
        """The mean loss of data, as `keras.Model.evaluate`; y is not used."""
        return super().evaluate(self._checked_data(x) if _is_array(x) else x, **kwargs)

    def _checked_data(self, x):
        """Tensors on TensorFlow, whose memory the batches share; arrays elsewhere."""
        checked = self._checked(x)
        if any(map(ops.is_tensor, tree.flatten(x))):  # which `_checked` takes as they are
            self.likelihood.check_data(self._data_part(checked))
        return checked if _on_tensorflow() else tree.map_structure(ops.convert_to_numpy, checked)

    def _permutation(self, num):
        state = ops.convert_to_numpy(self.sampling.seed_generator.state)
        steps = int(ops.convert_to_numpy(self.optimizer.iterations))  # moves on without noise too
        return np.random.default_rng([*state.tolist(), steps]).permutation(num)


class ShuffledBatches(keras.utils.PyDataset):
    """Batches of arrays, in a new order every epoch.

    Args:
        x: array (num, ..) or a tuple of such arrays.
        sample_weight: (num,) or None.
        batch_size: the last batch may be smaller.
        permutation: function from num to an order of the rows, called as every epoch begins.

    Raises:
        ValueError: if batch_size is below 1, there are no data, or the arrays differ in length.

    Example:
        >>> batches = ShuffledBatches(np.arange(4.0), None, 2, np.random.default_rng(0).permutation)
        >>> sorted(float(value) for (batch,) in batches for value in batch)
        [0.0, 1.0, 2.0, 3.0]
    """

    def __init__(self, x, sample_weight, batch_size, permutation):
        super().__init__()
        weight = None if sample_weight is None else np.asarray(sample_weight)
        self.data = (x,) if weight is None else (x, weight, weight)  # y is not used, nor None
        self.num = checked_length(self.data, batch_size)
        self.batch_size, self.permutation = batch_size, permutation
        self.on_epoch_begin()

    def on_epoch_begin(self):
        self.order = self.permutation(self.num)

    def __len__(self):
        return -(-self.num // self.batch_size)

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return tree.map_structure(lambda a: a[rows], self.data)


def _is_array(x):
    return all(hasattr(part, "shape") for part in tree.flatten(x))


def _on_tensorflow():
    return keras.backend.backend() == "tensorflow"

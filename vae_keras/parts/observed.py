"""A likelihood of data with missing entries, which leaves these out."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from rbm_tf.shared.types import ArrayLike, Tensor
from vae_keras.parts.of_part import SomeTerms
from vae_keras.parts.part import Part
from vae_keras.parts.values import filled


@keras.saving.register_keras_serializable(package="vae_keras")
class Observed(SomeTerms):
    """ln p of the entries that are observed: NaN stands for one that is not.

    Entries that are independent given z drop out of the sum, so that it is exactly the logarithm of
    the density with these entries integrated out, and evidence is that of the observed entries. It
    is so if what is missing does not depend on the values that are missing.

    An encoder is given x as it is, with NaN: let it begin with zeros in their place and a mask, as
    below. `reconstruct` then gives means of the missing entries as well. Draws are complete.

    Args:
        part: the part, whose entries are independent: `Gaussian`, `Bernoulli`, `Poisson`, ..
        seed: integer that fixes the draws of the layer's own calls; None gives others every time.

    Call arguments:
        statistics: those of the part.

    Output: a draw of the part, and its log-probability, (rows,), nats.

    Raises:
        ValueError: if the entries of the part are not independent.

    Reference: Mattei and Frellsen (2019), MIWAE: deep generative modelling and imputation of
    incomplete data sets.

    Example:
        >>> part, x = Observed(Bernoulli()), ops.array([[1.0, math.nan, 0.0]])
        >>> float(part.log_prob(ops.zeros((1, 3)), x)[0])  # -2 ln 2
        -1.3862943649291992
        >>> x = keras.Input((3,), name="x")
        >>> both = ops.concatenate([ops.nan_to_num(x), ops.cast(ops.isnan(x), "float32")], 1)
        >>> encoder = keras.Model(x, dense_encoder((6,), latent_dim=2)(both))
        >>> vae = VAE(encoder, dense_decoder((3,), latent_dim=2), likelihood=part)
        >>> history = vae.fit(np.array([[1.0, math.nan, 0.0]] * 100), verbose=0)
    """

    is_factorized = True

    def __init__(self, part: Part, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(part, seed=seed, **kwargs)
        if not part.is_factorized:
            raise ValueError(
                "Observed takes a part whose entries are independent given its statistics, such as "
                f"Gaussian() or Bernoulli(); those of {type(part).__name__} are not, or not known "
                "to be: take such a part with more latent variables, or replace what is missing."
            )

    @property
    def num_values(self) -> Any:
        return self.part.num_values

    def log_prob_of_draw(self, statistics: Any, value: Any, noise: Any) -> Tensor:
        return self.part.log_prob_of_draw(statistics, value, noise)

    def terms(self, statistics: Any, value: Tensor) -> Tensor:
        is_seen = ops.logical_not(ops.isnan(value))
        terms = self.part.terms(statistics, filled(value, is_seen))
        inner = tuple(range(len(terms.shape), len(value.shape)))  # of an entry that is a vector
        return ops.where(ops.all(is_seen, axis=inner), terms, 0.0)

    def check_value(self, value: ArrayLike) -> None:
        """Refuse observed entries that the part refuses.

        Args:
            value: array or eager tensor, (rows, ..), with NaN where an entry is missing.

        Raises:
            ValueError: as the part's own.
        """
        value = ops.convert_to_tensor(value)
        is_seen = ops.logical_not(ops.isnan(value))
        if ops.any(is_seen):
            self.part.check_value(ops.convert_to_numpy(filled(value, is_seen)))

    def exactly(self) -> Part:
        exact = self.part.exactly()
        return self if exact is self.part else Observed(exact)

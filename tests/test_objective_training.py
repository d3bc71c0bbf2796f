"""The objectives in compiled steps of batches whose size varies; run it on each backend, too."""

import keras
import numpy as np
import pytest
from keras import ops

from vae_keras.objectives import VIMCO, BetaTC, InfoVAE
from vae_keras.parts import Bernoulli, Gaussian, Latents

RNG = np.random.default_rng(0)
BITS = RNG.integers(0, 2, size=(15, 2)) * 4.0 - 2  # two bits explain the data
X = (BITS @ RNG.normal(size=(2, 3)) + 0.3 * RNG.normal(size=(15, 3))).astype("float32")


class Model(keras.Model):
    """Networks and parts that an objective trains."""

    def __init__(self, objective, posterior, num_outputs):
        super().__init__()
        self.objective, self.seeds = objective, keras.random.SeedGenerator(0)
        self.encoder, self.decoder = keras.layers.Dense(num_outputs), keras.layers.Dense(3)
        self.encoder.build((None, 3))
        self.decoder.build((None, 2))
        self.pair, likelihood = num_outputs == 4, Gaussian(scale=1.0)
        self.latents = Latents(
            self.encoded, self.decoder, posterior=posterior, likelihood=likelihood
        )
        self.built = True

    def call(self, x):
        return self.encoder(x)

    def encoded(self, x):
        found = self.encoder(x)
        return (found[:, :2], found[:, 2:]) if self.pair else found

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        num = self.objective.num_samples
        draws = self.latents.draws(x, num, seed=self.seeds, training=training)
        return ops.mean(self.objective.call(draws))


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize(
    ("objective", "posterior", "num_outputs"),
    [
        (VIMCO(4), Bernoulli(), 2),
        (InfoVAE(0.5, lambda_=10.0, num_samples=2, seed=0), Gaussian(), 4),
        (BetaTC(15, num_samples=2), Gaussian(), 4),
    ],
    ids=lambda a: getattr(a, "name", ""),
)
def test_losses_fall_in_compiled_steps_also_where_the_last_batch_is_one_example(
    objective, posterior, num_outputs
):
    model = Model(objective, posterior, num_outputs)
    model.compile(keras.optimizers.Adam(0.05), jit_compile=False)
    history = model.fit(X, batch_size=7, epochs=40, verbose=0, shuffle=False).history
    losses = np.array(history["loss"])
    assert np.all(np.isfinite(losses)) and losses[-5:].mean() < losses[0] - 0.5

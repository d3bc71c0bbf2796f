"""Training objectives of a VAE at equal number of draws and equal time, by test ln p(x) in nats.

    .venv/bin/python benchmarks/vae_objectives.py [--seconds 40] [--seed 0]

8 x 8 digits, 5 latent variables, two hidden layers of 100 tanh units.
Every model starts from the same weights; those of several draws take 5. All are judged by IWAE with
5,000 weights on the same test images. Results go to benchmarks/results/vae_objectives.json.
"""

import argparse
import time

from rbm_tf.command_line.program import table
from rbm_tf.quiet import quiet_start

quiet_start()

import keras
import numpy as np
from rounds import write

from rbm_tf.datasets import load_digits
from vae_keras import evidence
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.objectives import (
    ELBO,
    IWAE,
    DoublyReparameterizedIWAE,
    ThermodynamicObjective,
)
from vae_keras.objectives.perturbative import CumulantObjective, PerturbativeBound
from vae_keras.vae import VAE

DRAWS, EPOCHS, BATCH = 5, 100, 50
OBJECTIVES = {
    "ELBO, 1 draw": lambda: ELBO(),
    "ELBO": lambda: ELBO(num_samples=DRAWS),
    "IWAE": lambda: IWAE(DRAWS),
    "IWAE, doubly reparameterised": lambda: DoublyReparameterizedIWAE(DRAWS),
    "thermodynamic": lambda: ThermodynamicObjective(DRAWS),
    "perturbative bound, order 3": lambda: PerturbativeBound(DRAWS),
    "cumulants, order 2": lambda: CumulantObjective(DRAWS, order=2),
    "cumulants, order 3": lambda: CumulantObjective(DRAWS, order=3),
}


class StopAfter(keras.callbacks.Callback):
    """Ends training after so many seconds, and where the loss is no longer a number."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:  # the first one traces the graph
            self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        late = epoch > 0 and time.perf_counter() - self.start > self.seconds
        self.model.stop_training = late or not np.isfinite(logs["loss"])


def train(make_objective, x, seed, epochs, callbacks=()):
    keras.utils.set_random_seed(seed)
    options = {"hidden_units": (100, 100), "activation": "tanh"}
    encoder, decoder = (make((8, 8), 5, **options) for make in (dense_encoder, dense_decoder))
    vae = VAE(encoder, decoder, objective=make_objective(), seed=seed)
    vae.compile(keras.optimizers.Adam(1e-3), steps_per_execution=-(-len(x) // BATCH))
    history = vae.fit(x, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return vae, len(history.epoch)


def score(vae, x):
    log_weights = vae.log_weights(x, 5000, seed=1)
    values = evidence.elbo(log_weights), evidence.iwae(log_weights)
    return [float(np.mean(value)) for value in values]


def run(seconds, seed):
    (x_train, _), (x_test, _) = load_digits("bernoulli", seed=seed)
    for name, make in OBJECTIVES.items():
        vae, _ = train(make, x_train, seed, EPOCHS)
        row = {"objective": name}
        row["ELBO"], row["IWAE-5000"] = score(vae, x_test)
        vae, epochs = train(make, x_train, seed, 100_000, [StopAfter(seconds)])
        row["epochs in equal time"] = epochs
        row["ELBO in equal time"], row["IWAE-5000 in equal time"] = score(vae, x_test)
        print(row, flush=True)
        yield row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=40, help="of training at equal time")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    rows = list(run(options.seconds, options.seed))
    write(
        "vae_objectives",
        command=f"benchmarks/vae_objectives.py --seconds {options.seconds:g}",
        seed=options.seed,
        seconds=time.perf_counter() - start,
        training=f"{EPOCHS} epochs, or as many as {options.seconds:g} s after the first allow",
        draws=DRAWS,
        rows=rows,
    )
    formats = dict.fromkeys(rows[0], ".2f") | {"objective": "", "epochs in equal time": "d"}
    print(table(rows, formats))


if __name__ == "__main__":
    main()

"""MNIST at equal time: structured posteriors, learned priors, and skip connections, in nats.

    MNIST_PATH=mnist.npz .venv/bin/python benchmarks/structured.py ladder [--minutes 30]

Every model trains on one thread for the same minutes of the processor, so that what runs beside it
costs none of them; the learning rate falls with the minutes that are left. Data, batches and the
test set are those of vae_mnist.py, as is the first model. Then each gets ln p(x) of the first 200
test images by annealing, from the posterior q(z|x) and from the prior, and beside it IWAE and the
estimates that cumulants make of the same log-weights; --saved does this anew for a model that was
trained. Results go to benchmarks/results/structured_<model>_<minutes>.json; "picture" draws their
curves.
"""

import argparse
import os
import pathlib
import sys
import time

os.environ.update({f"TF_NUM_{kind}OP_THREADS": "1" for kind in ("INTRA", "INTER")})

from rbm_tf.command_line.program import table
from rbm_tf.quiet import quiet_start

quiet_start()

import keras
import numpy as np
from rounds import read, write
from vae_mnist import RATE, Clock, batches, build
from vae_mnist import draw as draw_curves

from rbm_tf.datasets import binarize, load_mnist
from vae_keras import evidence
from vae_keras.evidence import ais
from vae_keras.evidence.blocks import estimate_in_blocks
from vae_keras.evidence.groups import grouped_estimate
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.optimizers import FusedAdam
from vae_keras.parts import Coupling, Flow, Gaussian, Own, Vamp
from vae_keras.structured import draw_vae, ladder_vae
from vae_keras.vae import VAE

OUTPUTS = pathlib.Path("outputs")
BATCH, CURVE_IMAGES = 100, 500
CHAINS, SAMPLES, BASES = 8, 5000, ("posterior", "prior")
WIDE = {"hidden_units": (200, 200), "activation": "tanh"}


def gaussian(grey, seed):
    """50 latent variables, mean field, N(0, I): the model of vae_mnist.py."""
    return build(grey.mean(0), None, seed)


def flow_posterior(grey, seed):
    """The same networks; four couplings that see features of x move the Gaussian draw."""
    x = keras.Input((784,), name="x")
    hidden = keras.layers.Dense(200, "tanh")(keras.layers.Dense(200, "tanh")(x))
    pair = [keras.layers.Dense(50)(hidden) for _ in range(2)]
    steps = [
        Coupling(50, flip=k % 2 == 1, num_hidden=200, context_dim=200, seed=k) for k in range(4)
    ]
    posterior = Flow(Gaussian(), steps, context=True)
    networks = keras.Model(x, (pair, hidden)), dense_decoder((784,), 50, **WIDE)
    return VAE(*networks, posterior=posterior, prior=Own(Gaussian(), (50,), trainable=False))


def flow_prior(grey, seed):
    """The same networks; the prior is N(0, I) moved by four couplings."""
    steps = [Coupling(50, flip=k % 2 == 1, num_hidden=200, seed=k) for k in range(4)]
    networks = dense_encoder((784,), 50, **WIDE), dense_decoder((784,), 50, **WIDE)
    return VAE(*networks, prior=Own(Flow(Gaussian(), steps), (50,)), seed=seed)


def vamp(grey, seed):
    """The same networks; the prior is the mixture of the posteriors of 100 pseudo-inputs."""
    encoder, decoder = dense_encoder((784,), 50, **WIDE), dense_decoder((784,), 50, **WIDE)
    prior = Vamp(Gaussian(), encoder, (784,), num_components=100)
    prior.pseudo_inputs.assign(grey[:100])
    return VAE(encoder, decoder, prior=prior, seed=seed)


def ladder(grey, seed):
    """Two stochastic layers of 40 and 10, inferred from the top."""
    return ladder_vae((784,), (40, 10), hidden_units=200, seed=seed)


def ladder_skip(grey, seed):
    """The same, and the decoder sees both layers."""
    return ladder_vae((784,), (40, 10), hidden_units=200, skip=True, seed=seed)


def draw(grey, seed):
    """DRAW without attention: 8 steps of 10 latent variables, cells of 128 units."""
    return draw_vae((784,), 10, num_steps=8, hidden_units=128, seed=seed)


MODELS = {
    "gaussian": gaussian,
    "flow_posterior": flow_posterior,
    "flow_prior": flow_prior,
    "vamp": vamp,
    "ladder": ladder,
    "ladder_skip": ladder_skip,
    "draw": draw,
}


class ProcessorClock(Clock):
    """A clock of the processor's minutes, of which measuring takes none; it may warm the KL up."""

    now = staticmethod(time.process_time)

    def __init__(self, minutes, x_test, warm_up=0):
        super().__init__(minutes, x_test)
        self.warm_up = warm_up

    def measure(self, epoch, seconds):
        begin = self.now()
        super().measure(epoch, seconds)
        self.start += self.now() - begin

    def on_epoch_begin(self, epoch, logs=None):
        if self.warm_up:
            share = (self.now() - self.start) / (60 * self.minutes)
            self.model.objective.beta.assign(min(1, share / self.warm_up))


ESTIMATORS = {
    "ELBO": evidence.elbo,
    "cumulants, order 2": lambda weights: evidence.cumulant(weights, order=2),
    "cumulants, order 3": lambda weights: evidence.cumulant(weights, order=3),
    "IWAE, 50": lambda weights: evidence.iwae(weights[:50]),
    "jackknife, 50": lambda weights: evidence.jackknife(weights[:50]),
    "grouped, 50": lambda weights: grouped_estimate(weights[:50], seed=0).log_p,
    "IWAE": evidence.iwae,
    "grouped": lambda weights: grouped_estimate(weights, seed=0).log_p,
}


def evaluate(vae, x, seed, *, chains=CHAINS, temperatures=501, samples=SAMPLES, bases=BASES):
    """Mean of each estimate, its bias and root mean square error against the first annealing."""
    start, betas, annealed = time.perf_counter(), np.linspace(0, 1, temperatures), {}
    for base in bases:
        walks = ais(vae, x, num_chains=chains, betas=betas, base=base, seed=seed)
        annealed[f"annealing from the {base}"] = np.asarray(walks.log_z)
    seconds = time.perf_counter() - start
    estimates = annealed | estimate_in_blocks(vae, x, ESTIMATORS, samples, seed=seed)
    reference, rows = annealed[f"annealing from the {bases[0]}"], []
    for name, each in estimates.items():
        errors = np.asarray(each, float) - reference
        row = {"estimate": name, "ln p(x)": float(np.mean(each)), "bias": float(errors.mean())}
        row["s.e."] = float(errors.std(ddof=1) / np.sqrt(len(errors)))
        rows.append(row | {"RMSE": float(np.sqrt(np.mean(errors**2)))})
    return rows, seconds


def trained(name, options, file, grey, x_test):
    """A model that was trained and saved; its epochs and its curve."""
    keras.utils.set_random_seed(options.seed)
    vae = MODELS[name](grey, options.seed)
    vae.compile(FusedAdam(RATE), steps_per_execution=len(grey) // BATCH)
    clock = ProcessorClock(options.minutes, x_test[:CURVE_IMAGES], options.warm_up)
    data = batches(grey, BATCH, options.seed)
    vae.fit(data, epochs=100_000, verbose=0, callbacks=[clock])
    OUTPUTS.mkdir(exist_ok=True)
    vae.save(file)
    return vae, {"epochs": len(vae.history.epoch), "curve": clock.curve}


def run(name, options):
    (grey, _), (grey_test, _) = load_mnist()
    grey, grey_test = (a.reshape(-1, 784).astype("float32") for a in (grey, grey_test))
    x_test = binarize(grey_test, binarization="bernoulli", seed=0)
    result = f"structured_{name}_{options.minutes:g}"
    file = OUTPUTS / f"{result}.keras"
    if options.saved:
        vae = keras.saving.load_model(file)
        training = {key: read(result)[key] for key in ("epochs", "curve")}
    else:
        vae, training = trained(name, options, file, grey, x_test)
        write(result, **training)
    how = {key: getattr(options, key) for key in ("chains", "temperatures", "bases")}
    rows, seconds = evaluate(vae, x_test[: options.images], options.seed, **how)
    write(
        result,
        command=f"benchmarks/structured.py {' '.join(sys.argv[1:])}",
        model=MODELS[name].__doc__.strip(),
        seed=options.seed,
        parameters=vae.count_params(),
        images=f"the first {options.images} test images",
        annealing=how | {"seconds": seconds},
        samples=SAMPLES,
        **training,
        rows=rows,
    )
    print(
        table(rows, {"estimate": "", **dict.fromkeys(("ln p(x)", "bias", "s.e.", "RMSE"), ".3f")})
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=[*MODELS, "picture"])
    parser.add_argument("--minutes", type=float, default=30, help="of the processor, for training")
    parser.add_argument(
        "--warm-up", type=float, default=0, help="the share of them in which the KL's weight rises"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--saved", action="store_true", help="evaluate the model trained before")
    parser.add_argument("--images", type=int, default=200, help="test images to evaluate")
    parser.add_argument("--chains", type=int, default=CHAINS, help="of annealing, for each image")
    parser.add_argument("--temperatures", type=int, default=501, help="of annealing")
    parser.add_argument("--bases", nargs="+", default=BASES, help="of annealing, the first counts")
    options = parser.parse_args()
    if options.model == "picture":
        ending = f"{options.minutes:g}"
        runs = {name.replace("_", " "): f"structured_{name}_{ending}" for name in MODELS}
        return draw_curves(f"structured_{ending}", runs, CURVE_IMAGES, -110)
    return run(options.model, options)


if __name__ == "__main__":
    sys.exit(main())

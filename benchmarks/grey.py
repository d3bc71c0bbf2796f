"""Grey MNIST at equal time: what the 256 levels of a pixel are drawn from, in bits per dimension.

    MNIST_PATH=mnist.npz .venv/bin/python benchmarks/grey.py [--minutes 4] [--seed 0]

Every likelihood is judged as a probability of the levels, so that all stand on one scale,
-ln p(x) / (784 ln 2). The logistic mixture is one by itself. A Gaussian and a continuous Bernoulli
are densities on [0, 1], and `Levels` integrates them over the interval of level k, from k / 256 to
(k + 1) / 256, by their distribution functions; the outermost intervals reach to the ends of the
support. Some models train on that probability, others on the density at x = k / 255, as many people
do. The density itself does not compare: it is a number per unit of grey, which turns into a
probability by 1 / 256 (8 bits) only where it hardly changes within an interval, and it has no
bound. Four pixels of five are exactly black, where it may grow without making anything more
probable. The column "density + 8" says what one would have read off.

The logit of a continuous Bernoulli is per unit of grey, 256 times that of one level: one model has
its network's output multiplied by 256.

Networks, batches and optimizer are those of vae_mnist.py, without its start at the means; each
model trains for the same minutes of the processor on one thread, as in structured.py. Then the
first test images get ln p(x) by annealing from q(z|x), by IWAE, and by cumulants of the same
log-weights. Results go to benchmarks/results/grey.json, images drawn from each model to grey.png.
"""

import argparse
import math
import os
import sys
import time

os.environ.update({f"TF_NUM_{kind}OP_THREADS": "1" for kind in ("INTRA", "INTER")})

from rbm_tf.command_line.program import table
from rbm_tf.quiet import quiet_start

quiet_start()

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from rounds import RESULTS, write
from structured import BATCH, CHAINS, OUTPUTS, WIDE, ProcessorClock, evaluate
from vae_mnist import RATE

from rbm_tf.datasets import load_mnist
from rbm_tf.plotting import image_grid
from rbm_tf.shared.files import written_whole
from vae_keras import evidence
from vae_keras.evidence.blocks import estimate_in_blocks
from vae_keras.networks import dense_encoder
from vae_keras.optimizers import FusedAdam
from vae_keras.parts import ContinuousBernoulli, Gaussian, Latents, Levels, LogisticMixture
from vae_keras.vae import VAE

PIXELS, LATENTS, CURVE_IMAGES, DRAWN = 784, 50, 200, 14
SAMPLES = 1000
MODELS = {
    "mixture of 3 logistics": lambda: LogisticMixture(3),
    "continuous Bernoulli": lambda: Levels(ContinuousBernoulli()),
    "continuous Bernoulli, logits times 256": lambda: Levels(ContinuousBernoulli()),
    "Gaussian, a scale for each pixel": lambda: Levels(Gaussian()),
    "Gaussian, one learned scale": lambda: Levels(Gaussian(scale=0.3, shared=True)),
    "Gaussian, one learned scale, as a density": lambda: Gaussian(scale=0.3, shared=True),
    "continuous Bernoulli, as a density": ContinuousBernoulli,
    "Gaussian, scale 1, as a density": lambda: Gaussian(scale=1.0),
}
FACTORS = {"continuous Bernoulli, logits times 256": 256}


def build(name, seed):
    """The networks of vae_mnist.py, with as many outputs as the likelihood takes."""
    keras.utils.set_random_seed(seed)
    likelihood, factor = MODELS[name](), FACTORS.get(name, 1)
    z = keras.Input((LATENTS,))
    hidden = keras.layers.Dense(200, "tanh")(keras.layers.Dense(200, "tanh")(z))

    def head(shape):
        output = keras.layers.Rescaling(factor)(keras.layers.Dense(math.prod(shape))(hidden))
        return keras.layers.Reshape(shape)(output)

    heads = keras.tree.map_shape_structure(head, likelihood.shapes((PIXELS,)))
    encoder, decoder = dense_encoder((PIXELS,), LATENTS, **WIDE), keras.Model(z, heads)
    return VAE(encoder, decoder, likelihood=likelihood, seed=seed)


def batches(grey, seed):
    """Shuffled batches of the grey levels as they are."""
    grey = tf.constant(grey)
    data = tf.data.Dataset.range(len(grey)).shuffle(len(grey), seed=seed)
    options = tf.data.Options()
    options.autotune.enabled = False  # as in vae_mnist.py
    data = data.batch(BATCH, drop_remainder=True).map(lambda rows: tf.gather(grey, rows))
    return data.prefetch(2).with_options(options)


def bits(log_p):
    """Bits per dimension of images' ln p(x), and the standard error."""
    each = -np.asarray(log_p, float) / (PIXELS * math.log(2))
    return float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each)))


def of_levels(likelihood):
    return likelihood if likelihood.space == "discrete" else Levels(likelihood)


def judged(vae, x, temperatures, seed):
    """Every estimate of ln P(levels), in nats, and the best two in bits beside the density's."""
    networks = vae.encoder, vae.decoder
    model = Latents(*networks, likelihood=of_levels(vae.likelihood))
    options = {"temperatures": temperatures, "samples": SAMPLES, "bases": ("posterior",)}
    estimates, seconds = evaluate(model, x, seed, **options)
    found = {row["estimate"]: row["ln p(x)"] for row in estimates}
    row = {
        name: -found[estimate] / (PIXELS * math.log(2))
        for name, estimate in {"annealing": "annealing from the posterior", "IWAE": "IWAE"}.items()
    }
    part = getattr(model.likelihood, "part", None)
    if part is not None:
        density = Latents(*networks, likelihood=part)
        log_p = estimate_in_blocks(density, x, {"IWAE": evidence.iwae}, SAMPLES, seed=seed)
        row["density + 8"] = bits(log_p["IWAE"])[0] + 8
    return row | {"estimates": estimates, "annealing seconds": seconds}


def run(name, grey, x_test, options):
    vae = build(name, options.seed)
    vae.compile(FusedAdam(RATE), steps_per_execution=len(grey) // BATCH)
    clock, start = ProcessorClock(options.minutes, x_test[:CURVE_IMAGES]), time.process_time()
    vae.fit(batches(grey, options.seed), epochs=100_000, verbose=0, callbacks=[clock])
    seconds = time.process_time() - start
    OUTPUTS.mkdir(exist_ok=True)
    vae.save(OUTPUTS / f"grey_{list(MODELS).index(name)}.keras")
    row = {"model": name, "parameters": vae.count_params(), "epochs": len(vae.history.epoch)}
    row["training seconds, its curve included"] = seconds
    drawn = Latents(vae.encoder, vae.decoder, likelihood=of_levels(vae.likelihood))
    z = keras.random.normal((DRAWN, LATENTS), seed=options.seed)
    statistics = drawn.decoded(z, None)
    noise = drawn.likelihood.noise(statistics, DRAWN, options.seed)
    images = np.asarray(drawn.likelihood.draw(statistics, noise)[0])
    row |= judged(vae, x_test[: options.images], options.temperatures, options.seed)
    return row | {"curve": clock.curve}, images


def independent(grey, x_test):
    """Bits of pixels without latents: a histogram of 256 levels each, half a count added."""
    log_p = np.zeros(len(x_test))
    levels, test = (np.round(255 * a).astype(int) for a in (grey, x_test))
    for pixel in range(PIXELS):
        counts = np.bincount(levels[:, pixel], minlength=256) + 0.5
        log_p += np.log(counts / counts.sum())[test[:, pixel]]
    return bits(log_p)


def draw(images):
    figure, axes = plt.subplots(len(images), 1, figsize=(9, 0.95 * len(images)))
    for ax, (name, x) in zip(np.ravel(axes), images.items(), strict=True):
        image_grid(ax, x.reshape(-1, 28, 28), columns=DRAWN)
        ax.set_title(name, fontsize=10, loc="left", pad=2)
    figure.tight_layout(h_pad=0.3)
    with written_whole(RESULTS / "grey.png") as partial:
        figure.savefig(partial, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=4, help="of the processor, for training")
    parser.add_argument("--images", type=int, default=100, help="test images to evaluate")
    parser.add_argument("--temperatures", type=int, default=201, help="of the annealing")
    parser.add_argument("--models", type=int, nargs="+", default=range(len(MODELS)))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    (grey, _), (grey_test, _) = load_mnist()
    grey, x_test = (a.reshape(-1, PIXELS).astype("float32") for a in (grey, grey_test))
    rows, images, begin = [], {"test images": x_test[:DRAWN]}, time.process_time()
    for name in [list(MODELS)[k] for k in options.models]:
        row, images[name] = run(name, grey, x_test, options)
        rows.append(row)
        write(
            "grey",
            what="bits per dimension of 256 levels; estimates: mean ln p(x) of an image in nats",
            command=f"benchmarks/grey.py {' '.join(sys.argv[1:])}".strip(),
            seed=options.seed,
            images=f"the first {options.images} test images",
            black=f"{np.mean(grey_test == 0):.3f} of the test pixels",
            independent_pixels=independent(grey, x_test[: options.images]),
            annealing=f"from q(z|x), {CHAINS} chains, {options.temperatures} temperatures",
            samples=SAMPLES,
            optimizer=f"Adam, {RATE} falling linearly to 1 % of it, batch {BATCH}",
            processor_seconds=time.process_time() - begin,
            rows=rows,
        )
        draw(images)
        form = dict.fromkeys(("annealing", "IWAE", "density + 8"), ".3f")
        print(table([row], {"model": "", "epochs": "d", **form}))
        form = dict.fromkeys(("ln p(x)", "bias", "s.e.", "RMSE"), ".2f")
        print(table(row["estimates"], {"estimate": "", **form}), flush=True)


if __name__ == "__main__":
    sys.exit(main())

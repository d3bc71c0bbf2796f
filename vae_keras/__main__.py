"""The command line: python -m vae_keras demo | train | evaluate | sample."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from rbm_tf.command_line import arguments
from rbm_tf.command_line import program as command_line
from rbm_tf.shared.memory import check_memory


def demo(options: argparse.Namespace) -> None:
    """Train the post's VAE on digits, and print every estimate of ln p(x) beside a reference."""
    from vae_keras.demo import run_demo

    run_demo(options)


def train(options: argparse.Namespace) -> None:
    """Train a VAE and save it as vae.keras."""
    from rbm_tf.command_line.training import fit
    from vae_keras import networks
    from vae_keras.optimizers import FusedAdam
    from vae_keras.vae import VAE

    (x, _), _ = command_line.load_data(options)
    shape, latent_dim = x.shape[1:], options.latent
    _check_memory(options, shape, min(options.batch_size, len(x)))
    if options.network == "conv":
        encoder = networks.conv_encoder(shape, latent_dim)
        decoder = networks.conv_decoder(shape, latent_dim)
    else:
        encoder = networks.dense_encoder(shape, latent_dim, hidden_units=(options.hidden,))
        decoder = networks.dense_decoder(shape, latent_dim, hidden_units=(options.hidden,))
    vae = VAE(encoder, decoder, seed=options.seed)
    num_batches = -(-len(x) // options.batch_size)
    vae.compile(FusedAdam(options.learning_rate), steps_per_execution=min(num_batches, 100))
    path = options.output / "vae.keras"
    fit(vae, path, options.epochs, x=x, batch_size=options.batch_size)
    text = f"Saved {path}. Its log-likelihood: python -m vae_keras evaluate {path}"
    command_line.show(options, {"model": str(path)}, [text], "vae_train")


def evaluate(options: argparse.Namespace) -> None:
    """Print the ELBO and importance-weighted estimates of the mean log-likelihood of test data."""
    from vae_keras.demo import estimate_rows, mean_columns
    from vae_keras.parts import Bernoulli
    from vae_keras.vae import VAE

    vae = command_line.load_model(options.model, VAE)
    shape = _shape_of_data(options, vae)
    _, (x, _) = command_line.load_data(options)
    binary = isinstance(vae.likelihood, Bernoulli)
    command_line.check_data(options, x, shape, (0, 1) if binary else None)
    x = x[: options.num_images]
    num_weights = 500 * options.num_samples  # of a block of images, and copies of them
    what = f"{options.num_samples} log-weights for each image"
    check_memory(4 * num_weights, what, "choose a smaller --num-samples")
    kept = options.output / "vae_evaluate.npz"  # an interrupted run goes on from there
    rows = estimate_rows(vae, x, options.num_samples, options.seed, path=kept)
    title = (
        f"Mean ln p(x) of {len(x)} test images, nats ({options.dataset}, pixels: "
        f"{options.binarization})\n"
    )
    text = title + command_line.table(rows, mean_columns(rows))
    command_line.show(options, rows, [text], "vae_evaluate")


def sample(options: argparse.Namespace) -> None:
    """Draw images from the prior; write them as vae_samples.npy and, if they are flat, .png."""
    import numpy as np

    from rbm_tf.plotting import save_images
    from rbm_tf.shared.files import written_whole
    from vae_keras.vae import VAE

    vae = command_line.load_model(options.model, VAE)
    num_pixels = options.num * math.prod(n or 1 for n in _shape_of_data(options, vae))
    check_memory(4 * 30 * num_pixels, f"{options.num} images", "choose a smaller --num")
    images = np.asarray(vae.generate(options.num, seed=options.seed))
    with written_whole(options.output / "vae_samples.npy") as partial:
        np.save(partial, images)
    files = [str(options.output / "vae_samples.npy")]
    if images.ndim == 3:
        title, few = "Means of p(x|z), z from the prior", images[: command_line.IN_PICTURE]
        save_images(options.output / "vae_samples.png", few, title)
        files.append(str(options.output / "vae_samples.png"))
    command_line.show(options, {"files": files}, ["Wrote " + ", ".join(files)], "vae_sample")


def _shape_of_data(options, vae):
    """The shape of what the model generates; no data set has conditions beside it."""
    if vae.condition_names:
        raise ValueError(
            f"{options.model} also takes {', '.join(vae.condition_names)}, which no --dataset has: "
            "use vae.log_weights and vae.generate in Python"
        )
    return vae.data_shapes[vae.target]


def _check_memory(options, shape, num_rows):
    """Weights, gradients and Adam's moments, some of them twice, and the units of a batch."""
    pixels, dense = math.prod(shape), options.network == "dense"
    width = options.hidden if dense else 4 * pixels  # of the layers next to the latent variables
    num_weights = width * (3 * options.latent + 2 * dense * pixels)
    num_units = (4 if dense else 16) * width + 4 * pixels + 3 * options.latent
    what = f"a VAE with --latent {options.latent} and layers of {width} units"
    remedy = "choose a smaller --latent, --hidden or --batch-size"
    check_memory(32 * num_weights + 16 * num_rows * num_units, what, remedy)


def _demo_options(parser):
    parser.set_defaults(
        opening="A VAE on the same digits, and every estimate of its ln p(x): about a minute. "
        "First TensorFlow starts."
    )


def _train_options(parser):
    at_least = arguments.at_least
    parser.add_argument("--network", choices=("dense", "conv"), default="dense", help="layers")
    parser.add_argument("--latent", type=at_least(1), default=2, help="latent variables")
    parser.add_argument("--hidden", type=at_least(1), default=256, help="units of a dense layer")
    arguments.add_training_options(parser, epochs=100, batch_size=100, learning_rate=0.001)


def _evaluate_options(parser):
    at_least = arguments.at_least
    parser.add_argument("--num-samples", type=at_least(10), default=1000, help="of z, per image")
    parser.add_argument("--num-images", type=at_least(1), default=1000, help="test images at most")


BACKENDS = ("tensorflow", "jax", "torch")
ACTIONS = {
    "demo": (demo, "train on digits; every estimate of ln p(x) beside a reference"),
    "train": (train, "train a VAE and save it"),
    "evaluate": (evaluate, "estimate the log-likelihood of a saved VAE"),
    "sample": (sample, "draw images from a saved VAE"),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = arguments.build_parser(
        arguments.typed("vae_keras"),
        "Variational autoencoders.",
        ACTIONS,
        {"demo": _demo_options, "train": _train_options, "evaluate": _evaluate_options},
    )
    command_line.run(parser, argv, BACKENDS)


if __name__ == "__main__":
    main()

"""VAE, RBM and annealing on an accelerator, against a PyTorch loop and the products' peak there.

    python benchmarks/gpu.py [--minutes 8] [--rows 60000]

It needs no network and no data. Each side runs in a process of its own, one after the other: the
VAE on JAX, the same VAE as a loop in PyTorch, the RBM in TensorFlow; a framework that is not
installed is left out, and one without an accelerator runs on the CPU and says so. A side measures
the largest rate of products of its framework, seconds and share of that peak of each task, and how
far results on the accelerator are from those on the CPU with the same seed. Results go to
benchmarks/results/gpu.json.
"""

import argparse
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import time

SIDES = {"vae": "jax", "torch": "torch", "rbm": "tensorflow"}  # and what they need
PIXELS, HIDDEN, LATENT, BATCH, EPOCHS = 784, 200, 50, 1000, 3
IMAGES, SAMPLES = 20, 5000
RBM_HIDDEN, STEPS = 500, 200
LAYERS = (PIXELS, HIDDEN, HIDDEN, 2 * LATENT), (LATENT, HIDDEN, HIDDEN, PIXELS)


def products(*widths):
    """Floating-point operations of the layers' products for one row."""
    return sum(2 * a * b for w in widths for a, b in itertools.pairwise(w))


def seconds(run, repeats=3):
    """The least of some repetitions, after a first one that compiles."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def row(task, taken, operations, peak, difference=None):
    """A row of the table; the difference is relative, against the CPU."""
    share = operations / taken / peak
    return {"task": task, "seconds": taken, "share of peak": share, "against CPU": difference}


def relative(a, b):
    import numpy as np

    return float(np.max(np.abs(a - b)) / np.max(np.abs(b)))


def data(rows):
    import numpy as np

    return (np.random.default_rng(0).random((rows, PIXELS)) < 0.13).astype("float32")


def vae(rows, size):
    """Training and log-weights of the VAE of Burda et al. on JAX through Keras."""
    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    import numpy as np

    from vae_keras import VAE
    from vae_keras.networks import dense_decoder, dense_encoder

    matrix = jax.random.normal(jax.random.key(0), (size, size))
    square = jax.jit(lambda a: a @ a)
    peak = 2 * size**3 / seconds(lambda: square(matrix).block_until_ready())
    x, options = data(rows), {"hidden_units": (HIDDEN, HIDDEN), "activation": "tanh"}

    def model():
        networks = (f((PIXELS,), LATENT, **options) for f in (dense_encoder, dense_decoder))
        return VAE(*networks, seed=0)

    trained = model()
    trained.compile(trained.optimizer, trained.loss, steps_per_execution=rows // BATCH)
    step = 3 * EPOCHS * rows * products(*LAYERS)
    took = seconds(lambda: trained.fit(x, batch_size=BATCH, epochs=EPOCHS, verbose=0))

    def weights():
        return np.asarray(trained.log_weights(x[:IMAGES], SAMPLES, seed=0))

    decoder = IMAGES * SAMPLES * products(LAYERS[1])
    here, there = weights(), None
    with jax.default_device(jax.devices("cpu")[0]):
        on_cpu = model()
        on_cpu.set_weights(trained.get_weights())
        there = np.asarray(on_cpu.log_weights(x[:IMAGES], SAMPLES, seed=0))
    yield {"device": f"{jax.devices()[0].device_kind} ({jax.devices()[0].platform})", "peak": peak}
    yield row(f"VAE.fit, {EPOCHS} epochs", took, step, peak)
    yield row("VAE.log_weights", seconds(weights), decoder, peak, relative(here, there))


def torch(rows, size):
    """The same training as a loop in PyTorch, its data on the device."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    matrix = torch.randn(size, size, device=device)

    def square():
        matrix @ matrix
        wait()

    peak = 2 * size**3 / seconds(square)
    x = torch.tensor(data(rows), device=device)

    def network(widths):
        pairs = itertools.pairwise(widths)
        return nn.Sequential(*(part for a, b in pairs for part in (nn.Linear(a, b), nn.Tanh())))[
            :-1
        ]

    encoder, decoder = (network(widths).to(device) for widths in LAYERS)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, fused=True)

    def fit():
        for _ in range(EPOCHS):
            for index in torch.randperm(len(x), device=device).split(BATCH):
                v = x[index]
                mean, log_var = encoder(v).split(LATENT, -1)
                logits = decoder(mean + torch.exp(0.5 * log_var) * torch.randn_like(mean))
                cost = nn.functional.binary_cross_entropy_with_logits(logits, v, reduction="sum")
                kl = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum()
                optimizer.zero_grad()
                ((cost + kl) / len(v)).backward()
                optimizer.step()
        wait()

    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    yield {"device": f"{name} ({device})", "peak": peak}
    step = 3 * EPOCHS * rows * products(*LAYERS)
    yield row(f"a loop in PyTorch, {EPOCHS} epochs", seconds(fit), step, peak)


def rbm(rows, size):
    """Training and annealing of an RBM, and an exact sum, in TensorFlow."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    from rbm_tf.quiet import quiet_start

    quiet_start()
    import numpy as np
    import tensorflow as tf

    from rbm_tf.annealing import ais
    from rbm_tf.enumeration import log_z
    from rbm_tf.rbm import BernoulliRBM
    from rbm_tf.training.negative_phase import PersistentContrastiveDivergence

    gpus = tf.config.list_physical_devices("GPU")
    matrix = tf.random.normal((size, size))
    square = tf.function(lambda: tf.reduce_sum(matrix @ matrix))
    peak = 2 * size**3 / seconds(lambda: square().numpy())
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    yield {"device": details.get("device_name", "gpu" if gpus else "cpu"), "peak": peak}
    x = data(rows)
    phase = PersistentContrastiveDivergence(BATCH, seed=0)
    model = BernoulliRBM(PIXELS, RBM_HIDDEN, negative_phase=phase, seed=0)
    model.compile(steps_per_execution=rows // BATCH)
    took = seconds(lambda: model.fit(x, batch_size=BATCH, epochs=EPOCHS, verbose=0))
    product = 2 * PIXELS * RBM_HIDDEN
    yield row(f"BernoulliRBM.fit, {EPOCHS} epochs", took, 6 * EPOCHS * rows * product, peak)

    betas, chains = np.linspace(0, 1, STEPS), rows // 60
    took = seconds(lambda: ais(model, num_chains=chains, betas=betas, progress=False, seed=0))
    yield row(f"ais, {chains} chains", took, 2 * STEPS * chains * product, peak)

    small = BernoulliRBM(PIXELS, 16, seed=0)
    here = log_z(small)
    with tf.device("CPU:0"):
        there = log_z(small)
    sums = 2**16 * 2 * PIXELS * 16
    yield row(
        "exact ln Z, 16 hidden", seconds(lambda: log_z(small)), sums, peak, abs(here / there - 1)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=8, help="in all; a side gets a third")
    parser.add_argument("--rows", type=int, default=60_000, help="of data, a chain for every 60")
    parser.add_argument("--size", type=int, default=8192, help="of the product that gives the peak")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        for entry in globals()[options.side](options.rows, options.size):
            print(json.dumps(entry), flush=True)
        return 0
    found, start = {}, time.perf_counter()
    for side, framework in SIDES.items():
        if importlib.util.find_spec(framework) is None:
            print(f"{side}: {framework} is not installed")
            continue
        found[side] = rows_of(side, options)
        for entry in found[side]:
            print(f"{side}: {entry}", flush=True)
    from rounds import write

    write(
        "gpu",
        command=f"benchmarks/gpu.py --rows {options.rows} --size {options.size}",
        total_seconds=time.perf_counter() - start,
        sides=found,
    )
    return 0


def rows_of(side, options):
    """What a side prints, in a process of its own, until it ends or its time is over."""
    run = [sys.executable, __file__, "--side", side]
    run += ["--rows", str(options.rows), "--size", str(options.size)]
    try:
        done = subprocess.run(
            run, capture_output=True, text=True, timeout=60 * options.minutes / len(SIDES)
        )
        output, error = (
            done.stdout,
            done.stderr.strip().splitlines()[-1:] if done.returncode else [],
        )
    except subprocess.TimeoutExpired as late:
        output, error = (late.stdout or b"").decode(), ["its time was over"]
    entries = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return entries + [{"stopped": line} for line in error]


if __name__ == "__main__":
    sys.exit(main())

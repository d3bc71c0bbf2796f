"""Where the time of annealing, of log-weights and of the training steps of an RBM and a VAE goes.

    .venv/bin/python benchmarks/breakdown.py [--rounds 5] [--section annealing ...]

The whole stands beside its pieces, each alone in a loop of one graph on operands of its own, and
beside what was tried to make it cheaper. All sides run in this one process, in turns; the table
shows medians over rounds and ratios of medians. Results go to
benchmarks/results/breakdown_<section>.json.
"""

from rbm_tf.quiet import quiet_start

quiet_start()

import keras
import numpy as np
import rbm_speed
import tensorflow as tf
from rbm_speed import BATCH, HIDDEN, VISIBLE, matmul_limit, random_rbm
from rounds import main, measure
from vae_speed import BURDA, NUM, PIXELS, data, decoder_products, fit, model, training_products

from rbm_tf.annealing import anneal
from rbm_tf.tempered_path import tempered_path
from vae_keras.optimizers import FusedAdam
from vae_keras.parts.cross_entropy import bernoulli_cross_entropy

STEPS, LOG_WEIGHT_ROWS = 200, 2000


def annealing(rounds):
    """200 steps of AIS of a 784-500 RBM, 100 and 1,000 chains: the whole, its pieces, trials."""
    rows = []
    for chains in (100, 1000):
        rows += measure({f"{k}, {chains}": run for k, run in annealing_sides(chains)}, rounds)
    return rows


def annealing_sides(chains):
    rbm = random_rbm()
    path, betas = tempered_path(rbm), tf.linspace(0.0, 1.0, STEPS + 2)
    kernel = path.machine.kernel
    v, h = (tf.round(tf.random.uniform((chains, units))) for units in (VISIBLE, HIDDEN))
    z, x = tf.random.normal((chains, HIDDEN)), tf.random.normal((chains, VISIBLE))

    def step(log_ratio, bernoulli):
        def run(index, v):
            hidden_input, beta = path.hidden_input(v), betas[index + 1]
            gain = log_ratio(v, hidden_input, betas[index], beta)
            h = bernoulli(beta * hidden_input, [1, index])
            bias = path.visible_bias(beta)
            new = bernoulli(bias + beta * tf.matmul(h, kernel, transpose_b=True), [2, index])
            return new + tf.cast(gain[:, None], new.dtype) * 1e-30

        return run

    def products(index, v):
        return tf.matmul(tf.matmul(v, kernel), kernel, transpose_b=True) * 1e-3

    def random_numbers(index, v):
        return v + 1e-30 * sum(
            tf.random.stateless_uniform((chains, units), [units, index])[0, 0]
            for units in (VISIBLE, HIDDEN)
        )

    def sigmoids(index, v):
        return (
            tf.cast(v < tf.sigmoid(x + v), v.dtype)
            + 1e-30 * tf.cast(h < tf.sigmoid(z + v[0, 0]), v.dtype)[0, 0]
        )

    def log_weights(index, v):
        return v + 1e-30 * path.machine.hidden.cgf_gain(z + v[0, 0], z - v[0, 0])[0]

    yield "anneal", lambda: anneal(path, betas, v, tf.constant([1, 2]), False).numpy()
    yield "its two products", looped(products, v)
    yield "its random numbers", looped(random_numbers, v)
    yield "its sigmoids and comparisons", looped(sigmoids, v)
    yield "its log-weights", looped(log_weights, v)
    yield "tried: draws of 16 bits", looped(step(path.log_ratio, short_draws), v)
    yield "before: a logarithm for each unit", looped(step(logarithm_of_each(path), draws), v)
    yield "tried: the whole loop by XLA", looped(step(path.log_ratio, draws), v, jit_compile=True)


def draws(x, seed):
    """Bernoulli draws of logits, as the library makes them."""
    return tf.cast(tf.random.stateless_uniform(tf.shape(x), seed) < tf.sigmoid(x), x.dtype)


def short_draws(x, seed):
    """The same of 16 bits a unit, and one more uniform number a chain, which makes them exact."""
    chains, units = x.shape
    words = tf.random.stateless_uniform((chains, units // 2), seed, None, None, tf.int32)
    bits = tf.cast(tf.reshape(tf.bitcast(words, tf.int16), (chains, units)), x.dtype)
    rest = tf.random.stateless_uniform((chains, 1), [seed[0] + 2, seed[1]])
    return tf.cast(bits + rest < 65536 * tf.sigmoid(x) - 32768, x.dtype)


def logarithm_of_each(path):
    """The log-weights with a logarithm for each unit, in place of one for a group of them."""

    def log_ratio(v, hidden_input, old, new):
        ratio = 1 + tf.exp(-new * tf.abs(hidden_input))
        ratio /= 1 + tf.exp(-old * tf.abs(hidden_input))
        slope = tf.linalg.matvec(v, path.machine.visible_bias - path.base_bias)
        slope += tf.reduce_sum(tf.nn.relu(hidden_input), -1)
        return (new - old) * slope + tf.reduce_sum(tf.math.log(ratio), -1)

    return log_ratio


def looped(step, start, repeats=STEPS, **options):
    """A function that repeats a step in one graph, each on what the last one gave."""

    @tf.function(**options)
    def run(state):
        def body(index, state):
            return index + 1, tf.ensure_shape(step(index, state), state.shape)

        return tf.while_loop(lambda index, _: index < repeats, body, (0, state))[1]

    return lambda: run(start).numpy()


def gathering(rows):
    """A step that adds next to nothing of rows drawn at random to a state, (batch, columns)."""

    def step(index, state):
        chosen = tf.random.stateless_uniform(state.shape[:1], [1, index], 0, NUM, tf.int32)
        return state + 1e-30 * tf.gather(rows, chosen)

    return step


def updating(optimizer, weights):
    """A step of an optimizer; its state counts the steps."""
    optimizer.build(weights)

    def step(index, total):
        optimizer.apply_gradients([(w + total * 1e-30, w) for w in weights])
        return total + 1.0

    return step


def log_weights(rounds):
    """5,000 log-weights for each of 20 images, 784-200-200-50: the whole and its pieces."""
    vae, x = model(BURDA), data()[:20]
    repeats = 20 * 5000 // LOG_WEIGHT_ROWS
    logits = tf.random.normal((LOG_WEIGHT_ROWS, PIXELS))
    pixels = tf.round(tf.random.uniform((LOG_WEIGHT_ROWS, PIXELS)))
    hidden = tf.random.normal((LOG_WEIGHT_ROWS, 200))
    z = tf.random.normal((LOG_WEIGHT_ROWS, 50))

    def likelihood(index, total):
        y = logits + total[0] * 1e-30
        return bernoulli_cross_entropy(pixels, y)

    def activations(index, state):
        return tf.tanh(tf.tanh(state))

    def latents(index, state):
        eps = tf.random.stateless_normal(state.shape, [1, index])
        return 0.5 * state + eps - 1e-30 * tf.reduce_sum(state**2 - eps**2, -1, keepdims=True)

    sides = {
        "VAE.log_weights": lambda: np.asarray(vae.log_weights(x, 5000, seed=0)),
        "its decoder's products": decoder_products(LOG_WEIGHT_ROWS, repeats),
        "its cross-entropy of pixels": looped(likelihood, z[:, 0], repeats),
        "its hyperbolic tangents": looped(activations, hidden, repeats),
        "its draws and densities of z": looped(latents, z, repeats),
        "tried: the products in bfloat16": decoder_products(
            LOG_WEIGHT_ROWS, repeats, dtype="bfloat16"
        ),
    }
    return measure(sides, rounds)


def vae_step(rounds):
    """Three epochs of the VAE of Burda et al., batch 1,000: the whole and its pieces."""
    batch, rows = 1000, tf.constant(data())
    steps = 3 * NUM // batch
    vae = model(BURDA)
    logits = tf.random.normal((batch, PIXELS))
    weights = [tf.Variable(w) for w in vae.trainable_variables]

    def loss(index, v):
        with tf.GradientTape() as tape:
            tape.watch(v)
            cost = tf.reduce_mean(bernoulli_cross_entropy(pixels, v))
        return v - 1e-3 * tape.gradient(cost, v)

    pixels = tf.gather(rows, range(batch))
    sides = {
        "VAE.fit": fit(vae, batch, rows),
        "its products": training_products(BURDA, batch),
        "its gathering of rows": looped(gathering(rows), logits, steps),
        "its cross-entropy, both ways": looped(loss, logits, steps),
        "its update by Adam": looped(updating(FusedAdam(), weights), tf.constant(0.0), steps),
    }
    return measure(sides, rounds)


def rbm_step(rounds):
    """Three epochs of PCD-1 of a 784-500 RBM, batch 100: the whole and its pieces."""
    x, steps = data(), 3 * NUM // BATCH
    rows = tf.constant(x)
    v, h = (tf.random.normal((BATCH, units)) for units in (VISIBLE, HIDDEN))
    both = tf.random.normal((2 * BATCH, HIDDEN))
    kernel = tf.Variable(tf.random.normal((VISIBLE, HIDDEN)))

    def draws_of_both(index, state):
        shift = state[0, 0] * 1e-30
        return draws(v + shift, [1, index]) + draws(h + shift, [2, index])[0, 0]

    def means_and_free_energies(index, state):
        inputs = both + 1e-30 * state
        return tf.sigmoid(inputs) + tf.reduce_sum(tf.math.softplus(inputs), -1, keepdims=True)

    sides = {
        "fit": rbm_speed.fit(rbm_speed.model(x), rows),
        "its six products": matmul_limit(BATCH, steps),
        "its gathering of rows": looped(gathering(rows), v, steps),
        "its draws of both layers": looped(draws_of_both, v, steps),
        "its means and free energies": looped(means_and_free_energies, both, steps),
        "its update of the kernel": looped(
            updating(keras.optimizers.SGD(0.05), [kernel]), tf.constant(0.0), steps
        ),
    }
    return measure(sides, rounds)


SECTIONS = {f.__name__: f for f in (annealing, log_weights, vae_step, rbm_step)}

if __name__ == "__main__":
    main("breakdown", __doc__, SECTIONS)

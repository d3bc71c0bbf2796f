"""Gaussian surrogates of a posterior, and a reference to judge them by: for black_box.py."""

import numpy as np
import scipy
import tensorflow as tf
import tensorflow_probability as tfp

from rbm_tf.estimates import estimate_log_z
from vae_keras.black_box import monte_carlo_cumulant_loss

STEPS, TRAINING_DRAWS, RATE = 4000, 32, 0.05
CHAINS, BURN_IN, KEPT = 8, 500, 8000  # of NUTS
WALKS, TEMPERATURES = 200, 500  # of annealing


def gaussian(parameters, dim):
    """q from its mean and the logarithms of its scales, or a triangle of a Cholesky factor."""
    loc, raw = parameters[:dim], parameters[dim:]
    if len(raw) == dim:
        return tfp.distributions.MultivariateNormalDiag(loc, tf.exp(raw))
    factor = tfp.math.fill_triangular(raw)
    factor = tf.linalg.set_diag(factor, tf.exp(tf.linalg.diag_part(factor)))
    return tfp.distributions.MultivariateNormalTriL(loc, factor)


def train(model, full_rank, seed):
    """Parameters of q by Adam on the ELBO, its rate falling to 0 as a cosine."""
    dim = model.dim
    size = dim + (dim * (dim + 1) // 2 if full_rank else dim)

    @tf.function(jit_compile=True)
    def step(state, number):
        parameters, first, second = state
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            here = tf.stack([seed, tf.cast(number, tf.int32)])
            q = gaussian(parameters, dim)
            loss = monte_carlo_cumulant_loss(model.log_prob, q, TRAINING_DRAWS, seed=here)
        gradient = tape.gradient(loss, parameters)
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        rate = RATE * (1 + tf.cos(np.pi * number / STEPS)) / 2
        scale = tf.sqrt(second / (1 - 0.99 ** (number + 1))) + 1e-8
        return parameters - rate * first / (1 - 0.9 ** (number + 1)) / scale, first, second

    start = np.zeros(size)
    if not full_rank:
        start[dim:] = -1.0
    state = (tf.constant(start), tf.zeros(size, tf.float64), tf.zeros(size, tf.float64))
    for number in range(STEPS):
        state = step(state, tf.constant(number, tf.float64))
    return state[0]


def laplace(model, start):
    """Parameters of the full-rank q at the mode, with the curvature there."""

    def minus_log_prob(z):
        with tf.GradientTape() as tape:
            z = tf.convert_to_tensor(z)
            tape.watch(z)
            value = -model.log_prob(z[None])[0]
        return value.numpy(), tape.gradient(value, z).numpy()

    mode = tf.constant(scipy.optimize.minimize(minus_log_prob, start, jac=True, method="BFGS").x)
    with tf.GradientTape() as outer:
        outer.watch(mode)
        with tf.GradientTape() as inner:
            inner.watch(mode)
            value = -model.log_prob(mode[None])[0]
        gradient = inner.gradient(value, mode)
    factor = tf.linalg.cholesky(tf.linalg.inv(outer.jacobian(gradient, mode)))
    factor = tf.linalg.set_diag(factor, tf.math.log(tf.linalg.diag_part(factor)))
    return tf.concat([mode, tfp.math.fill_triangular_inverse(factor)], 0)


def linear_response_sd(model, parameters, num_draws=4096):
    """Standard deviations from the Hessian of the ELBO in all parameters of the mean-field q."""
    dim = model.dim
    noise = np.random.default_rng(0).normal(size=(num_draws // 2, dim))
    noise = np.concatenate([noise, -noise])
    with tf.GradientTape() as outer:
        outer.watch(parameters)
        with tf.GradientTape() as inner:
            inner.watch(parameters)
            log_scale = parameters[dim:]
            z = parameters[:dim] + tf.exp(log_scale) * noise
            elbo = tf.reduce_mean(model.log_prob(z)) + tf.reduce_sum(log_scale)
        gradient = inner.gradient(elbo, parameters)
    hessian = outer.jacobian(gradient, parameters).numpy()
    return np.maximum(np.diag(np.linalg.inv(-hessian))[:dim], 0) ** 0.5


def reference(model, q, seed):
    """Exact answers, or means and standard deviations by NUTS and ln p(x) by annealing both ways.

    Both work in coordinates e of z = loc + L e, of the full-rank q.
    """
    if model.exact is not None:
        return {**model.exact, "log_z error": 0.0}
    loc, factor = q.loc, q.scale.to_dense()
    log_det = q.scale.log_abs_determinant()

    def target(e):
        return model.log_prob(loc + tf.linalg.matvec(factor, e)) + log_det

    base = tfp.distributions.MultivariateNormalDiag(tf.zeros(model.dim, tf.float64))
    e = nuts(target, base.sample(CHAINS, seed=(seed, 2)), seed)  # (KEPT, CHAINS, dim)
    z = (loc + tf.linalg.matvec(factor, e)).numpy()
    r_hat = tfp.mcmc.potential_scale_reduction(z, split_chains=True).numpy()
    if not r_hat.max() < 1.02:
        raise RuntimeError(f"The chains of NUTS have not mixed: R-hat {r_hat.max():.3f}.")
    size = tfp.mcmc.effective_sample_size(z, cross_chain_dims=1).numpy()
    thinned = tf.reshape(e, [-1, model.dim])[:: CHAINS * KEPT // WALKS]
    forward = estimate_log_z(
        anneal(base.log_prob, target, base.sample(WALKS, seed=(seed, 3)), seed)
    )
    backward = estimate_log_z(-anneal(target, base.log_prob, thinned, seed + 1), reverse=True)
    gap = backward.log_z - forward.log_z
    error = np.hypot(forward.standard_error, backward.standard_error)
    return {
        "log_z": (forward.log_z + backward.log_z) / 2,
        "log_z error": float(max(abs(gap), error) / 2),
        "annealing": {"forward": forward.log_z, "reverse": backward.log_z, "s.e. of gap": error},
        "mean": z.mean((0, 1)),
        "sd": z.std((0, 1)),
        "nuts": {"R-hat": float(r_hat.max()), "smallest ESS": float(size.min())},
    }


def nuts(target, start, seed):
    kernel = tfp.mcmc.NoUTurnSampler(target, tf.constant(0.1, tf.float64), max_tree_depth=7)
    kernel = tfp.mcmc.DualAveragingStepSizeAdaptation(kernel, BURN_IN * 4 // 5, 0.85)

    @tf.function(jit_compile=True)
    def run():
        return tfp.mcmc.sample_chain(
            KEPT, start, kernel=kernel, num_burnin_steps=BURN_IN, trace_fn=None, seed=[seed, 0]
        )

    return run()


def anneal(base, target, start, seed):
    """Log-weights of annealing from base to target by HMC, (WALKS,)."""

    def hmc(log_prob):
        return tfp.mcmc.HamiltonianMonteCarlo(log_prob, tf.constant(0.25, tf.float64), 4)

    @tf.function(jit_compile=True)
    def run():
        return tfp.mcmc.sample_annealed_importance_chain(
            TEMPERATURES, base, target, start, hmc, seed=[seed, 1]
        )[1]

    return run().numpy()

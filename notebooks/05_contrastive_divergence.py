# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Chapter 5: Contrastive divergence
#
# The gradient of the log likelihood of a restricted Boltzmann machine (RBM) needs an average over
# what the model makes up by itself. That average has too many terms for any but the smallest
# machines. The usual way out is a Markov chain that starts at the data and is stopped after a single step.
# Before you read on, guess: after how many steps has a machine of 9 pixels forgotten
# where it was started? After 2, after 20, or after 10,000? On 9 pixels we can find out exactly, and
# say by how much a short chain is wrong, and in which direction.
#
# **What you will do**
#
# - write block Gibbs sampling as a matrix, and check that it leaves $p(v)$ as it is;
# - find the eigenvalues of this matrix as squared singular values of a table of probabilities;
# - compute contrastive divergence with infinitely many chains, and watch its bias decay;
# - meet a machine for which a thousand steps are not enough;
# - let the model move, and measure how far chains that are never stopped fall behind.
#
# **What you will learn**
#
# - what contrastive divergence computes (B10), and why in the long run one eigenvalue governs its bias;
# - why two modes make a chain slow, and why the size of the weights does not say how slow;
# - why the learning rate of persistent chains must be small.
#
# **What you need**: chapter 4, above all the gradients (B8) and (B9) of its sections 1 and 2;
# eigenvalues of a symmetric matrix; and some Python, with this project installed.
#
# **Time**: about 59 minutes, and 80 for the exercises. The code runs in a quarter of a minute.
#
# Equation numbers such as (B10) are the row names used in the whole course, in the library's
# docstrings and in the table `EQUATIONS.md`. Numbers such as (2.1) are steps on the way. Energies
# are in nats, and $\beta = 1$ unless it is written.

# %% tags=["setup"]
# On Colab: install the course. Everywhere else it is installed already.
import importlib.util
import subprocess
import sys

COURSE = ""  # where pip finds it, such as git+https://..
if importlib.util.find_spec("rbm_tf") is None:
    subprocess.check_call([sys.executable, "-m", "pip", "install", "--quiet", COURSE])

# %%
from rbm_tf.quiet import quiet_start

quiet_start()  # TensorFlow's start-up messages, off

import itertools

import matplotlib.pyplot as plt
import numpy as np

from rbm_tf import BernoulliRBM, datasets, enumeration, plotting
from rbm_tf import training as phases
from rbm_tf.course import check, label, set_parameters

# %%
seed = 0
num_visible, num_hidden = 9, 6  # images of 3 x 3 pixels
weak, strong, bias_scale = 0.5, 3.0, 0.5  # standard deviations of random parameters, nats
couplings = 0.7, 1.3  # of the two-mode machines, nats
num_copies = 2000  # of each image, in statistical checks
steps = np.unique(np.geomspace(1, 1000, 40).astype(int))  # k of contrastive divergence
numbers = np.array([10, 20, 40, 80, 160, 320])  # of updates, section 4
blue, orange, green, purple = "#0072B2", "#D55E00", "#009E73", "#CC79A7"

plt.style.use(["rbm_tf.course", {"figure.dpi": 130}])
ink = plt.rcParams["text.color"]


# %% [markdown]
# ## 1. The average that is missing, and block Gibbs sampling
#
# [Chapter 4, section 4](04_likelihood_gradient.ipynb) gave the gradient of the log likelihood $L$. Collect what
# multiplies the parameters in one vector, with the hidden units averaged given $v$ as in (2.2) of chapter 4,
#
# $$\phi(v) = \big( v_i\, p(h_j = 1|v), \; v_i, \; p(h_j = 1|v) \big) , \qquad
#   \frac{\partial F_c(v)}{\partial \theta} = -\phi(v) \;\text{ by (B8)}, \qquad
#   \frac{\partial F_{\rm eq}}{\partial \theta} = -\langle \phi \rangle_{p(v)} \;\text{ by (B9)}. $$
#
# With $L = -\langle F_c \rangle_{\rm data} + F_{\rm eq}$ this makes
#
# $$\nabla L = \langle \phi \rangle_{\rm data} - \langle \phi \rangle_{p(v)} . \tag{1.1}$$
#
# The first average is a sum over the data. The second needs samples of $p(v)$, and we can draw from
# $p(h|v)$ and $p(v|h)$, because both are products over single units. So do it in turn: from $v$
# draw $h$, from $h$ draw a new $v'$. One such *sweep* takes $v$ to $v'$ with the probability
#
# $$T(v \to v') = \sum_h p(h|v)\, p(v'|h) . \tag{1.2}$$
#
# **A sweep leaves $p(v)$ as it is.** Multiply (1.2) by $p(v)$ and write the conditional
# probabilities as ratios, $p(v)\, p(h|v) = p(v, h)$ and $p(v'|h) = p(v', h) / p(h)$:
#
# $$p(v)\, T(v \to v') = \sum_h \frac{p(v, h)\, p(v', h)}{p(h)} = p(v')\, T(v' \to v) . \tag{1.3}$$
#
# The middle does not change when $v$ and $v'$ trade places. This is *detailed balance*: in
# equilibrium there is as much traffic from $v$ to $v'$ as back. Sum (1.3) over $v$, and remember
# that $\sum_v T(v' \to v) = 1$:
#
# $$\sum_v p(v)\, T(v \to v') = p(v') \sum_v T(v' \to v) = p(v') . \tag{1.4}$$
#
# Start from $p$, and you stay there. And because every entry of $T$ is positive (a sigmoid is never
# 0 or 1), there is no second such distribution, and every start converges to $p$. The question
# is only how fast.
#
# **Check against the exact result.** With 9 visible units $T$ is a matrix of 512 × 512. We build
# it from the table of $p(v, h)$, for a random RBM with large weights, and check (1.3) and (1.4).

# %%
visible_states = np.array(list(itertools.product([0.0, 1.0], repeat=num_visible)))  # (512, 9)
hidden_states = np.array(list(itertools.product([0.0, 1.0], repeat=num_hidden)))  # (64, 6)


def joint(rbm):
    """The table of p(v, h), (512, 64), float64."""
    kernel, visible_bias, hidden_bias = (x.numpy().astype(float) for x in rbm.trainable_variables)
    log_weights = (visible_states @ visible_bias)[:, np.newaxis] + hidden_states @ hidden_bias
    log_weights += visible_states @ kernel @ hidden_states.T  # -E (B1)
    weights = np.exp(log_weights - log_weights.max())
    return weights / weights.sum()


# %%
def sweep_matrix(rbm):
    """T(v -> v'), (512, 512): p(h|v) times p(v'|h), summed over h (1.2)."""
    table = joint(rbm)
    return (table / table.sum(axis=1, keepdims=True)) @ (table / table.sum(axis=0)).T


def random_rbm(kernel_scale, seed=seed):
    rng = np.random.default_rng(seed)
    rbm = BernoulliRBM(num_visible, num_hidden, dtype="float64")
    kernel = rng.normal(0, kernel_scale, (num_visible, num_hidden))
    return set_parameters(
        rbm, kernel, rng.normal(0, bias_scale, num_visible), rng.normal(0, bias_scale, num_hidden)
    )


# %% name="detailed-balance"
rbm = random_rbm(strong)
p, T = joint(rbm).sum(axis=1), sweep_matrix(rbm)
flow = p[:, np.newaxis] * T
check(T.sum(axis=1), 1.0)
assert np.allclose(flow, flow.T, rtol=1e-10, atol=0)  # detailed balance (1.3)
check(p @ T, p)  # stationarity (1.4)
print(f"largest |p T - p| = {np.abs(p @ T - p).max():.1e}, smallest entry of T = {T.min():.1e}")

# %% [markdown]
# The library draws the same sweep with random numbers. **Check**: many chains start at the same
# image and make one `gibbs_step`; the means of the pixels must agree with the row of $T$ within
# 5 standard errors.

# %% name="one-sweep"
start = np.tile(visible_states[100], (20_000, 1))
after_sweep = rbm.gibbs_step(start, seed=seed).numpy()
expected = T[100] @ visible_states
standard_error = np.sqrt(expected * (1 - expected) / len(start))
deviation = (after_sweep.mean(axis=0) - expected) / standard_error
assert np.all(np.abs(deviation) < 5)
print("deviation of each pixel in standard errors:", deviation.round(1))

# %% [markdown]
# ## 2. How fast does it forget? The eigenvalues of a sweep
#
# Divide (1.3) by $\sqrt{p(v)\, p(v')}$. The left-hand side becomes
# $\sqrt{p(v)}\; T(v \to v') / \sqrt{p(v')}$, a matrix with the same eigenvalues as $T$, and the
# middle becomes a product of a matrix with its own transpose:
#
# $$\sqrt{p(v)}\; T(v \to v')\, \frac{1}{\sqrt{p(v')}} = \sum_h A_{vh} A_{v'h} = (A A^{\!\top})_{vv'} ,
#   \qquad A_{vh} = \frac{p(v, h)}{\sqrt{p(v)\, p(h)}} . \tag{2.1}$$
#
# So the eigenvalues $\lambda_a$ of $T$ are the *squared singular values* of $A$. None is negative,
# none is above 1 (a stochastic matrix has none), and at most 64 of the 512 differ from 0, because $A$
# has 64 columns. The first is $\lambda_1 = 1$, with $p$ itself. Let $u_a(v)$ be the orthonormal
# eigenvectors of $A A^{\!\top}$, $u_1 = \sqrt p$. Start from any $p_0$, and after $k$ sweeps
#
# $$p_k(v) = p(v) + \sum_{a \ge 2} \lambda_a^k\, c_a\, \sqrt{p(v)}\, u_a(v) , \qquad
#   c_a = \sum_v \frac{p_0(v)}{\sqrt{p(v)}}\, u_a(v) . \tag{2.2}$$
#
# What the start had too much of dies out, each part at its own rate, and the second eigenvalue is the
# last to go. It takes about $\tau = 1 / \ln(1 / \lambda_2)$ sweeps to shrink that part by a factor
# of $e$. Gibbs sampling is slow when one layer knows the other too well.
#
# **Four machines.** Two are random, with small and with large weights. The other two have *two
# modes*. Take an image $x$, here the letter "T", with the signs $s_i = 2 x_i - 1$, and set
#
# $$W_{ij} = w\, s_i , \qquad a_i = -\tfrac12 \sum_j W_{ij} , \qquad
#   b_j = -\tfrac12 \sum_i W_{ij} . \tag{2.3}$$
#
# Insert it into (B1). With $M = \sum_i s_i (v_i - \frac12)$ and $N = \sum_j (h_j - \frac12)$ the energy
# is $-w M N$, up to a constant. It stays the same if all units flip, $M \to -M$ and $N \to -N$. So
# the letter and its negative are equally likely, and for large $w$ nearly all the probability is near
# these two.
#
# **Check against the exact result**: (2.1) and (2.2) for all machines. By symmetry, half of the
# probability is on the far side, at images with more pixels of the negative than of the letter.

# %%
data = datasets.bars_and_stripes(3)[0].reshape(14, 9).astype(float)
is_data = (visible_states[:, np.newaxis] == data).all(axis=2).any(axis=1)
letter = np.array([1.0, 1, 1, 0, 1, 0, 0, 1, 0])
is_far = np.abs(visible_states - letter).sum(axis=1) > 4.5  # nearer to the negative


def two_modes(coupling, **kwargs):
    kernel = coupling * np.outer(2 * letter - 1, np.ones(num_hidden))  # (2.3)
    rbm = BernoulliRBM(num_visible, num_hidden, seed=seed, **kwargs)
    return set_parameters(rbm, kernel, -kernel.sum(axis=1) / 2, -kernel.sum(axis=0) / 2)


# %%
def spectrum(rbm):
    """Eigenvalues (64,) and eigenvectors (512, 64) of the symmetric sweep matrix (2.1)."""
    table = joint(rbm)
    scaled = table / np.sqrt(np.outer(table.sum(axis=1), table.sum(axis=0)))
    left, singular_values, _ = np.linalg.svd(scaled, full_matrices=False)
    return singular_values**2, left


machines = {"random, small weights": random_rbm(weak), "random, large weights": random_rbm(strong)}
machines |= {f"two modes, w = {w}": two_modes(w, dtype="float64") for w in couplings}
starts, spectra = {}, {}  # of two modes: the near half of p; else the bars and stripes


# %% name="spectrum"
for name, rbm in machines.items():
    p, (values, vectors) = joint(rbm).sum(axis=1), spectrum(rbm)
    p_0 = starts[name] = np.where(is_far, 0, 2 * p) if "modes" in name else is_data / 14
    of_sweep = np.sort(np.linalg.eigvals(sweep_matrix(rbm)).real)[::-1]
    check(of_sweep, np.append(values, np.zeros(512 - 64)))
    check(values[0], 1.0)  # (2.1)
    coefficients = (p_0 / np.sqrt(p)) @ vectors * values**3
    expanded = np.sqrt(p) * (vectors @ coefficients)  # (2.2), k = 3; a = 1 gives p
    p_3 = p_0 @ np.linalg.matrix_power(sweep_matrix(rbm), 3)
    check(expanded, p_3, 1e-6)  # dividing by sqrt(p) magnifies rounding
    tau, spectra[name] = 1 / np.log(1 / values[1]), values
    print(f"{name:22s} lambda_2 = {values[1]:.6f}, tau = {tau:7.1f} sweeps")
    if "modes" in name:
        check(p[is_far].sum(), 0.5)  # by symmetry

# %% name="eigenvalues" alt="Left: the letter T in 3 by 3 pixels and its negative, the two modes. Right: the ten largest eigenvalues of four machines. With two modes and w = 1.3 the second is almost as high as the first; all others fall quickly."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), width_ratios=[1, 2.5])
plotting.image_grid(axes[0], np.reshape([letter, 1 - letter], (2, 3, 3)), columns=2)
axes[0].set_title("The two modes")
for (name, values), colour in zip(spectra.items(), (green, blue, purple, orange), strict=True):
    axes[1].plot(range(1, 11), values[:10], "o-", color=colour, label=name)
label(axes[1], "What is left after one sweep", "number $a$ of the eigenvalue", r"$\lambda_a$")
axes[1].set_xticks(range(1, 11))
axes[1].legend()
plt.show()

# %%
taus = [-1 / np.log(spectrum(random_rbm(strong, number))[0][1]) for number in range(20)]
print(f"twenty random machines with large weights: tau from {min(taus):.1f}", end=" ")
print(f"to {max(taus):.1f} sweeps, median {np.median(taus):.1f}, the first {taus[0]:.1f}")
assert taus[0] < 2 and np.median(taus) > 4 and 40 < max(taus) < 55
assert abs(-2 / np.log(spectra["two modes, w = 1.3"][1]) - 12600) < 20

# %% [markdown]
# The large random weights have a standard deviation of 3 nats, more than twice the weights of the slowest
# machine, and yet $\tau$ is below two sweeps there. So the size of the weights does not decide. Two modes do: to
# change from one to the other, all units have to turn over together, and the machine with $w = 1.3$ does so once
# in $2 \tau$, about 12,600, sweeps. Our random machine is a quick one, though: of twenty of its kind the
# slowest has a $\tau$ of 47 sweeps, and half are above four.
#
# %% [markdown]
# ## 3. Contrastive divergence and its bias
#
# Nobody can wait for $k \to \infty$ at each update. *Contrastive divergence* (Hinton 2002) starts
# the chain where the model ought to be, at the data, and stops it after $k$ sweeps, $k = 1$ more
# often than not:
#
# $$\boxed{\; \frac{\partial L}{\partial W_{ij}} \approx \langle v_i\, p(h_j = 1|v) \rangle_{\rm data}
#   - \bar v_i\, \bar h_j , \qquad \bar v \text{ from } k \text{ sweeps, } \;
#   \bar h_j = p(h_j = 1 | \bar v) \;} \tag{B10}$$
#
# and alike for the biases. One state stands for the whole distribution, and so the post that this course
# follows, Charles Martin's *Free Energies and Variational Inference*, calls it a *point estimate*. In a
# batch there is one chain for each image. Over many batches the second term averages to
#
# $$\mathbb{E}[\bar v_i \bar h_j] = \langle v_i\, p(h_j = 1|v) \rangle_{p_k} , \qquad
#   p_k = p_D\, T^k , \tag{3.1}$$
#
# with the distribution $p_D$ of the data. So there are two errors: noise, which averages out over
# the updates, and a bias, which does not. Call the mean of (B10) $g_k = \langle \phi \rangle_{p_D} -
# \langle \phi \rangle_{p_k}$. The bias is the difference of (1.1) and $g_k$, with $p_\infty = p$.
# The data's average is the same in both and cancels:
#
# $$\nabla L - g_k
#   = \big[ \langle \phi \rangle_{p_D} - \langle \phi \rangle_{p_\infty} \big]
#   {} - \big[ \langle \phi \rangle_{p_D} - \langle \phi \rangle_{p_k} \big]
#   = \langle \phi \rangle_{p_k} - \langle \phi \rangle_{p_\infty} , \tag{3.2}$$
#
# an average at time $k$ minus the same average at time infinity. With (2.2), where $p_0 = p_D$,
#
# $$\boxed{\; \nabla L - g_k = \sum_{a \ge 2} \lambda_a^k\, c_a \sum_v \sqrt{p(v)}\, u_a(v)\, \phi(v) \;}
#   \tag{3.3}$$
#
# There are two ways for the bias to be small. Either the eigenvalues are small, and the chain has
# forgotten the data. Or the coefficients $c_a$ are small, and the model already resembles the data. The
# second is the hope behind CD-1: as training goes well, $p_D$ comes close to $p$. It fails where
# the model differs from the data along a *slow* direction.
#
# **Check against the exact result.** First, that the library's `ContrastiveDivergence` samples $p_k$:
# 2,000 chains from each of the 14 bars and stripes, pixel means against $p_D T^2$ within 5 standard
# errors. Then the formula (3.3), for each machine and $k$. The data of the random machines are the
# bars and stripes. Those of the two-mode machines are one half of their own distribution, the near side.
# **Predict first**: for which of the four does CD-5 have less than a tenth of the gradient missing?


# %%
def features(rbm):
    """phi(v) of all visible states, (512, 69): v h^T, v and h, with <h> given v (1.1)."""
    h = rbm.hidden_mean(visible_states).numpy()
    products = visible_states[:, :, np.newaxis] * h[:, np.newaxis, :]
    return np.concatenate([products.reshape(512, -1), visible_states, h], axis=1)


# %%
phase = phases.ContrastiveDivergence(num_steps=2, seed=seed)
sampled = BernoulliRBM(num_visible, num_hidden, negative_phase=phase, dtype="float64")
set_parameters(sampled, *random_rbm(strong).trainable_variables)
copies = np.repeat(data, num_copies, axis=0)
fields = sampled.hidden_bias + copies @ sampled.kernel  # the input of each hidden unit
chains = phase(fields, machine=sampled.machine, training=False)
p_2 = is_data / 14 @ np.linalg.matrix_power(sweep_matrix(sampled), 2)
expected = p_2 @ visible_states
deviation = chains.visible.numpy().mean(axis=0) - expected
standard_error = np.sqrt(expected * (1 - expected) / len(copies))
assert np.all(np.abs(deviation) < 5 * standard_error)
print("deviation of each pixel in standard errors:", (deviation / standard_error).round(1))

# %%
bias_curves = {}
for name, rbm in machines.items():
    p, phi, p_k = joint(rbm).sum(axis=1), features(rbm), starts[name]
    exact, (values, vectors) = (starts[name] - p) @ phi, spectrum(rbm)
    coefficients = (starts[name] / np.sqrt(p)) @ vectors  # c_a (2.2)
    modes = (vectors * np.sqrt(p)[:, np.newaxis]).T @ phi  # (64, 69)
    bias_curves[name] = []
    for k in steps:
        bias = (coefficients * values**k)[1:] @ modes[1:]  # (3.3)
        if k in (1, 2, 5, 20):
            p_k = starts[name] @ np.linalg.matrix_power(sweep_matrix(rbm), int(k))
            check(exact - bias, (starts[name] - p_k) @ phi, 1e-6)  # (3.2)
        bias_curves[name].append(np.linalg.norm(bias) / np.linalg.norm(exact))

# %% name="cd-errors"
print("relative error of CD-k / cosine of its angle to the exact gradient / relative length")
quality = {}  # of each machine: three rows, for k = 1, 5, 20
for name, rbm in machines.items():
    p, p_data, phi, T = joint(rbm).sum(axis=1), starts[name], features(rbm), sweep_matrix(rbm)
    exact, quality[name] = (p_data - p) @ phi, []
    for k in (1, 5, 20):
        cd = (p_data - p_data @ np.linalg.matrix_power(T, k)) @ phi  # g_k
        length, exact_length = np.linalg.norm(cd), np.linalg.norm(exact)
        error, cosine = (
            np.linalg.norm(cd - exact) / exact_length,
            cd @ exact / length / exact_length,
        )
        quality[name].append((error, cosine, length / exact_length))
    rows = (f"{error:.4f} / {cosine:.4f} / {ratio:.2g}" for error, cosine, ratio in quality[name])
    print(f"{name:22s}  k = 1: {next(rows)}  k = 5: {next(rows)}  k = 20: {next(rows)}")

# %%
for name in ("random, small weights", "random, large weights"):
    assert quality[name][0][1] > 0.95 and quality[name][1][0] < 0.02
assert quality["two modes, w = 0.7"][1][0] > 0.5
error, cosine, ratio = np.transpose(quality["two modes, w = 1.3"])
assert error[2] > 0.99 and cosine[0] > 0.96 and ratio[0] < 1.2e-4
assert bias_curves["two modes, w = 1.3"][-1] > 0.8  # after a thousand sweeps
p_1 = starts["two modes, w = 1.3"] @ sweep_matrix(machines["two modes, w = 1.3"])
phi = features(machines["two modes, w = 1.3"])
signal, variance = (starts["two modes, w = 1.3"] - p_1) @ phi, p_1 @ phi**2 - (p_1 @ phi) ** 2
needed = variance.sum() / (signal @ signal)
assert 1e7 < needed < 1.5e7
print(f"chains for noise as small as the mean of CD-1: {needed:.1e}")

# %%
misses, p_data = [], is_data / 14
for number in range(20):
    rbm = random_rbm(strong, number)
    phi, p_5 = features(rbm), p_data @ np.linalg.matrix_power(sweep_matrix(rbm), 5)
    missed, exact = (p_5 - joint(rbm).sum(axis=1)) @ phi, (p_data - joint(rbm).sum(axis=1)) @ phi
    misses.append(np.linalg.norm(missed) / np.linalg.norm(exact))
print(f"twenty with large weights: CD-5 misses {np.median(misses):.3f} (median)", end=" ")
print(f"to {max(misses):.2f}, more than a tenth for {np.sum(np.array(misses) > 0.1)} of them")
assert np.sum(np.array(misses) > 0.1) == 9

# %% name="cd-bias" alt="Relative bias of CD-k by number of sweeps, log-log. Random machines: below 1e-4 within about 15 sweeps. Two modes, w = 0.7: within 100 sweeps. Two modes, w = 1.3: still near 1 after a thousand."
figure, axis = plt.subplots(figsize=(8.5, 4.2))
for (name, curve), colour in zip(bias_curves.items(), (green, blue, purple, orange), strict=True):
    axis.loglog(steps, curve, "o-", ms=3, color=colour, label=name)
label(
    axis, "Bias of contrastive divergence", "sweeps $k$", r"$|\nabla L - g_k| \; / \; |\nabla L|$"
)
axis.set_ylim(1e-5, 2)
axis.legend(loc="lower right")
plt.show()

# %% [markdown]
# For our two random machines CD-1 misses a part of the gradient, but it points nearly the
# right way, and five sweeps are almost exact. Of the twenty with large weights nine miss more than a tenth after five.
#
# **When it fails.** With two modes it is another matter. For $w = 0.7$ five sweeps leave more than a half of the
# gradient missing, and for $w = 1.3$ even a thousand leave most of it. What CD-1 sees there
# points the right way, but it is about ten thousand times too short, and it
# would take more than ten million chains to make the noise as small. The data are on one side, and a chain that
# starts there has no way to find out that the model has another. [Chapter 6,
# section 4](06_negative_phases.ipynb) lets such a machine learn.
#
# %% [markdown]
# ## 4. Persistence: chains that follow the model
#
# *Persistent contrastive divergence* (Tieleman 2008) keeps
# its chains. The model changes only a little in one update, so a chain that was in equilibrium
# before is nearly so after, and one more sweep brings it nearer.
#
# **How far behind is it?** Let $e_t$ be the size of the chains' deviation from $p$ along the
# slowest direction, and let each update, of size $\eta$, add $\eta r$ to it. A sweep then multiplies by
# $\lambda_2$:
#
# $$e_{t+1} = \lambda_2 \left( e_t + \eta r \right) , \qquad \text{with the steady state} \qquad
#   e_* = \eta r\, \frac{\lambda_2}{1 - \lambda_2} \approx \eta r\, \tau , \tag{4.1}$$
#
# the last step for $\lambda_2$ near 1.
#
# So persistence is biased, like CD, but a small $\eta$ makes this bias as small as we like, at *one* sweep per
# update. Conversely, a learning rate that is fine at the start, when the weights are small, may be too
# large later on, when $\tau$ has grown.
#
# **Check against the exact result.** Infinitely many persistent chains are a vector $q$ of 512
# probabilities with $q \leftarrow q\, T$. We start from $q = p$ for a random machine, double all
# of its parameters in $N$ equal steps, one sweep each, and measure how far the average of $\phi$ is off
# at the end. By (4.1) the error times $N$ should settle to a constant. (This is the proportionality to
# $\eta$. The machine mixes too fast to show $\tau$ at work; [chapter 6, section 3](06_negative_phases.ipynb)
# has one that does not.)


# %%
def after_sweep_of(q, rbm):
    """q T (1.2) without the matrix: from the visible units to the hidden ones and back."""
    table = joint(rbm)
    hidden = (q / table.sum(axis=1)) @ table  # over p(h|v)
    return table @ (hidden / table.sum(axis=0))  # over p(v|h)


rbm = random_rbm(1.0)
check(after_sweep_of(is_data / 14, rbm), is_data / 14 @ sweep_matrix(rbm))

# %% name="lag"
moving, lags = random_rbm(1.0), []
origin = [x.numpy() for x in moving.trainable_variables]
for number in numbers:
    q = joint(set_parameters(moving, *origin)).sum(axis=1)
    for step in range(1, number + 1):
        set_parameters(moving, *(x * (1 + step / number) for x in origin))
        q = after_sweep_of(q, moving)  # one sweep per update
    difference = (q - joint(moving).sum(axis=1)) @ features(moving)
    lags.append(np.linalg.norm(difference))
    print(f"N = {number:3d}: error {lags[-1]:.6f}, error x N = {lags[-1] * number:.4f}")
check(lags[-1] * numbers[-1], lags[-2] * numbers[-2], 0.02)  # proportional to 1/N (4.1)
assert np.ptp(lags * numbers) < 0.02 * lags[0] * numbers[0]

# %% name="lag-picture" alt="Error of persistent chains by number of updates, log-log: six points from 0.05 at 10 updates to 0.0014 at 320, all on a line of slope minus one."
figure, axis = plt.subplots(figsize=(7, 3.4))
axis.loglog(numbers, lags[-1] * numbers[-1] / numbers, color=ink, lw=1, label="slope $-1$")
axis.loglog(numbers, lags, "o", color=blue, label="exact, one sweep per update")
axis.set_xticks(numbers, numbers)
axis.set_yticks((0.002, 0.005, 0.01, 0.02, 0.05), ("0.002", "0.005", "0.01", "0.02", "0.05"))
axis.minorticks_off()
ylabel = r"error of $\langle \phi \rangle$ (norm)"
label(axis, "Chains that follow a moving model", "updates $N$ for the same way", ylabel)
axis.legend()
plt.show()

# %% [markdown]
# Half the step, half the lag: the error times $N$ changes by less than 2 per cent.
#
# %% [markdown]
# ## 5. Summary
#
# | negative phase | what replaces the model average | error | cost per update |
# |:--|:--|:--|:--|
# | `ExactPhase` | nothing (B9) | none | $2^{\text{smaller layer}}$ |
# | `ContrastiveDivergence` | $k$ sweeps from the data (B10) | (3.3): slow directions are missing | $k$ sweeps |
# | `PersistentContrastiveDivergence` | chains that go on | lag (4.1): learning rate × mixing time | $k$ sweeps |
#
# - A sweep of block Gibbs sampling obeys detailed balance (1.3). Its eigenvalues are the squared singular
#   values of $A$ (2.1), between 0 and 1.
# - The bias of CD-$k$ is an average at time $k$ minus one at time infinity. It is small where
#   the chain is fast or the model is right. It is nearly everything where neither holds.
# - Persistent chains trade this bias for a lag, which the learning rate controls.
#
# [Chapter 6](06_negative_phases.ipynb) adds two more negative phases, and lets all of them train.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **The smallest chain.** One visible and one hidden unit. Write the 2 × 2 matrix $T$, show
#    that $\lambda_2 = \big[ p(h{=}1|v{=}1) - p(h{=}1|v{=}0) \big] \big[ p(v{=}1|h{=}1) -
#    p(v{=}1|h{=}0) \big]$, and that the bias of CD-$k$ for the visible bias is exactly proportional to
#    $\lambda_2^k$ (`tiny_bias`, for $k = 1, \dots, 5$). For the numbers take the machine `tiny` with $W = 1.7$,
#    $a = 0.3$, $b = -0.6$ and data with $v = 1$ in nine cases of ten.
# 2. *(medium)* **CD-1 is not a gradient.** If a vector field $g(\theta)$ is the gradient of some function,
#    its Jacobian is symmetric. Compute the Jacobian of the exact gradient and that of exact CD-1 by
#    finite differences at the parameters of `random_rbm(1.0)`, for the bars and stripes, and compare (`jacobians`
#    and `asymmetries`, $|J - J^{\!\top}| / |J|$, of `"exact"` and `"CD-1"`).
# 3. *(hard)* **How long must a chain run?** Show with (2.2) that
#    $\frac12 \sum_v |p_k(v) - p(v)| \le \frac12 \lambda_2^k \sqrt{\chi^2}$, where
#    $\chi^2 = \sum_v (p_0(v) - p(v))^2 / p(v)$, and check it for all four machines
#    (`distance` and `bound`: for the name of each machine the two sides for $k = 1, \dots, 50$).
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. T has rows that add up to 1, so its eigenvalues are 1 and trace - 1 = T(1,1) - T(0,1), where
# T(v,1) = p(1|h=0) + p(h=1|v) [p(1|h=1) - p(1|h=0)]: the difference is the product in question.
# In two dimensions (2.2) has the single term a = 2, so p_k(1) - p(1) = lambda_2^k (p_0(1) - p(1)).
tiny = set_parameters(BernoulliRBM(1, 1, dtype="float64"), [[1.7]], [0.3], [-0.6])
hidden_on, visible_on = (np.ravel(f([[0.0], [1.0]])) for f in (tiny.hidden_mean, tiny.visible_mean))
stays = (1 - hidden_on) * visible_on[0] + hidden_on * visible_on[1]  # T(v -> 1)
tiny_sweep, tiny_bias = np.stack([1 - stays, stays], axis=1), []
for k in range(1, 6):
    p_k = np.array([0.1, 0.9]) @ np.linalg.matrix_power(tiny_sweep, k)
    tiny_bias.append(p_k[1] - enumeration.moments(tiny).visible[0])
tiny_lambda = np.diff(hidden_on)[0] * np.diff(visible_on)[0]
print(f"1. lambda_2 = {tiny_lambda:.6f}; the bias shrinks by this factor with each sweep")
check([*np.sort(np.linalg.eigvals(tiny_sweep)), tiny_lambda], [tiny_lambda, 1.0, 0.121291], 1e-6)
check(enumeration.moments(tiny).visible[0] + tiny_bias[0], [0.1, 0.9] @ tiny_sweep[:, 1])
check(tiny_bias, tiny_bias[0] * tiny_lambda ** np.arange(5))


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. Second derivatives do not depend on their order: the Jacobian of a gradient is symmetric. CD-1's
# is not. This alone does not rule out that some function always rises: see exercise 2 of chapter 7.
base = random_rbm(1.0)


def field(theta, k):
    rbm = set_parameters(base, theta[:54].reshape(9, 6), theta[54:63], theta[63:])
    p_k = joint(rbm).sum(axis=1) if k is None else is_data / 14 @ sweep_matrix(rbm)
    return (is_data / 14 - p_k) @ features(rbm)


def asymmetry(jacobian):
    return np.linalg.norm(jacobian - jacobian.T) / np.linalg.norm(jacobian)


# %% jupyter={"source_hidden": true} tags=["solution"]
# The Jacobians by central differences; theta holds the kernel, the visible and the hidden bias.
theta = np.concatenate([np.ravel(x) for x in random_rbm(1.0).trainable_variables])
jacobians, asymmetries = {}, {}
for name, k in (("exact", None), ("CD-1", 1)):
    ends = [(field(theta + d, k), field(theta - d, k)) for d in 1e-4 * np.eye(69)]
    jacobians[name] = np.array([(right - left) / 2e-4 for right, left in ends])
    asymmetries[name] = asymmetry(jacobians[name])
    print(f"2. {name}: |J - J^T| / |J| = {asymmetries[name]:.2e}")
check([asymmetries["exact"], asymmetries["CD-1"]], [0.0, 0.26], tolerance=5e-3)
check(
    jacobians["exact"][54:63, 54:63],  # of the visible biases: minus their covariance
    -np.cov(visible_states.T, aweights=joint(random_rbm(1.0)).sum(axis=1), bias=True),
    tolerance=1e-6,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Let f = (p_k - p) / sqrt(p) = sum_{a>1} lambda_a^k c_a u_a. By Cauchy-Schwarz, sum |p_k - p| = sum sqrt(p) |f|
# <= |f|, and |f|^2 = sum lambda_a^2k c_a^2 <= lambda_2^2k chi^2, where chi^2 = |f|^2 at k = 0: huge for a start that
# p finds very unlikely. (What lies outside the 64 eigenvectors dies in the first sweep.)
distance, bound = {}, {}  # arrays for k = 1, .., 50
for name, rbm in machines.items():
    p, T = joint(rbm).sum(axis=1), sweep_matrix(rbm)
    lambda_2, chi = spectrum(rbm)[0][1], np.sqrt(np.sum((starts[name] - p) ** 2 / p))
    p_k = list(itertools.accumulate([starts[name]] + 50 * [T], np.matmul))[1:]
    distance[name], bound[name] = np.abs(p_k - p).sum(1) / 2, lambda_2 ** np.arange(1, 51) * chi / 2
    needed = int(np.ceil(np.log(chi / 0.02) / -np.log(lambda_2)))
    print(f"3. {name:22s} k = 5: {distance[name][4]:.2e} <= {bound[name][4]:.2e}", end="; ")
    print(f"bound below 0.01 at k = {needed}")
check([distance[key][4] for key in machines], [5.66e-5, 0.0191, 0.259, 0.5], tolerance=1e-3)
check([bound[key][4] for key in machines], [1.26e-3, 3.10e6, 0.281, 0.5], tolerance=5e-3)
assert all(np.all(distance[key] <= bound[key] + 1e-12) for key in machines)

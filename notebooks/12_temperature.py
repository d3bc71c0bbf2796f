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
# # Chapter 12: Temperature
#
# A restricted Boltzmann machine (RBM) is trained at one temperature, $T = 1$. But its energy defines
# a whole family of models, one for each inverse temperature $\beta = 1/T$. This chapter takes an RBM that was
# trained on small images of digits, and turns the dial. What does it draw when it is hot, and what when it is cold?
# How much of its variety is left at $T = 1$? And if somebody shows you a machine with
# large weights, may you say that it is cold? Guess before you read on.
#
# **What you will do**
#
# - compute the thermodynamics of a trained RBM with $2^{80}$ states, exactly, in seconds;
# - scale the weights of a machine, and find out when this is a change of temperature and when it is not;
# - split its heat capacity into what pixels and what hidden units contribute;
# - look at exact samples from the same model at four temperatures.
#
# **What you will learn**
#
# - how the law of total variance turns $2^{80}$ terms into $2^{16}$ (B6);
# - why all parameters times $s$ are a temperature (B7), and the weights alone are not;
# - why cold samples look better, and what they cost.
#
# **What you need**: derivatives of $\ln Z$ ([chapter 1, sections 2 and 3](01_generating_functions.ipynb)), its
# cumulants and tilting ([chapter 1, sections 4 and 5](01_generating_functions.ipynb)), how to sum one layer out
# of an RBM ([chapter 3, section 2](03_rbm_free_energies.ipynb)); and this project, installed.
#
# **Time**: about 58 minutes, and 80 for the exercises. The code runs in half a minute, and some seconds
# longer where it trains its shipped machine anew.
#
# Equation numbers such as (B6) are the row names used in the whole course, in the library's
# docstrings and in the table `EQUATIONS.md`. Numbers such as (3.1) are steps on the way. Energies
# are in nats.

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

# %%
import itertools
import math
import os
from functools import partial

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from rbm_tf import BernoulliRBM, cumulants, datasets, enumeration, plotting
from rbm_tf.course import check, label, shipped

# %%
seed = 0
num_visible, num_hidden = 64, 16  # images of 8 x 8 pixels
epochs = (0, 1, 3, 5, 7, 9, 11, 13, 16, 20, 25, 32, 40, 50, 60, 80, 100)  # of the snapshots
batch_size, learning_rate = 50, 0.1
dial = (0, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2)  # inverse temperatures of the first picture
beta_curve, beta_points = np.linspace(0, 2, 41), np.linspace(0, 2, 21)
small_visible, small_hidden = 9, 6  # of section 2
kernel_scale, bias_scale = 2.0, 1.0  # standard deviations of its random parameters, nats
weight_factors, bias_factors = np.linspace(0.2, 2.0, 37), (0.0, 0.5, 1.0, 2.0)
sample_betas, num_samples = (0.3, 0.7, 1.0, 2.0), 4000
retrain = bool(os.environ.get("RETRAIN"))  # True: train the machine here, some seconds
blue, orange, green, grey = "#0072B2", "#D55E00", "#009E73", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 115}])
ink = plt.rcParams["text.color"]


# %%
def binary_states(num_units):
    """All states of binary units, (2 ** num_units, num_units)."""
    return ((np.arange(2**num_units)[:, np.newaxis] >> np.arange(num_units)) & 1).astype(float)


# %% [markdown]
# **Part IV: Temperature.** Whoever lets a language model write can turn a dial that is called temperature: low for
# safe sentences, high for surprising ones. It is the same $T$ as in physics. A model that is learned at $T = 1$ comes
# with all other temperatures for nothing, and what happens along the dial says much about what it has learned:
# how many states it really uses (chapters 12 and 13), whether its weights have a temperature of their own
# (chapter 14), whether it has local minima, and of what ([chapter 15](15_local_minima.ipynb)), and whether there are
# sharp phases in between ([chapter 16](16_phases.ipynb)). Here is the dial. The machine has 64 pixels and 16 hidden
# units, was trained by persistent chains on the 8 × 8 digits of scikit-learn, and comes with the course. So do
# the copies that were kept on the way, which chapter 14 uses. (With `retrain = True` above it is trained anew, and the
# files in the folder `models` are overwritten. On another processor training rounds differently, and from about epoch
# 15 on numbers differ a little from those in the text.)

# %%
(x_train, _), (x_test, _) = datasets.load_digits("bernoulli", seed=seed)
x_train, x_test = (x.reshape(len(x), -1) for x in (x_train, x_test))


def train():
    """Kernel, visible and hidden bias after each of the numbers of epochs."""
    rbm = BernoulliRBM(num_visible, num_hidden, seed=seed)
    num_batches = math.ceil(len(x_train) / batch_size)
    rbm.compile(keras.optimizers.SGD(learning_rate), steps_per_execution=num_batches)
    copies = [rbm.machine.parameters]
    for done, epoch in itertools.pairwise(epochs):
        rbm.fit(x_train, batch_size=batch_size, epochs=epoch - done, verbose=0)
        copies.append(rbm.machine.parameters)
    kernels, visible_biases, hidden_biases = zip(*copies, strict=True)
    return {"kernel": kernels, "visible_bias": visible_biases, "hidden_bias": hidden_biases}


# %% name="train"
copies = shipped("temperature_snapshots", train, retrain=retrain).values()  # (17, ..) each
parameters = [np.asarray(values[-1], float) for values in copies]
rbm = BernoulliRBM.from_parameters(*(values[-1] for values in copies), seed=seed)
log_z = enumeration.log_z(rbm)
for name, x in (("training", x_train), ("test", x_test)):
    likelihood = -np.mean(rbm.free_energy(x), dtype=float) - log_z  # (B5)
    print(f"{name} data: mean ln p(v) = {likelihood:.3f} nats")

# %% name="dial" alt="Six chains in rows, eight inverse temperatures from 0 to 2 in columns. Even grey at 0, blurs at 0.2, digits in grey from 0.6 to 1, bold black strokes at 2."
frames, coins = [], np.random.default_rng(seed).random((6, num_hidden))
for beta in dial:
    turned = BernoulliRBM.from_parameters(*(beta * x for x in parameters), dtype="float64")  # (B7)
    v = turned.sample(6, num_steps=1000, seed=seed)  # the same random numbers for each beta
    frames.append(turned.visible_mean((coins < turned.hidden_mean(v).numpy()).astype(float)))
figure, axis = plt.subplots(figsize=(8, 6.2))
plotting.image_grid(axis, np.stack(frames, axis=1).reshape(-1, 8, 8), columns=len(dial))
axis.set_axis_on()
axis.set_xticks(9 * np.arange(len(dial)) + 4.5, dial)
axis.set_yticks([])
label(axis, "One machine, one dial: pixel probabilities", r"inverse temperature $\beta$", "")
axis.spines[:].set_visible(False)
plt.show()

# %% [markdown]
# ## 1. A dial on a trained model
#
# An RBM with visible units $v_i$ and hidden units $h_j$, all 0 or 1, has the energy
#
# $$E(v, h) = -\sum_i a_i v_i - \sum_j b_j h_j - \sum_{ij} v_i W_{ij} h_j , \qquad
#   p_\beta(v, h) = \frac{e^{-\beta E(v, h)}}{Z(\beta)} . \tag{B1, B3}$$
#
# Training makes the data likely at $\beta = 1$. At $\beta = 0$ all states are equally likely, whatever
# the parameters are. As $\beta \to \infty$ only the state of lowest energy survives. All thermodynamic functions come
# from $\ln Z(\beta)$ by differentiation, as [chapter 1, sections 2 and 3](01_generating_functions.ipynb) derived:
#
# $$\begin{aligned}
# U &= \langle E \rangle_\beta = -\frac{d \ln Z}{d \beta} , \qquad
# C = \frac{dU}{dT} = \beta^2 \langle\!\langle E^2 \rangle\!\rangle_\beta = \beta^2\, \frac{d^2 \ln Z}{d \beta^2} , \\
# S &= \ln Z + \beta U , \qquad F = -\tfrac1\beta \ln Z = U - T S . \end{aligned} \tag{B6}$$
#
# $U$ is the mean energy, $C$ the heat capacity, $S$ the entropy and $F$ the free energy.
# $\langle\!\langle E^2 \rangle\!\rangle$ is the variance of the energy. Two slopes follow:
# $dU/d\beta = -\langle\!\langle E^2 \rangle\!\rangle \le 0$ and $dS/d\ln\beta = -C \le 0$.
# Cooling lowers both the energy and the entropy, and $C$ says how fast the entropy goes: $C$ nats for
# each unit of $\ln \beta$.
#
# **Predict first**: 80 units. Where does the entropy start at $\beta = 0$, and does the heat capacity have a sharp
# peak? How the sum over $2^{80}$ states is possible is the subject of section 3. (The 41 points of each curve come with
# the course; section 3 sums every second one anew.) First the checks that follow from (B6) alone: the values at
# $\beta = 0$, the signs of the slopes, and $U$ and $C$ against finite differences of $\ln Z$.


# %%
def exact_curves():
    return enumeration.thermodynamics(rbm, beta_curve)._asdict()


exact = enumeration.Thermodynamics(**shipped("temperature_exact", exact_curves, retrain=retrain))
step = 1e-3
below, at_one, above = (enumeration.thermodynamics(rbm, [1 + d]) for d in (-step, 0, step))
slope, bend = above.log_z - below.log_z, above.log_z - 2 * at_one.log_z + below.log_z
kernel, visible_bias, hidden_bias = parameters
check(exact.entropy[0], 80 * math.log(2))
assert exact.heat_capacity[0] == 0
check(exact.energy[0], -sum(visible_bias) / 2 - sum(hidden_bias) / 2 - kernel.sum() / 4, 1e-6)
assert np.all(np.diff(exact.energy) < 0) and np.all(np.diff(exact.entropy) < 0)
check(at_one.energy, -slope / (2 * step), tolerance=1e-5)  # (B6)
check(at_one.heat_capacity, bend / step**2, tolerance=1e-5)  # (B6)

# %% name="values"
print(f"beta = 0: S = 80 ln 2 = {exact.entropy[0]:.3f} nats, U = {exact.energy[0]:.3f} nats")
print(f"beta = 1: U = {at_one.energy[0]:.3f}, S = {at_one.entropy[0]:.3f} nats", end=", ")
print(f"F = {-at_one.log_z[0]:.3f}, C = {at_one.heat_capacity[0]:.3f} nats")
peak = np.argmax(exact.heat_capacity)
print(f"C is largest at beta = {beta_curve[peak]:.3f}: {exact.heat_capacity[peak]:.3f} nats")

# %% name="thermodynamics" alt="Three curves over beta from 0 to 2: the energy falls from 64 to -40 nats, the entropy from 55 to 14, the heat capacity rises from 0 to a broad maximum at 1.6."
panels = [
    ("Mean energy $U$", "$U$ (nats)", exact.energy, blue),
    ("Entropy $S$", "$S$ (nats)", exact.entropy, green),
    ("Heat capacity $C$", "$C$ (nats)", exact.heat_capacity, orange),
]
assert 1.1 < beta_curve[peak] < 1.9 and abs(at_one.entropy[0] / exact.entropy[0] - 0.5) < 0.05
figure, axes = plt.subplots(1, 3, figsize=(10, 3.3))
for axis, (title, ylabel, values, colour) in zip(axes, panels, strict=True):
    axis.plot(beta_curve, values, color=colour)
    axis.axvline(1, color=grey, ls="--", lw=1)
    label(axis, title, r"inverse temperature $\beta$", ylabel)
plt.show()

# %% [markdown]
# Between $\beta = 0$ and $\beta = 1$, the temperature of training (dashed), the machine loses about
# half of its 55.5 nats of entropy. Its heat capacity is still rising there, towards a broad maximum at
# a lower temperature. There is no sharp peak, and no singularity is possible: $\ln Z$ is the
# logarithm of a finite sum of exponentials, and hence as smooth as one can wish. Remember this when mean-field
# theory announces a phase transition in [chapter 13, section 3](13_all_temperatures.ipynb).
#
# %% [markdown]
# ## 2. Scale and temperature
#
# The energy (B1) is linear in its parameters, hence
#
# $$\beta\, E(v, h;\, a, b, W) = E(v, h;\, \beta a, \beta b, \beta W) , \qquad
#   p_\beta(v, h;\, a, b, W) = p_1(v, h;\, \beta a, \beta b, \beta W) : \tag{B7}$$
#
# to multiply all parameters by $s$ is the same as to set $\beta = s$. Nothing but the product of
# parameters and $\beta$ can ever be observed, which is why one may train at $\beta = 1$ for good.
#
# **An effective temperature.** Take an RBM without biases and split its kernel into size and
# direction, $W = \|W\|\, \hat W$ with the Frobenius norm $\|\hat W\| = 1$ (the
# root of the sum of squares). By (B7),
#
# $$p_1(v, h;\, W) = p_\beta(v, h;\, \hat W) \quad \text{with} \quad \beta = \|W\| , \qquad
#   T_{\rm eff} = \frac{1}{\|W\|} . \tag{2.1}$$
#
# This is what the post that this course follows means by an effective temperature: a machine with large weights
# behaves as a cold one. As an equation (2.1) is exact. As a rule of thumb it has two limits.
#
# **First, the biases.** If they are *not* scaled along, multiplying $W$ by $s$ is more than a change
# of temperature. Write $E = E_W + E_{\rm bias}$. The machine with the
# kernel $s W$ has the energy $s E_W + E_{\rm bias}$; the machine at $\beta = s$ has
# $\beta E = s E_W + s E_{\rm bias}$. They differ by $(1 - s) E_{\rm bias}$, so
#
# $$p_{sW}(v, h) = \frac{p_s(v, h)\, e^{-t E_{\rm bias}(v, h)}}{\langle e^{-t E_{\rm bias}} \rangle_s} , \qquad
#   t = 1 - s . \tag{2.2}$$
#
# This is a tilt, as in [chapter 1, section 5](01_generating_functions.ipynb). From its normaliser, with the cumulant
# generating function $K(t) = \ln \langle e^{-t E_{\rm bias}} \rangle_s$, follows how far the two machines are apart.
# Take the logarithm of (2.2) and average over $p_{sW}$, under which $-E_{\rm bias}$ has the mean $K'(t)$:
#
# $$\mathrm{KL}(p_{sW} \| p_s) = \Big\langle \ln \frac{p_{sW}}{p_s} \Big\rangle_{sW}
#   = t\, K'(t) - K(t) = \frac{t^2}{2} \langle\!\langle E_{\rm bias}^2 \rangle\!\rangle_s + O(t^3) , \tag{2.3}$$
#
# because $K = \kappa_1 t + \frac12 \kappa_2 t^2 + \dots$ with $\kappa_2 = \langle\!\langle E_{\rm bias}^2
# \rangle\!\rangle_s$, and $t K' = \kappa_1 t + \kappa_2 t^2 + \dots$ So for small biases the error of "weights as
# temperature" grows with their square, and without biases it vanishes.
#
# **Second, the direction.** Two kernels of equal norm and different direction are two different machines. One may be
# ordered while the other is not.
#
# **Check against the exact result** of (B7), (2.1) and (2.3), for a small random machine; then the experiment.


# %%
def random_rbm(*scales):  # of the kernel, the visible and the hidden bias
    rng = np.random.default_rng(seed)
    small = BernoulliRBM(small_visible, small_hidden, dtype="float64")
    for parameter, scale in zip(small.trainable_variables, scales, strict=True):
        parameter.assign(rng.normal(0, scale, parameter.shape))
    return small


def energies(*scales):
    """E of all 2^15 states of such a machine, nats."""
    states = binary_states(small_visible + small_hidden)
    return random_rbm(*scales).energy(states[:, :small_visible], states[:, small_visible:]).numpy()


# %%
def relative_entropy(energy, other):
    """KL between the Boltzmann distributions of two energies at beta = 1, nats."""
    log_p, log_q = (tf.nn.log_softmax(-x).numpy() for x in (energy, other))
    return np.exp(log_p) @ (log_p - log_q)


interaction, divergences = energies(kernel_scale, 0, 0), {}  # E_W
bias_energy = energies(kernel_scale, bias_scale, bias_scale) - interaction  # E_bias
for factor in bias_factors:
    biases = factor * bias_energy
    divergences[factor] = [  # KL(p_sW || p_s)
        relative_entropy(s * interaction + biases, s * (interaction + biases))
        for s in weight_factors
    ]
check(divergences[0.0], 0.0)  # no biases

# %%
small = random_rbm(kernel_scale, bias_scale, bias_scale)
for s in (0.5, 0.9, 0.99, 2.0):
    cold = random_rbm(s * kernel_scale, s * bias_scale, s * bias_scale)  # all parameters times s
    check(enumeration.log_z(cold), enumeration.log_z(small, beta=s))  # (B7)
    at_s = s * (interaction + bias_energy)
    generating = partial(cumulants.generating_function, x=-bias_energy, log_weights=-at_s)  # K(t)
    t = tf.constant(1 - s, tf.float64)
    slope = cumulants.derivatives(generating, max_order=1, at=t)[0]
    divergence = relative_entropy(s * interaction + bias_energy, at_s)
    check(divergence, t * slope - generating(t))  # (2.3)
    variance = cumulants.derivatives(generating, max_order=2, at=0 * t)[1]
    print(f"s = {s:4.2f}: KL = {divergence:.6f} nats, leading term {t**2 / 2 * variance:.6f} nats")

# %% name="directions"
norms, unbiased, entropies = np.linspace(0, 40, 81), random_rbm(kernel_scale, 0, 0), {}
small_kernel = unbiased.kernel.numpy()
log_z_unbiased, norm = enumeration.log_z(unbiased), np.linalg.norm(small_kernel)
one_bond = np.eye(small_visible, 1) * np.eye(1, small_hidden)
signs = (-1.0) ** np.add.outer(np.arange(small_visible), np.arange(small_hidden))
names = "one bond", "all equal, positive", "random", "signs of a chessboard"
for name, direction in zip(names, (one_bond, signs**2, small_kernel, signs), strict=True):
    unbiased.kernel.assign(direction / np.linalg.norm(direction))
    entropies[name] = enumeration.thermodynamics(unbiased, norms).entropy  # beta = ||W||
    print(f"||W|| = 10, {name}: S = {entropies[name][20]:.3f} nats")
    if name == "random":
        check(log_z_unbiased, enumeration.log_z(unbiased, beta=norm))  # (2.1)
check(entropies["one bond"][-1], 13 * math.log(2), tolerance=2e-2)
apart = [x - y for x, y in itertools.combinations(entropies.values(), 2)]
assert any(x.min() < -0.05 and x.max() > 0.05 for x in apart)  # curves cross

# %% name="scale-and-temperature" alt="Left: the divergence from scaling W alone; zero without biases, else a valley with its bottom at s = 1, steeper for larger biases. Right: entropy falls with the norm, differently for four kernels."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
for (factor, values), colour in zip(divergences.items(), (grey, green, blue, orange), strict=True):
    axes[0].plot(weight_factors, values, color=colour, label=f"biases × {factor:g}")
label(axes[0], "Scaling $W$ alone is not a temperature", "factor $s$", "KL$(p_{sW} || p_s)$ (nats)")
for (name, values), colour in zip(entropies.items(), (grey, green, blue, orange), strict=True):
    axes[1].plot(norms, values, color=colour, label=name)
label(axes[1], "One norm, four entropies", r"$\beta = \|W\|$", "entropy $S$ (nats)")
axes[1].set_ylim(bottom=0)
for axis in axes:
    axis.legend()
plt.show()

# %% [markdown]
# Left: without biases (grey) the two machines are identical. With them they part, the
# faster the larger the biases. Right: every curve starts at $15 \ln 2$ nats and falls as the norm
# grows, but at the same norm the four directions have very different entropies, and curves cross. One bond can freeze
# two units only, so that its curve levels off at $13 \ln 2 = 9.01$ nats.
#
# **When it fails.** So "large weights are a low temperature" is a statement about *one* machine whose parameters are
# all turned up together. A norm is not a thermometer that two machines can share.
#
# %% [markdown]
# ## 3. From $2^{80}$ terms to $2^{16}$: the law of total variance
#
# Back to the trained machine. The averages of (B6) ask for a sum over $2^{80} \approx 10^{24}$ states. But the
# restriction in the name of the RBM helps. Hold $h$ fixed and collect the terms of (B1) that contain $v_i$:
#
# $$E(v, h) = -b \cdot h - \sum_i x_i v_i , \qquad x_i(h) = a_i + \sum_j W_{ij} h_j . \tag{3.1}$$
#
# No term couples two visible units. As in [chapter 3, section 2](03_rbm_free_energies.ipynb), the sum over $v$ is then a product with one
# factor for each unit, and the visible units are independent:
#
# $$Z(\beta) = \sum_h g_\beta(h) , \qquad
#   g_\beta(h) = \sum_v e^{-\beta E(v, h)} = e^{\beta\, b \cdot h} \prod_i \big( 1 + e^{\beta x_i} \big) ,
#   \qquad p_\beta(h) = \frac{g_\beta(h)}{Z(\beta)} , \tag{3.2}$$
#
# $$p_\beta(v | h) = \prod_i p_\beta(v_i | h) , \qquad
#   p_\beta(v_i = 1 | h) = \pi_i = \sigma(\beta x_i) . \tag{3.3}$$
#
# So $p_\beta(v, h)$ is a *mixture*: one component for each $h$, with the weight $p_\beta(h)$, and
# within a component $E$ is a constant plus a sum of independent terms. The term $x_i v_i$ has the
# mean $x_i \pi_i$ and the variance $x_i^2 \pi_i (1 - \pi_i)$. Independent terms add in both:
#
# $$\langle E | h \rangle = -b \cdot h - \sum_i x_i \pi_i , \qquad
#   \mathrm{Var}(E | h) = \sum_i x_i^2\, \pi_i (1 - \pi_i) . \tag{3.4}$$
#
# The mean over the mixture is the mean of the means, $U = \langle\, \langle E | h \rangle\, \rangle$.
# For the variance, average the square in two steps, first within a component, where
# $\langle E^2 | h \rangle = \mathrm{Var}(E|h) + \langle E | h \rangle^2$ by the definition of a variance:
#
# $$\langle E^2 \rangle = \sum_h p_\beta(h)\, \langle E^2 | h \rangle
#   = \big\langle \mathrm{Var}(E | h) \big\rangle + \big\langle \langle E | h \rangle^2 \big\rangle . \tag{3.5}$$
#
# Subtract $U^2 = \big\langle \langle E | h \rangle \big\rangle^2$. The last two terms combine to the
# variance of $\langle E | h \rangle$ over $h$, and what results is the *law of total variance*:
#
# $$\boxed{\; \frac{C}{\beta^2} = \langle\!\langle E^2 \rangle\!\rangle
#   = \underbrace{\big\langle \mathrm{Var}(E | h) \big\rangle}_{\text{within}}
#   + \underbrace{\mathrm{Var}\big( \langle E | h \rangle \big)}_{\text{between}} \;} \tag{3.6}$$
#
# This is all that `enumeration.thermodynamics` does, in blocks of $2^{12}$ hidden states. The first part is the
# noise of the pixels while the hidden units stand still. The second comes from the hidden units changing.
#
# **Check against the exact result**: (3.2) to (3.6) in a few lines of NumPy, against the library.

# %%
hidden_states = binary_states(num_hidden)  # (65536, 16)
hidden_energy = -hidden_states @ hidden_bias  # -b.h
visible_input = visible_bias + hidden_states @ kernel.T  # x, (3.1), (65536, 64)


# %%
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def mixture(beta):
    """p(h) and ln Z (3.2), <E|h> and Var(E|h) (3.4)."""
    on = sigmoid(beta * visible_input)
    softplus = beta * visible_input - np.log(on)  # ln(1 + e^x) = x - ln sigma(x)
    log_weight = -beta * hidden_energy + softplus.sum(axis=1)
    weight = np.exp(log_weight - log_weight.max())
    log_z = log_weight.max() + np.log(weight.sum())
    mean = hidden_energy - np.sum(visible_input * on, axis=1)
    variance = np.sum(visible_input**2 * on * (1 - on), axis=1)
    return weight / weight.sum(), log_z, mean, variance


# %% name="parts"
points, parts = type(exact)(*(values[::2] for values in exact)), []
for index, beta in enumerate(beta_points):
    p, log_z, mean, variance = mixture(beta)
    within, between = p @ variance, p @ (mean - p @ mean) ** 2  # (3.6)
    parts.append((within * beta**2, between * beta**2))
    check([points.betas[index], points.log_z[index]], [beta, log_z])  # (3.2)
    check(p @ mean, points.energy[index], tolerance=1e-8)
    check(sum(parts[-1]), points.heat_capacity[index], tolerance=1e-8)  # (3.6)
within, between = np.transpose(parts)
assert within[2] > 0.95 * points.heat_capacity[2] and abs(between[-1] / within[-1] - 1) < 0.3
for index in (2, 10, 20):
    print(f"beta = {beta_points[index]:.1f}: C = {within[index]:.3f} (within)", end=" + ")
    print(f"{between[index]:.3f} (between) = {points.heat_capacity[index]:.3f} nats")

# %% name="two-sources" alt="Heat capacity over beta, split in two: pixels make nearly all of it up to 0.4; the part of the hidden units grows to about half at beta = 2."
figure, axis = plt.subplots(figsize=(7, 3.2))
colours, names = ("#56B4E9", "#E69F00"), ("within: pixels, $h$ fixed", "between: hidden units")
axis.stackplot(beta_points, within, between, colors=colours, alpha=0.7, labels=names)
axis.plot(beta_points, points.heat_capacity, color=ink, label="$C$, library")
label(axis, "Two sources of the heat capacity", r"inverse temperature $\beta$", "$C$ (nats)")
axis.set_ylim(0, 26)
axis.legend(loc="upper left", ncols=3)
plt.show()

# %% [markdown]
# At high temperature almost all fluctuations come from single pixels. As the model cools, the share
# of the hidden units grows, and at $\beta = 2$ it is about half. Given $h$, more and more
# pixels have made up their minds. What varies is increasingly *which* picture the machine has in mind.
#
# %% [markdown]
# ## 4. What the temperatures look like
#
# The mixture (3.2), (3.3) is also a recipe for *exact* samples: draw $h$ from its list of $2^{16}$
# probabilities, then every pixel from $p_\beta(v_i | h)$. There is no Markov chain, and no waiting for
# equilibrium.
#
# **Check**: the mean energy of 4,000 samples, and their energy variance, against the exact values,
# within 5 standard errors. As a measure of variety we print $e^{S_h}$ with the entropy
# $S_h = -\sum_h p_\beta(h) \ln p_\beta(h)$ of the hidden layer alone: the number of equally likely
# hidden states that would have the same entropy. **Predict first**: 0.3, 0.7, 1 or 2, which $\beta$ gives the best
# pictures?


# %%
def exact_samples(beta, num, rng):
    """Independent draws of (v, h) at beta, and the probabilities of all h."""
    p = mixture(beta)[0]
    chosen = rng.choice(len(p), size=num, p=p)
    v = rng.random((num, num_visible)) < sigmoid(beta * visible_input[chosen])  # (3.3)
    return v.astype(float), hidden_states[chosen], p


def hidden_entropy(p):
    return -np.sum(p[p > 0] * np.log(p[p > 0]))


# %%
rng, drawn, variety = np.random.default_rng(seed), {}, {}
known = enumeration.thermodynamics(rbm, sample_betas)
for index, beta in enumerate(sample_betas):
    v, h, p = exact_samples(beta, num_samples, rng)
    energy = -v @ visible_bias - h @ hidden_bias - np.sum(v @ kernel * h, axis=1)  # (B1)
    squares = (energy - energy.mean()) ** 2
    for x, value in ((energy, known.energy), (squares, known.heat_capacity / known.betas**2)):
        deviation = (x.mean() - value[index]) / (x.std() / math.sqrt(num_samples))
        assert abs(deviation) < 5
    drawn[beta], variety[beta] = v, np.exp(hidden_entropy(p))
    print(f"beta = {beta}: mean energy {energy.mean():.2f}, exact {known.energy[index]:.2f} nats; ")
    print(f"    S = {known.entropy[index]:.2f} nats, {variety[beta]:.0f} hidden states")
check([variety[1.0], variety[2.0]], [7020, 161], tolerance=5e-3)

# %% name="samples" alt="Twenty 8 x 8 samples each at beta 0.3, 0.7, 1 and 2: noise, rough shapes, varied digits, and thick strokes that repeat."
figure, axes = plt.subplots(1, 4, figsize=(10, 3))
for axis, (beta, v) in zip(axes, drawn.items(), strict=True):
    plotting.image_grid(axis, v[:20].reshape(-1, 8, 8), columns=4)
    axis.set_title(rf"$\beta = {beta}$, $T = {1 / beta:.1f}$")
plt.show()
apart = {beta: np.abs(v[::2] - v[1::2]).sum(axis=1) for beta, v in drawn.items()}
of_data = np.abs(x_train[:700] - x_train[700:1400]).sum(axis=1)
print("pixels in which two pictures differ, on average:", end=" ")
print(", ".join(f"{x.mean():.1f} at {beta}" for beta, x in apart.items()), end="; ")
print(f"in the training data {of_data.mean():.1f}")
error = math.hypot(*(x.std() / math.sqrt(len(x)) for x in (apart[1.0], of_data)))
assert abs(apart[1.0].mean() - of_data.mean()) < 5 * error
assert apart[2.0].mean() < apart[1.0].mean() - 4

# %% [markdown]
# At $\beta = 0.3$ the strokes drown in noise. At $\beta = 0.7$ shapes begin to show. At
# $\beta = 1$ the samples are as varied as the training data, in that two of them differ in as many pixels, and as
# noisy (for the data a coin was tossed for each grey pixel, so they *are* noisy). At $\beta = 2$ they are clean and
# bold, and they repeat themselves: two differ in five pixels less. The hidden layer uses 161 states
# there, in the sense of $e^{S_h}$, instead of 7,020 at $\beta = 1$. To lower the temperature for
# prettier samples is a common trick with generative models. Variety is what it costs.
#
# %% [markdown]
# ## 5. Summary
#
# - $U$, $S$ and $C$ are derivatives of $\ln Z(\beta)$ (B6). Cooling lowers $U$ and $S$.
# - To scale *all* parameters is to change the temperature (B7). To scale the weights alone is not, unless there are no
#   biases (2.3), and a norm does not compare two machines.
# - Given one layer, the energy is a sum of independent terms. The law of total variance (3.6) does the rest, and splits
#   the heat capacity into pixels and hidden units.
# - Cold samples are clean and alike. The entropy says how alike.
#
# The sum over one layer ends where both layers are large. [Chapter 13](13_all_temperatures.ipynb) gets all
# temperatures without it.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **Entropy from heat.** Show that $S(\beta) = 80 \ln 2 - \int_0^\beta C(\beta')\, d\beta' /
#    \beta'$ and check it for the trained model at $\beta = 1$ (`entropy_from_heat`). How is entropy measured in a
#    laboratory?
# 2. *(medium)* **Borrowed samples.** Independent samples at $\beta = 1$ can be reweighted to
#    $\beta = 1 + t$ with $w = e^{-t E}$. Derive
#    $n_{\rm eff} / n \to Z(1 + t)^2 / [Z(1)\, Z(1 + 2 t)] \approx e^{-t^2 C}$ and check it for
#    $t = \pm 0.1, \pm 0.2$ and 0.5 (a dictionary `shares` from $t$ to the sampled $n_{\rm eff} / n$). How far does
#    one set of samples reach?
# 3. *(hard)* **The coldest picture.** Given $h$, which $v$ has the lowest energy? Find the state of lowest energy of the
#    trained machine among all $2^{80}$ (`ground`: its 64 pixels; `lowest`: its energy) and draw it. Then take, for
#    each $h$, the best $v$ and all $v$ that differ from it in one pixel, and compute $U$, $S$ and $C$ at $\beta = 128$
#    and 256 from the levels up to one nat above the lowest (`cold`: from $\beta$ to the three). Compare with the exact
#    values. Is the entropy zero?
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. dS/d beta = -C / beta (section 1), and S(0) = 80 ln 2. Integrate by Gauss and Legendre. In a
# laboratory one does just that: one measures the heat capacity and integrates it over ln T.
for num_nodes in (2, 4, 8):
    position, weight = np.polynomial.legendre.leggauss(num_nodes)
    nodes = (position + 1) / 2  # from [-1, 1] to [0, 1]
    integral = 0.5 * weight @ (enumeration.thermodynamics(rbm, nodes).heat_capacity / nodes)
    entropy_from_heat = 80 * math.log(2) - integral
    print(f"1. {num_nodes:2d} temperatures: S(1) = {entropy_from_heat:.6f}", end=", ")
    print(f"exact {at_one.entropy[0]:.6f} nats")
check(entropy_from_heat, at_one.entropy[0], tolerance=1e-5)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. <w> = Z(1 + t) / Z(1) and <w^2> = Z(1 + 2 t) / Z(1). With K(t) = ln Z(1 + t), 2 K(t) - K(0) - K(2t) =
# -t^2 K''(0) + O(t^3), and K''(0) = C: they reach about 1 / sqrt(C), less than a quarter, to either side.
v, h, _ = exact_samples(1.0, 100_000, np.random.default_rng(seed))
energy = -v @ visible_bias - h @ hidden_bias - np.sum(v @ kernel * h, axis=1)
shares, heat = {}, at_one.heat_capacity[0]
for t in (-0.2, -0.1, 0.1, 0.2, 0.5):
    w = np.exp(-t * (energy - energy.mean()))
    shares[t] = w.sum() ** 2 / np.sum(w**2) / len(w)
    ln_z = np.array([enumeration.log_z(rbm, beta=1 + k * t) for k in range(3)])
    expected = np.exp(ln_z[1] - ln_z[0] + t * energy.mean())
    assert abs(w.mean() - expected) < 5 * w.std() / math.sqrt(len(w))
    print(f"2. t = {t:4.1f}: n_eff / n = {shares[t]:.4f}", end=", ")
    print(f"exact {np.exp(ln_z @ [-1, 2, -1]):.4f}, Gaussian {np.exp(-(t**2) * heat):.4f}")
check(np.log(shares[0.1]), enumeration.thermodynamics(rbm, [1, 1.1, 1.2]).log_z @ [-1, 2, -1], 0.02)
check(np.log(shares[-0.2]), enumeration.thermodynamics(rbm, [1, 0.8, 0.6]).log_z @ [-1, 2, -1], 0.1)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Given h, v_i = 1 where x_i > 0, and E = -b.h - sum max(0, x_i). Any other v costs |x_i| for each pixel that
# differs. The entropy goes to zero, but slowly: the next level, one pixel away, is 0.016 nats above the lowest.
best = hidden_energy - np.maximum(0, visible_input).sum(axis=1)  # (65536,)
lowest, ground = best.min(), (visible_input[best.argmin()] > 0).astype(int)
levels = np.append(best, best[:, np.newaxis] + np.abs(visible_input))
levels, cold = levels[levels < lowest + 1], {}
print("3. ground state:", *ground.reshape(8, 8), sep="\n")
for beta in (128, 256):
    p = np.exp(-beta * (levels - lowest)) / np.sum(np.exp(-beta * (levels - lowest)))
    cold[beta] = p @ levels, -p @ np.log(p), beta**2 * p @ (levels - p @ levels) ** 2
    print(f"   beta = {beta}: U, S, C =", np.round(cold[beta], 4), "nats")
check(cold[128][0], enumeration.thermodynamics(rbm, [128]).energy, 1e-3)
check(cold[128][1], enumeration.thermodynamics(rbm, [128]).entropy, 1e-3)
check(cold[256][2], enumeration.thermodynamics(rbm, [256]).heat_capacity, 1e-3)
check([lowest, np.sum(ground)], [-44.03875, 18], 1e-5)

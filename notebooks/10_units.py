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
# # Chapter 10: A unit is its cumulant generating function
#
# So far every unit of a Boltzmann machine was 0 or 1, and its free energy was a softplus. Now let the pixels be
# real numbers, and leave the hidden units binary. *Guess before you read on: which function replaces softplus
# in the clamped free energy?* And which one, if the hidden units are real and the pixels binary?
#
# **What you will do**
#
# - derive one formula for the free energy of units of any kind, and check it by quadrature;
# - look at seven kinds, and write an eighth in ten lines;
# - see a machine that is a mixture of Gaussians, and one that is a memory;
# - find out when Z is finite, and which path to it stays finite.
#
# **What you will learn**
#
# - that a kind of unit enters all formulas through one function, its cumulant generating function;
# - what becomes exact when one layer can be summed over, or when both layers are Gaussian;
# - that the temperature may scale the couplings, but not what makes a unit what it is.
#
# **What you need**: chapter 1 (cumulants), chapter 3 (the clamped free energy), and chapter 8, sections 1 and 4
# (annealing).
#
# **Time**: about 60 minutes, and 120 for the exercises; ten more for the optional sections. The code runs in half a minute.
#
# Numbers such as (B35) are rows of the table `EQUATIONS.md`. Free energies are in nats. $\Gamma(x)$ is a
# function of one field here; $\Gamma(m, n)$ in other chapters is a free energy at given means.

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

import math

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from scipy import ndimage

from rbm_tf import ais, enumeration, gibbs, log_z, mean_field, reverse_ais, units
from rbm_tf.course import check, label
from rbm_tf.machine import Machine, clamped_free_energy, energy, hidden_input, visible_input
from rbm_tf.units import Binary, Gaussian, Potts, ReLU, Spin, Unit

# %%
seed = 0
precision = 1.5  # g of the Gaussian and of the rectified units
num_spins = 200  # of the memory
inverse_temperature = 8.0  # of the memory
loads = (0.02, 0.05, 0.08, 0.1, 0.12, 0.14, 0.17, 0.2, 0.25, 0.3)  # patterns per spin
num_chains = 1000  # of annealing
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 102}])
ink, paper = (plt.rcParams[key] for key in ("text.color", "axes.facecolor"))


# %%
def random_machine(visible, hidden, scale, seed):
    """A machine of two layers of units with normal weights and biases, float64."""
    rng = np.random.default_rng(seed)
    shapes = (visible.size, hidden.size), (visible.size,), (hidden.size,)
    parameters = [tf.constant(scale * rng.normal(size=shape)) for shape in shapes]
    return Machine(*parameters, visible, hidden)


# %% [markdown]
# ## 1. One function
#
# Give each unit an energy $U(t)$ of its own, which says what it is before anybody speaks to it:
#
# $$E(v, h) = \sum_i U(v_i) + \sum_j U(h_j) - a \cdot v - b \cdot h - v^T W h . \tag{1.1}$$
#
# With the visible units held fixed the hidden ones are independent. One of them, $t$, feels the total field
# $x$, which is $b_j + (v W)_j$. What normalises its distribution is a function of $x$ alone:
#
# $$\boxed{\; p(t) = e^{\,x t - U(t) - \Gamma(x)} , \qquad \Gamma(x) = \ln \int\! dt\; e^{\,x t - U(t)} \;} \tag{B35}$$
#
# with a sum in place of the integral if $t$ is discrete. The field is a source, as the bias was in chapter 2, section 1.
# An additional field $s$ adds $s\,t$ to the exponent, so
#
# $$\ln \big\langle e^{\,s t} \big\rangle_x = \Gamma(x + s) - \Gamma(x)
#   \quad\Rightarrow\quad \kappa_n(x) = \langle\!\langle t^n \rangle\!\rangle_x = \frac{d^n \Gamma}{dx^n} \tag{1.2}$$
#
# by (B21). The slope $\kappa_1$ is the mean of the unit, the curvature $\kappa_2$ its variance. Now sum all hidden
# units out of $e^{-E}$. Each gives one factor $e^{\Gamma_j}$, and minus the logarithm is
#
# $$\boxed{\; F_c(v) = \sum_i U(v_i) - a \cdot v - \sum_j \Gamma_j\big(b_j + (v W)_j\big) \;} \tag{B36}$$
#
# For binary units $U = 0$ and $\Gamma = \ln(e^0 + e^x)$ is softplus: (B5). By (1.2) its gradient is
# $\partial F_c / \partial W_{ij} = -v_i\, \kappa_1(x_j)$, which is (B8) with $\kappa_1$ in place of the sigmoid. So
# the training of chapters 5 and 6 carries over word by word.
#
# And the guess? With real pixels and binary hidden units softplus *stays*: it belongs to the hidden
# units. The pixels only add their $U(v)$, which for Gaussian ones is a parabola. With binary pixels and
# Gaussian hidden units the parabola replaces softplus.
#
# **Check against the exact result**: (B36) for ReLU hidden units, against the integral of $e^{-E}$ over
# both of them on a grid.

# %% name="clamped"
rectified = random_machine(Gaussian(3, precision), ReLU(2, precision), 0.5, seed)
nodes, node_weights = np.polynomial.legendre.leggauss(80)
points, point_weights = 6 * (nodes + 1), 6 * node_weights  # on [0, 12]
h = np.stack(np.meshgrid(points, points), -1).reshape(-1, 2)
log_weights = np.log(np.outer(point_weights, point_weights).ravel())
for v in np.random.default_rng(seed).normal(size=(4, 3)):
    terms = log_weights - energy(rectified, tf.constant(np.tile(v, (len(h), 1))), tf.constant(h))
    clamped = clamped_free_energy(rectified, v[np.newaxis])[0]
    check(clamped, -np.logaddexp.reduce(terms))
    print(f"F_c = {clamped:.6f} nats, the integral says the same")

# %% [markdown]
# ## 2. Seven kinds
#
# | kind | values $t$ | $U(t)$ | $\Gamma(x)$ | mean $\kappa_1(x)$ |
# |---|---|---|---|---|
# | `Binary` | 0, 1 | 0 | $\ln(1 + e^x)$ | sigmoid of $x$ |
# | `Spin` | -1, 1 | 0 | $\ln (2 \cosh x)$ | $\tanh x$ |
# | `Potts` | one of $q$ | 0 | $\ln \sum_a e^{x_a}$ | softmax |
# | `TruncatedExponential` | 0 to 1 | 0 | $\ln((e^x - 1)/x)$ | $\frac12 + \frac12 \coth \frac x2 - \frac1x$ |
# | `Gaussian` | real | $g t^2/2$ | $x^2/2g + \frac12 \ln (2\pi/g)$ | $x/g$ |
# | `ReLU` | 0 and above | $g t^2/2$ | the same $+ \ln \Phi(x/\sqrt g)$ | $x/g$ far above 0 |
# | `DReLU` | real | half a parabola on either side | $\ln (e^{\Gamma_+} + e^{\Gamma_-})$ | of a mixture |
#
# $\Phi$ is the normal distribution function; $\Gamma_\pm$ are those of two ReLU units, back to back
# (Tubiana and Monasson 2017). *In a strongly negative field some kinds fall silent: their mean goes
# to 0. Which ones, and how fast?*

# %%
kinds = {
    "Binary": (Binary(1), blue),
    "Spin": (Spin(1), orange),
    "Potts, q = 3": (Potts(1, 3), green),
    "TruncatedExponential": (units.TruncatedExponential(1), purple),
    "Gaussian": (Gaussian(1, precision), ink),
    "ReLU": (ReLU(1, precision), "#56B4E9"),
    "DReLU": (units.DReLU(1, precision, 2 * precision, threshold_plus=1.5), grey),
}


def by_field(unit, x):
    """Gamma, kappa_1 and kappa_2 in the fields x, of which Potts units feel x in one state alone."""
    fields = tf.constant(np.stack([0 * x] * (unit.size - 1) + [x], -1))
    return np.stack([unit.cgf(fields)[:, 0], *unit.cumulants(fields, 2)[..., -1]])


# %%
def density(axis, unit, x, colour, alpha):
    """Draw p(t) in the field x, as bars for units with finitely many states."""
    gamma = by_field(unit, np.array([x]))[0]
    style = {"color": colour, "alpha": alpha, "label": f"field {x:g}"}
    if unit.is_finite:
        t = unit.layer_states().numpy()
        places = t[:, 0] if unit.size == 1 else np.arange(len(t))
        axis.bar(places + x / 16, np.exp(x * t[:, -1] - gamma), 0.2, **style)
        axis.set_xticks(places)
    else:
        t = np.linspace(*np.clip(unit.bounds, -2.2, 3.2), 400)
        axis.plot(t, np.exp(x * t - unit.energy(t[:, np.newaxis])[:, 0] - gamma), lw=2, **style)
        axis.set_ylim(0)
    axis.title.set_color(colour)


# %% name="zoo" alt="Seven small panels with the distributions of the seven kinds in fields -2 and 2: bars for binary, spin and Potts units, curves for the others. Below, three panels against the field: Gamma is convex for all; the mean is a step for bounded kinds, a straight line for Gaussian units, bent for ReLU; the variance has a maximum for bounded kinds and is constant for Gaussian units."
top, bottom = plt.figure(figsize=(10, 8), layout="constrained").subfigures(2, height_ratios=(2, 1))
panels = top.subplots(2, 4).flat
for axis, (name, (unit, colour)) in zip(panels, kinds.items(), strict=False):
    density(axis, unit, -2.0, colour, 0.4), density(axis, unit, 2.0, colour, 1.0)
    label(axis, name, "state" if unit.size > 1 else "value $t$", "$p(t)$")
panels[-1].legend(*panels[-2].get_legend_handles_labels(), loc="center")
panels[-1].axis("off")
x, limits = np.linspace(-6, 6, 241), ((-3, 8), (-3, 4), (0, 1.1))
names = r"$\Gamma(x)$, nats", r"mean $\kappa_1(x)$", r"variance $\kappa_2(x)$"
for number, axis in enumerate(bottom.subplots(1, 3)):
    for unit, colour in kinds.values():
        axis.plot(x, by_field(unit, x)[number], color=colour)
    axis.set(xlabel="field $x$", ylabel=names[number], ylim=limits[number])
plt.show()

# %% [markdown]
# A binary unit falls silent exponentially, like $e^x$, and so does one state of a Potts unit. The truncated
# exponential and ReLU do so like $1/|x|$ only: at $x = -30$ both have the mean 0.033.
#
# The mean $m = \kappa_1(x)$ labels the distribution as well as the field does. To it belongs the Legendre
# transform
#
# $$\Gamma^*(m) = \max_x \big[ x\, m - \Gamma(x) \big] = \langle \ln p(t) + U(t) \rangle , \tag{B37}$$
#
# since the maximum lies where $\kappa_1(x) = m$, and there $\ln p + U = x t - \Gamma$. It is minus the entropy
# plus the mean of $U$.

# %% name="tails"
for name in ("Binary", "TruncatedExponential", "Gaussian", "ReLU"):
    unit = kinds[name][0]
    (low, high), (narrow, wide) = by_field(unit, np.array([-30.0, 30.0]))[1:]
    print(f"{name:21s} mean {low:8.2g} and {high:6.4g}, variance {narrow:8.2g} and {wide:8.2g}")
    if unit.is_bounded:
        assert max(narrow, wide) < 2e-3
    if name in ("TruncatedExponential", "ReLU"):
        check([30 * low, 900 * narrow], 1, tolerance=0.01)
    if name == "ReLU":
        t = np.linspace(0, 3, 300_001)  # the mean of ln p + U in the field -30
        p = np.exp(-30 * t - precision * t**2 / 2 - unit.cgf([[-30.0]])[0])
        log_p_and_energy = -30 * t - by_field(unit, np.array([-30.0]))[0]
        check(unit.cgf_conjugate([[low]])[0, 0], np.trapezoid(p * log_p_and_energy, t), 1e-6)

# %% [markdown]
# ## 3. A unit of your own
#
# The class `Unit` needs `cgf`, which is $\Gamma$, and `sample`; cumulants follow by automatic differentiation.
# Take counts $t = 0, 1, 2, \dots$ with $U = \ln t!$. Then $\Gamma(x) = \ln \sum_t e^{x t} / t! = e^x$: the Poisson
# distribution, all of whose cumulants are $e^x$. `check_unit` holds the parts against each other: each
# cumulant against the slope of the one before, draws against mean, variance and range.


# %% name="own"
class Poisson(Unit):
    bounds = (0.0, math.inf)

    def cgf(self, x):
        return tf.exp(self.fields(x))

    def energy(self, t):
        return tf.math.lgamma(self.fields(t) + 1)

    def sample(self, x, *, seed):
        return tf.random.stateless_poisson(tf.shape(x), [0, seed], tf.exp(x), x.dtype)


units.check_unit(Poisson(2))

# %% [markdown]
# ## 4. When ln Z is exact
#
# The two layers may change roles: sum the *visible* units out, with the $\Gamma_i$ of their own kind. If the
# hidden layer has finitely many states, a finite sum remains,
#
# $$\ln Z = \ln \sum_h \exp \Big( b \cdot h - \sum_j U(h_j) + \sum_i \Gamma_i\big(a_i + (W h)_i\big) \Big) , \tag{4.1}$$
#
# whatever the visible units are. If both layers are Gaussian, everything is one Gaussian integral over
# $(v, h)$, $N$ and $M$ units, with the precision matrix $P$ and the fields $k = (a, b)$:
#
# $$\ln Z = \tfrac{N + M}{2} \ln 2\pi - \tfrac12 \ln \det P + \tfrac12 k^T P^{-1} k , \qquad
#   P = \begin{pmatrix} g_v & -W \\ -W^T & g_h \end{pmatrix} , \tag{B38}$$
#
# where $g_v$ and $g_h$ are diagonal. It needs a positive $P$, and that is the same as
#
# $$\lambda_{\max}(K) < 1 , \qquad K = g_v^{-1/2}\, W\, g_h^{-1} W^T g_v^{-1/2} . \tag{4.2}$$
#
# **Check against the exact result**: `log_z` for both cases against $\int e^{-F_c(v)} dv$ on a grid of
# two visible units.

# %% name="log-z"
side = np.linspace(-12, 12, 241)
step = side[1] - side[0]
plane = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
for hidden in (Binary(3), Spin(3), Potts(2, 3), Gaussian(3, 4.0)):
    machine = random_machine(Gaussian(2, precision), hidden, 0.6, seed)
    on_grid = np.logaddexp.reduce(-clamped_free_energy(machine, plane)) + 2 * math.log(step)
    exact = log_z(machine)
    check(exact, on_grid)
    print(f"ln Z = {exact:.6f} nats with {hidden}")

# %% [markdown]
# ## 5. A mixture of Gaussians in disguise
#
# Take Gaussian pixels and binary hidden units. Given $h$ the pixels are independent Gaussians of mean
# $(a + W h) / g$, and the probability of $h$ is its term in (4.1). So $p(v)$ is a sum of $2^M$ Gaussians
# (Melchior, Wang and Wiskott 2017). *How many hills can three hidden units make, and can you put them
# where you like?*
#
# The means are the corners of a cube, projected: $M$ columns of $W$ place all $2^M$. The weights are, with
# $\Gamma_i = x^2 / 2 g_i + \dots$,
#
# $$\ln p(h) = {\rm const} + \Big( b + W^T \frac ag \Big) \cdot h + \tfrac12\, h^T W^T \frac1g W\, h , \tag{5.1}$$
#
# a Boltzmann machine in which hidden units *do* couple, unless their columns are orthogonal. In the plane
# three columns cannot be. We choose $a = -\frac12 W 1$ and $b = 0$, which makes $h$ and $1 - h$ equally
# likely, so that what is unequal comes from the couplings.

# %% name="cube"
W = tf.constant([[3.4, -0.4, 1.3], [0.3, 3.3, -1.2]], tf.float64)
bumps = Machine(W, -tf.reduce_sum(W, 1) / 2, np.zeros(3), Gaussian(2, precision), Binary(3))
h = bumps.hidden.layer_states().numpy()  # (8, 3)
means = bumps.visible.mean(visible_input(bumps, tf.constant(h))).numpy()
weights = np.exp(-clamped_free_energy(bumps.transposed, h) - log_z(bumps))
distances = ((plane[:, np.newaxis] - means) ** 2).sum(-1)  # (num_points, 8)
components = precision / (2 * math.pi) * np.exp(-precision * distances / 2)
p = (components @ weights).reshape(len(side), len(side))
check(p.ravel(), np.exp(-clamped_free_energy(bumps, plane) - log_z(bumps)))
check(means[3] - means[1], means[2] - means[0])  # 110 - 100 = 010 - 000: a parallelogram
tops = np.flatnonzero((p == ndimage.maximum_filter(p, 3)) & (p > 1e-4))
makers = components[tops] * weights > 0.1 * p.ravel()[tops, np.newaxis]  # (num_hills, 8)
print(f"{len(tops)} hills; weights from {weights.min():.4f} to {weights.max():.4f}")
assert sorted(makers.sum(1)) == [1, 1, 2, 2] and not makers[:, np.argsort(weights)[:2]].any()
assert round(weights.max() / weights.min()) == 17

# %% name="mixture" alt="Contours of the density over the plane: two high hills at opposite corners, two faint ones between them. Eight circles, the components, sit at the corners of a projected cube whose edges are drawn; their areas, the weights, are very unequal."
figure, axis = plt.subplots(figsize=(7, 5.2))
contours = axis.contourf(side, side, p, 14, cmap="Blues")
figure.colorbar(contours, label="density $p(v)$")
for first, one in zip(h, means, strict=True):
    for second, other in zip(h, means, strict=True):
        if np.sum(np.abs(first - second)) == 1:
            axis.plot(*zip(one, other, strict=True), color=grey, lw=0.8)
axis.scatter(*means.T, 1500 * weights, facecolor="none", edgecolor=orange, lw=2)
behind = {"facecolor": paper, "edgecolor": "none", "alpha": 0.7, "pad": 1}
for state, (x, y), weight in zip(h.astype(int), means, weights, strict=True):
    text = f"{''.join(map(str, state))}: {weight:.3f}"
    axis.text(x + 0.15, y + 0.2, text, fontsize=10, bbox=behind)
axis.set(xlim=(-4.5, 4.5), ylim=(-3.5, 4))
label(axis, "Eight components, three columns of W", "$v_1$", "$v_2$")
plt.show()

# %% [markdown]
# Of eight components two make a hill each, two pairs share one, and the lightest two have none. The greatest weight is 17 times the least. The corners of each parallelogram are tied, and so are the weights.
#
# %% [markdown]
# ## 6. A memory
#
# Now the other way round: the pixels are spins, the hidden units Gaussian. With $\Gamma_j = x^2 / 2 g_j + \dots$
# (B36) is a quadratic form. Insert $x_j = b_j + (v W)_j$ and multiply out:
#
# $$\boxed{\; F_c(v) = -\big( a + W \tfrac bg \big) \cdot v - \tfrac12 v^T J v
#   - \sum_j \Big[ \frac{b_j^2}{2 g_j} + \tfrac12 \ln \frac{2 \pi}{g_j} \Big] , \quad J = W \tfrac1g W^T \;} \tag{B39}$$
#
# This is Hopfield's model. With $P$ patterns $\xi_\mu$ of $N$ spins, $W_{i\mu} = \sqrt{\beta / N}\, \xi_{\mu i}$ and
# $g = 1$ make $J = \frac{\beta}{N} \sum_\mu \xi_\mu \xi_\mu^T$, Hebb's rule (Barra, Bernacchia, Santucci and Contucci 2012;
# Mézard 2017).
#
# **Check against the exact result**: (B39) state by state, for spins and for binary units.

# %% name="hopfield"
for visible in (Spin(6), Binary(6)):
    machine = random_machine(visible, Gaussian(4, precision), 0.7, seed)
    W, a, b = (x.numpy() for x in machine.parameters)
    states = visible.layer_states().numpy()
    quadratic = np.einsum("si,ij,sj->s", states, W @ W.T / precision, states) / 2
    constant = np.sum(b**2) / (2 * precision) + 2 * math.log(2 * math.pi / precision)
    exponents = states @ (a + W @ b / precision) + quadratic + constant
    check(-clamped_free_energy(machine, states), exponents)
    check(log_z(machine), np.logaddexp.reduce(exponents))
    print(f"ln Z = {log_z(machine):.6f} nats, by both")

# %% [markdown]
# *We spoil a quarter of the spins of one pattern and run 100 Gibbs sweeps. Does the pattern come back if 8
# are stored? If 100 are?* One pattern is a disc, all others are random.


# %%
def memory(patterns):
    """Hopfield's machine: one Gaussian hidden unit a pattern."""
    num_patterns, num_visible = patterns.shape
    kernel = tf.constant(math.sqrt(inverse_temperature / num_visible) * patterns.T, tf.float32)
    biases = tf.zeros(num_visible), tf.zeros(num_patterns)
    return Machine(kernel, *biases, Spin(num_visible), Gaussian(num_patterns))


def recall(machine, v, num_sweeps=100):
    """The visible states after Gibbs sweeps from v."""
    start = machine.hidden.sample(hidden_input(machine, tf.constant(v, tf.float32)), seed=seed)
    sweeps = tf.constant(0), tf.constant(num_sweeps)
    return gibbs.gibbs_chain(machine, start, *sweeps, tf.constant([seed, 1]))[0].numpy()


# %% name="recall" alt="Four images of 20 by 20 spins: a disc; the disc with a quarter of its spins flipped; the disc again, recalled among 8 patterns; noise with a trace of a disc, recalled among 100 patterns."
rng = np.random.default_rng(seed)
row, column = np.indices((20, 20)) - 9.5
disc = np.where(row**2 + column**2 < 64, 1.0, -1.0).ravel()
others = rng.choice([-1.0, 1.0], size=(99, 400))
spoiled = disc * rng.choice([1, -1], p=[0.75, 0.25], size=400)
images = {"stored": disc, "a quarter spoiled": spoiled}
for number in (8, 100):
    machine = memory(np.vstack([disc, others[: number - 1]]))
    images[f"recalled, P = {number}"] = recall(machine, spoiled[np.newaxis])[0]
figure, axes = plt.subplots(1, 4, figsize=(10, 3))
overlaps = [image @ disc / 400 for image in images.values()]
for axis, (name, image), overlap in zip(axes, images.items(), overlaps, strict=True):
    axis.imshow(image.reshape(20, 20), cmap="gray")
    axis.set(title=f"{name}\noverlap {overlap:.2f}", xticks=[], yticks=[])
plt.show()

# %%
found = []
for load in loads:
    rng = np.random.default_rng(seed)
    patterns = rng.choice([-1.0, 1.0], size=(round(load * num_spins), num_spins))
    start = patterns[:20] * rng.choice([1, -1], p=[0.9, 0.1], size=patterns[:20].shape)
    found.append(np.mean(recall(memory(patterns), start) * patterns[:20], axis=1))
overlap = np.array([by_pattern.mean() for by_pattern in found])

# %% name="load" alt="Overlap after 100 sweeps against the number of patterns per spin: the mean is near 1 up to a tenth and far below the start, 0.8, from a fifth on; between these loads some patterns are kept and others are lost."
figure, axis = plt.subplots(figsize=(7, 3.6))
for load, by_pattern in zip(loads, found, strict=True):
    axis.plot(np.full(len(by_pattern), load), by_pattern, ".", color=grey, alpha=0.6)
axis.plot(loads, overlap, "o-", color=blue, label="mean; dots: single patterns")
axis.legend()
label(axis, "200 spins, a tenth of them spoiled", "patterns per spin, P/N", "overlap after recall")
axis.set_ylim(0, 1.05)
plt.show()
assert overlaps[2] > 0.99 and overlaps[3] < overlaps[1]
assert overlap[3] > 0.8 > overlap[7] and loads[3] == 0.1 and loads[7] == 0.2

# %% [markdown]
# Among 8 patterns the disc comes back; among 100 the sweeps leave it worse than they found it. With 200
# spins the memory is lost within a narrow range of loads: at $P/N = 0.1$ the sweeps improve on the overlap of 0.8 from which they start, at 0.2
# they spoil it. For many spins, at zero temperature, theory puts the end at $P/N = 0.138$ (Amit, Gutfreund and
# Sompolinsky 1985).
#
# %% [markdown]
# ## 7. ReLU, and when Z is finite
#
# By (4.1) a bounded layer on one side makes $Z$ finite for every $W$. Two Gaussian layers may run off in any
# direction, and need (4.2). Units that cannot be negative have fewer directions. Take one ReLU unit in each
# layer, $g = 1$, no biases, weight $w$. In polar coordinates
#
# $$Z = \int_0^{\pi/2}\!\! d\varphi \int_0^\infty\!\! r\, dr\; e^{-\frac{r^2}{2} (1 - w \sin 2\varphi)}
#   = \int_0^{\pi/2} \frac{d\varphi}{1 - w \sin 2\varphi} = \frac{\arccos(-w)}{\sqrt{1 - w^2}} . \tag{7.1}$$
#
# The bracket must be positive in one quadrant only: $w < 1$ is enough. For $w < -1$ the result goes on as
# $\operatorname{arccosh}(-w) / \sqrt{w^2 - 1}$, although $K = w^2$ is above 1 there. *And two Gaussian units?*


# %% name="infinite"
def pair(kind, w):
    """Two units of a kind and the weight between them."""
    return Machine(tf.constant([[w]], tf.float64), *np.zeros((2, 1)), kind(1), kind(1))


for kind, weight in ((Gaussian, -1.2), (Gaussian, 1.05), (ReLU, 1.05)):
    try:
        log_z(pair(kind, weight))
    except ValueError as error:
        print(f"{kind.__name__}, w = {weight}: {str(error)[:52]}..")
    else:
        raise AssertionError("Z should be infinite")


# %% name="finite" alt="Z against the weight, logarithmic: for two Gaussian units a valley between poles at -1 and 1; for two ReLU units a curve that rises slowly from the left, passes -1 smoothly and has its pole at 1. Dots, the quadrature, lie on the curves."
def rectified_z(w):  # (7.1), also below -1
    return np.abs(np.emath.arccos(-w) / np.emath.sqrt(1 - w**2))


figure, axis = plt.subplots(figsize=(7, 3.8))
w, inside = np.linspace(-2.995, 0.985, 400), np.linspace(-0.985, 0.985, 200)
axis.semilogy(inside, 2 * math.pi / np.sqrt(1 - inside**2), color=blue, label="two Gaussian units")
axis.semilogy(w, rectified_z(w), color=orange, label="two ReLU units, (7.1)")
for weight in (-2.5, -1.2, -0.5, 0.5, 0.9):
    Z = math.exp(log_z(pair(ReLU, weight)))
    check(Z, rectified_z(weight))
    axis.semilogy(weight, Z, "o", color=ink)
label(axis, "One unit in each layer", "weight $w$", "$Z$"), axis.legend()
plt.show()

# %% [markdown]
# For ReLU layers $\lambda_{\max}(K) < 1$ is sufficient, not necessary. If the chains of a machine with unbounded
# layers run away in training, ask `rbm_tf.stability.largest_coupling`, which is this number, before you look
# at the learning rate.
#
# %% [markdown]
# ## 8. The path keeps U
#
# Annealing (chapter 8, section 4) walks from independent units at $\beta = 0$ to the machine at $\beta = 1$, and for binary
# units $\beta$ multiplied the whole energy. *What happens to a Gaussian unit if $\beta \to 0$?*
#
# **A deliberate failure.** Its width grows without end, $\int e^{-\beta g t^2 / 2} dt = \sqrt{2\pi / \beta g}$. At
# $\beta = 0$ there is no distribution to start from, and a small $\beta = \epsilon$ is no way out. From $\epsilon$ to the
# next rung $\beta$ the weight is $w = e^{-(\beta - \epsilon) g t^2 / 2}$. Of $N$ units the share of draws that count is
#
# $$\frac{n_{\rm eff}}{n} = \frac{\langle w \rangle^2}{\langle w^2 \rangle}
#   = \Big( \frac{\sqrt{\epsilon\, (2 \beta - \epsilon)}}{\beta} \Big)^N . \tag{8.1}$$

# %% name="improper"
beta, num_units, num_draws = 0.05, 4, 400_000
for epsilon in (0.02, 0.01, 0.005, 1e-6):
    t = np.random.default_rng(seed).normal(size=(num_draws, num_units))
    t /= math.sqrt(epsilon * precision)
    w = np.exp(-(beta - epsilon) * precision * (t**2).sum(1) / 2)
    share = w.sum() ** 2 / (w**2).sum() / num_draws
    expected = (math.sqrt(epsilon * (2 * beta - epsilon)) / beta) ** num_units
    log_z_0 = num_units / 2 * math.log(2 * math.pi / (epsilon * precision))
    print(f"epsilon {epsilon:5g}: ln Z_0 {log_z_0:5.1f} nats, effective share {share:.2g}", end="")
    print(f", by (8.1) {expected:.2g}")
    if epsilon > 1e-6:
        check(share / expected, 1, tolerance=0.05)
assert share * num_draws < 2 and share > 100 * expected

# %% [markdown]
# At $\epsilon = 10^{-6}$ one of 400,000 draws counts, and the observed share is that of a single draw, far above the
# true one: how badly it failed, the draws do not know. The remedy is to scale what couples the units, and to keep what they are:
#
# $$F_\beta(v) = \sum_i U(v_i) - \big[ (1 - \beta)\, a^0 + \beta a \big] \cdot v
#   - \sum_j \Gamma_j\big( \beta\, (b + v W)_j \big) . \tag{B40}$$
#
# At $\beta = 0$ all units are independent, with $\ln Z_0 = \sum_i \Gamma_i(a^0_i) + \sum_j \Gamma_j(0)$; at $\beta = 1$ this is
# (B36). In between, $\ln Z$ is a convex function of $W$, $a$ and $b$, and these move on a straight line. So
# if $Z$ is finite at the end, it is finite at every rung.
#
# **Check against the exact result**: annealing forward from the base, and backward from exact draws, with 50
# steps. The first is too low on average, the second too high (chapter 8, section 4). With 1,000 chains this bias is
# smaller than the noise. The mean log-weights do lie on either side of the exact value.


# %%
def exact_draws(machine, num, seed):
    """Independent visible states, by the exact probabilities of all hidden states."""
    h = machine.hidden.layer_states()
    p = tf.nn.softmax(-clamped_free_energy(machine.transposed, h)).numpy()
    rows = np.random.default_rng(seed).choice(len(p), size=num, p=p / p.sum())
    return machine.visible.sample(visible_input(machine, tf.gather(h, rows)), seed=seed)


# %% name="both-ways"
options = {"betas": np.linspace(0, 1, 51), "base": "uniform", "progress": False, "seed": seed}
print("visible   hidden      exact      forward            backward")
for visible, hidden in (
    (Gaussian(8, precision), Binary(8)),
    (ReLU(8, precision), Spin(6)),
    (units.TruncatedExponential(8), Potts(4, 3)),
):
    machine = random_machine(visible, hidden, 0.7, seed)
    exact, names = log_z(machine), [type(unit).__name__[:9] for unit in (visible, hidden)]
    up = ais(machine, num_chains=num_chains, **options)
    down = reverse_ais(machine, exact_draws(machine, num_chains, seed), **options)
    both = "   ".join(f"{way.log_z:8.3f} +- {way.standard_error:.3f}" for way in (up, down))
    print(f"{names[0]:9s} {names[1]:9s} {exact:8.3f} {both}")
    assert all(abs(way.log_z - exact) < 5 * way.standard_error for way in (up, down))
    assert np.mean(up.log_weights) < exact < np.mean(down.log_weights)

# %% [markdown]
# ## 9. Mean field (optional)
#
# Chapter 36 will fix the means $m$ and $n$ and expand in $W$. It uses nothing of a unit but its cumulants, so
#
# $$G = \sum_i \Gamma^*(m_i) + \sum_j \Gamma^*(n_j) - a \cdot m - b \cdot n - m^T W n
#   - \tfrac12 \sum_{ij} W_{ij}^2\, \kappa_2 \kappa_2' - \tfrac16 \sum_{ij} W_{ij}^3\, \kappa_3 \kappa_3' - \dots \tag{B41}$$
#
# holds for units of every kind whose states are numbers. The cumulants $\kappa$ of $v_i$ and $\kappa'$ of $h_j$ are
# those in the *conjugate* fields, where $\kappa_1(x) = m_i$, not in the inputs $a + W n$. *With Gaussian units in
# one layer: what does order 3 add?*

# %% name="mean-field"
print("error of -G in nats     order 1    order 2    order 3")
layers = (Spin(6), units.DReLU(4, precision, 2 * precision)), (Gaussian(6, precision), Binary(4))
for visible, hidden in layers:
    machine = random_machine(visible, hidden, 0.25, seed)
    solved = [mean_field.tap(machine, order=order) for order in (1, 2, 3)]
    errors = np.array([point.log_z for point in solved]) - log_z(machine)
    both = f"{type(visible).__name__} and {type(hidden).__name__}"
    print(f"{both:20s} " + " ".join(f"{error:10.6f}" for error in errors))
    assert all(point.converged for point in solved) and errors[0] < 0
    assert np.abs(errors[1:]).max() < abs(errors[0]) / 4
    assert isinstance(visible, Gaussian) == (abs(errors[1] - errors[2]) < 1e-9)
    assert isinstance(visible, Spin) == (abs(errors[1]) < abs(errors[2]) - 1e-9)

# %% [markdown]
# Nothing: $\kappa_3$ of a Gaussian unit is 0. Order 1 is a bound, as ever. In the first row order 2 is nearer than
# order 3, so a further order is no promise. For layers of continuous units there is `tap(moments=2)`, too, which fixes
# variances as well.
#
# %% [markdown]
# ## 10. Potts units and a gauge (optional)
#
# A Potts unit has $q$ columns, of which one is 1. Since they add up to 1, some parameters say nothing: for any
# numbers $K_{ij}$
#
# $$W_{ia,j} \to W_{ia,j} + K_{ij} , \qquad b_j \to b_j - \sum_i K_{ij} \tag{10.1}$$
#
# leaves every hidden field, and with it $F_c$, as it was. An equal shift of all $a_{ia}$ of one unit only adds to
# $\ln Z$. So do not compare single weights of such machines before the gauge is fixed, for instance by
# $\sum_a W_{ia,j} = 0$.

# %% name="gauge"
potts = random_machine(Potts(4, 3), ReLU(2, precision), 0.6, seed)
W, a, b = (x.numpy() for x in potts.parameters)
K, c = np.random.default_rng(1).normal(size=(4, 2)), np.array([0.3, -1.0, 0.5, 2.0])
moved = W + np.repeat(K, 3, axis=0), a + np.repeat(c, 3), b - K.sum(0)
shifted = Machine(*map(tf.constant, moved), potts.visible, potts.hidden)
states = potts.visible.layer_states()
difference = clamped_free_energy(shifted, states) - clamped_free_energy(potts, states)
check(difference, -c.sum())
check(log_z(shifted) - log_z(potts), c.sum())
print(f"weights change by up to {np.abs(K).max():.2f}, ln Z by {c.sum():.2f} nats", end=", ")
print(f"F_c of all {len(states)} states by {difference[0]:.2f} nats")

# %% [markdown]
# ## 11. Summary
#
# - A kind of unit is its energy $U$, or its cumulant generating function $\Gamma$: the slope is the mean, the
#   curvature the variance (B35).
# - $F_c$ takes $\Gamma$ from the hidden units and $U$ from the visible ones (B36).
# - $\ln Z$ is a sum over one finite layer (4.1), or a determinant (B38).
# - Gaussian pixels and binary hidden units are a mixture of $2^M$ Gaussians whose places and weights are tied.
# - Spins and Gaussian hidden units are Hopfield's memory (B39), which fails beyond a load.
# - Without a bounded layer $Z$ can be infinite. ReLU layers stand more than Gaussian ones.
# - Paths scale the couplings and keep $U$ (B40). Mean field takes $\Gamma^*$ and $\kappa_n$ of each kind (B41).
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **Spins are bits.** Put $t = 2 s - 1$ for all spins of (1.1). Write `as_binary(kernel,
#    visible_bias, hidden_bias)`, which returns the three parameters of the binary machine, and the number
#    that has to be added to its $\ln Z$.
# 2. *(medium)* **Copies of a bit.** Let $n$ binary hidden units have the same weights and the same bias.
#    Their sum $t$ is a unit. Find its $\Gamma$ and its $U$, and write it as a class `Copies(num, num_copies)`.
# 3. *(hard)* **What mean field misses.** At means $m$ and $n$ the variational free energy is
#    $F_1$, (B41) to order 1. For two Gaussian layers show that the best means are exact, and find
#    $F_1 - F$ as a function `missed(machine)`, by $K$ alone.
# 4. *(to explore)* **Finite beyond K = 1.** One Gaussian visible unit, two ReLU hidden ones, all $g = 1$.
#    Integrate $v$ out. For which $w_1, w_2$ is $Z$ finite? Find `weights`, of shape (1, 2), with $K > 1.9$.
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. v^T W h = 4 s W r - 2 s W 1 - 2 1 W r + 1 W 1 for v = 2 s - 1 and h = 2 r - 1, and a.v = 2 a.s - a.1.
def as_binary(kernel, visible_bias, hidden_bias):
    a = 2 * (visible_bias - kernel.sum(1))
    b = 2 * (hidden_bias - kernel.sum(0))
    return 4 * kernel, a, b, kernel.sum() - visible_bias.sum() - hidden_bias.sum()


for spins in (random_machine(Spin(5), Spin(4), scale, seed) for scale in (0.3, 0.7)):
    *parameters, lacking = as_binary(*(x.numpy() for x in spins.parameters))
    check(log_z(spins), log_z(Machine(*map(tf.constant, parameters))) + lacking)
    print(f"1. ln Z of the spins {log_z(spins):.6f} nats")
check(as_binary(np.ones((2, 1)), np.array([0.5, 0.0]), np.ones(1))[1], [-1.0, -2.0])
check(as_binary(np.ones((2, 1)), np.array([0.5, 0.0]), np.ones(1))[3], 0.5)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. Z of n independent bits is (1 + e^x)^n, so Gamma = n softplus(x). The sum t arises in C(n, t) ways:
# U = -ln C(n, t). States and their energy are all that the class needs.
class Copies(Unit):
    def __init__(self, num, num_copies):
        super().__init__(num)
        self.num_copies, self.bounds = num_copies, (0.0, float(num_copies))

    def states(self):
        return np.arange(self.num_copies + 1.0)[:, np.newaxis]

    def energy(self, t):
        t = self.fields(t)
        ways = math.lgamma(self.num_copies + 1) - tf.math.lgamma(t + 1)
        return tf.math.lgamma(self.num_copies - t + 1) - ways


# %% jupyter={"source_hidden": true} tags=["solution"]
# By itself, and in a machine, where one of five copies takes the place of five binary units.
units.check_unit(Copies(2, 5))
for scale in (0.3, 0.6):
    one = random_machine(Gaussian(3), Copies(1, 5), scale, seed)
    columns = tf.repeat(one.kernel, 5, 1), one.visible_bias, tf.repeat(one.hidden_bias, 5)
    five = Machine(*columns, one.visible, Binary(5))
    check(log_z(one), log_z(five))
    print(f"2. ln Z of both {log_z(one):.6f} nats")
check(Copies(1, 5).cgf(tf.constant([[0.3]], tf.float64)), 5 * math.log1p(math.exp(0.3)))


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Gamma* = g m^2 / 2 - ln(2 pi / g) / 2. So F_1 = z^T P z / 2 - k.z - sum ln(2 pi / g) / 2 with z = (m, n),
# least at z = P^-1 k, which are the exact means. With (B38) F_1 - F = (sum ln g - ln det P) / 2, and the blocks
# of P give -ln det(1 - K) / 2: the correlations, of which a product knows nothing.
def missed(machine):
    layers = machine.visible, machine.hidden
    g_v, g_h = (unit.parameter("log_precision", machine.kernel) for unit in layers)
    scaled = (machine.kernel / tf.exp((g_v[:, tf.newaxis] + g_h) / 2)).numpy()
    return -np.linalg.slogdet(np.eye(len(scaled)) - scaled @ scaled.T)[1] / 2


check(missed(random_machine(Gaussian(1), Gaussian(1), 6.0, seed)), 0.420929, tolerance=1e-5)

# %% jupyter={"source_hidden": true} tags=["solution"]
# Against naive mean field, its means against the exact ones.
two = random_machine(Gaussian(3, precision), Gaussian(2, 2.0), 0.5, seed)
naive, exact = mean_field.tap(two, order=1), enumeration.moments(two)
for gap in [naive.free_energy + log_z(two)]:
    check(naive.visible, exact.visible, tolerance=1e-8)
    check(missed(two), gap)
    print(f"3. F_1 = {naive.free_energy:.4f} nats, {gap:.4f} above F")

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. What is left has the precision matrix A = 1 - w w^T, and Z is finite if h^T A h > 0 for all h >= 0 but 0.
# Along the axes: |w_1| < 1 and |w_2| < 1. Between them the mixed term -2 w_1 w_2 h_1 h_2 helps if the signs differ,
# and then that is all; for equal signs w_1^2 + w_2^2 < 1. So K = w_1^2 + w_2^2 may come near to 2.
weights = np.array([[0.99, -0.99]])
print(f"4. K = {np.sum(weights**2):.3f}")
assert np.sum(weights**2) > 1.9
assert math.isfinite(
    log_z(Machine(tf.constant(weights), *map(np.zeros, (1, 2)), Gaussian(1), ReLU(2)))
)

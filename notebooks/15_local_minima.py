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
# # Chapter 15: Local minima, of what?
#
# A reader of the post asked whether free energies teach us something about local minima. Two answers were
# given: TAP theory treated the problem long ago, and systems of this kind do not suffer from it.
# Start L-BFGS from small weights, and it often stops where no derivative is left, and far from the best machine.
# *Guess before you read on: is it caught in local minima? And is a minimum of TAP's free energy the same thing?*
#
# **What you will do**
#
# - find the saddle at which every training from small weights begins;
# - train one small machine from many starts, with the exact gradient, and see where it ends;
# - prove of some ends that they are local minima, and look at the way from one to another;
# - solve the mean-field equations of a trained machine from many starts, and find what their solutions are.
#
# **What you will learn**
#
# - that there are two landscapes, one over parameters and one over averages;
# - that local minima of training exist, and that start, method and size decide whether one meets them;
# - that minima of the second kind can be what a machine has learned.
#
# **What you need**: chapter 4; chapter 13, section 3 (TAP), for section 6 here.
#
# **Time**: about 53 minutes, and 120 for the exercises. The code runs in a quarter of a minute.
#
# Numbers such as (B52) are rows of the table `EQUATIONS.md`; free energies are in nats.

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

import os

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from scipy import optimize, special

from rbm_tf import Machine, log_z, mean_field
from rbm_tf.course import check, label, shipped
from rbm_tf.datasets import bars_and_stripes
from rbm_tf.machine import clamped_free_energy

# %%
num_hidden = 6  # in all sections but 5
seeds = range(40)  # of the starts of each method in sections 3 to 5
decay = 1e-3  # lambda of section 4
small, large = 0.1, 1.0  # the scales of the starts
precise = {"maxiter": 5000, "maxfun": 20_000, "ftol": 1e-13, "gtol": 1e-7}  # for L-BFGS
fading = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 0.0)  # values of lambda in section 3
rate = 0.05  # of Adam
sizes = (2, 4, 5, 6, 7, 8, 10, 12)  # numbers of hidden units in section 5
betas = np.array([0.1, 0.2, 0.3, 0.35, 0.4, 0.5, 0.7, 1.0])  # in sections 6 and 7
retrain = bool(os.environ.get("RETRAIN"))  # True: run all starts here, several minutes
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 120}])
ink = plt.rcParams["text.color"]


# %% [markdown]
# ## 1. Two landscapes
#
# *The first* belongs to training. Its points are parameters $\theta = (W, a, b)$, its height is minus the mean
# log likelihood. By (B5) that is
#
# $$\ell(\theta) = \langle F_c(v) \rangle_{\rm data} - F_{\rm eq} . \tag{1.1}$$
#
# *The second* belongs to one machine. $\theta$ is fixed, its points are the averages $m$ of the units, and
# its height is the free energy $\Gamma(m)$ of naive mean field or of TAP, (3.1) of chapter 13 (B26).
#
# The data are the 14 bars and stripes of 3 × 3 pixels, and the machine has six hidden units, as in chapter 4.
# The best that any machine can do is $\ell = \ln 14$, each image with probability $\frac{1}{14}$. We call
# $\ell - \ln 14$ the *gap*; it is $\mathrm{KL}({\rm data} \| p)$. With 512 visible states, (1.1) and its
# gradient (B8, B9) are short sums.

# %%
data = bars_and_stripes(3)[0].reshape(-1, 9).astype(float)
states = np.indices(9 * (2,)).reshape(9, -1).T.astype(float)  # (512, 9), every image
is_data = np.any(np.all(states[:, np.newaxis] == data, 2), 1)
limit = np.log(len(data))  # ln 14


def parts(theta):
    """W (9, number), a (9,) and b (number,) from one array, for any number of hidden units."""
    number = (len(theta) - 9) // 10
    return theta[: 9 * number].reshape(9, number), theta[9 * number : -number], theta[-number:]


# %%
def log_p(theta):
    """ln p(v) of every image (B5), (512,)."""
    kernel, a, b = parts(theta)
    minus_free_energy = states @ a + np.logaddexp(0, states @ kernel + b).sum(1)
    return minus_free_energy - special.logsumexp(minus_free_energy)


def loss(theta, decay=0.0):
    """(1.1), with decay / 2 |W|^2 added, and its gradient."""
    kernel, _, b = parts(theta)
    values, h = log_p(theta), special.expit(states @ kernel + b)
    excess = np.exp(values) - is_data / len(data)  # of the model over the data
    slopes = states.T @ (excess[:, np.newaxis] * h) + decay * kernel, states.T @ excess, excess @ h
    value = decay / 2 * np.sum(kernel**2) - values[is_data].mean()
    return value, np.concatenate([part.ravel() for part in slopes])


# %% [markdown]
# **Copies.** A hidden unit has no name and no sign. To exchange two of them changes nothing. Nor does it to
# call "on" what was "off" in unit $j$, with $h_j' = 1 - h_j$: inserting that into (B1) gives
#
# $$W_j \to -W_j , \qquad b_j \to -b_j , \qquad a \to a + W_j , \tag{1.2}$$
#
# and a constant $-b_j$ in the energy, which drops out of $p(v)$. With $M$ hidden units each generic point of the
# landscape has $M!\, 2^M$ copies with the same $p(v)$, 46,080 for $M = 6$ (exercise 1 has an exception). They are harmless. What matters is whether two minima
# differ in height.
#
# **Check against the exact result**: `loss` against the library and finite differences; copies.


# %%
def start(scale, seed, number=num_hidden):
    return scale * np.random.default_rng(seed).normal(size=10 * number + 9)


def copy(theta, order, flips):
    """The hidden units in another order, then those in `flips` turned around (1.2)."""
    kernel, a, b = parts(theta)
    kernel, b, sign = kernel[:, order], b[order], np.ones(len(order))
    sign[flips] = -1
    a = a + kernel @ (sign < 0)
    return np.concatenate([(kernel * sign).ravel(), a, b * sign])


# %% name="loss-check"
theta = start(large, 0)
machine = Machine(*map(tf.constant, parts(theta)))
check(log_p(theta), -clamped_free_energy(machine, states) - log_z(machine))
slopes = [(loss(theta + e)[0] - loss(theta - e)[0]) / 2e-5 for e in 1e-5 * np.eye(69)]
check(loss(theta)[1], slopes, tolerance=1e-8)
check(log_p(copy(theta, [3, 1, 0, 2, 5, 4], [0, 2])), log_p(theta))
print(f"gap of this start {loss(theta)[0] - limit:.3f} nats, as of its copies")

# %% [markdown]
# ## 2. Where training begins: a saddle
#
# Small weights are close to $W = 0$, where the pixels are independent. With the best biases the
# pixels have the means of the data. Is that a minimum? Expand in $w_j$, column $j$ of $W$, and let
# $n_j = \sigma(b_j)$, $d_j = n_j (1 - n_j)$. Since softplus has the derivatives $\sigma$ and $\sigma (1 - \sigma)$,
#
# $$-F_c(v) = {\rm const} + \Big( a + \sum_j n_j w_j \Big) \cdot v + \tfrac12 \sum_j d_j\, (w_j \cdot v)^2 + O(w^3) . \tag{2.1}$$
#
# Keep $a' = a + \sum_j n_j w_j$ at its best value. The last term is a small change $f(v)$ of $\ln p(v)$
# before normalisation, and $\ell$ changes by $\langle f \rangle_p - \langle f \rangle_{\rm data}$. Data and
# model have the same means there. For the model, pixels are independent, so that of the covariance matrix $C$
# of the data it has the diagonal alone:
#
# $$\boxed{\; \ell = \ell_0 - \tfrac12 \sum_j d_j\; w_j^T \big( C - \mathrm{diag}\, C \big)\, w_j + O(w^3) \;} \tag{B52}$$
#
# The matrix $C - \mathrm{diag}\, C$ has the trace 0. Unless it vanishes it has a positive eigenvalue, and
# $\ell$ falls in that direction. *The machine that knows nothing is a saddle, never a local minimum, as soon
# as two pixels are correlated.*
#
# **Check against the exact result**: the second difference of `loss` with $a'$ held fixed.

# %% name="saddle"
covariance = np.cov(data.T, bias=True)
off_diagonal = covariance - np.diag(np.diag(covariance))
eigenvalues, directions = np.linalg.eigh(off_diagonal)
some_b, some_kernel = np.eye(6)[0] / 2, np.random.default_rng(1).normal(size=(9, 6))
n = special.expit(some_b)


def around_zero(t):
    """The loss at W = t some_kernel with a' = 0, the best biases for means of 1/2."""
    return loss(np.concatenate([t * some_kernel.ravel(), -t * some_kernel @ n, some_b]))[0]


second = (around_zero(1e-3) + around_zero(-1e-3) - 2 * around_zero(0)) / 1e-6
check(second, -(n * (1 - n)) @ np.sum(some_kernel * (off_diagonal @ some_kernel), 0), 1e-5)
print(f"eigenvalues of C - diag C: {eigenvalues.round(3)}, sum {eigenvalues.sum():.1e}")

# %% [markdown]
# For each hidden unit five directions lead down. To see a landscape take two pixels, equal with probability 0.9, and one
# hidden unit. With $a_i = -w_i / 2$ and $b = -(w_1 + w_2) / 2$ neither on nor off is preferred.
# In spins $s = 2v - 1$ the sum over the hidden unit is then $p(s) \propto \cosh \frac{w_1 s_1 + w_2 s_2}{4}$,
# and
#
# $$\langle s_1 s_2 \rangle = \tanh \frac{w_1}{4} \tanh \frac{w_2}{4} . \tag{2.2}$$

# %% name="drawn" alt="Contours of the loss over the two weights. A saddle in the middle; valleys along two curved dashed lines, at the lower left and at the upper right, which are mirror images."
w = np.linspace(-14, 14, 141)
pair = np.tanh(w / 4) * np.tanh(w[:, np.newaxis] / 4)  # (2.2)
heights = -0.9 * np.log((1 + pair) / 4) - 0.1 * np.log((1 - pair) / 4)
figure, axis = plt.subplots(figsize=(6, 4.6))
picture = axis.contourf(w, w, np.minimum(heights, 3), 24, cmap="cividis")
figure.colorbar(picture, ticks=(1, 1.5, 2, 2.5, 3), label=r"$\ell$ (nats), cut at 3")
right = np.linspace(4 * np.arctanh(0.8) + 1e-2, 14, 200)
for sign in (-1, 1):
    valley = 4 * np.arctanh(0.8 / np.tanh(right / 4))
    axis.plot(sign * right, sign * valley, "w--", lw=2, label="best machines" if sign > 0 else None)
axis.plot(0, 0, "o", color=orange, ms=9, label="saddle")
label(axis, "Two pixels, one hidden unit", "$w_1$", "$w_2$")
axis.set(xlim=(-14, 14), ylim=(-14, 14))
axis.legend(loc="upper left", fontsize=10)
plt.show()

# %% [markdown]
# The best machines form two valleys, copies of each other, with a saddle between. There is no bad minimum here.
#
# %% [markdown]
# ## 3. Many starts
#
# Now the machine with six hidden units. We take 40 starts with small parameters (standard deviation 0.1) and
# 40 with large ones (1.0), and three methods, all with the exact gradient:
#
# - *L-BFGS*, a quasi-Newton method, until no derivative exceeds $10^{-7}$ or progress ends;
# - *Adam*, 3,000 steps at the rate 0.05;
# - *fading*: L-BFGS with the weight decay $\frac \lambda 2 \|W\|^2$, whose $\lambda$ goes in six stages from
#   $10^{-2}$ to 0.
#
# We call an end *short* if its gap exceeds 0.05 nats. *Which method will end best?* (The 200 ends come with the course.)


# %%
def lbfgs(theta, decays=(0.0,)):
    """The end of L-BFGS, one run after the other for the given weight decays."""
    for value in decays:
        theta = optimize.minimize(loss, theta, value, "L-BFGS-B", True, options=precise).x
    return theta


def adam(theta, num_steps=3000):
    """The end of Adam."""
    mean = square = 0.0
    for k in range(1, num_steps + 1):
        slope = loss(theta)[1]
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        theta = theta - rate * mean / (1 - 0.9**k) / (np.sqrt(square / (1 - 0.999**k)) + 1e-8)
    return theta


# %%
def from_starts(name, run, scale):
    """The ends of a method from all starts, (40, 69); they come with the course."""
    return shipped(
        f"minima_{name}_{scale}",
        lambda: {"theta": [run(start(scale, seed)) for seed in seeds]},
        retrain=retrain,
    )["theta"]


ends = {}
for scale in (small, large):
    ends["L-BFGS", scale] = from_starts("L-BFGS", lbfgs, scale)
    ends["Adam", scale] = from_starts("Adam", adam, scale)
ends["fading", small] = from_starts("fading", lambda theta: lbfgs(theta, fading), small)

# %% name="ends" alt="Sorted gaps of 40 runs for each of five ways, as dots. Small starts: L-BFGS spreads from 0 to 1.7 nats, Adam is at 0 throughout. Large starts: nearly half of L-BFGS is at 0, the others reach 1.3; Adam has a few high ones. Fading decay is at 0 nearly throughout."
gaps = {key: np.array([loss(x)[0] for x in thetas]) - limit for key, thetas in ends.items()}
figure, axis = plt.subplots(figsize=(9, 3.8))
for place, values in enumerate(gaps.values()):
    spread, colour = np.linspace(-0.3, 0.3, len(values)), (blue, orange, blue, orange, green)[place]
    axis.plot(place + spread, np.sort(values), "o", color=colour, alpha=0.7)
label(axis, "Where 40 starts end", "", "gap to the best machine, nats")
axis.set_xticks(range(len(gaps)), [f"{name}\nstart {scale}" for name, scale in gaps])
plt.show()
short = {key: np.mean(values > 0.05) for key, values in gaps.items()}
for (name, scale), share in short.items():
    values = gaps[name, scale]
    print(f"{name:13s} start {scale}: {share:4.0%} end more than 0.05 nats short,", end=" ")
    print(f"median {np.median(values):.3f}, worst {values.max():.3f} nats")

# %% [markdown]
# From small starts L-BFGS ends short in nine runs of ten, Adam in none, on the same landscape from the same
# points. From large starts it is about half against a few. So a short end need not tell
# of the landscape; it may tell of the method. Why L-BFGS fares so badly we do not know. One can see where it stops:

# %% name="plateaus"
norms = {key: np.median(np.linalg.norm(x[:, :54], axis=1)) for key, x in ends.items()}
bad = ends["L-BFGS", small][gaps["L-BFGS", small] > 0.05]
steepest = max(np.abs(loss(x)[1]).max() for x in bad)
print(f"L-BFGS, small starts, short: largest derivative {steepest:.1e}; median of |W|:", end=" ")
print({f"{name} {scale}": round(float(norm)) for (name, scale), norm in norms.items()})
halvings = np.array([-np.log2(14 * np.exp(log_p(x)[is_data])) for x in ends["L-BFGS", large]])
whole = (np.abs(halvings - halvings.round()).max(1) < 0.02) & (halvings.max(1) > 0.5)
print(f"short, and all images with p = 2^-k / 14: {whole.sum()} large starts of L-BFGS,", end=" ")
print(f"gaps {np.unique(gaps['L-BFGS', large][whole].round(3))} nats")
assert short["L-BFGS", small] > 0.7 and short["Adam", small] == 0 and steepest < 1e-4
assert 0 < short["Adam", large] < short["L-BFGS", large] < short["L-BFGS", small]
assert short["fading", small] < 0.15 and norms["L-BFGS", small] > 10 * norms["Adam", small]
assert whole.sum() > 2
crowd = np.array([(np.exp(log_p(x)) > 1e-4).sum() for x in ends["L-BFGS", large]])
assert np.all(crowd[whole] == np.sum(2 ** halvings[whole].round(), axis=1))  # shared places

# %% [markdown]
# The short ends of L-BFGS from small starts have no slope to speak of, and weights with a norm in the thousands:
# they are plateaus far out. The gaps of some large starts are telling, too. There each image of the data has the
# probability $2^{-k} / 14$: it shares its place with $2^k - 1$ images that are no data (the last assertion counts
# them), and each halving costs $\frac{1}{14} \ln 2$.
#
# %% [markdown]
# ## 4. Are they minima?
#
# A plateau at infinity is not quite a local minimum. The Hessian of $\ell$ has no eigenvalue below $-10^{-5}$
# there, but the least are zero up to rounding (printed below), which proves nothing. A fixed decay $\lambda =
# 10^{-3}$ keeps $\|W\|$ finite, and (1.2) still holds. We train from the 40 large starts and compute the Hessian
# of $\ell + \frac \lambda 2 \|W\|^2$ at each end: 69 eigenvalues, all positive, prove a local minimum.

# %%
decayed = from_starts("decayed", lambda theta: lbfgs(theta, (decay,)), large)
heights = np.array([loss(x, decay)[0] for x in decayed])


def least_eigenvalue(theta, decay=decay):
    """The smallest eigenvalue of the Hessian of the loss, from differences of the gradient."""
    steps = 1e-5 * np.eye(len(theta))
    rows = [loss(theta + e, decay)[1] - loss(theta - e, decay)[1] for e in steps]
    return np.linalg.eigvalsh(np.array(rows) / 2e-5)[0]


# %% name="levels"
least = np.array([least_eigenvalue(x) for x in decayed])
minima = least > 1e-5
levels, counts = np.unique(heights[minima].round(4), return_counts=True)
print(
    f"{minima.sum()} of 40 ends are local minima; {len(levels)} heights, above the lowest by, nats:"
)
print((levels - levels[0]).round(3))
print(f"starts at each: {counts}")
far = np.array([least_eigenvalue(x, 0.0) for x in bad])  # the plateaus of section 3
print(f"least eigenvalues on the plateaus: {far.min():.0e} to {far.max():.0e}")
decayed_gaps = np.array([loss(x)[0] for x in decayed]) - limit
print(f"their gaps without the decay's part: {decayed_gaps.min():.3f} to {decayed_gaps.max():.3f}")
assert np.abs(far).max() < 1e-5 and minima.sum() >= 35 and len(levels) >= 10 and counts[0] >= 5
assert 0.1 < np.ptp(heights) < 0.2 and decayed_gaps.min() > 0.15 and decayed_gaps.max() < 0.3

# %% [markdown]
# So local minima that are not copies do exist, at ten heights and more. But the worst is less than 0.2 nats
# above the best: with a little decay all starts end at similar heights. The price is a gap of about 0.2 nats
# everywhere, and a decay that fades gets that back in nearly all runs from small starts (section 3).
#
# **From minimum to minimum.** We draw $\ell$ along straight lines from the lowest minimum: to the highest as
# it was found; to its nearest copy by (1.2); and to a copy of the lowest itself, one unit turned around.
# *Which line is the highest?*


# %%
def nearest_copy(here, there):
    """The copy of `there` at which the weights are nearest to those of `here`."""
    ours, theirs = parts(here)[0][:, :, np.newaxis], parts(there)[0][:, np.newaxis]
    same, turned = (np.sum((ours - sign * theirs) ** 2, 0) for sign in (1, -1))
    rows, order = optimize.linear_sum_assignment(np.minimum(same, turned))
    return copy(there, order, np.flatnonzero(turned[rows, order] < same[rows, order]))


# %%
lowest, highest = decayed[np.argmin(heights)], decayed[np.argmax(np.where(minima, heights, 0))]
targets = {
    "highest minimum, as found": highest,
    "its nearest copy": nearest_copy(lowest, highest),
    "lowest, one unit turned": copy(lowest, range(6), [0]),
}
way = np.linspace(0, 1, 61)
lines = [[loss(lowest + t * (x - lowest), decay)[0] for t in way] for x in targets.values()]
as_found, near, turned = np.max(lines, 1) - lines[0][0]
check(log_p(targets["its nearest copy"]), log_p(highest), 1e-8)
print(f"rise along the line: {as_found:.2f}, {near:.2f}, {turned:.2f} nats")
assert as_found > 2 * near and near > 0.2 and turned > 0.2

# %% name="lines" alt="Three curves of the loss along straight lines from the lowest minimum. To the highest minimum as found it rises by 3 nats; to its nearest copy and to the turned copy of the lowest it rises by about 0.6 nats."
figure, axis = plt.subplots(figsize=(7.5, 4))
colours, styles = (blue, orange, green), ("-", "--", "-.")
for name, line, colour, style in zip(targets, lines, colours, styles, strict=True):
    axis.plot(way, np.array(line) - limit, color=colour, ls=style, lw=2, label=name)
label(axis, "Between two minima", "part of the way", r"$\ell + \lambda \|W\|^2 / 2 - \ln 14$, nats")
axis.legend()
plt.show()

# %% [markdown]
# Most of the mountain between two machines that were found independently is a matter of names: after
# exchanging and turning units, the rise is a fraction of it. (A way around may be lower than the straight
# line; the eigenvalues, not these lines, prove the minima.)
#
# %% [markdown]
# ## 5. More hidden units
#
# Is the second answer to the reader right for larger machines? L-BFGS from large starts again, 40 for each
# number of hidden units, no decay.


# %% name="sizes" alt="The share of runs that end short against the number of hidden units: all up to 4 units, then falling from 0.8 at 5 units to none at 12."
def of_all_sizes():
    ends = [[lbfgs(start(large, seed, size)) for seed in seeds] for size in sizes]
    return {"gaps": [[loss(x)[0] - limit for x in thetas] for thetas in ends]}


by_size = shipped("minima_sizes", of_all_sizes, retrain=retrain)["gaps"]
best, share = by_size.min(1), np.mean(by_size > 0.05, axis=1)
figure, axis = plt.subplots(figsize=(7.5, 3.4))
axis.plot(sizes, share, "s-", color=blue)
label(axis, "Ends more than 0.05 nats short", "hidden units", "share of 40 starts")
plt.show()
print("best gaps", best.round(3), " share short", share)
assert best[1] > 0.3 > 0.001 > best[2] and share[2] > 0.6 and share[-1] < 0.1
assert np.all(np.diff(share) <= 0)

# %% [markdown]
# Five units can represent the data, and with five most runs miss. With twelve none
# of 40 fails. So that answer holds for machines larger than they need be; at the
# size that just suffices (with four none of 40 arrives) it does not. That is one small data set. Choromanska et al. (2015) argue for
# large networks from an analogy with spin glasses that their minima lie at similar heights.
#
# %% [markdown]
# ## 6. The other landscape: mean field
#
# TAP theory speaks of one machine, $\theta$ fixed. Where naive mean field's $\Gamma$ (order 1 of B26) is
# stationary there is a product distribution $q_\alpha$, with means $m_\alpha$. *The machine of the lowest
# minimum in section 4 has learned 14 images. How many solutions will it have?*
#
# If there are several, none is the whole answer. Mix them, $q = \sum_\alpha \pi_\alpha q_\alpha$, and insert
# $q$ into the variational bound $F \le \langle E \rangle_q - S(q)$, which holds for every distribution $q$ (B16;
# [chapter 18, section 2](18_energy_minus_entropy.ipynb), derives it). Its energy is the average energy. Its entropy is that of the parts
# plus what the state $s$ says about the part it came from, $S(\pi) - S(\alpha | s)$, so that
#
# $$F \le \sum_\alpha \pi_\alpha \big( \Gamma_\alpha + \ln \pi_\alpha \big) + S(\alpha | s) . \tag{6.1}$$
#
# The sum is an energy minus an entropy again, for states $\alpha$ of the energies $\Gamma_\alpha$. So it is
# smallest at $\pi_\alpha \propto e^{-\Gamma_\alpha}$:
#
# $$F \le - \ln \sum_\alpha e^{-\Gamma_\alpha} + S(\alpha | s) . \tag{6.2}$$
#
# Each solution counts as one state with the energy $\Gamma_\alpha$ (Jaakkola and Jordan 1998). $S(\alpha|s)$
# is small when the $q_\alpha$ hardly overlap. We solve from 300 random starts, for the machine with all
# parameters times $\beta$ (B7).


# %%
@tf.function(reduce_retracing=True)
def settle(theory, state, damping, num_steps):
    for _ in tf.range(num_steps):
        state = theory.step(state, damping)  # damping: the share of the old state
    return state


# %%
def solutions(machine, order, begin=None):
    """The distinct means (num, 15) and Gamma (num,) where 300 random starts, or these pixels, end."""
    theory = mean_field.theory_of(machine, order)
    damping = tf.constant(0.5 if order == 1 else 0.9, tf.float64)
    state = theory.start(300, 0)
    if begin is not None:
        state = tf.constant(begin), tf.sigmoid(machine.hidden_bias + begin @ machine.kernel)
    state = settle(theory, state, damping, 4500)
    means, gamma = np.hstack(state), theory.gamma(state).numpy()
    change = np.hstack(settle(theory, state, damping, 1)) - means
    assert np.abs(change).max() < 1e-7  # every start has arrived
    first = np.unique(means.round(3), axis=0, return_index=True)[1]
    return means[first], gamma[first]


# %%
learned = Machine(*map(tf.constant, parts(lowest)))
joint = np.indices(15 * (2,)).reshape(15, -1).T  # all states of the machine, (32768, 15)


def overlap_entropy(means, gamma):
    """S(alpha | s) in (6.2), by summing over all 2^15 states."""
    safe = np.clip(means, 1e-12, 1 - 1e-12)
    log_q = joint @ np.log(safe).T + (1 - joint) @ np.log1p(-safe).T
    log_joint = log_q - gamma - special.logsumexp(-gamma)  # ln of pi_alpha q_alpha(s)
    log_part = log_joint - special.logsumexp(log_joint, axis=1, keepdims=True)
    return -np.sum(np.exp(log_joint) * log_part)


# %% name="solutions"
print("beta   order 1: number  best - F   all - F  S(alpha|s)  order 2: number  Gamma - F")
naive, onsager = [], []
for beta in betas:
    scaled = learned.scaled(beta)
    means, gamma = solutions(scaled, 1)
    far, far_gamma = solutions(scaled, 2)
    F, together = -log_z(scaled), -special.logsumexp(-gamma)
    naive.append((len(gamma), gamma.min() - F, together - F, overlap_entropy(means, gamma)))
    onsager.append((len(far), far_gamma.min() - F))
    print(
        ("{:4.2f}" + "{:15d}" + 3 * "{:11.3f}" + "{:15d}{:12.3f}").format(
            beta, *naive[-1], *onsager[-1]
        )
    )
    assert sum(naive[-1][2:]) > -1e-9  # (6.2)

# %% name="images"
naive, onsager = np.array(naive), np.array(onsager)  # means, gamma, F are of beta = 1 now
worst = ends["L-BFGS", large][np.argmax(gaps["L-BFGS", large])]
missed = solutions(Machine(*map(tf.constant, parts(worst))), 1)[0]
near, few = (np.abs(x[:, np.newaxis, :9] - data).max(2) < 0.2 for x in (means, missed))
own = near.any(1)  # whether a solution is at an image
print(f"beta = 1: {near.any(0).sum()} of 14 images have a solution of their own,", end=" ")
print(f"Gamma - F = {np.sort(gamma[own] - F).round(2)}; ln 14 = {limit:.2f}")
print(f"the others {np.sort(gamma[~own] - F).round(2)}; order 2, pixels {far[0, :9].round(2)}")
print(f"worst end of L-BFGS, large starts: {len(missed)} solutions, {few.any(1).sum()} at images")
assert naive[0, 0] == 1 and np.all(near.sum(0) == 1) and gamma[~own].min() > gamma[own].max() + 3
assert np.abs(gamma[own] - F - limit).max() < 0.1 and naive[-1, 2] < 0.1 and naive[3, 2] < 0
assert np.all(onsager[:, 0] == 1) and abs(onsager[1, 1]) < 0.2 * naive[1, 1]
assert np.abs(far[:, :9] - 0.5).max() < 0.01 and onsager[-1, 1] < -5 and not few.any()
assert np.sum(~own) == 9 and len(missed) == 6

# %%
begun, levels = solutions(learned, 2, np.clip(data, 0.01, 0.99))  # TAP, from the images
assert (np.abs(begun[:, np.newaxis, :9] - data).max(2) < 0.2).any(0).all()
assert np.abs(levels - F - limit).max() < 0.1

# %% name="valleys" alt="Left: the number of solutions against beta; order 1 jumps from 1 to 20 between 0.3 and 0.35, then has 15 to 23, order 2 stays at 1. Right: errors of the free energy; the best single solution of order 1 stays 2 to 3 nats above F, all together come down to 0, order 2 falls to 10 nats below."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
axes[0].plot(betas, naive[:, 0], "o-", color=blue, label="naive mean field")
axes[0].plot(betas, onsager[:, 0], "s--", color=orange, label="TAP, order 2")
axes[0].axhline(14, color=grey, ls=":", label="14 images")
label(axes[0], "Distinct solutions", r"$\beta$", "number")
axes[1].plot(betas, naive[:, 1], "o-", color=blue, label="naive, best")
axes[1].plot(betas, naive[:, 2], "^-", color=green, label="naive, all together (6.2)")
axes[1].plot(betas, onsager[:, 1], "s--", color=orange, label="TAP, order 2")
axes[1].axhline(0, color=ink, lw=1)
label(axes[1], "Error of the free energy", r"$\beta$", "nats")
axes[0].legend(loc="center right", bbox_to_anchor=(1, 0.35))
axes[1].legend()
plt.show()

# %% [markdown]
# Hot machines have one solution. Between $\beta = 0.3$ and 0.4 it gives way to many. At $\beta = 1$ there is
# one for each image, at $F + \ln 14$ nearly, for each is alone with one fourteenth of the probability.
# Together, by (6.2), they have $F$ to less than a tenth of a nat. (At 0.35 they overlap, and without
# $S(\alpha|s)$ the sum falls below $F$.) Nine others were found more than three nats higher.
#
# *Here, minima of the second kind are what the machine has learned.* A bad end of the first kind lacks them:
# the machine of the worst large start in section 3 has six solutions, none of them within 0.2 of an image. (Others lack some.)
#
# %% [markdown]
# ## 7. When it fails: the Onsager term
#
# TAP of order 2 is the better theory at small $\beta$ (chapter 13). In the trained machine all 300 random starts end, at every
# $\beta$, in one solution with pixels near $\frac12$, whose free energy is far below $F$ at $\beta = 1$. The expansion is one in
# $W$, and these weights are large. All starts agree, on a wrong answer. At $\beta = 1$ TAP, too, has a solution at each image,
# near $F + \ln 14$: begin there, and you find it.
#
# What TAP theory treats is thus the second landscape, in models of many weak couplings such as that of
# Sherrington and Kirkpatrick, whose TAP equations have exponentially many solutions in the cold (Bray and
# Moore 1980). [Chapter 16](16_phases.ipynb) has the phases of that model. About where a training ends TAP theory
# says nothing.
#
# %% [markdown]
# ## 8. Summary
#
# - Ask "minima of what?" Training has a landscape over parameters, mean field one over averages.
# - Each generic minimum of training comes $M!\, 2^M$ times.
# - The machine of independent pixels is a saddle as soon as two pixels are correlated (B52).
# - Genuine local minima of training exist, at different heights. Whether one meets them depended on the
#   start, the method and the number of hidden units: Adam from small weights met none of the bad ends of
#   L-BFGS, at this rate (at 0.2 it does).
# - A vanishing slope does not say that a run has arrived: L-BFGS from small weights stopped on plateaus far
#   out. Try several starts and methods.
# - The solutions of naive mean field in a well trained machine were its memories, and together they gave $F$.
#   Badly trained ones lacked some of them, the worst all.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **Fewer copies.** One hidden unit of a machine has $w_j = 0$ and $b_j = 0$, all others are
#    generic. How many different points of the landscape are copies of it? Write `num_copies(number)` for that
#    number of hidden units, and check it by listing all for three.
# 2. *(medium)* **How long is the plateau?** Gradient descent with rate $\eta$ in $W$, while $a$ is kept at its
#    best value for this $W$, starts at the saddle plus a small $w$ of one hidden unit, in the direction of the
#    largest eigenvalue $\mu$. By which factor does $w$ grow in a step?
#    Measure it as `growth`, over ten steps of rate 0.5 at $b = 0$, and say how many steps it takes from
#    $10^{-4}$ to 1, `plateau_steps`.
# 3. *(hard)* **A flat saddle.** The four images of three pixels with an even number of black ones have
#    uncorrelated pixels. Show that $\ell$ changes at the third order of $w$ there if $b_j \ne 0$, and measure
#    the power as `power`, for one hidden unit with $b = 1$, $w = \epsilon\, (1, 2, -1)$ and $a' = 0$.
# 4. *(to explore)* **Arrive.** Write `train_well(seed)`, which takes a small start of six hidden units to a
#    gap below 0.05 nats for each of the seeds 100 to 104, in a few seconds.
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. All orders differ. To turn that unit around changes nothing by (1.2): 2^(number - 1) choices remain.
def num_copies(number):
    return special.factorial(number, exact=True) * 2 ** (number - 1)


rng, points = np.random.default_rng(0), set()
theta = rng.normal(size=39)  # three hidden units
theta[[*range(0, 27, 3), 36]] = 0.0  # the first has neither weights nor bias
for _ in range(2000):
    flips = np.flatnonzero(rng.random(3) < 0.5)
    points.add(tuple(np.round(copy(theta, rng.permutation(3), flips), 9) + 0.0))
print(f"1. {len(points)} points for 3 units; {num_copies(6):,} for 6")
assert num_copies(3) == len(points)
assert num_copies(6) == 23_040

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. By (B52) the slope in w is -d mu w with d = 1/4, if a' is the best: w grows by 1 + eta mu / 4 a step. At
# a = -w / 2, b = 0 it does: by symmetry the slope in a' vanishes. From 1e-4 to 1: ln 10^4 / ln(growth).
mu, theta = eigenvalues[-1], np.zeros(69)
theta[0:54:6], theta[54:63] = 1e-4 * directions[:, -1], -0.5e-4 * directions[:, -1]
for _ in range(10):
    theta = theta - 0.5 * loss(theta)[1]
    theta[54:63] = -theta[0:54:6] / 2
growth = (np.linalg.norm(theta[0:54:6]) / 1e-4) ** 0.1
plateau_steps = np.log(1e4) / np.log(growth)
print(f"2. growth {growth:.5f} a step, predicted {1 + 0.5 * mu / 4:.5f}; {plateau_steps:.0f} steps")
check(growth, 1 + 0.5 * mu / 4, tolerance=1e-4)
check(plateau_steps, np.log(1e4) / np.log(1 + 0.5 * mu / 4), tolerance=1e-2)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. C is diagonal: no second order. The third derivative of softplus is d (1 - 2n), so ell changes by d (1 - 2n) / 6
# [<(w.v)^3>_p - <(w.v)^3>_data]. <v1 v2 v3> is 1/8 and 0: the order is d (1 - 2n) w1 w2 w3 / 8, which is 0 at b = 0.
cube, n1 = np.indices((2, 2, 2)).reshape(3, -1).T, special.expit(1.0)


def rise(eps):
    """The change of ell from w = 0."""
    x = cube @ [eps, 2 * eps, -eps]
    values = np.logaddexp(0, x + 1.0) - np.logaddexp(0, 1.0) - n1 * x
    return special.logsumexp(values) - np.log(8) - values[cube.sum(1) % 2 == 0].mean()


# %% jupyter={"source_hidden": true} tags=["solution"]
# Twice the size, eight times the change.
power = np.log2(rise(2e-2) / rise(1e-2))
print(f"3. power {power:.3f}; ell changes by {rise(1e-2) * 1e6:.5f} eps^3")
check(power, 3, tolerance=0.05)
check(rise(1e-2) * 1e6, -2 * n1 * (1 - n1) * (1 - 2 * n1) / 8, tolerance=0.05)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. Adam from a small start, with half of the steps of section 3; there are other ways.
def train_well(seed):
    return adam(start(small, seed), num_steps=1500)


arrived = [loss(train_well(seed))[0] - limit for seed in range(100, 105)]
print(f"4. gaps {np.round(arrived, 3)} nats")
assert max(arrived) < 0.05
assert loss(train_well(103))[0] - limit < 0.05

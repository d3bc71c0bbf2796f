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
# # Chapter 40: Beyond the bound
#
# The best trial gives the best bound, and cumulants correct it. Is that enough for a magnet? Near its
# transition all spins act together, and a correction sees two or three bonds at a time. *Guess before you read on:
# where does the series stop helping, at the transition of the magnet or at that of the trial?* The free
# energies of small Ising models are known exactly, so that every order can be checked.
#
# Three results are needed. A trial $H_t$ with the free energy $F_t$ gives the bound
# $F \le F_1 = F_t + \langle H - H_t \rangle_t$ (B16, [chapter 18, section 2](18_energy_minus_entropy.ipynb)). It is the first
# order of a series in cumulants of $H - H_t$ (B23, [chapter 32, section 4](32_perturbation_theory.ipynb)). And the orders
# of this series are size-extensive: $N$ independent copies have $N$ times the $F_k$ of one
# (B27, [chapter 38, section 2](38_size_extensivity.ipynb)).
#
# **What you will do**
#
# - expand the free energy of an Ising ring about the best trial, of single spins and of pairs;
# - do the same for a square lattice, which has a transition of its own;
# - watch a series that is extensive at every order get worse with every order.
#
# **What you will learn**
#
# - that a trial of blocks is a bound, has correlations, and is extensive;
# - that orders 2 and 3 help where the trial has the right picture, and are no bounds (B24);
# - what the first orders do not find: the other phase, at a price of $\ln 2$.
#
# **What you need**: chapter 18, section 2; chapter 32, sections 4 and 5; chapter 38, sections 1 and 2. It
# helps to know the chain of chapter 19, section 1.
#
# **Time**: about 35 minutes, and 80 for the exercises. The code runs in about fifteen seconds.
#
# Equation numbers such as (B27) are the row names used in the whole course, in the library's
# docstrings and in the table `EQUATIONS.md`. Numbers such as (1.1) are steps on the way. Free
# energies are in nats; couplings contain $\beta$ (B7).

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

from rbm_tf import ising
from rbm_tf.course import check, label
from vae_keras import evidence

# %%
seed = 0
chain_length, lattice_size = 24, 6
couplings = np.linspace(0.02, 1.2, 60)  # J of the ring
num_samples, num_repeats = 64, 4000  # K of IWAE; repeats of its estimate
blue, orange, grey = "#0072B2", "#D55E00", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 110}])
ink, paper = (plt.rcParams[key] for key in ("text.color", "axes.facecolor"))


# %% [markdown]
# ## 1. The Ising ring
#
# Spins $s_i = \pm 1$ on a ring have the energy $H = -J \sum_i s_i s_{i+1}$. The exact free energy per spin is that of
# (1.3) of chapter 19 without field,
#
# $$\frac{F}{N} = -\ln (2 \cosh J) - \frac1N \ln \big( 1 + \tanh^N J \big) . \tag{1.1}$$
#
# **The bound.** For spins in a field, $H_t = -h \sum_i s_i$, every spin has the mean $m = \tanh h$, and neighbours
# are independent. The bound (B16) and its best field are
#
# $$\frac{F_1}{N} = -\ln (2 \cosh h) - J m^2 + h m , \qquad
#   \frac{1}{N} \frac{dF_1}{dh} = (h - 2 J m) \frac{dm}{dh} = 0 \;\Rightarrow\; h = 2 J m . \tag{1.2}$$
#
# That is mean field, $m = \tanh 2 J m$. For $2 J < 1$ its only solution is $m = 0$; beyond, two ordered ones
# appear. A better trial keeps every second bond: pairs, exact inside, in the field $h = J m$ of the
# bond that is cut. A pair has the states $\uparrow\uparrow$, $\downarrow\downarrow$ and two opposite ones, with
# the weights $e^{J + 2h}$, $e^{J - 2h}$ and twice $e^{-J}$, so that
#
# $$m = \frac{\sinh 2h}{\cosh 2h + e^{-2J}} , \qquad h = J m . \tag{1.3}$$
#
# This trial is variational, has correlations, *and* is extensive, being a product over pairs. The post says that
# variational theories with correlations are generally not extensive; its "generally" has exceptions. What breaks
# extensivity is not the bound but an ansatz whose trial for two systems is not the product of the trials for each.
#
# **Beyond.** The expansion (B23), about the best trial:
# $F_2 = F_1 - \frac12 \langle\!\langle (H - H_t)^2 \rangle\!\rangle_t$ and
# $F_3 = F_2 + \frac16 \langle\!\langle (H - H_t)^3 \rangle\!\rangle_t$. At $m = 0$ it can be done by hand. The
# bonds $s_i s_{i+1}$ are independent coins under $H_t = 0$, so
# $F/N = -\ln 2 - \frac12 J^2 + 0 + \frac1{12} J^4 - \dots$, the series of $-\ln (2 \cosh J)$: *$F_2$ is below $F$*.
#
# %% name="trials" alt="Three rings of twelve spins. The model: neighbours joined all round. Single spins: no bonds, an arrow at each spin. Pairs: every second bond, and an arrow at each spin."
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.3))
angle = 2 * np.pi * np.arange(13) / 12 + 0.26
x, y = np.cos(angle), np.sin(angle)
names = ("the model: $J$ all round", "trial: spins, field $2Jm$", "trial: pairs, field $Jm$")
for axis, name, bonds, field in zip(axes, names, (12, 0, 6), (0, 0.34, 0.17), strict=True):
    for i in np.arange(bonds) * 12 // max(bonds, 1):
        axis.plot(x[i : i + 2], y[i : i + 2], color=grey, lw=3)
    axis.scatter(x, y, s=110, color=blue, zorder=3)
    if field:
        axis.quiver(x, y, 0, field, color=orange, angles="xy", scale_units="xy", scale=1, zorder=4)
    axis.set(title=name, aspect="equal", xlim=(-1.3, 1.3), ylim=(-1.3, 1.45))
    axis.axis("off")
plt.show()

# %% [markdown]
# **Check against the exact result**: the library against (1.1), (1.2), (1.3), the bound, and
# the independence of the length. (In the library the couplings of a ring are its `down`, from each spin to the next,
# and the trial of pairs keeps every second one; a square lattice has `right` as well.)


# %%
def fixed_point(mean_of, num_couplings, num_steps=20_000):
    """Iterate m <- mean_of(m), for all couplings at once, from all spins up."""
    m = np.ones(num_couplings)
    for _ in range(num_steps):
        m, old = mean_of(m), m
        if np.max(np.abs(m - old)) < 1e-13:
            break
    return m


J = couplings
spin_m = fixed_point(lambda m: np.tanh(2 * J * m), len(J))  # (1.2)
pair_m = fixed_point(
    lambda m: np.sinh(2 * J * m) / (np.cosh(2 * J * m) + np.exp(-2 * J)), len(J)
)  # (1.3)


# %%
def ring_trials(length):
    """F and F_1 .. F_4 per spin about single spins and about pairs, (4, num_couplings) each."""
    model = ising.chain(length, J)
    spins = ising.chain(length, 0.0, field=2 * J * spin_m)
    every_second = np.arange(length)[:, np.newaxis] % 2 == 0
    pairs = ising.chain(length, J, field=J * pair_m)
    pairs = pairs._replace(down=pairs.down * every_second)
    orders = [ising.trial_free_energies(model, x, max_order=4) for x in (spins, pairs)]
    return -model.log_z() / length, *(x / length for x in orders)


# %%
exact_ring, about_spins, about_pairs = ring_trials(chain_length)
long_ring = ring_trials(2 * chain_length)
exact_formula = -np.log(2 * np.cosh(J)) - np.log1p(np.tanh(J) ** chain_length) / chain_length
check(exact_ring, exact_formula)  # (1.1)
check(about_spins[0], -np.log(2 * np.cosh(2 * J * spin_m)) + J * spin_m**2)  # (1.2)
check(about_spins, long_ring[1])
check(about_pairs, long_ring[2])  # B27
assert np.all(about_spins[0] > exact_ring) and np.all(about_pairs[0] > exact_ring)  # B16
assert np.all(about_pairs[0] < about_spins[0])
assert np.any(about_spins[1] < exact_ring)  # no bound from order 2 on, B24
assert np.all(
    (about_spins[2] - exact_ring)[J > 0.65] > 0.5 * (about_spins[0] - exact_ring)[J > 0.65]
)

# %% name="ring-errors"
chosen = (4, 14, 34, 54)  # couplings to look at
model = ising.chain(chain_length, J[list(chosen)])
for block, orders in (((1, 1), about_spins), ((2, 1), about_pairs)):
    trial = ising.block_trial(model, block)
    library = ising.trial_free_energies(model, trial, max_order=4) / chain_length
    check(library, orders[:, list(chosen)], tolerance=1e-8)
fields = np.linspace(0, 3, 301)
for index in chosen:
    trials = ising.chain(chain_length, 0.0, field=fields)
    model = ising.chain(chain_length, J[index])
    bound = ising.trial_free_energies(model, trials, max_order=1)[0] / chain_length
    assert bound.min() > about_spins[0, index] - 1e-12  # no field does better than (1.2)
    print(f"J = {J[index]:.2f}: m = {spin_m[index]:.4f}, errors of F_1 .. F_4 per spin", end=" ")
    print((about_spins - exact_ring)[:, index].round(5))


# %%
def draw_orders(axes, exact, groups):
    """Free energies (left) and their errors (right; hollow: below the exact value)."""
    axes[0].plot(J, exact, color=ink, lw=2.5, label="exact")
    for name, orders, colour in groups:
        for order, style in ((1, "-"), (2, "--"), (3, ":")):
            axes[0].plot(J, orders[order - 1], style, color=colour, label=f"{name}, order {order}")
            error = orders[order - 1] - exact
            axes[1].semilogy(J, np.abs(error), style, color=colour)
            below = error < 0
            axes[1].semilogy(J[below], -error[below], "o", ms=3.5, mfc=paper, color=colour)
    label(axes[0], "Free energy per spin", "coupling $J$ (contains $\\beta$)", "nats")
    label(axes[1], "Error (hollow: too low)", "coupling $J$ (contains $\\beta$)", "nats per spin")
    axes[0].legend(fontsize=10)


# %% name="ring" alt="Ising ring over J: order 1 lies above the exact curve, orders 2 and 3 close to it and below up to J = 0.5, then above; trials of pairs leave the curve later than single spins."
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2))
draw_orders(axes, exact_ring, (("spins", about_spins, blue), ("pairs", about_pairs, orange)))
axes[0].set(xlim=(0.2, 0.9), ylim=(-1.1, -0.68))
axes[1].set_ylim(1e-5, 0.3)
plt.show()

# %% [markdown]
# At small $J$ order 2 removes almost the whole error of the bound, and the hollow dots say that it
# overshoots: not a bound (order 3 coincides with it there, since the third cumulant vanishes at $m = 0$). At
# $J = \frac12$ the trial spins order by themselves. A ring has no such transition: $F$ is
# smooth, by (1.1), and at no finite $J$ is there an ordered phase. Beyond this point the corrections start from a wrong
# picture, and they repair little: at $J = 0.7$ order 3 leaves more than half of the error. Pairs (orange) keep more of the
# truth in the trial and put off the trouble to larger $J$, where the story repeats itself.
#
# %% [markdown]
# ## 2. The square lattice
#
# In two dimensions the transition is real. On the infinite lattice spins order at
# $J_c = \frac12 \ln (1 + \sqrt 2) = 0.4407$ (Onsager 1944); mean field with its four neighbours orders at
# $J = \frac14$. A 6 × 6 lattice with periodic edges is small enough for the transfer matrix, so that $F$ and all
# orders are exact. The second trial keeps the vertical bonds: six closed columns, exact inside, each in the field
# $2 J m$ of its two neighbours.

# %%
J = np.linspace(0.02, 0.7, 69)
spin_m = fixed_point(lambda m: np.tanh(4 * J * m), len(J))
column_m = fixed_point(
    lambda m: ising.per_spin(ising.chain(lattice_size, J, field=2 * J * m)).magnetisation,
    len(J),
    500,
)
model, num_spins = ising.square(lattice_size, J), lattice_size**2
spins = ising.square(lattice_size, 0 * J, field=4 * J * spin_m)
columns = ising.square(lattice_size, J, field=2 * J * column_m)
columns = columns._replace(right=0 * columns.right)
exact_square = -model.log_z() / num_spins
square_spins, square_columns = (
    ising.trial_free_energies(model, trial, max_order=3) / num_spins for trial in (spins, columns)
)

# %%
assert np.all(square_spins[0] > exact_square) and np.all(square_columns[0] > exact_square)  # B16
assert np.all(square_columns[0] < square_spins[0] + 1e-12)
shorter = None
for size in (4, 6, 8):  # B27: no cluster of three bonds can go round
    lattice, free = ising.square(size, 0.2), ising.square(size, 0.0)
    orders = ising.trial_free_energies(lattice, free, max_order=4) / size**2
    print(f"{size} x {size}, J = 0.2: orders 1 to 4", orders.round(7), end=" ")
    print(f"exact {-lattice.log_z() / size**2:.7f} nats per spin")
    shorter = orders if shorter is None else shorter
    check(orders[:3], shorter[:3])
for index in (18, 28, 42, 58):
    gains = (square_spins - exact_square)[:, index] / (square_spins - exact_square)[0, index]
    print(f"J = {J[index]:.2f}: error of orders 1, 2, 3 in units of the first", gains.round(3))
shares = (square_spins[2] - exact_square) / (square_spins[0] - exact_square)
assert np.all(np.abs(shares[J <= 0.2]) < 0.1) and np.all(shares[(J > 0.29) & (J < 0.45)] > 0.5)

# %% name="lattice" alt="Square lattice over J: orders 2 and 3 are near the exact curve up to J = 0.25, then off. At large J all errors end on one line, ln 2 divided by the number of spins."
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2))
groups = (("spins", square_spins, blue), ("columns", square_columns, orange))
draw_orders(axes, exact_square, groups)
for axis in axes:
    axis.axvline(math.log(1 + math.sqrt(2)) / 2, color=grey, lw=0.8)
axes[1].axhline(math.log(2) / num_spins, color=grey, lw=0.8)
axes[0].set(xlim=(0.1, 0.6), ylim=(-1.25, -0.68))
axes[1].set_ylim(1e-5, 0.2)
plt.show()
two_phases = num_spins * (square_spins[:, -1] - exact_square[-1])
check(two_phases, math.log(2), tolerance=0.02)
print("J = 0.7: F_1, F_2, F_3 minus F, whole lattice:", two_phases.round(4), "ln 2 = 0.6931")

# %% [markdown]
# The table: orders 1 to 3 are the same on all three lattices, while the exact free energy per spin itself
# still changes with their size; order 4 can go round the smallest. In the picture the vertical line is $J_c$.
# Up to $J = 0.2$, orders 2 and 3 gain a digit or more. Around the mean-field transition at $J = \frac14$ the gain is lost, and
# from 0.3 to $J_c$ order 3 leaves more than half of the error. So the trial's own transition is where the help
# ends. (About free spins, without a field, the series converges up to $J = 0.42$: exercise 3.) Columns carry long
# correlations in one direction and fare better. (The dip of their error at $J \approx 0.26$ is where it changes sign,
# not a better approximation.) Far on the right, order has set in for good and all curves end on the horizontal line
# $\ln 2 / N$: the lattice has *two* ordered states, the trial knows one, and its free energy is too high by $\ln 2$ in all.
# None of these orders finds the other: by (B27) an order that cannot go round the lattice is $N$ times a constant, and
# $\ln 2$ is not. (On a finite lattice far higher orders may.) Here extensivity is a comfort: $\ln 2$ does not grow
# with $N$.
#
# %% [markdown]
# ## 3. When it fails: extensive and wrong
#
# Size-extensivity guarantees that the error per copy does not grow. It does not guarantee that the error
# is small. Take $N$ independent copies of one latent variable with the posterior $N(0, s^2)$ and $q = N(0, 1)$, as in
# section 1 of chapter 38, where $s^2 = 1.8$. The cumulants of one $\ln w$ are known, (1.4) of chapter 38, and with
# $a = 1 - 1/s^2$ the $n$-th term of the series is $\frac12 a^n / n$ from the second on. Their sum converges
# for $-1 \le a < 1$ only. Now let the posterior be much *narrower* than $q$: $s^2 = 0.4$, $a = -1.5$. Every order is perfectly
# extensive.

# %%
n = np.arange(1, 9)


def order_errors(variance):
    """What orders 1 to 8 miss of ln p(x) = 0 for each copy, nats."""
    a = 1 - 1 / variance
    terms = a**n / (2 * n)
    terms[0] += math.log(1 - a) / 2
    return -np.cumsum(terms)


# %%
narrow, a = order_errors(0.4), 1 - 1 / 0.4
iwae = {}
for size in (1, 8, 64):  # copies
    chi2 = np.random.default_rng(seed + size).chisquare(size, (num_samples, num_repeats))
    estimates = -evidence.iwae(size * math.log(1 - a) / 2 + a / 2 * chi2).numpy() / size
    iwae[size] = estimates.mean(), estimates.std(ddof=1) / math.sqrt(num_repeats)

# %% name="diverging" alt="Left: the error per copy over the order falls to zero for s^2 = 1.8, and swings ever wider for s^2 = 0.4. Right: the error of IWAE-64 grows with the number of copies, and stays below the size of that of order 2."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.5))
axes[0].plot(n, order_errors(1.8), "o-", color=blue, label="$s^2 = 1.8$")
axes[0].plot(n, narrow, "s--", color=orange, label="$s^2 = 0.4$")
axes[0].axhline(0, color=grey, lw=0.8)
label(axes[0], "Every order is extensive", "order", "error per copy (nats)")
axes[0].legend()
errors = np.transpose(list(iwae.values()))  # and standard errors, (2, 3)
axes[1].errorbar(list(iwae), *errors, fmt="o-", color=blue, label="IWAE-64")
axes[1].axhline(abs(narrow[1]), color=orange, ls="--", label="order 2, sign dropped")
axes[1].set(xscale="log", xticks=list(iwae), xticklabels=list(iwae), ylim=(0, 0.31))
label(axes[1], "$s^2 = 0.4$", "copies $N$", "error per copy (nats)")
axes[1].legend(loc="center left")
axes[1].minorticks_off()
plt.show()

# %%
print("error per copy of orders 1 to 8, for any N:", narrow.round(3), "nats")
for size, (error, spread) in iwae.items():
    print(f"N = {size:2d}: error per copy of IWAE-64 {error:.4f} +- {spread:.4f} nats")
    assert error + 5 * spread < np.min(np.abs(narrow))  # IWAE wins
check(narrow[2], narrow[0])  # a^2 / 4 + a^3 / 6 = 0 at a = -3/2
assert np.all(narrow[1:] * narrow[:-1] < 0) and np.all(np.diff(np.abs(narrow[1:])) > 0)
assert 0 < order_errors(1.8)[7] < 1e-4

# %% [markdown]
# Orders 2 to 8 swing with growing amplitude. Order 2 is nearly as far off as the ELBO (order 1), on the other side;
# order 3 is back at the ELBO. IWAE with a mere 64 samples beats all of them at every size shown. First ask
# whether the expansion converges for *one* copy; only then does the size matter. Its radius is the distance of the nearest
# singularity of $\ln \langle w^t \rangle$, here $t = 1/a$ (chapter 2, section 2).
#
# %% [markdown]
# ## 4. Summary
#
# - Blocks of spins are a trial with correlations, a bound (B16), and extensive (B27).
# - Only $F_1$ is a bound (B24): on the ring order 2 is too low at small $J$.
# - Orders 2 and 3 remove most of the error where the trial has the right picture. They stop helping where the trial orders
#   by itself, whether the system does so (the lattice) or not (the ring). Better trials put that off.
# - The lost phase costs $\ln 2$ in all, whatever the size of the lattice, and the first orders do not find it.
# - Extensive is not accurate: with a posterior of less than half the variance of $q$ the series diverges, for one copy as
#   for many.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **A trial of your own.** Show that for a ring with a trial of free spins ($h = 0$) all odd
#    cumulant terms from the third on vanish, except where bonds can close round the ring. Check it for a
#    ring of 12 with $J = 0.4$ (`free_orders`: $F_1$ to $F_7$).
# 2. *(medium)* **Blocks, order by order.** At $J = 0.45$ no trial of the ring of 24 orders. Show that there the errors of all
#    orders with blocks of $k$ spins are $1/k$ of those of single spins, but for the smallness of $\tanh^{24} J$. Check it for
#    $k = 2, 3, 4, 6$ and orders 1 to 4: `block_errors`, from $k$ to the errors per spin.
# 3. *(hard)* **Where the series ends.** About free spins, the series in $J$ converges up to the nearest zero of $Z(J)$ in the
#    complex plane. `ising.level_counts(4, 4)` has the number of states of each energy, so that $Z$ is a polynomial in
#    $e^{-2J}$. Find `radius`, the distance of its nearest zero, for the 4 × 4 lattice, and for the 6 × 6 lattice
#    (`larger_radius`). Show with orders up to 30 (`inside` at $J = 0.3$, `outside` at $J = 0.6$: errors per spin) that it
#    is where the series ends.
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. Under free spins the bonds b_i = s_i s_i+1 of an open chain are independent fair coins, symmetric
# under b -> -b, so odd cumulants vanish. On a ring their product is 1: order 12 knows, and no odd one.
free_orders = ising.trial_free_energies(ising.chain(12, 0.4), ising.chain(12, 0.0), max_order=7)
print("1. F_1 .. F_7:", free_orders.round(5))
check(np.diff(free_orders)[[1, 3, 5]], 0.0)  # terms of orders 3, 5, 7
assert abs(free_orders[-1] + ising.chain(12, 0.4).log_z()) < 1e-3

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. At m = 0 the cut bonds are independent fair coins under the trial, N/k of them instead of N, and the bonds inside
# are exact. Per spin F_n = -ln 2 - (1 - 1/k) ln cosh J - (1/k) (the terms of ln cosh J up to order n).
ring, block_errors = ising.chain(24, 0.45), {}
for k in (1, 2, 3, 4, 6):
    block_trial = ising.block_trial(ring, (k, 1))
    orders = ising.trial_free_energies(ring, block_trial, max_order=4) / 24
    block_errors[k] = orders + ring.log_z() / 24
    print(f"2. k = {k}: errors of F_1 .. F_4", block_errors[k].round(7), "nats per spin")
check(np.multiply(block_errors[6], 6), block_errors[1], tolerance=1e-7)
check([np.multiply(block_errors[k], k)[0] for k in (2, 3, 4)], block_errors[1][0], tolerance=1e-7)
check(block_errors[1][0], math.log(math.cosh(0.45)), tolerance=1e-7)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Z = e^(J B) sum_d c_d x^d with x = e^(-2J), B bonds of which d are unequal: J = -ln(x) / 2, up to i pi. For larger
# lattices the zeros close in on the real axis at J_c = 0.4407 (Fisher 1965).
def nearest_zero(size):
    levels, bonds = ising.level_counts(size, size), 2 * size**2
    counts = np.zeros(bonds + 1)
    counts[((levels.energy + bonds) / 2).astype(int)] = np.exp(levels.log_count)
    zeros = -np.log(np.roots(counts[::-1])) / 2
    return np.min(np.abs(np.add.outer(zeros, 1j * np.pi * np.arange(-1, 2))))


def series_errors(strength):
    model = ising.square(4, strength)
    orders = ising.trial_free_energies(model, ising.square(4, 0.0), max_order=30)
    return (orders + model.log_z()) / 16


# %% jupyter={"source_hidden": true} tags=["solution"]
# The checks of exercise 3: the radii, and orders 30 and 10 inside and outside.
radius, larger_radius = nearest_zero(4), nearest_zero(6)
inside, outside = series_errors(0.3), series_errors(0.6)
print(f"3. radius {radius:.4f} (4 x 4), {larger_radius:.4f} (6 x 6)")
print("   orders 10, 20, 30 at J = 0.3:", inside[9::10], "and at 0.6:", outside[9::10].round(2))
check([radius, larger_radius], [0.41557, 0.41875], tolerance=1e-4)
assert abs(inside[29]) < 1e-5 < abs(inside[9]) and abs(outside[29]) > 10 > abs(outside[9])

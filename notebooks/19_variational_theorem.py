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
# # Chapter 19: The variational theorem at work
#
# A trial Hamiltonian bounds a free energy, and the better the trial, the lower the bound. *Guess before you
# read on: if the bound is nearly tight, is the trial nearly right?* This chapter tries the bound on a
# chain of spins whose every property is known, and finds a magnet that does not exist.
#
# The bound is (B16) of [chapter 18, section 2](18_energy_minus_entropy.ipynb): $F \le F_t + \langle H - H_t \rangle_t$ for
# every trial $H_t$ with the free energy $F_t$, and the gap is $T\, \mathrm{KL}(q \,\|\, p)$. The second half of the
# chapter sorts out the notations in which the free energy itself is written.
#
# **What you will do**
#
# - solve an Ising chain, and bound it with spins and with blocks of spins;
# - watch the bound hold while the physics goes wrong;
# - compute one free energy in five notations, and find a sixth one that differs.
#
# **What you will learn**
#
# - that mean-field theory is the best trial without interactions (B16);
# - that a bound tight per spin certifies the free energy, not the distribution;
# - what $-\beta F$ is as a sum, an integral, a trace, and an average (B33).
#
# **What you need**: chapter 1, section 2; chapter 17, section 3; chapter 18, section 2; eigenvalues.
#
# **Time**: about 59 minutes, and 80 for the exercises. The code runs in about twenty seconds.
#
# Equation numbers such as (B16) are the row names used in the whole course, in the library's
# docstrings and in the table `EQUATIONS.md`. Numbers such as (2.1) are steps on the way.

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
import scipy.linalg

from rbm_tf import ising
from rbm_tf.course import check, label

# %%
num_spins, coupling, field = 12, 0.8, 0.1  # the Ising chain, nats
block_sizes = (1, 2, 3, 4, 6, 12)
beta, hbar = 1.3, 1.0  # of the oscillator
blue, orange, green, purple = "#0072B2", "#D55E00", "#009E73", "#CC79A7"

plt.style.use(["rbm_tf.course", {"figure.dpi": 110}])
ink = plt.rcParams["text.color"]


# %%
def log_sum_exp(values, axis=-1):
    return np.logaddexp.reduce(values, axis=axis)


# %% [markdown]
# ## 1. An Ising chain
#
# How good is the bound? Here is the oldest example with an exact solution: $N$ spins, $s_i = -1$ or $+1$, on a ring,
#
# $$H(s) = -K \sum_{i=1}^N s_i s_{i+1} - h \sum_{i=1}^N s_i , \qquad s_{N+1} = s_1 , \tag{1.1}$$
#
# with a coupling $K$ and a field $h$ that contain $\beta$, so that energies are in nats and
# $F = -\ln Z$.
#
# **Exact: the transfer matrix.** Give half of each field to each of the two adjacent bonds. The
# Boltzmann factor is then a product of one factor for each bond,
#
# $$Z = \sum_{s_1 \dots s_N} \prod_i \mathsf{T}(s_i, s_{i+1}) = \mathrm{Tr}\, \mathsf{T}^N , \qquad
#   \mathsf{T} = \begin{pmatrix} e^{K + h} & e^{-K} \\ e^{-K} & e^{K - h} \end{pmatrix} , \tag{1.2}$$
#
# since summing over $s_2$, say, multiplies two matrices, and the ring closes the trace. It is the sum of the
# powers of the two eigenvalues,
#
# $$Z = \lambda_+^N + \lambda_-^N , \qquad
#   \lambda_\pm = e^K \cosh h \pm \sqrt{e^{2K} \sinh^2 h + e^{-2K}} . \tag{1.3}$$
#
# For a long chain $\lambda_+$ dominates: $F / N \to -\ln \lambda_+$, and the magnetisation is
#
# $$\langle s \rangle = \frac{\partial \ln \lambda_+}{\partial h}
#   = \frac{\sinh h}{\sqrt{\sinh^2 h + e^{-4K}}} , \tag{1.4}$$
#
# which vanishes at $h = 0$ for *every* finite $K$: in one dimension, spins do not order.
#
# **The simplest trial: no interactions.** $H_t = -b \sum_i s_i$, independent spins in any field $b$. Each has $\langle s \rangle_t = m = \tanh b$ and contributes $-\ln (2 \cosh b)$ to
# $F_t$. Independent neighbours have $\langle s_i s_{i+1} \rangle_t = m^2$, so (B16) is
#
# $$\frac{F_1(b)}{N} = -\ln (2 \cosh b) - K m^2 - (h - b)\, m , \qquad m = \tanh b . \tag{1.5}$$
#
# The derivative, with $\frac{d}{db} \ln \cosh b = m$, is $(b - h - 2 K m) \frac{dm}{db}$. It vanishes for
#
# $$b = h + 2 K m , \qquad m = \tanh (h + 2 K m) : \tag{1.6}$$
#
# every spin feels the *mean* of its two neighbours. This is mean-field theory, found by minimising a
# bound.
#
# **A better trial: blocks.** Cut the ring into blocks of $k$ spins, with interactions inside and fields in place of
# the bonds that are cut. Which ones? Let $\phi_a$ be the products $s_i s_{i+1}$ inside the blocks and
# the single spins, $\theta_a$ their couplings and fields in the true $H = -\sum_a \theta_a \phi_a -
# \sum_{\rm cut} K s_i s_j$, and $\theta^t_a$ those in the trial. Blocks are independent, so on a cut bond
# $\langle s_i s_j \rangle_t = \langle s_i \rangle_t \langle s_j \rangle_t$ and
#
# $$F_1 = F_t + \sum_a (\theta^t_a - \theta_a) \langle \phi_a \rangle_t
#   - \sum_{\rm cut} K \langle s_i \rangle_t \langle s_j \rangle_t . \tag{1.7}$$
#
# Since $dF_t = -\sum_a \langle \phi_a \rangle_t\, d\theta^t_a$ (B6, in each parameter), what remains of
# the differential is
#
# $$dF_1 = \sum_a (\theta^t_a - \theta_a)\, d\langle \phi_a \rangle_t - \sum_{\rm cut} K \big(
#   \langle s_j \rangle_t\, d\langle s_i \rangle_t + \langle s_i \rangle_t\, d\langle s_j \rangle_t \big) . \tag{1.8}$$
#
# It vanishes if every bond inside a block keeps its true coupling, and every spin next to a cut gets
# $h$ plus $K \langle s_j \rangle_t$ for each neighbour $j$ that it has lost; `ising.block_trial` iterates
# this. Blocks of 1 are (1.6); one block of all $N$ spins is exact.
#
# **Check against the exact result**: the library's $\ln Z$, by transfer matrix, against (1.3) and
# against all $2^{12}$ states; its bound against (1.5), for a range of $b$; and the optimum, (1.6).

# %%
root = math.sqrt(math.exp(2 * coupling) * math.sinh(field) ** 2 + math.exp(-2 * coupling))
top, bottom = (math.exp(coupling) * math.cosh(field) + sign * root for sign in (1, -1))  # (1.3)
ring = ising.chain(num_spins, coupling, field=field)
exact_ring = -ring.log_z()
spins = ising.all_spins(num_spins, 1)  # (4096, 12, 1)
ring_energy = ring.energy(spins)
check(exact_ring, -np.log(top**num_spins + bottom**num_spins))
check(exact_ring, -log_sum_exp(-ring_energy))  # all states
long = ising.per_spin(ising.chain(200, coupling, field=field))
magnet = np.sinh(field) / np.sqrt(np.sinh(field) ** 2 + np.exp(-4 * coupling))  # (1.4)
check(long.magnetisation, magnet)
print(f"exact F / N = {exact_ring / num_spins:.6f} nats, N = {num_spins}; ", end="")
print(f"N = 200: {long.free_energy:.6f}, ", end="")
print(f"-ln lambda_+ = {-math.log(top):.6f}")

# %%
b = np.linspace(-1, 3.5, 181)
m = np.tanh(b)
by_hand = -np.log(2 * np.cosh(b)) - coupling * m**2 - (field - b) * m  # (1.5)
product_trials = ising.chain(num_spins, 0.0, field=b)  # one chain for each b
curve = ising.trial_free_energies(ring, product_trials, max_order=1)[0] / num_spins
check(curve, by_hand)
assert np.all(curve >= exact_ring / num_spins)  # (B16)
optimal = ising.block_trial(ring, (1, 1))
b_best = optimal.field[0, 0]
check(b_best, field + 2 * coupling * np.tanh(b_best))  # (1.6)
exact_m = ising.per_spin(ring).magnetisation
print(f"best field b = {b_best:.4f} nats, m = {np.tanh(b_best):.4f}; exact m = {exact_m:.4f}")

# %% [markdown]
# For a picture of the blocks, let $\langle s_j \rangle_t$ in the effective field be a free parameter
# $\mu$: spins at the ends of a block feel $h + K \mu$ (for $k = 1$, both sides: $h + 2 K \mu$).

# %% name="blocks"
mu = np.linspace(-0.6, 1.2, 91)
curves, best_bounds = {}, {}
for size in block_sizes:
    down = np.tile(np.where(np.arange(1, num_spins + 1) % size, coupling, 0.0), (len(mu), 1))
    if size == num_spins:
        down[:] = coupling  # one block: the ring is closed
    lost = (down[0] == 0) + 0.0 + np.roll(down[0] == 0, 1)  # cut bonds at each spin
    fields = field + coupling * mu[:, np.newaxis] * lost
    trial = ising.Ising(0 * down[..., np.newaxis], down[..., np.newaxis], fields[..., np.newaxis])
    curves[size] = ising.trial_free_energies(ring, trial, max_order=1)[0] / num_spins
    best_trial = ising.block_trial(ring, (size, 1))
    best_bounds[size] = ising.trial_free_energies(ring, best_trial, max_order=1)[0] / num_spins
    assert np.all(curves[size] >= best_bounds[size] - 1e-12)
    print(f"blocks of {size:2d}: best bound {best_bounds[size]:.6f} nats a spin", end=", ")
    print(f"gap {best_bounds[size] - exact_ring / num_spins:.6f}")

# %% name="block-bounds" alt="Left: the bound over the mean in the field, for blocks of 1, 2, 4 spins: all above the exact line, lower for larger blocks. Right: the best gap falls from 0.071 to 0.027 nats."
check(best_bounds[num_spins], exact_ring / num_spins)
assert all(best_bounds[k] > best_bounds[n] for k, n in ((1, 2), (2, 4), (1, 3), (3, 6), (6, 12)))
figure, axes = plt.subplots(1, 2, figsize=(10, 3.5))
for size, colour in zip((1, 2, 4), (orange, blue, green), strict=True):
    axes[0].plot(mu, curves[size], color=colour, label=f"blocks of {size}")
    axes[0].axhline(best_bounds[size], color=colour, lw=0.8, ls=":")
axes[0].axhline(exact_ring / num_spins, color=ink, label="exact")
label(axes[0], "Bound against the mean $\\mu$ in the field", "$\\mu$", "$F_1 / N$ (nats)")
axes[0].legend()
gaps = [best_bounds[k] - exact_ring / num_spins for k in block_sizes[:-1]]
axes[1].plot(block_sizes[:-1], gaps, "o-", color=purple)
axes[1].set(xticks=block_sizes[:-1], ylim=(0, None))
label(axes[1], "Best bound $-$ exact", "spins in a block $k$", "gap per spin (nats)")
plt.show()

# %% [markdown]
# Left: every curve is above the exact line, whatever $\mu$. Right: the best bound of a *finer* tiling is never lower
# than that of a coarser one that contains it, because the coarser family includes the finer one with some couplings
# set to zero. Progress is slow: from 0.071 nats a spin for single spins to 0.027 for blocks of half the ring.
#
# **When it fails: a magnet that does not exist.** Does a good bound make a good $q$?
# Take the field away, but for a tiny $h = 0.001$ to break the tie between up and down, and vary $K$.
# Linearise (1.6) for small $m$: $m \approx 2 K m$. For $K > \frac12$ a non-zero solution appears, and
# it has the lower $F_1$: mean-field theory says that the chain becomes a magnet. By (1.4) it never
# does.

# %% name="weak-field"
couplings = np.linspace(0.05, 1.5, 59)
weak = ising.chain(num_spins, couplings, field=0.001)  # 59 chains at once
exact_weak = ising.per_spin(weak)
magnets, weak_gaps = {}, {}
for size in (1, 2, 4):
    trial = ising.block_trial(weak, (size, 1), max_iterations=20_000)
    bound = ising.trial_free_energies(weak, trial, max_order=1)[0] / num_spins
    magnets[size] = ising.magnetisation(trial).mean(axis=(1, 2))
    weak_gaps[size] = bound - exact_weak.free_energy
    assert np.all(weak_gaps[size] > -1e-12)  # (B16) holds all the same
    assert magnets[size][-1] > 0.9 > 0.1 > exact_weak.magnetisation[-1]
    assert weak_gaps[size].argmax() < len(couplings) - 1  # gaps shrink, towards ln 2 in all
    assert 1 < num_spins * weak_gaps[size][-1] / np.log(2) < 1.2
    print(f"blocks of {size}, K = 1.5: m = {magnets[size][-1]:.3f} (exact ", end="")
    print(f"{exact_weak.magnetisation[-1]:.3f}), gap {weak_gaps[size][-1]:.4f} nats a spin")

# %% name="wrong-magnet" alt="Left: over the coupling K the trials magnetise, from 0.5, 0.64, 0.78 on, up to 1; the exact chain stays at 0. Right: the gap of the bound rises to a maximum and falls again."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4))
for size, colour in zip((1, 2, 4), (orange, blue, green), strict=True):
    axes[0].plot(couplings, magnets[size], color=colour, label=f"blocks of {size}")
    axes[1].plot(couplings, weak_gaps[size], color=colour, label=f"blocks of {size}")
axes[0].plot(couplings, exact_weak.magnetisation, color=ink, label="exact")
label(
    axes[0], "Magnetisation of a chain, $h = 0.001$", "coupling $K$ (nats)", r"$\langle s \rangle$"
)
label(axes[1], "Bound $-$ exact", "coupling $K$ (nats)", "gap per spin (nats)")
axes[0].legend()
plt.show()
longer = ising.chain(200, 1.5, field=0.001)
trial = ising.block_trial(longer, (1, 1), max_iterations=20_000)
longer_gap = ising.trial_free_energies(longer, trial, max_order=1)[0] + longer.log_z()
assert abs(longer_gap - 9) < 0.1

# %% [markdown]
# The bound is never violated, and at strong coupling its gap even *shrinks*, while the
# magnetisation is as wrong as it can be. The exact chain is then nearly all up or nearly
# all down, a distribution with two modes. The trial has one mode: mode-seeking (chapter 17, section 3) is what physicists
# call a *broken symmetry*. Half of $p$ is
# missed, and a $q$ that equals $2 p$ on one half of the states and vanishes on the other has the divergence
# $\ln 2$. That is the price in all, 0.058 nats for each of 12 spins, and at $K = 1.5$ the gap is within a fifth of
# that value, from above. (A chain of 200 spins has walls between up and down, and its gap is 9 nats.)
#
# *A bound that is tight per spin certifies $F/N$, not the distribution.* Only a gap far below one nat *in all* does: no
# probability is then wrong by more than $\sqrt{\mathrm{KL}/2}$ (Pinsker).
#
# %% [markdown]
# ## 2. One free energy in five notations
#
# The post ends with a list of expressions for the free energy. Now $\beta$ is written out.
#
# **Sum over states**, as in every RBM:
#
# $$-\beta F = \ln \sum_k e^{-\beta E_k} . \tag{B33a}$$
#
# **Density of states.** Sort the states by energy, and let $\rho(E)\, dE$ be the
# *number* of states between $E$ and $E + dE$ ([chapter 21](21_density_of_states.ipynb) counts $2^{64}$ of them):
#
# $$-\beta F = \ln \int dE\, \rho(E)\, e^{-\beta E} . \tag{B33b}$$
#
# For the ring (1.1) without field, with $K = \beta J$, the energy depends only on the number $d$ of
# neighbours that differ, $E = -J (N - 2 d)$. On a ring $d$ is even; choose the $d$ places among $N$
# bonds and the sign of the first spin:
#
# $$\rho(E) = \sum_{d\ \rm even} 2 \binom{N}{d}\, \delta\big( E + J (N - 2 d) \big) . \tag{2.1}$$
#
# $\rho$ is not a probability: its integral is $2^N$, the number of states. The probability of an *energy* is
# $\rho(E)\, e^{-\beta E} / Z$, below the middle a rising factor times a falling one. With $S(E) = \ln \rho(E)$ it peaks where
# $E - T S(E)$ is lowest: energy minus entropy, once more.
#
# **Check against the exact result**: $J = 1$ and $\beta = 0.8$; 4,096 states, sorted.

# %%
energies = ising.chain(num_spins, 1.0).energy(spins)  # J = 1, (4096,)
level, count = np.unique(energies, return_counts=True)  # E and the number of states there
walls = np.arange(0, num_spins + 1, 2)
check(level, -(num_spins - 2.0 * walls))
check(count, [2 * math.comb(num_spins, d) for d in walls])  # (2.1)
by_states = log_sum_exp(-coupling * energies)  # (B33a)
by_density = log_sum_exp(np.log(count) - coupling * level)  # (B33b)
exact_ring_log_z = ising.chain(num_spins, coupling).log_z()
check([by_states, by_density], exact_ring_log_z)
print(f"-beta F = {by_states:.9f} from {len(energies)} states")
print(f"-beta F = {by_density:.9f} from {len(level)} levels")

# %% [markdown]
# **Continuous states.** A classical particle has a position and a momentum. Its partition function is an integral
# over phase space, with one state for each cell of area $2 \pi \hbar$:
#
# $$-\beta F = \ln \int \frac{dx\, dp}{2 \pi \hbar}\, e^{-\beta E(x, p)} . \tag{B33c}$$
#
# For the oscillator, $E = \frac12 (p^2 + x^2)$, two Gaussian integrals give $\frac{1}{2 \pi \hbar} \cdot \frac{2 \pi}{\beta} = \frac{1}{\beta \hbar}$. By density of
# states: the energy is at most $E$ inside a circle of area $2 \pi E$, which holds $E / \hbar$ states.
# So $\rho(E) = 1 / \hbar$, and $\int_0^\infty dE\, e^{-\beta E} / \hbar = \frac{1}{\beta \hbar}$, too.
#
# **Quantum trace.** The energy becomes a Hermitian operator $\mathcal{H}$:
#
# $$-\beta F = \ln \mathrm{Tr}\, e^{-\beta \mathcal{H}}
#   = \ln \sum_n \langle n | e^{-\beta \mathcal{H}} | n \rangle . \tag{B33d}$$
#
# The sum is the same for *every* orthonormal basis. In that of the eigenvectors it is
# (B33a). The oscillator has $E_n = \hbar (n + \frac12)$ and, as a geometric series,
#
# $$\mathrm{Tr}\, e^{-\beta \mathcal{H}} = \sum_{n=0}^\infty e^{-\beta \hbar (n + 1/2)}
#   = \frac{1}{2 \sinh (\beta \hbar / 2)} \;\xrightarrow{\;\hbar \to 0\;}\; \frac{1}{\beta \hbar} . \tag{2.2}$$
#
# What one may *not* do in another basis is to take the exponential after the bracket:
# $\sum_n e^{-\beta \langle n | \mathcal{H} | n \rangle}$ is a lower bound on the trace, (2.6) of chapter 18. In a basis
# of positions it is a useless one, because a sharp position has a huge kinetic energy.
#
# **Check against the exact result**: the trace over eigenvectors and over positions $x_i$ with the spacing
# $\Delta$. There the kinetic energy is the matrix of $-\frac{\hbar^2}{2} \frac{d^2}{dx^2}$ for band-limited functions
# (Colbert and Miller 1992): $\frac{\hbar^2}{2 \Delta^2} (-1)^{i - j} \cdot \frac{2}{(i - j)^2}$, and
# $\frac{\pi^2}{3}$ in place of the last factor for $i = j$.


# %%
def oscillator(hbar, num_points=121, half_width=9.0):
    """The matrix of p^2/2 + x^2/2 in a basis of positions."""
    x = np.linspace(-half_width, half_width, num_points)
    apart = np.subtract.outer(np.arange(num_points), np.arange(num_points))
    decay = 2 / np.where(apart, apart, 1) ** 2
    factor = (-1.0) ** apart * np.where(apart == 0, np.pi**2 / 3, decay)
    return hbar**2 / (2 * (x[1] - x[0]) ** 2) * factor + np.diag(x**2 / 2)


# %% name="traces"
in_positions = oscillator(hbar)
by_trace = np.log(np.trace(scipy.linalg.expm(-beta * in_positions)))  # (B33d), basis of positions
by_levels = log_sum_exp(-beta * hbar * (np.arange(200) + 0.5))  # basis of eigenvectors
check([by_trace, by_levels], -np.log(2 * np.sinh(beta * hbar / 2)))  # (2.2)
exponent_first = log_sum_exp(-beta * np.diag(in_positions))
assert exponent_first < by_trace  # (2.6) of chapter 18
print(f"-beta F = {by_trace:.9f} by trace over positions, {by_levels:.9f} over eigenvectors")
print(f"exponential of the diagonal, in the position basis: {exponent_first:.3f}")

# %%
grid = np.linspace(-30, 30, 6001)
cell = grid[1] - grid[0]
factor = cell * np.sum(np.exp(-beta * grid**2 / 2))
classical = np.log(factor**2 / (2 * np.pi * hbar))  # (B33c)
e = np.linspace(0, 60, 600_001)
by_area = np.log(np.trapezoid(np.exp(-beta * e) / hbar, e))  # (B33b), rho = 1 / hbar
check(classical, -np.log(beta * hbar))
check(by_area, classical, tolerance=1e-8)
print(f"classical: {classical:.9f} over phase space, {by_area:.9f} by density of states")
for small in (1.0, 0.3, 0.1):
    excess = np.log(2 * np.sinh(beta * small / 2)) - np.log(beta * small)
    print(f"hbar = {small:.1f}: ln Z classical minus quantum {excess:.6f}")
    assert 0 < excess < (beta * small) ** 2 / 24  # ln(sinh(u) / u) <= u^2 / 6

# %% name="five-notations" alt="Left: on a log scale, the number of states peaks at energy 0, the Boltzmann factor falls, their product peaks at -8. Right: the classical F of an oscillator lies below the quantum one."
share = np.exp(np.log(count) - coupling * level - by_density)  # probability of each energy
names = r"$\rho(E)$, states", r"$e^{-\beta E}$", r"$\rho(E)\, e^{-\beta E} / Z$"
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4))
axes[0].set_prop_cycle(color=(blue, orange, green), marker=("o", "s", "^"))
axes[0].semilogy(level, np.transpose([count, np.exp(-coupling * level), share]), ms=5, label=names)
label(axes[0], "An Ising ring, sorted by energy", "energy $E$ ($J$)", "number or probability")
axes[0].legend(fontsize=10)
t = np.linspace(0.05, 2, 100)
axes[1].plot(t, t * np.log(2 * np.sinh(1 / (2 * t))), color=blue, label="quantum, (2.2)")
axes[1].plot(t, -t * np.log(t), color=orange, label="classical, (B33c)")
axes[1].plot(0, 0.5, "o", color=ink, label=r"ground state, $\hbar / 2$")
label(axes[1], r"An oscillator, $\hbar = 1$", r"temperature $T$ ($\hbar$)", r"$F$ ($\hbar$)")
axes[1].legend()
plt.show()

# %% [markdown]
# Left: most states lie in the middle, the weight of each falls with the energy, and the product peaks
# below the middle. Right: the classical $F$ is below the quantum one, and they meet at high temperature.
#
# **The odd one out.** The post also has an expression that looks much like a density of states,
#
# $$\ln \int dx\, p(x)\, e^{-\beta E(x)} , \tag{2.3}$$
#
# and warns that it is "not the same". $\rho(E)$ *counts*; $p(x)$, a
# probability density, *weighs*: its integral is 1. So (2.3) is an average,
# $\ln \langle e^{-\beta E} \rangle_p$, and depends on $p$. Take
# $E = \frac12 x^2$, with the sum over states $\ln \int dx\, e^{-\beta E} = \frac12 \ln \frac{2 \pi}{\beta}$:
#
# - $p$ uniform on $[-R, R]$: (2.3) is $\frac12 \ln \frac{2 \pi}{\beta} - \ln 2 R$ for large $R$. This is the right
#   value minus the logarithm of the volume, which grows without limit.
# - $p$ the Boltzmann distribution itself: the weight $e^{-\beta E}$ is counted twice, and (2.3) is
#   $\ln [Z(2 \beta) / Z(\beta)] = -\frac12 \ln 2$, whatever the temperature.
# - $p = N(0, 1)$: (2.3) is $\ln \int dx\, (2 \pi)^{-1/2} e^{-(1 + \beta) x^2 / 2} =
#   -\frac12 \ln (1 + \beta)$. That is the $-\beta F$ of *another* oscillator, with the energy
#   $E - \frac1\beta \ln p$.
#
# The third case is Bayes: $p(x_{\rm data}) = \int dz\, p(z)\, p(x_{\rm data} | z)$ has the form (2.3),
# with the likelihood as the Boltzmann factor. It *is* a free energy (chapter 17, section 1), if the
# prior belongs to the energy, $E = -\ln p(x|z) - \ln p(z)$.
#
# **Average over a reference.** If $p$ is the Boltzmann distribution of a reference $H_0$ with the free energy $F_0$,
# then by the first steps of (2.2) of chapter 18, without any inequality,
#
# $$-\beta (F - F_0) = \ln \big\langle e^{-\beta (H - H_0)} \big\rangle_0 . \tag{B33e}$$
#
# An average gives the *difference* of two free energies. So in the post's bracket notation,
# $-\beta F = \ln \langle e^{-\beta H} \rangle$, either the bracket is a sum over states (a trace), or both an $F_0$ and an
# $H_0$ are missing. (B33e) is the starting point of perturbation theory (chapter 32).
#
# **Check against the exact result**: the readings of (2.3), by quadrature; then (B33e) for the
# ring, with three references.

# %% name="odd-one"
well = grid**2 / 2  # E(x)
log_z_x = 0.5 * np.log(2 * np.pi / beta)
boltzmann = np.exp(-beta * well - log_z_x)
gaussian = np.exp(-well) / math.sqrt(2 * np.pi)
readings = {
    "uniform on [-10, 10]": ((np.abs(grid) <= 10) / 20, log_z_x - np.log(20)),
    "uniform on [-20, 20]": ((np.abs(grid) <= 20) / 40, log_z_x - np.log(40)),
    "Boltzmann": (boltzmann, -0.5 * np.log(2)),
    "N(0, 1)": (gaussian, -0.5 * np.log(1 + beta)),
}
print(f"-beta F from the integral without p: {log_z_x:.6f}")
for name, (p, expected) in readings.items():
    value = np.log(cell * np.sum(p * np.exp(-beta * well)))  # (2.3)
    check(value, expected)
    print(f"(2.3) with p {name:21s} {value:9.6f}")

# %% name="references"
beta, up = coupling, spins.sum(axis=(1, 2))  # of the ring; the sum of all spins
references = {"nothing": 0 * up, "a field of 0.5": -0.5 * up, "half the coupling": 0.5 * energies}
for name, reference in references.items():
    minus_beta_f0 = log_sum_exp(-beta * reference)
    log_p0 = -beta * reference - minus_beta_f0
    log_average = log_sum_exp(log_p0 - beta * (energies - reference))
    bound = minus_beta_f0 - beta * np.exp(log_p0) @ (energies - reference)  # (B16)
    check(minus_beta_f0 + log_average, exact_ring_log_z)  # (B33e)
    assert bound < exact_ring_log_z
    print(f"reference {name:18s} {minus_beta_f0:.6f} + {log_average:.6f}", end=" = ")
    print(f"{minus_beta_f0 + log_average:.6f}, bound {bound:.6f}")

# %% [markdown]
# All three references give the same $-\beta F$ exactly. The last column takes the average into the
# exponent, and gives three lower bounds on $-\beta F$: that is the difference between an identity and a variational
# method. (The last two references have nearly the same $F_0$, and bounds that are more than two nats apart.)
#
# %% [markdown]
# ## 3. Summary
#
# - Mean field is the best trial without interactions (1.6). Larger blocks tighten the bound (1.8), slowly.
# - The bound always holds (B16). At strong coupling it even improves while the trial magnetises a chain that cannot
#   order: one of two modes is lost, at a price of $\ln 2$ in a short chain. A bound tight per spin does not make $q$ right.
# - $-\beta F$ is the logarithm of a *sum* over states (B33a): sorted by energy (B33b), as an integral over phase space
#   (B33c), or as a trace in any basis (B33d). An average gives a difference of two free energies (B33e).
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **A sandwich.** Compute both sides of (2.4) of chapter 18, `lower` and `upper`, for the ring of section 1
#    and the best product trial, with all 4,096 states. Which side is closer?
# 2. *(medium)* **Two dimensions.** On a 4 × 4 periodic square lattice with $K = 0.35$ and $h = 0.05$,
#    compare the best bounds with blocks of 1 × 1, 2 × 1, 4 × 1 (a closed column), 2 × 2 and 4 × 2 spins.
#    What is better for blocks of four spins, a column or a square? (`bounds_2d`: from the block, as (4, 1), to its
#    bound per spin.)
# 3. *(hard)* **Both modes.** Let the trial be a mixture, half of it independent spins in a field $b$ and half in
#    $-b$. Derive that at $h = 0$ its $\mathcal{F}$ is that of one half alone minus $I$, the information that a state of
#    the chain holds about which half it came from, and that $I \le \ln 2$. Write `two_modes(b, coupling)`, which returns
#    the bound of one half and of the mixture for a ring of 12 without field, in nats. How much of $\ln 2$ does the mixture gain
#    at $K = 1.5$ (`gain`) and at $K = 0.52$ (`small_gain`), each at the best $b$ of one half?
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. The upper gap is KL(q || p), the lower one KL(p || q). The product q misses the second mode (most spins
# down), where p has mass: that costs KL(p || q) dearly. KL(q || p) pays for it with ln(1 / share of the mode
# it has) = -ln 0.755 = 0.28 nats; the rest are the correlations inside that mode.
log_p, difference = exact_ring - ring_energy, ring_energy - optimal.energy(spins)
log_q = -optimal.energy(spins) - optimal.log_z()
upper = -optimal.log_z() + np.exp(log_q) @ difference
lower = -optimal.log_z() + np.exp(log_p) @ difference
print(f"1. {lower:.4f} < F = {exact_ring:.4f} < {upper:.4f} nats: ", end="")
print(f"gaps {exact_ring - lower:.4f} below, {upper - exact_ring:.4f} above")
up = spins.reshape(len(spins), -1).sum(axis=1) > 0
print(f"   most spins up: probability {np.exp(log_p)[up].sum():.3f}")
assert lower < exact_ring < upper
check(upper, num_spins * best_bounds[1])
check(lower, -18.3609, tolerance=1e-5)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. Coarser tilings contain the finer ones. The closed column and the square are both *rings* of four spins, and
# in both each spin has lost two neighbours: the same trial, the same bound.
lattice = ising.square(4, 0.35, field=0.05)
bounds_2d = {}
for block in ((1, 1), (2, 1), (4, 1), (2, 2), (4, 2)):
    trial = ising.block_trial(lattice, block)
    bounds_2d[block] = ising.trial_free_energies(lattice, trial, max_order=1)[0] / 16
    print(f"2. blocks {block[0]} x {block[1]}: {bounds_2d[block]:.6f} nats a spin")
    if block == (2, 2):
        check(bounds_2d[2, 2], bounds_2d[4, 1])
print(f"   exact {-lattice.log_z() / 16:.6f}")
check(sum(bounds_2d.values()), -4.113133, tolerance=2e-6)
assert bounds_2d[1, 1] > bounds_2d[2, 1] > bounds_2d[2, 2] > bounds_2d[4, 2]


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. By symmetry both halves have the same <H> and the same S. The entropy of the mixture is that of one half plus
# I = <ln(q_half(s) / q(s))>, the mean over halves of KL(q_half || q), which is H(half) - <H(half|s)> <= ln 2.
def two_modes(b, coupling):
    energy_of_ring = ising.chain(num_spins, coupling).energy(spins)
    tilt = b * spins.sum(axis=(1, 2))
    one = tilt - log_sum_exp(tilt)  # ln q of one half, (4096,)
    mixture = np.logaddexp(one, -tilt - log_sum_exp(tilt)) - math.log(2)
    return [float(np.exp(log_q) @ (energy_of_ring + log_q)) for log_q in (one, mixture)]


# %% jupyter={"source_hidden": true} tags=["solution"]
# At K = 1.5 a state tells its half almost surely. At K = 0.52 the two halves overlap, and less is gained.
best_b = {k: ising.block_trial(ising.chain(num_spins, k), (1, 1)).field[0, 0] for k in (1.5, 0.52)}
gain, small_gain = (float(-np.diff(two_modes(b, k))[0]) for k, b in best_b.items())
exact_chain = -ising.chain(num_spins, 1.5).log_z()
print(f"3. K = 1.5: gain {gain:.4f} of ln 2 = {math.log(2):.4f} nats; K = 0.52: {small_gain:.4f}")
print(f"   left at K = 1.5: {two_modes(best_b[1.5], 1.5)[1] - exact_chain:.4f} nats in all")
check(two_modes(0.0, 0.6), -num_spins * math.log(2))
assert 0.999 * math.log(2) < gain <= math.log(2)
check(small_gain, 0.4209, tolerance=1e-3)
assert -ising.chain(num_spins, 1.5).log_z() < two_modes(3.0, 1.5)[1] < two_modes(3.0, 1.5)[0]

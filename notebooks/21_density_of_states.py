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
# # Chapter 21: The density of states
#
# How many states have the energy $E$? Whoever has this list, $g(E)$, has $\ln Z$ at every temperature, from one
# sum of a few dozen terms. The list can be counted on small systems and *learned* on larger ones. And it shows
# what can go wrong when the number of states goes to infinity, where the post says only that one has to be
# careful. *Guess before you read on: what is the partition function of a hydrogen atom?*
#
# **What you will do**
#
# - count $2^{64}$ states in a few seconds;
# - let a random walk learn $g(E)$, and see it fail when it stops learning too soon;
# - do the same for $2^{144}$ states, and compare with an exact formula;
# - walk into three traps of the limit $N \to \infty$.
#
# **What you will learn**
#
# - that entropy is the logarithm of a count, and the inverse temperature its slope;
# - that a flat histogram over energies is the perfect umbrella of chapter 20;
# - that there are two limits called $N \to \infty$, and that each may fail to exist or depend on what is done first.
#
# **What you need**: chapter 1; chapter 19, section 2; chapter 20, section 7.
#
# **Time**: about 47 minutes, and 120 for the exercises. The code runs in half a minute.
#
# Numbers such as (B51) are rows of the table `EQUATIONS.md`. Energies are in units of the coupling $J$, $\beta$ in
# $1/J$, free energies in nats.

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
from scipy import special

from rbm_tf import ising
from rbm_tf.course import check, label, mean_and_error, shipped

# %%
seed = 0
num_runs = 20  # independent walks
sweeps = {8: 20_000, 12: 30_000}  # of the walks of sections 3 and 5
field_coupling = 0.6  # of the lattice in section 6
atom = 26.3  # binding energy of hydrogen over the temperature, at 6,000 kelvin
retrain = bool(os.environ.get("RETRAIN"))  # True: walk here, ten minutes
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 130}])
ink = plt.rcParams["text.color"]


# %% [markdown]
# ## 1. Counting without a list
#
# [Chapter 19, section 2](19_variational_theorem.ipynb) sorted 4,096 states of a ring by energy. A periodic square
# lattice of $8 \times 8$ spins has $2^{64}$ states and $M = 128$ bonds. With $d$ bonds between unequal spins
# $E = 2 d - M$, so that
#
# $$Z(\beta) = \sum_E g(E)\, e^{-\beta E} = e^{\beta M} \sum_d g_d\, x^d , \qquad x = e^{-2 \beta} . \tag{1.1}$$
#
# $Z$ is a polynomial in $x$, and its coefficients are the counts. The transfer matrix computes $Z$ by adding one
# bond at a time. Let it carry polynomials in place of numbers. For each row $s$ of spins, $g_d(s)$ counts the
# states of all earlier rows that end in $s$ with $d$ unequal bonds. A new bond between a spin and its successor
# $s'$ leaves $d$ as it is if the two are equal, and adds 1 if not:
#
# $$g_d'(\dots s' \dots) = g_d(\dots s' \dots) + g_{d-1}(\dots {-s'} \dots) . \tag{1.2}$$
#
# A bond within the new row shifts $d$ by 0 or 1. After the last row one keeps what ends as it began. That is $2^8$
# polynomials and 128 bonds for each first row that the chain may begin with, and no approximation.
#
# **Check against the exact result**: a $4 \times 4$ lattice by enumeration; $8 \times 8$ against its number of
# states and $\ln Z$ at four temperatures.

# %% name="count"
small, large = ising.level_counts(4, 4), ising.level_counts(8, 8)
energy = ising.square(4, 1.0).energy(ising.all_spins(4, 4))
level, count = np.unique(energy, return_counts=True)
check(small.energy, level)
check(np.exp(small.log_count), count)
check(special.logsumexp(large.log_count), 64 * np.log(2))
betas = np.array([0.0, 0.2, 0.44, 0.8])
check(large.log_z(betas), ising.square(8, betas).log_z())
print(f"2^64 states on {len(large.energy)} levels; the lowest hold", end=" ")
print(*np.exp(large.log_count[:4]).round().astype(int), "states")

# %% [markdown]
# ## 2. The largest term
#
# Write $S(E) = \ln g(E)$, the entropy of a level. The sum (1.1) has $n_E$ positive terms, one for each level. Hence
#
# $$\max_E \big[ S(E) - \beta E \big] \;\le\; \ln Z \;\le\; \max_E \big[ S(E) - \beta E \big] + \ln n_E . \tag{2.1}$$
#
# $\ln n_E$ is 4 nats for 64 spins, and grows like $\ln N$, while $\ln Z$ grows like $N$. *Per spin the largest
# term is all there is.* It sits where $dS/dE = \beta$. So every energy has an inverse temperature, the slope of its
# entropy, without any heat bath.

# %% name="entropy" alt="Left: the entropy of 64 spins against the energy is an arch from ln 2 at -128 to 42 nats at 0 and back; straight lines of slope 0.2, 0.44 and 0.8 touch it. Right: the distribution of the energy at these three temperatures; the one at 0.44 is far the broadest."
figure, axes = plt.subplots(1, 2, figsize=(10.5, 3.9))
axes[0].plot(large.energy, large.log_count, ".", color=grey, label=r"$S(E) = \ln g(E)$")
for beta, colour in ((0.2, orange), (0.44, green), (0.8, blue)):
    terms = large.log_count - beta * large.energy
    best = terms.argmax()
    near = np.array([-45, 45]) + large.energy[best]
    axes[0].plot(near, terms[best] + beta * near, color=colour, label=rf"slope $\beta$ = {beta}")
    share = np.exp(terms - large.log_z(beta))
    axes[1].plot(large.energy, share, "o-", ms=3, color=colour, label=rf"$\beta$ = {beta}")
    assert terms[best] < large.log_z(beta) < terms[best] + np.log(len(terms))
label(axes[0], "Entropy of 64 spins", "energy $E$ ($J$)", "entropy (nats)")
label(axes[1], "Where the spins are", "energy $E$ ($J$)", r"$g(E)\, e^{-\beta E} / Z$")
axes[0].set_ylim(-2, 52), axes[0].legend(loc="lower center"), axes[1].legend()
plt.show()

# %% name="largest"
print("ln Z less its largest term, nats; the same per spin, for beta = 0.3")
for size in (4, 6, 8):
    levels = ising.level_counts(size, size)
    rest = levels.log_z(0.3) - (levels.log_count - 0.3 * levels.energy).max()
    print(
        f"{size} x {size}: {rest:.3f} of at most {np.log(len(levels.energy)):.3f}; {rest / size**2:.4f}"
    )
assert 1.5 < rest < 2.5 and rest / size**2 < 0.04

# %% [markdown]
# For $E > 0$ the slope of $S$ is negative: more energy, fewer states. That is a negative temperature. It exists because
# spins have a highest level, which atoms in motion do not.
#
# %% [markdown]
# ## 3. A walk that learns
#
# For most systems nobody can count. Suppose we have a guess $\hat g(E)$, and walk through the states with the
# weight $1 / \hat g(E)$, by single flips, accepted with the probability $\min(1, \hat g(E) / \hat g(E'))$. Level
# $E$ is then visited with the probability
#
# $$p(E) = \frac{g(E) / \hat g(E)}{\sum_{E'} g(E') / \hat g(E')} , \tag{3.1}$$
#
# and with $\hat g = g$ all levels alike: the perfect umbrella of [chapter 20, exercise
# 3](20_fluctuation_theorems.ipynb), with $u = \ln g$ of the energy in place of $\ln p_n$ of the magnetisation. One does not
# know $g$. Wang and Landau (2001) correct the guess at every trial, where the walk is:
#
# $$\boxed{\; \ln \hat g(E) \;\to\; \ln \hat g(E) + \ln f , \qquad \ln Z(\beta) = \ln \sum_E \hat g(E)\, e^{-\beta E} \;} \tag{B51}$$
#
# A level that is visited too often has $\hat g$ too small, and the correction drives the walk away. To see that
# this converges let $\epsilon(E) = \ln \hat g - \ln g$, which counts up to a constant, and expand (3.1) for
# small $\epsilon$ on $n_E$ levels: $p \approx (1 - \epsilon + \bar\epsilon) / n_E$. If the walk forgets fast,
# then with the time $\tau$ in trials per level the mean correction is
#
# $$\frac{d}{d\tau} (\epsilon - \bar\epsilon) = - \ln f \; (\epsilon - \bar\epsilon) \quad\Longrightarrow\quad
#   \epsilon - \bar\epsilon \;\propto\; \exp \Big( - \int \ln f \; d\tau \Big) . \tag{3.2}$$
#
# Two conditions follow. $\ln f$ must go to zero, for the visits are random, and each one leaves a noise of the
# size of $\ln f$. But its integral must not be finite, or old errors and old noise stay.
# $\ln f \propto 1 / \tau$ meets both (Belardinelli and Pereyra 2007).
#
# **Check against the exact result**: 20 walks on $8 \times 8$ spins, independent, so that their spread is an
# error. (They come with the course.)


# %%
def walks(size):
    """ln g from independent walks on a square lattice, which comes with the course."""
    log_factors = np.minimum(1, 10 / np.arange(1, sweeps[size] + 1))  # one sweep is about one tau

    def make():
        found = ising.wang_landau(size, size, log_factors, num_runs=num_runs, seed=seed)
        return {"energy": found.energy, "log_count": found.log_count}

    return ising.DensityOfStates(**shipped(f"levels_walks_{size}", make, retrain=retrain))


# %% name="learned"
learned = walks(8)
check(learned.energy, large.energy)
mean, error = mean_and_error(learned.log_count)
gap = mean - large.log_count
print(
    f"ln g: error {np.sqrt(np.mean(gap**2)):.3f} nats (root mean square), spread of the mean",
    end=" ",
)
print(
    f"{np.sqrt(np.mean(error**2)):.3f}; largest error {np.abs(gap).max():.3f} of up to {np.ptp(large.log_count):.1f} nats"
)
assert np.all(np.abs(gap) < 5 * error) and np.sqrt(np.mean(gap**2)) < 0.15

# %% [markdown]
# Twenty walks together learn forty-two nats of entropy to a tenth of a nat (one alone to a quarter), and with them $\ln Z$ at every temperature at once.
#
# %% [markdown]
# ## 4. Too fast
#
# **A deliberate failure.** The first recipe halved $\ln f$ whenever the histogram looked flat. Take a $4 \times 4$ lattice, where 15
# levels are easy to visit, and halve it every 20 sweeps without looking, a caricature. *Will ten times as many sweeps bring a smaller error?*

# %% name="too-fast"
lengths = np.array([150, 500, 1500])
recipes = {
    "halved every 20 sweeps": lambda t: 0.5 ** (t // 20),
    "as 1 / t": lambda t: np.minimum(1, 3 / t),
}
spread = {}
for name, recipe in recipes.items():
    for length in lengths:
        log_factors = recipe(np.arange(1.0, length + 1))
        found = ising.wang_landau(4, 4, log_factors, num_runs=num_runs, seed=seed)
        met = np.isin(small.energy, found.energy)  # by all runs
        spread[name, length] = np.sqrt(np.mean((found.log_count - small.log_count[met]) ** 2))
        print(f"{name:22s} {length:5d} sweeps: error of one run {spread[name, length]:.2f} nats")
slow, fast = ([spread[name, length] for length in lengths] for name in recipes)
assert slow[2] > 2 and abs(slow[2] / slow[1] - 1) < 0.01 and fast[2] < fast[0] / 4

# %% [markdown]
# From 500 sweeps on the error does not move: $\ln f$ is below $10^{-7}$, and by (3.2) nothing is corrected any
# more. With $1 / t$ it goes on falling.
#
# %% [markdown]
# ## 5. Too large to count
#
# A row of 12 spins has 4,096 states, too many for our transfer matrix. The walk does not mind. And there is an
# exact formula to hold it against: Kaufman (1949) has $\ln Z$ of a periodic $L \times L$ lattice in closed form,
# from the same matrix diagonalised by hand. We take it over without proof, and check it where we can count. From
# $g(E)$ come, at every temperature (B6),
#
# $$U = \langle E \rangle , \qquad C = \beta^2 \langle\!\langle E^2 \rangle\!\rangle . \tag{5.1}$$


# %%
def kaufman(size, beta):
    """ln Z of the periodic square lattice, in closed form."""
    k = np.arange(2 * size)
    cosh = np.cosh(2 * beta) / np.tanh(2 * beta) - np.cos(np.pi * k / size)
    gamma = np.arccosh(cosh) * size / 2
    gamma[0] = (2 * beta + np.log(np.tanh(beta))) * size / 2  # its sign counts
    last = -1.0 if gamma[0] < 0 else 1.0
    products = []  # ln of 2 cosh or 2 sinh, multiplied over every second gamma
    for half in (np.abs(gamma[1::2]), np.abs(gamma[::2])):
        products += [np.sum(half + np.log1p(sign * np.exp(-2 * half))) for sign in (1, -1)]
    onsager = size**2 / 2 * np.log(2 * np.sinh(2 * beta))
    return onsager - np.log(2) + special.logsumexp(products, b=[1, 1, 1, last])


check([kaufman(8, beta) for beta in betas[1:]], large.log_z(betas[1:]))


# %%
def heat_capacity(levels, beta):
    """C per spin from a density of states, (num_betas,), or (num_runs, num_betas)."""
    num_spins = round(float(special.logsumexp(levels.log_count, axis=-1).max() / np.log(2)))
    exponent = levels.log_count[..., np.newaxis, :] - np.multiply.outer(beta, levels.energy)
    p = special.softmax(exponent, axis=-1)
    mean = p @ levels.energy
    return beta**2 * (p @ levels.energy**2 - mean**2) / num_spins


def exact_heat_capacity(size, beta, step=1e-3):
    """C per spin from Kaufman's ln Z, by second differences."""
    values = np.array([[kaufman(size, b + s) for b in beta] for s in (-step, 0, step)])
    return beta**2 * np.diff(values, 2, axis=0)[0] / step**2 / size**2


# %%
walked, fine = walks(12), np.linspace(0.2, 0.7, 51)
log_z_mean, log_z_error = mean_and_error(walked.log_z(fine))
exact_log_z = np.array([kaufman(12, beta) for beta in fine])
c_mean, c_error = mean_and_error(heat_capacity(walked, fine))

# %% name="walked" alt="Left: the error of ln Z of 144 spins against beta, a smooth curve that falls from zero to -0.16 nats, within a band of two standard errors that includes zero. Right: heat capacity per spin against beta, a peak near 0.43 that is higher for 12 x 12 than for 4 x 4 and 8 x 8 spins; the dots of the walks lie on the exact curve."
figure, axes = plt.subplots(1, 2, figsize=(10.5, 3.8))
low, high = log_z_mean - 2 * log_z_error, log_z_mean + 2 * log_z_error
axes[0].plot(fine, log_z_mean - exact_log_z, color=orange, label="20 walks, two standard errors")
axes[0].fill_between(fine, low - exact_log_z, high - exact_log_z, color=orange, alpha=0.25)
axes[0].axhline(0, color=ink, lw=1, label="exact")
axes[0].set_ylim(-0.5, 0.4)
label(axes[0], "Error of ln Z, 144 spins", r"$\beta$ ($1/J$)", "error (nats)")
axes[1].errorbar(fine, c_mean, 2 * c_error, fmt=".", color=orange, label="12 x 12, walks")
axes[1].plot(fine, exact_heat_capacity(12, fine), "-", color=ink, lw=1, label="12 x 12, exact")
axes[1].plot(fine, heat_capacity(large, fine), "--", color=blue, label="8 x 8")
axes[1].plot(fine, heat_capacity(small, fine), ":", color=green, lw=2, label="4 x 4")
label(axes[1], "Heat capacity", r"$\beta$ ($1/J$)", "$C$ per spin")
axes[0].legend(), axes[1].legend()
plt.show()

# %% name="large"
gap = np.abs(log_z_mean - exact_log_z)
print(f"2^144 states on {len(walked.energy)} levels; largest error of ln Z {gap.max():.3f} nats")
print(
    f"standard errors up to {log_z_error.max():.3f} nats; ln Z from {exact_log_z.min():.0f} to {exact_log_z.max():.0f}"
)
c_gap = np.abs(c_mean - exact_heat_capacity(12, fine))
print(f"largest error of C per spin {c_gap.max():.3f}, standard errors up to {c_error.max():.3f}")
assert np.all(gap < 5 * log_z_error) and log_z_error.max() < 0.2
assert np.all(c_gap < 5 * c_error) and c_error.max() < 0.05

# %% [markdown]
# The same walks have given the whole curve, with 4 million trials each. (Its points share the same walks, so that their
# errors go together.) Where a transfer matrix or a formula exists, it is faster and exact.
#
# %% [markdown]
# ## 6. To infinity, carefully
#
# The post extends the sum over states, $\ln \sum_{k=0}^N e^{-\beta E_k}$, to $N \to \infty$ and says that one
# has to be careful. There are two such limits. In the first, one system has infinitely many levels. In the
# second, the system grows.
#
# **Trap 1: the sum diverges.** The number of states below $E$ must not grow as fast as $e^{\beta E}$, and so the
# levels must rise without end. Those of an oscillator do, and (2.2) of chapter 19 is finite. The bound states of
# hydrogen do not: $E_n = -1 / n^2$ in units of the binding energy, $n^2$ of them (without spin), and with
# $a = 26.3$, which is the binding energy over the temperature at the surface of the sun,
#
# $$Z_N = \sum_{n=1}^{N} n^2\, e^{a / n^2} \;\approx\; e^a + \frac{N^3}{3} \;\to\; \infty , \tag{6.1}$$
#
# at every temperature. That is the answer to the guess. *And yet the theory of stars takes $e^a$, the
# ground state alone, and does well. How large must $N$ be before one notices?*

# %%
n = np.arange(1, 1_000_001)
hydrogen = np.logaddexp.accumulate(2 * np.log(n) + atom / n**2)
oscillator = np.logaddexp.accumulate(-0.01 * (n - 0.5))  # (2.2) of chapter 19, N levels

# %% [markdown]
# **Trap 2: the limit of the wrong thing.** Let the lattice grow. Then $\ln Z$ grows like $N$, and only
# $\ln Z / N$ has a limit. On every finite lattice (1.1) is a polynomial with positive coefficients, so that
# $\ln Z$ is smooth: no finite system has a phase transition. What Onsager (1944) found appears when
# $N \to \infty$ comes first and the derivative second. *How fast does the peak of $C$ grow?*
#
# **Trap 3: the order of two limits.** Put a field $h$ on every spin, at a temperature below the transition. On a
# finite lattice the magnetisation vanishes with $h$. If $N \to \infty$ comes first, it tends to
# $(1 - \sinh^{-4} 2 \beta)^{1/8}$ (Yang 1952):
#
# $$\lim_{N \to \infty} \lim_{h \to 0} m = 0 , \qquad \lim_{h \to 0} \lim_{N \to \infty} m = 0.974 \quad (\beta = 0.6) . \tag{6.2}$$

# %%
fields, sizes = np.geomspace(1e-4, 0.3, 15), (2, 4, 6)
magnetisations = {
    size: ising.per_spin(ising.square(size, field_coupling, field=fields)).magnetisation
    for size in sizes
}
spontaneous = (1 - np.sinh(2 * field_coupling) ** -4) ** 0.125

# %% name="limits" alt="Left: ln Z against the number of shells or levels, on a log scale. Hydrogen is flat at 26.3 nats until some thousands of shells, then rises without limit; the oscillator becomes flat for good. Right: magnetisation against field on a log scale for 2, 4 and 6 spins to the side; each goes to zero with the field, the larger the later; a dashed line marks the infinite lattice at 0.97."
figure, axes = plt.subplots(1, 2, figsize=(10.5, 3.8))
axes[0].semilogx(n, hydrogen, color=blue, label="hydrogen, $a$ = 26.3")
axes[0].semilogx(n, oscillator, color=orange, label=r"oscillator, $\beta \hbar$ = 0.01")
label(axes[0], "One system, more levels", "shells or levels, $N$", r"$\ln Z_N$ (nats)")
for size, colour, marker in zip(sizes, (green, purple, blue), "os^", strict=True):
    name = f"{size} x {size} spins"
    axes[1].semilogx(fields, magnetisations[size], marker + "-", color=colour, label=name)
axes[1].axhline(spontaneous, color=ink, ls="--", label="infinite, then no field")
label(axes[1], "More spins, less field", "field $h$ (nats)", "magnetisation per spin")
axes[0].legend(loc="upper left"), axes[1].legend()
plt.show()

# %% name="traps"
noticed = n[np.argmax(hydrogen > atom + np.log(2))]
print(
    f"hydrogen: {hydrogen[99]:.5f} nats with 100 shells, {hydrogen[999]:.5f} with 1,000", end=", "
)
print(f"{hydrogen[-1]:.2f} with a million; Z has doubled with {noticed}")
check(noticed, (3 * np.exp(atom)) ** (1 / 3), tolerance=0.01)  # (6.1)
check(oscillator[-1], -np.log(2 * np.sinh(0.005)))
near = np.linspace(0.4, 0.445, 46)
peaks = np.array([exact_heat_capacity(size, near).max() for size in (8, 16, 32, 64)])
growth = np.diff(peaks) / np.log(2)
print(f"largest C per spin {peaks.round(3)}; growth by ln of the side {growth.round(3)}")
at_half = [np.interp(0.5, magnetisations[size], np.log(fields)) for size in sizes]
print(f"h = 0.0001: m = {magnetisations[6][0]:.4f}; m = 1/2 for h = {np.exp(at_half).round(4)}")
assert 0.45 < growth[-1] < 0.55 and np.all(np.diff(at_half) < -0.6) and magnetisations[6][0] < 0.01

# %% [markdown]
# - Hydrogen looks finite up to some thousand shells. In a gas the neighbours end the shells long before
#   (exercise 4). Where the sum is cut belongs to the model.
# - The peak grows by 0.50 for each factor $e$ in the side, without end. Ferdinand and Fisher (1969) derive
#   0.4945 for large lattices.
# - The larger the lattice, the smaller the field that decides which way it points. A machine of finitely many
#   units prefers neither of two equal modes, and a variational free energy picks one ([chapter 19, section
#   1](19_variational_theorem.ipynb)), as the infinite system does.
#
# %% [markdown]
# ## 7. Summary
#
# - $g(E)$ is the coefficient list of a polynomial, and gives $\ln Z$, $U$ and $C$ at all temperatures.
# - $\ln Z$ is the largest $S(E) - \beta E$, entropy minus $\beta$ times energy, up to $\ln n_E$.
# - A walk that weighs by $1 / \hat g$ and corrects $\hat g$ where it is learns $g$ (B51), if its corrections
#   fall like $1 / t$ and not faster.
# - Infinitely many levels may have no partition function at all.
# - For infinitely many spins only $\ln Z / N$ has a limit. Taken before or after a derivative, or a field that
#   vanishes, it gives different answers.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **A ring.** From (2.1) of chapter 19 write `ring_levels(num_spins)`, energies and logarithms of
#    counts of a ring, and compare with `level_counts(num_spins, 1)`.
# 2. *(medium)* **What one temperature sees.** You have 100,000 independent samples of the $8 \times 8$ lattice
#    at $\beta = 0.4$. How many of its 63 levels do you expect to meet? Write `levels_met(beta, num)`. What does
#    that say about learning $g$ at a single temperature?
# 3. *(hard)* **Beyond the largest term.** Replace the sum (1.1) near its largest term by a Gaussian integral,
#    with levels 4 apart. Show that
#    $\ln Z \approx \max [S - \beta E] + \frac12 \ln (2 \pi \langle\!\langle E^2 \rangle\!\rangle / 16)$, and
#    write it as `saddle(beta)`.
# 4. *(to explore)* **Half ionised.** Up to which shell $N$ may the sum (6.1) run before the ground state has
#    less than half of the probability? Find `shells`, a dictionary that has this number for $a$ = 26.3 (6,000
#    kelvin) and $a$ = 13.15 (12,000 kelvin). The atom of shell $n$ has a radius of $n^2$ times 0.053 nanometres. Does that
#    happen before atoms touch?
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. d unequal neighbours, d even, on num_spins bonds, and the sign of the first spin.
def ring_levels(num_spins):
    d = np.arange(0, num_spins + 1, 2)
    return 2.0 * d - num_spins, np.log(2 * special.comb(num_spins, d))


print("1. counts of 12 spins:", np.exp(ring_levels(12)[1]).round().astype(int))
check(ring_levels(12)[0], ising.level_counts(12, 1).energy)
check(ring_levels(30)[1], ising.level_counts(30, 1).log_count)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. A level of probability p is missed by all num samples with the probability (1 - p)^num.
def levels_met(beta, num):
    p = np.exp(large.log_count - beta * large.energy - large.log_z(beta))
    return np.sum(-np.expm1(num * np.log1p(-p)))


met = {beta: round(float(levels_met(beta, 100_000)), 1) for beta in (0.1, 0.4, 0.7)}
print("2. of 63 levels:", met)
check(levels_met(0.4, 1), 1.0)
assert levels_met(0.4, 1e5) < levels_met(0.4, 1e6) < 60 and 25 < levels_met(0.4, 1e5) < 35


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Near its top S - beta E is top - (E - E*)^2 / (2 v), so that v is the variance of E; the sum over
# levels 4 apart is the integral over E divided by 4: sqrt(2 pi v) / 4.
def saddle(beta):
    terms = large.log_count - beta * large.energy
    p = special.softmax(terms)
    variance = p @ large.energy**2 - (p @ large.energy) ** 2
    return terms.max() + 0.5 * np.log(2 * np.pi * variance / 16)


for beta in (0.1, 0.3, 0.44):
    rest = [
        large.log_z(beta) - x for x in (saddle(beta), np.max(large.log_count - beta * large.energy))
    ]
    print(f"3. beta {beta}: ln Z less saddle {rest[0]:+.3f}, less the largest term {rest[1]:+.3f}")
assert abs(saddle(0.1) - large.log_z(0.1)) < 0.02 < abs(saddle(0.44) - large.log_z(0.44)) < 0.5


# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. The ground state has half when the others add up to e^a, near N = (3 e^a)^(1/3). Atoms that wide
# touch in almost any gas, so that the shells end long before.
def last_shell(a):
    n = np.arange(2, round((6 * np.exp(a)) ** (1 / 3)))
    return n[np.argmax(np.logaddexp.accumulate(2 * np.log(n) + a / n**2) > a)] - 1


shells = {a: int(last_shell(a)) for a in (26.3, 13.15)}
for a, number in shells.items():
    print(
        f"4. a = {a}: {number} shells, the last with a radius of {number**2 * 5.3e-11:.2g} metres"
    )
check(shells[26.3], 9254, tolerance=1e-3)
assert shells[13.15] == 114

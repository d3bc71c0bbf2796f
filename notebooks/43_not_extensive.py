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
# # Chapter 43: A theory that does not grow with its system, and a series that ends
#
# The post says of variational theories with correlations that they do not grow in proportion to the system, and
# of the expansions that it is unclear whether they converge. This chapter computes both. *Guess before you read
# on: a trial state may excite one unit of $N$. How does the energy that it gains grow with $N$? And for which
# couplings does the series of Thouless, Anderson and Palmer (TAP) converge for a single bond?*
#
# **What you will do**
#
# - find the best state with at most $K$ excitations among thousands of units, exactly;
# - see where perturbation theory cancels what such a state keeps;
# - bound what a mixture of product distributions can gain;
# - compute Plefka's series to order 80, and find the point in the complex plane at which it ends.
#
# **What you will learn**
#
# - why an energy of $N$ units that is cut at $K$ excitations grows like $\sqrt N$;
# - that the exponential of coupled-cluster theory is the idea of cumulants;
# - that for one bond TAP's series converges for every $|W| < \pi$, and for many bonds for smaller couplings.
#
# **What you need**: sections 1 and 2 of chapter 38, sections 2 and 3 of chapter 36, and eigenvalues.
#
# **Time**: about 60 minutes, and 105 for the exercises. The code runs in a quarter of a minute.
#
# Numbers such as (B55) are rows of the table `EQUATIONS.md`. Free energies are in nats.

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

import functools
import math

import matplotlib.pyplot as plt
import numpy as np
from numpy.polynomial import hermite_e
from scipy import linalg, optimize, special

from rbm_tf import cumulants, mean_field, two_level
from rbm_tf.course import check, label

# %%
seed = 0
gap, g = 1.0, 0.3  # of a unit: the upper level, and the coupling of both
sizes = np.unique(np.geomspace(1, 10_000, 25).astype(int))  # N
J = 1.5  # coupling of a pair of spins, section 4
m, n = 0.1, 0.2  # means of the one bond of section 6
max_order = 80  # of Plefka's series
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 105}])
ink = plt.rcParams["text.color"]


# %% [markdown]
# ## 1. N units of two levels
#
# The smallest quantum system has two levels. Let the lower one have the energy 0, the upper one $\Delta$,
# and let $-g$ couple them. The ground-state energy is the smaller root of $e^2 - \Delta e - g^2 = 0$:
#
# $$H_1 = \begin{pmatrix} 0 & -g \\ -g & \Delta \end{pmatrix} , \qquad
#   e = \frac{\Delta}{2} - \sqrt{\frac{\Delta^2}{4} + g^2} . \tag{1.1}$$
#
# In chemistry one such unit is a hydrogen molecule in the smallest basis. Its lower level is the mean-field
# (Hartree-Fock) state, the upper one has both electrons excited, and $e$ is the *correlation energy*.
#
# Take $N$ units that do not interact, $H = \sum_i H_1^{(i)}$. The ground state is the product of the
# single ones, with the energy $N e$. It treats all units alike, so it lies in the space of the *symmetric*
# states $|k\rangle$: the sum over all $\binom Nk$ ways to excite $k$ units, divided by $\binom Nk^{1/2}$.
# $H$ leads from each of these ways to $N - k$ ways with one more excitation, and each of the latter is
# reached from $k + 1$. So there are $\binom Nk (N - k)$ links, and
#
# $$\langle k | H | k \rangle = k \Delta , \qquad
#   \langle k + 1 | H | k \rangle = \frac{-g \binom Nk (N - k)}{\sqrt{\binom Nk \binom N{k+1}}}
#   = -g \sqrt{(k + 1)(N - k)} . \tag{1.2}$$
#
# This is a matrix of $N + 1$ rows in place of $2^N$, and it is tridiagonal.
#
# **Check against the exact result**: on all $2^6$ states, and $N e$ for many units.


# %% name="exact"
def all_states(matrix, size):
    """The sum of a matrix for each unit, on all 2^size states of the units."""
    places = [[matrix if i == j else np.eye(2) for j in range(size)] for i in range(size)]
    return sum(functools.reduce(np.kron, place) for place in places)


unit = np.array([[0, -g], [-g, gap]])
e = gap / 2 - math.hypot(gap / 2, g)  # (1.1)
check(np.linalg.eigvalsh(all_states(unit, 6))[0], 6 * e)
for size in (1, 6, 60, 600):
    energy = two_level.truncated_energy(size, gap, g)
    check(energy, size * e, tolerance=1e-9)
    print(f"N = {size:3d}: energy {energy:11.6f}, per unit {energy / size:.6f}, e = {e:.6f}")

# %% [markdown]
# ## 2. At most K excitations
#
# *Truncated configuration interaction* is the variational principle (B16) at zero temperature: the best
# state among those of at most $K$ excitations. It keeps the first $K + 1$ rows of (1.2). For $K = 1$ the
# matrix is (1.1) with $g \sqrt N$ in place of $g$,
#
# $$E_1 = \frac{\Delta}{2} - \sqrt{\frac{\Delta^2}{4} + N g^2} , \tag{2.1}$$
#
# which is exact for one unit and grows like $\sqrt N$ for many. For any fixed $K$, divide (1.2) by $\sqrt N$ and
# let $N$ grow. The diagonal vanishes, and what is left is $-g$ times a matrix with $\sqrt{k + 1}$ beside
# the diagonal. Its eigenvectors are known: the Hermite polynomials satisfy
# ${\rm He}_{k+1}(\xi) + k\, {\rm He}_{k-1}(\xi) = \xi\, {\rm He}_k(\xi)$, which for $u_k = {\rm He}_k(\xi) / \sqrt{k!}$ reads
# $\sqrt{k + 1}\, u_{k+1} + \sqrt{k}\, u_{k-1} = \xi\, u_k$. The matrix ends at $k = K$, and so
# $u_{K+1}$ must be zero. The eigenvalues are the zeros of ${\rm He}_{K+1}$, and with the largest, $\xi_{K+1}$,
#
# $$\boxed{\; E_K = -g\, \xi_{K+1} \sqrt N + O(1) , \qquad \xi_2 = 1 , \; \xi_3 = \sqrt 3 , \;
#   \xi_4 = \sqrt{3 + \sqrt 6} \;} \tag{B55}$$
#
# *The correlation energy per unit falls like $1/\sqrt N$*, although the units do not interact.
# In the exact state each unit is excited with some probability $p$, and the trial has $K$ excitations for all.

# %%
highest = (1, 2, 4, 16)  # K
shares = {}  # of the exact energy
for K in highest:
    energies = [two_level.truncated_energy(N, gap, g, max_excitations=min(K, N)) for N in sizes]
    shares[K] = np.array(energies) / (sizes * e)
check(shares[1] * sizes * e, gap / 2 - np.sqrt(gap**2 / 4 + sizes * g**2))  # (2.1)
zeros = {K: hermite_e.hermeroots([0] * (K + 1) + [1]).max() for K in highest}
check([zeros[1], zeros[2]], [1, math.sqrt(3)])
for K in highest:
    far = two_level.truncated_energy(10**8, gap, g, max_excitations=K) / 1e4
    print(f"K = {K:2d}: share at N = 100 {shares[K][sizes == 100][0]:.3f}", end=", ")
    print(f"N = 10,000 {shares[K][-1]:.3f}; E / sqrt(N) at N = 10^8 {far:.4f}", end=", ")
    print(f"-g xi = {-g * zeros[K]:.4f}")
    check(far, -g * zeros[K], tolerance=1e-3)  # (B55)

# %% name="truncated" alt="Left: share of the exact energy against the number of units: orders 2 and 4 of perturbation theory are flat at 1.08 and 0.99; the curves for at most 1, 2, 4 and 16 excitations start at 1 and fall. Right: minus the energy in doubly logarithmic axes; exact with slope 1, the truncated ones bend to slope one half, on dashed asymptotes."
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2))
for K, colour in zip(highest, (orange, green, purple, blue), strict=True):
    axes[0].semilogx(sizes, shares[K], "o-", ms=3, color=colour, label=f"$K$ = {K}")
    axes[1].loglog(sizes, -shares[K] * sizes * e, color=colour)
    axes[1].loglog(sizes, g * zeros[K] * np.sqrt(sizes), "--", lw=1, color=colour)
for order, value, style in ((2, -(g**2) / gap, ":"), (4, -(g**2) / gap + g**4 / gap**3, "-.")):
    axes[0].axhline(value / e, color=ink, ls=style, label=f"perturbation, order {order}")
axes[1].loglog(sizes, -sizes * e, color=ink, lw=2, label="exact")
axes[1].plot([], [], "--", color=grey, label=r"$g\, \xi_{K+1} \sqrt{N}$")
label(axes[0], "Share of the exact energy", "units $N$", "$E_K / N e$")
label(axes[1], "Minus the energy", "units $N$", "$-E$, in units of the gap")
for axis in axes:
    axis.legend()
plt.show()

# %% [markdown]
# Sixteen excitations find more than 99% of the energy of a hundred units, and less than a quarter for ten
# thousand. The two flat lines come from the next section. Where the truncated trial wins: every
# $E_K$ is a bound and order 2 is not, and for a few units $K = 4$ is better than order 4.

# %%
wins = np.abs(shares[4] - 1) < abs((-(g**2) + g**4) / e - 1)
print(f"K = 4 is better than order 4 for N up to {sizes[wins].max()}")
assert shares[16][sizes == 100][0] > 0.99 and 0.2 < shares[16][-1] < 0.25
assert all(np.all(share < 1 + 1e-12) for share in shares.values())
assert wins[:5].all() and not wins[-10:].any()

# %% [markdown]
# ## 3. What cancels, and what exponentiates
#
# Perturbation theory in $g$ has at second order $-(g \sqrt N)^2 / \Delta = -N g^2 / \Delta$. At fourth order
# there are two terms. The first goes up twice and down twice; the second is minus the second-order energy times
# the weight of the excited state:
#
# $$E^{(4)} = -\frac{N g^2 \cdot 2 (N - 1) g^2}{\Delta \cdot 2 \Delta \cdot \Delta}
#   {} + \frac{N g^2}{\Delta} \cdot \frac{N g^2}{\Delta^2} = \big[ -N (N - 1) + N^2 \big] \frac{g^4}{\Delta^3}
#   = \frac{N g^4}{\Delta^3} . \tag{3.1}$$
#
# Each is of order $N^2$, and the sum is extensive: two excitations that do not meet, an *unlinked* pair, cancel
# ([chapter 38, section 3](38_size_extensivity.ipynb)). A trial with $K = 1$ has the second term and lacks the first.
# Its energy (2.1) expands to $-N g^2/\Delta + N^2 g^4/\Delta^3$. At every order the cancellation is complete,
# for a simple reason: the exact energy is $N e(g)$ for each $g$, hence so is each Taylor coefficient.
#
# **The exponential.** The exact state is a product, with amplitude $t$ for each excitation. Let $a_i^\dagger$ excite
# unit $i$, and $A = \sum_i a_i^\dagger$. Then
#
# $$|\psi\rangle = \prod_i \big( 1 + t a_i^\dagger \big) |0\rangle = e^{\, t A} |0\rangle , \qquad t = -\frac{e}{g} ,
#   \qquad \frac{\langle k | \psi \rangle}{\langle 0 | \psi \rangle} = t^k \tbinom Nk^{1/2} . \tag{3.2}$$
#
# *One number in the exponent, and the energy is exact for every $N$.* Configuration interaction expands
# the exponential and cuts it, $1 + t A + \frac12 t^2 A^2 + ..$; coupled-cluster theory cuts what stands in the
# exponent. These are the moments and the cumulants of [chapter 38, section 2](38_size_extensivity.ipynb): what
# is independent multiplies, and its logarithm adds.
#
# **Davidson's correction**, $(1 - c_0^2) E_1$ with the weight $c_0^2$ of $|0\rangle$, is the usual repair (Langhoff and Davidson 1974). It removes
# the term in $N^2$ of (2.1), since $1 - c_0^2 \approx N g^2 / \Delta^2$. Is the sum then extensive?


# %%
def perturbation_orders(size, order):
    """Energies of orders 1, 2, .. in the coupling, by Rayleigh and Schroedinger's recursion."""
    levels, hop = two_level.symmetric_hamiltonian(size, gap, 1.0)
    states, energies = [np.eye(size + 1)[0]], []
    for k in range(1, order + 1):
        moved = np.append(hop * states[-1][1:], 0) + np.insert(hop * states[-1][:-1], 0, 0)
        energies.append(moved[0])
        others = sum(energies[j - 1] * states[k - j] for j in range(1, k + 1))
        states.append(np.insert((others - moved)[1:] / levels[1:], 0, 0.0))
    return np.array(energies)


# %% name="cancel"
catalan = special.comb(2 * np.arange(5), np.arange(5)) / np.arange(1, 6)  # 1, 1, 2, 5, 14
for size in (1, 10, 40):
    orders = perturbation_orders(size, 10)[1::2]
    print(f"N = {size:2d}: orders 2, 4, .., 10 per unit {(orders / size).round(6)}")
    check(orders / size, -catalan * [1, -1, 1, -1, 1], tolerance=1e-8)  # Taylor series of (1.1)
_, vectors = linalg.eigh_tridiagonal(*two_level.symmetric_hamiltonian(40, gap, g))
k, t = np.arange(13), -e / g
check(vectors[:13, 0] / vectors[0, 0], t**k * np.sqrt(special.comb(40, k)), tolerance=1e-8)  # (3.2)
N = np.array([1.0, 10, 100, 10_000])
E_1 = gap / 2 - np.sqrt(gap**2 / 4 + N * g**2)
davidson = E_1 * (2 - 1 / (1 + E_1**2 / (N * g**2)))
for row in zip(N, E_1 / (N * e), davidson / (N * e), strict=True):
    print("N = {:6.0f}: share of K = 1 {:.3f}, with Davidson's correction {:.3f}".format(*row))
check(davidson[-1] / E_1[-1], 1.5, tolerance=0.02)

# %% [markdown]
# It is not: the share still falls. The factor tends to $\frac32$, because half of the weight is left on $|0\rangle$.
#
# Extensive does not mean convergent. The square root of (1.1) has
# branch points at $g = \pm i \Delta / 2$: for every $N$ the radius of the series is $\Delta / 2$.
#
# %% [markdown]
# ## 4. The same for a variational q (optional)
#
# **A cut in the number of excitations.** Let $z_i \in \{0, 1\}$ cost $\varepsilon$ each, $r = e^{-\varepsilon}$.
# The exact $\ln Z$ is $N \ln (1 + r)$. Among all $q$ on states of at most $K$ ones the best is the
# restricted Boltzmann distribution itself, by (B16) on this smaller set of states. Its bound is
#
# $$-F_K = \ln \sum_{k=0}^{K} \binom Nk r^k \;\le\; K \ln N + O(1) . \tag{4.1}$$
#
# It grows like a logarithm. A product $q$ has one parameter and is exact.
#
# **A mixture.** Correlations enter many posteriors as a mixture $q = \sum_c \pi_c q_c$ of $C$ products. Its entropy
# is $\sum_c \pi_c S(q_c) + I$, where $I$ is the mutual information of component and state. A component
# holds at most $\ln C$ of information, $I \le \ln C$, so that
#
# $$F_{\rm mix} = \sum_c \pi_c F(q_c) - I \;\ge\; \min_c F(q_c) - \ln C . \tag{4.2}$$
#
# *A mixture gains at most $\ln C$ over its best component, for the whole system* (Jaakkola and Jordan 1998). To
# gain in proportion to $N$ it needs a number of components that is exponential in $N$.
#
# **Check**: $N$ pairs of spins $\pm 1$ with the energy $-J s s'$. The best products have all means $+\mu$, or all
# $-\mu$ (or any signs, pair by pair), with $\mu = \tanh J \mu$. We mix the first two.

# %% name="mixture"
r = math.exp(-1.0)
restricted = special.logsumexp([math.log(math.comb(10_000, k)) - k for k in range(17)])  # (4.1)
print(f"10,000 units, K = 16: bound {restricted:.1f}, exact {10_000 * math.log1p(r):.1f} nats")
mu = optimize.brentq(lambda x: math.tanh(J * x) - x, 0.1, 1)
up = (1 + mu) / 2
missing = -J * mu**2 + 2 * (special.xlogy(up, up) + special.xlogy(1 - up, 1 - up))
missing += math.log(4 * math.cosh(J))  # of one pair: F of the best product, minus the exact F
for pairs in (1, 4, 64):
    k = np.arange(2 * pairs + 1)  # spins up
    log_ratio = (2 * pairs - 2 * k) * math.log(up / (1 - up))  # of -mu to +mu
    q_up = special.comb(2 * pairs, k) * up**k * (1 - up) ** (2 * pairs - k)
    gain = math.log(2) - q_up @ np.logaddexp(0, log_ratio)  # I, the same for both components
    print(f"N = {pairs:2d}: product misses {pairs * missing:.3f}, mixture gains {gain:.3f} nats")
    assert gain < min(math.log(2) + 1e-12, pairs * missing) and (pairs == 1 or gain > 0.69)
assert restricted < 0.05 * 10_000 * math.log1p(r)

# %% [markdown]
# Of one pair's error the mixture repairs most. For 64 pairs it still gains $\ln 2$.
#
# %% [markdown]
# ## 5. Plefka's series to any order
#
# The orders of TAP's free energy are extensive, too. Does its series converge? TAP cuts it after order 2 or 3 and then
# moves the means; here they are held. At fixed means $m_i$, $n_j$ and with the
# coupling $s W$, [chapter 36, section 3](36_cumulants_and_tap.ipynb) has
#
# $$\Gamma(s) = \Gamma(0) - s\, m^T W n - \ln \big\langle e^{\, s Q + \phi(s) \cdot x} \big\rangle_q , \qquad
#   \big\langle x\, e^{\, s Q + \phi(s) \cdot x} \big\rangle_q = 0 , \tag{5.1}$$
#
# where $x$ holds the deviations of all units from their means, $Q$ their products bond by bond, and the
# counter-fields $\phi(s)$ keep the means in place. That chapter went to order 4 by hand; for a few units a
# program goes on. Write the exponent of a state as $\sum_k s^k \eta_k$, with $\eta_1 = Q + \phi_1 \cdot x$ and $\eta_k =
# \phi_k \cdot x$ after that, and the exponential as $\sum_k s^k \omega_k$. The derivative in $s$ gives
#
# $$k\, \omega_k = \sum_{j=1}^{k} j\, \eta_j\, \omega_{k-j} , \qquad \omega_0 = 1 . \tag{5.2}$$
#
# On the right $\phi_k$ occurs in one term, $k\, \phi_k \cdot x$. The condition $\langle x_i \omega_k \rangle_q = 0$ is therefore
# solved by a division by $\langle x_i^2 \rangle_q$, and order after order follows.
#
# **Check against the exact result**: orders 1 to 4 with the library's formulas, and the sum with the exact
# $\Gamma$, by maximising over the fields as in chapter 36, for a machine of 3 + 3 units.

# %%
rng = np.random.default_rng(seed)
W, means = rng.normal(size=(3, 3)), rng.uniform(0.2, 0.8, 6)
series = mean_field.plefka_series(W, means[:3], means[3:], max_order=max_order)
no_bias = np.zeros(3), np.zeros(3)
for order in (1, 2, 3):
    gamma = mean_field.gamma((W, *no_bias), means[None, :3], means[None, 3:], order)[0]
    check(series[: order + 1].sum(), gamma)
check(series[4], mean_field.plefka_fourth_term(W, means[:3], means[3:]))

# %%
states = (np.arange(64)[:, np.newaxis] >> np.arange(6)) & 1
x = states - means
Q = np.sum((x[:, :3] @ W) * x[:, 3:], axis=1)
log_q = np.sum(np.log(np.where(states == 1, means, 1 - means)), axis=1)


def averages(s, phi):
    """ln <e^(sQ + phi x)>_q, the means of x and their covariance, for real or complex s and phi."""
    weights = np.exp(log_q + s * Q + x @ phi)
    total = weights.sum()
    mean = weights @ x / total
    return np.log(total), mean, (x.T * weights) @ x / total - np.outer(mean, mean)


# %%
def counter_fields(s, steps=40):
    """phi(s) of (5.1) by Newton's method, followed on a straight line from s = 0."""
    phi = np.zeros(6, complex)
    for point in np.repeat(s * np.linspace(0, 1, steps + 1)[1:], 6):
        _, mean, covariance = averages(point, phi)
        phi = phi - np.linalg.solve(covariance, mean)
    return phi


def exact_gamma(s):
    """(5.1), without biases."""
    bonds = s * means[:3] @ W @ means[3:]
    return (series[0] - bonds - averages(s, counter_fields(s))[0]).real


# %% name="summed"
for s in (0.5, -1.0, 1.5):
    total = np.sum(series * s ** np.arange(max_order + 1))
    print(f"s = {s:4.1f}: series {total:.10f}, exact {exact_gamma(s):.10f} nats")
    check(total, exact_gamma(s), tolerance=1e-8)

# %% [markdown]
# ## 6. One bond: the radius in closed form
#
# With one bond the only unknown is $y = \langle v h \rangle$, and $d\Gamma / dW = -y$. The four probabilities $y$,
# $m - y$, $n - y$, $1 - m - n + y$ have the odds ratio
#
# $$\frac{y\, (1 - m - n + y)}{(m - y)(n - y)} = e^W . \tag{6.1}$$
#
# This is quadratic in $y$. With $\delta = e^W - 1$, $y$ has the square root of $[1 + \delta (m + n)]^2 - 4
# \delta (1 + \delta)\, m n$. Set $m = \sin^2 \alpha$, $n = \sin^2 \beta$. The discriminant factorises,
#
# $$\big[ 1 + \delta \sin^2 (\alpha + \beta) \big] \big[ 1 + \delta \sin^2 (\alpha - \beta) \big] , \tag{6.2}$$
#
# because $\sin^2 (\alpha + \beta) + \sin^2 (\alpha - \beta) = 2 (m + n - 2 m n)$ and the product of both is $(m - n)^2$.
# A factor vanishes at $e^W = 1 - 1 / \sin^2 = -\cot^2$. So $\Gamma$ has branch points at
#
# $$\boxed{\; W_\pm = 2 \ln | \cot (\alpha \pm \beta) | \pm' i \pi , \qquad
#   R = \min_\pm |W_\pm| \ge \pi \;} \tag{B56}$$
#
# with either sign $\pm'$. (One more case: the formula for $y$ has $\delta$ in its denominator, which vanishes again at
# $W = 2 \pi i$. If the square root has changed its sign on the way there, as it does for $| \cot (\alpha + \beta) | <
# 1 < | \cot (\alpha - \beta) |$, then $2 \pi i$ is a singularity too, and $R \le 2 \pi$. For $m = n = \frac12$ it is the only one:
# $\Gamma - \Gamma_1 = -\ln \cosh (W/4)$.) *For one bond Plefka's series converges for all $|W| < \pi$,
# whatever the means.* All singularities are complex: at no real coupling does anything happen.
#
# **Check**: the radius from the coefficients alone. A pair $R\, e^{\pm i \theta}$ with a square root in $\Gamma'$
# leaves $c_k \sim k^{-5/2} R^{-k} \cos (k \theta + ..)$, so $k^{5/2} c_k$ obeys a recursion of two terms. Four
# coefficients determine $R$ and $\theta$.


# %%
def radius_and_angle(coefficients, power=2.5):
    """R and theta, in degrees, from the last four coefficients."""
    last = np.arange(len(coefficients) - 4, len(coefficients))
    c = coefficients[last] * last**power
    twice_cos, minus = np.linalg.solve([[c[1], c[0]], [c[2], c[1]]], c[2:])  # over R, over R^2
    return (-minus) ** -0.5, math.degrees(math.acos(twice_cos * (-minus) ** -0.5 / 2))


def exact_bond(coupling):
    """Gamma of one bond of means m and n by (6.1), for real couplings that are not 0."""
    d = np.expm1(coupling)
    linear = 1 + d * (m + n)
    y = (linear - np.sqrt(linear**2 - 4 * d * (1 + d) * m * n)) / (2 * d)
    return sum(special.xlogy(p, p) for p in (y, m - y, n - y, 1 - m - n + y)) - coupling * y


# %% name="one-bond"
pairs = (m, n), (0.05, 0.05), (0.3, 0.4), (0.9, 0.3)
for pair in pairs:
    nearest = mean_field.bond_singularities(*pair)[0]
    one = mean_field.plefka_series([[1.0]], [pair[0]], [pair[1]], max_order=max_order)
    R, theta = radius_and_angle(one)
    print(f"means {pair}: series {R:.4f} at {theta:.2f} degrees", end=", ")
    print(f"(B56) {abs(nearest):.4f} at {np.degrees(np.angle(nearest)):.2f}")
    check([R, theta], [abs(nearest), np.degrees(np.angle(nearest))], tolerance=1e-3)


# %% name="bond-errors"
bond_series = mean_field.plefka_series([[1.0]], [m], [n], max_order=max_order)
shown = (1, 2, 3, 4, 8, 16, 32)
print(" W / R" + "".join(f"{f'order {order}':>10s}" for order in shown))
bond_errors = {}
for share in (0.5, 0.9, 1.0, 1.2, 1.6):
    W_bond = share * math.pi  # R = pi for these means
    sums = np.cumsum(bond_series * W_bond ** np.arange(max_order + 1.0))
    bond_errors[share] = np.abs(sums - exact_bond(W_bond))
    print(f"{share:6.1f}" + "".join(f"{bond_errors[share][order]:10.1e}" for order in shown))
check(mean_field.bond_singularities(m, n)[0], 1j * math.pi)
best = {share: int(np.argmin(errors)) for share, errors in bond_errors.items()}
print("best order of 0 to 80 by W / R:", best)
assert best[0.5] > 20 and best[0.9] > 70 and best[1.2] == 15 and best[1.6] == 2
assert bond_errors[1.6][32] > 100

# %% name="bond" alt="Left: the complex plane of W with a circle of radius pi; branch points for four pairs of means lie on the line of imaginary part pi, on the circle or outside of it, and two pairs have a point at 2 pi i as well. Right: error against the order on a logarithmic axis: inside the radius it falls steadily, outside it falls for a few orders and then grows."
figure, axes = plt.subplots(1, 2, figsize=(10, 4.4))
circle = math.pi * np.exp(1j * np.linspace(0, 2 * np.pi, 200))
axes[0].plot(circle.real, circle.imag, color=grey)
for pair, colour, style in zip(pairs, (blue, orange, green, purple), "osD^", strict=True):
    points = mean_field.bond_singularities(*pair)
    axes[0].plot(points.real, points.imag, style, color=colour, mfc="none", mew=2, label=f"{pair}")
axes[0].set(aspect="equal", xlim=(-4.5, 11), ylim=(-4, 7.5))
label(axes[0], "Singularities with Im $W$ > 0", "Re $W$", "Im $W$")
for share, colour in zip(bond_errors, (green, blue, grey, purple, orange), strict=True):
    axes[1].semilogy(bond_errors[share][:41], color=colour, label=f"$W$ = {share} $R$")
axes[1].set_ylim(1e-15, 1e4)
label(axes[1], f"One bond, means {m} and {n}", "order", "error, nats")
axes[0].legend(loc="lower right", title="means $m$, $n$")
axes[1].legend()
plt.show()

# %% [markdown]
# **A deliberate failure.** At 1.6 $R$ order 2 is the best of all, order 3 is worse than order 2, and order 32 is
# wrong by more than a hundred nats. Outside of the radius the first correction of TAP is still worth having. Higher orders
# help up to a point that comes the sooner the further out (order 15 at 1.2 $R$), and not beyond.

# %% [markdown]
# ## 7. Many bonds
#
# For a machine, $\Gamma$ is singular where (5.1) cannot be solved for $\phi$: where the covariance of the units,
# at complex $s$ and complex fields, has the determinant 0 (or where the average in the logarithm is 0). The coefficients say where to look, and Newton's
# method for $\langle x \rangle = 0$ and $\det = 0$ together finds the point.


# %%
def conditions(unknown):
    """<x> and the determinant of the covariance, over its value at s = 0; unknown is (phi, s)."""
    _, mean, covariance = averages(unknown[6], unknown[:6])
    return np.append(mean, np.linalg.det(covariance) / np.prod(means * (1 - means)))


def branch_point(guess):
    """The s near a guess at which (5.1) has no solution."""
    unknown = np.append(counter_fields(0.95 * guess), guess)
    for _ in range(20):
        sides = [(conditions(unknown + h), conditions(unknown - h)) for h in 1e-6 * np.eye(7)]
        slopes = np.transpose([(right - left) / 2e-6 for right, left in sides])
        unknown = unknown - np.linalg.solve(slopes, conditions(unknown))
    check(np.abs(conditions(unknown)), 0.0, tolerance=1e-9)
    return unknown[6]


# %% name="machine"
R, theta = radius_and_angle(series)
located = branch_point(R * np.exp(1j * math.radians(theta)))
R_star = abs(located)
print(f"from the coefficients {R:.4f} at {theta:.2f} degrees", end=", ")
print(f"located {R_star:.4f} at {np.degrees(np.angle(located)):.2f}")
check([R, theta], [R_star, np.degrees(np.angle(located))], tolerance=1e-3)
alone = min(
    abs(mean_field.bond_singularities(means[i], means[3 + j])[0] / W[i, j])
    for i in range(3)
    for j in range(3)
)
print(f"least of the bonds alone {alone:.4f}; largest |s W| at R: {R_star * np.abs(W).max():.2f}")
assert R_star < alone < 1.05 * R_star

# %% [markdown]
# For this machine the radius is slightly below the least that any of its bonds has alone. This need not be so. Take
# $N + N$ units with means $\frac12$ and all couplings equal, $W_{ij} = w / N$. Exchanging 0 and 1 in all units keeps $Q$, so
# no counter-fields are needed, $\Gamma - \Gamma_1 = -\ln \langle e^Q \rangle_q$, and its singularities are the zeros of the average.
# Each bond alone would allow $w = 2 \pi N$. *Guess: does the radius in $w$ grow with $N$?*


# %%
def terms(w, size):
    """The terms of <e^Q> for N + N equal units of means 1/2, over the largest of them, and Q / w."""
    up, log_number = np.arange(size + 1) - size / 2, np.log(special.comb(size, np.arange(size + 1)))
    bonds = np.outer(up, up) / size
    exponent = np.add.outer(log_number, log_number) + w * bonds
    return np.exp(exponent - exponent.real.max()), bonds


def nearest_zero(size, guess):
    """The zero of <e^Q> near a guess, by Newton's method."""
    for _ in range(30):
        weights, bonds = terms(guess, size)
        guess = guess - weights.sum() / (weights * bonds).sum()
    return guess


# %% name="zeros"
zeros_of_size = {}
for size in (2, 4, 8, 16, 32, 64):
    if size <= 4:  # from the coefficients of a logarithm, c_k ~ 1 / k
        half, kernel = np.full(size, 0.5), np.full((size, size), 1 / size)
        even = mean_field.plefka_series(kernel, half, half, max_order=32)[::2]
        R_squared, angle = radius_and_angle(even, power=1)
        guess = np.sqrt(R_squared * np.exp(1j * math.radians(angle)))
    else:  # from the last two, if the distance to 4 falls like 1 / sqrt(N)
        guess = 4 + (zeros_of_size[size // 2] - 4) / math.sqrt(2)
    w = zeros_of_size[size] = nearest_zero(size, guess)
    circle = 0.99 * abs(w) * np.exp(1j * np.linspace(0, 2 * np.pi, 1500))
    phases = np.unwrap([np.angle(terms(point, size)[0].sum()) for point in circle])
    check(phases[-1], phases[0], tolerance=1e-6)  # no turn: no zero is nearer
    print(f"{size:2d} + {size:2d} units: R = {abs(w):.3f}, w = {w:.3f}, |w - 4| = {abs(w - 4):.3f}")

# %% name="orders"
s_values = np.linspace(0.1, 4, 40)
exact_values = np.array([exact_gamma(s) for s in s_values])
powers = s_values[:, np.newaxis] ** np.arange(max_order + 1)
machine_errors = np.abs(np.cumsum(series * powers, axis=1) - exact_values[:, np.newaxis])
path = np.array(list(zeros_of_size.values()))
falls = -np.diff(np.log2(np.abs(path - 4)))
print("the distance of the zero to 4 falls with the power", falls.round(3), "of N")
assert np.all(np.abs(falls - 0.5) < 0.07) and np.all(np.diff(np.abs(path)) < 0)
for share in (0.7, 1.5):
    row = np.searchsorted(s_values, share * R_star)
    print(f"s = {s_values[row]:.1f}, orders {shown}: errors {machine_errors[row, shown].round(5)}")
    assert np.all(np.diff(machine_errors[row, [3, 8, 16, 32]]) > 0) == (share > 1)
    assert machine_errors[row, 3] < 0.1 * machine_errors[row, 1]

# %% name="many" alt="Left: error of the truncated series of the machine against s on a logarithmic axis; orders 16 and 32 are the best up to the radius of 2.46 and the worst from 3.9 on; orders 1 to 4 grow slowly throughout. Right: the nearest zeros in the complex plane of w for 2 to 64 units a layer move from 3.5 + 6.3i towards the point 4 on the real axis."
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2))
colours = (ink, blue, green, purple, orange, grey)
for order, colour in zip((1, 2, 3, 4, 16, 32), colours, strict=True):
    axes[0].semilogy(s_values, machine_errors[:, order], color=colour, label=f"order {order}")
axes[0].axvline(R_star, color=ink, lw=0.8, ls=":")
axes[0].set_ylim(1e-10, 1e3)
label(axes[0], "3 + 3 units (dotted: the radius)", "scale $s$ of the couplings", "error, nats")
axes[1].plot(path.real, path.imag, "o-", color=blue, label="nearest zero")
for size, w in zeros_of_size.items():
    axes[1].annotate(f"   $N$ = {size}   ", (w.real, w.imag), ha="left" if size < 16 else "right")
axes[1].plot(4, 0, "D", color=orange, label="mean field splits")
label(axes[1], "$N + N$ equal units", "Re $w$", "Im $w$")
for axis in axes:
    axis.legend()
plt.show()

# %% [markdown]
# It shrinks, although each coupling $w/N$ becomes weaker: the zero moves to the
# real axis like $1/\sqrt N$, towards $w = 4$. There naive mean field splits, since $m = \sigma(w(m - \frac12))$ has the
# slope $w/4$ at $m = \frac12$ ([chapter 37, section 2](37_learning_with_corrections.ipynb) has it for one bond). For
# finite $N$ nothing happens on the real axis; *the phase transition of the infinite system is the limit of TAP's
# radius* (exercise 4).
#
# %% [markdown]
# ## 8. Summary
#
# - A variational energy that is cut at $K$ excitations grows like $\sqrt N$ (B55), one that is cut in a classical $q$
#   like $K \ln N$ (4.1), and a mixture of $C$ products gains at most $\ln C$ (4.2). All three are bounds.
# - Orders of perturbation theory are extensive at every $N$, by the cancellation of unlinked terms. So is whatever is
#   truncated in the exponent. They bound nothing, and for few units the truncated trial is better.
# - *Do the expansions converge?* Within the nearest complex singularity. For one unit that is $|g| < \Delta / 2$. For
#   one bond TAP's series converges for all $|W| < \pi$, the radius is (B56). Outside of it, in both our examples, the first
#   orders remain useful and the later ones do not.
# - For a machine the radius can be located. It may be far below that of each of its bonds.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **Equal means.** For a bond with $m = n$ write the radius as a function `equal_means_radius(m)` of its own,
#    without the library. For which $m < \frac12$ is it as small as possible (`worst`)?
# 2. *(medium)* **Excitations in proportion.** Let $K = f N$ and $N \to \infty$. Find the energy per unit as a
#    function `energy_per_unit(f)`, and the share $p$ of excited units above which nothing is missing (`p`). What is the
#    share of $N e$ at $f = p/2$?
# 3. *(medium)* **Imaginary time.** $-\frac1\beta \ln \langle 0 | e^{-\beta H} | 0 \rangle$ tends to the ground-state energy
#    for large $\beta$. Its series has the cumulants of $H$ in $|0\rangle$, from the moments $\langle 0 | H^n | 0 \rangle$. Compute
#    those of orders 1 to 4 for one unit and for six (`kappa_one`, `kappa_six`). Which of both sets, moments
#    or cumulants, is extensive?
# 4. *(hard)* **Why 4?** For large $N$ the sums of deviations in the two layers are Gaussian. Find the limit of $-\ln \langle e^Q \rangle$
#    for $N + N$ equal units as a function `limit(w)`, and its singularity. At $w = 2$ compute what is missing for $N = 8, 32, 128$
#    (`misses`). By which power of $N$ does it fall?
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. alpha = beta: |cot(alpha - beta)| is infinite, and sin(2 alpha) = 2 sqrt(m (1 - m)). The least, pi, needs
# |cot(2 alpha)| = 1, so alpha = pi / 8. Where |cot(2 alpha)| < 1 the singularity 2 pi i counts as well.
def equal_means_radius(m):
    logarithm = 2 * math.log(abs(1 - 2 * m) / (2 * math.sqrt(m * (1 - m)))) if m != 0.5 else -np.inf
    radius = math.hypot(math.pi, logarithm)
    return min(radius, 2 * math.pi) if logarithm < 0 else radius


worst = math.sin(math.pi / 8) ** 2
print(f"1. smallest at m = {worst:.4f}: {equal_means_radius(worst):.4f}")
check(worst, (2 - math.sqrt(2)) / 4)
check(equal_means_radius(0.5), 2 * math.pi)
check(equal_means_radius(0.05), abs(mean_field.bond_singularities(0.05, 0.05)[0]))


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. With k = f N, (1.2) per unit is f gap on the diagonal and -g sqrt(f (1 - f)) on both sides: slowly varying
# amplitudes of one sign have the energy f gap - 2 g sqrt(f (1 - f)). Its minimum is e, at f = p.
def energy_per_unit(f):
    f = min(f, p)
    return gap * f - 2 * g * math.sqrt(f * (1 - f))


p = (1 - gap / 2 / math.hypot(gap / 2, g)) / 2
N = 100_000
found = two_level.truncated_energy(N, gap, g, max_excitations=round(p / 2 * N)) / N
print(f"2. p = {p:.4f}; share at p / 2: {energy_per_unit(p / 2) / e:.4f}, N = {N} {found / e:.4f}")
check(energy_per_unit(p), e)
check(energy_per_unit(p / 2), found, tolerance=5e-4)
check(p, 0.07125, tolerance=1e-4)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. <0|e^(-beta H)|0> of six units is the sixth power of that of one, so its logarithm and all cumulants are six
# times those of one: 0, g^2, g^2 gap, g^2 gap^2 - 2 g^4. The fourth moment has 3 N^2 g^4 beside it.
moments_one = np.array([np.linalg.matrix_power(unit, k)[0, 0] for k in (1, 2, 3, 4)])
kappa_one = cumulants.cumulants_from_moments(moments_one).numpy()
six = all_states(unit, 6)
moments_six = np.array([np.linalg.matrix_power(six, k)[0, 0] for k in (1, 2, 3, 4)])
kappa_six = cumulants.cumulants_from_moments(moments_six).numpy()
print("3. ratios of moments", (moments_six[1:] / moments_one[1:]).round(3), end=", ")
print("of cumulants", (kappa_six[1:] / kappa_one[1:]).round(3))
check(kappa_one, [0, g**2, g**2 * gap, g**2 * gap**2 - 2 * g**4])
check(kappa_six, 6 * np.array([0, g**2, g**2 * gap, g**2 * gap**2 - 2 * g**4]))


# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. Q = w X Y with X, Y the sums over sqrt(N), variances 1/4. Over Y: e^(w^2 X^2 / 8); over X: (1 - w^2 / 16)^(-1/2).
# So the limit is ln(1 - w^2 / 16) / 2, singular at w = +-4. What is missing falls like 1 / N.
def limit(w):
    return 0.5 * math.log(1 - w**2 / 16)


# %% jupyter={"source_hidden": true} tags=["solution"]
# The exact average is a sum over the numbers of ones in both layers.
misses = []
for size in (8, 32, 128):
    up = np.arange(size + 1) - size / 2
    odds = np.array([math.comb(size, k) / 2**size for k in range(size + 1)])
    misses.append(-math.log(odds @ np.exp(2.0 * np.outer(up, up) / size) @ odds) - limit(2.0))
powers = np.log2(np.divide(misses[:2], misses[1:])) / 2
print("4. missing at w = 2:", np.round(misses, 5), "falls with the powers", powers.round(3))
check(limit(2.0), 0.5 * math.log(0.75))
check(np.divide(misses[:2], misses[1:]), 4.0, tolerance=0.15)

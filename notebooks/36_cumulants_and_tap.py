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
# # Chapter 36: Cumulants and TAP
#
# The post names two corrections of mean field. The *cumulant expansion* fixes a product distribution
# $q$ and adds corrections to its free energy. *Thouless, Anderson and Palmer* (TAP) fix the *means*
# of the units, add corrections, and let the means adjust to them. Are these one series under two
# names? If not, at which order do they part, and which is more accurate? Make a guess.
#
# **What you will do**
#
# - derive both expansions of a restricted Boltzmann machine (RBM), to order 4;
# - show that their difference is what TAP gains by moving its means;
# - measure the power of the coupling in every error.
#
# **What you will learn**
#
# - what "fixing the means" does: it removes all corrections that hang on one unit (B26);
# - why TAP's means can be read off, and those of the cumulants cannot.
#
# **What you need**: [chapter 32, sections 4 and 5](32_perturbation_theory.ipynb) (the expansion and
# its order 1), and [chapter 6, section 2](06_negative_phases.ipynb) (TAP).
#
# **Time**: about 60 minutes, and 95 for the exercises. The code runs in about 15 seconds.
#
# Equation numbers such as (B26) are the row names of the whole course and of `EQUATIONS.md`; numbers
# such as (2.1) are steps on the way. Free energies are in nats, $\beta = 1$, and units are 0 or 1.

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

from rbm_tf import BernoulliRBM, Machine, cumulants, enumeration, mean_field
from rbm_tf.course import check, shipped
from rbm_tf.mean_field import fourth_cumulant, plefka_fourth_term

# %%
seed = 0
num_visible, num_hidden = 6, 5
coupling, bias_scale = 0.6, 0.7  # standard deviations, nats
scales = np.array([0.02, 0.04, 0.08, 0.16, 0.32, 0.64])  # of the couplings
num_machines = 8  # over which errors are averaged
retrain = bool(os.environ.get("RETRAIN"))  # True: compute the errors of all machines here
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 130}])


# %%
def random_rbm(scale, machine=seed):
    """A float64 RBM with normal random parameters; the scale multiplies the couplings alone."""
    rng = np.random.default_rng(machine)
    rbm = BernoulliRBM(num_visible, num_hidden, dtype="float64")
    rbm.kernel.assign(scale * rng.normal(size=(num_visible, num_hidden)))
    rbm.visible_bias.assign(bias_scale * rng.normal(size=num_visible))
    rbm.hidden_bias.assign(bias_scale * rng.normal(size=num_hidden))
    return rbm


# %% [markdown]
# ## 1. The perturbation at the mean-field point
#
# The energy is $E = -a \cdot v - b \cdot h - \sum_{ij} v_i W_{ij} h_j$ (B1). Let $q$ be the product
# of independent units with means $m_i$ and $n_j$, and expand the product of two units about their
# means:
#
# $$v_i h_j = m_i n_j + (v_i - m_i)\, n_j + m_i\, (h_j - n_j) + (v_i - m_i)(h_j - n_j) . \tag{1.1}$$
#
# The first three terms are a constant and fields on single units. With the biases, the field on $v_i$
# is $a_i + \sum_j W_{ij} n_j$. In $q$ it is $\ln \frac{m_i}{1 - m_i}$. At the naive mean-field point, $m_i = \sigma(a_i + \sum_j W_{ij} n_j)$ and alike for $n_j$,
# the two are equal and cancel in the perturbation $V = E - H_q$ with $H_q = -\ln q$. What is left is
#
# $$V = \text{const} - Q , \qquad Q = \sum_{ij} W_{ij}\, x_i\, y_j , \quad
#   x_i = v_i - m_i , \; y_j = h_j - n_j . \tag{1.2}$$
#
# *The perturbation is the correlation that mean field leaves out*, bond by bond. Since $F_q$ and $\langle Q
# \rangle_q$ are 0, the constant is $F_1$. The rest of the expansion (B23) is about $Q$:
#
# $$F_{\rm eq} = F_1 - \ln \langle e^{Q} \rangle_q
#   = F_1 - \tfrac12 \langle\!\langle Q^2 \rangle\!\rangle - \tfrac16 \langle\!\langle Q^3 \rangle\!\rangle
#   {} - \tfrac1{24} \langle\!\langle Q^4 \rangle\!\rangle - \dots \tag{1.3}$$
#
# Note the signs: $\langle\!\langle V^3 \rangle\!\rangle = -\langle\!\langle Q^3 \rangle\!\rangle$.
# Every $Q$ brings one factor of $W$, so order $k$ of the expansion is of order $W^k$.
#
# **Check against the exact result**: (1.2) on all $2^{11}$ states.

# %% name="cumulants"
rbm = random_rbm(coupling)
point = mean_field.tap(rbm, order=1)  # naive mean field
kernel, m, n = rbm.kernel.numpy(), point.visible, point.hidden
c, d = m * (1 - m), n * (1 - n)
exact = -enumeration.log_z(rbm)
states = (np.arange(2**11)[:, np.newaxis] >> np.arange(11)) & 1
v, h = states[:, :num_visible], states[:, num_visible:]

bonds = np.sum((v - m) @ kernel * (h - n), axis=1)  # Q
check(mean_field.perturbation(rbm, point, v, h), point.free_energy - bonds)  # (1.2)
log_weights, log_q = mean_field.all_log_weights(rbm, point)
kappa = cumulants.weighted_cumulants(log_weights, log_q, 5).numpy()  # of -V = Q - F_1
check(kappa[0], -point.free_energy)
print(f"F_1 = {point.free_energy:.6f}, F_eq = {exact:.6f} nats")
print("cumulants of Q, orders 2 to 5:", kappa[1:].round(6))

# %% [markdown]
# ## 2. Cumulants of the bonds
#
# The deviations $x_i$, $y_j$ are independent. A single 0/1 unit has $\langle x_i \rangle = 0$ and the
# cumulants $c_i = m_i (1 - m_i)$, $c_i (1 - 2 m_i)$ and $c_i (1 - 6 c_i)$ of orders 2, 3 and 4. In the
# other layer $d_j = n_j (1 - n_j)$ takes the place of $c_i$.
#
# **Order 2.** In $\langle Q^2 \rangle = \sum W_{ij} W_{kl} \langle x_i x_k \rangle \langle y_j y_l
# \rangle$ only $k = i$, $l = j$ survive:
#
# $$\langle\!\langle Q^2 \rangle\!\rangle = \sum_{ij} W_{ij}^2\, c_i d_j . \tag{B26a}$$
#
# **Order 3.** An average $\langle x_i x_k x_p \rangle$ vanishes unless all three indices are equal,
# in both layers:
#
# $$\langle\!\langle Q^3 \rangle\!\rangle = \langle Q^3 \rangle
#   = \sum_{ij} W_{ij}^3\, c_i (1 - 2 m_i)\, d_j (1 - 2 n_j) . \tag{B26b}$$
#
# **Order 4.** Here pairs appear. Fix the $x$ first, and write $f_j = \sum_i W_{ij} x_i$, so that
# $Q = \sum_j f_j y_j$. This is a sum of independent terms, whose cumulants add:
#
# $$\langle Q^4 \rangle_y = 3 \Big( \sum_j f_j^2 d_j \Big)^2 + \sum_j f_j^4\, d_j (1 - 6 d_j) . \tag{2.1}$$
#
# Now average over $x$, with $G_{jk} = \langle f_j f_k \rangle = \sum_i W_{ij} c_i W_{ik}$ and
# $\gamma_i = c_i (1 - 6 c_i)$. For independent $x_i$, fourth moments are pairings plus the fourth
# cumulant:
#
# $$\langle f_j^2 f_k^2 \rangle = G_{jj} G_{kk} + 2 G_{jk}^2 + \sum_i \gamma_i W_{ij}^2 W_{ik}^2 . \tag{2.2}$$
#
# Insert (2.2) in (2.1), subtract $3 \langle Q^2 \rangle^2 = 3 (\sum_j d_j G_{jj})^2$, and write
# $\delta_j = d_j (1 - 6 d_j)$:
#
# $$\boxed{\begin{aligned} \langle\!\langle Q^4 \rangle\!\rangle = \;
#   & 6 \sum_{jk} d_j d_k\, G_{jk}^2 + 3 \sum_i \gamma_i \Big( \sum_j W_{ij}^2 d_j \Big)^2 \\
#   & {} + 3 \sum_j \delta_j \Big( \sum_i W_{ij}^2 c_i \Big)^2 + \sum_{ij} W_{ij}^4\, \gamma_i \delta_j
#   \end{aligned}} \tag{2.3}$$
#
# This takes one matrix product, $G = W^T \mathrm{diag}(c)\, W$, and no sum over states.
#
# **Check against the exact result**: the library, and enumeration.

# %% name="orders"
second = c @ kernel**2 @ d  # (B26a)
third = (c * (1 - 2 * m)) @ kernel**3 @ (d * (1 - 2 * n))  # (B26b)
gram = kernel.T @ (c[:, np.newaxis] * kernel)  # G
visible_fields, hidden_fields = kernel**2 @ d, c @ kernel**2  # sums of W^2 at each unit
gamma, delta = c * (1 - 6 * c), d * (1 - 6 * d)
fourth = 6 * d @ gram**2 @ d + 3 * gamma @ visible_fields**2  # (2.3)
fourth += 3 * delta @ hidden_fields**2 + gamma @ kernel**4 @ delta

check([second, third, fourth], kappa[1:4])
check(fourth, fourth_cumulant(kernel, m, n))
orders = point.free_energy - np.cumsum([0, second / 2, third / 6, fourth / 24])  # (1.3)
check(orders, [mean_field.cumulant_free_energy(rbm, k) for k in (1, 2, 3, 4)])
for order, value in enumerate(orders, start=1):
    print(f"order {order}: F_{order} = {value:.6f}, error {value - exact:+.6f} nats")

# %% [markdown]
# Do not praise order 2 too soon. The terms of orders 3, 4 and 5 are $-0.00034$, $+0.00011$ and
# $+0.00023$ nats here (the last is $-\frac1{120}$ of the printed fifth cumulant), and by accident they
# add up to almost nothing. One machine at one coupling is no test of an expansion. Section 5 averages
# over eight machines, and looks at powers.
#
# %% [markdown]
# ## 3. Plefka's expansion: fix the means
#
# TAP asks another question. *Given* the means $m$ and $n$, what is the lowest free energy of any
# distribution that has these means? Fields $\alpha_i$, $\eta_j$ enforce them,
#
# $$\Gamma(m, n) = \max_{\alpha, \eta} \Big[ -\ln \sum_{v, h} e^{\, \alpha \cdot v + \eta \cdot h + v^T W h}
#   {} + \alpha \cdot m + \eta \cdot n \Big] - a \cdot m - b \cdot n , \tag{3.1}$$
#
# a Legendre transform: the maximum is where the averages of $v$ and $h$ are $m$ and $n$, and its value
# is minus the entropy minus $\langle v^T W h \rangle$. Since $\partial \Gamma / \partial m =
# \alpha - a$, at the minimum over $m$ and $n$ the fields are the biases and $\Gamma = F_{\rm eq}$,
# *exactly*. Plefka (1982) expanded (3.1) in powers of $W$ at fixed means, Georges and Yedidia (1991) to order 4. Orders 0 and 1 are naive
# mean field,
#
# $$\Gamma_1 = -S(m) - S(n) - a \cdot m - b \cdot n - \sum_{ij} W_{ij} m_i n_j , \tag{3.2}$$
#
# with $S(m) = -\sum_i [m_i \ln m_i + (1 - m_i) \ln (1 - m_i)]$. For the rest, split off $\Gamma_1$
# and use (1.1). There the field on $x_i$ is $\alpha_i + \sum_j W_{ij} n_j$. Write it as
# $\ln \frac{m_i}{1 - m_i} + \phi_i$, and alike for $y_j$ with $\psi_j$. Then
#
# $$\Gamma - \Gamma_1 = \max_{\phi, \psi} \Big[ -\ln \big\langle e^{\, Q + \phi \cdot x + \psi \cdot y} \big\rangle_q \Big] . \tag{3.3}$$
#
# This is the cumulant expansion with *counter-fields* added to $Q$, which keep the means in place.
# Expand the logarithm to second order in them. The linear term is $-\phi_i g_i$ with
#
# $$\langle x_i \rangle_{q, Q} = \tfrac12 \langle x_i Q^2 \rangle_q + \dots = \tfrac12 c_i (1 - 2 m_i) \sum_j W_{ij}^2 d_j + O(W^3)
#   \equiv g_i , \tag{3.4}$$
#
# the shift of the mean that $Q$ would cause. The quadratic term is $-\frac12 c_i \phi_i^2$, to
# leading order. (A term $\phi_i \psi_j$ comes with a factor $W_{ij}$, and is of order $W^5$ in the
# end.) So
#
# $$\Gamma - \Gamma_1 = -\ln \langle e^{Q} \rangle_q
#   {} + \max_\phi \sum_i \Big[ -g_i \phi_i - \tfrac12 c_i \phi_i^2 \Big] + (\text{the same for } \psi) + O(W^5) , \tag{3.5}$$
#
# with the maximum $+\frac12 g_i^2 / c_i$ at $\phi_i = -g_i / c_i$. Since $g_i$ is of order $W^2$,
# the fields matter at order $W^4$ for the first time:
#
# $$\boxed{\begin{aligned} \Gamma &= \Gamma_1 - \tfrac12 \langle\!\langle Q^2 \rangle\!\rangle - \tfrac16 \langle\!\langle Q^3 \rangle\!\rangle
#   {} - \tfrac1{24} \langle\!\langle Q^4 \rangle\!\rangle + R_4 + O(W^5) , \\
#   R_4 &= \tfrac18 \sum_i c_i (1 - 2 m_i)^2 \Big( \sum_j W_{ij}^2 d_j \Big)^2
#   {} + \tfrac18 \sum_j d_j (1 - 2 n_j)^2 \Big( \sum_i W_{ij}^2 c_i \Big)^2 \end{aligned}} \tag{B26c}$$
#
# *At orders 2 and 3 the cumulant and the Onsager terms are the same functions of $(m, n)$.* They
# part at order 4. With $(1 - 2 m)^2 = 1 - 4 c$ the term of fourth order can be collected:
#
# $$\Gamma_4 = -\tfrac14 \sum_{jk} d_j d_k G_{jk}^2 + \tfrac14 \sum_i c_i^2 \Big( \sum_j W_{ij}^2 d_j \Big)^2
#   {} + \tfrac14 \sum_j d_j^2 \Big( \sum_i W_{ij}^2 c_i \Big)^2 - \tfrac1{24} \sum_{ij} W_{ij}^4 \gamma_i \delta_j . \tag{3.6}$$
#
# Read it as walks of four bonds, back to their start. The first sum has *squares*, and also
# *chains*: two bonds that share a unit, each walked twice. The second and third sum cancel the chains
# exactly, and leave powers of single bonds. So $\Gamma_4$ has *nothing that falls apart when one unit
# is removed*. The cumulant (2.3) keeps the chains.

# %% name="walks" alt="Three drawings of walks between a lower and an upper layer. A square of four bonds, in both expansions; a chain of two double bonds that share a unit, in the cumulants alone; one fourfold bond, in both."
figure, axes = plt.subplots(1, 3, figsize=(8, 1.9))
drawings = {  # bonds from x below to x above, and how often each is walked
    "squares: in both": [(0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 1)],
    "chains: in (2.3) alone": [(0, 0.5, 2), (1, 0.5, 2)],
    "one bond: in both": [(0.5, 0.5, 4)],
}
for axis, (title, walks) in zip(axes, drawings.items(), strict=True):
    for low, high, times in walks:
        for shift in 0.035 * (np.arange(times) - (times - 1) / 2):
            axis.plot([low + shift, high + shift], [0, 1], color=blue, zorder=1)
        axis.scatter([low, high], [0, 1], s=130, c=[grey, orange], zorder=2)
    axis.set(title=title, xlim=(-0.5, 1.5), ylim=(-0.25, 1.25))
    axis.axis("off")
plt.show()

# %% [markdown]
# **Check against the exact result.** The bracket in (3.1) is concave in the fields, and can be
# maximised. At fixed means, the error of (B26c) must fall as the fifth power of the scale of $W$, and
# without $R_4$ only as the fourth.


# %%
def exact_gamma(kernel, m, n):
    """(3.1) without the biases: the maximum over the fields, by BFGS with the exact gradient."""

    def minus(fields):
        parameters = kernel, fields[: len(m)], fields[len(m) :]
        log_z, moments = enumeration.moments_in_graph(Machine(*parameters))
        gap = np.concatenate([moments.visible - m, moments.hidden - n])
        return float(log_z) - fields @ np.concatenate([m, n]), gap

    start = special.logit(np.concatenate([m, n]))
    options = {"gtol": 1e-9}
    return -optimize.minimize(minus, start, jac=True, method="BFGS", options=options).fun


# %% name="fixed-means"
no_bias = tf.zeros(num_visible, tf.float64), tf.zeros(num_hidden, tf.float64)
misses = np.zeros((3, 2))  # without order 4, with the cumulant's, with Plefka's; two scales
for machine in range(num_machines):
    rng = np.random.default_rng(machine)
    base, mv, mh = rng.normal(size=kernel.shape), rng.uniform(size=6), rng.uniform(size=5)
    for index, scale in enumerate((0.2, 0.1)):
        w = scale * base
        gamma_3 = float(mean_field.gamma((tf.constant(w), *no_bias), mv[None], mh[None], 3)[0])
        tries = 0.0, -float(fourth_cumulant(w, mv, mh)) / 24, float(plefka_fourth_term(w, mv, mh))
        misses[:, index] += np.abs(gamma_3 + np.array(tries) - exact_gamma(w, mv, mh))
powers = np.log2(misses[:, 0] / misses[:, 1])
for name, power in zip(("to order 3", "with cumulant 4", "with Plefka 4"), powers, strict=True):
    print(f"{name:16s} error at fixed means falls with the power {power:.2f}")
assert np.all(np.abs(powers - [4, 4, 5]) < 0.4)

# %% [markdown]
# ## 4. TAP moves its means, and that is the difference
#
# TAP of order $k$ cuts (B26c) after order $k$ (call this $\Gamma_{\le k}$) *and then* minimises over
# $m$ and $n$. The cumulant expansion stays at the minimum of $\Gamma_1$. How far apart are the
# results? Let $u$ stand for all the means, $u^*$ for the naive point, and $r = -\nabla (\Gamma -
# \Gamma_1)$ for the *reaction field*, which comes back to a unit from its neighbours' response to
# it. To leading order the minimum moves by $(\Gamma_1'')^{-1} r$ and sinks by $\frac12 r^T
# (\Gamma_1'')^{-1} r$, with the second derivatives
#
# $$\Gamma_1'' = \begin{pmatrix} \mathrm{diag}(1/c) & -W \\ -W^T & \mathrm{diag}(1/d) \end{pmatrix} , \qquad
#   r_i = \big( \tfrac12 - m_i \big) \sum_j W_{ij}^2 d_j + O(W^3) . \tag{4.1}$$
#
# With $\Gamma_1'' \approx \mathrm{diag}(1/c, 1/d)$ the lowering is $\frac12 \sum_i c_i r_i^2$ plus the
# same for $y$, and that is
#
# $$F_2 - \Gamma_{\le 2}^{\min} = \tfrac18 \sum_i c_i (1 - 2 m_i)^2 \Big( \sum_j W_{ij}^2 d_j \Big)^2 + \dots = R_4 + O(W^5) : \tag{4.2}$$
#
# the *same* $R_4$ as in (B26c). This closes the circle. At the naive point Plefka's fourth order lies
# $R_4$ above the cumulant's, and by moving its means TAP gains the $R_4$ back. *The chains that the
# cumulant expansion adds up one by one, TAP re-sums by adjusting the means.* With order 2 in $\Gamma$
# it has them already.
#
# **Check**: (3.6), and the ratio of both sides of (4.2), which tends to 1 at weak coupling.


# %% name="gain"
def relaxation(kernel, m, n):
    """R_4 of (B26c), nats."""
    visible = m * (1 - m) * (1 - 2 * m) ** 2 @ (kernel**2 @ (n * (1 - n))) ** 2
    hidden = n * (1 - n) * (1 - 2 * n) ** 2 @ ((m * (1 - m)) @ kernel**2) ** 2
    return (visible + hidden) / 8


check(plefka_fourth_term(kernel, m, n), -fourth / 24 + relaxation(kernel, m, n))  # (3.6)
ratios = []
for machine in map(random_rbm, scales[:5]):
    naive, tap = (mean_field.tap(machine, order=k) for k in (1, 2))
    gain = float(mean_field.cumulant_free_energy(machine, 2)) - tap.free_energy
    ratios.append(gain / relaxation(machine.kernel.numpy(), naive.visible, naive.hidden))
print("(F_2 - TAP 2) / R_4 at the scales", scales[:5], "is", np.round(ratios, 3))
assert abs(ratios[0] - 1) < 0.05 and abs(ratios[0] - 1) < abs(ratios[-1] - 1)

# %% [markdown]
# ## 5. How fast the errors shrink
#
# Cut after order $k$, either expansion has an error of order $W^{k+1}$ in the free energy. The means
# come from derivatives, $\langle v_i \rangle = -\partial F_{\rm eq} / \partial a_i$, and keep that
# power. For TAP, $\Gamma$ is stationary, so $-d\Gamma / da_i = m_i$: the solved means themselves. The
# cumulant free energy is *not* stationary at the naive point, and the point moves with the parameters:
#
# $$-\frac{d F_k}{d a_i} = m_i + s_i , \qquad s = (\Gamma_1'')^{-1} r , \tag{5.1}$$
#
# where $r$ now contains all Onsager terms up to order $k \le 3$. To see it, write $F_k = \Gamma_1 + C$,
# both at $u^*(a)$. The explicit derivative is $-u^*$. The implicit one is $\nabla C \cdot \partial
# u^* / \partial a = -r^T (\Gamma_1'')^{-1}$, because $\nabla \Gamma_1(u^*) = 0$, differentiated with respect
# to $a$, says $\Gamma_1''\, \partial u^* / \partial a = 1$. So $s$ is the *linear response* to the
# reaction field, one Newton step from the naive point towards TAP's.
#
# **Check**: (5.1) against differences of $F_3$, then the powers, over eight machines. (Their errors
# come with the course; those of one machine are computed anew.)


# %% name="response"
def responding_means(rbm, order):
    """m + s and n + s of (5.1), one vector."""
    naive, w = mean_field.tap(rbm, order=1), rbm.kernel.numpy()
    m, n = naive.visible[np.newaxis], naive.hidden[np.newaxis]
    curvature = np.diag(1 / np.concatenate([m * (1 - m), n * (1 - n)], 1)[0])
    curvature[:num_visible, num_visible:], curvature[num_visible:, :num_visible] = -w, -w.T  # (4.1)
    fields = [mean_field.reaction_field(*x, order) for x in ((w, m, n), (w.T, n, m))]
    return np.concatenate([m, n], 1)[0] + np.linalg.solve(curvature, np.concatenate(fields, 1)[0])


# %%
ends = []
for sign in (1, -1):
    shifted = random_rbm(coupling)
    shifted.visible_bias.assign(rbm.visible_bias + sign * 1e-4 * np.eye(num_visible)[0])
    ends.append(float(mean_field.cumulant_free_energy(shifted, 3)))
check(-(ends[0] - ends[1]) / 2e-4, responding_means(rbm, 3)[0], 1e-6)  # (5.1)


# %%
def all_errors(rbm):
    """Errors of the free energy, by method, and of the visible means; keys (method, order)."""
    truth, moments, table = -enumeration.log_z(rbm), enumeration.moments(rbm), {}
    for order in (1, 2, 3):
        tap = mean_field.tap(rbm, order=order)
        values = {"TAP": (tap.free_energy, tap.visible)}
        series = float(mean_field.cumulant_free_energy(rbm, order))
        values["cumulants"] = series, responding_means(rbm, order)[:num_visible]
        for name, (energy, means) in values.items():
            table[name, order] = abs(energy - truth), np.linalg.norm(means - moments.visible)
    table["cumulants", 4] = abs(float(mean_field.cumulant_free_energy(rbm, 4)) - truth), np.nan
    return table


# %%
def all_tables():
    """The errors by method and order, (scales, machines, 2)."""
    numbers = range(num_machines)
    tables = [[all_errors(random_rbm(s, number)) for number in numbers] for s in scales]
    return {" ".join(map(str, key)): [[t[key] for t in r] for r in tables] for key in tables[0][0]}


errors_of_all, error = shipped("tap_errors", all_tables, retrain=retrain), {}
for (name, order), of_one in all_errors(random_rbm(scales[-1], 0)).items():
    table = errors_of_all[f"{name} {order}"]
    check(of_one, table[-1, 0], tolerance=1e-6)  # one of them, computed here
    error[name, order] = table.mean(axis=1)

# %% name="powers"
for key, values in error.items():
    power = np.log2(values[1] / values[0])
    means = "" if np.isnan(power[1]) else f", means {power[1]:.2f}"
    print(f"{key[0]:9s} order {key[1]}: power of the error in F {power[0]:.2f}{means}")
    assert np.nanmax(np.abs(power - key[1] - 1)) < 0.4
assert np.all(error["TAP", 3][-2:, 0] > 1.5 * error["TAP", 2][-2:, 0])
of_energy, of_means = (error["TAP", 3] / error["cumulants", 3])[0]
print(f"order 3, errors of TAP over the cumulants': F {of_energy:.2f}, means {of_means:.2f}")
assert np.all(np.abs(error["TAP", 2][0] / error["cumulants", 2][0] - 1) < 0.1)  # prefactors agree
assert 2 < of_energy < 4.5 and 3 < 1 / of_means < 5
edge = {key: values[-1, 0] for key, values in error.items()}  # of F, strongest couplings
assert edge["TAP", 3] > 1.5 * edge["TAP", 2] and edge["cumulants", 3] > edge["cumulants", 2] / 2

# %% name="errors" alt="Errors over the scale of the couplings, both axes logarithmic: straight lines, steeper order by order. At order 3 cumulants are lower in free energy up to 0.32, TAP in the means throughout."
figure, axes = plt.subplots(1, 2, figsize=(10, 4))
for column, title in ((0, "Free energy (nats)"), (1, "Visible means (norm)")):
    for (name, order), values in error.items():
        colour = (orange, blue, green, purple)[order - 1]
        line = "o-" if name == "cumulants" else "s--"
        curve, name = values[:, column], f"{name} {order}"
        axes[column].loglog(scales, curve, line, ms=4, color=colour, label=name)
    axes[column].set(title=title, xlabel="scale of the couplings (nats)", ylabel="mean error")
    axes[column].set_xticks(scales, [f"{s:g}" for s in scales])
    axes[column].minorticks_off()
axes[0].legend(fontsize=10)
plt.show()

# %% [markdown]
# Order for order both have the same power, since both are complete to order $W^k$. At order 2 even the
# prefactors agree, because both miss the same third-order term. At order 3 TAP misses $\Gamma_4$, the
# cumulants $\Gamma_4 - R_4$. At weak coupling the cumulants' free energy is the better one in these
# machines, by a factor of about three, and TAP's means are, by a factor of about four.
#
# **When it fails.** On the right edge the couplings are nearly as large as the biases. There order 3 of the
# cumulants gains less than a factor of two on order 2. TAP 3 is *worse* than TAP 2 from 0.32 on.
#
# ## 6. Summary
#
# | | cumulants | TAP (Plefka) |
# |:--|:--|:--|
# | fixed | the distribution $q$ | the means |
# | where | at the naive mean-field point | at its own stationary point |
# | orders 2 and 3 | (B26a), (B26b) | the same functions |
# | order 4 | squares, single bonds, chains | squares, single bonds |
# | chains | term by term | re-summed by moving the means |
# | means | need the response $s$ | explicit |
# | applies to | any $q$ one can sample | means of units, small couplings |
# | errors | $W^{k+1}$ | $W^{k+1}$ |
#
# By the post, both are neither exact nor convex. (3.1) is both, as a maximum of functions linear in $m$ and $n$; its
# truncations are neither. The cumulant series converges up to the nearest complex zero (chapter 2, section 2);
# Plefka's has a singularity of its own ([chapter 43, section 6](43_not_extensive.ipynb)). In a spin glass,
# with couplings of order $1/\sqrt{N}$, the chains are of order $N$, unless all means are $\frac12$, and TAP has them
# at order 2. The next chapter *trains* a machine on either.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **One bond.** For one visible and one hidden unit with $m = n = \frac12$ show that the
#    exact $\Gamma - \Gamma_1$ is $-\ln \cosh (W/4)$ (`corrections`: from $W = \pm 0.2, \pm 0.4$ to its value by
#    (3.1)), and compare its expansion with (B26a), (B26b) and (3.6) (`terms`: those of orders 2, 3 and 4 for $W = 0.4$).
# 2. *(easy)* **Chains.** Build a machine with one hidden and two visible units. Show that (3.6) has
#    no term with $W_{11}^2 W_{21}^2$, and that (2.3) has one unless $n = \frac12$. (`mixed`: from the name of the
#    expansion and $n$ to the part of order 4 that needs both bonds.)
# 3. *(medium)* **Order 4 with TAP's means.** Evaluate $\Gamma_{\le 3} + \Gamma_4$ at the fixed point
#    of TAP 3. By how much does the `power` of the error rise?
# 4. *(hard)* **Walks that turn back.** Put independent Gaussian $x$, $y$ of the same variances in place of the
#    units. Show that then $-\ln \langle e^Q \rangle = \frac12 \ln \det (1 - D G)$ with $D = \mathrm{diag}(d)$,
#    and that its order $W^4$ is the first term of (2.3), a sum over closed walks of four steps
#    $j \to i \to l \to k \to j$. Split off the walks that turn back, $i = k$ or $j = l$, and
#    show that for $m = n = \frac12$ the other terms of (2.3) cancel all of them but $-\frac{2}{256}
#    \sum_{ij} W_{ij}^4$. How do the two parts grow with $N$ for $N + N$ units and $W_{ij}$ from $N(0, \frac1N)$? Is the
#    determinant a better approximation than order 2? (`rings`: $D G$ for the machine of section 2, `determinant`: half of
#    the $\ln \det$. `misses`: the errors of $F_1$ plus the determinant, of $F_2$, and of $F_1$. `turned` and `totals`: the
#    walks that turn back and the whole fourth cumulant, over 24, for $N = 10, 40, 160, 640$.)
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. With v = (1 + s)/2, h = (1 + t)/2, W v h = W s t / 4 + fields; at zero means the fields are 0, and
# <exp(W s t / 4)> = cosh(W / 4). -ln cosh(J) = -J^2/2 + J^4/12 - .., J = W / 4: no odd orders.
half, corrections, terms = np.array([0.5]), {}, {}
for w in (0.4, -0.4, 0.2, -0.2):
    one = np.array([[w]])  # c = d = 1/4 in (B26a), 1 - 2 m = 0 in (B26b)
    corrections[w] = exact_gamma(one, half, half) - 2 * np.log(0.5) + w / 4
    terms[w] = -(half**2 @ one**2 @ half**2) / 2, 0.0, plefka_fourth_term(one, half, half)
terms = [float(x) for x in terms[0.4]]
print("1. -ln cosh(W / 4): orders 2 and 4 agree, order 3 vanishes")
check([corrections[0.4], corrections[-0.4]], -np.log(np.cosh(0.1)), 1e-8)
check([corrections[0.2], corrections[-0.2]], -np.log(np.cosh(0.05)), 1e-8)
check(sum(terms), -np.log(np.cosh(0.1)), 1e-7)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. The coefficient of W_11^2 W_21^2 in (2.3) is 12 d^2 c1 c2 + 6 d (1 - 6 d) c1 c2 = 6 d (1 - 2 n)^2 c1 c2,
# in (3.6) it is -d^2 c1 c2 / 2 + d^2 c1 c2 / 2 = 0. From values with both bonds, one, and the other:
two, mixed = np.array([[0.7], [0.9]]), {}
single = np.array([[0.7], [0.0]]), np.array([[0.0], [0.9]])
means = np.array([0.3, 0.8])
for n_1 in (0.5, 0.2):
    hidden_mean = np.array([n_1])
    for name, function in (("cumulant", fourth_cumulant), ("Plefka", plefka_fourth_term)):
        of_both = function(two, means, hidden_mean)
        mixed[name, n_1] = float(of_both - sum(function(x, means, hidden_mean) for x in single))
        print(f"2. n = {n_1}, {name:8s}: mixed term {mixed[name, n_1]:+.2e}")
assert abs(mixed["cumulant", 0.5]) < 1e-15 < mixed["cumulant", 0.2]
check([mixed["Plefka", 0.5], mixed["Plefka", 0.2]], 0.0, tolerance=1e-15)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Gamma is stationary at the exact means; TAP 3's are off by W^4, which costs W^8. So the error of
# Gamma_1 + .. + Gamma_4 is that of the missing order, W^5, one more than TAP 3's.
mean_error = np.zeros(2)
for machine in range(num_machines):
    for index, scale in enumerate((0.08, 0.04)):
        small = random_rbm(scale, machine)
        solution = mean_field.tap(small, order=3)
        arguments = small.kernel.value, solution.visible, solution.hidden
        total = solution.free_energy + float(plefka_fourth_term(*arguments))
        mean_error[index] += abs(total + enumeration.log_z(small))
power = np.log2(mean_error[0] / mean_error[1])
print(f"3. power of the error: {power:.2f}")
assert abs(power - 5) < 0.4

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. <exp(f.y)> over y ~ N(0, D) is exp(f D f / 2) with f = W^T x; over x ~ N(0, diag(c)), f ~ N(0, G), and
# <exp(f D f / 2)> = det(1 - D G)^(-1/2). So -ln <e^Q> = 1/2 ln det(1 - D G) = -1/2 tr DG - 1/4 tr (DG)^2 - ..
# It is better than F_1, but not than F_2: it has one term of order W^4 without those that all but cancel it (below).
rings = np.diag(d) @ gram  # D G
determinant = np.linalg.slogdet(np.eye(num_hidden) - rings)[1] / 2
misses = [abs(x - exact) for x in (point.free_energy + determinant, orders[1], orders[0])]
print("4. errors: F_1 + 1/2 ln det {:.6f}, F_2 {:.6f}, F_1 {:.6f} nats".format(*misses))
check(np.trace(rings), second)  # order 2
check(np.trace(rings @ rings), d @ gram**2 @ d)  # the first term of (2.3), over 6
check(determinant, np.log1p(-np.linalg.eigvals(np.diag(d) @ gram).real).sum() / 2)
check(misses, [0.012279, 0.000004, 0.177979], tolerance=1e-5)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. The walks: with c = d = 1/4, (2.3) begins with 6/256 times the sum of W_ij W_il W_kl W_kj. Where i = k that is
# sum_i (sum_j W_ij^2)^2, where j = l the same by columns, and W_ij^4 is in both. As gamma = delta = -1/8, the rest of
# (2.3) is -6/256 of both sums and +4/256 of the sum of W^4. All that turns cancels, but for -2/256 of that sum.
turned, totals = [], []
for number in (10, 40, 160, 640):
    W = np.random.default_rng(seed).normal(size=(number, number)) / np.sqrt(number)
    square, coins = W**2, np.full(number, 0.5)
    turning = np.sum(square.sum(0) ** 2) + np.sum(square.sum(1) ** 2) - np.sum(square**2)
    turned.append(6 / 256 * turning / 24)
    totals.append(fourth_cumulant(W, coins, coins) / 24)
    walks = 6 / 256 * (np.sum((W.T @ W) ** 2) - turning) - 2 / 256 * np.sum(square**2)
    check(24 * totals[-1], walks)
    print(f"4. N = {number:3d}: walks that turn back / 24 {turned[-1]:.4f} nats", end=", ")
    print(f"whole fourth cumulant / 24 {totals[-1]:+.4f} nats")
assert np.min(np.diff(np.log(turned)) / np.log(4)) > 0.9 and np.max(np.abs(totals)) < 0.02

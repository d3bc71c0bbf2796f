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
# # Chapter 13: Cumulants and TAP
#
# Two expansions of the free energy of a restricted Boltzmann machine (RBM) start from the same
# point, naive mean field. The *cumulant expansion* (chapter 11) fixes a product distribution $q$
# and adds corrections. The expansion of *Thouless, Anderson and Palmer* (TAP), in the form that
# Plefka gave it, fixes the *means* of the units, adds corrections, and lets the means adjust to
# them. The post names both and asks how they compare. This chapter derives both for an RBM, to
# order 4, term by term.
#
# **What you will do**
#
# - derive the cumulants of orders 2, 3 and 4 of an RBM about mean field in closed form;
# - derive Plefka's expansion, and find the same terms at orders 2 and 3 and different ones at order
#   4;
# - show that the difference is exactly what TAP gains by moving its means;
# - measure the power of the coupling in every error, and compare machines trained with either expansion.
#
# **What you will learn**
#
# - what "fixing the means" does: it removes all corrections that hang on one unit (B26);
# - why TAP's gradient is simple and the cumulants' is not;
# - what both are good for, and where both fail.
#
# **What you need**: chapter 11, and section 6 of chapter 3; some Python, with this project
# installed.
#
# **Time**: about 90 minutes, and as much again for the exercises. The code takes under a minute,
# and another one where it trains all machines anew.
#
# Equation numbers such as (B26) are the row names used in the whole course, in the library's
# docstrings and in the table `EQUATIONS.md`. Numbers such as (2.1) are steps on the way. All free
# energies are in nats, $\beta = 1$, and units are 0 or 1.

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
import os

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from scipy import optimize, special

from rbm_tf import BernoulliRBM, Machine, cumulants, datasets, enumeration, mean_field
from rbm_tf import training as phases
from rbm_tf.course import shipped
from rbm_tf.mean_field import cumulant_moments, fourth_cumulant, plefka_fourth_term, response_step

# %%
seed = 0
num_visible, num_hidden = 6, 5
coupling, bias_scale = 0.6, 0.7  # standard deviations, nats
scales = np.array([0.02, 0.04, 0.08, 0.16, 0.32, 0.64])  # of the couplings
num_machines = 8  # over which errors are averaged
bars_hidden, bars_rate, bars_epochs = 8, 0.05, 60
digit_hidden, digit_rate, digit_epochs = 12, 0.2, 20
retrain = bool(os.environ.get("RETRAIN"))  # True: train all machines here, about a minute
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 88}])


# %%
def check(left, right, tolerance=1e-10):
    """Raise unless both are equal to the tolerance, relative above 1, absolute below."""
    np.testing.assert_allclose(*np.broadcast_arrays(left, right), rtol=tolerance, atol=tolerance)


def label(axis, title, xlabel, ylabel):
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)


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
# The first three terms are a constant and fields on single units. Together with the biases, the
# field on $v_i$ is $a_i + \sum_j W_{ij} n_j$. The units of $q$ feel the field $\ln \frac{m_i}{1 -
# m_i}$. At the naive mean-field point, $m_i = \sigma(a_i + \sum_j W_{ij} n_j)$ and alike for $n_j$,
# the two are equal and cancel in $V = E - H_q$. What is left is
#
# $$V = \text{const} - Q , \qquad Q = \sum_{ij} W_{ij}\, x_i\, y_j , \quad
#   x_i = v_i - m_i , \; y_j = h_j - n_j . \tag{1.2}$$
#
# *The perturbation is the correlation that mean field leaves out*, bond by bond. Its constant is
# $F_1 = F_q + \langle V \rangle_q = \langle V \rangle_q$, because $\langle Q \rangle_q = 0$, and
# because $H_q = -\ln q$ is normalised, so that $F_q = 0$. The rest of the expansion (B23) is about
# $Q$:
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
# The deviations $x_i$, $y_j$ are independent, with the cumulants of a single 0/1 unit,
#
# $$\langle x_i \rangle = 0 , \quad \langle\!\langle x_i^2 \rangle\!\rangle = c_i = m_i (1 - m_i) , \quad
#   \langle\!\langle x_i^3 \rangle\!\rangle = c_i (1 - 2 m_i) , \quad
#   \langle\!\langle x_i^4 \rangle\!\rangle = c_i (1 - 6 c_i) , \tag{2.1}$$
#
# and $d_j = n_j (1 - n_j)$ in the other layer.
#
# **Order 2.** In $\langle Q^2 \rangle = \sum W_{ij} W_{kl} \langle x_i x_k \rangle \langle y_j y_l
# \rangle$ only $k = i$, $l = j$ survive:
#
# $$\langle\!\langle Q^2 \rangle\!\rangle = \sum_{ij} W_{ij}^2\, c_i d_j . \tag{B26a}$$
#
# **Order 3.** An average $\langle x_i x_k x_p \rangle$ of three vanishes unless all indices are
# equal, in both layers:
#
# $$\langle\!\langle Q^3 \rangle\!\rangle = \langle Q^3 \rangle
#   = \sum_{ij} W_{ij}^3\, c_i (1 - 2 m_i)\, d_j (1 - 2 n_j) . \tag{B26b}$$
#
# **Order 4.** Here pairs appear. Fix the $x$ first, and write $f_j = \sum_i W_{ij} x_i$, so that
# $Q = \sum_j f_j y_j$. For fixed $f$ this is a sum of independent terms, whose cumulants add:
#
# $$\langle Q^4 \rangle_y = 3 \Big( \sum_j f_j^2 d_j \Big)^2 + \sum_j f_j^4\, d_j (1 - 6 d_j) . \tag{2.2}$$
#
# Now average over $x$, with $G_{jk} = \langle f_j f_k \rangle = \sum_i W_{ij} c_i W_{ik}$ and
# $\gamma_i = c_i (1 - 6 c_i)$. For independent $x_i$, fourth moments are pairings plus the fourth
# cumulant:
#
# $$\langle f_j^2 f_k^2 \rangle = G_{jj} G_{kk} + 2 G_{jk}^2 + \sum_i \gamma_i W_{ij}^2 W_{ik}^2 . \tag{2.3}$$
#
# Insert (2.3) in (2.2), subtract $3 \langle Q^2 \rangle^2 = 3 (\sum_j d_j G_{jj})^2$, and write
# $\delta_j = d_j (1 - 6 d_j)$:
#
# $$\boxed{\begin{aligned} \langle\!\langle Q^4 \rangle\!\rangle = \;
#   & 6 \sum_{jk} d_j d_k\, G_{jk}^2 + 3 \sum_i \gamma_i \Big( \sum_j W_{ij}^2 d_j \Big)^2 \\
#   & {} + 3 \sum_j \delta_j \Big( \sum_i W_{ij}^2 c_i \Big)^2 + \sum_{ij} W_{ij}^4\, \gamma_i \delta_j
#   \end{aligned}} \tag{2.4}$$
#
# This takes one matrix product, $G = W^T \mathrm{diag}(c)\, W$, and no sum over states.
#
# **Check against the exact result**: by hand, by the library, and by enumeration.

# %% name="orders"
second = c @ kernel**2 @ d  # (B26a)
third = (c * (1 - 2 * m)) @ kernel**3 @ (d * (1 - 2 * n))  # (B26b)
gram = kernel.T @ (c[:, np.newaxis] * kernel)  # G
visible_fields, hidden_fields = kernel**2 @ d, c @ kernel**2  # sums of W^2 at each unit
gamma, delta = c * (1 - 6 * c), d * (1 - 6 * d)
fourth = 6 * d @ gram**2 @ d + 3 * gamma @ visible_fields**2  # (2.4)
fourth += 3 * delta @ hidden_fields**2 + gamma @ kernel**4 @ delta

check([second, third, fourth], kappa[1:4])
check(fourth, fourth_cumulant(kernel, m, n))
orders = point.free_energy - np.cumsum([0, second / 2, third / 6, fourth / 24])  # (1.3)
check(orders, [mean_field.cumulant_free_energy(rbm, k) for k in (1, 2, 3, 4)])
for order, value in enumerate(orders, start=1):
    print(f"order {order}: F_{order} = {value:.6f}, error {value - exact:+.6f} nats")

# %% [markdown]
# Do not praise order 2 too soon. At this coupling the terms of orders 3, 4 and 5 are
# $-0.00034$, $+0.00011$ and $+0.00023$ nats (the last is $-\frac1{120}$ of the printed fifth
# cumulant), and by accident they add up to almost nothing. Order 2 seems exact, and orders 3 and 4,
# which have only a part of the sum, look worse. One machine at one coupling is no test of an
# expansion; section 5 averages over eight machines, and looks at powers.
#
# ## 3. Plefka's expansion: fix the means
#
# TAP asks another question. *Given* the means $m$ and $n$, what is the lowest free energy of any
# distribution that has these means? Fields $\alpha_i$, $\eta_j$ enforce them,
#
# $$\Gamma(m, n) = \max_{\alpha, \eta} \Big[ -\ln \sum_{v, h} e^{\, \alpha \cdot v + \eta \cdot h + v^T W h}
#   {} + \alpha \cdot m + \eta \cdot n \Big] - a \cdot m - b \cdot n , \tag{3.1}$$
#
# a Legendre transform: the maximum of $-\ln \sum e^{\dots} + \alpha \cdot m + \eta \cdot n$ is where
# the average of $v$ is $m$ and that of $h$ is $n$, and its value is minus the entropy minus $\langle
# v^T W h \rangle$. Since $\partial \Gamma / \partial m = \alpha - a$, at its minimum over $m$ and $n$
# the fields are the biases and $\Gamma = F_{\rm eq}$, *exactly*. Plefka (1982) expanded (3.1) in
# powers of $W$ at fixed $m$ and $n$. Orders 0 and 1 together are naive mean field,
#
# $$\Gamma_1 = -S(m) - S(n) - a \cdot m - b \cdot n - \sum_{ij} W_{ij} m_i n_j . \tag{3.2}$$
#
# with $S(m) = -\sum_i [m_i \ln m_i + (1 - m_i) \ln (1 - m_i)]$. For the rest we do not have to start again.
# Split off $\Gamma_1$ and use (1.1). There the total field on $x_i$ is $\alpha_i + \sum_j W_{ij} n_j$;
# write it as $\ln \frac{m_i}{1 - m_i} + \phi_i$, and likewise for $y_j$ with $\psi_j$, small changes that
# keep the means in place:
#
# $$\Gamma - \Gamma_1 = \max_{\phi, \psi} \Big[ -\ln \big\langle e^{\, Q + \phi \cdot x + \psi \cdot y} \big\rangle_q \Big] . \tag{3.3}$$
#
# This is the cumulant expansion of the last section, with *counter-fields* added to $Q$. Expand the
# logarithm to second order in the fields. Linear in $\phi_i$ is $-\phi_i g_i$ with
#
# $$\langle x_i \rangle_{q, Q} = \tfrac12 \langle x_i Q^2 \rangle_q + \dots = \tfrac12 c_i (1 - 2 m_i) \sum_j W_{ij}^2 d_j + O(W^3)
#   \equiv g_i , \tag{3.4}$$
#
# the shift of the mean that $Q$ would cause; quadratic is $-\frac12 c_i \phi_i^2$, to leading order.
# (A term $\phi_i \psi_j$ comes with a factor $W_{ij}$, and is of order $W^5$ in the end.) So
#
# $$\Gamma - \Gamma_1 = -\ln \langle e^{Q} \rangle_q
#   {} + \max_\phi \sum_i \Big[ -g_i \phi_i - \tfrac12 c_i \phi_i^2 \Big] + (\text{the same for } \psi) + O(W^5) , \tag{3.5}$$
#
# with the maximum $+\frac12 g_i^2 / c_i$ at $\phi_i = -g_i / c_i$. Since $g_i$ is of order $W^2$,
# the fields matter at order $W^4$ for the first time:
#
# $$\boxed{\; \Gamma = \Gamma_1 - \tfrac12 \langle\!\langle Q^2 \rangle\!\rangle - \tfrac16 \langle\!\langle Q^3 \rangle\!\rangle
#   {} - \tfrac1{24} \langle\!\langle Q^4 \rangle\!\rangle + R_4 + O(W^5) \;} \tag{B26c}$$
#
# $$R_4 = \tfrac18 \sum_i c_i (1 - 2 m_i)^2 \Big( \sum_j W_{ij}^2 d_j \Big)^2
#   {} + \tfrac18 \sum_j d_j (1 - 2 n_j)^2 \Big( \sum_i W_{ij}^2 c_i \Big)^2 . \tag{3.6}$$
#
# *At orders 2 and 3 the cumulant and the Onsager terms are the same functions of $(m, n)$.* They
# part at order 4. With $(1 - 2 m)^2 = 1 - 4 c$ the term of fourth order can be collected in one line,
#
# $$\Gamma_4 = -\tfrac14 \sum_{jk} d_j d_k G_{jk}^2 + \tfrac14 \sum_i c_i^2 \Big( \sum_j W_{ij}^2 d_j \Big)^2
#   {} + \tfrac14 \sum_j d_j^2 \Big( \sum_i W_{ij}^2 c_i \Big)^2 - \tfrac1{24} \sum_{ij} W_{ij}^4 \gamma_i \delta_j . \tag{3.7}$$
#
# Read it as pictures of bonds. The first sum runs over closed walks of four bonds. Most of them are
# *squares* $i \to j \to l \to k \to i$, with two different visible units $i$, $l$ and two different
# hidden ones $j$, $k$; but it also contains walks that go out on two bonds which share a unit, and
# back: $l = i$ or $k = j$. The second and third sum cancel exactly those, and leave powers of single
# bonds. So in $\Gamma_4$ there are squares, and powers of a single bond, and *nothing that falls
# apart when one unit is removed*: pinning the means has removed all such chains. The cumulant (2.4)
# keeps them.
#
# **Check against the exact result.** (3.1) can be evaluated: the bracket is concave in the fields,
# and its gradient is the difference of the means. At fixed means, the error of (B26c) must fall as
# the fifth power of the scale of $W$, and without $R_4$ only as the fourth.


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


# %%
def relaxation(kernel, m, n):
    """R_4 of (3.6), nats."""
    visible = m * (1 - m) * (1 - 2 * m) ** 2 @ (kernel**2 @ (n * (1 - n))) ** 2
    hidden = n * (1 - n) * (1 - 2 * n) ** 2 @ ((m * (1 - m)) @ kernel**2) ** 2
    return (visible + hidden) / 8


# %%
check(plefka_fourth_term(kernel, m, n), -fourth / 24 + relaxation(kernel, m, n))  # (3.7)
no_bias = tf.zeros(num_visible, tf.float64), tf.zeros(num_hidden, tf.float64)
errors = np.zeros((3, 2))  # without order 4, with the cumulant's, with Plefka's; two scales
for machine in range(num_machines):
    rng = np.random.default_rng(machine)
    base, mv, mh = rng.normal(size=kernel.shape), rng.uniform(size=6), rng.uniform(size=5)
    for index, scale in enumerate((0.2, 0.1)):
        w = scale * base
        gamma_3 = float(mean_field.gamma((tf.constant(w), *no_bias), mv[None], mh[None], 3)[0])
        tries = 0.0, -float(fourth_cumulant(w, mv, mh)) / 24, float(plefka_fourth_term(w, mv, mh))
        errors[:, index] += np.abs(gamma_3 + np.array(tries) - exact_gamma(w, mv, mh))

# %% name="fixed-means"
powers = np.log2(errors[:, 0] / errors[:, 1])
for name, power in zip(("to order 3", "with cumulant 4", "with Plefka 4"), powers, strict=True):
    print(f"{name:16s} error at fixed means falls with the power {power:.2f}")
assert np.all(np.abs(powers - [4, 4, 5]) < 0.4)

# %% [markdown]
# ## 4. TAP moves its means, and that is the difference
#
# TAP of order $k$ cuts (B26c) after order $k$ (call this $\Gamma_{\le k}$; $\Gamma_{\le 1} =
# \Gamma_1$) *and then* minimises over $m$ and $n$. The cumulant expansion stays at the minimum of
# $\Gamma_1$. How far apart are the two results? Let $u$ stand for all the means, $u^*$ for the naive point, and $r = -\nabla (\Gamma - \Gamma_1)$ for the *reaction
# field* of the Onsager terms, the field that comes back to a unit from its neighbours' response to
# it. To leading order the minimum moves by $(\Gamma_1'')^{-1} r$ and sinks by $\frac12 r^T (\Gamma_1'')^{-1} r$, where
# $\Gamma_1''$ is the matrix of second derivatives of $\Gamma_1$,
#
# $$\Gamma_1'' = \begin{pmatrix} \mathrm{diag}(1/c) & -W \\ -W^T & \mathrm{diag}(1/d) \end{pmatrix} , \qquad
#   r_i = \big( \tfrac12 - m_i \big) \sum_j W_{ij}^2 d_j + O(W^3) . \tag{4.1}$$
#
# With $\Gamma_1'' \approx \mathrm{diag}(1/c, 1/d)$ the lowering is $\frac12 \sum_i c_i r_i^2 + \dots$, and
# that is
#
# $$F_2 - \Gamma_{\le 2}^{\min} = \tfrac18 \sum_i c_i (1 - 2 m_i)^2 \Big( \sum_j W_{ij}^2 d_j \Big)^2 + \dots = R_4 + O(W^5) : \tag{4.2}$$
#
# the *same* $R_4$ as in (3.6). This closes the circle. The exact free energy is one number;
# Plefka's fourth order at the naive point lies $R_4$ above the cumulant's; and by moving its means
# TAP gains the $R_4$ back. *The chains that the cumulant expansion adds up explicitly, TAP re-sums
# by adjusting the means.* With order 2 in $\Gamma$ it has them already, without a fourth-order
# term.
#
# **Check**: the ratio of $F_2 - \Gamma_{\le 2}^{\min}$ to $R_4$ tends to 1 at weak coupling.

# %% name="gain"
ratios = []
for scale in scales[:5]:
    machine = random_rbm(scale)
    naive = mean_field.tap(machine, order=1)
    gain = (
        float(mean_field.cumulant_free_energy(machine, 2))
        - mean_field.tap(machine, order=2).free_energy
    )
    ratios.append(gain / relaxation(machine.kernel.numpy(), naive.visible, naive.hidden))
    print(f"scale {scale:.2f}: gain {gain:.2e} nats, gain / R_4 = {ratios[-1]:.3f}")
assert abs(ratios[0] - 1) < 0.05 and abs(ratios[0] - 1) < abs(ratios[-1] - 1)

# %% [markdown]
# ## 5. How fast the errors shrink
#
# The free energies first. Cut after order $k$, either expansion, (1.3) or (B26c), has an error of order $W^{k+1}$.
#
# The means come from derivatives, $\langle v_i \rangle = -\partial F_{\rm eq} / \partial a_i$, and
# keep that power. For TAP, $\Gamma$ is stationary, so $-d\Gamma / da_i = m_i$: the solved means
# themselves. The cumulant free energy is *not* stationary at the naive point, and the point moves
# with the parameters:
#
# $$-\frac{d F_k}{d a_i} = m_i + s_i , \qquad s = (\Gamma_1'')^{-1} r , \tag{5.1}$$
#
# where $r$ now contains all Onsager terms up to order $k \le 3$. To see it, write $F_k = \Gamma_1 + C$,
# both at $u^*(a)$. The explicit derivative is $-u^*$. The implicit one is $\nabla C \cdot \partial
# u^* / \partial a = -r^T (\Gamma_1'')^{-1}$, because $\nabla \Gamma_1(u^*) = 0$, differentiated with respect
# to $a$, says $\Gamma_1''\, \partial u^* / \partial a = 1$. So $s$ is the *linear response* to the reaction
# field, and $u^* + s$ is where one Newton step, with the curvature $\Gamma_1''$, leads from the
# naive point towards TAP's. Solving $\Gamma_1'' s = r$ by iteration,
#
# $$s_m = c\, (r_m + W s_n) , \qquad s_n = d\, (r_n + W^T s_m) . \tag{5.2}$$
#
# The correlations follow from the derivative with respect to $W_{ij}$:
#
# $$\langle v_i h_j \rangle \approx m_i n_j + W_{ij} c_i d_j + 2 W_{ij}^2\, c_i (\tfrac12 - m_i)\, d_j (\tfrac12 - n_j)
#   {} + s_i n_j + m_i s_j . \tag{5.3}$$
#
# The first three terms are the explicit derivative, the same as TAP's. The last two are the response:
# differentiate $\nabla \Gamma_1(u^*) = 0$ with respect to $W_{ij}$, where $-n_j$ is the derivative of
# its component $i$ and $-m_i$ that of its component $j$, and multiply by $r^T (\Gamma_1'')^{-1} = s^T$. This
# derivative takes a factor of $W$ away, so the correlations have an error of order $W^k$ only.
#
# The library has (5.2) as `response_step` and (5.1), (5.3) as `cumulant_moments`. We write $s =
# (\Gamma_1'')^{-1} r$ once by hand, and then measure powers, averaged over eight machines. (Their errors come with the
# course; those of one machine are computed anew.)


# %%
@tf.function
def responding_moments(kernel, pair, order):
    response = tf.zeros_like(pair[0]), tf.zeros_like(pair[1])
    for _ in tf.range(100):
        response = response_step(kernel, pair, response, order)
    return cumulant_moments(kernel, pair, response, order)


def cumulant_means(rbm, order):
    """m + s and n + s of (5.1), and the correlations (5.3), by iterating (5.2)."""
    naive = mean_field.tap(rbm, order=1)
    pair = tf.constant(naive.visible[np.newaxis]), tf.constant(naive.hidden[np.newaxis])
    return [x.numpy() for x in responding_moments(rbm.kernel.value, pair, order)]


# %%
visible, hidden, correlation = cumulant_means(rbm, 3)
hessian = np.block([[np.diag(1 / c), -kernel], [-kernel.T, np.diag(1 / d)]])  # (4.1)
reaction_m = mean_field.reaction_field(kernel, m[np.newaxis], n[np.newaxis], 3)
reaction_n = mean_field.reaction_field(kernel.T, n[np.newaxis], m[np.newaxis], 3)
response = np.linalg.solve(
    hessian, np.concatenate([reaction_m, reaction_n], 1)[0]
)  # Gamma_1'' s = r
check(np.concatenate([visible - m, hidden - n]), response)

# %%
step, ends = 1e-4, []
for sign in (1, -1):  # (5.1) and (5.3) against differences of F_3
    shifted = random_rbm(coupling)
    shifted.visible_bias.assign(rbm.visible_bias + sign * step * np.eye(num_visible)[0])
    other = random_rbm(coupling)
    other.kernel.assign(
        kernel + sign * step * np.outer(np.eye(num_visible)[0], np.eye(num_hidden)[0])
    )
    ends.append([float(mean_field.cumulant_free_energy(x, 3)) for x in (shifted, other)])
slopes = -(np.array(ends[0]) - ends[1]) / (2 * step)
check(slopes, [visible[0], correlation[0, 0]], 1e-6)
print("-dF_3/da_1 and -dF_3/dW_11 by differences:", slopes.round(8))
print(
    "from (5.1) and (5.3):                     ", np.array([visible[0], correlation[0, 0]]).round(8)
)


# %%
def all_errors(rbm):
    """Errors of the free energy, by method, and of the visible means; keys (method, order)."""
    truth, moments, table = -enumeration.log_z(rbm), enumeration.moments(rbm), {}
    for order in (1, 2, 3):
        tap = mean_field.tap(rbm, order=order)
        values = {"TAP": (tap.free_energy, tap.visible)}
        series = float(mean_field.cumulant_free_energy(rbm, order))
        values["cumulants"] = series, cumulant_means(rbm, order)[0]
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


# %%
errors_of_all = shipped("13_errors", all_tables, retrain=retrain)
error = {}
for (name, order), of_one in all_errors(random_rbm(scales[-1], 0)).items():
    table = errors_of_all[f"{name} {order}"]
    check(of_one, table[-1, 0], tolerance=1e-6)  # one of them, computed here
    error[name, order] = table.mean(axis=1)

# %% name="powers"
for key, values in error.items():
    power = np.log2(values[1] / values[0])
    means = "" if np.isnan(power[1]) else f", means {power[1]:.2f}"
    print(f"{key[0]:9s} order {key[1]}: power of the error in F {power[0]:.2f}{means}")
    assert abs(power[0] - key[1] - 1) < 0.4
    assert np.isnan(power[1]) or abs(power[1] - key[1] - 1) < 0.4
of_energy, of_means = (error["TAP", 3] / error["cumulants", 3])[0]
print(f"order 3, errors of TAP over the cumulants': F {of_energy:.2f}, means {of_means:.2f}")

# %%
assert np.all(np.abs(error["TAP", 2][0] / error["cumulants", 2][0] - 1) < 0.1)  # prefactors agree
assert 2 < of_energy < 4.5 and 3 < 1 / of_means < 5
edge = {key: values[-1, 0] for key, values in error.items()}  # of F, strongest couplings
assert edge["TAP", 3] > 1.5 * edge["TAP", 2] and edge["cumulants", 3] > edge["cumulants", 2] / 2

# %% name="errors" alt="Errors over the scale of the couplings, both axes logarithmic: straight lines, steeper order by order. At order 3 cumulants are lower in free energy, TAP in the means."
figure, axes = plt.subplots(1, 2, figsize=(10, 4))
for column, title in ((0, "Free energy (nats)"), (1, "Visible means (norm)")):
    for (name, order), values in error.items():
        colour = (orange, blue, green, purple)[order - 1]
        line = "o-" if name == "cumulants" else "s--"
        curve, name = values[:, column], f"{name} {order}"
        axes[column].loglog(scales, curve, line, ms=4, color=colour, label=name)
    label(axes[column], title, "scale of the couplings (nats)", "mean error")
    axes[column].set_xticks(scales, [f"{s:g}" for s in scales])
    axes[column].minorticks_off()
axes[0].legend(fontsize=10)
plt.show()

# %% [markdown]
# Solid lines are the cumulants, dashed lines TAP; at order 1 they are the same. Order for order they
# have the same power, as they must: both are complete to order $W^k$. At order 2 even the prefactors
# agree, because both miss the same third-order term. At order 3 they differ: TAP misses $\Gamma_4$,
# the cumulants $\Gamma_4 - R_4$. In these machines the cumulants' free energy is the better one, by a
# factor of about three, and TAP's means are, by a factor of about four, as long as the couplings are weak. On
# the right edge the couplings are as large as the biases. In the free energy, order 3 of the cumulants gains less
# than a factor of two on order 2 there, and TAP 3 is *worse* than TAP 2.
#
# ## 6. Training with either
#
# The gradient of the log likelihood needs $\langle v \rangle$, $\langle h \rangle$ and $\langle v h
# \rangle$ of the model (B9). Put in their place
#
# - TAP's, at its own fixed point (`MeanFieldPhase`, chapter 3);
# - the full gradient of $F_k$, (5.1) and (5.3), with the response (5.2);
# - only the explicit part, with $s = 0$: the Onsager terms (B26a, B26b) at the naive point.
#
# The third is no gradient of anything, but costs as little as TAP. A small subclass of the
# library's layer does the second and third: it moves its magnetisations by naive mean field.


# %% name="phase"
class CumulantPhase(phases.MeanFieldPhase):
    num_response = 0  # iterations of (5.2); none for s = 0

    def call(self, data_hidden_input, machine, training):
        m, n = (tf.convert_to_tensor(x) for x in self.magnetisations)
        for _ in range(self.num_steps):
            m, n = mean_field.damped_step(machine.parameters, m, n, order=1)
        for weight, value in zip(self.magnetisations, (m, n), strict=True):
            weight.assign(value)
        response = 0 * m, 0 * n
        for _ in range(self.num_response):
            response = response_step(machine.kernel, (m, n), response, self.order)
        gamma = tf.reduce_mean(mean_field.gamma(machine.parameters, m, n, self.order))
        moments = cumulant_moments(machine.kernel, (m, n), response, self.order)
        return phases.ModelMoments(gamma, *moments)


# %%
class RespondingPhase(CumulantPhase):
    num_response = 10


# %%
def log_likelihood(rbm, data):
    """The exact mean of ln p(v) (B2), nats."""
    return float(-np.mean(rbm.free_energy(data)) - enumeration.log_z(rbm))


def train(phase, data, size, rate, epochs, measure=log_likelihood):
    """A measurement after each epoch; size is (number of hidden units, batch size)."""
    rbm, curve = BernoulliRBM(data.shape[1], size[0], negative_phase=phase, seed=seed), []
    rbm.kernel.assign(np.random.default_rng(seed).normal(0, 0.1, rbm.kernel.shape))
    rbm.compile(keras.optimizers.SGD(rate), steps_per_execution=len(data) // size[1])
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: curve.append(measure(rbm, data))
    )
    rbm.fit(data, batch_size=size[1], epochs=epochs, verbose=0, callbacks=[record])
    return np.array(curve)


# %%
def negative_phases():
    return {
        "exact": phases.ExactPhase(),
        "TAP 2": phases.MeanFieldPhase(2, seed=seed),
        "TAP 3": phases.MeanFieldPhase(3, seed=seed),
        "naive": phases.MeanFieldPhase(1, seed=seed),
        "cumulants 2, s = 0": CumulantPhase(2, seed=seed),
        "cumulants 3, s = 0": CumulantPhase(3, seed=seed),
        "cumulants 2": RespondingPhase(2, seed=seed),
    }


# %%
images = np.asarray(datasets.bars_and_stripes(3)[0], np.float32).reshape(-1, 9)
bars = np.tile(images, (50, 1))  # 50 updates an epoch
(digits, _), _ = datasets.load_digits("bernoulli", seed=seed)
digits = np.asarray(digits, np.float32).reshape(-1, 64)
digits = digits[: len(digits) // 50 * 50]
print(f"{len(images)} bars and stripes of 3 x 3, {len(digits)} digits of 8 x 8")


# %%
def all_curves():
    """The log likelihood after each epoch, of both data sets with each negative phase."""
    curves = {}
    for name, phase in negative_phases().items():
        size = bars_hidden, len(images)
        curves[f"bars: {name}"] = train(phase, bars, size, bars_rate, bars_epochs)
    for name, phase in negative_phases().items():
        size = digit_hidden, 50
        curves[f"digits: {name}"] = train(phase, digits, size, digit_rate, digit_epochs)
    return curves


# %% [markdown]
# These 14 trainings take longer than the rest of this chapter, so their likelihoods, epoch by epoch, come with the
# course. To train in front of you, set `retrain = True` above; on another processor the noisy ones among
# the curves may then look different.

# %% name="training"
curves = shipped("13_log_likelihoods", all_curves, retrain=retrain)
for key, curve in curves.items():
    data, name = key.split(": ")
    finite = curve[np.isfinite(curve)]
    print(f"{data:6s} {name:18s} best {finite.max():8.3f}, last {curve[-1]:9.3f} nats")

# %%
for data in ("bars", "digits"):
    last = {name: curves[f"{data}: {name}"][-1] for name in negative_phases()}
    best = {name: np.nanmax(curves[f"{data}: {name}"]) for name in last}
    assert not last["cumulants 2"] > best["cumulants 2"] - 10  # it fails, or is nan
    explicit = [f"cumulants {order}, s = 0" for order in (2, 3)]
    lead = last["TAP 3"] - max(last[name] for name in ("TAP 2", *explicit))
    assert last["exact"] > last["TAP 3"] and lead > (0 if data == "bars" else -0.3)
    assert all(best[name] > best[f"TAP {k}"] for k, name in enumerate(explicit, start=2))
    rises = {name: curves[f"{data}: {name}"][2] for name in last}  # after three epochs
    assert max(rises, key=rises.get) == "naive" and last["naive"] < best["naive"] - 1
assert max(np.nanmax(curves[f"bars: TAP {k}"]) for k in (2, 3)) < np.max(curves["bars: naive"])

# %% name="learning-curves" alt="ln p(v) over epochs on bars and digits: the exact gradient rises; TAP and explicit terms follow and wander; naive mean field falls; the full gradient of F2 plunges."
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2))
colours = ("black", blue, green, grey, orange, "#E69F00", purple)
names = list(negative_phases())
for axis, data, limits in ((axes[0], "bars", (-9, -2.5)), (axes[1], "digits", (-30.5, -23))):
    for name, colour in zip(names, colours, strict=True):
        curve = curves[f"{data}: {name}"]
        axis.plot(range(1, len(curve) + 1), curve, color=colour, label=name)
    axis.set_ylim(limits)
    axis.xaxis.get_major_locator().set_params(integer=True)
    label(axis, data.capitalize(), "epoch", "exact mean $\\ln p(v)$ (nats)")
axes[1].legend(fontsize=10, ncols=2, loc="lower right")
plt.show()

# %% [markdown]
# As long as the weights are small all curves but the naive one lie on that of the exact gradient.
# Then three things happen.
#
# - *The full gradient of $F_2$ fails*, and it fails abruptly (on the digits it ends in `nan`): this is
#   the deliberate failure of the chapter. The next cells look for the reason.
# - *TAP and the explicit terms* stay within sight of the exact curve for a while, and then most of them
#   wander. At the last epoch TAP of order 3 is ahead of TAP 2 and of both explicit gradients, on the bars and
#   on the digits. At its *best* epoch $s = 0$ is ahead of TAP of the same order in all four comparisons. But to stop at the
#   best epoch one would have to know the exact likelihood, and these are noisy curves of a single seed.
# - *Naive mean field* rises fastest at first and falls soon. (On the bars its best epoch is better than
#   that of TAP 2 and even than that of TAP 3; it does not keep it.)
#
# **Why does it fail?** One suspects the place where the naive mean-field point is about to split in two, as a magnet
# does at its critical temperature. There the smallest eigenvalue of $\Gamma_1''$ goes to zero, and $s = (\Gamma_1'')^{-1} r$
# grows without bound, unless $r$ happens to vanish in that direction. For a single bond this can be
# computed. For the training on the bars it can be measured, at the magnetisations that the phase uses.

# %%
split = []
for scale in np.linspace(0.2, 5, 25):
    machine = BernoulliRBM(1, 1, dtype="float64")  # fields chosen to keep m = n = 1/2 stationary
    machine.kernel.assign([[scale]])
    machine.visible_bias.assign([-scale / 2])
    machine.hidden_bias.assign([-scale / 2])
    curvature = np.linalg.eigvalsh([[4.0, -scale], [-scale, 4.0]])[0]  # Gamma_1'' at m = n = 1/2
    split.append((scale, curvature, mean_field.tap(machine, order=1).visible[0]))
split = np.array(split)
shift, below, above = np.abs(split[:, 2] - 0.5), split[:, 0] < 3.9, split[:, 0] > 4.05
assert np.all(split[below, 1] > 0) and np.all(shift[below] < 1e-6) and np.all(shift[above] > 0.1)


# %%
def instability(rbm, data):
    """ln p of the data, smallest eigenvalue of Gamma_1'' (4.1), largest |s_i| of s (5.1)."""
    kernel, result = rbm.kernel.numpy().astype(float), [log_likelihood(rbm, data)]
    m, n = (x.numpy()[:1].astype(float) for x in rbm.negative_phase.magnetisations)  # one of 100
    diagonal = 1 / np.concatenate([m * (1 - m), n * (1 - n)], 1)[0]
    hessian = np.diag(diagonal)
    hessian[: m.size, m.size :], hessian[m.size :, : m.size] = -kernel, -kernel.T
    fields = (
        mean_field.reaction_field(kernel, m, n, 2),
        mean_field.reaction_field(kernel.T, n, m, 2),
    )
    response = np.linalg.solve(hessian, np.concatenate(fields, 1)[0])
    return [*result, np.linalg.eigvalsh(hessian)[0], np.abs(response).max()]


# %% name="watched"
watched = train(
    RespondingPhase(2, seed=seed), bars, (bars_hidden, len(images)), bars_rate, 28, instability
)
check(watched[:5, 0], curves["bars: cumulants 2"][:5], tolerance=1e-3)  # the same training
falls = 1 + np.flatnonzero(np.diff(watched[:, 0]) < -1)[0]  # where the likelihood begins to fall
for epoch in (0, falls - 4, falls - 2, falls, falls + 2, falls + 4):
    text = "epoch {:2d}: ln p(v) {:8.3f} nats, smallest eigenvalue {:.2f}, largest |s| {:.3f}"
    print(text.format(epoch + 1, *watched[epoch]))
until = watched[: falls + 5]
lowest = until[:, 1].min()
assert until[0, 1] > 3 and 0.3 < lowest < 1.2  # falls, but not to zero
assert abs(until[:, 1].argmin() - falls) <= 4
assert until[-1, 1] > 1.3 * lowest and until[-1, 0] < until[falls, 0] - 5  # rises, and ln p falls
assert 0.1 < until[:, 2].max() < 1  # large for means between 0 and 1, and finite

# %% name="eigenvalue" alt="Left: for one bond the smallest eigenvalue reaches 0 at W = 4, where the mean splits. Right: in training it falls from 3.5 to below 1 and rises again; the response grows to some tenths."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
axes[0].plot(split[:, 0], split[:, 1], color=blue, label=r"smallest eigenvalue of $\Gamma_1''$")
axes[0].plot(split[:, 0], shift, color=orange, label=r"$|m - 1/2|$, naive mean field")
epochs = np.arange(1, len(watched) + 1)
axes[1].plot(epochs, watched[:, 1], color=blue, label=r"smallest eigenvalue of $\Gamma_1''$")
axes[1].plot(epochs, watched[:, 2], color=purple, label="largest $|s_i|$")
axes[1].axvline(falls + 1, color=grey, ls="--", lw=1, label=r"$\ln p(v)$ begins to fall")
label(axes[0], "One bond: splits at $W = 4$", "coupling $W$ (nats)", "eigenvalue, shift of mean")
label(axes[1], "Bars, full gradient of $F_2$", "epoch", "eigenvalue, response")
axes[1].set_ylim(-0.3, 5.8)  # the legend stands above the curves
for axis in axes:
    axis.axhline(0, color="black", lw=0.8)
    axis.legend()
plt.show()

# %% [markdown]
# For one bond (left) the eigenvalue is zero where the point splits. In training (right) it does fall, from 3.5 to
# below about 1, and the likelihood begins to fall at about that time. But the eigenvalue does not reach zero: it rises
# again, and the likelihood goes on falling. The response grows to some tenths. That is large for something
# that is added to means between 0 and 1, and it is finite: there is no divergence. So the suspicion is at most half
# right. The machine comes near the instability, and a large response goes into the gradient there; what keeps
# the training on its wrong way afterwards, these numbers do not tell.
#
# The library therefore has no negative phase of its own for cumulants. The gradient that would
# deserve it, (5.1), fails in training, and the explicit terms do not do better than TAP of order 3 at the end.

# %% [markdown]
# ## 7. Summary
#
# | | cumulants | TAP (Plefka) |
# |:--|:--|:--|
# | what is fixed | the distribution $q$ | the means $m$, $n$ |
# | where | at the naive mean-field point | at its own stationary point |
# | order 1 | naive mean field, a bound | the same |
# | orders 2 and 3 | $-\frac12 \sum W^2 c d$, $-\frac16 \sum W^3 c (1 - 2m)\, d (1 - 2n)$ | the same functions (B26) |
# | order 4 | squares, single bonds, chains | squares, single bonds |
# | chains | term by term | re-summed by moving the means |
# | gradient | needs the response $s$ | explicit |
# | applies to | any $q$ one can sample | means of spins, small couplings |
# | error in $F$ and in means | $W^{k+1}$ | $W^{k+1}$ |
#
# What the post says of the two can now be made precise. *Neither is exact, neither convex*: (3.1)
# without truncation is exact, and it is convex, being a maximum of functions linear in $m$ and $n$.
# Its truncations are neither: already $\Gamma_1''$, the curvature of $\Gamma_1$, has a negative eigenvalue
# beyond the split of section 6, and beyond order 1 they bound nothing. *Do they converge?* The
# cumulant series does up to the nearest complex zero (chapters 1 and 11); Plefka's has a nearest
# singularity of its own, which [chapter 24, section 6](24_not_extensive.ipynb) finds. *Cumulants are general, TAP is for spin glasses*: the cumulants need an
# average over $q$, whatever $q$ is, and so they correct a VAE as well; TAP needs means that
# characterise $q$, and many weak couplings.
#
# In a spin glass with $N$ units and couplings of order
# $1/\sqrt{N}$ with random signs, $\sum_j W_{ij}^2 d_j$ is of order 1 at every unit. The chains of (2.4) sum to $-R_4$
# in the free energy, up to single bonds. So they are of order $N$, unless all means are $\frac12$. The longer chains
# in higher orders of the cumulants are of order $N$, too. Squares and powers of single bonds are not. Therefore
# only order 2 of $\Gamma$ grows like $N$ beyond $\Gamma_1$.
#
# ## Exercises
#
# 1. *(easy)* **One bond.** For one visible and one hidden unit with $m = n = \frac12$ show that the
#    exact $\Gamma - \Gamma_1$ is $-\ln \cosh (W/4)$ (`corrections`: from $W = \pm 0.2, \pm 0.4$ to its value by
#    (3.1)), and compare its expansion with (B26a), (B26b) and (3.7) (`terms`: those of orders 2, 3 and 4 for $W = 0.4$).
# 2. *(easy)* **Chains.** Build a machine with one hidden and two visible units. Show that (3.7) has
#    no term with $W_{11}^2 W_{21}^2$, and that (2.4) has one unless $n = \frac12$. (`mixed`: from the name of the
#    expansion and $n$ to the part of order 4 that needs both bonds.)
# 3. *(medium)* **Order 4 with TAP's means.** Evaluate $\Gamma_{\le 3} + \Gamma_4$ at the fixed point
#    of TAP 3. By how much does the `power` of the error rise?
# 4. *(hard)* **Walks that turn back.** Put independent Gaussian $x$, $y$ of the same variances in place of the
#    units. Show that then $-\ln \langle e^Q \rangle = \frac12 \ln \det (1 - D G)$ with $D = \mathrm{diag}(d)$,
#    and that its order $W^4$ is the first term of (2.4), a sum over closed walks of four steps
#    $j \to i \to l \to k \to j$. Split off the walks that turn back, $i = k$ or $j = l$, and
#    show that for $m = n = \frac12$ the other terms of (2.4) cancel all of them but $-\frac{2}{256}
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
# 2. The coefficient of W_11^2 W_21^2 in (2.4) is 12 d^2 c1 c2 + 6 d (1 - 6 d) c1 c2 = 6 d (1 - 2 n)^2 c1 c2,
# in (3.7) it is -d^2 c1 c2 / 2 + d^2 c1 c2 / 2 = 0. From values with both bonds, one, and the other:
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
rings = np.diag(d) @ gram  # D G
determinant = np.linalg.slogdet(np.eye(num_hidden) - rings)[1] / 2
misses = [abs(x - exact) for x in (point.free_energy + determinant, orders[1], orders[0])]
print("4. errors: F_1 + 1/2 ln det {:.6f}, F_2 {:.6f}, F_1 {:.6f} nats".format(*misses))
check(np.trace(rings), second)  # order 2
check(np.trace(rings @ rings), d @ gram**2 @ d)  # the first term of (2.4), over 6
check(determinant, np.log1p(-np.linalg.eigvals(np.diag(d) @ gram).real).sum() / 2)
check(misses, [0.012279, 0.000004, 0.177979], tolerance=1e-5)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. The walks: with c = d = 1/4, (2.4) begins with 6/256 times the sum of W_ij W_il W_kl W_kj. Where i = k that is
# sum_i (sum_j W_ij^2)^2, where j = l the same by columns, and W_ij^4 is in both. As gamma = delta = -1/8, the rest of
# (2.4) is -6/256 of both sums and +4/256 of the sum of W^4. All that turns cancels, but for -2/256 of that sum.
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

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
# # Chapter 14: Effective temperature
#
# The post that this course follows, Charles Martin's *Free Energies and Variational Inference*, associates a
# temperature with the norm of the weights of a restricted Boltzmann machine (RBM): large weights are cold. *Guess
# before you read on: if the weights of two machines have the same norm, by any definition, have they the same
# heat capacity? And at which temperature should one look for what is hidden under noise?*
#
# **What you will do**
#
# - find the temperature below which mean-field theory orders, with and without fields;
# - follow the effective temperature of a machine through its training;
# - compare the heat capacities of machines with equal norms;
# - find the one temperature that is right for inferring what was hidden in a spin glass.
#
# **What you will learn**
#
# - what $T_{\rm eff} = 1 / \|W\|$ means, where it is exact and where it is not (B7);
# - why the energy is known without a sum where inference uses the temperature of the noise (B28).
#
# **What you need**: chapter 12, sections 1 and 2; chapter 13, section 3; singular values; Bayes' rule.
#
# **Time**: about 52 minutes, and 80 for the exercises. The code runs in a quarter of a minute.
#
# Numbers such as (B7) are rows of the table `EQUATIONS.md`; energies are in nats.
#
# **What the chapters before have found.** Chapters 12 and 13 turned the temperature of a machine of 64 pixels and 16
# hidden units, trained on digits at $T = 1$. Its energy $U$, entropy $S$ and heat capacity $C$ are smooth at
# all temperatures (B6). Naive mean field has sharp peaks of $C$ that the machine has not (chapter 13,
# section 3). Machine, curves and snapshots of the training come with the course.

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
import math

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit, softmax

from rbm_tf import Machine, enumeration, ising, mean_field
from rbm_tf.course import check, label, shipped
from rbm_tf.thermodynamics import effective_temperature

# %%
seed = 0
epochs = (0, 1, 3, 5, 7, 9, 11, 13, 16, 20, 25, 32, 40, 50, 60, 80, 100)  # of the snapshots
glass_beta, glass_betas = 0.7, np.linspace(0.1, 1.6, 31)  # of the spin glasses
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 110}])
ink = plt.rcParams["text.color"]


# %%
def without_fields(kernel):
    return Machine(kernel, -kernel.sum(axis=1) / 2, -kernel.sum(axis=0) / 2)  # (2.1)


def order_parameter(kernel):
    return np.linalg.norm(mean_field.tap(without_fields(kernel), order=1).visible - 0.5)


# %%
copies = shipped("temperature_snapshots", None).values()  # (17, ..) each
snapshots = {epoch: Machine(*values) for epoch, *values in zip(epochs, *copies, strict=True)}
rbm = snapshots[100]
kernel, visible_bias, hidden_bias = (np.asarray(values[-1], float) for values in copies)
exact = enumeration.Thermodynamics(**shipped("temperature_exact", None))
naive = enumeration.Thermodynamics(*shipped("temperature_tap", None)["order_1"])
tap_betas = naive.betas
check(exact.betas[1:37], tap_betas)
falls = np.diff(naive.energy) / np.diff(exact.energy[1:37])  # of U: naive mean field over exact
print("U of naive mean field jumps on the way to beta =", tap_betas[1:][falls > 2.5].round(2))

# %% [markdown]
# ## 1. Effective temperature
#
# The energy (B1) is linear in its parameters. Multiplying *all* of them by $s$ multiplies the energy
# by $s$, and $e^{-s E}$ is a Boltzmann factor at $\beta = s$:
#
# $$Z(1;\, s a, s b, s W) = Z(s;\, a, b, W) . \tag{B7}$$
#
# So training at fixed $T = 1$ may choose any temperature, by the scale of the
# parameters. Split $W = \|W\|\, \hat W$, with the biases in
# the same units. The machine at $T = 1$ is the machine with kernel $\hat W$ at
#
# $$T_{\rm eff} = \frac{1}{\|W\|} . \tag{1.1}$$
#
# In chapter 12, section 2, the norm was the root of the sum of squares (Frobenius). From here on it is the largest
# singular value, the *spectral* norm $\|W\|_2$, for a reason that section 2 gives.
#
# **Check against the exact result**: double all parameters of the trained model. The effective
# temperature is halved, $S$ and $C$ are those at $\beta = 2$, and $U$ is twice that at $\beta = 2$,
# since energies are now counted in units twice as small.

# %%
s, scaled = 2.0, Machine(2 * kernel, 2 * visible_bias, 2 * hidden_bias)
doubled, colder = (enumeration.thermodynamics(*x) for x in ((scaled, [1.0]), (rbm, [s])))
check(doubled.log_z, colder.log_z)  # (B7)
check(doubled.entropy, colder.entropy, tolerance=1e-9)
check(doubled.heat_capacity, colder.heat_capacity, tolerance=1e-8)
check(doubled.energy, s * colder.energy)
norm = np.linalg.norm(kernel, 2)  # the largest singular value
check(np.linalg.norm(scaled.kernel, 2), s * norm)
check(effective_temperature(scaled), effective_temperature(rbm) / s, tolerance=1e-6)
print(f"trained model: largest singular value {norm:.3f} nats, T_eff = {1 / norm:.4f}")

# %% [markdown]
# ## 2. Where mean field orders: $T_{\rm eff} = 1/4$
#
# Is $T_{\rm eff} \approx 0.12$ cold? Mean-field theory has a scale to tell.
#
# **Without fields.** Let both values of every unit be equally good:
#
# $$E = -\sum_{ij} \big( v_i - \tfrac12 \big)\, W_{ij}\, \big( h_j - \tfrac12 \big) . \tag{2.1}$$
#
# This is (B1) with $a_i = -\frac12 \sum_j W_{ij}$, $b_j = -\frac12 \sum_i W_{ij}$ and
# a constant. Exchanging 0 and 1 everywhere does not change it, so exactly
# $\langle v_i \rangle = \langle h_j \rangle = \frac12$. The naive mean-field equations at $\beta = 1$
# are $m_i = \sigma\big( \sum_j W_{ij} (n_j - \frac12) \big)$, and alike for $n_j$. One solution is
# $m = n = \frac12$. Is it stable? Expand $\sigma(x) = \frac12 + \frac{x}{4} + O(x^3)$:
#
# $$m - \tfrac12 = \tfrac14 W \big( n - \tfrac12 \big) , \qquad
#   n - \tfrac12 = \tfrac14 W^T \big( m - \tfrac12 \big) . \tag{2.2}$$
#
# Take $m - \frac12$ along a left singular vector of $W$ with the singular value $\lambda$. Going
# through both equations multiplies it by $(\lambda / 4)^2$. A small deviation dies out if all
# $\lambda < 4$, and grows if the largest one, the spectral norm $\|W\|_2$, exceeds 4:
#
# $$\text{naive mean field orders where} \quad \tfrac14 \|W\|_2 > 1 \quad\Longleftrightarrow\quad
#   T_{\rm eff} = \frac{1}{\|W\|_2} < \frac14 . \tag{2.3}$$
#
# **With fields.** Look at the second derivatives of the mean-field free energy $\Gamma$, (3.1) of chapter 13
# at order 1. With $c_i = m_i (1 - m_i)$ and $d_j = n_j (1 - n_j)$, the
# entropy gives $1 / c_i$ and $1 / d_j$ on the diagonal, and the coupling gives $-W$:
#
# $$\Gamma'' = \begin{pmatrix} 1/c & -W \\ -W^T & 1/d \end{pmatrix}
#   = \begin{pmatrix} c^{-1/2} & \\ & d^{-1/2} \end{pmatrix}
#   \begin{pmatrix} 1 & -K \\ -K^T & 1 \end{pmatrix}
#   \begin{pmatrix} c^{-1/2} & \\ & d^{-1/2} \end{pmatrix} , \quad
#   K_{ij} = \sqrt{c_i}\, W_{ij} \sqrt{d_j} . \tag{2.4}$$
#
# The middle matrix has the eigenvalues $1 \pm \lambda(K)$, so a solution is a minimum if
# $\|K\|_2 < 1$. Since $c, d \le \frac14$, $\|K\|_2 \le \frac14 \|W\|_2$. If $T_{\rm eff} > \frac14$,
# then $\Gamma$ curves upwards *everywhere*, and there is one solution only, whatever the
# biases. If $T_{\rm eff} < \frac14$, there may be more. But fields push units away from $\frac12$. This makes
# $\|K\|_2$ smaller, and such a solution stays a minimum in colder machines.
#
# **Check**: three kernels without fields, 8 × 8, with the same spectral norm: all weights equal, one
# single bond, and random. Solve for $m$ just above and just below the threshold. Then we turn the temperature of
# the trained machine, and follow $\|K\|_2$ at its naive mean-field
# solution, next to the bound $\frac14 \beta \|W\|_2$.


# %%
random = np.random.default_rng(seed).normal(size=(8, 8))
directions = {
    "all equal": np.ones((8, 8)),
    "one bond": np.outer(*np.eye(8)[[0, 0]]),
    "random": random,
}
directions = {name: W / np.linalg.norm(W, 2) for name, W in directions.items()}  # T_eff = 1
for name, W in directions.items():
    sizes = [order_parameter(scale * W) for scale in (3.8, 3.95, 4.05, 4.2)]
    assert np.all(np.array(sizes[:2]) < 1e-6) and np.all(np.array(sizes[2:]) > 0.01)  # (2.3)
    print(f"{name:9s}: |m - 1/2| = {np.round(sizes, 3)} at T_eff = 1/3.8, 1/3.95, 1/4.05, 1/4.2")

# %%
for W in directions.values():
    check(enumeration.moments(without_fields(4.2 * W)).visible, 0.5)  # exact, by symmetry
stability, solutions = [], []
for beta in tap_betas:
    point = mean_field.tap(Machine(beta * kernel, beta * visible_bias, beta * hidden_bias), order=1)
    solutions.append(np.append(point.visible, point.hidden))
    c, d = (x * (1 - x) for x in (point.visible, point.hidden))
    stability.append(np.linalg.norm(np.sqrt(c)[:, np.newaxis] * beta * kernel * np.sqrt(d), 2))
stability = np.array(stability)

# %%
m, n, followed = np.full(64, 0.5), np.full(16, 0.5), []
for beta in tap_betas:  # the solution of the hot machine, from each beta to the next
    for _ in range(2000):
        m = expit(beta * (visible_bias + kernel @ n))
        n = expit(beta * (hidden_bias + m @ kernel))
    c, d = m * (1 - m), n * (1 - n)
    followed.append(np.linalg.norm(np.sqrt(c)[:, np.newaxis] * beta * kernel * np.sqrt(d), 2))
followed = np.array(followed)

# %%
top = np.argmax(stability)
moved = np.abs(np.diff(solutions, axis=0)).max(axis=1)  # the unit that moves most, in each step
assert np.all(moved[falls > 2.5] > 0.5) and np.median(moved) < 0.1
jump = np.flatnonzero(moved > 0.5)[0]  # between this temperature and the next
assert 0.9 < stability[top] < 1 and stability[jump + 1 :].max() < stability[top] - 0.05
assert abs(4 / norm - 0.47) < 0.02 and 0.6 < tap_betas[top] < tap_betas[jump + 1]
check(followed[: jump + 1], stability[: jump + 1], tolerance=1e-3)  # one solution until then
assert followed.max() < 1 and followed[jump + 1] > stability[jump + 1] + 0.05
print("a mean jumps by more than 1/2 on the way to beta =", tap_betas[1:][moved > 0.5].round(2))
print(f"without fields the trained kernel would order at beta = {4 / norm:.3f}")
print(f"with them ||K|| comes closest to 1 at beta = {tap_betas[top]:.2f}: {stability[top]:.3f}")
print(f"||K|| of the hot machine's solution, followed to beta = 1.8: {followed.max():.3f} at most")

# %% name="orders" alt="Left: mean-field order of three kernels is 0 above T = 1/4 and grows below. Right: the norm of K of the trained model rises with beta to 0.95 and falls; the hot solution, followed, stays below 1 as well."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
temperatures = np.linspace(0.1, 0.4, 31) + 0.002
for (name, W), colour in zip(directions.items(), (blue, orange, green), strict=True):
    sizes = [order_parameter(W / T) for T in temperatures]
    axes[0].plot(temperatures, sizes, color=colour, label=name)
axes[0].axvline(0.25, color=grey, lw=1, ls="--")
label(axes[0], "Without fields", r"$T_{\rm eff}$ (1/nats)", r"$\|m - \frac{1}{2}\|$, mean field")
axes[1].plot(tap_betas, stability, "o-", ms=3, color=blue, label=r"$\|K\|_2$, trained model")
axes[1].plot(tap_betas, followed, ":", color=orange, label="its hot solution, followed")
axes[1].plot(tap_betas, tap_betas * norm / 4, color=grey, label=r"$\beta \|W\|_2 / 4$")
axes[1].axhline(1, color=ink, lw=1, ls="--")
label(axes[1], "With its fields", r"inverse temperature $\beta$", "spectral norm")
for axis in axes:
    axis.legend()
plt.show()

# %% [markdown]
# Left: all three kernels order at $T_{\rm eff} = \frac14$ (dashed), as (2.3) says, while the exact
# magnetisations stay at $\frac12$. In particular a *single bond between two units* does not order.
#
# Right (dashed: the limit of stability): the trained kernel is past the zero-field threshold already
# at $\beta = 0.47$, but its fields protect the disordered solution. Followed to the cold (dotted), it comes
# close to instability and stays a minimum. But beyond $\beta = 0.75$ a more ordered solution is the
# lower one: a mean jumps, as printed, and $\|K\|_2$ falls. *This* is the
# first sharp peak in the heat capacity of section 3 of chapter 13: two minima cross. At the temperature of
# training naive mean field is well inside its ordered phase.

# %% [markdown]
# ## 3. Training cools the machine
#
# A new kernel has weights of size 0.01, a very hot machine. What does training do to it? For each
# snapshot of the parameters: the two norms, and $S$ and $C$ at $\beta = 1$, exactly.

# %% name="history"
history = []
for epoch, parameters in snapshots.items():
    state = enumeration.thermodynamics(parameters, [1.0])
    norms = [np.linalg.norm(parameters.kernel, kind) for kind in (2, "fro")]
    history.append((epoch, *norms, state.entropy[0], state.heat_capacity[0]))
    if epoch in (0, 1, 7, 11, 13, 16, 25, 40, 100):
        print(f"epoch {epoch:3d}: ||W||_2 = {norms[0]:.3f}, T_eff = {1 / norms[0]:.4f}", end=", ")
        print("S = {:.2f}, C = {:.2f} nats".format(*history[-1][3:]))
epoch, spectral, frobenius, entropy, heat_capacity = np.transpose(history)
late, bias = epoch >= 11, np.asarray(snapshots[1].visible_bias, float)
pixels = np.sum(bias**2 * expit(bias) * expit(-bias))
warmed = enumeration.thermodynamics(rbm, spectral[late] / spectral[-1])  # (B7)
check(warmed.entropy[-1], entropy[-1], tolerance=1e-8)
print(f"C of 64 independent pixels with the biases of epoch 1: {pixels:.2f} nats")
print("S of the final model at T_eff of epochs 11 to 100:", warmed.entropy.round(1), "nats")

# %%
of = {int(number): row for number, *row in history}  # ||W||_2, Frobenius, S, C by epoch
check(of[1][3], pixels, tolerance=1e-2)  # C of independent pixels
assert (
    abs(of[0][2] - of[1][2] - 17) < 0.5 and of[0][3] < 0.1 and abs(of[1][0] / of[0][0] - 1) < 0.05
)
early = (epoch >= 1) & (epoch < 10)
assert np.ptp(entropy[early]) < 0.5 and np.ptp(heat_capacity[early]) < 0.5
assert of[11][0] < 4 < of[13][0] and 1.8 < of[25][3] / of[7][3] < 2.4
assert np.all(np.abs(heat_capacity[epoch >= 25] - 20) < 1) and of[100][0] / of[0][0] > 70

# %% name="training-cools" alt="Effective temperature falls from 9 to 0.12 in 100 epochs; C rises in steps to 20 nats; at equal temperature the warmed final model has more entropy than the one in training."
figure, axes = plt.subplots(1, 3, figsize=(10, 3.5))
axes[0].semilogy(epoch, 1 / spectral, "o-", ms=3, color=blue, label=r"$T_{\rm eff} = 1/\|W\|_2$")
axes[0].semilogy(epoch, 1 / frobenius, "o-", ms=3, color=green, label="1/Frobenius norm")
axes[0].axhline(0.25, color=grey, ls="--", lw=1)
label(axes[0], "Training cools", "epoch", "effective temperature (1/nats)")
axes[1].plot(epoch, heat_capacity, "o-", ms=3, color=orange)
label(axes[1], r"$C$ at $\beta = 1$", "epoch", "$C$ (nats)")
T_late = 1 / spectral[late]
assert np.all(warmed.entropy[:-1] > entropy[late][:-1]) and warmed.entropy[0] > entropy[late][0] + 3
axes[2].plot(T_late, entropy[late], "o-", ms=3, color=purple, label="in training")
axes[2].plot(T_late, warmed.entropy, "--", color=ink, label="final model, warmed")
label(axes[2], "Two ways to one temperature", r"$T_{\rm eff}$ (1/nats)", "$S$ (nats)")
axes[0].legend()
axes[2].legend(loc="lower right", handlelength=1.2)
plt.show()

# %% [markdown]
# Left: the machine cools by a factor of more than 70, in three acts.
#
# - *Epoch 1.* The library starts by giving each pixel the bias that its mean asks for. $S$ falls by
#   17 nats, and $C$ jumps from almost 0 to 9.5 nats, the heat capacity of 64
#   independent pixels. Yet $T_{\rm eff}$ has hardly changed: it knows nothing of biases.
# - *Epochs 1 to 9.* The weights grow, but
#   they are still too small to matter: $S$ and $C$ hardly change.
# - *Between epochs 11 and 13* $T_{\rm eff}$ falls below $\frac14$ (dashed), and from epoch 7 to epoch 25
#   $C$ doubles. After that the machine keeps on cooling, while
#   $C$ stays close to 20 nats. After 100 epochs $T_{\rm eff} \approx 0.12$.
#
# Right: is training *nothing but* cooling? Take the final model and warm it up, by (B7), until its $T_{\rm eff}$
# is that of
# each snapshot. At the same effective temperature it has more entropy than the machine had in
# training, several nats more at epoch 11 (printed above). One difference is in the biases: they were
# learned first, and warming the final model shrinks them as well.

# %% [markdown]
# ## 4. When it fails: the norm as a thermometer
#
# As a statement about the overall scale of *one* model, $T_{\rm eff}$ is exact (B7). As a thermometer for comparing
# models it fails, even without fields (2.1), and for any norm. In the extreme case, "all equal" and
# "one bond" are both of rank one, $W = \lambda\, u w^T$ with unit vectors $u$ and $w$. They have the
# same singular values, $\lambda$ and seven zeros, and therefore the same spectral norm, the same
# Frobenius norm, the same value of *every* norm that does not depend on the choice of axes.
#
# **Check against the exact result**: the heat capacity of both, and of the random kernel, against
# $T_{\rm eff}$.

# %% name="norms"
temperatures = np.linspace(0.04, 0.6, 141)
heat_curves = {}
for name, W in directions.items():
    norms = [np.linalg.norm(W, kind) for kind in (2, "fro", "nuc")]
    curve = enumeration.thermodynamics(without_fields(W), 1 / temperatures)  # (B7)
    heat_curves[name] = curve.heat_capacity
    top = np.argmax(curve.heat_capacity)
    print(f"{name:9s}: spectral, Frobenius, nuclear norm {np.round(norms, 3)}", end="; ")
    print(f"C <= {curve.heat_capacity[top]:.3f} nats, at T_eff = {temperatures[top]:.3f}")
equal, bond = (np.linalg.svd(directions[k])[1] for k in ("all equal", "one bond"))
check(equal, bond)  # all singular values, hence all such norms
assert np.max(heat_curves["all equal"] / heat_curves["one bond"]) > 10
check(heat_curves["one bond"], 1 / (4 * temperatures * np.cosh(0.25 / temperatures)) ** 2)
halved = enumeration.thermodynamics(Machine(kernel / 2, visible_bias, hidden_bias), [1])
check([halved.entropy[0], enumeration.thermodynamics(rbm, [0.5]).entropy[0]], [29.34, 40.64], 1e-3)

# %% name="one-norm" alt="C over effective temperature for three kernels of one norm: all equal peaks at 13 nats, random at 6, one bond below 0.5."
figure, axis = plt.subplots(figsize=(7, 3.2))
for (name, values), colour in zip(heat_curves.items(), (blue, orange, green), strict=True):
    axis.plot(temperatures, values, color=colour, label=name)
axis.axvline(0.25, color=grey, ls="--", lw=1, label="mean-field threshold")
label(axis, "One norm, three heat capacities", r"$T_{\rm eff}$ (1/nats)", "$C$ (nats)")
axis.legend()
plt.show()

# %% [markdown]
# At the same $T_{\rm eff}$ and the same norms the heat capacities can differ by a factor of ten and
# more. With all weights equal, 16 units order together, and $C$ has a high peak below the threshold,
# which moves up to it and becomes a true transition as the machine grows (exercise 2). A single bond
# has a broad bump that no threshold explains, the closed form
# $C = (\beta \lambda / 4)^2 / \cosh^2(\beta \lambda / 4)$ of exercise 1.
#
# Is the norm of the weights a temperature?
#
# - *Yes, exactly*, for the overall scale: all parameters times $s$ is $\beta = s$.
# - *Only with small biases*, for $W$ alone (chapter 12, section 2): half of $W$ has $S = 29.3$ nats, $\beta = \frac12$ 40.6.
# - *As a bound*: if $1/\|W\|_2 > \frac14$, naive mean field has one solution, whatever the biases.
# - *No*, as a thermometer that two machines can share, or one machine at two stages of training. What
#   a machine does at its temperature depends on the direction of $W$ and on the biases.

# %% [markdown]
# ## 5. The temperature that inference asks for
#
# So far the dial was ours to turn. There are problems in which one setting is right, and the
# energy there is known without any sum. The post ends with them: *spin glasses and Bayes-optimal
# inference*, and their *Nishimori line*.
#
# Take spins $s_i = \pm 1$ on a periodic square lattice. Somebody draws a state $s^*$, all states
# being equally likely, hides it, and shows us the bonds only, each with noise:
#
# $$P(J_{ij} | s^*) = \frac{e^{\beta_p J_{ij} s_i^* s_j^*}}{2 \cosh \beta_p} ,
#   \qquad J_{ij} = \pm 1 . \tag{5.1}$$
#
# A bond tells the truth about its two spins, $J_{ij} = s_i^* s_j^*$, with the odds $e^{2 \beta_p} : 1$.
# What do the bonds say about the spins? Bayes' rule, with a prior that is the same for all states, gives
#
# $$P(s | J) = \frac{1}{Z_J(\beta_p)}\, e^{-\beta_p E_J(s)} , \qquad
#   E_J(s) = -\sum_{(ij)} J_{ij} s_i s_j . \tag{5.2}$$
#
# *The posterior is a Boltzmann distribution, and its temperature is that of the noise.* Now the step that needs
# no calculation: given
# $J$, the planted state is *itself* a draw from (5.2). So a thermal state $s$ and the planted $s^*$
# have the same averages. With $[\cdot]$ for the average over the bonds, and (5.1) for the mean of
# $J_{ij} s_i^* s_j^*$,
#
# $$\big[ \langle -J_{ij} s_i s_j \rangle_{\beta_p} \big] = -[J_{ij} s_i^* s_j^*] = -\tanh \beta_p ,
#   \tag{B28}$$
#
# the exact energy of a bond on the line $\beta = \beta_p$ (the *Nishimori line*), on every
# lattice, below or above any phase transition. For Gaussian bonds of mean $J_0 s_i^* s_j^*$ and variance
# $D^2$ the likelihood is proportional to $e^{J_0 J_{ij} s_i^* s_j^* / D^2}$: the line is $\beta = J_0 /
# D^2$, and the energy is $-J_0$.
#
# For the library one more step. With $s_i \to s_i s_i^*$ and $J_{ij} \to J_{ij} s_i^* s_j^*$ (a *gauge
# transformation*) the energy stays, and $s^*$ becomes "all up", $P(J) \propto e^{\beta_p J}$.
#
# **Check against the exact result**: all $2^{12}$ choices of the bonds of a $3 \times 2$ lattice.

# %% name="nishimori"
bonds = np.array(list(itertools.product([-1.0, 1.0], repeat=12)))
right, down = bonds.reshape(-1, 2, 3, 2).transpose(1, 0, 2, 3)
glasses = ising.Ising(right, down, np.zeros_like(right))  # every one, planted with all spins up
for planted in (0.3, 0.7, 2.0):
    probability = np.exp(planted * bonds.sum(axis=1)) / (2 * math.cosh(planted)) ** 12  # (5.1)
    on, off = (probability @ ising.bond_energy(glasses, s * planted) for s in (1, 1 / 2))
    print(f"beta_p = {planted}: {on:.12f}, -tanh {-math.tanh(planted):.12f}", end="; ")
    print(f"at half of this beta {off:.4f}")
    check(on, -math.tanh(planted))
    assert abs(on - off) > 1e-3  # (B28)

# %% [markdown]
# **The wrong temperature.** Somebody who infers at another $\beta$ puts
# $P_\beta(s|J)$ in the place of the posterior. How well does it predict the hidden state?
#
# $$[\ln P_\beta(s^*|J)] = [-\beta E_J(s^*) - \ln Z_J(\beta)]
#   \le [\ln P_{\beta_p}(s^*|J)] , \tag{5.3}$$
#
# since the difference of the two sides is $\mathrm{KL}(P_{\beta_p} \| P_\beta)$, averaged over $J$,
# which is never negative. The derivative of the left-hand side with respect to $\beta$ is
# $[\langle E \rangle_\beta - E(s^*)]$. By (B28) it vanishes at $\beta_p$, and by (5.3) the left-hand side is
# largest there.

# %% name="planted"
glass = ising.planted_couplings(400, (4, 4), glass_beta, seed=seed)
planted_energy = -(glass.right + glass.down).sum(axis=(1, 2)) / 32  # per bond; s* is all up
energies, predictions = [], []
for beta in glass_betas:
    energies.append(ising.bond_energy(glass, beta))
    log_z = ising.Ising(*(beta * x for x in glass)).log_z()
    predictions.append((-beta * 32 * planted_energy - log_z) / 16)  # (5.3), per spin
energies, predictions = np.array(energies), np.array(predictions)
gap = ising.bond_energy(glass, glass_beta) - planted_energy
assert abs(gap.mean()) < 5 * gap.std() / math.sqrt(len(gap))
best = glass_betas[np.argmax(predictions.mean(axis=1))]
print(f"planted at beta = {glass_beta}; the best prediction is at {best:.2f}")
assert abs(best - glass_beta) <= 0.1

# %% name="right-temperature" alt="Over beta of the inference: the thermal energy of a bond falls and crosses the planted one at 0.7, where ln P of the hidden state has its maximum."
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2))
thermal = {"color": blue, "label": r"thermal $[\langle E \rangle_\beta]$"}
left.plot(glass_betas, energies.mean(axis=1), **thermal)
left.axhline(-math.tanh(glass_beta), color=orange, label=r"planted $-\tanh \beta_p$")
right.plot(glass_betas, predictions.mean(axis=1), color=blue)
for axis in (left, right):
    axis.axvline(glass_beta, color=grey, ls="--", lw=1)
label(left, "Energy of a bond", r"$\beta$ of the inference", "units of $J$")
label(right, r"$\ln P_\beta(s^*|J)$ per spin", r"$\beta$ of the inference", "nats")
left.legend()
plt.show()

# %% [markdown]
# Left of the dashed line ($\beta < \beta_p$) the thermal states are more disordered than the truth;
# right of it they are *colder* than the truth, and fit the noise of the bonds. That is overfitting,
# in the words of physics, and the dashed line is Bayes-optimal inference.

# %% [markdown]
# ## 6. Summary
#
# - Scaling all parameters is a temperature (B7), exactly, for one model.
# - $T_{\rm eff} = 1/\|W\|_2$ puts the ordering of naive mean field without fields at $\frac14$ (2.3). With
#   fields, there is one solution above it, and there may be more below. A jump from one to
#   another is the false transition of chapter 13.
# - Training cools the machine below $\frac14$, but it does more than that.
# - Two machines of equal norms can have heat capacities that differ tenfold.
# - Where data come from a known noise, inference has one right temperature, the noise's own. There the
#   hidden truth is itself a thermal state, and the energy is known without a sum (B28).
#   [Chapter 16](16_phases.ipynb) shows where that line runs among the phases.

# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **One bond.** Two units, $E = -\lambda\, (v - \frac12)(h - \frac12)$. Find $\ln Z$, $U$,
#    $S$ and $C$ by hand, check them against the library (mind the constant in (2.1); `by_hand`: all four in this
#    order at the inverse temperatures `tap_betas`, for $\lambda = 1.7$), and find the temperature at which $C$ is
#    largest (`T_best`, for $\lambda = 1$).
# 2. *(medium)* **A true transition.** $N$ visible and $N$ hidden units, without fields, with all weights
#    equal to $\lambda / N$. Only the numbers $k$ and $l$ of units that are on matter, so $Z$ is a sum of
#    $(N + 1)^2$ terms. Write a function `equal_weights(number, temperature)` that returns $C$ at $T_{\rm eff} =
#    1/\lambda$, and compute
#    $C / 2N$ for $N = 8, 32, 128, 512$. Where does the peak go? (A dictionary `tops`: from $N$ to its height and its
#    place.)
# 3. *(hard)* **What Onsager saw.** Repeat the argument of section 2 for TAP of order 2, whose equation is
#    $m_i = \sigma\big( \sum_j W_{ij} (n_j - \frac12) + (\frac12 - m_i) \sum_j W_{ij}^2 d_j \big)$.
#    Show that $m = \frac12$ becomes unstable where the matrix
#    $\frac14 W_{ij} / \sqrt{(1 + r_i)(1 + q_j)}$ has a singular value above 1, with
#    $r_i = \sum_j W_{ij}^2 / 16$ and $q_j = \sum_i W_{ij}^2 / 16$. For a large random $N \times N$ kernel
#    with weights of variance $g^2 / N$, whose largest singular value is $2 g$, compare both thresholds
#    (`naive_norms`, `tap_norms`: the largest singular values for $g = 1, 2, 3, 4, 6$).
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. Two states have energy -L/4 and two +L/4, so Z = 4 cosh(beta L / 4), U = -(L/4) tanh(beta L / 4)
# and C = (beta L / 4)^2 / cosh^2(beta L / 4). With x = beta L / 4, dC/dx = 0 is x tanh x = 1.
x = tap_betas * 1.7 / 4  # the energy in (B1) is L/4 higher than in (2.1)
log_4_cosh, tanh = np.log(4 * np.cosh(x)), np.tanh(x)
by_hand = log_4_cosh - x, 1.7 / 4 * (1 - tanh), log_4_cosh - x * tanh, (x / np.cosh(x)) ** 2
root = 1.0
for _ in range(200):
    root = 0.5 * (root + 1 / np.tanh(root))
T_best = 1 / (4 * root)
print(f"1. C is largest at beta L / 4 = {root:.4f}: T_eff = {T_best:.4f}", end=", ")
print(f"C = {(root / np.cosh(root)) ** 2:.4f} nats")
check(by_hand, enumeration.thermodynamics(without_fields(np.array([[1.7]])), tap_betas)[1:])
assert abs(T_best - temperatures[np.argmax(heat_curves["one bond"])]) < 0.004


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. The peak goes to 1/4, where mean field, exact for N to infinity, lets C / 2N jump from 0 to 3/2. It gets higher than
# that: there x = (2N)^(1/4) times the mean spin has p ~ exp(-a x^2/2 - x^4/12), and C / 2N = Var(x^2)/4 is up to 1.66.
def equal_weights(number, temperature):
    x, ways = np.arange(number + 1), [math.log(math.comb(number, k)) for k in range(number + 1)]
    energy = -np.outer(x - number / 2, x - number / 2) / number
    p = softmax(np.add.outer(ways, ways) - energy / temperature)
    return (np.sum(p * energy**2) - np.sum(p * energy) ** 2) / temperature**2


tops = {}
for N in (8, 32, 128, 512):
    tops[N] = max((equal_weights(N, T) / (2 * N), T) for T in np.linspace(0.15, 0.3, 151))
    print(f"2. N = {N:3d}: C / 2N is largest at T_eff = {tops[N][1]:.3f}: {tops[N][0]:.3f} nats")
check(tops[512], (1.506, 0.234), tolerance=2e-3)
check([equal_weights(8, one) for one in temperatures], heat_curves["all equal"], tolerance=1e-8)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Near m = n = 1/2, d = 1/4, so (1 + r) x = W y / 4 and (1 + q) y = W^T x / 4 with x = m - 1/2 and
# y = n - 1/2. Set x = x' / sqrt(1 + r), y = y' / sqrt(1 + q). For the random kernel r = q = g^2 / 16,
# and the singular value is (g / 2) / (1 + g^2 / 16). It reaches 1 at g = 4 only, since (1 - g/4)^2 >= 0:
# it touches and never crosses. Naive mean field orders at g = 2, at twice the temperature.
naive_norms, tap_norms = [], []
standard = np.random.default_rng(seed).normal(size=(400, 400)) / math.sqrt(400)
for g in (1.0, 2.0, 3.0, 4.0, 6.0):
    r, q = np.sum((g * standard) ** 2, axis=1) / 16, np.sum((g * standard) ** 2, axis=0) / 16
    tap_norms.append(np.linalg.norm(g * standard / 4 / np.sqrt(np.outer(1 + r, 1 + q)), 2))
    naive_norms.append(np.linalg.norm(g * standard, 2) / 4)
    print(f"3. g = {g}: naive {naive_norms[-1]:.3f} (theory {g / 2:.3f})", end=", ")
    print(f"TAP {tap_norms[-1]:.3f} (theory {g / 2 / (1 + g**2 / 16):.3f})")
check(naive_norms, [0.495, 0.989, 1.484, 1.978, 2.967], tolerance=0.02)
check(tap_norms, [0.465, 0.788, 0.942, 0.979, 0.901], tolerance=0.02)

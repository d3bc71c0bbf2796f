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
# # Chapter 31: Flows, and the volume that they count
#
# A mean-field posterior is too simple. One may correct what it says, as part VII does; one may also bend it, by pushing
# its draws through an invertible map, and keep account of how much the map stretches space. Hamilton's equations
# are such maps, and they stretch nothing: volume in phase space is conserved (Liouville). *Guess before you read
# on: if a map conserves volume, what can it never do to a distribution?*
#
# **What you will do**
#
# - derive the density behind an invertible map, and check it on a map of your own;
# - watch leapfrog steps shear a disc and conserve its area, and Euler's steps fail to;
# - train flows on a landscape with two wells whose $\ln Z$ is known, and get $\ln Z$ from imperfect ones;
# - close most of a gap of a VAE that no Gaussian posterior can close.
#
# **What you will learn**
#
# - that $\ln |\det|$ is a change of entropy, which Liouville's theorem sets to zero;
# - that the ratio of two partition functions is an average over *any* invertible map (Jarzynski);
# - that a good effective sample size proves nothing about a well that no draw has seen.
#
# **What you need**: chapters 18 and 22; chapter 8, section 3; chapter 9, section 2; chapter 27, section 4.
#
# **Time**: about 60 minutes, and 120 for the exercises. The code runs in half a minute.
#
# Numbers such as (B46) are rows of the table `EQUATIONS.md`. $M$ is an invertible map, $M'$ the matrix of its
# derivatives, and $w$ a weight as in chapter 8.

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

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from keras import ops
from scipy import optimize

from rbm_tf.course import check, label, trained
from vae_keras import VAE, evidence, parts

# %%
seed = 0
num_draws = 4000  # of each side, in sections 3 to 5
start_beta = 0.1  # inverse temperature at which training begins
retrain = bool(os.environ.get("RETRAIN"))  # True: train all flows here, some minutes
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 88}])
ink = plt.rcParams["text.color"]


# %%
def base(num_rows, dim=2, mean=0.0, log_var=0.0):  # the statistics of the Gaussian that is moved
    return ops.full((num_rows, dim), mean), ops.full((num_rows, dim), log_var)


def harmonic(z):  # the energy of N(0, I)
    return 0.5 * ops.sum(z**2, -1)


# %% [markdown]
# ## 1. The density behind a map
#
# Draw $z$ from a density $q_0$ and move it to $y = M(z)$. A small box of volume $dz$ around $z$ becomes a small
# parallelepiped around $y$, and its volume is $dy = |\det M'(z)|\, dz$, because $M$ is linear on small
# scales. The draws in the box are the same before and after, $q(y)\, dy = q_0(z)\, dz$. Therefore
#
# $$\boxed{\; \ln q(y) = \ln q_0(z) - \ln |\det M'(z)| , \qquad y = M(z) \;} \tag{B46}$$
#
# For a chain of maps the determinants multiply, so the logarithms add up. A determinant of $d$ rows takes $d^3$
# operations in general, but only $d$ where the matrix is triangular. A **coupling** (RealNVP) leaves one half $a$ of
# the variables alone, and scales and shifts the other half $b$,
#
# $$y_a = z_a , \qquad y_b = z_b\, e^{s(z_a)} + t(z_a) , \qquad \ln |\det M'| = \sum_{i \in b} s_i(z_a) , \tag{1.1}$$
#
# and the next step exchanges the halves. An **autoregressive** step scales and shifts each variable given all
# those before it,
#
# $$y_i = z_i\, e^{s_i(z_1 .. z_{i-1})} + t_i(z_1 .. z_{i-1}) , \qquad \ln |\det M'| = \sum_i s_i . \tag{1.2}$$
#
# In both, $s$ and $t$ are networks of any kind, because they are never inverted. A coupling is inverted at once; in
# (1.2) the variables have to be found one after another. `parts.Coupling`, `parts.Autoregressive` and a step of our
# own:


# %%
class Bend(parts.FlowStep):
    """(1.1) in the plane with s = z_1 / 2 and t = z_1^2."""

    def call(self, z, context=None):
        moved = z[:, 1] * ops.exp(z[:, 0] / 2) + z[:, 0] ** 2
        return ops.stack([z[:, 0], moved], -1), z[:, 0] / 2

    def inverse(self, y, context=None):
        back = (y[:, 1] - y[:, 0] ** 2) * ops.exp(-y[:, 0] / 2)
        return ops.stack([y[:, 0], back], -1), -y[:, 0] / 2


# %% [markdown]
# **Check against the exact result**: the determinant by automatic differentiation, and the integral of the
# density, which is 1 if stretching is counted correctly.

# %% name="bend"
z = tf.random.stateless_normal((50, 2), [seed, 0])
with tf.GradientTape() as tape:
    tape.watch(z)
    y, log_det = Bend().call(z)
check(np.linalg.slogdet(tape.batch_jacobian(y, z))[1], log_det, tolerance=1e-5)
sides = np.linspace(-6, 6, 241), np.linspace(-25, 60, 3401)
points = np.stack(np.meshgrid(*sides), -1).reshape(-1, 2).astype("float32")
density = np.exp(parts.Flow(parts.Gaussian(), [Bend()]).log_prob(base(len(points)), points))
total = density.sum(dtype=float) * (sides[0][1] - sides[0][0]) * (sides[1][1] - sides[1][0])
print(f"the density integrates to {total:.6f}")
check(total, 1.0, tolerance=1e-4)

# %% [markdown]
# ## 2. Liouville: a flow with nothing to count
#
# Let $z$ be a place, $r$ a momentum, and $H(z, r)$ a Hamiltonian. During a short time $dt$ Hamilton's equations
# map $(z, r)$ to $(z + dt\, \partial_r H,\; r - dt\, \partial_z H)$. To first order in $dt$ the determinant of
# this map is one plus $dt$ times the trace of the derivatives of the velocity, so that along the way
#
# $$\frac{d}{dt} \ln |\det M_t'| = \frac{\partial}{\partial z} \frac{\partial H}{\partial r}
#   - \frac{\partial}{\partial r} \frac{\partial H}{\partial z} = 0 . \tag{2.1}$$
#
# The volume of every region is conserved, however much its shape changes. This is Liouville's theorem.
# A computer takes finite steps, and for most integrators the theorem is lost. Chapter 27, (4.3), had the
# leapfrog for $H = E(z) + \frac12 r^2$. Each of its three moves changes one variable by a function
# of the other, like (1.1) with $s = 0$, and for *every* step size $\epsilon$
#
# $$\det \begin{pmatrix} 1 & 0 \\ -\frac\epsilon2 E'' & 1 \end{pmatrix}
#   \det \begin{pmatrix} 1 & \epsilon \\ 0 & 1 \end{pmatrix}
#   \det \begin{pmatrix} 1 & 0 \\ -\frac\epsilon2 E'' & 1 \end{pmatrix} = 1 . \tag{B47}$$
#
# Euler's method moves $z$ and $r$ at the same time, and has the determinant $1 + \epsilon^2 E''(z)$: it
# creates volume where the energy is convex, and destroys it where the energy is concave. *Guess: how much in fifty
# steps?*


# %%
def slope(z):
    """E' of the double well E(z) = (z^2 - 1)^2."""
    return 4 * z * (z**2 - 1)


def leapfrog(z, r, epsilon):
    r = r - epsilon / 2 * slope(z)
    z = z + epsilon * r
    return z, r - epsilon / 2 * slope(z)


def euler(z, r, epsilon):
    return z + epsilon * r, r - epsilon * slope(z)


# %%
def area(z, r):
    """The area inside a closed curve of points."""
    return 0.5 * abs(np.sum(z * np.roll(r, -1) - r * np.roll(z, -1)))


def followed(step, num_steps=50, epsilon=0.05):
    """The edge of a disc of radius 0.4, every ten steps."""
    angle = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    curves = [(-0.9 + 0.4 * np.cos(angle), 1.3 + 0.4 * np.sin(angle))]
    for _ in range(num_steps):
        curves.append(step(*curves[-1], epsilon))
    return curves[::10]


# %% name="liouville" alt="Two panels of place and momentum with level lines of H. A disc in the left well moves over the barrier and is drawn out to a thin bent strip through both wells. By leapfrog its area stays the same. By Euler's method the last strip reaches further out, and its area is 1.52 times that of the disc."
figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True)
mesh = np.meshgrid(np.linspace(-2, 2.2, 200), np.linspace(-2.6, 2.6, 200))
H, ratio = (mesh[0] ** 2 - 1) ** 2 + mesh[1] ** 2 / 2, {}
for axis, step in zip(axes, (leapfrog, euler), strict=True):
    curves = followed(step)
    ratio[step] = np.array([area(*curve) for curve in curves]) / area(*curves[0])
    axis.contour(*mesh, H, levels=[0.3, 1, 2, 3.5], colors=grey, linewidths=0.8)
    for number, colour in ((0, blue), (2, green), (5, orange)):
        axis.fill(*curves[number], color=colour, alpha=0.7, label=f"after {10 * number} steps")
    label(axis, f"{step.__name__}: area x {ratio[step][-1]:.2f}", "place z", "momentum r")
axes[1].legend(loc="upper right", fontsize=10)
plt.show()
check(ratio[leapfrog], 1.0, tolerance=1e-4)
assert ratio[euler].min() < 0.95 and ratio[euler][-1] > 1.4
assert abs(area(*followed(leapfrog, epsilon=0.3)[1]) / area(*curves[0]) - 1) < 1e-3

# %% [markdown]
# The leapfrog's strip is as large as the disc, with the coarser step 0.3 as well. Under Euler's method the area goes
# up and down by several per cent, and ends half as large again as it began.
#
# **The price of conservation.** Average (B46) over the draws. The entropy $S = -\langle \ln q \rangle$ of what a map
# makes is
#
# $$S(q) = S(q_0) + \langle \ln |\det M'| \rangle_{q_0} . \tag{2.2}$$
#
# This answers the guess: a map that conserves volume never changes an entropy. It cannot cool a distribution, and it
# cannot concentrate a wide Gaussian in two narrow wells (exercise 3). A flow lets volume change, and counts.
#
# %% [markdown]
# ## 3. Two wells
#
# A chain of $N$ sites, each of which prefers $z_i = \pm 1$, and neighbours which prefer to agree:
#
# $$E(z) = 3 \sum_{i=1}^N (z_i^2 - 1)^2 + \sum_{i=1}^{N-1} (z_{i+1} - z_i)^2 . \tag{3.1}$$
#
# Site by site, its $Z$ is $N$ integrals over a line, each on a grid:
#
# $$Z_1(z) = e^{-3 (z^2 - 1)^2} , \qquad
#   Z_{k+1}(z) = e^{-3 (z^2 - 1)^2} \int dz'\, e^{-(z - z')^2} Z_k(z') , \qquad Z = \int dz\, Z_N(z) . \tag{3.2}$$
#
# Run backwards, from the last site to the first, the same integrals give independent draws of $p = e^{-E} / Z$.


# %%
def energy(z):
    """(3.1), (..)."""
    links = ops.sum((z[..., 1:] - z[..., :-1]) ** 2, -1)
    return 3 * ops.sum((z**2 - 1) ** 2, -1) + links


grid = np.linspace(-3, 3, 601)
site, link = -3 * (grid**2 - 1) ** 2, -((grid[:, np.newaxis] - grid) ** 2)
messages = [site]  # ln Z_k on the grid, (3.2)
for _ in range(7):
    messages.append(site + np.logaddexp.reduce(messages[-1] + link, 1) + np.log(0.01))
exact = {n: np.logaddexp.reduce(messages[n - 1]) + np.log(0.01) for n in (2, 8)}


# %% name="exact"
def exact_draws(num_sites, rng):
    """Draws of p, (num_draws, num_sites), from the last site to the first."""
    z, factor = [], 0.0
    for message in messages[num_sites - 1 :: -1]:
        logits = message + factor
        place = np.argmax(logits + rng.gumbel(size=(num_draws, 601)), 1)
        factor = link[place]
        z.append(grid[place] + rng.uniform(-0.005, 0.005, num_draws))
    return np.stack(z[::-1], 1).astype("float32")


plane = np.stack(np.meshgrid(grid, grid), -1)
log_p = -energy(plane)
check(exact[2], np.logaddexp.reduce(log_p, (0, 1)) + 2 * np.log(0.01), tolerance=1e-8)
print({f"ln Z of {n} sites": round(value, 4) for n, value in exact.items()})

# %% [markdown]
# **The best Gaussian.** With $z = m + L u$ and standard Gaussian $u$ the order-1 free energy $F_1 = \langle E
# \rangle_q - S(q)$ ((B24) of chapter 9) is an integral that five nodes in each direction do exactly. We minimise it from two
# starts.


# %% name="gaussian"
nodes, node_weights = np.polynomial.hermite_e.hermegauss(5)
u = np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2)
u_weights = np.outer(node_weights, node_weights).ravel() / (2 * np.pi)


def order_one(x, energy=energy):  # for the mean (x_1, x_2) and the root [[e^x_3, 0], [x_5, e^x_4]]
    root = np.array([[np.exp(x[2]), 0], [x[4], np.exp(x[3])]])
    entropy = x[2] + x[3] + 1 + np.log(2 * np.pi)
    return u_weights @ np.asarray(energy(x[:2] + u @ root.T)) - entropy


fits = [optimize.minimize(order_one, x) for x in ([0, 0, 0, 0, 0], [1, 1, -1, -1, 0])]
gaps = [fit.fun + exact[2] for fit in fits]
print(f"F_1 - F: between the wells {gaps[0]:.3f}, in one well {gaps[1]:.3f} nats")
assert np.log(2) < gaps[1] < 1 and gaps[0] > 2

# %% [markdown]
# The better Gaussian lies in one well, 0.85 nats above $F$. Leaving out the other half of $p$ costs $\ln 2 = 0.69$ of them.
#
# **The flows.** Eight steps of either kind, trained on the same free energy, with draws of the flow. Such a
# sampler of $e^{-E} / Z$ is called a Boltzmann generator (Noé et al. 2019). Training begins at $\beta = 0.1$,
# where the wells are shallow, and reaches $\beta = 1$ half-way. (The flows come with the course.)


# %%
def new_flow(kind, dim):
    if kind == "coupling":
        steps = [parts.Coupling(dim, flip=k % 2 == 1, seed=k) for k in range(8)]
    else:
        steps = [parts.Autoregressive(dim, reverse=k % 2 == 1, seed=k) for k in range(8)]
    return parts.Flow(parts.Gaussian(), steps)


def one_step(flow, optimizer, start, noise, beta):
    """A step down the mean of beta E + ln q."""
    with tf.GradientTape() as tape:
        z, log_q = flow.draw(start, noise)
        loss = tf.reduce_mean(beta * energy(z) + log_q)
    optimizer.apply(tape.gradient(loss, flow.trainable_variables), flow.trainable_variables)
    return loss


# %%
def fit(flow, dim, begin=start_beta, num_steps=1500, **start):
    """Train the flow; the loss of each step."""
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, num_steps)
    optimizer, losses = keras.optimizers.Adam(schedule), []
    optimizer.build(flow.trainable_variables)
    step = tf.function(one_step)
    for number in range(num_steps):
        noise = tf.random.stateless_normal((256, dim), [seed, number])
        beta = tf.constant(min(1, begin + 2 * (1 - begin) * number / num_steps), tf.float32)
        losses.append(float(step(flow, optimizer, base(256, dim, **start), noise, beta)))
    return losses


# %% name="flows"
flows = {
    (kind, dim): new_flow(kind, dim) for kind in ("coupling", "autoregressive") for dim in (2, 8)
}
for (kind, dim), flow in flows.items():
    trained(flow, f"flows_{kind}_{dim}", lambda: fit(flow, dim), retrain=retrain)  # noqa: B023
    z, log_q = flow.draw(base(20_000, dim), tf.random.stateless_normal((20_000, dim), [seed, -1]))
    log_w = np.asarray(-energy(z) - log_q, float)
    gap, error = exact[dim] - log_w.mean(), log_w.std() / 20_000**0.5
    share = np.mean(np.asarray(z).mean(1) > 0)
    print(
        f"{kind:15s} {dim} sites: F_1 - F = {gap:.3f} +- {error:.3f} nats, {share:.1%} in one well"
    )
    assert abs(share - 0.5) < 0.1 and (gap < gaps[1] / 10 if dim == 2 else 0.4 < gap < 0.7)


# %%
def stretched(axis, moved):
    """A square grid, where the coupling flow takes it if `moved`, coloured by ln |det M'|."""
    fine = np.linspace(-2.4, 2.4, 121, dtype="float32")
    points = np.stack(np.meshgrid(fine, fine), -1)
    noise = points.reshape(-1, 2)
    y, log_q = flows["coupling", 2].draw(base(len(noise)), noise)
    log_det = -0.5 * np.sum(points**2, -1) - np.log(2 * np.pi) - np.reshape(log_q, (121, 121))
    x = np.reshape(y, (121, 121, 2)) if moved else points
    colours = {"cmap": "cividis", "vmin": -5, "vmax": 1, "shading": "gouraud", "rasterized": True}
    shown = axis.pcolormesh(x[..., 0], x[..., 1], log_det, **colours)
    for k in range(0, 121, 6):
        axis.plot(*x[k].T, *x[:, k].T, color="white", lw=0.5)
    return shown


# %% name="wells" alt="Three panels of the plane. First: level lines of the density, with two deep wells at (1, 1) and (-1, -1), and the ellipse of the best Gaussian in one of them. Second: a square grid, coloured by ln of the determinant: high along a band between two regions where it is low. Third: the same grid moved by the flow. It is drawn together in the two wells, and stretched between them."
figure, axes = plt.subplots(1, 3, figsize=(11, 3.7), layout="constrained")
for axis in axes[::2]:
    options = {"colors": ink, "linewidths": 0.8, "linestyles": "solid"}
    axis.contour(plane[..., 0], plane[..., 1], log_p, np.arange(-9, 0.1, 1.5), **options)
turn, x = np.linspace(0, 2 * np.pi, 100), fits[1].x
root = np.array([[np.exp(x[2]), 0], [x[4], np.exp(x[3])]])
axes[0].plot(*(x[:2, np.newaxis] + 2 * root @ [np.cos(turn), np.sin(turn)]), color=orange, lw=2.5)
stretched(axes[1], moved=False)
shown = stretched(axes[2], moved=True)
titles = r"$e^{-E}$ and the best Gaussian", "where the flow begins", "where it ends"
for axis, title in zip(axes, titles, strict=True):
    label(axis, title, "$z_1$", "$z_2$")
    axis.set(xlim=(-2.4, 2.4), ylim=(-2.4, 2.4), aspect="equal")
figure.colorbar(shown, ax=axes, shrink=0.75, label=r"$\ln |\det M'|$")
plt.show()

# %% [markdown]
# With two sites a flow closes more than nine tenths of the Gaussian's gap, and the kinds hardly differ. With
# eight sites 0.5 to 0.7 nats are left. One training each is no ranking. In the picture space is stretched where it
# is yellow, and compressed where it is blue.
#
# %% [markdown]
# ## 4. Exact, from an imperfect map
#
# A gap of half a nat need not mean an error of half a nat. Take any two energies $E_0$ and $E_1$ and any invertible
# map, and substitute $y = M(z)$ in $Z_1$:
#
# $$Z_1 = \int dy\, e^{-E_1(y)} = \int dz\, |\det M'(z)|\, e^{-E_1(M(z))} = \int dz\, e^{-E_0(z)}\, w(z) , \tag{4.1}$$
#
# $$\boxed{\; \frac{Z_1}{Z_0} = \langle w \rangle_0 = \frac{1}{\langle 1/w \rangle_1} , \qquad
#   \ln w = E_0(z) - E_1(M(z)) + \ln |\det M'(z)| \;} \tag{B48}$$
#
# In the second average $z = M^{-1}(y)$ belongs to a draw $y$ of $p_1$, and the proof is the same. This is
# *targeted* free-energy perturbation (Jarzynski 2002); $-\ln w$ has the part that the work has in chapter 20.
# Without a map it is importance sampling (chapter 8, section 3). By Jensen $\langle \ln w \rangle_0 \le \ln (Z_1 /
# Z_0)$, and the difference is the gap of section 3. Every map will do; a good one makes the variance of $\ln w$
# small, a perfect one makes it zero. A map that conserves volume has only the change of energy in $\ln w$, and if
# $Z_1 = Z_0$, too, (B48) is chapter 27, (4.4).
#
# **Two sides are better.** Let $q$ be the density that $M$ makes of $p_0$. By (B46), $p_1(y) = q(y)\, w\, Z_0 /
# Z_1$, and all points with the same $w$ have the same factor. So the densities of $x = \ln w$ on the two sides
# obey
#
# $$P_1(x) = P_0(x)\, e^{x - \ln (Z_1 / Z_0)} \tag{4.2}$$
#
# and cross where $x = \ln (Z_1 / Z_0)$. Chapter 9, section 2, makes the best estimate of it, Bennett's ratio (BAR).
# `targeted_log_z_ratio` returns all three. Here $E_1$ is the energy of eight sites, and $E_0 = \frac12 \|z\|^2$ with
# $\ln Z_0 = 4 \ln 2 \pi$. *Guess: how does it fare without a map?*


# %% name="targeted"
rng = np.random.default_rng(seed)
ends = rng.normal(size=(num_draws, 8)), exact_draws(8, rng)
maps = {"no map": [], **{kind: flows[kind, 8].steps for kind in ("coupling", "autoregressive")}}
ratios = {
    name: evidence.targeted_log_z_ratio(harmonic, energy, m, *ends) for name, m in maps.items()
}
exact_ratio = exact[8] - 4 * np.log(2 * np.pi)
print(f"ln Z_1 / Z_0, exact {exact_ratio:.3f} nats")
for name, found in ratios.items():
    print(f"{name:15s}", end="")
    for side, one in found._asdict().items():
        print(f"{side:>8s} {one.log_z:.3f} +- {one.standard_error:.3f}", end="")
    unseen = np.mean(found.reverse.log_weights > found.forward.log_weights.max())
    print(f"  unseen {unseen:.0%}")
assert exact_ratio - ratios["autoregressive"].forward.log_z > 0.15 and unseen > 0.12

# %% name="work" alt="Two panels with histograms of ln w. Without a map draws of p_0 spread over a hundred nats below the exact value, and those of p_1 lie up to sixteen nats above it. With the coupling flow both histograms lie within a few nats and cross at the exact ln Z_1/Z_0."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
for axis, name, window in zip(axes, ("no map", "coupling"), ((-150, 10), (-16, -5)), strict=True):
    options = {"bins": np.linspace(*window, 60), "density": True, "alpha": 0.6}
    for side, colour, one in zip("01", (blue, orange), ratios[name], strict=False):
        described = f"$P_{side}$, draws of $p_{side}$"
        axis.hist(one.log_weights, color=colour, label=described, **options)
    axis.axvline(exact_ratio, color=ink, ls="--", label=r"exact $\ln Z_1 / Z_0$")
    label(axis, name, r"$\ln w$, nats", "density")
axes[0].legend(loc="upper left", fontsize=10)
plt.show()
assert all(abs(one.log_z - exact_ratio) > 1 for one in ratios["no map"][:2])  # either side alone
bars = [found.bar for found in ratios.values()]
assert all(abs(bar.log_z - exact_ratio) < 5 * bar.standard_error for bar in bars)
assert bars[0].standard_error > 7 * max(bar.standard_error for bar in bars[1:])

# %% [markdown]
# Even without a map Bennett's ratio is right within its error of 0.1 nats, because the tails of the two histograms meet. Either
# side alone is off by more than a nat in this run. With a flow the error of BAR is ten times smaller, which would take a
# hundred times as many draws. The price is 384,000 evaluations of the energy in training.
#
# With these draws the forward estimate of the autoregressive flow is 0.19 nats too low, nearly seven standard errors;
# with five other sets it was off by 0.03 to 0.15. The last column says what it lacks: 15% of $p_1$ lies where $w$ is larger than at any of the 4,000 forward draws.
# By (4.2) the same share of $Z_1$ is missing from the average.
#
# %% [markdown]
# ## 5. What fails: half of the world
#
# The same coupling flow for two sites, begun as a narrow Gaussian in one well and trained at $\beta = 1$ throughout.


# %% name="half"
narrow, inside = new_flow("coupling", 2), {"mean": 1.0, "log_var": -3.0}
trained(narrow, "flows_narrow", lambda: fit(narrow, 2, begin=1.0, **inside), retrain=retrain)


def narrow_energy(z):
    return 0.5 * np.exp(3) * ops.sum((z - 1) ** 2, -1)


starts = 1 + np.exp(-1.5) * rng.normal(size=(num_draws, 2))
draws = exact_draws(2, rng)
sides = {"draws of both wells": draws, "draws of one well": draws[draws.mean(1) > 0]}
known = np.log(2 * np.pi) - 3  # ln Z_0
shallow = np.exp(log_p - exact[2])[np.prod(plane, -1) < 0].sum() * 0.01**2  # (1, -1) and (-1, 1)
alone = exact[2] + np.log((1 - shallow) / 2)  # of one deep well
print(f"exact ln Z = {exact[2]:.3f}, of one deep well {alone:.3f}; in shallow ones {shallow:.1%}")

# %% name="fooled"
halves = {}
for name, ends in sides.items():
    found = evidence.targeted_log_z_ratio(narrow_energy, energy, narrow.steps, starts, ends)
    halves[name] = found
    print(f"{name}:", end="")
    for side, one in found._asdict().items():
        print(f"{side:>9s} {one.log_z + known:.3f} +- {one.standard_error:.3f}", end="")
    print()
forward = halves["draws of one well"].forward
share = forward.effective_sample_size / num_draws
print(f"effective sample size {share:.0%} of the draws")
both, one_well = (np.array([one.log_z + known for one in found]) for found in halves.values())
assert abs(both[0] - alone) < 5 * forward.standard_error < 0.1 and share > 0.4
assert np.all(np.abs(both[1:] - exact[2]) < 0.1)
assert np.all(np.abs(one_well - (exact[2] - np.log(2))) < 0.1)

# %% [markdown]
# The forward estimate is 0.76 nats too low, with an error of 0.015 and an effective sample size of half the
# draws. None of these numbers speaks of another well. (It is the $\ln Z$ of one deep well: $\ln 2$ of the loss is the
# other one, and the rest are two shallow wells, at $(1, -1)$ and $(-1, 1)$, with 7 % of $p$.) Draws of $p_1$ from both wells reveal it: forward and
# reverse are 0.7 nats apart. The reverse estimate and BAR are right, because $\langle 1/w \rangle_1$ only needs
# $p_1$ to be positive wherever $q$ is.
#
# But draws of $p_1$ come from somewhere, as a rule from a chain, and a chain that never left the well gives the
# second line. Its three estimates agree to a tenth of a nat on $\ln Z - \ln 2$, that of one half of the plane.
# Chapter 9, section 6, has the same failure for annealing.
#
# %% [markdown]
# ## 6. The posterior of a VAE
#
# A decoder that knows only a product: $x = z_1 z_2 + 0.3\, \epsilon$ with $z \sim N(0, I)$. Whoever sees $x = 1$
# cannot tell whether both factors are positive or both negative. The evidence is an integral over the plane,
#
# $$p(x) = \int dz\, N(z; 0, I)\, N(x; z_1 z_2, 0.09) , \tag{6.1}$$
#
# so that the gap of every posterior is known. The decoder stays fixed. We train two encoders, one for a Gaussian
# $q(z|x)$ and one for a Gaussian that is moved by eight couplings, which are given features of $x$.


# %%
def product_vae(with_flow):
    keras.utils.set_random_seed(seed)
    x, z = keras.Input((1,)), keras.Input((2,))
    features = keras.layers.Dense(32, "relu")(keras.layers.Dense(64, "relu")(x))
    statistics, posterior = [keras.layers.Dense(2)(features) for _ in range(2)], parts.Gaussian()
    decoder = keras.Model(z, [z[:, :1] * z[:, 1:], 0 * z[:, :1] + float(np.log(0.09))])
    if with_flow:
        steps = [parts.Coupling(2, flip=k % 2 == 1, context_dim=32, seed=k) for k in range(8)]
        statistics, posterior = [statistics, features], parts.Flow(posterior, steps, context=True)
    encoder = keras.Model(x, statistics)
    return VAE(encoder, decoder, posterior=posterior, likelihood=parts.Gaussian(), seed=seed)


def fit_vae(vae):
    return vae.fit(x_train, batch_size=250, epochs=60, verbose=0).history["loss"]


# %% name="vae"
rng = np.random.default_rng(seed)
data = np.prod(rng.normal(size=(10_100, 2)), 1) + 0.3 * rng.normal(size=10_100)
x_train, x_test = data[:10_000, np.newaxis].astype("float32"), np.sort(data[10_000:])
z = np.stack(np.meshgrid(np.linspace(-5, 5, 251), np.linspace(-5, 5, 251)), -1)
log_prior = -0.5 * np.sum(z**2, -1) - np.log(2 * np.pi)
squares = (x_test[:, np.newaxis, np.newaxis] - z[..., 0] * z[..., 1]) ** 2
log_joint = log_prior - squares / 0.18 - 0.5 * np.log(2 * np.pi * 0.09)
log_evidence = np.logaddexp.reduce(log_joint, (1, 2)) + 2 * np.log(10 / 250)  # (6.1)
vaes, gap_of = {"Gaussian": product_vae(False), "flow": product_vae(True)}, {}
for name, vae in vaes.items():
    trained(vae, f"flows_vae_{name}", lambda: fit_vae(vae), retrain=retrain)  # noqa: B023
    log_w = vae.log_weights(x_test[:, np.newaxis].astype("float32"), 500, seed=1)
    gap_of[name] = log_evidence - np.asarray(log_w).mean(0)
    print(f"{name:9s} mean ln p(x) - ELBO = {gap_of[name].mean():.3f} nats")


# %% name="best"
def least_gap(x, log_evidence):  # ln p(x) less the best ELBO of all Gaussians
    def minus_log_joint(z):
        square = (x - z[..., 0] * z[..., 1]) ** 2 / 0.18
        return 0.5 * np.sum(z**2, -1) + square + 1.5 * np.log(2 * np.pi) + np.log(0.3)

    starts = [np.sign(x), 1, -1, -1, 0], [0, 0, 0, 0, 0]
    return log_evidence + min(optimize.minimize(order_one, s, minus_log_joint).fun for s in starts)


lowest = np.array([least_gap(*pair) for pair in zip(x_test[::9], log_evidence[::9], strict=True)])
print(f"of 12 of them: {lowest.mean():.3f} for the best Gaussian", end=", ")
print({name: round(float(gap[::9].mean()), 3) for name, gap in gap_of.items()})
assert np.all(lowest[:-1] > gap_of["flow"][::9][:-1]) and lowest[-1] < gap_of["flow"][-1]
assert abs(gap_of["Gaussian"].mean() - 0.8) < 0.05 and abs(gap_of["flow"].mean() - 0.12) < 0.03

# %% name="posterior" alt="Three panels. Left and middle: level lines of the exact posterior at x = 1, two curved arms; draws of the Gaussian fill one arm, draws of the flow both. Right: gap against x. The Gaussian rises from 0.2 at 0 to 1.9 nats, the best Gaussian stays at 0.94 beyond 1, the flow is below 0.5 from -2 to 2.5 and reaches 1.3 at the largest x."
figure, axes = plt.subplots(1, 3, figsize=(11, 3.7), layout="constrained")
one, levels = np.ones((400, 1), "float32"), (0.1, 0.3, 0.5, 0.7, 0.9)
shape = log_prior - (1 - z[..., 0] * z[..., 1]) ** 2 / 0.18
for axis, name in zip(axes, vaes, strict=False):
    axis.contour(*z.T, np.exp(shape - shape.max()).T, levels, colors=ink, linewidths=0.8)
    found = np.asarray(vaes[name].posterior(vaes[name].encoder(one))[0])
    axis.plot(*found.T, ".", ms=3, color=blue)
    label(axis, f"q(z|x = 1): {name}", "$z_1$", "$z_2$")
    axis.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), aspect="equal")
axes[2].plot(x_test[::9], lowest, "--", color=ink, label="best Gaussian")
for name, colour in zip(vaes, (orange, blue), strict=True):
    axes[2].plot(x_test, gap_of[name], "o", ms=4, color=colour, label=name)
label(axes[2], r"$\ln p(x)$ - ELBO", "x", "gap, nats")
axes[2].legend(loc="upper center", fontsize=10)
plt.show()

# %% [markdown]
# The Gaussian settles in one of the two arms. The flow fills both, with a few draws on a bridge between them. On
# average over 100 values of $x$ the gap is 0.8 nats with the one and 0.12 with the other. The encoder is not to
# blame for all of it: the dashed line is the best Gaussian with any covariance, found for each $x$ by itself, and
# up to $|x| = 2.7$ it lies above the flow. For the largest $x$, which are rare in training, the best Gaussian
# wins: there the flow leaves 1.3 nats.
#
# %% [markdown]
# ## 7. Summary
#
# - Behind an invertible map $\ln q$ falls by $\ln |\det M'|$ (B46). Triangular maps make that a sum.
# - The leapfrog is made of shears and conserves volume at any step size, as Hamilton's flow does (B47). Whatever
#   conserves volume conserves entropy. A flow changes both, and counts.
# - For every map $Z_1 / Z_0$ is an average of $w$ from either side (B48). Bennett's ratio of both needs no
#   perfect flow.
# - A one-sided error knows nothing of what its draws have not met, and two sides may share a blind spot.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **Entropy, counted.** Prove (2.2). Write `entropy(flow)` for two sites, by the mean of $\ln |\det
#    M'|$ from 20,000 draws, and compare with the entropy of $p$ on the grid.
# 2. *(medium)* **Friction.** After each leapfrog step let $r \leftarrow e^{-\gamma \epsilon} r$ with $\gamma =
#    0.4$. Which area does the disc have at time $t$? Show it, and write the step as `damped(z, r, epsilon)`.
# 3. *(hard)* **What conservation costs.** A flow of two sites begins as $N(0, I)$ and conserves volume. Show that
#    among all densities with its entropy $\langle E \rangle$ is least for $e^{-\beta E} / Z(\beta)$ at the
#    $\beta$ with that entropy, and compute the least possible $F_1 - F$ as `floor`.
# 4. *(to explore)* **Where to spend draws.** You may have 1,000 draws in all for the coupling flow of eight
#    sites. Which share of them, `best`, should come from $p_1$?
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. S(q) = -<ln q(y)> over y = M(z); put in (B46): -<ln q_0(z)> + <ln |det|> over z, which is (2.2).
def entropy(flow):
    noise = tf.random.stateless_normal((20_000, 2), [seed, 5])
    log_q = flow.draw(base(20_000), noise)[1]
    log_base = -0.5 * tf.reduce_sum(noise**2, -1) - np.log(2 * np.pi)
    return 1 + np.log(2 * np.pi) + float(tf.reduce_mean(log_base - log_q))


p = np.exp(log_p - exact[2])
exact_entropy = -np.sum(p * (log_p - exact[2])) * 0.01**2
found = [entropy(flows[kind, 2]) for kind in ("coupling", "autoregressive")]
print(f"1. S of N(0, I) 2.838, of the flows {np.round(found, 3)}, of p {exact_entropy:.3f} nats")
check(entropy(flows["coupling", 2]), 1.071, tolerance=0.04)
check(entropy(flows["autoregressive", 2]), 1.010, tolerance=0.04)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. The additional move has the determinant e^{-gamma epsilon}; all others have 1. At time t the area has
# shrunk by e^{-gamma t}, whatever the energy is.
def damped(z, r, epsilon):
    z, r = leapfrog(z, r, epsilon)
    return z, np.exp(-0.4 * epsilon) * r


shrunk = [area(*curve) / area(*followed(leapfrog)[0]) for curve in followed(damped)]
print(f"2. {np.round(shrunk, 4)}")
check(
    [area(*curve) / area(*followed(leapfrog)[0]) for curve in followed(damped)],
    np.exp(-0.4 * 0.05 * 10 * np.arange(6)),
    tolerance=1e-3,
)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. For every q the free energy at beta, beta <E>_q - S(q), is at least -ln Z(beta) (B16). At fixed S(q) that
# bounds <E>_q, and the Boltzmann distribution at beta attains it. So F_1 >= <E>_beta - S.
def at_beta(beta):
    """Mean energy and entropy of exp(-beta E) / Z(beta) on the grid."""
    log_density = beta * log_p - np.logaddexp.reduce(beta * log_p, (0, 1)) - 2 * np.log(0.01)
    density = np.exp(log_density) * 0.01**2
    return -np.sum(density * log_p), -np.sum(density * log_density)


# %% jupyter={"source_hidden": true} tags=["solution"]
S = 1 + np.log(2 * np.pi)  # of N(0, I)
beta = optimize.brentq(lambda beta: at_beta(beta)[1] - S, 0.01, 1)
floor = at_beta(beta)[0] - S + exact[2]
print(f"3. beta = {beta:.3f}: F_1 - F is at least {floor:.2f} nats; a Gaussian has {gaps[1]:.2f}")
assert order_one([0, 0, 0, 0, 0]) + exact[2] > floor > 5 * gaps[1]
check(floor, 6.51, tolerance=0.01)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. Root mean squared errors of BAR from 4 blocks of 1,000 draws, for several shares.
from rbm_tf.estimates import bennett, estimate_log_z

pair = ratios["coupling"].forward.log_weights, ratios["coupling"].reverse.log_weights
shares = np.array([0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99])


def mean_error(share):
    blocks, num = range(0, num_draws, 1000), round(1000 * share)
    sides = [(pair[0][k : k + 1000 - num], pair[1][k : k + num]) for k in blocks]
    both = [(estimate_log_z(up), estimate_log_z(down, reverse=True)) for up, down in sides]
    return np.sqrt(np.mean([bennett(*side).standard_error ** 2 for side in both]))


# %% jupyter={"source_hidden": true} tags=["solution"]
best = shares[np.argmin([mean_error(share) for share in shares])]
print("4.", {float(share): round(float(mean_error(share)), 4) for share in shares})
assert 0.2 <= best <= 0.8

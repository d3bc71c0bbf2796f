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
# # Chapter 4: Roads to ln Z
#
# Everything a restricted Boltzmann machine (RBM) says about its data goes through one number, $\ln
# Z$. Without it there is no likelihood, no comparison with a model of another kind, no early
# stopping worth the name. For a machine of useful size no sum gives it, and a century of statistical
# mechanics has found ways around the sum. This chapter walks them all, on one trained machine that
# is just small enough for the exact answer: every estimate can be compared with the truth, and so
# can every error bar.
#
# **What you will do**
#
# - train an RBM on small digits and sum its $Z$ exactly, over $2^{16}$ states;
# - estimate it by plain Monte Carlo, importance sampling, annealing, thermodynamic integration,
#   umbrella sampling, mean field, cumulants and TAP, after a short derivation of each;
# - draw a map of all of them: error against cost;
# - see a confident, wrong estimate, the test that exposes it, and one that no test exposes.
#
# **What you will learn**
#
# - why plain Monte Carlo fails exponentially in the number of units, and which divergence says so;
# - why a standard error may lie, and what the effective sample size and Pareto $\hat k$ add;
# - why annealing forward is below $\ln Z$ on average and annealing in reverse above it;
# - which road gives a bound, which an error bar, which neither.
#
# **What you need**: chapters 1 and 2, that is, derivatives of $\ln Z$ and the clamped free energy;
# Gibbs sweeps and why they leave $p(v)$ as it is (chapter 3, section 1); Jensen's inequality; and
# some Python, with this project installed (with pymbar and arviz-stats).
#
# **Time**: about two hours, and as much again for the exercises. The code takes about a minute.
#
# Equation numbers such as (B24) are the row names used in the whole course, in the library's
# docstrings and in the table `EQUATIONS.md`. Numbers such as (2.1) are steps on the way. Energies,
# free energies and $\ln Z$ are in nats, and $\beta = 1$ unless it is written.

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
import itertools

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from scipy import integrate, optimize, special

from rbm_tf import annealing, datasets, enumeration, mean_field, reweighting, tempering, umbrella
from rbm_tf.diagnostics import effective_sample_size, pareto_k
from rbm_tf.estimates import estimate_log_z, verdict
from rbm_tf.plotting import image_grid
from rbm_tf.rbm import BernoulliRBM

# %%
seed = 0
num_visible, num_hidden = 64, 16  # images of 8 x 8 pixels
epochs, batch_size = 60, 50
num_samples = 100_000  # of plain Monte Carlo and importance sampling
num_chains = 200  # of annealing
path_lengths = (3, 10, 30, 100, 300, 1000)  # steps of annealing
num_ladders = 20  # of parallel tempering
num_repeats = 4  # of every estimate on the map
scales = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0])  # of all parameters, section 7
blue, orange, green, purple, grey = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 88}])


# %%
def check(left, right, tolerance=1e-10):
    """Raise unless both are equal to the tolerance, relative above 1, absolute below."""
    np.testing.assert_allclose(*np.broadcast_arrays(left, right), rtol=tolerance, atol=tolerance)


def label(axis, title, xlabel, ylabel):
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)


# %%
def rbm_with(kernel, visible_bias, hidden_bias):
    """A float64 RBM with the given parameters."""
    rbm = BernoulliRBM(*np.shape(kernel), dtype="float64")
    rbm.kernel.assign(kernel)
    rbm.visible_bias.assign(visible_bias)
    rbm.hidden_bias.assign(hidden_bias)
    return rbm


def all_states(number):
    """All states of binary units, (2^number, number)."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=number)))


# %% [markdown]
# ## 1. One machine, one exact answer
#
# The states of an RBM, $v$ visible and $h$ hidden, all 0 or 1, have the probabilities
#
# $$p(v, h) = \frac{e^{-E(v, h)}}{Z} , \qquad Z = \sum_{v, h} e^{-E(v, h)} , \tag{B3}$$
#
# and chapter 2 summed one of the layers out. What is left for the data is
#
# $$\ln p(v) = -F_c(v) - \ln Z , \qquad F_c(v) = -a \cdot v - \sum_j \mathrm{softplus}(x_j) , \quad
#   x_j = b_j + \sum_i v_i W_{ij} . \tag{B5}$$
#
# $F_c$ takes one matrix product. $\ln Z$ is the trouble, and it matters: an error of one nat in
# $\ln Z$ is an error of one nat in the log likelihood of *every* image. If $\ln Z$ comes out too low,
# the model looks better than it is.
#
# Training does not need $\ln Z$. Contrastive divergence (B10) replaces the gradient of $\ln Z$ by a
# point estimate from a few Gibbs sweeps; as a derivative of $\ln Z$ it tells the slope where the
# machine stands and never the height, so CD by itself gives no $\ln Z$ and no likelihood. (Our
# machine is trained by its persistent form, chapter 3, section 4.)
#
# Our machine has 64 visible units for digits of $8 \times 8$ pixels and 16 hidden ones. The sum over
# both layers has $2^{80}$ terms. But the energy treats the layers alike, so the *visible* units can be
# summed out instead, which leaves $2^{16}$ terms, one for each hidden state:
#
# $$Z = \sum_h e^{-F_c(h)} , \qquad
#   -F_c(h) = b \cdot h + \sum_i \mathrm{softplus}\Big(a_i + \sum_j W_{ij} h_j\Big) . \tag{1.1}$$
#
# The same table gives *exact, independent samples* of the model, a luxury that large machines do not
# offer: draw $h$ from $p(h) = e^{-F_c(h)} / Z$, then $v$ from $p(v|h)$. We use them as the reference
# for what good samples are, and let Gibbs sampling fail on its own in section 10.
#
# **Check against the exact result**: our sum (1.1) against the library's.

# %%
(x_train, _), _ = datasets.load_digits("bernoulli", seed=seed)
x_train = x_train.reshape(len(x_train), -1)
trained = BernoulliRBM(num_visible, num_hidden, seed=seed)
num_batches = -(-len(x_train) // batch_size)
trained.compile(trained.optimizer, steps_per_execution=num_batches)
trained.fit(x_train, epochs=epochs, batch_size=batch_size, verbose=0)

rbm = rbm_with(*trained.trainable_variables)  # the same in float64
rbm.visible_offset.assign(trained.visible_offset)  # the data's pixel means
kernel, visible_bias, hidden_bias = (x.numpy() for x in rbm.trainable_variables)

# %%
hidden_states = all_states(num_hidden)  # (65536, 16)
visible_input = visible_bias + hidden_states @ kernel.T  # (65536, 64)
log_weight = hidden_states @ hidden_bias + np.logaddexp(0, visible_input).sum(axis=1)  # -F_c(h)
exact = special.logsumexp(log_weight)  # ln Z, (1.1)
check(exact, enumeration.log_z(rbm))

rng = np.random.default_rng(seed)


def exact_samples(number):
    """Independent draws of v from the model: h from its table, then v given h."""
    chosen = rng.choice(len(hidden_states), size=number, p=special.softmax(log_weight))
    return (rng.random((number, num_visible)) < special.expit(visible_input[chosen])).astype(float)


# %% name="machine" alt="Three grids of small pictures: 32 digits of 8 by 8 pixels, 32 exact samples of the model that look like digits or parts of them, and the weights of the 16 hidden units, dark and light patches on grey."
mean_likelihood = -np.mean(rbm.free_energy(x_train)) - exact  # (B5)
print(f"ln Z = {exact:.4f}, mean ln p(v) of the training digits {mean_likelihood:.3f} nats")
print(f"an independent model of 64 fair coins has {-num_visible * np.log(2):.3f} nats")

figure, axes = plt.subplots(1, 3, figsize=(10, 2.6))
pictures = (
    ("Training digits", x_train[:32]),
    ("Exact samples of the model", exact_samples(32)),
    ("The kernel by hidden unit (dark: high)", kernel.T),
)
for axis, (title, images) in zip(axes, pictures, strict=True):
    image_grid(axis, images.reshape(-1, 8, 8), columns=8 if len(images) > 16 else 6)
    axis.set_title(title)
plt.show()

# %% [markdown]
# ## 2. Plain Monte Carlo
#
# A sum is an average times the number of its terms. Toss a fair coin for each visible unit and
#
# $$Z = \sum_v e^{-F_c(v)} = 2^{V} \sum_v 2^{-V} e^{-F_c(v)}
#   = 2^{V} \big\langle e^{-F_c(v)} \big\rangle_{\rm coins} , \tag{2.1}$$
#
# with $V$ the number of visible units. An average over $n$ draws is unbiased for $Z$, and its relative
# variance is $\rho / n$, where $\rho$ belongs to a single draw. Let the coins be any proposal $q(v)$ with
# weights $w = e^{-F_c(v)} / q(v) = Z\, p(v) / q(v)$. Then $\langle w \rangle_q = Z$ and
#
# $$1 + \rho = \frac{\langle w^2 \rangle_q}{\langle w \rangle_q^2}
#   = \sum_v q(v) \left( \frac{p(v)}{q(v)} \right)^2 = \sum_v \frac{p(v)^2}{q(v)}
#   \equiv e^{D_2(p \| q)} . \tag{2.2}$$
#
# $D_2$ is the *Rényi divergence* of order 2. For two machines side by side, $p$ and $q$ are products,
# the sum (2.2) factorises, and $D_2$ *adds up*: for $N$ independent copies it is $N$ times that of
# one. The variance therefore grows like $e^{N D_2}$, and so does the number of samples needed. This is
# what "too high variance" means: not a large constant, but an exponential in the size.
#
# The usual measure is the *effective sample size* $\mathrm{ESS} = (\sum w)^2 / \sum w^2$. Both sums
# divided by $n$ tend to their averages, so by (2.2)
#
# $$\frac{\rm ESS}{n} \to \frac{\langle w \rangle_q^2}{\langle w^2 \rangle_q} = e^{-D_2(p \| q)} . \tag{2.3}$$
#
# **Check against the exact result.** A machine of 4 + 3 units, enumerated, and up to 10 copies of it
# in one block-diagonal kernel. The measured share follows the exponential law (2.3) as long as the
# draws contain the largest weights.

# %% name="size"
block = np.random.default_rng(seed)
one = block.normal(0, 1.5, (4, 3)), block.normal(0, 0.5, 4), block.normal(0, 0.5, 3)
four = all_states(4)
p_one = special.softmax(-rbm_with(*one).free_energy(four))
renyi_one = np.log(16 * np.sum(p_one**2))  # (2.2) with q = 1/16
copies, shares = np.arange(1, 11), []
for number in copies:
    many = rbm_with(np.kron(np.eye(number), one[0]), *(np.tile(x, number) for x in one[1:]))
    estimate = reweighting.monte_carlo(many, num_samples=num_samples, seed=seed)
    shares.append(estimate.effective_sample_size / num_samples)
    if number <= 2:  # the weights' second moment is measured well
        check(enumeration.log_z(many), number * enumeration.log_z(rbm_with(*one)))
        assert abs(shares[-1] * np.exp(number * renyi_one) - 1) < 0.1  # (2.3)
print(f"D_2 of one copy: {renyi_one:.3f} nats, of ten: {10 * renyi_one:.2f} nats")

# %% name="monte-carlo-and-size" alt="Effective share of the draws by number of copies, log scale. Ten dots follow a straight line from 0.5 down to about 0.001; from seven on most lie above it. A dashed line marks one effective draw."
plain = reweighting.monte_carlo(rbm, num_samples=num_samples, seed=seed + 1)
print(f"digits: ln Z = {plain.log_z:.3f} +- {plain.standard_error:.3f}, exact {exact:.3f}")
print(f"effective sample size {plain.effective_sample_size:.2f} of {num_samples}")
tenths = [estimate_log_z(x).log_z - exact for x in plain.log_weights.reshape(10, -1)]
print("errors of ten batches (nats):", np.sort(tenths).round(1))
check(effective_sample_size(plain.log_weights), plain.effective_sample_size)

figure, axis = plt.subplots(figsize=(7, 3.4))
axis.semilogy(copies, np.exp(-copies * renyi_one), color="black", lw=1, label="$e^{-N D_2}$, exact")
axis.semilogy(copies, shares, "o", color=blue, label=f"measured, {num_samples:,} draws")
axis.axhline(1 / num_samples, color=grey, ls="--", lw=1, label="ESS = 1")
label(axis, "Plain Monte Carlo and size", "independent copies $N$", "ESS / draws")
axis.legend()
plt.show()

# %%
assert plain.effective_sample_size < 3 and np.sum(np.array(tenths) < -1) >= 9
follow = shares * np.exp(copies * renyi_one)  # measured over exact shares
assert np.all(np.abs(follow[:6] - 1) < 0.3) and np.sum(follow[6:] > 1) >= 3

# %% [markdown]
# In the picture the measured points follow the exact line down to about $N = 6$ and then scatter, most
# of them above it: the ESS, too, is estimated from the draws, and flatters when the largest weights are
# not among them. On the digits one or two of the 100,000 carry everything. What comes out
# is a matter of luck, nearly always far too low, as the ten batches show, and the "standard error"
# is about 1 whenever a single weight dominates, however large the error.
#
# ## 3. Importance sampling
#
# Nothing in (2.2) asks for coins. The better $q$ resembles $p$, the better the estimate, and $q = p$
# would give $w = Z$ every time. What makes two distributions similar enough? Take the logarithm of
# $w = Z\, p / q$ and average, once over the samples that we have and once over those that we need:
#
# $$\langle \ln w \rangle_q = \ln Z - \mathrm{KL}(q \| p) , \qquad
#   \langle \ln w \rangle_p = \ln Z + \mathrm{KL}(p \| q) . \tag{3.1}$$
#
# The first is a variational bound, like that of section 7. It is tighter, because the hidden units have been
# summed out. It says that the weights of typical draws lie *below* $Z$, on a logarithmic scale. The second says
# which states make up the sum $Z = \sum_v q\, w$. The share of a state in it is $q\, w / Z = p$.
# So what must be drawn are states typical of $p$, and $\ln w$ of these lies $\mathrm{KL}(p \| q)$ *above* $\ln Z$.
# Since $q = Z p / w$, such states have a total probability of about $e^{-\mathrm{KL}(p \| q)}$ under
# $q$, and it takes
#
# $$n \gtrsim e^{\mathrm{KL}(p \| q)} \tag{3.2}$$
#
# draws to see them at all (Chatterjee and Diaconis, 2018), give or take in the exponent the spread of
# $\ln w$ under $p$. A *small* error bar needs $n \gg e^{D_2}$, and since $\mathrm{KL}(p \| q) \le
# D_2(p \| q)$ by Jensen, that can be very many more.
#
# **The choice of $q$.** Mean field (section 7) minimises the *other* divergence, $\mathrm{KL}(q \|
# p)$, of both layers together. That makes it settle on one digit-like mode and ignore the rest,
# which costs little in $\mathrm{KL}(q \| p)$ and a lot in $\mathrm{KL}(p \| q)$ (B13). (Below are
# the divergences of $v$ alone, and in both the pixel means happen to be the better.) The product of
# the data's pixel means does the opposite: among products it comes close to minimising
# $\mathrm{KL}(p \| q)$, because the minimum there is at the model's own means, and training made
# these similar.
#
# **Three numbers to print with an estimate**: the standard error, the ESS, and *Pareto* $\hat k$, the
# shape of the largest weights' tail. A tail $P(w > t) \sim t^{-1/k}$ has a variance only if
# $k < \frac12$, and no mean from any practical number of draws above $k \approx 0.7$. Beyond that, the
# true error depends on weights that have not been drawn yet, and the standard error knows only those
# that have.
#
# **Check against the exact result**: both divergences by (3.1), the second from exact samples of the
# model, neither of which may be negative, and how often the exact answer lies within 2 standard
# errors, over 400 repeats of 250 draws each.

# %%
point = mean_field.tap(rbm, order=1)  # naive mean field
proposals = {
    "fair coins": np.full(num_visible, 0.5),
    "mean field": np.clip(point.visible, 0.01, 0.99),
    "pixel means": np.clip(x_train.mean(0, dtype=float), 0.01, 0.99),
}
from_model = exact_samples(20_000)
minus_free_energy = -rbm.free_energy(from_model).numpy()
results, needed = {}, {}
for name, mean in proposals.items():
    results[name] = reweighting.importance_sampling(
        rbm, mean, num_samples=num_samples, seed=seed + 1
    )
    log_q = from_model @ np.log(mean) + (1 - from_model) @ np.log1p(-mean)
    needed[name] = minus_free_energy - log_q  # ln w of states typical of p

# %% name="proposals-table"
print("proposal     error     s.e.     ESS  k-hat   KL(q||p)  KL(p||q)  within 2 s.e.")
facts = {}
for name, result in results.items():
    reverse_kl, kl = exact - result.log_weights.mean(), needed[name].mean() - exact  # (3.1)
    error_of_kl = needed[name].std(ddof=1) / np.sqrt(len(from_model))
    assert reverse_kl > 0 and kl > -5 * error_of_kl  # a check of the two averages
    batches = estimate_log_z(result.log_weights.reshape(400, -1).T)  # 400 at once
    inside = np.mean(np.abs(batches.log_z - exact) < 2 * batches.standard_error)
    k_hat = pareto_k(result.log_weights)
    facts[name] = np.array([reverse_kl, kl, k_hat, -inside])
    print(f"{name:12s}{result.log_z - exact:+6.3f} {result.standard_error:8.3f}", end=" ")
    print(f"{result.effective_sample_size:7.0f} {k_hat:6.2f} {reverse_kl:9.2f} {kl:9.2f}", end=" ")
    print(f"{inside:13.1%}")

# %%
coins, fixed_point, pixels = facts.values()
assert np.all(pixels < fixed_point) and np.all(fixed_point < coins)  # better in all four
assert pixels[2] < 0.8 < fixed_point[2] and pixels[3] < -0.6  # k-hat, share within 2 s.e.

# %% name="proposals" alt="Histograms of log weights, drawn and needed. Fair coins: far apart, on either side of the exact value. Mean field: a sharp peak and a long needed tail to the right. Pixel means: large overlap."
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), sharey=True)
for axis, (name, result) in zip(axes, results.items(), strict=True):
    low = np.quantile(result.log_weights, 0.001)
    bins = np.linspace(low, max(needed[name].max(), exact + 5), 80)
    for values, colour, text in (
        (result.log_weights, blue, "$v$ from $q$"),
        (needed[name], orange, "$v$ from $p$"),
    ):
        axis.hist(values, bins, density=True, color=colour, alpha=0.6, label=text)
    axis.axvline(exact, color="black", lw=1.2, label="exact $\\ln Z$")
    label(axis, f"Proposal: {name}", "$\\ln w$ (nats)", "")
axes[0].set_ylabel("density (1/nat)")
axes[0].legend()
plt.show()

# %% [markdown]
# Blue is what is drawn, orange what is needed; a good proposal makes them overlap, around $\ln Z$.
# The coins never meet the orange region. Mean field is much closer and has two faces: most of its
# weights are not bad at all, and the orange tail on the far right, the digits that it has never heard
# of, carries the sum. Its $\hat k$ is clearly above 0.7, and the last column shows what the warning is
# worth: an interval that should hold the answer in 95 % of the cases does so in far fewer. The pixel
# means do best, with no optimisation at all, because they cover everything; but even they are at the
# limit of what a single step of reweighting can do.
#
# ## 4. Annealed importance sampling
#
# If $q$ and $p$ are too far apart, go in small steps. Put a path of unnormalised distributions
# $f_0, \dots, f_K$ between them, here
#
# $$f_k(v) = e^{-F_{\beta_k}(v)} , \qquad F_\beta(v) = -\big((1 - \beta)\, a_0 + \beta a\big) \cdot v
#   - \sum_j \mathrm{softplus}(\beta\, x_j) , \tag{4.1}$$
#
# from independent units with biases $a_0$ at $\beta = 0$, where $\ln Z_0$ is known and draws are
# free, to the RBM at $\beta = 1$. Draw $v_0$ from $f_0$. Then, for $k = 1, \dots, K$, first multiply
# the weight by the ratio at the *old* state, then move the state with a Gibbs sweep $T_k$ that leaves
# $f_k$ invariant:
#
# $$w_k = w_{k-1}\, \frac{f_k(v_{k-1})}{f_{k-1}(v_{k-1})} , \qquad v_k \sim T_k(\,\cdot\,|v_{k-1}) , \qquad
#   w_0 = Z_0 . \tag{4.2}$$
#
# **Unbiased, by induction.** Claim: for every function $\phi$ of the state,
#
# $$\mathbb{E}[\, w_k\, \phi(v_k) \,] = \sum_v f_k(v)\, \phi(v) . \tag{4.3}$$
#
# For $k = 0$ that is $Z_0$ times the average over $f_0 / Z_0$. Let it hold for $k - 1$ and insert
# (4.2); write $(T_k \phi)(v) = \sum_{v'} T_k(v'|v) \phi(v')$ for the mean of $\phi$ after the sweep:
#
# $$\mathbb{E}[\, w_k\, \phi(v_k) \,]
#   = \mathbb{E}\Big[ w_{k-1} \Big( \frac{f_k}{f_{k-1}}\, T_k \phi \Big)(v_{k-1}) \Big]
#   = \sum_v f_{k-1} \frac{f_k}{f_{k-1}}\, T_k \phi
#   = \sum_{v'} \Big( \sum_v f_k(v)\, T_k(v'|v) \Big) \phi(v') = \sum_{v'} f_k(v')\, \phi(v') . $$
#
# The last step is invariance. With $\phi = 1$: $\mathbb{E}[w_K] = Z$, *however short the path and
# however badly the chains mix*. Only the variance suffers.
#
# **Forward below, reverse above.** The logarithm is concave, so $\mathbb{E}[\ln w_K] \le \ln
# \mathbb{E}[w_K] = \ln Z$. Now walk back: start with a sample $v_K$ of the model and $r_K = 1$. For $k =
# K, \dots, 1$ put $r_{k-1} = r_k f_{k-1}(v_k) / f_k(v_k)$, then sweep with $T_{k-1}$ to get $v_{k-1}$. The
# same induction gives $\mathbb{E}[r_k\, \phi(v_k)] = \frac1Z \sum_v f_k(v)\, \phi(v)$, so that $1/w = r_0 /
# \sum_v f_0(v)$ has the mean $1/Z$, and Jensen now reads $\mathbb{E}[\ln w] \ge \ln Z$:
#
# $$\mathbb{E}[\ln w]_{\rm forward} \;\le\; \ln Z \;\le\; \mathbb{E}[\ln w]_{\rm reverse} . \tag{4.4}$$
#
# Two stochastic bounds, from below and above. The upper one needs honest samples of the model.
#
# **Check against the exact result.** On 6 + 4 units the expectations themselves can be computed: a
# sweep is a matrix of $64 \times 64$ probabilities. The vector $u_k(v)$, the average of $w_k$ if
# $v_k = v$ and of 0 otherwise, must be $f_k$ by (4.3), for each $k$, after any number of steps; and
# both sides of (4.4) follow from the chains' own distributions.

# %%
tiny_rng = np.random.default_rng(1)
tiny_kernel = tiny_rng.normal(0, 1.5, (6, 4))
tiny_a, tiny_b = tiny_rng.normal(0, 0.5, 6), tiny_rng.normal(0, 0.5, 4)
tiny_v, tiny_h = all_states(6), all_states(4)


def log_f(beta):  # (4.1) with a_0 = 0
    inputs = tiny_b + tiny_v @ tiny_kernel
    return beta * tiny_v @ tiny_a + np.logaddexp(0, beta * inputs).sum(axis=1)


def sweep_matrix(beta):  # [v, v']: T(v'|v)
    log_joint = beta * (tiny_v @ tiny_kernel @ tiny_h.T + (tiny_v @ tiny_a)[:, None])
    log_joint += beta * tiny_h @ tiny_b
    return special.softmax(log_joint, axis=1) @ special.softmax(log_joint, axis=0).T


# %%
def annealing_averages(betas):
    """E[ln w] of forward and reverse annealing, exactly; checks (4.3) on the way."""
    weighted = np.exp(log_f(0.0))  # u_0 = f_0
    up, down = special.softmax(log_f(0.0)), special.softmax(log_f(1.0))
    forward = reverse = special.logsumexp(log_f(0.0))
    for old, new in itertools.pairwise(betas):
        ratio, sweep = log_f(new) - log_f(old), sweep_matrix(new)
        forward, up = forward + up @ ratio, up @ sweep
        weighted = (weighted * np.exp(ratio)) @ sweep
        check(weighted, np.exp(log_f(new)))  # (4.3)
    for new, old in itertools.pairwise(betas[::-1]):
        reverse, down = reverse + down @ (log_f(new) - log_f(old)), down @ sweep_matrix(old)
    return forward, reverse


# %% name="exact-annealing"
tiny_log_z = enumeration.log_z(rbm_with(tiny_kernel, tiny_a, tiny_b))
tiny_steps = np.array([1, 2, 5, 10, 20, 50, 100, 200])
averages = np.array([annealing_averages(np.linspace(0, 1, k + 1)) for k in tiny_steps])
below, above = (tiny_log_z - averages[:, 0]), (averages[:, 1] - tiny_log_z)
assert np.all(below > 0) and np.all(above > 0)  # (4.4)
for k, low, high in zip(tiny_steps, below, above, strict=True):
    print(f"{k:3d} steps: forward {-low:+.5f}, reverse {high:+.5f} nats")
print(f"ten times the steps, the gap shrinks by a factor of {below[3] / below[6]:.2f}")

# %% [markdown]
# A chain's mean $\ln w$ is off by an amount that falls as one over the number of steps, from both
# sides. (The estimate itself, $\ln$ of the *mean* weight, is much closer.) Now the digits, with
# exact samples for the reverse walk, and the library's `ais` and `reverse_ais`. `base="data"`, the
# default, puts $a_0$ at the pixel means, the best proposal of section 3. `verdict` accepts a gap within
# 3 of its standard errors and below 1 nat; at 30 steps it only just does. It calls two walks that
# agree no proof; section 10 says why, and what a third one adds.

# %% name="annealing-log"
model_samples = exact_samples(num_chains)
annealed = {}
for steps in path_lengths:
    betas = np.linspace(0, 1, steps + 1)
    forward = annealing.ais(rbm, num_chains=num_chains, betas=betas, seed=seed)
    reverse = annealing.reverse_ais(rbm, model_samples, betas=betas, seed=seed + 1)
    annealed[steps] = forward, reverse
    print(
        f"{steps:5d} steps: forward {forward.log_z - exact:+.4f} +- {forward.standard_error:.4f}, "
    )
    print(f"{'':13}reverse {reverse.log_z - exact:+.4f} +- {reverse.standard_error:.4f}. ", end="")
    print(verdict(forward, reverse).message)

# %%
for estimate in annealed[1000]:
    assert abs(estimate.log_z - exact) < 5 * estimate.standard_error
for forward, reverse in annealed.values():  # (4.4), for the mean log-weights
    se = [x.log_weights.std(ddof=1) / np.sqrt(num_chains) for x in (forward, reverse)]
    assert forward.log_weights.mean() < exact + 5 * se[0]
    assert reverse.log_weights.mean() > exact - 5 * se[1]

# %% name="annealing" alt="Left: distance of mean log weight from ln Z falls as one over the steps, forward and reverse alike. Right: log weights of the digits; forward below, reverse above, both closing on 0 at 1000 steps."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.5))
open_blue = {"color": blue, "ms": 10, "mfc": "none"}
axes[0].loglog(tiny_steps, below, "o-", label=r"$\ln Z - E[\ln w]$, forward", **open_blue)
axes[0].loglog(tiny_steps, above, "s-", color=orange, label=r"$E[\ln w] - \ln Z$, reverse")
axes[0].loglog(tiny_steps, below[-1] * 200 / tiny_steps, color="black", lw=1, label="1 / steps")
axes[0].legend()
label(axes[0], "6 + 4 units, exact averages", "steps", "distance from $\\ln Z$ (nats)")
for index, (colour, name) in enumerate(((blue, "forward"), (orange, "reverse"))):
    chosen = [pair[index].log_weights - exact for pair in annealed.values()]
    low, middle, high = np.quantile(chosen, [0.05, 0.5, 0.95], axis=1)
    axes[1].fill_between(path_lengths, low, high, color=colour, alpha=0.25)
    axes[1].semilogx(path_lengths, middle, "o-", color=colour, label=f"{name}: median, 90 %")
label(axes[1], "Digits: the chains' own log-weights", "steps", "$\\ln w - \\ln Z$ (nats)")
axes[1].legend()
plt.show()

# %% [markdown]
# **Where to put the steps.** One step of size $\delta$ at $\beta$ adds to $\ln w$ about $-\delta\,
# dF_\beta / d\beta$, whose standard deviation is $\delta\, \mathrm{sd}(\beta)$ with
# $\mathrm{sd}(\beta)^2$ the variance of $dF_\beta / d\beta$, the visible units' share of a heat
# capacity (B6). If the states of different steps are nearly independent, variances add, and for a
# given number of steps
#
# $$\sum_k \delta_k^2\, \mathrm{sd}_k^2 \ge \frac1K \Big( \sum_k \delta_k\, \mathrm{sd}_k \Big)^2
#   \approx \frac1K \Big( \int_0^1 \mathrm{sd}(\beta)\, d\beta \Big)^2 \tag{4.5}$$
#
# by the Cauchy-Schwarz inequality, with equality if all products $\delta_k\, \mathrm{sd}_k$ are the same:
# small steps where the path is restless. `choose_betas` measures sd in a pilot run and does that.

# %% name="chosen-steps"
print("base     steps   variance of ln w: equal steps, chosen steps")
variances = []
for base in ("data", "uniform"):
    for steps in (10, 100):
        chosen = annealing.choose_betas(rbm, num_betas=steps + 1, seed=seed, base=base)
        spread = [
            np.var(
                annealing.ais(rbm, num_chains=2000, betas=betas, seed=seed, base=base).log_weights,
                ddof=1,
            )
            for betas in (np.linspace(0, 1, steps + 1), chosen)
        ]
        variances.append(spread)
        print(f"{base:8s} {steps:5d} {spread[0]:26.4f} {spread[1]:14.4f}")

# %%
shrunk = np.divide(*np.transpose(variances))  # by the better path; each known to about 5 %
assert np.all(shrunk > 0.95) and 1.05 < shrunk.mean() < 1.6
assert np.all(np.divide(variances[2:], variances[:2]) > 6)  # by the better base

# %% [markdown]
# A better path helps a little, at the price of a pilot run; a better base helps a lot more, and is free.
#
# ## 5. Thermodynamic integration
#
# The derivative of $\ln Z$ is an average (B6). Along the path (4.1),
#
# $$\frac{d \ln Z}{d\beta} = \frac{1}{Z_\beta} \sum_v \frac{d}{d\beta} e^{-F_\beta(v)}
#   = -\Big\langle \frac{dF_\beta}{d\beta} \Big\rangle_\beta , \tag{5.1}$$
#
# and an average needs only samples, no $Z$. Integrate:
#
# $$\boxed{\; \ln Z(1) = \ln Z(0) - \int_0^1 \Big\langle \frac{dF_\beta}{d\beta} \Big\rangle_\beta d\beta
#   \;} \qquad \frac{dF_\beta}{d\beta} = -(a - a_0) \cdot v - \sum_j x_j\, \sigma(\beta x_j) , \tag{5.2}$$
#
# with the logistic function $\sigma(x) = 1 / (1 + e^{-x})$.
#
# In practice the integrand $g(\beta)$ is known at a few temperatures, and the trapezoid rule with step
# $s$ makes an error of its own, which no number of samples cures. On one interval, expand $g$ about
# the middle $c$: the integral is $s\, g(c) + \frac{s^3}{24} g''(c) + \dots$, the rule gives $s\, g(c) +
# \frac{s^3}{8} g''(c) + \dots$. The difference, summed over all intervals, is
# $\frac{s^2}{12} \int g''\, d\beta$:
#
# $$\text{bias of } \ln Z = -\frac{s^2}{12} \big[ g'(1) - g'(0) \big] + \mathcal{O}(s^4) . \tag{5.3}$$
#
# **Check against the exact result.** Each point of the path is itself an RBM, with the parameters
# $\beta W$, $(1 - \beta) a_0 + \beta a$ and $\beta b$. So $g$ can be had without any noise from the
# exact averages, $g(\beta) = -(a - a_0) \cdot \langle v \rangle - b \cdot \langle h \rangle - \sum_{ij}
# W_{ij} \langle v_i h_j \rangle$, and the bias can be seen alone.

# %%
base_mean = np.clip(rbm.visible_offset.numpy(), 0.01, 0.99)
base_bias = np.log(base_mean) - np.log1p(-base_mean)
base_log_z = num_hidden * np.log(2) - np.log1p(-base_mean).sum()


def mean_slope(beta):
    """<dF_beta/d beta> at beta, exactly, nats."""
    on_path = rbm_with(
        beta * kernel, (1 - beta) * base_bias + beta * visible_bias, beta * hidden_bias
    )
    mean = enumeration.moments(on_path)
    bonds = np.sum(kernel * mean.correlation)
    return -(visible_bias - base_bias) @ mean.visible - hidden_bias @ mean.hidden - bonds


# %% name="trapezoid-bias"
fine = np.linspace(0, 1, 33)
g = np.array([mean_slope(beta) for beta in fine])
strides = np.array([1, 2, 4, 8, 16, 32])
bias = np.array([base_log_z - integrate.trapezoid(g[::s], fine[::s]) - exact for s in strides])
ends = np.gradient(g, fine, edge_order=2)[[0, -1]]
predicted = -((strides / 32) ** 2) / 12 * (ends[1] - ends[0])  # (5.3)
for s, actual, expected in zip(strides, bias, predicted, strict=True):
    print(f"{32 // s:2d} intervals: bias {actual:+.5f}, predicted {expected:+.5f} nats")
assert np.all(np.abs(bias[1:3] / bias[:2] - 4) < 0.5)  # half the step, a quarter of the bias

# %%
windows = tempering.tempered_windows(
    rbm, betas=np.linspace(0, 1, 9), num_chains=num_ladders, seed=seed
)
estimate = umbrella.thermodynamic_integration(windows)
print(f"sampled, 8 intervals: {estimate.log_z - exact:+.4f} +- {estimate.standard_error:.4f} nats")
assert abs(estimate.log_z - exact - bias[2]) < 5 * estimate.standard_error

# %% name="integration" alt="Left: the integrand falls ever more steeply from -1 to -12 nats over beta; dots sampled at nine values lie on the exact curve. Right: bias of the trapezoid rule falls with the square of the step."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4))
axes[0].plot(fine, g, color="black", lw=1, label="exact")
sampled = windows.derivatives.mean(-1)  # (9, num_ladders)
error = sampled.std(1, ddof=1) / np.sqrt(num_ladders)
axes[0].errorbar(windows.betas, sampled.mean(1), 2 * error, fmt="o", color=blue, label="sampled")
axes[0].fill_between(fine, g, color=blue, alpha=0.12)
label(
    axes[0], "The integrand", r"inverse temperature $\beta$", r"$\langle dF/d\beta\rangle$ (nats)"
)
axes[1].loglog(strides / 32, np.abs(bias), "o", color=orange, label="trapezoid rule, no noise")
axes[1].loglog(strides / 32, np.abs(predicted), color="black", lw=1, label="(5.3)")
label(axes[1], "The bias of its integral", "step $s$", "absolute bias of $\\ln Z$ (nats)")
for axis in axes:
    axis.legend()
plt.show()

# %% [markdown]
# The bias has a known law and a sign: $g$ falls more and more steeply here, so the trapezoids lie below
# the curve, and by (5.2) $\ln Z$ comes out too high.
#
# ## 6. Umbrella sampling: Bennett's ratio
#
# Thermodynamic integration throws away how the samples of one *window* $\beta_k$ look under the next.
# Take two neighbouring windows, with $F_0$, $F_1$ for short, and any function $\alpha(v)$. Then
#
# $$Z_1 \langle \alpha\, e^{-F_0} \rangle_1 = \sum_v \alpha\, e^{-F_0 - F_1}
#   = Z_0 \langle \alpha\, e^{-F_1} \rangle_0 \quad\Longrightarrow\quad
#   \frac{Z_1}{Z_0} = \frac{\langle \alpha\, e^{-F_1} \rangle_0}{\langle \alpha\, e^{-F_0} \rangle_1} .
#   \tag{6.1}$$
#
# An exact identity for every $\alpha$, whose job it is to stress the states that *both* windows visit:
# the umbrella over the two. With $\alpha = e^{F_0}$ we are back at importance sampling,
# $Z_1 / Z_0 = \langle e^{F_0 - F_1} \rangle_0$, which is one-sided. Which $\alpha$ has the smallest
# variance? Let both windows have $n$ independent samples and abbreviate $p_k = e^{-F_k} / Z_k$. The
# relative variance of the ratio (6.1) is, up to a constant,
#
# $$\frac1n\, \frac{\sum \alpha^2 p_0\, p_1^2 + \sum \alpha^2 p_1\, p_0^2}{(\sum \alpha\, p_0\, p_1)^2}
#   = \frac1n\, \frac{\sum \alpha^2 p_0\, p_1 (p_0 + p_1)}{(\sum \alpha\, p_0\, p_1)^2} . \tag{6.2}$$
#
# By Cauchy-Schwarz, applied to $\alpha \sqrt{p_0 p_1 (p_0 + p_1)}$ and $\sqrt{p_0 p_1 / (p_0 + p_1)}$,
# it is least for $\alpha \propto 1 / (p_0 + p_1)$. Put that into (6.1), with $\Delta = -\ln(Z_1 / Z_0)$
# and the *work* $u(v) = F_1(v) - F_0(v)$. Then $\alpha\, e^{-F_1} \propto p_1 / (p_0 + p_1) =
# \sigma(\Delta - u)$, a Fermi function, and (6.1) becomes *Bennett's acceptance ratio* (BAR):
#
# $$\boxed{\; \big\langle \sigma(\Delta - u) \big\rangle_0 = \big\langle \sigma(u - \Delta) \big\rangle_1
#   \;} \tag{6.3}$$
#
# One equation in one unknown, increasing on the left and decreasing on the right, so with one
# solution. There is no step that must be small: no bias as in (5.3), if the windows overlap.
# *MBAR* is its many-state form: $\alpha \propto 1 / \sum_k p_k$ over all windows at once, and one
# coupled equation for each $Z_k$.
#
# **The windows** are sampled by *parallel tempering*: a Gibbs chain at each $\beta_k$, whose neighbours
# try to swap their states after each sweep, accepted with $\min(1, e^{F_k(v_k) + F_l(v_l) - F_k(v_l) -
# F_l(v_k)})$, so that each window keeps its distribution. A state that is stuck at $\beta = 1$ may
# diffuse to small $\beta$, change there and come back. A *ladder* is one chain in each window; ladders
# never meet, so that their spread is an honest error bar.
#
# **Check against the exact result**: (6.3) with a root finder, window by window, against the library.

# %%
forward_work, backward_work = tempering.work(windows.free_energies)  # u in 0, and -u in 1


def bennett(work_0, work_1):
    """The Delta that solves (6.3); work_0 = u in window 0, work_1 = -u in window 1."""

    def imbalance(delta):
        return special.expit(delta - work_0).mean() - special.expit(-work_1 - delta).mean()

    return optimize.brentq(imbalance, -100, 100, xtol=1e-12)


deltas = [bennett(*pair) for pair in zip(forward_work, backward_work, strict=True)]
by_hand, by_bar, by_mbar = base_log_z - sum(deltas), umbrella.bar(windows), umbrella.mbar(windows)
check(by_hand, by_bar.log_z, tolerance=1e-5)

# %% name="bennett"
one_sided = base_log_z + sum(special.logsumexp(-w) - np.log(w.size) for w in forward_work)
for name, value in (("BAR", by_bar), ("MBAR", by_mbar), ("integration", estimate)):
    print(f"{name:12s} error {value.log_z - exact:+.4f} +- {value.standard_error:.4f} nats")
print(f"{'one-sided':12s} error {one_sided - exact:+.4f} nats, the same samples")
print("swaps accepted:", windows.swap_acceptance.round(2))
assert all(abs(x.log_z - exact) < 5 * x.standard_error for x in (by_bar, by_mbar))

# %% [markdown]
# The three with an error bar are within two standard errors of the exact value, and the one-sided
# estimate lies among them. Neighbours are so close here (three swaps in four are accepted, or
# more) that one side does as well as two: what is left is the noise of the samples, which all share.
#
# ## 7. The deterministic roads: mean field, cumulants, TAP
#
# These average over no samples, and so they have no error bar. (The library iterates from ten starts,
# nine of them random, and keeps the lowest free energy.)
#
# **Naive mean field.** Choose a product $q(v, h)$ of independent units with means $m_i$ and $n_j$. By
# Jensen's inequality, $\ln Z = \ln \langle e^{-E} / q \rangle_q \ge -\langle E \rangle_q + S_q$, that is,
#
# $$F_1 = \langle E \rangle_q - S_q \ge -\ln Z , \qquad
#   F_1 + \ln Z = \mathrm{KL}(q \| p) . \tag{B24}$$
#
# The best $m$, $n$ make $F_1$ stationary: $m_i = \sigma(a_i + \sum_j W_{ij} n_j)$ and
# $n_j = \sigma(b_j + \sum_i m_i W_{ij})$, a fixed point to iterate. A true bound on $\ln Z$, from below.
#
# **Cumulants.** Order 1 is the first term of a series. With $V = E - E_q$ and $E_q = -\ln q$ exactly,
# $\ln Z = \ln \langle e^{-V} \rangle_q = -\langle V \rangle + \frac12 \langle\!\langle V^2 \rangle\!\rangle -
# \frac16 \langle\!\langle V^3 \rangle\!\rangle + \dots$ (chapter 1). At the mean-field point the second
# and third are sums over bonds (B26), with $c = m (1 - m)$ and $d = n (1 - n)$:
#
# $$F_3 = F_1 - \frac12 \sum_{ij} W_{ij}^2 c_i d_j
#   - \frac16 \sum_{ij} W_{ij}^3 c_i (1 - 2 m_i)\, d_j (1 - 2 n_j) . \tag{7.1}$$
#
# **TAP** (Thouless, Anderson, Palmer; Plefka) has the same two terms, but puts them *inside* before
# looking for the stationary $m$ and $n$: each unit then feels, besides its neighbours, the reaction of
# the neighbours to itself. Orders 2 and 3 of either kind bound nothing. Chapter 13 derives (B26) and
# shows where the two part.
#
# **Check against the exact result**: $F_1$ and (7.1) by hand, the bound, and the errors with all
# parameters multiplied by $s$, which is $\beta = s$ (B7), from a hot machine to ours.

# %%
m, n = point.visible, point.hidden
c, d = m * (1 - m), n * (1 - n)


def entropy(mean):
    return -np.sum(special.xlogy(mean, mean) + special.xlogy(1 - mean, 1 - mean))


mean_energy = -visible_bias @ m - hidden_bias @ n - m @ kernel @ n
f_1 = mean_energy - entropy(m) - entropy(n)  # (B24)
f_2 = f_1 - c @ kernel**2 @ d / 2
f_3 = f_2 - (c * (1 - 2 * m)) @ kernel**3 @ (d * (1 - 2 * n)) / 6  # (7.1)
check(f_1, point.free_energy)
assert f_1 > -exact + 2  # the bound (B24) is not tight
check([f_1, f_2, f_3], [mean_field.cumulant_free_energy(rbm, k) for k in (1, 2, 3)])

# %%
names = ("mean field", "cumulants 2", "cumulants 3", "TAP 2", "TAP 3")
error_of = {name: [] for name in names}
for s in scales:
    scaled = rbm_with(s * kernel, s * visible_bias, s * hidden_bias)
    solutions = [mean_field.tap(scaled, order=k) for k in (1, 2, 3)]
    cumulants = [float(mean_field.cumulant_free_energy(scaled, k)) for k in (2, 3)]
    values = [solutions[0].free_energy, *cumulants, *(x.free_energy for x in solutions[1:])]
    truth = enumeration.log_z(rbm, beta=s)  # (B7)
    assert solutions[0].free_energy >= -truth - 1e-9  # (B24)
    for name, value in zip(names, values, strict=True):
        error_of[name].append(-value - truth)
    if s == 1.0:
        print("converged:", [x.converged for x in solutions])

# %% name="deterministic-errors"
for name, errors in error_of.items():
    print(
        f"{name:12s} error of ln Z at s = 0.1: {errors[0]:+.2e}, at s = 1: {errors[-1]:+.3f} nats"
    )
first, last = np.abs([[errors[0], errors[-1]] for errors in error_of.values()]).T
power = [np.log(abs(e[1] / e[0])) / np.log(scales[1] / scales[0]) for e in error_of.values()]
print("powers of s between the two smallest scales:", np.round(power, 1))
assert abs(power[0] - 2) < 0.3 and np.all(np.abs(np.array(power[1:]) - 4) < 0.5)
assert np.all(np.abs(first[1:] / first[1] - 1) < 0.05) and last[0] > 2.5
assert last[3:].max() < 0.8 * last[1:3].min()  # TAP keeps more of its accuracy

# %% name="deterministic" alt="Error of ln Z by scale of all parameters, log-log. Mean field is highest, 0.04 to 3 nats. Cumulants and TAP of orders 2 and 3 start near 0.0002 and lie together up to 0.6; then TAP is lower."
figure, axis = plt.subplots(figsize=(7, 3.7))
palette, styles = (blue, orange, orange, green, green), ("o-", "s-", "^--", "s-", "^--")
looks = zip(palette, styles, (5, 11, 8, 6, 3), strict=True)
for (name, errors), (colour, style, size) in zip(error_of.items(), looks, strict=True):
    face = "none" if style == "s-" else colour  # open squares, lest one curve hides another
    axis.loglog(scales, np.abs(errors), style, color=colour, ms=size, mfc=face, label=name)
label(axis, "Deterministic roads", "scale $s$ of all parameters", r"$|$error of $\ln Z|$ (nats)")
axis.set_xticks(scales, [f"{s:g}" for s in scales])
axis.minorticks_off()
axis.legend()
plt.show()

# %% [markdown]
# The four curves of orders 2 and 3 lie on top of each other nearly all the way. At weak coupling
# order 2 gains two powers of $s$ over mean field. Order 3 adds almost nothing there: its
# term contains $1 - 2 m$ and $1 - 2 n$, which vanish themselves in a hot machine. At $s = 1$ the digits
# have made the machine commit itself to several modes, mean field knows one of them, and the
# series around that one cannot invent the others. TAP, with the reaction inside, keeps more of its
# accuracy than the cumulants at the fixed mean-field point.
#
# ## 8. Two machines: the ratio is easier
#
# Often the question is not how good a model is, but which of two is better. Their log likelihoods
# differ by $\langle F_c \rangle - \langle F'_c \rangle$, which is cheap, less $\ln Z' - \ln Z$, which is
# the same problem as before with another base: let the path run from one machine to the other. If the
# two are alike, the path is short, and all that made $\ln Z$ hard (structure, modes, size) cancels.
# Here we train the machine for one more epoch and compare `log_z_ratio` with the difference of two
# AIS runs of the same length.

# %%
later = BernoulliRBM(num_visible, num_hidden, seed=seed + 1)
later.set_weights(trained.get_weights())
later.fit(x_train, epochs=1, batch_size=batch_size, verbose=0)
later = rbm_with(*later.trainable_variables)
later.visible_offset.assign(trained.visible_offset)
true_ratio = enumeration.log_z(later) - exact

# %% name="ratio"
short = np.linspace(0, 1, 31)
ratio = annealing.log_z_ratio(rbm, model_samples, later, betas=short, seed=seed)
two = [
    annealing.ais(x, num_chains=num_chains, betas=short, seed=i) for i, x in enumerate((rbm, later))
]
difference, se = two[1].log_z - two[0].log_z, np.hypot(*(x.standard_error for x in two))
print(f"exact difference {true_ratio:+.5f} nats")
print(f"log_z_ratio      {ratio.log_z:+.5f} +- {ratio.standard_error:.5f} nats")
print(f"two AIS runs     {difference:+.5f} +- {se:.5f} nats")
assert abs(ratio.log_z - true_ratio) < 5 * ratio.standard_error
assert ratio.standard_error < se

# %% [markdown]
# ## 9. The map
#
# Now the roads at once, at several budgets. (Cumulants cost what mean field costs, and MBAR takes
# the samples of BAR: these two are in the table only.) Seconds depend on the computer, so the cost
# is counted in *row products*: one state vector times $W$. A clamped free energy takes one, a Gibbs
# sweep two, an iteration of order $k$ of mean field or TAP $2k$ per start, the exact sum $2^{16}$.
# The error is the root mean square over 4 repeats with different seeds, and so itself uncertain by
# about $1 / \sqrt{2 \cdot 4}$, or 35 %. Reverse annealing gets its exact samples for free here;
# elsewhere the sweeps that produce them have to be paid for.

# %%
road = {}  # name: (list of costs, list of root-mean-square errors)


def survey(name, cost, estimator):
    """Repeat an estimator, a function of the seed, and file its root-mean-square error."""
    squares = [(estimator(100 + repeat).log_z - exact) ** 2 for repeat in range(num_repeats)]
    costs, errors = road.setdefault(name, ([], []))
    costs.append(cost)
    errors.append(np.sqrt(np.mean(squares)))


# %%
for name, mean in proposals.items():
    for number in (100, 1000, 10_000, 50_000):
        survey(
            "plain Monte Carlo" if name == "fair coins" else f"importance, {name}",
            number + (name == "mean field") * 2 * 10 * point.num_iterations,
            lambda s, m=mean, n=number: reweighting.importance_sampling(
                rbm, m, num_samples=n, seed=s
            ),
        )

# %%
for steps in path_lengths:
    betas, cost = np.linspace(0, 1, steps + 1), 2 * steps * 100  # chains
    survey(
        "AIS forward", cost, lambda s, b=betas: annealing.ais(rbm, num_chains=100, betas=b, seed=s)
    )
    backward = exact_samples(100 * num_repeats).reshape(num_repeats, 100, -1)
    survey(
        "AIS reverse",
        cost,
        lambda s, b=betas, v=backward: annealing.reverse_ais(rbm, v[s - 100], betas=b, seed=s),
    )

# %%
ladder = np.linspace(0, 1, 9)
for sweeps in (10, 30, 100, 300):
    cost = 2 * len(ladder) * num_ladders * 2 * sweeps  # as many sweeps of burn-in
    options = {"num_chains": num_ladders, "num_steps": sweeps, "num_burn_in": sweeps}
    runs = [
        tempering.tempered_windows(rbm, betas=ladder, **options, seed=100 + repeat)
        for repeat in range(num_repeats)
    ]
    survey("integration", cost, lambda s, r=runs: umbrella.thermodynamic_integration(r[s - 100]))
    survey("umbrella, BAR", cost, lambda s, r=runs: umbrella.bar(r[s - 100]))

# %%
deterministic = {"mean field": point}
for k in (2, 3):
    deterministic[f"TAP {k}"] = mean_field.tap(rbm, order=k)
assert all(solution.converged for solution in deterministic.values())

# %% name="map" alt="Error by cost, log-log. Plain Monte Carlo stays near 10 nats. Annealing and umbrella sampling fall to about 0.01. Importance sampling stalls at 0.1. Mean field and TAP are single stars at 1 to 3 nats."
figure, axis = plt.subplots(figsize=(9.5, 5))
palette = (grey, purple, "#56B4E9", blue, orange, green, "#E69F00")
markers = "vDPos^x"
for (name, (costs, errors)), colour, marker in zip(road.items(), palette, markers, strict=True):
    axis.loglog(costs, errors, marker + "-", color=colour, ms=6, label=name)
for order, (name, solution) in enumerate(deterministic.items(), start=1):
    cost, error = 2 * order * 10 * solution.num_iterations, abs(-solution.free_energy - exact)
    axis.loglog(cost, error, "k*", ms=9)
    place = (14, -15) if order == 3 else (4, 7)
    axis.annotate(name, (cost, error), place, textcoords="offset points", ha="right")
axis.axvline(2**16, color="black", ls=":", label="exact sum, $2^{16}$")
label(axis, "All roads to $\\ln Z$ of the digits", "cost (row products)", "r.m.s. error (nats)")
axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %%
last = {name: errors[-1] for name, (_, errors) in road.items()}
best = [last[name] for name in ("AIS forward", "AIS reverse", "umbrella, BAR")]
assert min(road["plain Monte Carlo"][1]) > 3 and last["importance, mean field"] > 5 * max(best)
assert last["importance, pixel means"] > 0.03 and max(best) < 0.03  # s.e. of each: 35 %
assert min(abs(x.free_energy + exact) for x in deterministic.values()) > 1
for name in ("AIS forward", "AIS reverse", "umbrella, BAR"):
    slope = np.polyfit(*np.log(road[name]), 1)[0]
    print(f"{name:13s} error falls as cost to the power {slope:.2f}")
    assert -1 < slope < -0.25

# %%
rows = [("mean field", -f_1, None, "lower")]
rows += [(f"cumulants {k}", -f, None, "no") for k, f in ((2, f_2), (3, f_3))]
rows += [(f"TAP {k}", -deterministic[f"TAP {k}"].free_energy, None, "no") for k in (2, 3)]
sampled_rows = [
    ("plain Monte Carlo", results["fair coins"], "lower on average"),
    ("importance, mean field", results["mean field"], "lower on average"),
    ("importance, pixel means", results["pixel means"], "lower on average"),
    ("AIS forward", annealed[1000][0], "lower on average"),
    ("AIS reverse", annealed[1000][1], "upper on average"),
    ("integration", estimate, "no"),
    ("umbrella, BAR", by_bar, "no"),
    ("umbrella, MBAR", by_mbar, "no"),
]

# %% name="all-roads"
rows += [(name, x.log_z, x.standard_error, bound) for name, x, bound in sampled_rows]

print(f"{'road':26s}{'ln Z':>9s}{'s.e.':>8s}{'error':>9s}  bound")
print(f"{'exact sum':26s}{exact:9.3f}{'':8s}{0:+9.3f}")
for name, value, standard_error, bound in rows:
    bar_text = f"{standard_error:8.3f}" if standard_error is not None else f"{'none':>8s}"
    print(f"{name:26s}{value:9.3f}{bar_text}{value - exact:+9.3f}  {bound}")

# %% [markdown]
# Read the map from the lower left, cheap and accurate, to the upper right. Plain Monte Carlo stays
# at the top whatever is spent. Importance sampling from mean field stays far above the other sampled
# roads, too. From the pixel means it starts well and is overtaken by annealing: its $\hat k$ is near 0.7 (section 3),
# and rare large weights decide its error. The deterministic roads are single points (stars) that no budget moves; they pay here
# for ten starts and a tolerance near rounding. Annealing and the windows descend. Their error falls with powers of the
# cost (printed) that are not far from $-\frac12$, the power for independent samples.
# Integration is the exception: with these windows it cannot fall below its bias of 0.011 nats (5.3).
# To the right of the dotted line the exact sum would have been cheaper; every hidden unit more
# doubles it, though, and hardly moves the rest.
#
# *Lower on average* needs a comment. $\mathbb{E}[\hat Z] = Z$ gives $\mathbb{E}[\ln \hat Z] \le \ln Z$ by
# Jensen, so such roads err on the low side, and a likelihood computed with them errs on the *high*
# side (B5). And $\ln \hat Z > \ln Z + b$ has a probability of at most $e^{-b}$ (exercise 3).
#
# ## 10. When it fails: two modes
#
# A machine of 8 + 8 units, all couplings $J > 0$ and the biases $a = b = -4J$, is symmetric: turn
# over all units of both layers and the energy stays the same. Its two modes, $v = 0 \dots 0$ (white)
# and $v = 1 \dots 1$ (black), have the same weight, and a Gibbs chain that starts in one of them
# hardly ever leaves it.
#
# Suppose that the data are mostly white, so that the base has a pixel mean of 0.3, and that somebody
# who trusts Gibbs sampling has started all chains from the black image and run them for 100 sweeps. The
# chains look stationary, and they are, each within its mode. Reverse annealing takes them for samples
# of the model.

# %%
coupling = 1.5
bimodal = rbm_with(np.full((8, 8), coupling), np.full(8, -4 * coupling), np.full(8, -4 * coupling))
bimodal.visible_offset.assign(np.full(8, 0.3))  # the base: mostly white
images = all_states(8)
bimodal_log_z = enumeration.log_z(bimodal)
p_images = np.exp(-bimodal.free_energy(images).numpy() - bimodal_log_z)
check(p_images, p_images[::-1])  # turning all units over changes nothing
print(f"p(0..0) = {p_images[0]:.4f}, p(1..1) = {p_images[-1]:.4f}")

stuck = tf.ones((500, 8), tf.float64)
for sweep in range(100):
    stuck = bimodal.gibbs_step(stuck, seed=sweep)
tempered = tempering.tempered_sample(bimodal, 500, num_steps=500, seed=seed)
for name, sample in (("Gibbs", stuck), ("parallel tempering", tempered)):
    print(f"{name}: mean pixel {np.mean(sample):.3f}, exact {p_images @ images.mean(axis=1):.3f}")

# %% name="verdict"
betas = np.linspace(0, 1, 1001)
forward = annealing.ais(bimodal, num_chains=500, betas=betas, seed=seed)
wrong = annealing.reverse_ais(bimodal, stuck, betas=betas, seed=seed + 1)
right = annealing.reverse_ais(bimodal, tempered, betas=betas, seed=seed + 1)
for name, x in (("forward", forward), ("reverse, Gibbs", wrong), ("reverse, tempering", right)):
    print(f"{name:18s}: error {x.log_z - bimodal_log_z:+.3f} +- {x.standard_error:.3f}, ", end="")
    print(f"ESS {x.effective_sample_size:.0f} of 500")
other = annealing.ais(bimodal, num_chains=500, betas=betas, seed=seed + 2, base="uniform")
judged = [verdict(forward, reverse, other) for reverse in (wrong, right)]
print("Gibbs:    ", judged[0].message)
print("tempering:", judged[1].message)
assert wrong.log_z - bimodal_log_z > 5 * wrong.standard_error  # confident and wrong
assert not judged[0].trusted and judged[1].trusted
assert abs(right.log_z - bimodal_log_z) < 5 * right.standard_error

# %% [markdown]
# The reverse estimate alone looks splendid: a small error bar and a large ESS, and it is wrong by
# many times its error bar. $1/w$ is unbiased for samples *of the model*, half of them white. The
# base of 0.3 prefers the white mode, whose terms $1/w$ are therefore the large ones; the black
# samples hold only the small ones, $1/Z$ comes out too small and $\ln Z$ too large. Forward
# annealing starts elsewhere and does not share the mistake. `verdict` sees the gap and refuses.
# Parallel tempering lets the chains change mode at small $\beta$, finds both, and the two directions
# agree. So does a third estimate, forward from a uniform base, without which `verdict` trusts nothing.
#
# **What agreement does not see.** Now let both directions make the *same* mistake: a base that looks like the
# black mode, too.

# %% name="agreement"
both_black = [
    annealing.ais(bimodal, num_chains=500, betas=betas, seed=seed, base=np.full(8, 0.99)),
    annealing.reverse_ais(bimodal, stuck, betas=betas, seed=seed + 1, base=np.full(8, 0.99)),
]
for name, x in zip(("forward", "reverse"), both_black, strict=True):
    print(f"{name}: error {x.log_z - bimodal_log_z:+.3f} +- {x.standard_error:.3f} nats")
print(f"-ln 2 = {-np.log(2):.3f} nats.", verdict(*both_black).message)
exposed = verdict(*both_black, other)
print("With the uniform base:", exposed.message)
assert abs(exposed.signs["gap"]) < 0.01 and not exposed.trusted

# %% name="two-modes" alt="Log weights minus ln Z. Base 0.3: forward mostly at -0.7, reverse from stuck chains at +2, reverse from tempering at both. Base 0.99: forward and reverse in one bar at -0.7, ln 2 below the truth."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.2), sharey=True)
for axis, x, colour, name in (
    (axes[0], forward, blue, "forward"),
    (axes[0], wrong, orange, "reverse, Gibbs"),
    (axes[0], right, green, "reverse, tempering"),
    (axes[1], both_black[0], blue, "forward"),
    (axes[1], both_black[1], orange, "reverse, Gibbs"),
):
    look = {"histtype": "step", "lw": 2, "fill": colour == blue, "color": colour, "label": name}
    axis.hist(x.log_weights - bimodal_log_z, np.linspace(-4, 4, 60), **look)
for axis, base in zip(axes, ("0.3", "0.99"), strict=True):
    label(axis, f"Two modes, base mean {base}", r"$\ln w - \ln Z$ (nats)", "chains")
    axis.axvline(0, color="black", lw=1)
    axis.legend()
plt.show()

# %% [markdown]
# Both directions agree, and both are short by $\ln 2$: half of the probability is missing, and
# nobody has seen it. The forward weights are still unbiased, but the missing half sits in chains that start
# nearly white, which are so rare that 500 chains contain none, and the error bar does not know. (This
# base prefers black, so that the black samples now hold only the large
# terms $1/w$, and the error of the reverse walk has changed its sign.) Agreement is evidence only as
# far as the two ends of the path are independent. The uniform base is, and exposes them. Start from
# a broad base, compare several, and use samples that have had a chance to change mode; a mode that
# every start misses still does not show.
#
# ## 11. Roads for continuous variables
#
# The post that this course follows, Charles Martin's *Free Energies and Variational Inference*, also
# names roads for *continuous* variables: the Laplace approximation, Langevin and Hamiltonian
# dynamics, normalising flows, and variational inference with the reparameterisation trick. All of
# them need gradients with respect to the state, which binary units do not have; the chapters on
# variational autoencoders take them up, where the same identities (3.1) and (4.3) hold with
# integrals for sums; flows have [chapter 18](18_flows.ipynb). Windows with a bias of their own, as Torrie and Valleau
# had them, are in [chapter 19, section 7](19_fluctuation_theorems.ipynb).
#
# ## 12. Summary
#
# | road | idea | error bar | bound on $\ln Z$ | fails when |
# |:--|:--|:--|:--|:--|
# | plain Monte Carlo | (2.1) | lies | lower, on average | always, exponentially (2.2) |
# | importance sampling | $w = Z p / q$ | ESS, $\hat k$ | lower, on average | $n < e^{\mathrm{KL}(p \| q)}$ |
# | AIS forward | (4.2) | honest, with ESS | lower, on average | path too short |
# | AIS reverse | (4.2) backwards | honest, with good samples | upper, on average | samples miss a mode |
# | integration | (5.2) | over ladders, without the bias | none | steps too long (5.3) |
# | BAR, MBAR | (6.3) | over ladders | none | windows do not overlap |
# | mean field | (B24) | none | lower, always | several modes |
# | cumulants, TAP | (7.1), B26 | none | none | strong coupling |
#
# - The relative variance of one draw of plain Monte Carlo is $e^{D_2} - 1$, and divergences add up over
#   independent parts: the cost is exponential in the size.
# - A proposal must cover the model, $\mathrm{KL}(p \| q)$; mean field minimises the other divergence.
# - Annealed weights are unbiased for any path. Forward and reverse estimates bracket $\ln Z$ on average.
# - An error bar describes what has been sampled. Ask for two estimates that cannot share a mistake.
# - For two similar machines, estimate the ratio.
#
# ## Exercises
#
# 1. *(easy)* **Two values.** A weight is $w = 1/r$ with probability $r$, and 0 otherwise. Find $D_2$
#    (`divergence_2`, for $r = 10^{-4}$) and the probability that $n$ draws are all 0. How many `draws` make
#    that less than 1 %? Compare with $e^{D_2}$.
# 2. *(easy)* **No sweeps.** Leave out all Gibbs sweeps in (4.2). Show that the number of steps no longer
#    matters and AIS becomes importance sampling from the base; check it with the exact averages of
#    section 4 (`without_sweeps`: $\mathbb{E}[\ln w] - \ln Z$ for 1, 10 and 100 steps of the tiny machine).
# 3. *(medium)* **The other side of Jensen.** Show that $\ln \hat Z > \ln Z + b$ has at most the
#    probability $e^{-b}$ for every unbiased $\hat Z$. Check it with importance sampling from mean field,
#    in batches of 250 draws (`excess`: $\ln \hat Z - \ln Z$ of the 400 batches; `exceeding`: for $b$ = 0.0, 0.5,
#    1.0 and 2.0 the share of them that exceeds $b$).
# 4. *(medium)* **Simpson's rule.** Replace the trapezoid rule of section 5 by Simpson's. By which
#    factor should the bias shrink when the step is halved (`simpson_factor`)? (`simpson_bias`: for all
#    `strides` but the last.)
# 5. *(hard)* **Crooks.** For the forward weights of the tiny machine after a *single* step from
#    $f_0$ to $f_1$, let $P(\omega)$ be the distribution of $\omega = \ln w$ for $v \sim p_0$ and
#    $P'(\omega)$ the one for $v \sim p_1$. Derive $P'(\omega) / P(\omega) = e^{\omega - \ln Z}$ and
#    conclude that both histograms cross at $\omega = \ln Z$. Check it state by state (`omega`: of the 64 states;
#    `crossing`: the largest with $p_1 < p_0$ and the smallest with $p_1 > p_0$).
#
# The solutions are in the cells below, folded: click on one to open it.

# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. <w> = 1 and <w^2> = 1/r, so D_2 = ln(1/r). All n draws are 0 with probability (1 - r)^n, below
# 1 % for n > ln(0.01) / ln(1 - r), about 4.6 / r: a few times e^D_2.
r = 1e-4
divergence_2, draws = np.log(1 / r), np.ceil(np.log(0.01) / np.log1p(-r))
print(f"1. D_2 = {divergence_2:.3f} nats, e^D_2 = {1 / r:.0f}, draws needed: {draws:.0f}")
check(divergence_2, 9.21034, tolerance=1e-5)
assert (1 - 1e-4) ** draws < 0.01 < (1 - 1e-4) ** (draws - 1)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. Without sweeps v_k = v_0, and the product of ratios telescopes: w = Z_0 f_K(v_0) / f_0(v_0).
without_sweeps = {}  # E[ln w] - ln Z
for steps in (1, 10, 100):
    path = np.linspace(0, 1, steps + 1)
    log_w = special.logsumexp(log_f(0.0)) + sum(
        log_f(b) - log_f(a) for a, b in itertools.pairwise(path)
    )
    without_sweeps[steps] = special.softmax(log_f(0.0)) @ log_w - tiny_log_z
    print(f"2. {steps:3d} steps without sweeps: E[ln w] - ln Z", end=" = ")
    print(f"{without_sweeps[steps]:+.6f} nats")
# One step of AIS makes its only sweep too late to matter.
check([without_sweeps[number] for number in (1, 10, 100)], averages[0, 0] - tiny_log_z)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Markov: P(Zhat > e^b Z) <= E[Zhat] / (e^b Z) = e^-b.
batches = results["mean field"].log_weights.reshape(400, -1)
excess = special.logsumexp(batches, axis=1) - np.log(batches.shape[1]) - exact  # (400,)
exceeding = {b: np.mean(excess > b) for b in (0.0, 0.5, 1.0, 2.0)}
for b, share in exceeding.items():
    print(f"3. b = {b:.1f}: {share:.3f} of the batches exceed, bound {np.exp(-b):.3f}")
check(
    excess,
    [estimate_log_z(x).log_z - exact for x in np.split(results["mean field"].log_weights, 400)],
)
check([exceeding[x] for x in (0.0, 0.5, 1.0, 2.0)], (excess > [[0.0], [0.5], [1.0], [2.0]]).mean(1))
assert all(exceeding[x] <= np.exp(-x) + 5 * np.sqrt(np.exp(-x) / 400) for x in exceeding)


# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. Simpson's rule has an error of order s^4: half the step, one sixteenth of the bias.
def simpson(stride):
    values, step = g[::stride], fine[stride]
    return step / 3 * (values[0] + 4 * values[1:-1:2].sum() + 2 * values[2:-1:2].sum() + values[-1])


simpson_factor = 2**4
simpson_bias = [base_log_z - simpson(s) - exact for s in strides[:-1]]
for s, value, rule in zip(strides, simpson_bias, bias, strict=False):
    print(f"4. {32 // s:2d} intervals: Simpson {value:+.2e}, trapezoid {rule:+.2e}")
check(
    simpson_bias,
    [base_log_z - integrate.simpson(g[::k], x=fine[::k]) - exact for k in strides[:-1]],
)
assert abs(simpson_bias[1] / simpson_bias[0] - simpson_factor) < 0.5

# %% jupyter={"source_hidden": true} tags=["solution"]
# 5. omega(v) = ln(Z_0 f_1 / f_0) = ln Z + ln(p_1 / p_0), so p_1(v) = p_0(v) e^(omega(v) - ln Z) for
# every state. Summing over the states with the same omega gives the ratio of the histograms.
p_0, p_1 = special.softmax(log_f(0.0)), special.softmax(log_f(1.0))
omega = special.logsumexp(log_f(0.0)) + log_f(1.0) - log_f(0.0)
crossing = omega[p_1 < p_0].max(), omega[p_1 > p_0].min()
print(f"5. largest omega with p_1 < p_0: {crossing[0]:.4f}, smallest with p_1 > p_0:", end="")
print(f" {crossing[1]:.4f}, ln Z = {tiny_log_z:.4f}")
check(special.softmax(log_f(1.0)) / special.softmax(log_f(0.0)), np.exp(omega - tiny_log_z))
assert crossing[0] <= tiny_log_z <= crossing[1]
assert crossing[1] - crossing[0] < 0.2

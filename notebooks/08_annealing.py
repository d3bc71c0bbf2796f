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
# # Chapter 8: Annealing
#
# The probability that a restricted Boltzmann machine (RBM) gives to an image contains $\ln Z$, the
# logarithm of a sum over all states. Somebody estimates this sum by drawing 100,000 images at random
# and averaging. *Guess before you read on: for a machine with 784 pixels, how many of these draws
# matter?* And if one walks from noise to digits in small steps instead, must the walkers arrive in equilibrium?
#
# **What you will do**
#
# - sum the $Z$ of an RBM that was trained on MNIST's digits, exactly;
# - estimate it by plain Monte Carlo, importance sampling and annealing;
# - compare every estimate, and every error bar, with the truth.
#
# **What you will learn**
#
# - why plain Monte Carlo fails exponentially in the number of units, and which divergence says so;
# - why a standard error may lie, and what the effective sample size and Pareto $\hat k$ add;
# - why annealing forward is below $\ln Z$ on average, and annealing in reverse above it.
#
# **What you need**: the clamped free energy (chapter 3, section 2); Gibbs sweeps and why they leave
# $p(v)$ as it is (chapter 5, section 1); Jensen's inequality.
#
# **Time**: about 60 minutes, and 95 for the exercises. The code runs in less than a minute.
#
# Numbers such as (B5) are rows of the table `EQUATIONS.md`. Energies and free energies are in nats.

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
import os

import matplotlib.pyplot as plt
import numpy as np
from scipy import special

from rbm_tf import annealing, datasets, diagrams, enumeration, mean_field, plotting, reweighting
from rbm_tf.course import check, label, shipped
from rbm_tf.diagnostics import pareto_k
from rbm_tf.estimates import estimate_log_z, verdict
from rbm_tf.rbm import BernoulliRBM

# %%
seed = 0
num_visible, num_hidden = 784, 16  # images of 28 x 28 pixels
epochs, batch_size = 50, 50
num_samples = 100_000  # of plain Monte Carlo and importance sampling
num_chains = 200  # of annealing
path_lengths = (3, 10, 30, 100, 300, 1000)  # steps of annealing
retrain = bool(os.environ.get("RETRAIN"))  # True: train the machine here, half a minute
blue, orange, grey = "#0072B2", "#D55E00", "0.5"

plt.style.use(["rbm_tf.course", {"figure.dpi": 120}])
ink = plt.rcParams["text.color"]


# %%
def rbm_with(*parameters):  # kernel, visible and hidden bias
    return BernoulliRBM.from_parameters(*parameters, dtype="float64")


def all_states(number):  # of binary units, (2^number, number)
    return np.array(list(itertools.product([0.0, 1.0], repeat=number)))


# %% [markdown]
# **Part III: Roads to ln Z.** A Boltzmann machine can be trained without its $\ln Z$, but not
# judged: without it there is no likelihood. For a machine
# of useful size nobody can do the sum. Most ways around it share one idea: begin with a distribution
# $q$ whose sum is known, and go to the model $p$ in small steps, so that neighbours overlap. The picture
# shows it for one variable (its $\lambda$ is $\beta$ in section 4). Chapters 8 and 9 walk these
# roads on machines just small enough for the exact answer.

# %% name="small-steps" alt="Six densities in a row. The first is a Gaussian, q; from step to step two peaks grow out of it; the last one, p, has two sharp peaks of unequal height."
figure, axis = plt.subplots(figsize=(10, 2.2))
diagrams.lambda_path(axis)
plt.show()

# %% [markdown]
# ## 1. One machine, one exact answer
#
# The states of an RBM, $v$ visible and $h$ hidden, all 0 or 1, have the probability
#
# $$p(v, h) = \frac{e^{-E(v, h)}}{Z} , \qquad Z = \sum_{v, h} e^{-E(v, h)} , \tag{B3}$$
#
# and [chapter 3, section 2](03_rbm_free_energies.ipynb) summed one of the layers out. What is left for the data is
#
# $$\ln p(v) = -F_c(v) - \ln Z , \qquad F_c(v) = -a \cdot v - \sum_j \mathrm{softplus}(x_j) , \quad
#   x_j = b_j + \sum_i v_i W_{ij} . \tag{B5}$$
#
# $F_c$ takes one matrix product. $\ln Z$ is the trouble: an error of one nat in
# $\ln Z$ is an error of one nat in the log likelihood of *every* image. If $\ln Z$ comes out too low,
# the model looks better than it is. Contrastive divergence (B10) estimates the slope of $\ln Z$, never
# its height.
#
# Our machine has 784 visible units, for MNIST's digits of $28 \times 28$ pixels, and 16 hidden ones. It learnt
# 4,000 digits by persistent contrastive divergence (chapter 5, section 4), and comes with the course; `retrain = True`
# trains it here. The sum over both layers has $2^{800}$ terms. But the *visible* units can be summed out
# as well, which leaves one term for each of the $2^{16}$ hidden states:
#
# $$Z = \sum_h e^{-F_c(h)} , \qquad
#   -F_c(h) = b \cdot h + \sum_i \mathrm{softplus}\Big(a_i + \sum_j W_{ij} h_j\Big) . \tag{1.1}$$
#
# The same table gives *exact, independent samples* of the model, which large machines do not
# offer: draw $h$ from $p(h) = e^{-F_c(h)} / Z$, then $v$ from $p(v|h)$.
#
# **Check against the exact result**: (1.1) against the library's sum.

# %%
(x_train, _), _ = datasets.load_mnist_5k("bernoulli", seed=seed)
x_train = x_train.reshape(len(x_train), -1)  # (4000, 784)


def train():
    """The parameters after training, and the pixel means, which annealing starts from."""
    model = BernoulliRBM(num_visible, num_hidden, seed=seed)
    model.compile(model.optimizer, steps_per_execution=len(x_train) // batch_size)
    for rate in np.linspace(0.05, 0, epochs, endpoint=False):
        model.optimizer.learning_rate = rate
        model.fit(x_train, batch_size=batch_size, verbose=0)
    names = "kernel", "visible_bias", "hidden_bias", "visible_offset"
    return {name: getattr(model, name).numpy() for name in names}


# %%
*parameters, pixel_means = shipped("annealing_machine", train, retrain=retrain).values()
rbm = rbm_with(*parameters)
rbm.visible_offset.assign(pixel_means)
kernel, visible_bias, hidden_bias = (x.astype(float) for x in parameters)
rng, hidden_states = np.random.default_rng(seed), all_states(num_hidden)  # (65536, 16)
log_weight = []  # -F_c(h), in parts, which take less memory
for h in np.split(hidden_states, 64):
    log_weight.append(h @ hidden_bias + np.logaddexp(0, visible_bias + h @ kernel.T).sum(axis=1))
log_weight = np.concatenate(log_weight)  # (65536,)
exact = special.logsumexp(log_weight)  # ln Z, (1.1)
check(exact, enumeration.log_z(rbm))


# %%
def exact_hidden(number):  # independent draws of h, from its table
    return hidden_states[rng.choice(len(log_weight), size=number, p=special.softmax(log_weight))]


def exact_samples(number):  # and then of v given h
    on = rbm.visible_mean(exact_hidden(number)).numpy()  # p(v_i = 1|h), (number, 784)
    return (rng.random(on.shape) < on).astype(float)


mean_likelihood = -np.mean(rbm.free_energy(x_train)) - exact  # (B5)
print(f"ln Z = {exact:.4f}, mean ln p(v) of the training digits {mean_likelihood:.3f} nats")
independent = -special.entr([pixel_means, 1 - pixel_means]).sum()  # nats
print(f"784 fair coins: {-num_visible * np.log(2):.3f} nats", end=", ")
print(f"independent pixels with the data's means: {independent:.3f} nats")
assert mean_likelihood > independent + 40

# %% name="machine" alt="Four grids of 16 pictures: digits of 28 by 28 pixels; exact samples of the model, grainy; the same in grey, smooth strokes that look like digits or parts of them; and the weights of the hidden units, dark and light strokes on grey."
on = rbm.visible_mean(exact_hidden(16)).numpy()
pictures = {
    "Training digits": x_train[:16],
    "Exact samples": rng.random(on.shape) < on,
    "The same, $p(v_i = 1|h)$": on,
    "Kernel by unit (dark: high)": kernel.T,
}
figure, axes = plt.subplots(1, 4, figsize=(10, 2.8))
for axis, (title, images) in zip(axes, pictures.items(), strict=True):
    plotting.image_grid(axis, images.reshape(-1, 28, 28), columns=4)
    axis.set_title(title)
plt.show()

# %% [markdown]
# ## 2. When it fails: plain Monte Carlo
#
# A sum is an average times the number of its terms. Toss a fair coin for each visible unit and
#
# $$Z = \sum_v e^{-F_c(v)} = 2^{V} \sum_v 2^{-V} e^{-F_c(v)}
#   = 2^{V} \big\langle e^{-F_c(v)} \big\rangle_{\rm coins} , \tag{2.1}$$
#
# with $V$ the number of visible units. An average over $n$ draws is unbiased for $Z$, and its relative
# variance is $\rho / n$, with the $\rho$ of a single draw. Any proposal $q(v)$ may take the place of the coins, with
# weights $w = e^{-F_c(v)} / q(v) = Z\, p(v) / q(v)$. Then $\langle w \rangle_q = Z$ and
#
# $$1 + \rho = \frac{\langle w^2 \rangle_q}{\langle w \rangle_q^2}
#   = \sum_v q(v) \left( \frac{p(v)}{q(v)} \right)^2 = \sum_v \frac{p(v)^2}{q(v)}
#   \equiv e^{D_2(p \| q)} . \tag{2.2}$$
#
# $D_2$ is the *Rényi divergence* of order 2. For two machines side by side, $p$ and $q$ are products,
# the sum (2.2) factorises, and $D_2$ *adds up*: for $N$ independent copies it is $N$ times that of
# one. The variance therefore grows like $e^{N D_2}$, and so does the number of samples needed: "too high
# variance" means an exponential in the size.
#
# The *effective sample size* is $\mathrm{ESS} = (\sum w)^2 / \sum w^2$. Both sums divided by $n$ tend to
# averages, so by (2.2)
#
# $$\frac{\rm ESS}{n} \to \frac{\langle w \rangle_q^2}{\langle w^2 \rangle_q} = e^{-D_2(p \| q)} . \tag{2.3}$$
#
# **Check against the exact result.** A machine of 4 + 3 units, enumerated, and up to 10 copies of it.

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
    if number <= 2:
        check(enumeration.log_z(many), number * enumeration.log_z(rbm_with(*one)))
follow = shares * np.exp(copies * renyi_one)  # measured over exact shares, (2.3)
assert np.all(np.abs(follow[:2] - 1) < 0.1) and np.all(np.abs(follow[:6] - 1) < 0.3)
assert np.sum(follow[6:] > 1) >= 3

# %% name="monte-carlo-and-size" alt="Effective share of the draws by number of copies, log scale. Ten dots follow a straight line from 0.5 down to about 0.001; from seven on most lie above it. A dashed line marks one effective draw."
plain = reweighting.monte_carlo(rbm, num_samples=num_samples, seed=seed + 1)
print(f"digits: ln Z = {plain.log_z:.3f} +- {plain.standard_error:.3f}, exact {exact:.3f}")
print(f"effective sample size {plain.effective_sample_size:.2f} of {num_samples}")
tenths = [estimate_log_z(x).log_z - exact for x in plain.log_weights.reshape(10, -1)]
print("errors of ten batches (nats):", np.sort(tenths).round())
assert plain.effective_sample_size < 3 and max(tenths) < -600

figure, axis = plt.subplots(figsize=(7, 3.4))
axis.semilogy(copies, np.exp(-copies * renyi_one), color=ink, lw=1, label="$e^{-N D_2}$, exact")
axis.semilogy(copies, shares, "o", color=blue, label=f"measured, {num_samples:,} draws")
axis.axhline(1 / num_samples, color=grey, ls="--", lw=1, label="ESS = 1")
label(axis, "Plain Monte Carlo and size", "independent copies $N$", "ESS / draws")
axis.legend()
plt.show()

# %% [markdown]
# The measured points follow the exact line down to about $N = 6$. Then they scatter, most
# of them above it: the ESS, too, is estimated from the draws, and flatters when the largest weights are
# not among them. On the digits, one or two of the 100,000 draws carry everything. What comes out
# is hundreds of nats too low, in each of the ten batches. The "standard error" is about 1 whenever a
# single weight dominates, however large the error.

# %% [markdown]
# ## 3. Importance sampling
#
# The better $q$ resembles $p$, the better the estimate, and $q = p$ would give $w = Z$ every time. When are
# they similar enough? Take the logarithm of $w = Z\, p / q$ and average, once over the samples that we
# have and once over those that we need:
#
# $$\langle \ln w \rangle_q = \ln Z - \mathrm{KL}(q \| p) , \qquad
#   \langle \ln w \rangle_p = \ln Z + \mathrm{KL}(p \| q) . \tag{3.1}$$
#
# By the first, the weights of typical draws lie *below* $Z$ on a logarithmic scale. The second says
# which states make up the sum $Z = \sum_v q\, w$. The share of a state in it is $q\, w / Z = p$.
# So what must be drawn are states typical of $p$, and $\ln w$ of these lies $\mathrm{KL}(p \| q)$ *above* $\ln Z$.
# Since $q = Z p / w$, such states have a probability of about $e^{-\mathrm{KL}(p \| q)}$ under $q$, and
# it takes
#
# $$n \gtrsim e^{\mathrm{KL}(p \| q)} \tag{3.2}$$
#
# draws to see them at all (Chatterjee and Diaconis, 2018), give or take in the exponent the spread of
# $\ln w$ under $p$. A *small* error bar needs $n \gg e^{D_2}$, and since $\mathrm{KL}(p \| q) \le
# D_2(p \| q)$ by Jensen, that can be very many more.
#
# **The choice of $q$.** Mean field (chapter 6, section 2) minimises the *other* divergence, $\mathrm{KL}(q \|
# p)$, of both layers together. It settles on one digit-like mode and ignores the rest,
# which costs little in $\mathrm{KL}(q \| p)$ and a lot in $\mathrm{KL}(p \| q)$ (B13). The product of
# the data's pixel means does the opposite. Among products, the model's own means minimise
# $\mathrm{KL}(p \| q)$, and training has made the data's means similar to these.
#
# **Three numbers to print with an estimate**: the standard error, the ESS, and *Pareto* $\hat k$ (Vehtari et al. 2024), the
# shape of the largest weights' tail. A tail $P(w > t) \sim t^{-1/k}$ has a variance only if
# $k < \frac12$. Above $k \approx 0.7$ no practical number of draws gives the mean: the error depends on
# weights that have not been drawn yet.
#
# **Check against the exact result**: both divergences by (3.1), the second from
# exact samples of the model; and how often $\ln Z$ lies within 2 standard errors, over 400 repeats of 250
# draws each.

# %%
point = mean_field.tap(rbm, order=1)  # naive mean field
settled = np.all(hidden_states == point.hidden.round(), axis=1)  # one state, where its h is
proposals = {
    "fair coins": np.full(num_visible, 0.5),
    "mean field": np.clip(point.visible, 0.01, 0.99),
    "pixel means": np.clip(pixel_means.astype(float), 0.01, 0.99),
}
from_model = exact_samples(5000)
minus_free_energy = -rbm.free_energy(from_model).numpy()
results, needed, facts = {}, {}, {}
for name, mean in proposals.items():
    draw = reweighting.importance_sampling
    results[name] = draw(rbm, mean, num_samples=num_samples, seed=seed + 1)
    log_q = from_model @ np.log(mean) + (1 - from_model) @ np.log1p(-mean)
    needed[name] = minus_free_energy - log_q  # ln w of states typical of p

# %% name="proposals-table"
print("proposal       error     s.e.     ESS  k-hat   KL(q||p)  KL(p||q)  within 2 s.e.")
for name, result in results.items():
    reverse_kl, kl = exact - result.log_weights.mean(), needed[name].mean() - exact  # (3.1)
    assert reverse_kl > 0 and kl > -5 * needed[name].std(ddof=1) / np.sqrt(len(from_model))
    batches = estimate_log_z(result.log_weights.reshape(400, -1).T)  # 400 at once
    off = (exact - batches.log_z) / batches.standard_error
    inside, k_hat = np.mean(np.abs(off) < 2), pareto_k(result.log_weights)
    facts[name] = reverse_kl, kl, k_hat, inside, np.mean(off > 10), np.median(batches.log_z)
    print(f"{name:12s}{result.log_z - exact:+8.2f} {result.standard_error:8.3f}", end=" ")
    print(f"{result.effective_sample_size:7.0f} {k_hat:6.2f} {reverse_kl:9.2f} {kl:9.2f}", end=" ")
    print(f"{inside:13.1%}")
*_, far_off, found = facts["mean field"]
share = special.softmax(log_weight)[settled].item()
print(f"mean field: the median batch finds {np.exp(found - exact):.1%} of Z; p(h) is {share:.1%}")
print(f"batches of mean field that are wrong by more than ten standard errors: {far_off:.0%}")

# %% name="proposals" alt="Histograms of log weights, drawn and needed. Fair coins: far apart, on either side of the exact value. Mean field: a sharp peak just below it, and what is needed spread over 200 nats above it. Pixel means: two humps side by side, with the exact value between."
kl_of_q, needed_kl, k_hats, shares_inside, *_ = np.transpose(list(facts.values()))
assert kl_of_q[1] < kl_of_q[2] < kl_of_q[0] and needed_kl[2] < needed_kl[1] < needed_kl[0]
assert 47 < min(needed_kl) < 50 and min(k_hats) > 1 and max(shares_inside) < 0.05
assert results["fair coins"].log_z < exact - 600 and far_off > 0.8
assert results["pixel means"].log_z < exact - 10 < results["mean field"].log_z - 2
assert abs(found - exact - np.log(share)) < 0.4 and 0.04 < np.exp(found - exact) < 0.06
(figure, axes), names = plt.subplots(1, 3, figsize=(10, 3.2)), ["$v$ from $q$", "$v$ from $p$"]
for axis, (name, result) in zip(axes, results.items(), strict=True):
    bins = np.linspace(np.quantile(result.log_weights, 0.001), needed[name].max(), 80)
    both, look = (result.log_weights, needed[name]), {"histtype": "stepfilled", "alpha": 0.6}
    axis.hist(both, bins, density=True, color=[blue, orange], label=names, **look)
    axis.axvline(exact, color=ink, lw=1.2, label="exact $\\ln Z$")
    label(axis, f"Proposal: {name}", "$\\ln w$ (nats)", "density (1/nat)")
axes[0].legend()
plt.show()

# %% [markdown]
# Blue is what is drawn, orange what is needed. All three miss it: the smallest $\mathrm{KL}(p \| q)$ asks for $e^{48}$ draws,
# and 100,000 are $e^{11.5}$.
#
# - The coins end hundreds of nats too low, the pixel means more than ten.
# - Mean field ends closest, and is a trap. Half of its batches find 5 % of $Z$ or less, about the $p(h)$ of the one $h$ on
#   which it has settled. Most are wrong by over ten standard errors.
#
# $\hat k$, far above 0.7, warns of all three. The last column shows what that is worth: an interval
# that should hold the answer in 95 % of the cases hardly ever does.

# %% [markdown]
# ## 4. Annealed importance sampling
#
# If $q$ and $p$ are too far apart, go in small steps: put unnormalised distributions
# $f_0, \dots, f_K$ between them, here
#
# $$f_k(v) = e^{-F_{\beta_k}(v)} , \qquad F_\beta(v) = -\big((1 - \beta)\, a_0 + \beta a\big) \cdot v
#   - \sum_j \mathrm{softplus}(\beta\, x_j) , \tag{4.1}$$
#
# from independent units with biases $a_0$ at $\beta = 0$, where $\ln Z_0$ is known, to the RBM at
# $\beta = 1$. Draw $v_0$ from $f_0$. Then, for $k = 1, \dots, K$, first multiply
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
# (4.2), with $(T_k \phi)(v) = \sum_{v'} T_k(v'|v) \phi(v')$ for the mean of $\phi$ after the sweep:
#
# $$\mathbb{E}[\, w_k\, \phi(v_k) \,]
#   = \mathbb{E}\Big[ w_{k-1} \Big( \frac{f_k}{f_{k-1}}\, T_k \phi \Big)(v_{k-1}) \Big]
#   = \sum_v f_{k-1} \frac{f_k}{f_{k-1}}\, T_k \phi
#   = \sum_{v'} \Big( \sum_v f_k(v)\, T_k(v'|v) \Big) \phi(v') = \sum_{v'} f_k(v')\, \phi(v') . $$
#
# The last step is invariance. With $\phi = 1$: $\mathbb{E}[w_K] = Z$, *however short the path and
# however badly the chains mix*. Only the variance suffers.
#
# **Forward below, reverse above.** By Jensen $\mathbb{E}[\ln w_K] \le \ln
# \mathbb{E}[w_K] = \ln Z$. Now walk back: start with a sample $v_K$ of the model and $r_K = 1$. For $k =
# K, \dots, 1$ put $r_{k-1} = r_k f_{k-1}(v_k) / f_k(v_k)$, then sweep with $T_{k-1}$ to get $v_{k-1}$. The
# same induction gives $\mathbb{E}[r_k\, \phi(v_k)] = \frac1Z \sum_v f_k(v)\, \phi(v)$, so that $1/w = r_0 /
# \sum_v f_0(v)$ has the mean $1/Z$, and Jensen now reads $\mathbb{E}[\ln w] \ge \ln Z$:
#
# $$\mathbb{E}[\ln w]_{\rm forward} \;\le\; \ln Z \;\le\; \mathbb{E}[\ln w]_{\rm reverse} . \tag{4.4}$$
#
# Both hold on average. The upper one needs honest samples of the model.
#
# **Check against the exact result.** On 6 + 4 units the expectations themselves can be computed: a
# sweep is a matrix of $64 \times 64$ probabilities. The vector $u_k(v)$, the average of $w_k$ if
# $v_k = v$ and of 0 otherwise, must be $f_k$ by (4.3). Both sides of (4.4) follow from the chains' own
# distributions.

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
for k, low, high in zip(tiny_steps, below, above, strict=True):
    print(f"{k:3d} steps: forward {-low:+.5f}, reverse {high:+.5f} nats")
print(f"ten times the steps, the gap shrinks by a factor of {below[3] / below[6]:.2f}")
assert np.all(below > 0) and np.all(above > 0)  # (4.4)
assert abs(below[3] / below[6] - 10) < 0.5 and abs(above[3] / above[6] - 10) < 0.5

# %% [markdown]
# Here a chain's mean $\ln w$ is off by an amount that falls as one over the number of steps, from both
# sides. Now the digits, with exact samples for the reverse walk. `base="data"`, the default, puts $a_0$
# at the pixel means of section 3. `verdict` accepts a gap within 3 of its standard
# errors and below 1 nat, and effective sample sizes above a tenth of the chains. That two walks agree is no
# proof: chapter 9, section 6, says why.

# %% name="annealing-log"
annealed, distances, from_p = {}, [], exact_samples(num_chains)
for steps in path_lengths:
    betas = np.linspace(0, 1, steps + 1)
    forward = annealing.ais(rbm, num_chains=num_chains, betas=betas, seed=seed)
    reverse = annealing.reverse_ais(rbm, from_p, betas=betas, seed=seed + 1)
    annealed[steps] = forward, reverse
    distances.append([exact - forward.log_weights.mean(), reverse.log_weights.mean() - exact])
    print(f"{steps:4d} steps", end="")
    for name, x in (("forward", forward), ("reverse", reverse)):
        print(f", {name} {x.log_z - exact:+.2f} +- {x.standard_error:.2f}", end="")
    print(".", verdict(forward, reverse).message.split(":")[0])
gained = np.divide(distances[3], distances[5])
print("from 100 to 1000 steps the mean ln w comes closer by the factors", gained.round(1))
assert np.min(distances) > 0 and min(gained) > 2 and max(gained) < 3.2  # (4.4)
assert all(abs(x.log_z - exact) < 0.5 for x in annealed[1000])

# %% name="annealing" alt="Left: distance of mean log weight from ln Z falls as one over the steps, forward and reverse alike. Right: log weights of the digits; forward below, reverse above, with medians 17 nats from 0 at 3 steps and less than one at 1000."
figure, axes = plt.subplots(1, 2, figsize=(10, 3.5))
open_blue = {"color": blue, "ms": 10, "mfc": "none"}
axes[0].loglog(tiny_steps, below, "o-", label=r"$\ln Z - E[\ln w]$, forward", **open_blue)
axes[0].loglog(tiny_steps, above, "s-", color=orange, label=r"$E[\ln w] - \ln Z$, reverse")
axes[0].loglog(tiny_steps, below[-1] * 200 / tiny_steps, color=ink, lw=1, label="1 / steps")
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
# 1000 steps find $\ln Z$ to within half a nat. These chains forget slowly: ten times the steps bring mean $\ln w$
# only 2.5 times as close.
#
# **Where to put the steps.** One step of size $\delta$ at $\beta$ adds to $\ln w$ about $-\delta\,
# dF_\beta / d\beta$, whose standard deviation is $\delta\, \mathrm{sd}(\beta)$ with
# $\mathrm{sd}(\beta)^2$ the variance of $dF_\beta / d\beta$, the visible units' share of a heat
# capacity (B6). If the states of different steps are nearly independent, variances add, and for a
# given number of steps
#
# $$\sum_k \delta_k^2\, \mathrm{sd}_k^2 \ge \frac1K \Big( \sum_k \delta_k\, \mathrm{sd}_k \Big)^2
#   \approx \frac1K \Big( \int_0^1 \mathrm{sd}(\beta)\, d\beta \Big)^2 \tag{4.5}$$
#
# by Cauchy-Schwarz, with equality if all products $\delta_k\, \mathrm{sd}_k$ are the same: small steps
# where the path is restless. `choose_betas` measures sd in a pilot run and does that.

# %% name="chosen-steps"
print("base     steps   variance of ln w: equal steps, chosen steps")
variances = []
for base in ("data", "uniform"):
    for steps in (10, 50):
        chosen = annealing.choose_betas(rbm, num_betas=steps + 1, seed=seed, base=base)
        options = {"num_chains": 1000, "seed": seed, "base": base}
        paths = np.linspace(0, 1, steps + 1), chosen
        walks = [annealing.ais(rbm, betas=betas, **options).log_weights for betas in paths]
        variances.append(np.var(walks, axis=1, ddof=1))
        print("{:8s} {:5d} {:26.4f} {:14.4f}".format(base, steps, *variances[-1]))
shrunk = np.divide(*np.transpose(variances))  # by the better path; each known to about 7 %
assert np.all(np.abs(shrunk[:2] - 1) < 0.3) and 1.1 < shrunk[2:].mean() < 1.6
assert np.all(np.divide(variances[2:], variances[:2]) > 4)  # by the better base

# %% [markdown]
# From fair coins ("uniform") the chosen steps save about a quarter of the variance, from
# the pixel means nothing that can be seen. The better base saves far more.

# %% [markdown]
# ## 5. Summary
#
# | road | idea | error bar | bound on $\ln Z$ | fails when |
# |:--|:--|:--|:--|:--|
# | plain Monte Carlo | (2.1) | lies | lower, on average | many units (2.2) |
# | importance sampling | $w = Z p / q$ | ESS, $\hat k$ | lower, on average | $n < e^{\mathrm{KL}(p \| q)}$ |
# | AIS forward | (4.2) | ESS; blind to missed modes | lower, on average | path too short |
# | AIS reverse | (4.2) backwards | honest, with good samples | upper, on average | samples miss a mode |
#
# - Divergences add up over independent parts: the cost of plain Monte Carlo is exponential in the size.
# - A proposal must cover the model, $\mathrm{KL}(p \| q)$; mean field minimises the other divergence.
# - Annealed weights are unbiased for any path. Forward and reverse bracket $\ln Z$ on average.
# - An error bar describes what has been sampled, and nothing else.
#
# [Chapter 9](09_roads_to_ln_z.ipynb) walks the other roads and draws the map of all.

# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **Two values.** A weight is $w = 1/r$ with probability $r$, and 0 otherwise. Find $D_2$
#    (`divergence_2`, for $r = 10^{-4}$) and the probability that $n$ draws are all 0. How many `draws` make
#    that less than 1 %? Compare with $e^{D_2}$.
# 2. *(easy)* **No sweeps.** Leave out all Gibbs sweeps in (4.2). Show that the number of steps no longer
#    matters and AIS becomes importance sampling from the base; check it with the exact averages of
#    section 4 (`without_sweeps`: $\mathbb{E}[\ln w] - \ln Z$ for 1, 10 and 100 steps of the tiny machine).
# 3. *(medium)* **The other side of Jensen.** Show that $\ln \hat Z > \ln Z + b$ has at most the
#    probability $e^{-b}$ for every unbiased $\hat Z \ge 0$. Check it with the forward chains of section 4, each of which
#    is such an estimate (`excess`: $\ln w - \ln Z$ of the 1,200 chains, short paths first; `exceeding`: for $b$ = 0.0, 0.5,
#    1.0 and 2.0 the share of them that exceeds $b$).
# 4. *(hard)* **Crooks.** For the forward weights of the tiny machine after a *single* step from
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
excess = np.concatenate([forward.log_weights - exact for forward, _ in annealed.values()])
exceeding = {b: np.mean(excess > b) for b in (0.0, 0.5, 1.0, 2.0)}
for b, share in exceeding.items():
    print(f"3. b = {b:.1f}: {share:.3f} of the chains exceed, bound {np.exp(-b):.3f}")
check(excess, np.ravel([annealed[steps][0].log_weights for steps in path_lengths]) - exact)
check([exceeding[x] for x in (0.0, 0.5, 1.0, 2.0)], (excess > [[0.0], [0.5], [1.0], [2.0]]).mean(1))
assert all(exceeding[x] <= np.exp(-x) + 5 * np.sqrt(np.exp(-x) / 1200) for x in exceeding)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 4. omega(v) = ln(Z_0 f_1 / f_0) = ln Z + ln(p_1 / p_0), so p_1(v) = p_0(v) e^(omega(v) - ln Z) for
# every state. Summing over the states with the same omega gives the ratio of the histograms.
p_0, p_1 = special.softmax(log_f(0.0)), special.softmax(log_f(1.0))
omega = special.logsumexp(log_f(0.0)) + log_f(1.0) - log_f(0.0)
crossing = omega[p_1 < p_0].max(), omega[p_1 > p_0].min()
print(f"4. largest omega with p_1 < p_0: {crossing[0]:.4f}, smallest with p_1 > p_0:", end="")
print(f" {crossing[1]:.4f}, ln Z = {tiny_log_z:.4f}")
check(special.softmax(log_f(1.0)) / special.softmax(log_f(0.0)), np.exp(omega - tiny_log_z))
assert crossing[0] <= tiny_log_z <= crossing[1]
assert crossing[1] - crossing[0] < 0.2

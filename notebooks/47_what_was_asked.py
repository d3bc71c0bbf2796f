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
# # Chapter 47: What was asked
#
# The post ends with questions, its author's and its readers'. Some were answered with proofs and exact sums, some by an
# experiment. Some are still open: *guess how many of the readers' ten (section 5).*
#
# **What you will do**
#
# - put three systems of the course into one picture: a Boltzmann machine, an autoencoder, a magnet;
# - read the paper of Hinton and Zemel, and send a message for less than its cheapest code;
# - see the series fail in all three;
# - go through the questions one by one.
#
# **What you will learn**
#
# - that one function of two arrays computes the free energies of all three, order by order;
# - that the entropy in the free energy is a refund that can be cashed;
# - which questions of the post are still open.
#
# **What you need**: chapters 3, 18, 22 and 32.
#
# **Time**: about 46 minutes, and 120 for the exercises. The code runs in a few seconds.
#
# Numbers such as (B23) are rows of the table `EQUATIONS.md`; free energies and lengths are in nats.

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

import matplotlib.pyplot as plt
import numpy as np
from scipy import optimize, special, stats

from rbm_tf import BernoulliRBM, ising, log_z, tap
from rbm_tf.course import check
from rbm_tf.cumulants import cumulants_from_moments

# %%
seed = 0
max_order = 6  # of the series
coupling = 0.2  # of the magnet
strong = 0.2, 0.3, 0.4, 0.5  # its couplings in section 4
total = 2**24  # of a table of frequencies
plt.style.use(["rbm_tf.course", {"figure.dpi": 88}])


# %% [markdown]
# ## 1. The four questions of the post
#
# **How is this free energy related to ln Z?** A clamped machine and a whole machine have the free energies $F_c(v)$ and
# $F_{\rm eq} = -\ln Z$, and their difference is the log likelihood ([chapter 3, section
# 4](03_rbm_free_energies.ipynb)). An autoencoder at a fixed $x$ is a system with the energy $E(z) = -\ln p(x, z)$, so that its
# $\ln Z$ is $\ln p(x)$ ([chapter 17, section 1](17_one_free_energy.ipynb)). The post (Martin 2017) says of the Hamiltonian that "we don't know" it. For a
# VAE we do: it is $-\ln p(z) - \ln p(x|z)$, which the program computes. What we do not know is its partition function.
#
# **When is it variational, and when not?** Order 1 of the cumulant expansion is a bound, for every $q$
# ([chapter 32, section 5](32_perturbation_theory.ipynb)). No higher order is one. TAP theory is none either
# ([chapter 36, section 4](36_cumulants_and_tap.ipynb)).
#
# **How can it be systematically improved?** By cumulants (chapters 32 to 35), by more samples (IWAE, [chapter 34, section
# 5](34_log_weights.ipynb)), by walking from $q$ to $p$ ([chapter 8, section 4](08_annealing.ipynb)), by a better $q$ ([chapter
# 31, section 6](31_flows.ipynb)). As the system grows the first keeps its accuracy per part, and more samples do not ([chapter
# 38, sections 2 and 4](38_size_extensivity.ipynb)). But it needs a $q$ that is close in the first place.
#
# **What is the relation to a deterministic autoencoder?** It is the limit $T \to 0$: energy without entropy ([chapter 28, sections 1
# and 2](28_deterministic_limit.ipynb)).
#
# %% [markdown]
# ## 2. One function, three systems
#
# Let a system have states $s$ with the energies $E(s)$, and take any distribution $q$. With
# $\ln w = -E - \ln q$,
#
# $$\ln Z = \ln \sum_s e^{-E(s)} = \ln \langle w \rangle_q
#   = \sum_{n=1}^{\infty} \frac{1}{n!} \langle\!\langle (\ln w)^n \rangle\!\rangle_q , \tag{2.1}$$
#
# which is (B20) and (B23) with $\lambda = 1$ (the series if it converges). The function below sees two arrays:
#
# - a **Boltzmann machine** of 6 + 4 units: $s = (v, h)$, $q$ is naive mean field;
# - an **autoencoder** with one latent variable and eight pixels, at one image: $s = z$ on a fine grid, $q$ is the best Gaussian;
# - a **magnet**, the periodic lattice of $3 \times 3$ spins: $q$ treats all states alike.


# %% name="sums"
def partial_sums(log_w, q):
    """ln Z from (2.1), orders 1 to max_order, by exact averages over q."""
    mean = q @ log_w
    moments = [q @ (log_w - mean) ** n for n in range(1, max_order + 1)]
    terms = cumulants_from_moments(moments).numpy() / special.factorial(np.arange(1, max_order + 1))
    return mean + np.cumsum(terms)


def exact(log_w, q):
    return special.logsumexp(log_w, b=q)


# %%
def machine():
    """ln w and q of all 1,024 states of an RBM."""
    rng = np.random.default_rng(seed)
    parameters = [
        scale * rng.normal(size=size) for scale, size in ((0.7, (6, 4)), (0.5, 6), (0.5, 4))
    ]
    rbm = BernoulliRBM.from_parameters(*parameters, dtype="float64")
    states = (np.arange(1024)[:, np.newaxis] >> np.arange(10) & 1).astype(float)
    found = tap(rbm, order=1)
    p = np.concatenate([found.visible, found.hidden])
    q = np.prod(np.where(states > 0, p, 1 - p), axis=1)
    log_w = -rbm.energy(states[:, :6], states[:, 6:]).numpy() - np.log(q)
    check(exact(log_w, q), log_z(rbm))
    return log_w, q


# %%
def autoencoder():
    """ln w and q of a latent variable on a grid: p(z) = N(0, 1), pixels of logits a + b z."""
    a, b = np.random.default_rng(seed).normal(size=(2, 8))
    x, z = np.array([1, 1, 0, 1, 0, 0, 1, 0]), np.linspace(-12, 12, 4001)
    logits = a + np.outer(z, b)
    log_joint = stats.norm.logpdf(z) + logits @ x - np.logaddexp(0, logits).sum(1)

    def weights(parameters):
        log_q = stats.norm.logpdf(z, parameters[0], np.exp(parameters[1]))
        q = np.exp(log_q) * (z[1] - z[0])
        return log_joint - log_q, q / q.sum()

    best = optimize.minimize(lambda p: -np.dot(*weights(p)), [0.0, -0.5]).x  # the ELBO
    return weights(best)


# %%
def magnet(coupling):
    """ln w and q of all 512 states of the lattice, q uniform."""
    lattice, q = ising.square(3, coupling), np.full(512, 1 / 512)
    log_w = -lattice.energy(ising.all_spins(3, 3)) + 9 * np.log(2)
    check(exact(log_w, q), lattice.log_z())
    return log_w, q


systems = {"machine": machine(), "autoencoder": autoencoder(), "magnet": magnet(coupling)}

# %% name="three" alt="Three curves of the error against the order, 1 to 6, on a logarithmic axis. The magnet falls from 0.4 to 0.001 nats, the machine from 0.1 to 0.00003 with a step up at order 3, the autoencoder from 0.001 to below a millionth."
errors = {name: partial_sums(*pair) - exact(*pair) for name, pair in systems.items()}
orders = np.arange(1, max_order + 1)
figure, axis = plt.subplots(figsize=(7, 3.8))
for (name, error), style in zip(errors.items(), ("o-", "s--", "^-."), strict=True):
    axis.semilogy(orders, np.abs(error), style, label=name)
axis.set(title="One series, three systems", xlabel="order", ylabel=r"|error of $\ln Z$| (nats)")
axis.legend()
plt.show()
for name, error in errors.items():
    print(f"{name:12s}", " ".join(f"{x:+.5f}" for x in error))
    assert error[0] < 0 and abs(error[5]) < abs(error[0]) / 100
assert abs(errors["machine"][2]) > abs(errors["machine"][1])

# %% [markdown]
# All three fall by two powers of ten or more, though not at each step: order 3 of the machine is worse than its order 2. Nothing in
# `partial_sums` knows of decoders or spins. The magnet has no data and no parameters to fit, and still has an
# "ELBO": its order 1, minus the variational free energy of Gibbs, Bogoliubov and Feynman.
#
# %% [markdown]
# ## 3. Hinton and Zemel, 1994: the entropy is a refund
#
# The post traces the idea to a paper on codes. A sender has an image $x$, the receiver knows the model. The sender chooses a code $z$,
# sends it at the price $-\ln p(z)$, and then the image at the price $-\ln p(x|z)$.
# Together that is $E(z) = -\ln p(x, z)$. The cheapest $z$ seems best. Their paper has something better (Hinton and others, 1993): choose $z$ *at
# random*, from $q(z|x)$, and take the randomness from another message that is to be sent anyway. The receiver decodes $x$, knows
# $q(z|x)$ then, and reads the other message off the choice of $z$. That message was sent for nothing, and its length is the entropy of $q$:
#
# $$\text{net price} = \langle E \rangle_q - S(q) = -\mathrm{ELBO}
#   = -\ln p(x) + \mathrm{KL}(q \,\|\, p(z|x)) . \tag{3.1}$$
#
# It is a free energy (B15), and no choice of $q$ is cheaper than the posterior. A single $z$ has no entropy: it pays $\min_z E$ at
# least, which is more than $-\ln p(x)$.
#
# *Asymmetric numeral systems* (Duda 2009) keep a message as one large integer, a stack. To `push` a symbol of
# probability $p$ multiplies it by about $1/p$; to `pop` a symbol undoes that. Popping from a stack of random digits draws a
# symbol from $p$, and makes the stack shorter: that is the refund. (For images of real size: Townsend, Bird and Barber
# 2019.)


# %%
def frequencies(p):
    """Whole numbers that add up to the total, at least 1 each, nearly in proportion to p."""
    counts = np.maximum(1, np.round(p * total)).astype(int)
    counts[np.argmax(counts)] += total - counts.sum()
    return counts, np.concatenate([[0], np.cumsum(counts)])


# %% name="stack"
def push(stack, symbol, table):
    counts, starts = table
    high, low = divmod(stack, int(counts[symbol]))
    return high * int(starts[-1]) + int(starts[symbol]) + low


def pop(stack, table):
    counts, starts = table
    high, slot = divmod(stack, int(starts[-1]))
    symbol = int(np.searchsorted(starts, slot, side="right")) - 1
    return high * int(counts[symbol]) + slot - int(starts[symbol]), symbol


# %% [markdown]
# The model is the autoencoder of section 2 with $z$ on a grid of 60 points. There are 256 images, so that $p(x)$ and the posteriors are
# tables. The Gaussian $q$ has the mean and the variance of the posterior.

# %%
z, images = np.linspace(-4, 4, 60), np.arange(256)
a, b = np.random.default_rng(seed).normal(size=(2, 8))
logits, pixels = a + np.outer(z, b), images[:, np.newaxis] >> np.arange(8) & 1
log_prior = special.log_softmax(-(z**2) / 2)
log_likelihood = logits @ pixels.T - np.logaddexp(0, logits).sum(1)[:, np.newaxis]  # (z, x)
log_joint = log_prior[:, np.newaxis] + log_likelihood
log_p_x = special.logsumexp(log_joint, axis=0)
posterior = np.exp(log_joint - log_p_x)

# %%
mean = z @ posterior
variance = (z**2) @ posterior - mean**2
gaussian = special.softmax(-((z[:, np.newaxis] - mean) ** 2) / (2 * variance), axis=0)
choices = {
    "posterior": posterior,
    "Gaussian": gaussian,
    "prior": np.tile(np.exp(log_prior)[:, np.newaxis], 256),
    "cheapest z": np.eye(60)[:, np.argmax(log_joint, axis=0)],
}


# %%
def tables(q):
    """What `push` and `pop` need: the prior, p(x|z) of each z, q(z|x) of each x."""
    of_x = [frequencies(p) for p in np.exp(log_likelihood)]
    of_z = [frequencies(p) for p in q.T] if q.max() < 1 else None  # nothing to draw
    return frequencies(np.exp(log_prior)), of_x, of_z


# %% name="send"
def send(message, other, q):
    """The stack to send, and what is left of the other message."""
    (prior, of_x, of_z), stack = tables(q), total  # from there on each symbol lengthens it
    for x in message:
        other, k = pop(other, of_z[x]) if of_z else (other, int(np.argmax(q[:, x])))
        stack = push(push(stack, x, of_x[k]), k, prior)
    return stack, other


# %%
def receive(stack, other, q):
    """Both messages."""
    (prior, of_x, of_z), message = tables(q), []
    while stack > total:
        stack, k = pop(stack, prior)
        stack, x = pop(stack, of_x[k])
        other, message = push(other, k, of_z[x]) if of_z else other, [x, *message]
    return message, other


# %%
rng = np.random.default_rng(seed)
message = [int(x) for x in rng.choice(256, size=1000, p=np.exp(log_p_x) / np.exp(log_p_x).sum())]
other = int.from_bytes(rng.bytes(4000), "big")  # another message, in random digits
print(f"-ln p(x) {-log_p_x[message].mean():.3f} nats an image")


# %%
def expected(q):
    """-ELBO of the message (3.1), nats an image, and five standard errors of what is sent."""
    log_w = log_joint - np.log(np.maximum(q, 1e-300))
    price = -(q * log_w).sum(0)
    variance = (q * (log_w + price) ** 2).sum(0)
    start = (total.bit_length() + 1) * np.log(2) / 1000  # its first 25 bits, and one of rounding
    return price[message].mean(), 5 * np.sqrt(variance[message].mean() / 1000) + start


# %% name="refund"
net, refund, prices = {}, {}, {}
for name, q in choices.items():
    stack, rest = send(message, other, q)
    assert receive(stack, rest, q) == (message, other)  # to the last bit
    bits = np.array([stack.bit_length(), other.bit_length() - rest.bit_length()])
    sent, refund[name] = bits * np.log(2) / 1000
    net[name], (prices[name], allowance) = sent - refund[name], expected(q)
    print(f"{name:11s} sent {sent:.3f} nats an image, got back {refund[name]:.3f}", end="")
    print(f": net {net[name]:.3f}, -ELBO {prices[name]:.3f}")
    assert abs(net[name] - prices[name]) < allowance

# %% [markdown]
# Both messages arrive to the last bit. With the posterior the images cost their $-\ln p(x)$, but for the 25 bits with which
# the stack begins. The Gaussian is dearer by 0.003 nats in expectation, less than the noise. The cheapest $z$ is sent for less than any
# other, and in the end costs most, more than the 8 bits (5.545 nats) of an image as it is: nothing comes back. The $q$ that
# ignores the image gets the largest refund, all that its $z$ cost, and pays for the reconstruction.
#
# So the bound of a VAE is a price, and `free energy = energy - entropy` a bill, nineteen years
# before the VAE of Kingma and Welling. What they added is a gradient through the draw of a continuous $z$: chapter 25.

# %%
assert abs(net["Gaussian"] - net["posterior"]) < 0.02
assert net["posterior"] + 0.5 < net["prior"] < net["cheapest z"] - 0.5
assert refund["cheapest z"] == 0 and refund["prior"] == max(refund.values())
totals = {name: net[name] + refund[name] for name in net}
assert totals["cheapest z"] == min(totals.values())
assert net["posterior"] < 8 * np.log(2) < net["cheapest z"]
assert prices["posterior"] + 0.001 < prices["Gaussian"] < prices["posterior"] + 0.005
prior = tables(gaussian)[0]
assert all(push(total, k, prior) > total for k in range(60))  # not so from a stack of 1

# %% [markdown]
# ## 4. When it fails
#
# The series of section 2 needs a $q$ that is close. Let the coupling of the magnet grow, so that its spins agree, while $q$
# still treats all states alike. *At which of the four couplings is order 6 worse than order 4?*

# %% name="fails" alt="Errors against the order for four couplings of the magnet. At 0.2 they fall to a thousandth of a nat. At 0.5 they fall to 0.2 nats at order 4 and rise to 1.4 at order 6."
figure, axis = plt.subplots(figsize=(7, 3.8))
failing = {}
for J, style in zip(strong, ("o-", "s--", "^-.", "v:"), strict=True):
    pair = magnet(J)
    failing[J] = np.abs(partial_sums(*pair) - exact(*pair))
    axis.semilogy(orders, failing[J], style, label=f"coupling {J}")
axis.set(
    title="The magnet, coupled more strongly", xlabel="order", ylabel=r"|error of $\ln Z$| (nats)"
)
axis.legend()
plt.show()

# %% name="orders"
for J, error in failing.items():
    print(f"coupling {J}:", " ".join(f"{x:.3f}" for x in error))
best = {J: int(np.argmin(error)) + 1 for J, error in failing.items()}
print("best order:", best)
assert failing[0.2][5] < 0.002 and np.all(np.diff(failing[0.2]) < 0)
assert [J for J in strong if failing[J][5] > failing[J][3]] == [0.4, 0.5]
assert best[0.5] == 4 and failing[0.5][5] > 5 * failing[0.5][3]
assert abs(failing[0.5][5] / failing[0.5][1] - 1) < 0.05

# %% name="circle"
energies = np.asarray(ising.square(3, 1.0).energy(ising.all_spins(3, 3)))
numbers = np.bincount(np.round((energies - energies.min()) / 4).astype(int))  # of states
zeros = np.log(np.roots(numbers).astype(complex)) / 4  # Z is a polynomial in exp(4 J)
print(f"nearest zero of Z at |J| = {np.abs(zeros).min():.3f}")
assert 0.4 < np.abs(zeros).min() < 0.44

# %% [markdown]
# It is worse at 0.4 and at 0.5. At 0.2 each order pays; at 0.5 order 4 is the best, and order 6 is as bad as order 2. The
# cumulant of order $n$ is proportional to $J^n$, so the series converges up to the nearest zero of $Z$ (chapter 2, section
# 3), $|J| = 0.42$: slowly at 0.4, and not at 0.5. The infinite lattice orders at $J = \frac12 \ln(1 +
# \sqrt 2) = 0.44$ ([chapter 40, section 2](40_beyond_the_bound.ipynb)).
#
# %% [markdown]
# ## 5. What the readers asked
#
# **1. What does the relation teach us?** That likelihoods, bounds and code lengths are free energies, exact or of a $q$, so that a
# method for one is a method for all.
#
# **2. Something about local minima?** The author's answer was that "these kinds of systems do not suffer" from them. [Chapter
# 15](15_local_minima.ipynb) ran L-BFGS from 40 large starts for each size of a small RBM; the shares that end short are below.
# It depends on size and method: with six hidden units most of these end short, with twelve none, and Adam from small
# starts never did. TAP theory speaks of another landscape, that of the magnetisations, and its many
# solutions do not say where training ends.
#
# **3. Ways to improve existing algorithms?** Yes, with limits that were measured. For a single image grouped cumulants had a smaller
# error than IWAE and the jackknife from the same weights; for a mean over images the jackknife tended to be less biased, clearly for one
# model of two ([chapter 35, section 5](35_correcting_a_vae.ipynb)). Black-box inference gets its means and widths corrected ([chapter 41, section
# 1](41_black_box.ipynb)). For $\ln p(x)$ of real posteriors importance weights were best or level in 16 of 19 cases (section 5 there).
#
# **4. New algorithms?** A unit is its cumulant generating function: that gave RBMs of any units, and
# a new one costs ten lines ([chapter 10, section 3](10_units.ipynb)). Entropy can be sent, so that a VAE compresses (section 3).
#
# **5. How the mind might work?** Nothing in this course measured a mind. The free-energy principle of neuroscience (Friston 2010) starts from (B15), and
# the bound does not prove it. *Open.*
#
# **6. New applications?** Filling in what was not measured and reading off labels ([chapter 11, sections 3 and
# 4](11_conditional.ipynb)), without new training.
#
# **7. Is a skip connection better than a cumulant?** A skip connection changes the model and so $\ln p(x)$; a cumulant tells
# $\ln p(x)$ of the model that is there. On small digits and at an equal budget skips raised $\ln p(x)$ by 0.3 nats, and cumulants told it
# to a tenth ([chapter 44, section 5](44_structured_posteriors.ipynb)).
#
# **8. Are structured VAEs as good as PixelCNN?** In [chapter 44, sections 5 and 6](44_structured_posteriors.ipynb), at a small equal budget, a ladder and
# DRAW had the smaller gaps and the lower $\ln p(x)$; with the decoder held fixed, missing correlations made a quarter of the gap. *Open*
# for large budgets; no PixelCNN was trained.
#
# **9. Can reinforcement learning repair the rest?** Its gradient is the score function of [chapter 25, section 2](25_stochastic_gradients.ipynb). Its
# variance grows with the dimension (section 6 there). To let it choose a
# structure is another matter. *Open.*
#
# **10. Does $q$ model $p$, or $p$ model $q$?** Both, in one KL: moving the encoder, $q$ models $p$, moving the decoder, $p$ models $q$ ([chapter 17,
# section 3](17_one_free_energy.ipynb)). The link that a reader
# missed is gone; the paper is most likely Zhao, Song and Ermon (2017), which has sequential VAEs. `InfoVAE` prices $\mathrm{KL}(q(z) \| p(z))$ by itself.

# %% name="minima"
gaps = dict(
    zip((2, 4, 5, 6, 7, 8, 10, 12), np.load("models/minima_sizes.npz")["gaps"], strict=True)
)
share = {size: np.mean(gaps[size] > 0.05) for size in (5, 6, 8, 12)}
print("runs of L-BFGS that end more than 0.05 nats short, by hidden units:")
print(" ".join(f"{size}: {value:.0%}" for size, value in share.items()))
assert share[6] > 0.4 and share[12] == 0

# %% [markdown]
# ## 6. Every question, and where it is answered
#
# | the post | the course |
# |---|---|
# | Is $\ln Z$ a generating function? | [2, section 5](02_truncated_series.ipynb) |
# | Is the norm of the weights a temperature? | [14, section 4](14_effective_temperature.ipynb): of one model only |
# | The derivatives; do they resemble expected energies? | [4, sections 1 to 3](04_likelihood_gradient.ipynb) |
# | Contrastive divergence: how wrong? | [5, section 3](05_contrastive_divergence.ipynb) |
# | TAP instead: the EMF-RBM | [6, sections 2 and 3](06_negative_phases.ipynb) |
# | Monte Carlo, importance and umbrella sampling, TAP | [8](08_annealing.ipynb) and [9](09_roads_to_ln_z.ipynb), [20, section 7](20_fluctuation_theorems.ipynb) |
# | Laplace, Langevin, Hamilton | [27, sections 3 and 4](27_score_matching.ipynb) |
# | Score matching and autoencoders | [27, sections 1 and 2](27_score_matching.ipynb) |
# | "Guess, and then learn deterministic fixed point equations" | [42](42_fixed_points.ipynb) |
# | Expected log likelihood; raise the posteriors | [17, sections 2 and 3](17_one_free_energy.ipynb) |
# | Variational Bayes; Gibbs, Bogoliubov, Feynman | [18, sections 1 and 2](18_energy_minus_entropy.ipynb) |
# | Why are the images of VAEs blurred? | [22, section 6](22_vae_in_keras.ipynb) |
# | A proof by fluctuation theorems | [20, section 3](20_fluctuation_theorems.ipynb) |
# | Liouville and flows | [31, section 2](31_flows.ipynb) |
# | The gradient inside the average | [25](25_stochastic_gradients.ipynb), [26](26_several_samples.ipynb) |
# | The Keras code, line by line | [22, sections 4 and 5](22_vae_in_keras.ipynb) |
# | Mean field: an "RBM-like quadratic" energy? | [23, section 1](23_exact_evidence.ipynb) |
# | Does the cumulant expansion converge? TAP's? | [2, section 3](02_truncated_series.ipynb), [43](43_not_extensive.ipynb) |
# | Cumulants against TAP | [36](36_cumulants_and_tap.ipynb), [37](37_learning_with_corrections.ipynb) |
# | Size-extensivity; theories with correlations | [38](38_size_extensivity.ipynb), [39](39_groups_and_noise.ipynb), [43](43_not_extensive.ipynb) |
# | The Nishimori line | [16, section 4](16_phases.ipynb) |
# | Five or six notations; the density of states; $N \to \infty$ | [19, section 2](19_variational_theorem.ipynb), [21](21_density_of_states.ipynb) |
# | "Non-equilibrium" | [20, section 3](20_fluctuation_theorems.ipynb): it is equilibrium |
#
# %% [markdown]
# ## 7. Summary
#
# - The free energies of a Boltzmann machine, an autoencoder and a magnet are (2.1) with other arrays.
# - The entropy in the free energy is a refund, and the bound of a VAE is the price of a message.
# - The series needs a close $q$, whatever the system is.
# - Three questions of ten stay open: minds, learned structure, and structured posteriors at large budgets.
#
# %% [markdown]
# ## Exercises
#
# 1. *(easy)* **A split bill.** For the Gaussian $q$ of section 3, write `bill()`: price of $z$, price of $x$ given $z$, and refund, averaged over
#    $p(x)$, three numbers. Which is the KL of a VAE's loss made of?
# 2. *(medium)* **Another system.** Find `log_w` and `q` of a system of your own with at most 100,000 states whose series is exact at
#    order 2, and call them `mine`.
# 3. *(hard)* **A better start.** At the coupling 0.5 let $q$ be a mixture: half of it has all spins up with the probability $\frac{1 + m}{2}$ each, half of
#    it down. Which `m` gives the best bound, and what are the errors of orders 1 to 6 then, `mixed`?
# 4. *(project)* **An open one.** Take question 8. Give DRAW and mean field ten times the budget of chapter 44 on `load_mnist_5k`, and
#    report $\ln p(x)$ by annealing, and what orders 2 and 3 say of each. *Rubric*: equal processor time (2 points), errors (3), three seeds (2), a statement that
#    your numbers could have contradicted (3).
#
# The solutions are in the cells below, folded: click on one to open it.


# %% jupyter={"source_hidden": true} tags=["solution"]
# 1. The KL is the price of z minus the refund.
def bill():
    of_z = -(gaussian * log_prior[:, np.newaxis]).sum(0)
    of_x = -(gaussian * log_likelihood).sum(0)
    refund = -(gaussian * np.log(gaussian)).sum(0)
    return np.array([of_z, of_x, refund]) @ np.exp(log_p_x)


parts = bill()
print("1. z {:.3f}, x given z {:.3f}, refund {:.3f} nats".format(*parts))
kl = (gaussian * (np.log(gaussian) - np.log(posterior))).sum(0) @ np.exp(log_p_x)
check(parts @ [1, 1, -1], kl - np.exp(log_p_x) @ log_p_x)

# %% jupyter={"source_hidden": true} tags=["solution"]
# 2. ln w must be Gaussian under q: a harmonic spring that is moved, on a grid.
s = np.linspace(-10, 10, 10_001)
q = stats.norm.pdf(s) * (s[1] - s[0])
mine = -((s - 1) ** 2) / 2 + s**2 / 2, q / q.sum()
values = partial_sums(*mine)
print("2. orders 1 to 3:", values[:3].round(6), "exact", round(float(exact(*mine)), 6))
check(values[1], exact(*mine), tolerance=1e-6)
assert abs(values[0] - exact(*mine)) > 0.1


# %% jupyter={"source_hidden": true} tags=["solution"]
# 3. Both signs of the magnetisation at once.
def mixture(m):
    up = (ising.all_spins(3, 3) > 0).sum((1, 2))
    each = [stats.binom.pmf(up, 9, (1 + x) / 2) / special.comb(9, up) for x in (m, -m)]
    q = np.mean(each, axis=0)
    return -ising.square(3, 0.5).energy(ising.all_spins(3, 3)) - np.log(q), q


m = optimize.minimize_scalar(lambda m: -partial_sums(*mixture(m))[0], bounds=(0.3, 0.99)).x
mixed = partial_sums(*mixture(m)) - exact(*mixture(m))
print(f"3. m = {m:.3f}, errors", mixed.round(3))
assert abs(mixed[0]) < failing[0.5][0] / 50 and np.all(np.diff(np.abs(mixed)) < 0)
assert partial_sums(*mixture(m))[0] > max(partial_sums(*mixture(m + dm))[0] for dm in (-0.02, 0.02))

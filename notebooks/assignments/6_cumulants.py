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

# %% [raw]
# # ASSIGNMENT CONFIG
# name: 6_cumulants
# export_cell: false
# show_question_points: true
# tests:
#     ok_format: false

# %% [markdown]
# # Assignment 6: Beyond the bound
#
# *After chapters 32 to 39. About 90 minutes, 10 points.*
#
# The variational bound is the first term of a cumulant series. You will write the series for a
# Boltzmann machine with 2 + 2 units, find its mean-field point and the Onsager term there, see
# where the series of a Gaussian VAE stops to converge, and ask which estimates of $\ln p(x)$ are
# still right when one system becomes many copies of it.
#
# **How it is graded.** Replace the dots by your own code. `grader.check("q1")` runs the visible
# tests of question 1: they look at shapes and at properties that every right answer has. Further
# tests, which you do not see, decide most of the points. Most answers are functions, and they are
# tested with other arguments than those in this notebook. A mistake in one question therefore costs
# little in the next ones. All is in nats, units are 0 or 1, and $\beta = 1$.

# %%
import rbm_tf

rbm_tf.quiet_start()

import itertools
import math

import numpy as np

kernel = np.array([[1.2, -0.9], [0.7, 1.1]])  # W, (2, 2)
visible_bias, hidden_bias = np.array([-0.3, 0.4]), np.array([0.2, -0.6])
states = np.array(list(itertools.product([0.0, 1.0], repeat=4)))  # (v, h), (16, 4)
v, h = states[:, :2], states[:, 2:]
energy = -v @ visible_bias - h @ hidden_bias - np.sum(v @ kernel * h, axis=1)  # (B1), (16,)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# %% [raw]
# # BEGIN QUESTION
# name: q1
# points: [0.25, 0.25, 0.5, 0.5, 0.5]

# %% [markdown]
# ## Question 1: model plus perturbation
#
# The model $q$ lets every unit be 1 independently, with the given means. Its energy is
# $H_q = -\ln q$, so $F_q = 0$.
#
# 1. Write `log_q(states, means)`: $\ln q$ of states (num_states, num_units), for means (num_units,).
# 2. Write `perturbation(energy, log_q)`: the values of $V$ (B18), (num_states,), from $H$ and $\ln q$
#    of all states.
# 3. Write `free_energy(perturbation, log_q, lam)`: $F(\lambda) = -\ln \langle e^{-\lambda V} \rangle_q$ (B20).

# %% [raw]
# # BEGIN SOLUTION


# %%
def log_q(states, means):
    # BEGIN SOLUTION
    return states @ np.log(means) + (1 - states) @ np.log(1 - means)
    # END SOLUTION


def perturbation(energy, log_q):
    # BEGIN SOLUTION
    return energy + log_q
    # END SOLUTION


def free_energy(perturbation, log_q, lam):
    # BEGIN SOLUTION
    return -np.logaddexp.reduce(log_q - lam * perturbation)
    # END SOLUTION


# %% tags=["wrong"]
def log_q(states, means):  # units that are 0 left out
    return states @ np.log(means)


def perturbation(energy, log_q):  # the sign of H_q
    return energy - log_q


def free_energy(perturbation, log_q, lam):
    return np.logaddexp.reduce(log_q - lam * perturbation)


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_one_value_for_each_state(log_q, perturbation, states, energy):
    import numpy as np

    values = log_q(states, np.full(4, 0.5))
    assert values is not None, "log_q returns nothing yet: replace the dots."
    assert np.shape(values) == (16,), f"16 states: log_q has (16,), not {np.shape(values)}."
    values = perturbation(energy, np.full(16, -np.log(16)))
    assert values is not None, "perturbation returns nothing yet: replace the dots."
    assert np.shape(values) == (16,), f"16 states: V has (16,), not {np.shape(values)}."


# %%
def test_without_perturbation_there_is_the_model(free_energy):
    import numpy as np

    value = free_energy(np.array([1.0, -2.0]), np.log([0.3, 0.7]), 0.0)
    assert value is not None, "free_energy returns nothing yet: replace the dots."
    np.testing.assert_allclose(value, 0, atol=1e-9, err_msg="F(0) = F_q = 0.")


# %%
# HIDDEN
def test_model_is_a_product(log_q):
    import itertools

    import numpy as np

    states = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    means = np.array([0.2, 0.5, 0.9])
    expected = [
        np.log(np.prod([m if s else 1 - m for s, m in zip(state, means, strict=True)]))
        for state in states
    ]
    message = "ln of the product of m for units that are 1 and of 1 - m for those that are 0."
    np.testing.assert_allclose(log_q(states, means), expected, rtol=1e-8, err_msg=message)


# %%
# HIDDEN
def test_perturbation_is_the_rest_of_the_energy(perturbation):
    import numpy as np

    q = np.array([0.2, 0.3, 0.5])
    values = perturbation(np.array([1.0, -0.5, 2.0]), np.log(q))
    expected = [1.0 + np.log(0.2), -0.5 + np.log(0.3), 2.0 + np.log(0.5)]
    message = "V = H - H_q with H_q = -ln q. Where q = exp(-H) / Z, V is the same in every state."
    np.testing.assert_allclose(values, expected, rtol=1e-8, err_msg=message)


# %%
# HIDDEN
def test_free_energy_is_that_of_the_path(free_energy):
    import numpy as np

    q, v = np.array([0.2, 0.3, 0.5]), np.array([1.0, -0.5, 2.0])
    for lam in (0.4, 1.0, 2.0):
        expected = -np.log(q @ np.exp(-lam * v))
        message = f"F = -ln <exp(-lambda V)> at lambda = {lam}, over three states."
        value = free_energy(v, np.log(q), lam)
        np.testing.assert_allclose(value, expected, rtol=1e-8, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q2
# points: [0.25, 0.5, 0.5, 0.75]

# %% [markdown]
# ## Question 2: the cumulant expansion
#
# Write `expansion(perturbation, log_q, lam)`. It returns three numbers: $F(\lambda)$ after orders 1, 2
# and 3 of the series (B23), with $F_q = 0$, where the cumulants of $V$ are exact sums over the states.
# Print the three for the machine, with all means $\frac12$, beside the exact $F(1)$.

# %% [raw]
# # BEGIN SOLUTION


# %%
def expansion(perturbation, log_q, lam):
    # BEGIN SOLUTION
    q = np.exp(log_q)
    mean = q @ perturbation
    second, third = (q @ (perturbation - mean) ** n for n in (2, 3))
    return np.cumsum([lam * mean, -(lam**2) / 2 * second, lam**3 / 6 * third])
    # END SOLUTION


# %% tags=["wrong"]
def expansion(perturbation, log_q, lam):  # without 1/2 and 1/6
    q = np.exp(log_q)
    mean = q @ perturbation
    second, third = (q @ (perturbation - mean) ** n for n in (2, 3))
    return np.cumsum([lam * mean, -(lam**2) * second, lam**3 * third])


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_constants_need_order_one_only(expansion):
    import numpy as np

    values = expansion(np.full(4, 1.5), np.log(np.full(4, 0.25)), 0.5)
    assert values is not None, "expansion returns nothing yet: replace the dots."
    assert np.shape(values) == (3,), f"Orders 1, 2 and 3: (3,), not {np.shape(values)}."
    message = "Where V = 1.5 in all states, F = lambda V at every order."
    np.testing.assert_allclose(values, 0.75, atol=1e-9, err_msg=message)


# %%
# HIDDEN
def test_order_one_is_the_mean(expansion):
    import numpy as np

    value = expansion(np.array([1.0, -0.5, 2.0]), np.log([0.2, 0.3, 0.5]), 0.5)[0]
    np.testing.assert_allclose(value, 0.5 * 1.05, rtol=1e-8, err_msg="lambda times <V>_q.")


# %%
# HIDDEN
def test_order_two_subtracts_half_the_variance(expansion):
    import numpy as np

    for p in (0.2, 0.5):  # V is 2 with probability p, or else 0: variance 4 p (1 - p)
        first, second, _ = expansion(np.array([2.0, 0.0]), np.log([p, 1 - p]), 0.5)
        expected = -0.5 * 0.25 * 4 * p * (1 - p)
        message = f"-lambda^2 / 2 times the variance of V, for V = 2 with probability {p}, else 0."
        np.testing.assert_allclose(second - first, expected, rtol=1e-8, err_msg=message)


# %%
# HIDDEN
def test_order_three_has_its_sign_and_its_sixth(expansion):
    import numpy as np

    for p in (0.2, 0.5, 0.9):  # third cumulant 8 p (1 - p) (1 - 2 p)
        _, second, third = expansion(np.array([2.0, 0.0]), np.log([p, 1 - p]), 0.5)
        expected = 0.125 / 6 * 8 * p * (1 - p) * (1 - 2 * p)
        message = f"+lambda^3 / 6 times the third cumulant, for V = 2 with probability {p}, else 0."
        np.testing.assert_allclose(third - second, expected, atol=1e-9, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q3
# points: [0.25, 1, 0.75]

# %% [markdown]
# ## Question 3: the mean-field point and the Onsager term
#
# 1. Write `mean_field(kernel, visible_bias, hidden_bias)`: the means $m$ and $n$ of naive mean field,
#    which solve $m_i = \sigma(a_i + \sum_j W_{ij} n_j)$ and $n_j = \sigma(b_j + \sum_i W_{ij} m_i)$. For weak
#    couplings, as here, iterating the two equations converges. Make it precise to $10^{-8}$.
# 2. Write `onsager(kernel, m, n)`: the term of order 2 that both the cumulant expansion and the
#    theory of Thouless, Anderson and Palmer (TAP) add to the free energy at this point (B26).

# %% [raw]
# # BEGIN SOLUTION


# %%
def mean_field(kernel, visible_bias, hidden_bias):
    # BEGIN SOLUTION
    m, n = sigmoid(visible_bias), sigmoid(hidden_bias)
    for _ in range(1000):
        m = sigmoid(visible_bias + kernel @ n)
        n = sigmoid(hidden_bias + m @ kernel)
    return m, n
    # END SOLUTION


def onsager(kernel, m, n):
    # BEGIN SOLUTION
    return -(m * (1 - m)) @ kernel**2 @ (n * (1 - n)) / 2
    # END SOLUTION


# %% tags=["wrong"]
def mean_field(kernel, visible_bias, hidden_bias):  # one step
    m, n = sigmoid(visible_bias), sigmoid(hidden_bias)
    return sigmoid(visible_bias + kernel @ n), sigmoid(hidden_bias + m @ kernel)


def onsager(kernel, m, n):  # means in place of variances
    return -m @ kernel**2 @ n / 2


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_means_and_one_term(mean_field, onsager, kernel, visible_bias, hidden_bias):
    import numpy as np

    result = mean_field(np.zeros((2, 3)), np.zeros(2), np.zeros(3))
    assert result is not None, "mean_field returns nothing yet: replace the dots."
    shapes = [np.shape(x) for x in result]
    assert shapes == [(2,), (3,)], f"2 visible and 3 hidden units: (2,) and (3,), not {shapes}."
    value = onsager(np.ones((2, 3)), np.full(2, 0.5), np.full(3, 0.5))
    assert value is not None, "onsager returns nothing yet: replace the dots."
    assert value < 0, f"Minus half a variance lowers the free energy; yours is {value}."


# %%
# HIDDEN
def test_means_solve_both_equations(mean_field):
    import numpy as np

    rng = np.random.default_rng(1)
    for num_visible, num_hidden in ((2, 2), (4, 3)):
        w = rng.normal(0, 0.7, (num_visible, num_hidden))
        a, b = rng.normal(0, 1, num_visible), rng.normal(0, 1, num_hidden)
        m, n = mean_field(w, a, b)
        message = (
            f"m = sigmoid(a + W n) with {num_visible} + {num_hidden} units. Iterate until still."
        )
        np.testing.assert_allclose(m, 1 / (1 + np.exp(-a - w @ n)), atol=1e-7, err_msg=message)
        message = (
            f"n = sigmoid(b + m W) with {num_visible} + {num_hidden} units. Iterate until still."
        )
        np.testing.assert_allclose(n, 1 / (1 + np.exp(-b - m @ w)), atol=1e-7, err_msg=message)


# %%
# HIDDEN
def test_onsager_term_is_half_a_variance_of_the_bonds(onsager):
    import itertools

    import numpy as np

    w = np.array([[1.0, -0.5, 0.3], [0.2, 0.8, -1.1]])
    m, n = np.array([0.3, 0.6]), np.array([0.5, 0.2, 0.9])
    states = np.array(list(itertools.product([0.0, 1.0], repeat=5)))
    means = np.concatenate([m, n])
    q = np.where(states == 1, means, 1 - means).prod(axis=1)
    bonds = np.sum((states[:, :2] - m) @ w * (states[:, 2:] - n), axis=1)  # Q
    message = "-1/2 <<Q^2>> over all 32 states, Q = sum_ij W_ij (v_i - m_i)(h_j - n_j)."
    value = onsager(w, m, n)
    np.testing.assert_allclose(value, -q @ bonds**2 / 2, rtol=1e-7, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q4
# points: [0.25, 0, 0.5, 0.75, 0.5]

# %% [markdown]
# ## Question 4: a Gaussian encoder of the wrong width
#
# A VAE has $J$ latent variables, its posterior is $N(0, s^2)$ for each of them, and its encoder says
# $N(0, r s^2)$: the mean is right and the variance is wrong by the factor $r$. Then
#
# $$\ln w = \ln p(x) + \sum_{j=1}^J \Big[ \tfrac12 \ln r + \tfrac12 (1 - r)\, \epsilon_j^2 \Big] , \qquad
#   \epsilon_j \sim N(0, 1) ,$$
#
# and the cumulants of $\epsilon^2$ are $\kappa_n = 2^{n-1} (n-1)!$.
#
# 1. Write `errors(ratio, num_latents, max_order)`: an array of the error, in nats, of the series (B25)
#    for $\ln p(x)$ after orders 1, 2, .., `max_order`. An error is estimate minus $\ln p(x)$.
# 2. For which of the ratios $r = 0.3$, 1.6 and 2.5 does the series converge to $\ln p(x)$?
#    (a) all three, (b) 0.3 and 1.6, (c) 1.6 only, (d) 1.6 and 2.5. Set `converges`.

# %% [raw]
# # BEGIN SOLUTION


# %%
def errors(ratio, num_latents, max_order):
    # BEGIN SOLUTION
    n = np.arange(1, max_order + 1)
    terms = (1 - ratio) ** n / (2 * n)  # kappa_n / n! of (1 - r) eps^2 / 2
    return num_latents * (np.log(ratio) / 2 + np.cumsum(terms))
    # END SOLUTION


converges = "b"  # SOLUTION


# %% tags=["wrong"]
def errors(ratio, num_latents, max_order):
    n = np.arange(
        1, max_order + 1
    )  # the cumulants of eps^2 scaled by (1 - r) / 2, not its n-th power
    factorials = np.array([math.factorial(int(k)) for k in n], float)
    terms = (1 - ratio) / 2 * 2.0 ** (n - 1) * factorials / n / factorials
    return num_latents * (np.log(ratio) / 2 + np.cumsum(terms))


converges = "a"

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_the_right_width_has_no_error(errors):
    import numpy as np

    values = errors(1.0, 3, 5)
    assert values is not None, "errors returns nothing yet: replace the dots."
    assert np.shape(values) == (5,), f"Five orders: (5,), not {np.shape(values)}."
    message = "With r = 1 the encoder is the posterior, and all orders are exact."
    np.testing.assert_allclose(values, 0, atol=1e-9, err_msg=message)


# %%
def test_converges_is_a_letter(converges):
    assert converges in ("a", "b", "c", "d"), 'converges: one of "a" to "d".'


# %%
# HIDDEN
def test_order_one_misses_the_divergence(errors):
    import numpy as np

    z = np.linspace(-30, 30, 60_001)
    for ratio, num_latents in ((0.3, 1), (1.6, 2), (2.5, 5)):
        q = np.exp(-(z**2) / 2 / ratio)
        q /= q.sum()
        kl = q @ (z**2 / 2 - z**2 / 2 / ratio) - np.log(ratio) / 2
        message = f"Order 1 is low by KL(q || p), r = {ratio}, {num_latents} latent variables."
        value = errors(ratio, num_latents, 4)[0]
        np.testing.assert_allclose(value, -num_latents * kl, rtol=1e-5, err_msg=message)


# %%
# HIDDEN
def test_higher_orders_add_cumulants_over_factorials(errors):
    import numpy as np

    z = np.linspace(-30, 30, 60_001)
    for ratio, num_latents in ((0.3, 1), (1.6, 2), (2.5, 5)):
        q = np.exp(-(z**2) / 2 / ratio)
        q /= q.sum()
        x = z**2 / 2 / ratio - z**2 / 2  # ln w of one latent variable, up to a constant
        second, third = (q @ (x - q @ x) ** n for n in (2, 3))
        steps = np.diff(errors(ratio, num_latents, 3))
        expected = num_latents * np.array([second / 2, third / 6])
        message = f"Var(ln w) / 2 and <<(ln w)^3>> / 6 by a sum over z, r = {ratio}."
        np.testing.assert_allclose(steps, expected, rtol=1e-4, err_msg=message)


# %%
# HIDDEN
def test_where_the_series_converges(converges):
    assert converges == "b", (
        "The terms are (1 - r)^n / 2n: they fall where |1 - r| < 1, that is below r = 2."
    )


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q5
# points: [0.25, 0, 0.5, 0.5, 0.5, 0.25]

# %% [markdown]
# ## Question 5: one copy and many
#
# Let $\ln w$ take the values -2, 0 and 1 with the probabilities 0.2, 0.5 and 0.3. With $N$ independent
# copies of the system the log-weights add; `copies` below makes their distribution.
#
# 1. Write `order_two(log_weights)`: the estimate of $\ln p(x)$ by cumulants of order 2 from samples
#    along axis 0, (num_samples, ..), in such a way that its *expectation* is exactly
#    $\kappa_1 + \frac12 \kappa_2$ for any number of samples from 2 on.
# 2. Write `expected_iwae(values, probabilities, num_samples)`: the exact expectation of
#    $\ln \big( \frac1K \sum_k w_k \big)$ over all ways to draw $K$ samples. (`itertools.product` lists them.)
# 3. For $N = 1$, 2 and 4 copies compute `iwae_errors`: $\big[ \ln \langle w \rangle - \langle$ IWAE-3
#    $\rangle \big] / N$, an array of three errors per copy.
# 4. How does the same error per copy behave for order 2, in expectation? (a) It is the same for all
#    $N$. (b) It grows with $N$. (c) It falls with $N$. (d) It grows first and falls then. Set
#    `order_two_is`.

# %%
values, probabilities = np.array([-2.0, 0.0, 1.0]), np.array([0.2, 0.5, 0.3])


def copies(num_copies):
    """The values of ln w of independent copies, and their probabilities."""
    table = {0.0: 1.0}
    for _ in range(num_copies):
        new = {}
        for (x, p), (y, q) in itertools.product(
            table.items(), zip(values, probabilities, strict=True)
        ):
            new[x + y] = new.get(x + y, 0.0) + p * q
        table = new
    return np.array(list(table)), np.array(list(table.values()))


# %% [raw]
# # BEGIN SOLUTION


# %%
def order_two(log_weights):
    # BEGIN SOLUTION
    return np.mean(log_weights, axis=0) + np.var(log_weights, axis=0, ddof=1) / 2
    # END SOLUTION


def expected_iwae(values, probabilities, num_samples):
    # BEGIN SOLUTION
    draws = np.array(list(itertools.product(range(len(values)), repeat=num_samples)))
    bounds = np.logaddexp.reduce(values[draws], axis=1) - np.log(num_samples)
    return np.prod(probabilities[draws], axis=1) @ bounds
    # END SOLUTION


# BEGIN SOLUTION NO PROMPT
def error_per_copy(num_copies):
    x, p = copies(num_copies)
    return (np.log(p @ np.exp(x)) - expected_iwae(x, p, 3)) / num_copies


# END SOLUTION
iwae_errors = np.array([error_per_copy(num_copies) for num_copies in (1, 2, 4)])  # SOLUTION
order_two_is = "a"  # SOLUTION


# %% tags=["wrong"]
def order_two(log_weights):
    return np.mean(log_weights, axis=0) + np.var(log_weights, axis=0) / 2  # divides by n


def expected_iwae(values, probabilities, num_samples):  # the logarithm of the expectation
    return np.log(probabilities @ np.exp(values))


iwae_errors = np.full(3, np.log(probabilities @ np.exp(values)) - probabilities @ values)
order_two_is = "b"

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_equal_weights_leave_nothing_to_correct(order_two, expected_iwae, iwae_errors):
    import numpy as np

    result = order_two(np.full((4, 2), -1.5))
    assert result is not None, "order_two returns nothing yet: replace the dots."
    assert np.shape(result) == (2,), f"(4, 2) log-weights make (2,), not {np.shape(result)}."
    np.testing.assert_allclose(
        result, -1.5, err_msg="All log-weights are -1.5: so is the estimate."
    )
    value = expected_iwae(np.array([-1.5]), np.array([1.0]), 3)
    assert value is not None, "expected_iwae returns nothing yet: replace the dots."
    np.testing.assert_allclose(value, -1.5, err_msg="One value with probability 1: no gap.")
    assert np.shape(iwae_errors) == (3,), "iwae_errors should hold three numbers."


# %%
def test_order_two_is_a_letter(order_two_is):
    assert order_two_is in ("a", "b", "c", "d"), 'order_two_is: one of "a" to "d".'


# %%
# HIDDEN
def test_order_two_has_no_bias_over_all_samples(order_two):
    import itertools

    import numpy as np

    x, p = np.array([-1.0, 0.5, 2.0]), np.array([0.5, 0.3, 0.2])
    expected = p @ x + (p @ x**2 - (p @ x) ** 2) / 2
    for n in (2, 3, 5):
        draws = np.array(list(itertools.product(range(3), repeat=n))).T
        value = p[draws].prod(axis=0) @ order_two(x[draws])
        message = f"The mean over all {3**n} samples of {n}: kappa_1 + kappa_2 / 2."
        np.testing.assert_allclose(value, expected, rtol=1e-8, err_msg=message)


# %%
# HIDDEN
def test_expected_bound_sums_over_all_draws(expected_iwae):
    import numpy as np

    p = 0.3  # w is 4 with probability p, or else 1
    expected = (1 - p) ** 2 * 0 + 2 * p * (1 - p) * np.log(2.5) + p**2 * np.log(4)
    value = expected_iwae(np.log([4.0, 1.0]), np.array([p, 1 - p]), 2)
    message = "Two draws of w = 4 (probability 0.3) or 1: ln 1, ln 2.5 or ln 4."
    np.testing.assert_allclose(value, expected, rtol=1e-7, err_msg=message)
    value = expected_iwae(np.log([4.0, 1.0]), np.array([p, 1 - p]), 1)
    message = "With one draw it is <ln w>, the ELBO."
    np.testing.assert_allclose(value, p * np.log(4), rtol=1e-7, err_msg=message)


# %%
# HIDDEN
def test_errors_of_the_bound_per_copy(iwae_errors):
    import itertools

    import numpy as np

    x, p = np.array([-2.0, 0.0, 1.0]), np.array([0.2, 0.5, 0.3])
    log_p, expected = np.log(p @ np.exp(x)), []
    for n in (1, 2, 4):
        draws = np.array(list(itertools.product(range(3), repeat=n)))
        total, weight = x[draws].sum(axis=1), p[draws].prod(axis=1)  # every state of n copies
        sums = np.exp(total)[:, np.newaxis, np.newaxis] + np.add.outer(np.exp(total), np.exp(total))
        bound = np.einsum("i,j,k,ijk", weight, weight, weight, np.log(sums / 3), optimize=True)
        expected.append((n * log_p - bound) / n)
    message = "ln <w> minus the expected IWAE-3, per copy, for 1, 2 and 4 copies. It grows."
    value = np.asarray(iwae_errors, float)
    np.testing.assert_allclose(value, expected, rtol=1e-5, err_msg=message)


# %%
# HIDDEN
def test_cumulants_are_extensive(order_two_is):
    assert order_two_is == "a", (
        "Cumulants of independent parts add (B27), and so does ln <w>: N times the error of one copy."
    )


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

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
# name: 1_generating_functions
# export_cell: false
# show_question_points: true
# tests:
#     ok_format: false

# %% [markdown]
# # Assignment 1: An ion with three levels
#
# *After chapters 1 and 2. About 75 minutes, 10 points.*
#
# An ion in a crystal has three energy levels: 0, 0.8 and 2.0 nats. One state has the lowest energy,
# three states have the middle one and two the highest. That makes six states, and everything that
# chapters 1 and 2 derive can be checked on them by hand. You will write $\ln Z$, differentiate it, put
# many ions together, push them with a field, expand about one temperature to reach another, and
# estimate from a handful of samples.
#
# **How it is graded.** Replace the dots by your own code. `grader.check("q1")` runs the visible
# tests of question 1: they look at shapes and at properties that every right answer has. Further
# tests, which you do not see, decide most of the points. Most answers are functions, and they are
# tested with other arguments than those in this notebook. A mistake in one question therefore costs
# little in the next ones. Energies and $\ln Z$ are in nats, and numbers such as (B6) are rows of the
# course's table of equations.

# %%
import rbm_tf

rbm_tf.quiet_start()

import math

import numpy as np
import tensorflow as tf

levels = np.array([0.0, 0.8, 2.0])  # energies, nats
degeneracies = np.array([1.0, 3.0, 2.0])  # how many states have this energy

# %% [raw]
# # BEGIN QUESTION
# name: q1
# points: [0.25, 0.25, 1]

# %% [markdown]
# ## Question 1: the partition function
#
# Write `log_z(beta, levels, degeneracies)`, the logarithm of the partition function
# $Z(\beta) = \sum_{\rm states} e^{-\beta E}$ (B3). The sum is over *states*. Use TensorFlow's
# functions, so that the result can be differentiated with respect to `beta`, a scalar tensor of
# type float64.

# %% [raw]
# # BEGIN SOLUTION


# %%
def log_z(beta, levels, degeneracies):
    # BEGIN SOLUTION
    return tf.reduce_logsumexp(tf.math.log(degeneracies) - beta * levels)
    # END SOLUTION


# %% tags=["wrong"]
def log_z(beta, levels, degeneracies):
    return tf.reduce_logsumexp(-beta * tf.constant(levels))  # each level once


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_log_z_is_one_number(log_z, levels, degeneracies):
    import tensorflow as tf

    value = log_z(tf.constant(0.7, tf.float64), levels, degeneracies)
    assert value is not None, "log_z returns nothing yet: replace the dots."
    shape = tuple(tf.convert_to_tensor(value).shape)
    assert shape == (), f"log_z(0.7, ..) should be one number; its shape is {shape}."


# %%
def test_slope_is_a_mean_energy(log_z, levels, degeneracies):
    import tensorflow as tf

    import rbm_tf

    beta = tf.constant(0.7, tf.float64)
    assert log_z(beta, levels, degeneracies) is not None, "log_z returns nothing yet."
    (slope,) = rbm_tf.cumulants.derivatives(lambda b: log_z(b, levels, degeneracies), 1, at=beta)
    assert 0 < -slope < 2, (
        f"-d ln Z/d beta is a mean energy, so it lies between the lowest and the highest level; "
        f"yours is {float(-slope):.4f}. A derivative of 0 means that beta did not reach ln Z "
        "through TensorFlow's functions."
    )


# %%
# HIDDEN
def test_log_z_sums_over_all_states(log_z):
    import numpy as np
    import tensorflow as tf

    cases = [(0.0, [0.0, 0.8, 2.0], [1, 3, 2]), (1.3, [0.0, 0.8, 2.0], [1, 3, 2])]
    cases += [(-0.4, [0.0, 0.8, 2.0], [1, 3, 2]), (2.0, [-1.0, 0.5], [2, 5])]
    for beta, levels, degeneracies in cases:
        states = np.repeat(levels, degeneracies)
        value = log_z(
            tf.constant(beta, tf.float64), np.array(levels), np.array(degeneracies, float)
        )
        np.testing.assert_allclose(
            float(value),
            np.log(np.exp(-beta * states).sum()),
            rtol=1e-8,
            err_msg=f"ln Z at beta = {beta} differs from the sum over all {len(states)} states.",
        )


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q2
# points: [0.25, 0.25, 0.5, 0.5, 0.5]

# %% [markdown]
# ## Question 2: energy, entropy, heat capacity
#
# Write `thermodynamics(function, beta)`. It takes *any* function $\ln Z(\beta)$ and a number
# $\beta$, and returns the mean energy $U$, the entropy $S$ and the heat capacity
# $C = -\beta^2\, dU/d\beta$ (B6). The derivatives come from
# `rbm_tf.cumulants.derivatives(function, max_order, at=..)`; chapter 1 shows how to call it.
# Try it on the ion at $\beta = 2$.

# %% [raw]
# # BEGIN SOLUTION


# %%
def thermodynamics(function, beta):
    # BEGIN SOLUTION
    first, second = rbm_tf.cumulants.derivatives(function, 2, at=tf.constant(beta, tf.float64))
    log_z_at_beta = function(tf.constant(beta, tf.float64))
    return -first, log_z_at_beta - beta * first, beta**2 * second  # (B6)
    # END SOLUTION


# %% tags=["wrong"]
def thermodynamics(function, beta):
    first, second = rbm_tf.cumulants.derivatives(function, 2, at=tf.constant(beta, tf.float64))
    log_z_at_beta = function(tf.constant(beta, tf.float64))
    return -first, log_z_at_beta - beta * first, second  # the variance of E, without beta^2


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_three_numbers(thermodynamics):
    import tensorflow as tf

    result = thermodynamics(lambda beta: tf.math.softplus(-beta), 0.5)
    assert result is not None, "thermodynamics returns nothing yet: replace the dots."
    assert len(result) == 3, f"It should return U, S and C; it returns {len(result)} values."
    assert all(abs(float(x)) < 10 for x in result), f"U, S and C of one unit: {result}."


# %%
def test_entropy_and_heat_capacity_are_not_negative(thermodynamics):
    import tensorflow as tf

    result = thermodynamics(lambda beta: tf.math.softplus(-beta), 0.5)
    assert result is not None, "thermodynamics returns nothing yet: replace the dots."
    _, entropy, heat_capacity = result
    assert entropy >= 0, f"The entropy of a discrete system is never negative; yours is {entropy}."
    assert heat_capacity >= 0, f"C is a variance times a square, never negative: {heat_capacity}."


# %%
# HIDDEN
def test_energy_is_the_average_over_states(thermodynamics):
    import numpy as np
    import tensorflow as tf

    states = np.array([0.0, 0.8, 0.8, 0.8, 2.0, 2.0])
    for beta in (0.3, 1.0, 2.5):
        energy = thermodynamics(lambda b: tf.reduce_logsumexp(-b * states), beta)[0]
        p = np.exp(-beta * states) / np.exp(-beta * states).sum()
        message = f"U at beta = {beta} is not the sum of p E."
        np.testing.assert_allclose(float(energy), p @ states, rtol=1e-8, err_msg=message)


# %%
# HIDDEN
def test_entropy_is_that_of_the_probabilities(thermodynamics):
    import numpy as np
    import tensorflow as tf

    states = np.array([0.0, 0.8, 0.8, 0.8, 2.0, 2.0])
    for beta in (0.3, 1.0, 2.5):
        entropy = thermodynamics(lambda b: tf.reduce_logsumexp(-b * states), beta)[1]
        p = np.exp(-beta * states) / np.exp(-beta * states).sum()
        message = f"S at beta = {beta} is not -sum p ln p."
        np.testing.assert_allclose(float(entropy), -p @ np.log(p), rtol=1e-8, err_msg=message)


# %%
# HIDDEN
def test_heat_capacity_is_beta_squared_times_the_variance(thermodynamics):
    import numpy as np
    import tensorflow as tf

    states = np.array([0.0, 0.8, 0.8, 0.8, 2.0, 2.0])
    for beta in (0.3, 1.0, 2.5):
        capacity = thermodynamics(lambda b: tf.reduce_logsumexp(-b * states), beta)[2]
        p = np.exp(-beta * states) / np.exp(-beta * states).sum()
        variance = p @ (states - p @ states) ** 2
        message = f"C at beta = {beta}. A factor of beta^2 makes no difference at beta = 1 only."
        np.testing.assert_allclose(float(capacity), beta**2 * variance, rtol=1e-7, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q3
# points: [0.25, 0.75, 0.5]

# %% [markdown]
# ## Question 3: a crystal
#
# A crystal holds many independent ions, and some impurities of another kind. All of them are
# independent of each other. `kappa_ion` and `kappa_impurity` are the cumulants
# $\kappa_1, \dots, \kappa_4$ of the energy of *one* ion and of *one* impurity.
#
# 1. Write `total_cumulants(kappa_ion, kappa_impurity, num_ions, num_impurities)`, the four
#    cumulants of the total energy.
# 2. Write `mean_square(kappa)`, which returns $\langle E^2 \rangle$ of a quantity with the
#    cumulants `kappa` (B22).

# %% [raw]
# # BEGIN SOLUTION


# %%
def total_cumulants(kappa_ion, kappa_impurity, num_ions, num_impurities):
    # BEGIN SOLUTION
    return num_ions * np.asarray(kappa_ion) + num_impurities * np.asarray(kappa_impurity)
    # END SOLUTION


def mean_square(kappa):
    # BEGIN SOLUTION
    return kappa[1] + kappa[0] ** 2
    # END SOLUTION


# %% tags=["wrong"]
def total_cumulants(kappa_ion, kappa_impurity, num_ions, num_impurities):
    order = np.arange(1, 5)  # those of one ion, its energy multiplied by the number of ions
    ions = float(num_ions) ** order * np.asarray(kappa_ion)
    return ions + float(num_impurities) ** order * np.asarray(kappa_impurity)


def mean_square(kappa):
    return kappa[1]


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_four_cumulants_and_one_moment(total_cumulants, mean_square):
    import numpy as np

    kappa = total_cumulants(np.ones(4), np.zeros(4), 1, 7)
    assert kappa is not None, "total_cumulants returns nothing yet: replace the dots."
    np.testing.assert_allclose(
        kappa, np.ones(4), err_msg="One ion, and impurities whose energy is always 0: just the ion."
    )
    assert mean_square(np.ones(4)) is not None, "mean_square returns nothing yet."


# %%
# HIDDEN
def test_cumulants_are_those_of_the_sum(total_cumulants):
    import numpy as np

    import rbm_tf

    def cumulants(states):
        return rbm_tf.cumulants.weighted_cumulants(states, -states, 4).numpy()

    ion, impurity = np.array([0.0, 0.8, 0.8, 0.8, 2.0, 2.0]), np.array([0.0, 1.5])
    pair = np.add.outer(ion, ion).ravel()
    for total, ions, impurities in (
        (pair, 2, 0),
        (np.add.outer(pair, impurity).ravel(), 2, 1),
        (np.add.outer(np.add.outer(impurity, impurity), impurity).ravel(), 0, 3),
    ):
        np.testing.assert_allclose(
            total_cumulants(cumulants(ion), cumulants(impurity), ions, impurities),
            cumulants(total),
            rtol=1e-6,
            atol=1e-9,
            err_msg=f"{ions} ions, {impurities} impurities: cumulants of all {len(total)} states.",
        )


# %%
# HIDDEN
def test_mean_square_is_the_second_moment(mean_square):
    import numpy as np

    import rbm_tf

    states = np.array([-1.0, 0.0, 3.0])
    kappa = rbm_tf.cumulants.weighted_cumulants(states, np.zeros(3), 4).numpy()
    message = "<x^2> of a variable with the values -1, 0 and 3. The second cumulant is a variance."
    np.testing.assert_allclose(mean_square(kappa), 10 / 3, rtol=1e-8, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q4
# points: [0.25, 0, 0.5, 0.5, 0.5, 0.25]

# %% [markdown]
# ## Question 4: a source, at another temperature
#
# The states of the ion also have a magnetic moment $m$. A field $J$, a source in the sense of
# chapter 2, section 1, changes the energies to $E - J m$. The function below is
# $\ln Z(\beta, J)$. Chapter 2 takes $\beta = 1$ there; you should not.
#
# 1. Write `response(function, beta, field)`. It takes any function $\ln Z(\beta, J)$ and returns
#    the mean moment $\langle m \rangle$ and the susceptibility
#    $\chi = \partial \langle m \rangle / \partial J$, both from derivatives with respect to $J$.
# 2. From the values of both at $\beta = 2$ and $J = 0.3$, predict $\langle m \rangle$ at $J = 0.35$
#    to first order in the change of $J$: `predicted`.
# 3. Let $\mathrm{Var}(m)$ be the variance of $m$ at $\beta$ and $J$. Then $\chi$ is
#    (a) $\mathrm{Var}(m)$, (b) $\beta\, \mathrm{Var}(m)$, (c) $\mathrm{Var}(m) / \beta$,
#    (d) $\beta^2\, \mathrm{Var}(m)$. Set `susceptibility_is` to one of "a", "b", "c", "d".

# %%
moments = np.array([0.0, -1.0, 0.0, 1.0, -2.0, 2.0])  # of the six states
energies = np.repeat(levels, degeneracies.astype(int))


def log_z_in_field(beta, field):
    return tf.reduce_logsumexp(-beta * (energies - field * moments))


# %% [raw]
# # BEGIN SOLUTION


# %%
def response(function, beta, field):
    # BEGIN SOLUTION
    first, second = rbm_tf.cumulants.derivatives(
        lambda source: function(beta, source), 2, at=tf.constant(field, tf.float64)
    )
    return first / beta, second / beta  # d/dJ brings down beta m
    # END SOLUTION


# BEGIN SOLUTION NO PROMPT
mean, slope = response(log_z_in_field, 2.0, 0.3)
# END SOLUTION
predicted = mean + 0.05 * slope  # SOLUTION
susceptibility_is = "b"  # SOLUTION


# %% tags=["wrong"]
def response(function, beta, field):
    return rbm_tf.cumulants.derivatives(  # as at beta = 1
        lambda source: function(beta, source), 2, at=tf.constant(field, tf.float64)
    )


mean, slope = response(log_z_in_field, 2.0, 0.3)
predicted = mean + 0.05 * slope
susceptibility_is = "a"

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_moment_follows_the_field(response, log_z_in_field):
    result = response(log_z_in_field, 1.5, 0.0)
    assert result is not None, "response returns nothing yet: replace the dots."
    mean, slope = result
    assert abs(mean) < 1e-9, f"Without a field +m and -m are equally likely; your mean is {mean}."
    assert slope > 0, f"A moment turns towards the field; your susceptibility is {slope}."


# %%
def test_answers_are_a_number_and_a_letter(predicted, susceptibility_is):
    assert susceptibility_is in ("a", "b", "c", "d"), 'susceptibility_is: one of "a" to "d".'
    assert abs(float(predicted)) < 10, f"predicted should be a number; it is {predicted}."


# %%
# HIDDEN
def test_mean_moment_is_the_average_over_states(response, log_z_in_field):
    import numpy as np

    energies = np.array([0.0, 0.8, 0.8, 0.8, 2.0, 2.0])
    moments = np.array([0.0, -1.0, 0.0, 1.0, -2.0, 2.0])
    for beta, field in ((0.5, 0.2), (2.0, 0.3), (3.0, -0.1)):
        p = np.exp(-beta * (energies - field * moments))
        p /= p.sum()
        message = f"<m> at beta = {beta}, J = {field}. d/dJ of -beta (E - J m) is beta m."
        mean = float(response(log_z_in_field, beta, field)[0])
        np.testing.assert_allclose(mean, p @ moments, rtol=1e-8, err_msg=message)


# %%
# HIDDEN
def test_susceptibility_is_the_slope_of_the_mean_moment(response, log_z_in_field):
    import numpy as np

    energies = np.array([0.0, 0.8, 0.8, 0.8, 2.0, 2.0])
    moments = np.array([0.0, -1.0, 0.0, 1.0, -2.0, 2.0])

    def mean(beta, field):
        p = np.exp(-beta * (energies - field * moments))
        return p @ moments / p.sum()

    for beta, field in ((0.5, 0.2), (2.0, 0.3), (3.0, -0.1)):
        slope = (mean(beta, field + 1e-5) - mean(beta, field - 1e-5)) / 2e-5
        message = f"d<m>/dJ at beta = {beta}, J = {field}, against a finite difference of <m>."
        value = float(response(log_z_in_field, beta, field)[1])
        np.testing.assert_allclose(value, slope, rtol=1e-6, err_msg=message)


# %%
# HIDDEN
def test_prediction_to_first_order(predicted):
    import numpy as np

    energies = np.array([0.0, 0.8, 0.8, 0.8, 2.0, 2.0])
    moments = np.array([0.0, -1.0, 0.0, 1.0, -2.0, 2.0])
    p = np.exp(-2 * (energies - 0.3 * moments))
    p /= p.sum()
    variance = p @ moments**2 - (p @ moments) ** 2
    expected = p @ moments + 0.05 * 2 * variance
    message = "<m> at J = 0.3 plus 0.05 times the susceptibility there, at beta = 2."
    np.testing.assert_allclose(float(predicted), expected, rtol=1e-6, err_msg=message)


# %%
# HIDDEN
def test_fluctuation_and_response(susceptibility_is):
    assert susceptibility_is == "b", (
        "ln Z has d/dJ = beta <m>, and d<m>/dJ brings down another beta m from the exponent."
    )


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q5
# points: [0.25, 0, 0.75, 0.5]

# %% [markdown]
# ## Question 5: from one temperature to another
#
# The cumulants $\kappa_n$ of the energy at $\beta_0$ say what $\ln Z$ is elsewhere:
#
# $$\ln Z(\beta_0 + t) - \ln Z(\beta_0) = \ln \langle e^{-t E} \rangle_{\beta_0} ,$$
#
# and the right-hand side is a cumulant generating function (B21).
#
# 1. Write `partial_sums(kappa, t)`: an array of the series for this difference, truncated after
#    order 1, 2, .., `len(kappa)`.
# 2. Print the partial sums for the ion, from $\beta_0 = 1$, for $t = 1$ and for $t = -1$, beside the
#    exact difference. Which statement is right? Set `bounds` to its letter.
#
#    (a) Every order is a lower bound on the difference.
#    (b) Order 1 is a lower bound for $t > 0$ and an upper bound for $t < 0$.
#    (c) Order 1 is a lower bound for every $t$. The other orders are no bounds.
#    (d) Odd orders are lower bounds and even orders upper bounds, for every $t$.

# %%
kappa_ion = rbm_tf.cumulants.weighted_cumulants(energies, -energies, 6).numpy()  # at beta_0 = 1


def exact_difference(t):
    return np.log(np.exp(-(1 + t) * energies).sum()) - np.log(np.exp(-energies).sum())


# %% [raw]
# # BEGIN SOLUTION


# %%
def partial_sums(kappa, t):
    # BEGIN SOLUTION
    order = np.arange(1, len(kappa) + 1)
    factorials = np.array([math.factorial(n) for n in order], float)
    return np.cumsum((-t) ** order * np.asarray(kappa) / factorials)
    # END SOLUTION


bounds = "c"  # SOLUTION


# %% tags=["wrong"]
def partial_sums(kappa, t):
    order = np.arange(1, len(kappa) + 1)
    factorials = np.array([math.factorial(n) for n in order], float)
    return np.cumsum(t**order * np.asarray(kappa) / factorials)  # the sign of -tE is lost


bounds = "d"

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_partial_sums_are_an_array(partial_sums):
    import numpy as np

    sums = partial_sums(np.array([1.0, 2.0, 0.5]), 0.0)
    assert sums is not None, "partial_sums returns nothing yet: replace the dots."
    assert np.shape(sums) == (3,), f"Three cumulants make three sums; yours: {np.shape(sums)}."
    np.testing.assert_allclose(sums, 0, atol=1e-12, err_msg="At t = 0 nothing has changed.")


# %%
def test_bounds_is_a_letter(bounds):
    assert bounds in ("a", "b", "c", "d"), 'bounds: one of "a" to "d".'


# %%
# HIDDEN
def test_series_sums_to_the_exact_difference(partial_sums):
    import numpy as np

    for t in (0.7, -0.7):  # an energy with a Poisson distribution of rate 2: all cumulants are 2
        sums = partial_sums(np.full(15, 2.0), t)
        message = f"Poisson energy of rate 2, t = {t}: ln <exp(-t E)> = 2 (exp(-t) - 1)."
        np.testing.assert_allclose(sums[-1], 2 * (np.exp(-t) - 1), rtol=1e-9, err_msg=message)
        message = f"Orders 1 and 2 at t = {t} are -t kappa_1 and -t kappa_1 + t^2 kappa_2 / 2."
        np.testing.assert_allclose(sums[:2], [-2 * t, -2 * t + t**2], err_msg=message)


# %%
# HIDDEN
def test_only_order_one_is_a_bound(bounds):
    assert bounds == "c", (
        "By Jensen's inequality <exp(-t E)> >= exp(-t <E>), whatever the sign of t. For the ion "
        "orders 2 and 3 are above the difference at one of t = 1 and t = -1, and below it at the other."
    )


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q6
# points: [0.25, 0.25, 0.5, 0.5]

# %% [markdown]
# ## Question 6: five samples
#
# You know the ion only from $n$ independent samples $x_1, \dots, x_n$ of its energy, and want
# $\langle E \rangle^2$, the square of the mean. The square of the sample mean is a biased estimate.
#
# 1. `naive_bias(variance, n)`: the expectation of $\bar x^2$ minus $\langle E \rangle^2$, as a
#    formula in the exact variance of $E$.
# 2. `square_of_mean(x)`: an unbiased estimate of $\langle E \rangle^2$ from an array of shape
#    (n, ..) with the samples along axis 0; $n \ge 2$.
#
# The cell before your answer draws 20,000 times five samples, so that you can compare.

# %%
probabilities = np.exp(-energies) / np.exp(-energies).sum()
samples = np.random.default_rng(0).choice(energies, size=(5, 20_000), p=probabilities)

# %% [raw]
# # BEGIN SOLUTION


# %%
def naive_bias(variance, n):
    # BEGIN SOLUTION
    return variance / n
    # END SOLUTION


def square_of_mean(x):
    # BEGIN SOLUTION
    return np.mean(x, axis=0) ** 2 - np.var(x, axis=0, ddof=1) / len(x)
    # END SOLUTION


# %% tags=["wrong"]
def naive_bias(variance, n):
    return variance / (n - 1)


def square_of_mean(x):
    return np.mean(x, axis=0) ** 2 - np.var(x, axis=0) / len(x)  # the naive variance is too small


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_estimates_have_the_shape_of_the_repeats(square_of_mean):
    import numpy as np

    result = square_of_mean(np.ones((5, 7)))
    assert result is not None, "square_of_mean returns nothing yet: replace the dots."
    assert np.shape(result) == (7,), f"(5, 7) samples make 7 estimates; yours: {np.shape(result)}."
    np.testing.assert_allclose(result, 1, err_msg="Samples that are all 1 have the squared mean 1.")


# %%
def test_bias_falls_with_the_number_of_samples(naive_bias):
    values = [naive_bias(1.0, n) for n in (2, 20, 2000)]
    assert None not in values, "naive_bias returns nothing yet: replace the dots."
    assert values[0] > values[1] > values[2] > 0, f"For 2, 20 and 2000 samples: {values}."


# %%
# HIDDEN
def test_naive_bias_over_all_samples(naive_bias):
    import itertools

    import numpy as np

    x = np.array([0.0, 0.8, 0.8, 0.8, 2.0, 2.0])
    p = np.exp(-x) / np.exp(-x).sum()
    variance = p @ (x - p @ x) ** 2
    for n in (2, 3, 4):
        states = np.array(list(itertools.product(range(6), repeat=n))).T
        bias = p[states].prod(axis=0) @ x[states].mean(axis=0) ** 2 - (p @ x) ** 2
        message = f"Bias of the squared mean of {n} samples, averaged over all {6**n} samples."
        np.testing.assert_allclose(naive_bias(variance, n), bias, rtol=1e-8, err_msg=message)


# %%
# HIDDEN
def test_estimate_has_no_bias_over_all_samples(square_of_mean):
    import itertools

    import numpy as np

    x = np.array([0.0, 0.8, 0.8, 0.8, 2.0, 2.0])
    p = np.exp(-x) / np.exp(-x).sum()
    for n in (2, 3, 4):
        states = np.array(list(itertools.product(range(6), repeat=n))).T
        mean = p[states].prod(axis=0) @ square_of_mean(x[states])
        message = f"Your estimate from {n} samples, averaged over all {6**n} samples, is biased."
        np.testing.assert_allclose(mean, (p @ x) ** 2, rtol=1e-8, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

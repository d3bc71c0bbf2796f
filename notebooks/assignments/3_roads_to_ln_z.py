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
# name: 3_roads_to_ln_z
# export_cell: false
# show_question_points: true
# tests:
#     ok_format: false

# %% [markdown]
# # Assignment 3: Roads to ln Z of a ring
#
# *After chapters 8 and 9. About 90 minutes, 10 points.*
#
# $N$ spins $s_i = \pm 1$ sit on a ring, with the energy
#
# $$E(s) = -K \sum_i s_i s_{i+1} - h \sum_i s_i , \qquad s_{N+1} = s_1 .$$
#
# Coupling $K$ and field $h$ contain $\beta$, so they are in nats (B7), and
# $Z(K, h) = \sum_s e^{-E(s)}$. The ring is a good testing ground: its $\ln Z$ has a closed form, and
# so does the cost of plain Monte Carlo. You will derive both, write an estimator that does not lie,
# bracket $\ln Z$ from both sides, and see how samples from a single mode can break a bound.
#
# **How it is graded.** Replace the dots by your own code. `grader.check("q1")` runs the visible
# tests of question 1: they look at shapes and at properties that every right answer has. Further
# tests, which you do not see, decide most of the points. Most answers are functions, and they are
# tested with other arguments than those in this notebook. A mistake in one question therefore costs
# little in the next ones.

# %%
import rbm_tf

rbm_tf.quiet_start()

import numpy as np


def ring_energy(spins, coupling, field):
    """E(s) of states (.., num_spins), nats."""
    bonds = np.sum(spins * np.roll(spins, -1, axis=-1), axis=-1)
    return -coupling * bonds - field * np.sum(spins, axis=-1)


def all_rings(num_spins):
    """All states of a ring, (2 ** num_spins, num_spins)."""
    return rbm_tf.ising.all_spins(1, num_spins)[:, 0]


# %% [raw]
# # BEGIN QUESTION
# name: q1
# points: [0.25, 0.25, 1]

# %% [markdown]
# ## Question 1: the exact answer
#
# Each bond is a factor $e^{K s_i s_{i+1} + h (s_i + s_{i+1}) / 2}$, an entry of a 2 × 2 matrix, and
# the sum over a spin is a matrix product. Hence $Z$ is the trace of the $N$-th power of that matrix,
# which is the sum of the $N$-th powers of its eigenvalues. Write `log_z(num_spins, coupling, field)`.
# It should work for 1,000 spins, where $Z$ itself overflows.

# %% [raw]
# # BEGIN SOLUTION


# %%
def log_z(num_spins, coupling, field):
    # BEGIN SOLUTION
    spins = np.array([1.0, -1.0])
    exponent = coupling * np.outer(spins, spins) + field * np.add.outer(spins, spins) / 2
    small, large = np.linalg.eigvalsh(np.exp(exponent))  # symmetric; |small| < large
    return num_spins * np.log(large) + np.log1p((small / large) ** num_spins)
    # END SOLUTION


# %% tags=["wrong"]
def log_z(num_spins, coupling, field):  # of an infinite ring
    spins = np.array([1.0, -1.0])
    exponent = coupling * np.outer(spins, spins) + field * np.add.outer(spins, spins) / 2
    return num_spins * np.log(np.linalg.eigvalsh(np.exp(exponent))[-1])


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_spins_without_bonds_are_independent(log_z):
    import numpy as np

    value = log_z(6, 0.0, 0.3)
    assert value is not None, "log_z returns nothing yet: replace the dots."
    message = "Without a coupling every spin is alone: six times ln(2 cosh h)."
    np.testing.assert_allclose(value, 6 * np.log(2 * np.cosh(0.3)), rtol=1e-8, err_msg=message)


# %%
def test_long_rings_do_not_overflow(log_z):
    import numpy as np

    value = log_z(1000, 2.0, 0.1)
    assert value is not None, "log_z returns nothing yet: replace the dots."
    assert np.isfinite(value), "For 1,000 spins it overflows: take the largest eigenvalue out."


# %%
# HIDDEN
def test_log_z_is_the_sum_over_all_states(log_z):
    import itertools

    import numpy as np

    for n, coupling, field in ((3, 0.5, 0.0), (4, 0.8, 0.3), (5, -0.7, 0.2), (8, 1.1, -0.1)):
        s = np.array(list(itertools.product([-1.0, 1.0], repeat=n)))
        minus_energy = coupling * (s * np.roll(s, -1, axis=1)).sum(axis=1) + field * s.sum(axis=1)
        message = f"ln Z of {n} spins at K = {coupling}, h = {field}. Mind both eigenvalues."
        expected = np.log(np.exp(minus_energy).sum())
        np.testing.assert_allclose(log_z(n, coupling, field), expected, rtol=1e-8, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q2
# points: [0.25, 1, 0.25, 0.5]

# %% [markdown]
# ## Question 2: what plain Monte Carlo costs
#
# Draw states uniformly and average $w = 2^N e^{-E(s)}$: its mean is $Z$.
#
# 1. Write `relative_variance(log_z, num_spins, coupling, field)`: the variance of a *single* $w$,
#    divided by $Z^2$, exactly. Express it by $\ln Z$ of two rings; `log_z` is any function with the
#    arguments of question 1. (What is $w^2$? Which ring has that energy?)
# 2. Write `draws_needed(variance, relative_error)`: how many independent draws the average needs for
#    a given relative standard error, as a real number.
# 3. At $K = 0.5$ and $h = 0.1$ compute the draws for a relative error of 10 % with 10, 20 and 40
#    spins: `draws`, an array of three numbers. You may take `log_z` from question 1, or
#    `rbm_tf.ising.chain(num_spins, coupling, field=field).log_z()`.

# %% [raw]
# # BEGIN SOLUTION


# %%
def relative_variance(log_z, num_spins, coupling, field):
    # BEGIN SOLUTION
    log_mean_square = num_spins * np.log(2) + log_z(num_spins, 2 * coupling, 2 * field)
    return np.expm1(log_mean_square - 2 * log_z(num_spins, coupling, field))
    # END SOLUTION


def draws_needed(variance, relative_error):
    # BEGIN SOLUTION
    return variance / relative_error**2
    # END SOLUTION


# BEGIN SOLUTION NO PROMPT
variances = np.array([relative_variance(log_z, n, 0.5, 0.1) for n in (10, 20, 40)])
# END SOLUTION
draws = draws_needed(variances, 0.1)  # SOLUTION


# %% tags=["wrong"]
def relative_variance(log_z, num_spins, coupling, field):  # the field at the old temperature
    log_mean_square = num_spins * np.log(2) + log_z(num_spins, 2 * coupling, field)
    return np.expm1(log_mean_square - 2 * log_z(num_spins, coupling, field))


def draws_needed(variance, relative_error):
    return np.sqrt(variance) / relative_error


variances = np.array([relative_variance(log_z, n, 0.5, 0.1) for n in (10, 20, 40)])
draws = draws_needed(variances, 0.1)

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_equal_weights_have_no_variance(relative_variance):
    import numpy as np

    value = relative_variance(lambda n, coupling, field: n * np.log(2), 6, 0.0, 0.0)
    assert value is not None, "relative_variance returns nothing yet: replace the dots."
    message = "Without couplings and fields all weights are equal to Z, so the variance is 0."
    np.testing.assert_allclose(value, 0, atol=1e-9, err_msg=message)


# %%
# HIDDEN
def test_variance_is_that_of_all_states(relative_variance):
    import itertools

    import numpy as np

    import rbm_tf

    def log_z(num_spins, coupling, field):
        return float(rbm_tf.ising.chain(num_spins, coupling, field=field).log_z())

    for n, coupling, field in ((3, 0.5, 0.0), (6, 0.5, 0.4), (8, 0.9, -0.2)):
        s = np.array(list(itertools.product([-1.0, 1.0], repeat=n)))
        bonds = (s * np.roll(s, -1, axis=1)).sum(axis=1)
        w = 2**n * np.exp(coupling * bonds + field * s.sum(axis=1))
        message = f"Var(w) / <w>^2 over all {2**n} states, K = {coupling}, h = {field}."
        value = relative_variance(log_z, n, coupling, field)
        np.testing.assert_allclose(value, w.var() / w.mean() ** 2, rtol=1e-7, err_msg=message)


# %%
# HIDDEN
def test_error_falls_with_the_root_of_the_draws(draws_needed):
    import numpy as np

    message = "n draws divide the variance by n: 9 / 0.5^2 = 36."
    np.testing.assert_allclose(draws_needed(9.0, 0.5), 36, err_msg=message)


# %%
# HIDDEN
def test_draws_grow_exponentially(draws):
    import numpy as np

    def log_z(n, coupling, field):
        root = np.sqrt(np.sinh(field) ** 2 + np.exp(-4 * coupling))
        plus, minus = (np.exp(coupling) * (np.cosh(field) + sign * root) for sign in (1, -1))
        return np.log(plus**n + minus**n)

    expected = [
        100 * (np.exp(n * np.log(2) + log_z(n, 1.0, 0.2) - 2 * log_z(n, 0.5, 0.1)) - 1)
        for n in (10, 20, 40)
    ]
    message = "Draws for 10 % with 10, 20 and 40 spins. The cost grows exponentially with the size."
    np.testing.assert_allclose(np.asarray(draws, float), expected, rtol=1e-5, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q3
# points: [0.25, 0.25, 0.5, 0.5, 0.5]

# %% [markdown]
# ## Question 3: an estimator with an error bar
#
# Write `estimate(log_weights)`. From $\ln w$ of independent draws, shape (num_samples,), it returns
# three numbers: the estimate $\ln \big( \frac1n \sum_k w_k \big)$; its standard error, which to first
# order is the relative standard error of the mean weight (with the variance that divides by
# $n - 1$); and the effective sample size $\left( \sum_k w_k \right)^2 / \sum_k w_k^2$. Log-weights
# may be as large as 1,000 or as small as -1,000.

# %% [raw]
# # BEGIN SOLUTION


# %%
def estimate(log_weights):
    # BEGIN SOLUTION
    largest = np.max(log_weights)
    weights = np.exp(log_weights - largest)
    mean, num_samples = weights.mean(), len(weights)
    error = weights.std(ddof=1) / mean / np.sqrt(num_samples)
    return largest + np.log(mean), error, weights.sum() ** 2 / np.sum(weights**2)
    # END SOLUTION


# %% tags=["wrong"]
def estimate(log_weights):  # the mean of the logarithm, not the logarithm of the mean
    num_samples = len(log_weights)
    error = np.std(log_weights, ddof=1) / np.sqrt(num_samples)
    return np.mean(log_weights), error, num_samples


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_equal_weights_leave_no_doubt(estimate):
    import numpy as np

    result = estimate(np.full(7, -2.5))
    assert result is not None, "estimate returns nothing yet: replace the dots."
    message = "Seven weights exp(-2.5): the estimate -2.5, no error, seven effective samples."
    np.testing.assert_allclose(result, (-2.5, 0, 7), atol=1e-9, err_msg=message)


# %%
def test_large_weights_do_not_overflow(estimate):
    import numpy as np

    for size in (1000.0, -1000.0):
        result = estimate(np.array([size, size - 1]))
        assert result is not None, "estimate returns nothing yet: replace the dots."
        assert np.all(np.isfinite(result)), (
            f"ln w = {size}: not finite. Subtract the largest first."
        )


# %%
# HIDDEN
def test_estimate_is_the_logarithm_of_the_mean(estimate):
    import numpy as np

    for weights in ([1.0, 3.0], [0.5, 0.5, 8.0, 1.0]):
        value = estimate(np.log(weights))[0]
        message = f"ln of the mean of the weights {weights}: the mean of ln w is below it."
        np.testing.assert_allclose(value, np.log(np.mean(weights)), rtol=1e-8, err_msg=message)


# %%
# HIDDEN
def test_standard_error_is_relative(estimate):
    import numpy as np

    # 1, 3: mean 2, variance 2, so sqrt(2 / 2) / 2; twice as large weights change nothing
    for weights in ([1.0, 3.0], [2.0, 6.0]):
        value = estimate(np.log(weights))[1]
        message = f"Standard error of the mean of {weights}, divided by the mean."
        np.testing.assert_allclose(value, 0.5, rtol=1e-8, err_msg=message)


# %%
# HIDDEN
def test_effective_sample_size(estimate):
    import numpy as np

    value = estimate(np.log([1.0, 3.0]))[2]
    np.testing.assert_allclose(value, 16 / 10, rtol=1e-8, err_msg="(1 + 3)^2 / (1^2 + 3^2) = 1.6.")


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q4
# points: [0.25, 0.25, 1, 0.5]

# %% [markdown]
# ## Question 4: from both sides
#
# At $h = 0$ let $B(K) = \langle \sum_i s_i s_{i+1} \rangle_K = \partial \ln Z / \partial K$. Anneal from
# coupling 0 to $K$ in $n$ equal steps, and let the ring come to equilibrium at every coupling on the
# way. Forward, each step adds $\frac{K}{n} \sum_i s_i s_{i+1}$ to $\ln w$, with a state from the
# coupling where the step *begins*; in reverse, with a state from the coupling where it *ends*.
#
# 1. Write `bracket(mean_bonds, coupling, num_steps)`. `mean_bonds(K)` is any function $B$. Return
#    the mean of $\ln w$ forward and the mean of $\ln w$ in reverse, both as estimates of
#    $\ln Z(K) - \ln Z(0)$.
# 2. Write `steps_needed(mean_bonds, coupling, gap)`: the smallest number of steps for which the two
#    are at most `gap` nats apart, a whole number. A short formula does it.

# %% [raw]
# # BEGIN SOLUTION


# %%
def bracket(mean_bonds, coupling, num_steps):
    # BEGIN SOLUTION
    ladder = np.linspace(0, coupling, num_steps + 1)
    bonds = np.array([mean_bonds(k) for k in ladder])
    step = coupling / num_steps
    return step * bonds[:-1].sum(), step * bonds[1:].sum()
    # END SOLUTION


def steps_needed(mean_bonds, coupling, gap):
    # BEGIN SOLUTION
    # all terms of the two sums but the first and the last are the same
    return int(np.ceil(coupling * (mean_bonds(coupling) - mean_bonds(0.0)) / gap))
    # END SOLUTION


# %% tags=["wrong"]
def bracket(mean_bonds, coupling, num_steps):  # forward from the ends of the steps
    ladder = np.linspace(0, coupling, num_steps + 1)
    bonds = np.array([mean_bonds(k) for k in ladder])
    step = coupling / num_steps
    return step * bonds[1:].sum(), step * bonds[:-1].sum()


def steps_needed(mean_bonds, coupling, gap):
    return int(np.ceil(coupling * mean_bonds(coupling) / 2 / gap))


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_many_steps_meet_at_the_integral(bracket):
    import numpy as np

    result = bracket(np.tanh, 1.2, 2000)
    assert result is not None, "bracket returns nothing yet: replace the dots."
    message = "One open bond, B = tanh K: 2,000 steps should be within 0.001 of ln cosh K."
    np.testing.assert_allclose(result, np.log(np.cosh(1.2)), atol=1e-3, err_msg=message)


# %%
def test_smaller_gaps_take_more_steps(steps_needed):
    import numpy as np

    few, many = steps_needed(np.tanh, 1.2, 0.1), steps_needed(np.tanh, 1.2, 0.01)
    assert few is not None, "steps_needed returns nothing yet: replace the dots."
    assert int(few) == few and 0 < few < many, f"For gaps of 0.1 and 0.01 nats: {few} and {many}."


# %%
# HIDDEN
def test_forward_is_below_and_reverse_above(bracket):
    import numpy as np

    for coupling, num_steps in ((1.0, 1), (1.2, 4), (0.6, 7)):
        ladder = [coupling * t / num_steps for t in range(num_steps + 1)]
        forward = sum(coupling / num_steps * 8 * np.tanh(k) for k in ladder[:-1])
        reverse = sum(coupling / num_steps * 8 * np.tanh(k) for k in ladder[1:])
        result = bracket(lambda k: 8 * np.tanh(k), coupling, num_steps)
        message = (
            f"Forward and reverse for B = 8 tanh K, {num_steps} steps to {coupling}. B grows with K, "
            "so states from the beginning of a step give too little."
        )
        np.testing.assert_allclose(result, (forward, reverse), rtol=1e-8, err_msg=message)


# %%
# HIDDEN
def test_number_of_steps_is_the_smallest(steps_needed):
    import numpy as np

    def mean_bonds(k):
        return 1 + 8 * np.tanh(k)

    for coupling, gap in ((1.2, 0.1), (0.5, 0.037)):
        ladder = [np.linspace(0, coupling, n + 1) for n in range(1, 400)]
        gaps = [x[1] * (mean_bonds(x[1:]).sum() - mean_bonds(x[:-1]).sum()) for x in ladder]
        expected = 1 + int(np.argmax(np.array(gaps) <= gap))
        value = steps_needed(mean_bonds, coupling, gap)
        assert value == expected, (
            f"B = 1 + 8 tanh K, to {coupling}, gap {gap}: {expected} steps are the first that do; "
            f"you have {value}. The gap is K (B(K) - B(0)) / n."
        )


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q5
# points: [0.25, 0, 1.25, 0.5, 0.5]

# %% [markdown]
# ## Question 5: samples from one mode
#
# Now take one step in reverse: samples $s$ come from the *model*, the base is uniform,
# $w = 2^N e^{-E(s)}$, and since $\langle 1/w \rangle_p = 1/Z$ the estimate is
# $-\ln \langle 1/w \rangle$, an upper bound on average. But the chain that made the samples never
# left one mode: it visits only the states in a set $A$, with the probabilities $p(s) / P(A)$.
#
# 1. Write `reverse_estimate(energy, inside)` for infinitely many such samples. `energy` holds $E$ of
#    *all* states, (num_states,), and `inside` is True for those in $A$. Return the estimate of
#    $\ln Z$, in nats.
# 2. Take the ring of 7 spins with $K = 0.9$, $h = 0.15$, and let $A$ be the states with positive
#    magnetisation $\sum_i s_i$, then those with negative magnetisation. Compute the errors (estimate
#    minus exact $\ln Z$): `error_likely` and `error_unlikely`.
# 3. Set `verdict` to the letter of the right statement.
#
#    (a) The reverse estimate is above $\ln Z$ whatever mode the samples come from.
#    (b) Samples from the less likely mode alone bring the reverse estimate below $\ln Z$.
#    (c) A single mode never matters, because the constant $P(A)$ cancels.
#    (d) Both errors are negative, because states are missing from the sum.

# %% [raw]
# # BEGIN SOLUTION


# %%
def reverse_estimate(energy, inside):
    # BEGIN SOLUTION
    # <1/w> = sum_A e^-E / (sum_A e^-E) * e^E / 2^N = |A| / 2^N / sum_A e^-E
    return np.logaddexp.reduce(-energy[inside]) - np.log(np.mean(inside))
    # END SOLUTION


# BEGIN SOLUTION NO PROMPT
states = all_rings(7)
energy, magnetisation = ring_energy(states, 0.9, 0.15), states.sum(axis=1)
exact = np.logaddexp.reduce(-energy)
# END SOLUTION
error_likely = reverse_estimate(energy, magnetisation > 0) - exact  # SOLUTION
error_unlikely = reverse_estimate(energy, magnetisation < 0) - exact  # SOLUTION
verdict = "b"  # SOLUTION


# %% tags=["wrong"]
def reverse_estimate(energy, inside):  # <w> over samples of the model
    p = np.exp(-energy[inside]) / np.exp(-energy[inside]).sum()
    return np.log(p @ np.exp(-energy[inside])) + np.log(len(energy))


states = all_rings(7)
energy, magnetisation = ring_energy(states, 0.9, 0.15), states.sum(axis=1)
exact = np.logaddexp.reduce(-energy)
error_likely = reverse_estimate(energy, magnetisation > 0) - exact
error_unlikely = reverse_estimate(energy, magnetisation < 0) - exact
verdict = "a"

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_all_states_give_the_exact_answer(reverse_estimate):
    import numpy as np

    energy = np.array([0.3, -1.0, 2.0, 0.1])
    value = reverse_estimate(energy, np.full(4, True))
    assert value is not None, "reverse_estimate returns nothing yet: replace the dots."
    message = "With samples from everywhere -ln <1/w> is ln Z."
    np.testing.assert_allclose(value, np.log(np.exp(-energy).sum()), rtol=1e-8, err_msg=message)


# %%
def test_answers_are_numbers_and_a_letter(error_likely, error_unlikely, verdict):
    assert verdict in ("a", "b", "c", "d"), 'verdict: one of "a" to "d".'
    assert abs(float(error_likely)) < 100 and abs(float(error_unlikely)) < 100, "Errors in nats."


# %%
# HIDDEN
def test_estimate_averages_inverse_weights(reverse_estimate):
    import numpy as np

    energy = np.array([0.3, -1.0, 2.0, 0.1, 0.0, 1.5, -0.4, 0.9])
    for inside in (energy < 0.5, energy > 0.2, np.arange(8) == 3):
        p = np.exp(-energy[inside]) / np.exp(-energy[inside]).sum()
        expected = -np.log(p @ (np.exp(energy[inside]) / 8))
        message = (
            f"-ln <1/w> over the states {np.flatnonzero(inside)} with p / P(A), w = 8 exp(-E)."
        )
        np.testing.assert_allclose(
            reverse_estimate(energy, inside), expected, rtol=1e-8, atol=1e-9, err_msg=message
        )


# %%
# HIDDEN
def test_errors_of_the_two_modes(error_likely, error_unlikely):
    import itertools

    import numpy as np

    s = np.array(list(itertools.product([-1.0, 1.0], repeat=7)))
    p = np.exp(0.9 * (s * np.roll(s, -1, axis=1)).sum(axis=1) + 0.15 * s.sum(axis=1))
    share = p[s.sum(axis=1) > 0].sum() / p.sum()
    expected = np.log(share / 0.5), np.log((1 - share) / 0.5)
    message = "The error is ln P(A) minus ln of the share that A has of all states, here 1/2."
    np.testing.assert_allclose((error_likely, error_unlikely), expected, rtol=1e-6, err_msg=message)


# %%
# HIDDEN
def test_the_bound_breaks(verdict):
    assert verdict == "b", (
        "The bound needs samples of the whole model. P(A) below the share of A among all states "
        "makes the error ln P(A) - ln q(A) negative; above it, positive."
    )


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

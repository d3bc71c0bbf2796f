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
# name: 4_temperature
# export_cell: false
# show_question_points: true
# tests:
#     ok_format: false

# %% [markdown]
# # Assignment 4: Turning the temperature
#
# *After chapters 12 to 14. About 90 minutes, 10 points.*
#
# The energy of a model defines a family of models, one for each inverse temperature $\beta$. You
# will split the energy fluctuations of a small restricted Boltzmann machine into two parts, cool a
# triangle of spins that cannot please all its bonds, compare two machines with weights of the same
# norm, predict how many temperatures an annealing run needs, and find the one temperature that is
# right for inference.
#
# **How it is graded.** Replace the dots by your own code. `grader.check("q1")` runs the visible
# tests of question 1: they look at shapes and at properties that every right answer has. Further
# tests, which you do not see, decide most of the points. Most answers are functions, and they are
# tested with other arguments than those in this notebook. A mistake in one question therefore costs
# little in the next ones. Energies, entropies and heat capacities are in nats.

# %%
import rbm_tf

rbm_tf.quiet_start()

import itertools

import numpy as np


def all_states(num_units, low=0.0):
    """All states of units that are `low` or 1, (2 ** num_units, num_units)."""
    return np.array(list(itertools.product([low, 1.0], repeat=num_units)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# %% [raw]
# # BEGIN QUESTION
# name: q1
# points: [0.25, 0.75, 0.75, 0.75]

# %% [markdown]
# ## Question 1: two sources of fluctuations
#
# Given the hidden units of a restricted Boltzmann machine, its energy (B1) is a constant plus a sum
# of independent terms, one for each visible unit (chapter 12, section 3). Write
# `energy_statistics(kernel, visible_bias, hidden_bias, beta)`. At the inverse temperature $\beta$ it
# returns three numbers: the mean energy $U$; the variance *within*, which is the average over $h$ of
# $\mathrm{Var}(E|h)$; and the variance *between*, which is the variance over $h$ of
# $\langle E|h \rangle$. Sum over the hidden states only.

# %% [raw]
# # BEGIN SOLUTION


# %%
def energy_statistics(kernel, visible_bias, hidden_bias, beta):
    # BEGIN SOLUTION
    h = all_states(len(hidden_bias))
    inputs = visible_bias + h @ kernel.T  # (num_h, num_visible)
    on = sigmoid(beta * inputs)
    log_p = beta * h @ hidden_bias + np.logaddexp(0, beta * inputs).sum(axis=1)
    p = np.exp(log_p - np.logaddexp.reduce(log_p))
    mean = -h @ hidden_bias - np.sum(inputs * on, axis=1)  # <E|h>
    variance = np.sum(inputs**2 * on * (1 - on), axis=1)  # Var(E|h)
    return p @ mean, p @ variance, p @ mean**2 - (p @ mean) ** 2
    # END SOLUTION


# %% tags=["wrong"]
def energy_statistics(kernel, visible_bias, hidden_bias, beta):
    h = all_states(len(hidden_bias))
    inputs = visible_bias + h @ kernel.T
    on = sigmoid(beta * inputs)
    p = np.exp(beta * h @ hidden_bias)  # the visible units are not summed out
    p /= p.sum()
    mean = -h @ hidden_bias - np.sum(inputs * on, axis=1)
    variance = np.sum(inputs**2 * on * (1 - on), axis=1)
    return p @ mean, p @ variance, p @ mean**2 - (p @ mean) ** 2


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_independent_units_fluctuate_within_only(energy_statistics):
    import numpy as np

    result = energy_statistics(np.zeros((2, 1)), np.array([1.0, -2.0]), np.zeros(1), 0.5)
    assert result is not None, "energy_statistics returns nothing yet: replace the dots."
    assert len(result) == 3, f"It should return three numbers; it returns {len(result)}."
    _, within, between = result
    assert within > 0, f"The visible units fluctuate given h; your variance within is {within}."
    message = "Without weights and hidden biases the mean energy is the same for every h."
    np.testing.assert_allclose(between, 0, atol=1e-9, err_msg=message)


# %%
# HIDDEN
def test_mean_energy_over_all_states(energy_statistics):
    import itertools

    import numpy as np

    rng = np.random.default_rng(1)
    w, a, b = rng.normal(0, 2, (3, 2)), rng.normal(0, 1, 3), rng.normal(0, 1, 2)
    states = np.array(list(itertools.product([0.0, 1.0], repeat=5)))
    v, h = states[:, :3], states[:, 3:]
    energy = -v @ a - h @ b - np.sum(v @ w * h, axis=1)
    for beta in (0.5, 1.0, 2.0):
        p = np.exp(-beta * energy) / np.exp(-beta * energy).sum()
        message = f"U at beta = {beta}, against all 32 states of a machine with 3 + 2 units."
        value = energy_statistics(w, a, b, beta)[0]
        np.testing.assert_allclose(value, p @ energy, rtol=1e-7, err_msg=message)


# %%
# HIDDEN
def test_variance_within_is_that_of_the_visible_units(energy_statistics):
    import itertools

    import numpy as np

    rng = np.random.default_rng(2)
    w, a, b = rng.normal(0, 2, (3, 2)), rng.normal(0, 1, 3), rng.normal(0, 1, 2)
    v = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    for beta in (0.5, 2.0):
        total = weight = 0.0
        for h in itertools.product([0.0, 1.0], repeat=2):
            energy = -v @ a - b @ h - v @ w @ h
            g = np.exp(-beta * energy)
            mean = g @ energy / g.sum()
            total, weight = total + g @ (energy - mean) ** 2, weight + g.sum()
        message = f"The average of Var(E|h) over h at beta = {beta}."
        value = energy_statistics(w, a, b, beta)[1]
        np.testing.assert_allclose(value, total / weight, rtol=1e-7, err_msg=message)


# %%
# HIDDEN
def test_both_variances_add_to_the_whole(energy_statistics):
    import itertools

    import numpy as np

    rng = np.random.default_rng(3)
    w, a, b = rng.normal(0, 2, (2, 3)), rng.normal(0, 1, 2), rng.normal(0, 1, 3)
    states = np.array(list(itertools.product([0.0, 1.0], repeat=5)))
    v, h = states[:, :2], states[:, 2:]
    energy = -v @ a - h @ b - np.sum(v @ w * h, axis=1)
    for beta in (0.5, 2.0):
        p = np.exp(-beta * energy) / np.exp(-beta * energy).sum()
        variance = p @ (energy - p @ energy) ** 2
        message = f"Within plus between is the variance of E over all 32 states, beta = {beta}."
        value = sum(energy_statistics(w, a, b, beta)[1:])
        np.testing.assert_allclose(value, variance, rtol=1e-7, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q2
# points: [0.25, 0.25, 0.75, 0.75]

# %% [markdown]
# ## Question 2: entropy in the cold
#
# 1. Write `entropy(energies, beta)`, the entropy $S = \ln Z + \beta U$ (B6) of a system with the given
#    energies of *all* its states, (num_states,). It should still work at $\beta = 1000$.
# 2. Three spins $\pm 1$ form a triangle and each pair wants to be *opposite*:
#    $E = s_1 s_2 + s_2 s_3 + s_3 s_1$. Not all three pairs can have their way. What is the limit of
#    the entropy for $\beta \to \infty$? Set `residual_entropy`, in nats.

# %% [raw]
# # BEGIN SOLUTION


# %%
def entropy(energies, beta):
    # BEGIN SOLUTION
    log_z = np.logaddexp.reduce(-beta * energies)
    p = np.exp(-beta * energies - log_z)
    return log_z + beta * p @ energies
    # END SOLUTION


residual_entropy = np.log(6)  # SOLUTION


# %% tags=["wrong"]
def entropy(energies, beta):
    log_z = np.logaddexp.reduce(-beta * energies)
    p = np.exp(-beta * energies - log_z)
    return log_z + p @ energies  # right at beta = 1 only


residual_entropy = 0.0  # as if there were a single ground state

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_hot_systems_count_their_states(entropy):
    import numpy as np

    value = entropy(np.array([0.0, 1.0, 5.0]), 0.0)
    assert value is not None, "entropy returns nothing yet: replace the dots."
    assert np.shape(value) == (), f"One number, not an array of shape {np.shape(value)}."
    assert np.isfinite(entropy(np.array([0.0, 1.0]), 1000.0)), "At beta = 1000 it is not finite."


# %%
def test_residual_entropy_is_possible(residual_entropy):
    import numpy as np

    value = float(residual_entropy)
    assert -1e-9 <= value <= np.log(8), f"Eight states have at most ln 8 nats; you have {value}."


# %%
# HIDDEN
def test_entropy_is_that_of_the_probabilities(entropy):
    import numpy as np

    energies = np.array([-1.0, 0.3, 0.3, 2.0])
    for beta in (0.0, 0.4, 1.0, 3.0):
        p = np.exp(-beta * energies) / np.exp(-beta * energies).sum()
        message = f"S = -sum p ln p at beta = {beta}. Mind the factor beta in front of U."
        np.testing.assert_allclose(
            entropy(energies, beta), -p @ np.log(p), rtol=1e-7, atol=1e-9, err_msg=message
        )


# %%
# HIDDEN
def test_residual_entropy_counts_the_ground_states(residual_entropy):
    import itertools

    import numpy as np

    energies = [a * b + b * c + c * a for a, b, c in itertools.product([-1, 1], repeat=3)]
    expected = np.log(energies.count(min(energies)))
    message = (
        "In the cold all ground states are equally likely: S is the logarithm of their number."
    )
    np.testing.assert_allclose(float(residual_entropy), expected, atol=1e-3, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q3
# points: [0.25, 0.75, 0.5]

# %% [markdown]
# ## Question 3: weights and temperature
#
# 1. Write `cooled(kernel, visible_bias, hidden_bias, beta)`: the parameters, in the same order, of the
#    machine that has at $\beta = 1$ the probabilities which the given one has at `beta` (B7).
# 2. Two machines with 3 + 3 units have kernels with the same largest singular value, 4:
#    `np.diag([4, 4, 4])` and `np.full((3, 3), 4 / 3)`. Both have no fields: $a_i = -\frac12 \sum_j W_{ij}$
#    and $b_j = -\frac12 \sum_i W_{ij}$. Compute their heat capacities at $\beta = 1$, with
#    `rbm_tf.enumeration.thermodynamics(rbm_tf.Machine(..), [1.0])` or with question 1:
#    `capacity_diagonal` and `capacity_uniform`.
#
# Compare the two numbers with what a thermometer made of the norm would say.

# %% [raw]
# # BEGIN SOLUTION


# %%
def cooled(kernel, visible_bias, hidden_bias, beta):
    # BEGIN SOLUTION
    return beta * kernel, beta * visible_bias, beta * hidden_bias
    # END SOLUTION


# BEGIN SOLUTION NO PROMPT
def capacity(kernel):
    machine = rbm_tf.Machine(kernel, -kernel.sum(axis=1) / 2, -kernel.sum(axis=0) / 2)
    return rbm_tf.enumeration.thermodynamics(machine, [1.0]).heat_capacity[0]


# END SOLUTION
capacity_diagonal = capacity(np.diag([4.0, 4.0, 4.0]))  # SOLUTION
capacity_uniform = capacity(np.full((3, 3), 4 / 3))  # SOLUTION


# %% tags=["wrong"]
def cooled(kernel, visible_bias, hidden_bias, beta):
    return beta * kernel, visible_bias, hidden_bias  # the biases stay hot


def capacity(kernel):  # biases of zero are not "no fields" for units 0 and 1
    machine = rbm_tf.Machine(kernel, np.zeros(3), np.zeros(3))
    return rbm_tf.enumeration.thermodynamics(machine, [1.0]).heat_capacity[0]


capacity_diagonal = capacity(np.diag([4.0, 4.0, 4.0]))
capacity_uniform = capacity(np.full((3, 3), 4 / 3))

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_nothing_changes_at_beta_one(cooled):
    import numpy as np

    parameters = np.array([[1.0], [-2.0]]), np.array([0.5, 0.0]), np.array([0.3])
    result = cooled(*parameters, 1.0)
    assert result is not None, "cooled returns nothing yet: replace the dots."
    for old, new in zip(parameters, result, strict=True):
        np.testing.assert_allclose(new, old, err_msg="At beta = 1 the machine is the same.")


# %%
# HIDDEN
def test_cooled_machine_has_the_probabilities_of_beta(cooled):
    import itertools

    import numpy as np

    rng = np.random.default_rng(4)
    states = np.array(list(itertools.product([0.0, 1.0], repeat=4)))
    v, h = states[:, :2], states[:, 2:]

    def minus_energy(w, a, b):
        return v @ a + h @ b + np.sum(v @ w * h, axis=1)

    parameters = rng.normal(0, 1, (2, 2)), rng.normal(0, 1, 2), rng.normal(0, 1, 2)
    for beta in (0.4, 3.0):
        old = np.exp(beta * minus_energy(*parameters))
        new = np.exp(minus_energy(*cooled(*parameters, beta)))
        message = f"Probabilities of all 16 states, beta = {beta}. Biases are energies, too."
        np.testing.assert_allclose(new / new.sum(), old / old.sum(), atol=1e-9, err_msg=message)


# %%
# HIDDEN
def test_equal_norms_and_different_heat_capacities(capacity_diagonal, capacity_uniform):
    import itertools

    import numpy as np

    s = np.array(list(itertools.product([-0.5, 0.5], repeat=6)))
    energy = -4 / 3 * s[:, :3].sum(axis=1) * s[:, 3:].sum(axis=1)
    p = np.exp(-energy) / np.exp(-energy).sum()
    message = "Three independent bonds of weight 4: three times (W/4)^2 / cosh^2 (W/4)."
    value = float(capacity_diagonal)
    np.testing.assert_allclose(value, 3 / np.cosh(1) ** 2, rtol=1e-6, err_msg=message)
    message = "All weights 4/3, against all 64 states. Mind a = -W 1/2 and b."
    value, expected = float(capacity_uniform), p @ (energy - p @ energy) ** 2
    np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q4
# points: [0.25, 1, 0.75]

# %% [markdown]
# ## Question 4: how many temperatures?
#
# Anneal from $\beta = 0$ to 1 in $n$ equal steps, with the uniform distribution as the start. The step
# from $\beta_t$ to $\beta_t + 1/n$ adds $-E/n$ to $\ln w$. Suppose that a fresh state of equilibrium
# at $\beta_t$, the *beginning* of the step, is drawn each time, so that the steps are independent.
#
# 1. Write `ladder_variance(energies, num_steps)`: the exact variance of $\ln w$ for a system with the
#    given energies of all its states.
# 2. Write `predicted_variance(energies, num_steps)`: the approximation
#    $\frac1n [U(0) - U(1)]$ of chapter 13, (2.1).

# %% [raw]
# # BEGIN SOLUTION


# %%
def ladder_variance(energies, num_steps):
    # BEGIN SOLUTION
    total = 0.0
    for beta in np.arange(num_steps) / num_steps:
        p = np.exp(-beta * energies - np.logaddexp.reduce(-beta * energies))
        total += p @ energies**2 - (p @ energies) ** 2
    return total / num_steps**2
    # END SOLUTION


def predicted_variance(energies, num_steps):
    # BEGIN SOLUTION
    p = np.exp(-energies - np.logaddexp.reduce(-energies))
    return (np.mean(energies) - p @ energies) / num_steps
    # END SOLUTION


# %% tags=["wrong"]
def ladder_variance(energies, num_steps):
    total = 0.0
    for beta in np.arange(num_steps) / num_steps:  # heat capacities in place of variances
        p = np.exp(-beta * energies - np.logaddexp.reduce(-beta * energies))
        total += beta**2 * (p @ energies**2 - (p @ energies) ** 2)
    return total / num_steps**2


def predicted_variance(energies, num_steps):
    p = np.exp(-energies - np.logaddexp.reduce(-energies))
    return -(p @ energies) / num_steps  # as if U(0) were 0


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_equal_energies_make_no_variance(ladder_variance, predicted_variance):
    import numpy as np

    for name, function in (("ladder", ladder_variance), ("predicted", predicted_variance)):
        few, many = (function(np.array([0.0, 1.0, 3.0]), n) for n in (5, 50))
        assert few is not None, f"{name}_variance returns nothing yet: replace the dots."
        assert few > many > 0, f"{name}_variance with 5 and with 50 steps: {few} and {many}."


# %%
# HIDDEN
def test_variance_is_the_sum_over_the_steps(ladder_variance):
    import numpy as np

    energies = np.array([-1.0, 0.0, 0.5, 2.5])
    for num_steps in (1, 2, 8):
        expected = 0.0
        for t in range(num_steps):
            p = np.exp(-t / num_steps * energies)
            p /= p.sum()
            expected += p @ (energies / num_steps - p @ energies / num_steps) ** 2
        message = f"{num_steps} steps: the sum of the variances of E / n at each beta."
        value = ladder_variance(energies, num_steps)
        np.testing.assert_allclose(value, expected, rtol=1e-7, err_msg=message)


# %%
# HIDDEN
def test_prediction_is_the_fall_of_the_energy(predicted_variance):
    import numpy as np

    for energies in (np.array([-1.0, 0.0, 0.5, 2.5]), np.array([5.0, 6.0])):
        p = np.exp(-energies) / np.exp(-energies).sum()
        expected = (energies.mean() - p @ energies) / 20
        message = f"(U(0) - U(1)) / n with 20 steps and the energies {energies}."
        value = predicted_variance(energies, 20)
        np.testing.assert_allclose(value, expected, rtol=1e-7, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q5
# points: [0.25, 0, 0.75, 0.5, 0.25, 0.25]

# %% [markdown]
# ## Question 5: the temperature that inference asks for
#
# Back to the triangle, now as a problem of inference. A hidden state $s^*$ is drawn, and we see the
# three bonds $J_{12}, J_{23}, J_{31} = \pm 1$ only, each of them with noise:
# $P(J_{ij}|s^*) = e^{\beta_p J_{ij} s_i^* s_j^*} / (2 \cosh \beta_p)$. Without loss of generality all spins
# of $s^*$ are up, so that $P(J) = \prod e^{\beta_p J_{ij}} / (2 \cosh \beta_p)$. Whoever infers $s$ at the
# inverse temperature $\beta$ uses $P_\beta(s|J) = e^{-\beta E_J(s)} / Z_J(\beta)$ with
# $E_J(s) = -J_{12} s_1 s_2 - J_{23} s_2 s_3 - J_{31} s_3 s_1$.
#
# 1. Write `quenched_energy(beta, beta_planted)`: the thermal mean of $E_J$ *per bond*, averaged over
#    all eight $J$ with the weights $P(J)$.
# 2. Write `prediction(beta, beta_planted)`: the average over $J$ of $\ln P_\beta(s^*|J)$.
# 3. For $\beta_p = 0.8$: which $\beta$ of `np.linspace(0.1, 2, 20)` predicts best? Set `best_beta`.
# 4. At $\beta = 1.6$, twice the right one, the mean energy per bond is
#    (a) equal to that of the hidden state, (b) higher, (c) lower, (d) zero. Set `too_cold`.

# %%
triangles = all_states(3, low=-1.0)  # of spins, and of bonds 12, 23, 31


def bond_products(spins):
    """s_1 s_2, s_2 s_3 and s_3 s_1, (.., 3)."""
    return spins * np.roll(spins, -1, axis=-1)


# %% [raw]
# # BEGIN SOLUTION


# %%
def quenched_energy(beta, beta_planted):
    # BEGIN SOLUTION
    p_bonds = np.exp(beta_planted * triangles.sum(axis=1)) / (2 * np.cosh(beta_planted)) ** 3
    energy = -triangles @ bond_products(triangles).T  # (num_bonds, num_states)
    p = np.exp(-beta * energy)
    p /= p.sum(axis=1, keepdims=True)  # for each J by itself
    return p_bonds @ np.sum(p * energy, axis=1) / 3
    # END SOLUTION


def prediction(beta, beta_planted):
    # BEGIN SOLUTION
    p_bonds = np.exp(beta_planted * triangles.sum(axis=1)) / (2 * np.cosh(beta_planted)) ** 3
    energy = -triangles @ bond_products(triangles).T
    log_z = np.logaddexp.reduce(-beta * energy, axis=1)
    return p_bonds @ (beta * triangles.sum(axis=1) - log_z)
    # END SOLUTION


# BEGIN SOLUTION NO PROMPT
grid = np.linspace(0.1, 2, 20)
# END SOLUTION
best_beta = grid[np.argmax([prediction(beta, 0.8) for beta in grid])]  # SOLUTION
too_cold = "c"  # SOLUTION


# %% tags=["wrong"]
def quenched_energy(beta, beta_planted):  # averages numerator and denominator: bonds in equilibrium
    p_bonds = np.exp(beta_planted * triangles.sum(axis=1)) / (2 * np.cosh(beta_planted)) ** 3
    energy = -triangles @ bond_products(triangles).T
    weight = p_bonds[:, np.newaxis] * np.exp(-beta * energy)
    return np.sum(weight * energy) / weight.sum() / 3


def prediction(beta, beta_planted):
    p_bonds = np.exp(beta_planted * triangles.sum(axis=1)) / (2 * np.cosh(beta_planted)) ** 3
    energy = -triangles @ bond_products(triangles).T
    log_z = np.log(p_bonds @ np.exp(-beta * energy).sum(axis=1))
    return p_bonds @ (beta * triangles.sum(axis=1)) - log_z


grid = np.linspace(0.1, 2, 20)
best_beta = grid[np.argmax([prediction(beta, 0.8) for beta in grid])]
too_cold = "b"

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_hot_spins_ignore_the_bonds(quenched_energy, prediction):
    import numpy as np

    energy, log_p = quenched_energy(0.0, 0.8), prediction(0.0, 0.8)
    assert energy is not None, "quenched_energy returns nothing yet: replace the dots."
    assert log_p is not None, "prediction returns nothing yet: replace the dots."
    message = "At beta = 0 all eight states are equally likely, so E is 0 on average."
    np.testing.assert_allclose(energy, 0, atol=1e-9, err_msg=message)
    np.testing.assert_allclose(log_p, -np.log(8), err_msg="At beta = 0, ln P(s*|J) = -ln 8.")


# %%
def test_answers_are_a_number_and_a_letter(best_beta, too_cold):
    assert 0.1 <= float(best_beta) <= 2, "best_beta should be one of the 20 values."
    assert too_cold in ("a", "b", "c", "d"), 'too_cold: one of "a" to "d".'


# %%
# HIDDEN
def test_energy_of_a_triangle(quenched_energy):
    import numpy as np

    for beta, planted in ((0.8, 0.8), (0.3, 0.8), (1.6, 0.8), (1.0, 0.2)):
        t, share = (
            np.tanh(beta),
            (1 + np.tanh(planted) ** 3) / 2,
        )  # of triangles that can be pleased
        expected = -share * (t + t**2) / (1 + t**3) - (1 - share) * (t - t**2) / (1 - t**3)
        message = (
            f"beta = {beta}, beta_p = {planted}. Divide by Z_J for each J before you average over J; "
            "on the line beta = beta_p the result is -tanh(beta_p) (B28)."
        )
        np.testing.assert_allclose(
            quenched_energy(beta, planted), expected, rtol=1e-7, err_msg=message
        )


# %%
# HIDDEN
def test_prediction_is_an_average_of_logarithms(prediction):
    import itertools

    import numpy as np

    for beta, planted in ((0.8, 0.8), (1.5, 0.4)):
        expected = 0.0
        for j in itertools.product([-1, 1], repeat=3):
            weights = [
                np.exp(beta * (j[0] * a * b + j[1] * b * c + j[2] * c * a))
                for a, b, c in itertools.product([-1, 1], repeat=3)
            ]
            p_bonds = np.prod([np.exp(planted * x) / (2 * np.cosh(planted)) for x in j])
            expected += p_bonds * np.log(weights[-1] / sum(weights))
        message = f"The average of ln P(s*|J) over J, beta = {beta}, beta_p = {planted}."
        np.testing.assert_allclose(prediction(beta, planted), expected, rtol=1e-7, err_msg=message)


# %%
# HIDDEN
def test_the_noise_sets_the_temperature(best_beta):
    assert abs(float(best_beta) - 0.8) < 1e-6, (
        f"The best temperature is that of the noise, 0.8; you have {float(best_beta):.2f}."
    )


# %%
# HIDDEN
def test_colder_than_the_truth(too_cold):
    assert too_cold == "c", (
        "Beyond beta_p the thermal states fit the noise of the bonds better than the truth does: "
        "their energy is lower than -tanh(beta_p)."
    )


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

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
# name: 2_boltzmann_machine
# export_cell: false
# show_question_points: true
# tests:
#     ok_format: false

# %% [markdown]
# # Assignment 2: A Boltzmann machine of five units
#
# *After chapters 3 to 6. About 90 minutes, 10 points.*
#
# Three visible and two hidden units have 32 states. On such a machine nothing has to be believed:
# the clamped free energy, the likelihood, its gradient, and even the average of contrastive
# divergence over infinitely many chains are finite sums. You will write all of them, and end with
# the question how many Gibbs sweeps these data ask for.
#
# **How it is graded.** Replace the dots by your own code. `grader.check("q1")` runs the visible
# tests of question 1: they look at shapes and at properties that every right answer has. Further
# tests, which you do not see, decide most of the points. Most answers are functions, and they are
# tested with other machines than the one in this notebook. A mistake in one question therefore costs
# little in the next ones. Energies and free energies are in nats, units are 0 or 1, and $\beta = 1$.

# %%
import rbm_tf

rbm_tf.quiet_start()

import itertools

import numpy as np

kernel = np.array([[2.0, -1.6], [1.4, 2.2], [-2.4, 1.0]])  # W, (3, 2), nats
visible_bias = np.array([-0.4, 0.5, 0.3])  # a
hidden_bias = np.array([0.6, -0.9])  # b
data = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 1, 1]], float)  # (5, 3)


def all_states(num_units):
    """All states of binary units, (2 ** num_units, num_units)."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=num_units)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# %% [raw]
# # BEGIN QUESTION
# name: q1
# points: [0.25, 0.25, 1]

# %% [markdown]
# ## Question 1: the clamped free energy
#
# Write `free_energy(v, kernel, visible_bias, hidden_bias)` with NumPy:
#
# $$F_c(v) = -a \cdot v - \sum_j \mathrm{softplus}\Big( b_j + \sum_i v_i W_{ij} \Big) \tag{B5}$$
#
# for visible states `v` of shape (batch, num_visible). The result has the shape (batch,). A
# softplus that does not overflow is `np.logaddexp(0, x)`.

# %% [raw]
# # BEGIN SOLUTION


# %%
def free_energy(v, kernel, visible_bias, hidden_bias):
    # BEGIN SOLUTION
    return -v @ visible_bias - np.logaddexp(0, hidden_bias + v @ kernel).sum(axis=-1)
    # END SOLUTION


# %% tags=["wrong"]
def free_energy(v, kernel, visible_bias, hidden_bias):  # softplus of the sum over hidden units
    return -v @ visible_bias - np.logaddexp(0, (hidden_bias + v @ kernel).sum(axis=-1))


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_one_free_energy_for_each_state(free_energy, data, kernel, visible_bias, hidden_bias):
    import numpy as np

    result = free_energy(data, kernel, visible_bias, hidden_bias)
    assert result is not None, "free_energy returns nothing yet: replace the dots."
    assert np.shape(result) == (5,), f"5 states make 5 free energies, not {np.shape(result)}."


# %%
def test_large_inputs_do_not_overflow(free_energy):
    import numpy as np

    result = free_energy(np.ones((1, 1)), np.full((1, 1), 2000.0), np.zeros(1), np.zeros(1))
    assert result is not None, "free_energy returns nothing yet: replace the dots."
    assert np.all(np.isfinite(result)), "With W = 2000 it overflows: use np.logaddexp(0, x)."


# %%
# HIDDEN
def test_free_energy_sums_the_hidden_units_out(free_energy):
    import itertools

    import numpy as np

    rng = np.random.default_rng(1)
    for num_visible, num_hidden in ((3, 2), (2, 4), (4, 1)):
        w = rng.normal(0, 2, (num_visible, num_hidden))
        a, b = rng.normal(0, 1, num_visible), rng.normal(0, 1, num_hidden)
        v = np.array(list(itertools.product([0.0, 1.0], repeat=num_visible)))
        h = np.array(list(itertools.product([0.0, 1.0], repeat=num_hidden)))
        energy = -(v @ a)[:, np.newaxis] - h @ b - v @ w @ h.T
        np.testing.assert_allclose(
            free_energy(v, w, a, b),
            -np.log(np.exp(-energy).sum(axis=1)),
            rtol=1e-8,
            atol=1e-9,
            err_msg=f"-ln sum_h exp(-E), with {num_visible} visible and {num_hidden} hidden units.",
        )


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q2
# points: [0.25, 0.25, 0.75, 0.75]

# %% [markdown]
# ## Question 2: the likelihood, and how far it can get
#
# 1. Write `mean_log_likelihood(free_energy, data)`. Here `free_energy(v)` is *any* clamped free
#    energy as a function of visible states alone, (batch, n) to (batch,). The result is the mean of
#    $\ln p(v) = -F_c(v) + F_{\rm eq}$ over the data (B2, B5), with $F_{\rm eq} = -\ln Z$ from all
#    $2^n$ visible states.
# 2. Write `highest_possible(data)`: the mean of $\ln p(v)$ that no model of any kind can exceed on
#    these data. Mind that a state may occur more than once.

# %% [raw]
# # BEGIN SOLUTION


# %%
def mean_log_likelihood(free_energy, data):
    # BEGIN SOLUTION
    log_z = np.logaddexp.reduce(-free_energy(all_states(data.shape[1])))
    return np.mean(-free_energy(data) - log_z)
    # END SOLUTION


def highest_possible(data):
    # BEGIN SOLUTION
    _, counts = np.unique(data, axis=0, return_counts=True)
    shares = counts / len(data)
    return np.sum(shares * np.log(shares))
    # END SOLUTION


# %% tags=["wrong"]
def mean_log_likelihood(free_energy, data):
    log_z = np.logaddexp.reduce(-free_energy(all_states(data.shape[1])))
    return np.mean(-free_energy(data) + log_z)  # F_eq taken for ln Z


def highest_possible(data):
    return -np.log(len(np.unique(data, axis=0)))  # as if every state occurred once


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_a_constant_does_not_matter(mean_log_likelihood):
    import numpy as np

    def value(constant):
        return mean_log_likelihood(lambda v: v @ np.array([1.0, -2.0]) + constant, np.eye(2))

    assert value(0.0) is not None, "mean_log_likelihood returns nothing yet: replace the dots."
    message = "Adding a constant to the free energy of every state must not change the likelihood."
    np.testing.assert_allclose(value(0.0), value(3.0), err_msg=message)


# %%
def test_one_state_can_be_learned_perfectly(highest_possible):
    import numpy as np

    value = highest_possible(np.ones((4, 2)))
    assert value is not None, "highest_possible returns nothing yet: replace the dots."
    message = "If all data are one and the same state, a model can give it the probability 1."
    np.testing.assert_allclose(value, 0, atol=1e-12, err_msg=message)


# %%
# HIDDEN
def test_likelihood_is_that_of_the_normalised_table(mean_log_likelihood):
    import numpy as np

    rng = np.random.default_rng(2)
    for n in (2, 3):
        table = rng.normal(0, 2, 2**n)  # a free energy for each state
        weights = 2 ** np.arange(n)
        v = rng.integers(0, 2, (6, n)).astype(float)
        result = mean_log_likelihood(
            lambda states, table=table, weights=weights: table[(states @ weights).astype(int)], v
        )
        p = np.exp(-table) / np.exp(-table).sum()
        expected = np.log(p[(v @ weights).astype(int)]).mean()
        message = f"The mean of ln p(v) for a table of {2**n} free energies. Mind F_eq = -ln Z."
        np.testing.assert_allclose(result, expected, rtol=1e-8, err_msg=message)


# %%
# HIDDEN
def test_highest_likelihood_is_minus_the_entropy_of_the_data(highest_possible):
    import numpy as np

    data = np.array([[0.0, 1], [0, 1], [0, 1], [1, 1]])
    expected = 0.75 * np.log(0.75) + 0.25 * np.log(0.25)
    message = "Three of four data are equal: the bound is 3/4 ln 3/4 + 1/4 ln 1/4."
    np.testing.assert_allclose(highest_possible(data), expected, rtol=1e-8, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q3
# points: [0.25, 1, 0.75]

# %% [markdown]
# ## Question 3: the gradient of the likelihood
#
# Write `gradient(data, kernel, visible_bias, hidden_bias)`. It returns the derivatives of the
# *mean* of $\ln p(v)$ over the data with respect to $W$, $a$ and $b$, in the shapes of these three:
# the positive phase (B8) minus the negative phase (B9). The averages over the model come from
# `rbm_tf.moments(rbm_tf.Machine(kernel, visible_bias, hidden_bias))`, whose parts are called
# `visible`, `hidden` and `correlation`.

# %% [raw]
# # BEGIN SOLUTION


# %%
def gradient(data, kernel, visible_bias, hidden_bias):
    # BEGIN SOLUTION
    model = rbm_tf.moments(rbm_tf.Machine(kernel, visible_bias, hidden_bias))
    hidden_mean = sigmoid(hidden_bias + data @ kernel)  # (batch, num_hidden)
    return (
        data.T @ hidden_mean / len(data) - model.correlation,
        data.mean(axis=0) - model.visible,
        hidden_mean.mean(axis=0) - model.hidden,
    )
    # END SOLUTION


# %% tags=["wrong"]
def gradient(data, kernel, visible_bias, hidden_bias):  # a sum over the data minus one average
    model = rbm_tf.moments(rbm_tf.Machine(kernel, visible_bias, hidden_bias))
    hidden_mean = sigmoid(hidden_bias + data @ kernel)
    return (
        data.T @ hidden_mean - model.correlation,
        data.sum(axis=0) - model.visible,
        hidden_mean.sum(axis=0) - model.hidden,
    )


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_gradients_have_the_shapes_of_the_parameters(
    gradient, data, kernel, visible_bias, hidden_bias
):
    import numpy as np

    result = gradient(data, kernel, visible_bias, hidden_bias)
    assert result is not None, "gradient returns nothing yet: replace the dots."
    shapes = [np.shape(part) for part in result]
    assert shapes == [(3, 2), (3,), (2,)], f"W, a and b have (3, 2), (3,) and (2,); got {shapes}."


# %%
# HIDDEN
def test_gradient_is_the_slope_of_the_exact_likelihood(gradient):
    import itertools

    import numpy as np

    rng = np.random.default_rng(3)
    v = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    data = v[rng.integers(0, 8, 7)]

    def likelihood(w, a, b):
        def log_weight(states):
            return states @ a + np.logaddexp(0, b + states @ w).sum(axis=1)

        return np.mean(log_weight(data)) - np.log(np.exp(log_weight(v)).sum())

    point = [rng.normal(0, 1, shape) for shape in ((3, 2), (3,), (2,))]
    for part, name, result in zip(range(3), "Wab", gradient(data, *point), strict=True):
        slope = np.zeros(point[part].shape)
        for index in np.ndindex(slope.shape):
            ends = []
            for step in (1e-5, -1e-5):
                moved = [x.copy() for x in point]
                moved[part][index] += step
                ends.append(likelihood(*moved))
            slope[index] = (ends[0] - ends[1]) / 2e-5
        message = f"Derivative in {name}, against finite differences of the mean of ln p(v)."
        np.testing.assert_allclose(result, slope, atol=1e-7, err_msg=message)


# %%
# HIDDEN
def test_more_copies_of_the_data_do_not_change_the_gradient(gradient):
    import numpy as np

    data = np.array([[1.0, 0], [1, 1]])
    w, a, b = np.array([[0.5, -1.0], [1.0, 0.3]]), np.array([0.2, 0.1]), np.array([0.0, -0.4])
    once, twice = gradient(data, w, a, b), gradient(np.concatenate([data, data]), w, a, b)
    for first, second in zip(once, twice, strict=True):
        message = "The mean over the data: writing every example twice must change nothing."
        np.testing.assert_allclose(first, second, atol=1e-9, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q4
# points: [0.25, 0.25, 1, 0.5]

# %% [markdown]
# ## Question 4: a Gibbs sweep as a matrix
#
# 1. Write `sweep_matrix(kernel, visible_bias, hidden_bias)`: the probability $T(v \to v')$ that one
#    sweep of block Gibbs sampling takes $v$ to $v'$. Rows are $v$ and columns $v'$, both in the order
#    of `all_states`. A sweep draws *all hidden units* given $v$, and then all visible units given $h$:
#    $T(v \to v') = \sum_h p(h|v)\, p(v'|h)$.
# 2. Write `second_eigenvalue(sweep)`: the second largest eigenvalue of such a matrix, a real number.

# %% [raw]
# # BEGIN SOLUTION


# %%
def sweep_matrix(kernel, visible_bias, hidden_bias):
    # BEGIN SOLUTION
    v, h = all_states(len(visible_bias)), all_states(len(hidden_bias))
    energy = -(v @ visible_bias)[:, np.newaxis] - h @ hidden_bias - v @ kernel @ h.T
    joint = np.exp(-energy)  # (num_v, num_h), not normalised
    return joint / joint.sum(axis=1, keepdims=True) @ (joint / joint.sum(axis=0)).T
    # END SOLUTION


def second_eigenvalue(sweep):
    # BEGIN SOLUTION
    return np.sort(np.linalg.eigvals(sweep).real)[-2]
    # END SOLUTION


# %% tags=["wrong"]
def sweep_matrix(kernel, visible_bias, hidden_bias):  # the means of h in place of a draw
    v = all_states(len(visible_bias))
    on = sigmoid(visible_bias + sigmoid(hidden_bias + v @ kernel) @ kernel.T)  # (num_v, n)
    on = on[:, np.newaxis]
    return np.where(v == 1, on, 1 - on).prod(axis=-1)


def second_eigenvalue(sweep):
    return np.sort(np.linalg.eigvals(sweep).real)[-1]


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_rows_are_probabilities(sweep_matrix, kernel, visible_bias, hidden_bias):
    import numpy as np

    sweep = sweep_matrix(kernel, visible_bias, hidden_bias)
    assert sweep is not None, "sweep_matrix returns nothing yet: replace the dots."
    assert np.shape(sweep) == (8, 8), f"Three visible units: (8, 8), not {np.shape(sweep)}."
    assert np.all(sweep >= 0), "Probabilities are not negative."
    np.testing.assert_allclose(np.sum(sweep, axis=1), 1, err_msg="Every row must sum to 1.")


# %%
def test_second_eigenvalue_is_a_real_number(second_eigenvalue):
    import numpy as np

    value = second_eigenvalue(np.full((2, 2), 0.5))
    assert value is not None, "second_eigenvalue returns nothing yet: replace the dots."
    assert np.isrealobj(value) and np.shape(value) == (), f"One real number, not {value!r}."


# %%
# HIDDEN
def test_sweep_sums_over_the_drawn_hidden_states(sweep_matrix):
    import itertools

    import numpy as np

    rng = np.random.default_rng(4)
    w, a, b = rng.normal(0, 2, (3, 2)), rng.normal(0, 1, 3), rng.normal(0, 1, 2)
    states = [np.array(list(itertools.product([0.0, 1.0], repeat=n))) for n in (3, 2)]
    expected = np.zeros((8, 8))
    for i, v in enumerate(states[0]):
        for h in states[1]:
            hidden_on = 1 / (1 + np.exp(-b - v @ w))
            visible_on = 1 / (1 + np.exp(-a - w @ h))
            p_h = np.where(h == 1, hidden_on, 1 - hidden_on).prod()
            p_v = np.where(states[0] == 1, visible_on, 1 - visible_on).prod(axis=1)
            expected[i] += p_h * p_v
    message = "T(v, v') = sum_h p(h|v) p(v'|h): h is drawn, its mean is not enough."
    np.testing.assert_allclose(sweep_matrix(w, a, b), expected, atol=1e-9, err_msg=message)


# %%
# HIDDEN
def test_second_eigenvalue_is_the_squared_correlation(second_eigenvalue):
    import numpy as np

    for p, q in ((0.3, 0.2), (0.9, 0.6)):  # a chain with two states has 1 and 1 - p - q
        sweep = np.array([[1 - p, p], [q, 1 - q]])
        message = f"Two states with probabilities {p} and {q} of leaving: 1 - p - q."
        np.testing.assert_allclose(second_eigenvalue(sweep), 1 - p - q, atol=1e-9, err_msg=message)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q5
# points: [0.25, 0, 1, 0.75, 0.5]

# %% [markdown]
# ## Question 5: the bias of contrastive divergence
#
# Contrastive divergence with $k$ sweeps (B10) replaces the model average in the gradient by an
# average over states that are $k$ sweeps away from the data. Average it over infinitely many chains
# and look at the derivative with respect to the visible bias $a$: its bias is
#
# $$\text{(mean of CD-}k) - \text{(exact gradient)} = \langle v \rangle_{\rm model} - \langle v \rangle_k .$$
#
# 1. Write `cd_bias(sweep, start, num_sweeps)` for any sweep matrix (as in question 4), any
#    distribution `start` over the visible states, and $k$ = `num_sweeps`. The result has one entry
#    for each visible unit. The model's distribution is the one that `sweep` leaves alone.
# 2. For the machine and the data at the top: what is the smallest number of sweeps after which no
#    entry of the bias exceeds 0.01 in size? Set `sweeps_needed`.
# 3. When is the bias of CD-1 exactly zero? Set `no_bias` to a letter.
#
#    (a) When the learning rate is small enough.
#    (b) When the model's distribution of $v$ is that of the data.
#    (c) When the data have as many examples as there are states.
#    (d) Never: one sweep is not enough for any machine.

# %%
data_distribution = np.array([np.mean((data == v).all(axis=1)) for v in all_states(3)])

# %% [raw]
# # BEGIN SOLUTION


# %%
def cd_bias(sweep, start, num_sweeps):
    # BEGIN SOLUTION
    v = all_states(int(np.log2(len(sweep))))
    after = start @ np.linalg.matrix_power(sweep, num_sweeps)
    model = start @ np.linalg.matrix_power(sweep, 2**20)  # has forgotten its start
    return (model - after) @ v
    # END SOLUTION


# BEGIN SOLUTION NO PROMPT
machine_sweep = sweep_matrix(kernel, visible_bias, hidden_bias)
biases = [np.abs(cd_bias(machine_sweep, data_distribution, k)).max() for k in range(1, 200)]
# END SOLUTION
sweeps_needed = 1 + int(np.argmax(np.array(biases) <= 0.01))  # SOLUTION
no_bias = "b"  # SOLUTION


# %% tags=["wrong"]
def cd_bias(sweep, start, num_sweeps):  # chains that start from fair coins
    v = all_states(int(np.log2(len(sweep))))
    coins = np.full(len(sweep), 1 / len(sweep))
    model = coins @ np.linalg.matrix_power(sweep, 2**20)
    return (model - coins @ np.linalg.matrix_power(sweep, num_sweeps)) @ v


machine_sweep = sweep_matrix(kernel, visible_bias, hidden_bias)
biases = [np.abs(cd_bias(machine_sweep, data_distribution, k)).max() for k in range(1, 200)]
sweeps_needed = 1 + int(np.argmax(np.array(biases) <= 0.01))
no_bias = "d"

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS


# %%
def test_bias_has_one_entry_for_each_visible_unit(cd_bias):
    import numpy as np

    bias = cd_bias(np.full((8, 8), 1 / 8), np.eye(8)[3], 2)
    assert bias is not None, "cd_bias returns nothing yet: replace the dots."
    assert np.shape(bias) == (3,), f"Eight states are three units: (3,), not {np.shape(bias)}."
    message = "A sweep that draws every state with probability 1/8 has no bias after one step."
    np.testing.assert_allclose(bias, 0, atol=1e-9, err_msg=message)


# %%
def test_answers_are_a_number_and_a_letter(sweeps_needed, no_bias):
    assert int(sweeps_needed) == sweeps_needed, "sweeps_needed should be a whole number."
    assert no_bias in ("a", "b", "c", "d"), 'no_bias: one of "a" to "d".'


# %%
# HIDDEN
def test_bias_of_one_unit_decays_with_its_eigenvalue(cd_bias):
    import numpy as np

    p, q = 0.3, 0.1  # of 0 -> 1 and of 1 -> 0: the mean of v is p / (p + q) in the end
    sweep = np.array([[1 - p, p], [q, 1 - q]])
    for start in (np.array([1.0, 0.0]), np.array([0.2, 0.8])):
        for k in (0, 1, 5):
            expected = (p / (p + q) - start[1]) * (1 - p - q) ** k
            message = f"One unit, {k} sweeps from the distribution {start}."
            np.testing.assert_allclose(
                cd_bias(sweep, start, k), [expected], atol=1e-9, err_msg=message
            )


# %%
# HIDDEN
def test_sweeps_that_these_data_need(sweeps_needed, kernel, visible_bias, hidden_bias, data):
    import itertools

    import numpy as np

    v = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    h = np.array(list(itertools.product([0.0, 1.0], repeat=2)))
    joint = np.exp((v @ visible_bias)[:, np.newaxis] + h @ hidden_bias + v @ kernel @ h.T)
    p = np.array([np.mean((data == state).all(axis=1)) for state in v])
    exact, num_sweeps = joint.sum(axis=1) / joint.sum(), 0
    while np.abs((p - exact) @ v).max() > 0.01:
        p_h = p @ (joint / joint.sum(axis=1, keepdims=True))
        p = (joint / joint.sum(axis=0)) @ p_h
        num_sweeps += 1
    assert sweeps_needed == num_sweeps, (
        f"From the data's own distribution it takes {num_sweeps} sweeps, you have {sweeps_needed}."
    )


# %%
# HIDDEN
def test_no_bias_where_the_model_is_right(no_bias):
    assert no_bias == "b", (
        "A sweep leaves the model's distribution alone. If the data have it, so do all chains."
    )


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

"""The gradients of all kinds of units, in plain, centred and standardised coordinates."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_free_energy_gap import GivenStates
from test_units_layers import KINDS, B, W, machine

from rbm_tf import enumeration
from rbm_tf.machine import Machine, clamped_free_energy
from rbm_tf.rbm import RBM
from rbm_tf.training.coordinates import GRADIENTS
from rbm_tf.training.negative_phase import ExactPhase
from rbm_tf.units import Binary, Gaussian, Mixed, Potts, ReLU

EXACT = [  # pairs with a layer that can be summed over
    ("Gaussian", "Binary"),
    ("Spin", "Gaussian"),
    ("Binary", "ReLU"),
    ("ReLU", "Spin"),
    ("DReLU", "Binary"),
    ("Binary", "DReLU"),
    ("Potts", "Gaussian"),
    ("Gaussian", "Potts"),
    ("Potts", "Potts"),
    ("TruncatedExponential", "Binary"),
    ("Mixed", "Binary"),
    ("Potts", "Mixed"),
]
SAMPLED = [*EXACT, ("Gaussian", "ReLU"), ("ReLU", "ReLU"), ("DReLU", "Gaussian"), ("Mixed", "ReLU")]
NUM = 6  # data


def pair(visible, hidden):
    """Units and parameters: the oracles' machine, or mixed layers in the place of one."""
    rng = np.random.default_rng(0)
    if visible == "Mixed":
        v = Mixed([Gaussian(1, 1.5), Potts(1, 3), ReLU(2, [0.7, 1.2])])
        h = KINDS[hidden](2)
    elif hidden == "Mixed":
        v, h = KINDS[visible](3), Mixed([Gaussian(1, 1.2), Binary(2)])
    else:
        v, h, a, b, kernel = machine(visible, hidden)
        return v, h, kernel, a, b
    kernel = 0.4 * rng.normal(size=(v.size, h.size))
    return v, h, kernel, 0.3 * rng.normal(size=v.size), 0.3 * rng.normal(size=h.size)


def draws(unit, num, seed):
    """States of a layer in random fields."""
    fields = np.random.default_rng(seed).normal(size=(num, unit.size))
    return unit.sample(tf.constant(fields), seed=seed).numpy()


def model(names, phase, **options):
    options = {"unit_rate": 1.0, "gradient": "plain", **options}
    rbm = RBM.from_parameters(*pair(*names), negative_phase=phase, dtype="float64", **options)
    rng = np.random.default_rng(5)
    for variable in rbm.unit_parameters.values():
        variable.trainable = rbm.unit_rate > 0  # those of scale, too
    for layer in ("visible", "hidden"):
        unit = getattr(rbm, layer)
        getattr(rbm, f"{layer}_offset").assign(draws(unit, 9, 7).mean(0) + 0.1)
        if rbm.gradient == "standardized":
            getattr(rbm, f"{layer}_variance").assign(rng.uniform(0.3, 3.0, unit.size))
    return rbm


def gradients(rbm, data):
    """The loss and the gradient that an optimizer gets, by the name of the variable."""
    with tf.GradientTape() as tape:
        loss = rbm.compute_loss(tf.constant(data), training=False)
    variables = rbm.trainable_variables
    found = tape.gradient(loss, [variable.value for variable in variables])
    return float(loss), {v.name: g.numpy() for v, g in zip(variables, found, strict=True)}


def with_values(rbm, values):
    """The machine with other values of all variables, by their names."""
    layers = {}
    for layer in ("visible", "hidden"):
        unit = rbm._kinds[layer]
        own = {name: values[f"{layer}_{name}"] for name in unit.parameters}
        layers[layer] = unit.with_parameters(**own)
    return Machine(values["kernel"], values["visible_bias"], values["hidden_bias"], **layers)


def values_of(rbm):
    return {variable.name: variable.numpy() for variable in rbm.trainable_variables}


@pytest.mark.grid
@pytest.mark.slow
@pytest.mark.parametrize("names", EXACT, ids="-".join)
def test_exact_gradient_is_the_slope_of_the_log_likelihood(names):  # B8, B9
    rbm = model(names, ExactPhase(seed=0))
    data = draws(rbm.visible, NUM, 1)

    def minus_log_likelihood(values):
        moved = with_values(rbm, {name: tf.constant(x) for name, x in values.items()})
        return float(tf.reduce_mean(clamped_free_energy(moved, data)) + enumeration.log_z(moved))

    values, step = values_of(rbm), 1e-5
    loss, found = gradients(rbm, data)
    assert loss == pytest.approx(minus_log_likelihood(values), rel=1e-12)
    assert len(found) == 3 + len(rbm.visible.parameters) + len(rbm.hidden.parameters)
    rng = np.random.default_rng(2)
    for name, gradient in found.items():
        direction = rng.normal(size=gradient.shape)  # any wrong entry shows
        ends = (values[name] + sign * step * direction for sign in (1, -1))
        both = [minus_log_likelihood({**values, name: end}) for end in ends]
        slope = (both[0] - both[1]) / (2 * step)
        assert np.sum(gradient * direction) == pytest.approx(slope, abs=2e-9), name


@pytest.mark.parametrize("names", SAMPLED, ids="-".join)
def test_gradient_with_chains_is_that_of_the_free_energies(names):  # B10
    v, *_ = pair(*names)
    states = draws(v, 9, 2)
    rbm = model(names, GivenStates(states))
    data = draws(v, NUM, 1)
    loss, found = gradients(rbm, data)
    values = {name: tf.constant(x) for name, x in values_of(rbm).items()}
    with tf.GradientTape() as tape:
        tape.watch(values)
        f_c = (clamped_free_energy(with_values(rbm, values), x) for x in (data, states))
        gap = tf.reduce_mean(next(f_c)) - tf.reduce_mean(next(f_c))
    assert loss == pytest.approx(float(gap), abs=1e-12)
    for name, expected in tape.gradient(gap, values).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-9, atol=1e-12, err_msg=name)


def in_coordinates(rbm, rate):
    """The plain gradient of the model in terms of (v - mu)/s and (h - lambda)/t, mapped back.

    J J^T g by automatic differentiation of the parameters in terms of the new ones.
    """
    units = {"visible": rbm._kinds["visible"], "hidden": rbm._kinds["hidden"]}
    offset = {layer: rbm.__dict__[f"{layer}_offset"].numpy() for layer in units}
    scale = {layer: np.ones(unit.size) for layer, unit in units.items()}
    if rbm.gradient == "standardized":
        for layer, unit in units.items():
            variance = tf.constant(getattr(rbm, f"{layer}_variance").numpy())
            scale[layer] = unit.standard_scale(variance).numpy()

    def slope(layer, own):
        unit, mu = units[layer].with_parameters(**own), tf.constant(offset[layer])
        with tf.GradientTape() as tape:
            tape.watch(mu)
            energy = tf.reduce_sum(unit.energy(mu))
        return tape.gradient(energy, mu, unconnected_gradients="zero")

    def parameters(new):
        """W, a, b and theta of W', a', b' and theta'."""
        old = {name: rate**0.5 * x for name, x in new.items()}  # the units' own
        s, t = scale["visible"], scale["hidden"]
        kernel = new["kernel"] / s[:, None] / t
        own = {
            layer: {name: old[f"{layer}_{name}"] for name in unit.parameters}
            for layer, unit in units.items()
        }
        a = new["visible_bias"] / s + slope("visible", own["visible"])
        a -= tf.linalg.matvec(kernel, offset["hidden"])
        b = new["hidden_bias"] / t + slope("hidden", own["hidden"])
        b -= tf.linalg.matvec(kernel, offset["visible"], transpose_a=True)
        return {**old, "kernel": kernel, "visible_bias": a, "hidden_bias": b}

    def direction(plain):
        values = {name: tf.constant(x) for name, x in values_of(rbm).items()}
        new = {name: x / rate**0.5 for name, x in values.items()}  # linear in the others
        with tf.GradientTape() as tape:
            tape.watch(new)
            old = parameters(new)
        back = tape.gradient(old, new, {name: tf.constant(x) for name, x in plain.items()})
        names = list(new)
        with tf.autodiff.ForwardAccumulator([new[n] for n in names], [back[n] for n in names]) as f:
            old = parameters(new)
        return {name: f.jvp(old[name]).numpy() for name in names}

    return direction


@pytest.mark.grid
@pytest.mark.parametrize("gradient", ["centered", "standardized"])
@pytest.mark.parametrize("names", SAMPLED, ids="-".join)
def test_direction_is_the_plain_gradient_of_the_model_in_other_coordinates(names, gradient):
    v, *_ = pair(*names)
    data, phase = draws(v, NUM, 1), GivenStates(draws(v, 9, 2))
    _, plain = gradients(model(names, phase), data)
    rbm = model(names, phase, gradient=gradient, unit_rate=0.3)
    _, found = gradients(rbm, data)
    expected = in_coordinates(rbm, 0.3)(plain)
    for name, value in expected.items():
        size = np.abs(value).max() + 1
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-12 * size, err_msg=name)


def test_standardised_step_is_a_plain_step_of_the_rescaled_machine():
    # For Gaussian layers the machine of (v - mu)/s and (h - lambda)/t is an RBM, too.
    visible, hidden, kernel, a, b = pair("Gaussian", "Gaussian")
    data, states = draws(visible, NUM, 1), draws(visible, 9, 2)
    options = {"gradient": "standardized", "unit_rate": 0.0}
    rbm = model(("Gaussian", "Gaussian"), GivenStates(states), **options)
    mu, lam = rbm.visible_offset.numpy(), rbm.hidden_offset.numpy()
    s, t = np.sqrt(rbm.visible_variance.numpy()), np.sqrt(rbm.hidden_variance.numpy())
    g, gh = (np.exp(x.parameters["log_precision"]) for x in (visible, hidden))
    other = RBM.from_parameters(
        Gaussian(3, g * s**2),
        Gaussian(2, gh * t**2),
        s[:, None] * kernel * t,
        s * (a - g * mu + kernel @ lam),
        t * (b - gh * lam + mu @ kernel),
        negative_phase=GivenStates((states - mu) / s),
        gradient="plain",
        dtype="float64",
    )
    for each, x in ((rbm, data), (other, (data - mu) / s)):
        each.compile(keras.optimizers.SGD(0.1))
        each.train_on_batch(x)
    np.testing.assert_allclose(rbm.kernel, other.kernel / s[:, None] / t, atol=1e-12)
    back = other.visible_bias / s + g * mu - rbm.kernel.numpy() @ lam
    np.testing.assert_allclose(rbm.visible_bias, back, atol=1e-12)
    back = other.hidden_bias / t + gh * lam - mu @ rbm.kernel.numpy()
    np.testing.assert_allclose(rbm.hidden_bias, back, atol=1e-12)
    assert np.abs(rbm.kernel.numpy() - kernel).max() > 0.01


def test_step_of_a_precision_leaves_the_mean_where_it_is():
    # A layer without weights whose data have the mean but not the variance of the model.
    visible = Gaussian(1, 4.0)
    rbm = RBM.from_parameters(
        visible,
        Binary(1),
        *([[0.0]], [4 * 3.0], [0.0]),
        negative_phase=ExactPhase(),
        unit_rate=1.0,
        dtype="float64",
    )
    data = np.array([[2.0], [4.0]])  # variance 1, and 1/4 of the model
    rbm.adapt(data)
    _, found = gradients(rbm, data)
    by_log_g = 4.0 * (1 - 1 / 4) / 2  # g D<(v - mu)^2>/2
    np.testing.assert_allclose(found["visible_log_precision"], by_log_g)
    np.testing.assert_allclose(found["visible_bias"], 4 * by_log_g * 3.0)  # mu dg


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_all_coordinates_have_the_zeros_of_the_plain_gradient(gradient):
    rbm = model(("Potts", "ReLU"), ExactPhase(), gradient=gradient)
    states = rbm.visible.layer_states()
    p = np.exp(-clamped_free_energy(rbm.machine, states) - enumeration.log_z(rbm))
    with tf.GradientTape() as tape:
        loss = rbm.compute_loss(states, sample_weight=tf.constant(p * len(p)), training=False)
    for found in tape.gradient(loss, [x.value for x in rbm.trainable_variables]):
        np.testing.assert_allclose(found, np.zeros(found.shape), atol=1e-12)


def test_rate_of_the_units_is_for_sgd_and_adam_gets_the_plain_gradient():
    names, data = ("Gaussian", "DReLU"), draws(KINDS["Gaussian"](3), NUM, 1)
    phase = GivenStates(draws(KINDS["Gaussian"](3), 9, 2))
    _, plain = gradients(model(names, phase), data)
    _, slow = gradients(model(names, phase, unit_rate=0.1), data)
    adam = model(names, phase, unit_rate=0.1, gradient="standardized")
    adam.compile("adam")
    _, of_adam = gradients(adam, data)
    for name, value in plain.items():
        rate = 0.1 if "precision" in name or "threshold" in name else 1.0
        np.testing.assert_allclose(slow[name], rate * value, rtol=1e-12)
        np.testing.assert_allclose(of_adam[name], value, rtol=1e-12)


def test_parameters_of_units_that_stay_move_no_bias():
    names, data = ("Gaussian", "ReLU"), draws(KINDS["Gaussian"](3), NUM, 1)
    phase = GivenStates(draws(KINDS["Gaussian"](3), 9, 2))
    still = model(names, phase, gradient="standardized", unit_rate=0.0)
    assert [x.name for x in still.trainable_variables] == ["kernel", "visible_bias", "hidden_bias"]
    fixed = model(names, phase, gradient="standardized", unit_rate=1.0)
    fixed.unit_parameters["hidden_log_precision"].trainable = False
    (_, of_still), (_, of_fixed) = gradients(still, data), gradients(fixed, data)
    np.testing.assert_array_equal(of_still["hidden_bias"], of_fixed["hidden_bias"])
    assert np.all(of_still["visible_bias"] != of_fixed["visible_bias"])
    layers = Mixed([Gaussian(1), Binary(1)]), Mixed([ReLU(1), KINDS["DReLU"](2)])
    names = [x.name for x in RBM(*layers, unit_rate=0.1).trainable_variables[3:]]
    assert "visible_0_log_precision" in names and "hidden_0_log_precision" not in names
    assert "hidden_1_log_precision_plus" in names


def test_a_kernel_that_stays_moves_no_bias():
    names, data = ("Gaussian", "Binary"), draws(KINDS["Gaussian"](3), NUM, 1)
    phase = GivenStates(draws(KINDS["Gaussian"](3), 9, 2))
    _, plain = gradients(model(names, phase), data)
    frozen = model(names, phase, gradient="centered")
    frozen.kernel.trainable = False
    _, found = gradients(frozen, data)
    for name, value in found.items():
        np.testing.assert_allclose(value, plain[name], rtol=1e-12)
    assert "kernel" not in found


@pytest.mark.long
def test_fit_learns_the_precision_of_data():
    x = np.random.default_rng(0).normal(1.0, [0.5, 2.0], (2000, 2))
    x = (x - x.mean(0)) / x.std(0) * [0.5, 2.0] + 1.0
    rbm = RBM(Gaussian(2), Binary(1), negative_phase=ExactPhase(), unit_rate=1.0, seed=0)
    rbm.kernel.assign([[0.0], [0.0]])
    rbm.compile(keras.optimizers.SGD(0.3), steps_per_execution=20)
    rbm.fit(x, batch_size=2000, epochs=100, verbose=0)
    np.testing.assert_allclose(rbm.visible.variance([0.0, 0.0]), [0.25, 4.0], rtol=1e-3)
    np.testing.assert_allclose(rbm.visible.mean(rbm.visible_bias), [1.0, 1.0], rtol=1e-3)


def test_running_scales_are_those_of_data_and_of_hidden_units():
    rng = np.random.default_rng(0)
    x = rng.normal(5.0, [0.1, 1.0, 30.0], (400, 3))
    rbm = RBM.from_parameters(
        Gaussian(3), ReLU(2), W, np.zeros(3), B, gradient="standardized", dtype="float64"
    )
    zero = tf.zeros(2, tf.float64)
    np.testing.assert_allclose(rbm.hidden_variance, rbm.hidden.variance(zero))
    rbm.adapt(iter([x[:100], x[100:]]))
    np.testing.assert_allclose(rbm.visible_variance, x.var(0), rtol=1e-9)
    start, lam = rbm.hidden_variance.numpy(), rbm.hidden_offset.numpy()
    fields = tf.constant(B + x @ W)
    rbm.compute_loss(tf.constant(x), training=True)
    squares = rbm.hidden.variance(fields) + (rbm.hidden.mean(fields) - lam) ** 2
    expected = 0.99 * start + 0.01 * squares.numpy().mean(0)
    np.testing.assert_allclose(rbm.hidden_variance, expected, rtol=1e-12)


def test_scale_of_a_column_is_its_deviation_within_reason():
    variance = np.array([4.0, 0.0])
    np.testing.assert_allclose(Gaussian(2).standard_scale(variance), [2.0, 1.0])
    np.testing.assert_allclose(KINDS["Spin"](2).standard_scale(variance), [2.0, 0.2])
    np.testing.assert_allclose(Potts(1, 2).standard_scale(variance), [1.0, 1.0])
    mixed = Mixed([Binary(1), Potts(1, 2), Gaussian(1)])
    np.testing.assert_allclose(mixed.standard_scale([0.0, 9.0, 9.0, 9.0]), [0.1, 1.0, 1.0, 3.0])


def test_wrong_words_are_refused():
    with pytest.raises(ValueError, match="one of plain, centered, standardized; got 'centred'"):
        RBM(Binary(3), Binary(2), gradient="centred")
    with pytest.raises(ValueError, match="unit_rate must be 0 or more; got -1"):
        RBM(Binary(3), Binary(2), unit_rate=-1)

import keras
import numpy as np
import pytest

from rbm_tf.course import check, mean_and_error, shipped, trained, within

X = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")


def line(num_inputs=3, seed=0):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((num_inputs,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model, lambda: model.fit(X, X[:, :2], epochs=3, verbose=0).history["loss"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def test_without_a_file_it_is_made_and_nothing_is_written(folder):
    assert shipped("ones", lambda: {"a": [1, 1]})["a"].tolist() == [1, 1]
    assert not list(folder.iterdir())


def test_a_file_is_loaded_and_overwritten_on_demand_only():
    shipped("numbers", lambda: {"a": 1}, retrain=True)
    assert shipped("numbers", lambda: {"a": 2})["a"] == 1
    assert shipped("numbers", lambda: {"a": 2}, retrain=True)["a"] == 2
    assert shipped("numbers", lambda: {"a": 3})["a"] == 2


@pytest.mark.long
def test_loaded_weights_and_history_are_those_of_the_training():
    first, fit = line()
    history = trained(first, "line", fit, retrain=True)
    second, _ = line(seed=1)
    assert not np.array_equal(first.predict(X, verbose=0), second.predict(X, verbose=0))
    np.testing.assert_array_equal(trained(second, "line", train=None), history)
    np.testing.assert_array_equal(first.predict(X, verbose=0), second.predict(X, verbose=0))
    assert history.shape == (3,) and history[2] < history[0]


def test_weights_of_another_model_are_refused_with_the_remedy():
    model, fit = line()
    trained(model, "line", fit, retrain=True)
    with pytest.raises(ValueError, match=r"shapes .*retrain = True"):
        trained(line(num_inputs=4)[0], "line", train=None)


def test_check_is_relative_above_one_and_absolute_below():
    check([1e6, 0.0], [1e6 + 1e-5, 1e-11])
    for left, right in (([1e6], 1e6 + 1e-3), (0.0, 1e-9), (1.0, np.nan)):
        with pytest.raises(AssertionError):
            check(left, right)
    check(0.0, 1e-9, tolerance=1e-8)


def test_means_of_independent_samples_and_their_errors():
    samples = np.random.default_rng(0).normal(3.0, 2.0, (400, 1000))
    mean, error = mean_and_error(samples)
    np.testing.assert_allclose(error.mean(), 2 / np.sqrt(400), rtol=0.01)
    assert abs(np.std((mean - 3) / error) - 1) < 0.07
    assert within(samples, 3.0) and not within(samples, np.full(1000, 3.0) + np.eye(1000)[0])

"""RBMTransformer: scikit-learn's own checks, and its numbers at exact results and at a peer's."""

import copy
import io
import pickle
import warnings

import joblib
import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import BernoulliRBM as SklearnRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from rbm_tf import estimator
from rbm_tf.datasets import load_digits, load_wine
from rbm_tf.enumeration import log_z
from rbm_tf.estimates import LogZEstimate, Verdict
from rbm_tf.estimator import RBMTransformer
from rbm_tf.evaluation import JudgedLogZ
from rbm_tf.rbm import RBM
from rbm_tf.training.negative_phase import ContrastiveDivergence
from rbm_tf.units import Binary, Gaussian, Mixed, Spin

SHORT = {"n_iter": 1, "batch_size": 20}  # still two batches or more of most data of the checks
FAIL = "a Pipeline fits the steps that it was given, and changes them"
FAIL_IN_A_PIPELINE = dict.fromkeys(
    ("check_estimators_overwrite_params", "check_dont_overwrite_parameters"), FAIL
)
without_graphs = pytest.mark.usefixtures("eagerly")


@pytest.mark.long
@parametrize_with_checks([RBMTransformer(3, **SHORT)])
@without_graphs
def test_scikit_learn_checks_pass(estimator, check):
    check(estimator)


@pytest.mark.grid
@pytest.mark.long
@parametrize_with_checks(
    [make_pipeline(Binarizer(), RBMTransformer(3, visible="binary", random_state=0, **SHORT))],
    expected_failed_checks=lambda _: FAIL_IN_A_PIPELINE,
)
@without_graphs
def test_scikit_learn_checks_pass_in_a_pipeline(estimator, check):
    check(estimator)


def bits(num=60, width=6, seed=0):
    """Binary columns of which neighbours are mostly equal."""
    rng = np.random.default_rng(seed)
    flips = rng.random((num, width)) < 0.2
    return (np.cumsum(flips, 1) + rng.integers(0, 2, (num, 1))) % 2.0


def normals(num=60, width=3, seed=0):
    return np.random.default_rng(seed).normal(size=(num, width))


def fitted(x, *args, **kwargs):
    return RBMTransformer(*args, **{"n_iter": 3, "random_state": 0, **kwargs}).fit(x)


def test_transform_is_that_of_scikit_learn_at_the_same_parameters():
    x = bits()
    ours = fitted(x, 4, visible="binary")
    peer = SklearnRBM(4).fit(x)
    peer.components_ = ours.rbm_.kernel.numpy().T
    peer.intercept_hidden_ = ours.rbm_.hidden_bias.numpy()
    np.testing.assert_allclose(ours.transform(x), peer.transform(x), rtol=1e-12)


@pytest.mark.grid
@pytest.mark.long
@pytest.mark.parametrize("hidden", ["binary", "spin", "potts:3", "relu", "truncated_exponential"])
@without_graphs
def test_likelihoods_of_all_states_sum_to_one(hidden):
    x = bits()
    for visible, states in (("binary", Binary(6)), ("spin", Spin(6))):
        data = x if visible == "binary" else 2 * x - 1
        model = fitted(data, 4, visible=visible, hidden=hidden)
        total = np.exp(model.score_samples(states.layer_states().numpy())).sum()
        assert total == pytest.approx(1, abs=1e-12)


def test_density_of_gaussian_units_integrates_to_one():
    model = fitted(normals(width=2), 3, n_iter=20)
    axis = np.linspace(-9, 9, 401)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    total = np.exp(model.score_samples(grid)).sum() * (axis[1] - axis[0]) ** 2
    assert total == pytest.approx(1, abs=1e-9)


@pytest.mark.long
def test_annealed_likelihood_is_the_exact_one_within_its_error():
    x = bits(200, 24)
    model = fitted(x, 22, visible="binary", batch_size=20)  # 2^22 states, not quick
    found = model.log_z()
    assert next(iter(found.estimates)) == "AIS forward" and found.verdict.trusted
    exact = log_z(model.rbm_)
    assert abs(found.best.log_z - exact) < 5 * found.best.standard_error
    expected = -model.rbm_.free_energy(x).numpy() - found.best.log_z
    np.testing.assert_allclose(model.score_samples(x), expected, rtol=1e-12)
    assert model.log_z() is found


def test_a_verdict_against_ln_z_is_a_warning(monkeypatch):
    judged = JudgedLogZ({"AIS forward": LogZEstimate(1.0)}, Verdict(False, "Do not trust", {}))
    monkeypatch.setattr(estimator, "judged_log_z", lambda rbm, **options: judged)
    model = fitted(normals(), 2)
    with pytest.warns(UserWarning, match="Do not trust"):
        model.score(normals())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.score(normals())  # once is enough


@pytest.mark.long
def test_fit_learns_more_than_the_columns_by_themselves():
    (x, _), (test, _) = load_wine()
    model = fitted(x, 16, n_iter=60)
    alone = -0.5 * np.sum(test**2 + np.log(2 * np.pi), 1).mean()  # mean 0, variance 1
    assert alone == pytest.approx(-18.7, abs=0.1)
    assert model.score(test) > alone + 1


@pytest.mark.long
def test_partial_fit_is_one_pass_of_fit():
    x, parts = bits(), RBMTransformer(4, visible="binary", random_state=0)
    for _ in range(3):
        parts.partial_fit(x)
    whole = fitted(x, 4, visible="binary")
    for a, b in zip(parts.rbm_.get_weights(), whole.rbm_.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    before = whole.score(x)  # and ln Z follows
    whole.set_params(learning_rate=0.5).partial_fit(bits(seed=1))
    whole.partial_fit(x[:7])
    assert whole.score(x) != before
    assert float(whole.rbm_.optimizer.learning_rate) == 0.5
    assert int(whole.rbm_.optimizer.iterations) == 3 * 6 + 6 + 1
    assert np.exp(whole.score_samples(Binary(6).layer_states().numpy())).sum() == pytest.approx(1)


@pytest.mark.long
@without_graphs
def test_the_same_random_state_gives_the_same_numbers():
    x = normals()
    first, second, other = (fitted(x, 3, random_state=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.transform(x), second.transform(x))
    assert np.any(first.transform(x) != other.transform(x))
    draws = [first.sample(20, n_steps=5, random_state=seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(*draws[:2])
    assert np.any(draws[0] != draws[2]) and draws[0].shape == (20, 3)
    generators = [np.random.RandomState(3) for _ in range(2)]
    a, b = (fitted(x, 3, random_state=generator).transform(x) for generator in generators)
    np.testing.assert_array_equal(a, b)


def test_float32_stays_float32():
    x = normals().astype("float32")
    model = fitted(x, 3)
    assert model.transform(x).dtype == model.sample(2, n_steps=1).dtype == np.float32
    assert model.score_samples(x).dtype == np.float64


@pytest.mark.grid
@pytest.mark.slow
@pytest.mark.parametrize("through", ["pickle", "joblib", "deepcopy"])
def test_a_copy_goes_on_with_the_same_numbers(through):
    x, model = normals(), fitted(normals(), 3)
    score = model.score(x)
    if through == "joblib":
        joblib.dump(model, file := io.BytesIO())
        other = joblib.load(io.BytesIO(file.getvalue()))
    else:
        other = copy.deepcopy(model) if through == "deepcopy" else pickle.loads(pickle.dumps(model))
    assert other.score(x) == score
    for part in (model, other):
        part.partial_fit(x)
    np.testing.assert_array_equal(model.transform(x), other.transform(x))


@pytest.mark.long
def test_every_pickle_of_two_kinds_of_units_loads():
    for seed in range(20):  # of kinds that were taken for one another by chance
        rbm = RBM(Gaussian(3), Binary(2), seed=seed)
        assert isinstance(pickle.loads(pickle.dumps(rbm)).hidden, Binary)


@pytest.mark.long
@without_graphs
def test_clone_has_the_parameters_and_is_not_fitted():
    phase = ContrastiveDivergence(2)
    model = fitted(normals(), 3, hidden=Spin(3), negative_phase=phase, visible=Gaussian(3))
    other = clone(model)
    assert repr(other.hidden) == "Spin(3)" and other.negative_phase.num_steps == 2
    assert not hasattr(other, "rbm_") and not phase.built
    again = other.fit(normals()).transform(normals())
    np.testing.assert_array_equal(again, model.transform(normals()))


@pytest.mark.long
def test_a_layer_as_the_negative_phase_is_copied_and_seeded():
    x, phases = bits(), [ContrastiveDivergence(2, seed=seed) for seed in (3, 4)]
    first, second = (fitted(x, 3, visible="binary", negative_phase=phase) for phase in phases)
    assert not phases[0].built and first.rbm_.negative_phase.num_steps == 2
    np.testing.assert_array_equal(first.transform(x), second.transform(x))
    assert isinstance(
        fitted(x, 3, visible="binary", negative_phase="cd").rbm_.negative_phase,
        ContrastiveDivergence,
    )


@pytest.mark.long
@without_graphs
def test_mixed_columns_and_potts_features_have_their_columns():
    x = np.concatenate([bits(), 2 * bits(width=3) - 1], 1)
    model = fitted(x, 2, visible=Mixed([Binary(6), Spin(3)]), hidden="potts:3")
    assert model.transform(x).shape == (60, 6)
    np.testing.assert_allclose(model.transform(x).reshape(60, 2, 3).sum(-1), 1, rtol=1e-12)
    assert list(model.get_feature_names_out()) == [f"rbmtransformer{i}" for i in range(6)]
    one_hot = np.eye(4)[np.arange(40).reshape(20, 2) % 4].reshape(20, 8)
    assert repr(fitted(one_hot, 2, visible="potts:4").rbm_.visible) == "Potts(2, 4)"


@pytest.mark.long
@without_graphs
def test_tables_and_sparse_matrices_are_the_array_that_they_hold():
    pandas = pytest.importorskip("pandas")
    x = bits()
    whole = fitted(x, 3, visible="binary")
    for kind in (scipy.sparse.csr_matrix, scipy.sparse.coo_array):
        model = fitted(kind(x), 3, visible="binary")
        np.testing.assert_array_equal(model.transform(kind(x)), whole.transform(x))
    table = pandas.DataFrame(x, columns=list("abcdef"))
    model = fitted(table, 3, visible="binary").set_output(transform="pandas")
    assert list(model.feature_names_in_) == list("abcdef")
    features = model.transform(table)
    assert list(features) == ["rbmtransformer0", "rbmtransformer1", "rbmtransformer2"]
    np.testing.assert_array_equal(features, whole.transform(x))


@pytest.mark.long
@without_graphs
def test_grid_search_compares_the_likelihoods_of_held_out_data():
    x = bits(120)
    search = GridSearchCV(
        RBMTransformer(visible="binary", n_iter=3, random_state=0),
        {"n_components": [1, 6], "hidden": ["binary", "spin"]},
        cv=2,
    ).fit(x)
    best = search.best_params_
    by_hand = []
    for train, test in ((x[60:], x[:60]), (x[:60], x[60:])):
        by_hand.append(fitted(train, visible="binary", **best).score(test))
    assert search.best_score_ == pytest.approx(np.mean(by_hand), abs=1e-9)
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])
    assert search.score(x) == search.best_estimator_.score(x)


@pytest.mark.long
def test_features_of_digits_serve_a_classifier_in_a_pipeline():
    (x, y), (x_test, y_test) = load_digits()
    x, x_test = (images.reshape(len(images), -1) for images in (x, x_test))
    ours = RBMTransformer(64, visible="binary", n_iter=20, random_state=0)
    peer = SklearnRBM(64, n_iter=20, random_state=0)
    accuracy = []
    for rbm in (ours, peer):
        pipeline = make_pipeline(rbm, LogisticRegression(max_iter=1000)).fit(x, y)
        accuracy.append(pipeline.score(x_test, y_test))
    assert accuracy[0] > accuracy[1] - 0.02


def test_a_pipeline_that_ends_in_it_has_its_likelihood_as_the_score():
    x = 3 * normals() + 5
    pipeline = make_pipeline(StandardScaler(), RBMTransformer(2, n_iter=2, random_state=0)).fit(x)
    scaled = StandardScaler().fit_transform(x)
    assert pipeline.score(x) == pipeline[-1].score(scaled)
    np.testing.assert_array_equal(pipeline.score_samples(x), pipeline[-1].score_samples(scaled))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 0}, "n_components must be an integer of 1 or more; got 0"),
        ({"n_iter": 1.5}, "n_iter must be an integer"),
        ({"batch_size": 0}, "batch_size must be an integer"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0; got 0.0"),
        ({"learning_rate": np.nan}, "learning_rate must be above 0"),
        ({"unit_rate": -1}, "unit_rate must be 0 or more"),
        ({"visible": "bernoulli"}, "Units are called binary, .* got 'bernoulli'"),
        ({"visible": "potts"}, "potts:q with q of 2 or more"),
        ({"visible": "potts:4"}, "take 4 columns each, one-hot; got 3 columns"),
        ({"visible": "binary"}, "must lie in .0, 1.|Binary"),
        ({"visible": Gaussian(4)}, "4"),
        ({"hidden": None}, "Units are called"),
        ({"hidden": Binary(5)}, "n_components=2 and hidden=Binary.5. differ: give n_components=5"),
        ({"negative_phase": "gibbs"}, "negative_phase must be one of pcd, cd, or a layer"),
        ({"random_state": "x"}, "cannot be used to seed"),
        ({"learning_rate": 1e6, "hidden": "gaussian", "n_iter": 50}, "Training broke down"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_in_fit_with_the_remedy(options, message):
    model = RBMTransformer(**{"n_components": 2, "random_state": 0, **options})
    with pytest.raises(ValueError, match=message):
        model.fit(normals())


def test_grey_levels_are_features_and_have_no_likelihood():
    grey = np.random.default_rng(0).random((20, 4))
    model = fitted(grey, 2, visible="binary")
    assert model.transform(grey).shape == (20, 2)
    with pytest.raises(ValueError, match=r"X must hold 0 and 1 alone"):
        model.score_samples(grey)


def test_tags_say_what_the_units_take():
    def tags(**options):
        return RBMTransformer(**options).__sklearn_tags__().input_tags

    positive = ["binary", "relu", "potts:3", "truncated_exponential", Binary(3), Mixed([Binary(2)])]
    other = ["gaussian", "spin", "drelu", "nonsense", Mixed([Binary(2), Gaussian(1)])]
    assert all(tags(visible=visible).positive_only for visible in positive)
    assert not any(tags(visible=visible).positive_only for visible in other)

import pickle

import numpy as np
import pytest

from rbm_tf.cumulants import sample_cumulants
from rbm_tf.cumulants.streaming import StreamingCumulants


def stream(batches, **kwargs):
    total = StreamingCumulants.empty(**kwargs)
    for batch in batches:
        total = total.update(batch)
    return total


@pytest.mark.parametrize("max_order", range(1, 7))
def test_batches_of_any_size_give_the_cumulants_of_all_at_once(max_order):
    x = np.random.default_rng(0).gamma(2.0, size=(1000, 3))
    batches = np.split(x, [1, 2, 7, 500, 501, 998])
    kappa = stream(batches, max_order=max_order, shape=(3,)).cumulants()
    np.testing.assert_allclose(kappa, sample_cumulants(x, max_order), rtol=1e-12)


def test_merging_workers_is_all_at_once_in_any_order():
    x = np.random.default_rng(1).normal(-90.0, 10.0, size=3000)
    workers = [stream(np.array_split(part, 3), max_order=6) for part in np.split(x, [100, 1500])]
    workers = [pickle.loads(pickle.dumps(worker)) for worker in workers]
    one, two, three = workers
    expected = sample_cumulants(x, 6)
    for merged in (one.merge(two).merge(three), three.merge(two.merge(one))):
        assert merged.count == 3000
        scale = np.std(x) ** np.arange(1, 7)
        np.testing.assert_allclose(merged.cumulants() / scale, expected / scale, atol=1e-12)
    empty = StreamingCumulants.empty(max_order=6)
    np.testing.assert_array_equal(empty.merge(one).cumulants(), one.cumulants())
    np.testing.assert_array_equal(one.merge(empty).cumulants(), one.cumulants())


def test_a_large_mean_costs_no_accuracy():
    x = np.random.default_rng(2).integers(0, 64, size=100_000) / 8.0  # exact after the shift
    expected = sample_cumulants(x, 4).numpy()
    kappa = stream(np.split(x + 2.0**30, 100)).cumulants()  # x^4 would lose all 16 digits
    np.testing.assert_allclose(kappa[0] - 2.0**30, expected[0], rtol=1e-6)
    np.testing.assert_allclose(kappa[1:], expected[1:], rtol=1e-6, atol=1e-4)


def test_wrong_batches_and_too_few_samples_are_refused():
    total = StreamingCumulants.empty(max_order=4, shape=(2,))
    for batch in (np.ones(2), np.ones((3, 1)), np.ones((0, 2))):
        with pytest.raises(ValueError, match="A batch must have shape"):
            total.update(batch)
    with pytest.raises(ValueError, match="Add more samples"):
        total.update(np.ones((3, 2))).cumulants()
    with pytest.raises(ValueError, match="same max_order and shape"):
        total.merge(StreamingCumulants.empty(max_order=3, shape=(2,)))
    with pytest.raises(ValueError, match="from 1 to 6"):
        StreamingCumulants.empty(max_order=7)

"""Evaluation on the workers of Dask is that of one process, to the last bit."""

import os
import signal
import sys

import keras
import numpy as np
import pytest

from rbm_tf.cumulants import sample_cumulants
from rbm_tf.shared.workers import in_order
from vae_keras import evidence
from vae_keras.evidence import blocks as evaluation
from vae_keras.evidence.blocks import estimate_in_blocks, streamed_cumulants, streamed_iwae
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.vae import VAE

BAR = {"unit": "piece", "description": "pieces"}


@pytest.fixture(scope="module")
def client():
    """Two worker processes."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def x():
    return (np.random.default_rng(0).random((11, 16)) < 0.3).astype("float32")


@pytest.fixture
def vae():
    keras.utils.set_random_seed(0)
    networks = (make((16,), 2, hidden_units=(8,)) for make in (dense_encoder, dense_decoder))
    return VAE(*networks)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(evaluation, "_BLOCK", 60)
    monkeypatch.setattr(evaluation, "_IMAGES", 3)


@pytest.mark.long
def test_workers_give_the_numbers_of_one_process(vae, x, small_blocks, client, tmp_path):
    path = tmp_path / "vae.keras"
    vae.save(path)
    saved = keras.models.load_model(path)
    estimators = {"elbo": evidence.elbo, "iwae": lambda w: evidence.iwae(w[:7])}
    here = estimate_in_blocks(vae, x, estimators, 20, seed=1)
    there = estimate_in_blocks(saved, x, estimators, 20, seed=1, client=client)
    by_address = client.scheduler.address
    kept = tmp_path / "kept.npz"
    for found in (
        there,
        estimate_in_blocks(saved, x, estimators, 20, seed=1, client=by_address, path=kept),
    ):
        for name, values in here.items():
            np.testing.assert_array_equal(found[name], values)
    assert not kept.exists()


@pytest.mark.long
def test_blocks_of_draws_merge_to_those_of_one_process(vae, x, small_blocks, client):
    for function in (streamed_iwae, streamed_cumulants):
        here = function(vae, x[:7], 50, seed=1)  # three blocks of images, each of draws in three
        there = function(vae, x[:7], 50, seed=1, client=client)
        pairs = [(here, there)] if function is streamed_iwae else zip(here, there, strict=True)
        for one, other in pairs:
            np.testing.assert_array_equal(one, other)


@pytest.mark.long
def test_pieces_of_a_killed_worker_are_done_again_and_none_counts_twice(client, tmp_path):
    def noise(number, seed):
        """A worker that comes to the piece 20 kills itself, once."""
        (tmp_path / f"{number}_{os.getpid()}").touch()
        if number == 20 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number, np.random.default_rng(seed).normal(size=1000)

    pieces = [(number, 7 + number) for number in range(100)]
    options, before = {"sizes": [1] * 100, **BAR}, set(client.run(os.getpid).values())
    there = list(in_order(noise, pieces, client=client, **options))
    tried = {int(path.name.split("_")[1]) for path in tmp_path.glob("20_*")}
    assert len(before) == 2 and len(tried) == 2 and tried & before
    here = list(in_order(noise, pieces, **options))
    assert [number for number, _ in there] == [number for number, _ in here] == list(range(100))
    for (_, one), (_, other) in zip(there, here, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_results_come_in_order_whichever_is_first_and_errors_are_those_of_the_work(client):
    import time

    def late(number):
        time.sleep(0.2 if number == 0 else 0)
        return number, os.getpid()

    options = {"sizes": [1] * 200, "client": client, **BAR}
    results = list(in_order(late, ((i,) for i in range(200)), **options))
    assert [number for number, _ in results] == list(range(200))
    assert len({pid for _, pid in results}) == 2 and os.getpid() not in {p for _, p in results}
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda n: 1 / (3 - n), ((i,) for i in range(200)), **options))


def test_streamed_cumulants_are_those_of_all_log_weights(x, small_blocks):
    kept = []

    class Kept:
        def log_weights(self, x, num_samples, *, seed):
            kept.append(np.random.default_rng(seed).gamma(2.0, size=(num_samples, len(x))))
            return kept[-1]

    found = streamed_cumulants(Kept(), x[:3], 50, seed=0)
    assert [len(part) for part in kept] == [20, 20, 10] and found.count == 50
    expected = sample_cumulants(np.concatenate(kept), max_order=4)
    np.testing.assert_allclose(found.cumulants(), expected, rtol=1e-10)
    with pytest.raises(ValueError, match="max_order must be an integer from 1 to 6"):
        streamed_cumulants(Kept(), x, 50, max_order=7)


def test_without_dask_a_client_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'free-energies\[workers\]', or leave"):
        list(in_order(pow, [(2, 3)], sizes=[1], client="tcp://localhost:1", **BAR))

import keras
import numpy as np
import pytest

from rbm_tf.diagnostics import effective_sample_size
from vae_keras import evidence
from vae_keras.evidence import blocks as evaluation
from vae_keras.evidence.blocks import estimate_in_blocks, streamed_iwae
from vae_keras.networks import dense_decoder, dense_encoder
from vae_keras.parts import Gaussian, Latents
from vae_keras.vae import VAE

ESTIMATORS = {"elbo": evidence.elbo, "iwae": evidence.iwae, "size": effective_sample_size}


class CountedVAE:
    """A VAE that counts its calls, records the largest result, and can be interrupted."""

    def __init__(self, vae, fail_at=None):
        self.vae, self.fail_at, self.calls, self.largest = vae, fail_at, 0, 0

    def log_weights(self, x, num_samples, seed):
        self.calls += 1
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        result = self.vae.log_weights(x, num_samples, seed=seed)
        self.largest = max(self.largest, np.size(result))
        return result

    def get_weights(self):
        return self.vae.get_weights()


@pytest.fixture
def x():
    return (np.random.default_rng(0).random((7, 16)) < 0.3).astype("float32")


@pytest.fixture
def vae():
    keras.utils.set_random_seed(0)
    return VAE(
        dense_encoder((16,), 2, hidden_units=(8,)), dense_decoder((16,), 2, hidden_units=(8,))
    )


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(evaluation, "_BLOCK", 60)
    monkeypatch.setattr(evaluation, "_IMAGES", 3)


def test_one_block_gives_the_estimators_of_its_log_weights(vae, x):
    values = estimate_in_blocks(vae, x, ESTIMATORS, 20, seed=1)
    seed = np.random.SeedSequence(1).generate_state(1)[0]
    log_weights = vae.log_weights(x, 20, seed=int(seed))
    for name, estimate in ESTIMATORS.items():
        np.testing.assert_array_equal(values[name], np.asarray(estimate(log_weights), float))


def test_blocks_bound_the_memory_and_agree_within_their_errors(vae, x, monkeypatch):
    num = 4000
    monkeypatch.setattr(evaluation, "_BLOCK", 2 * num)
    counted = CountedVAE(vae)
    mean = {"mean": evidence.elbo, "square": lambda w: np.mean(np.asarray(w) ** 2, 0)}
    blocks = estimate_in_blocks(counted, x, mean, num, seed=1)
    assert counted.largest == 2 * num
    assert counted.calls == 4
    monkeypatch.undo()
    whole = estimate_in_blocks(vae, x, mean, num, seed=2)
    error = np.sqrt((whole["square"] - whole["mean"] ** 2) / num)
    assert np.all(np.abs(blocks["mean"] - whole["mean"]) < 5 * np.sqrt(2) * error)


def test_same_seed_gives_the_same_numbers_and_blocks_different_noise(vae, x, small_blocks):
    same = np.repeat(x[:1], 7, 0)
    first, again, other = (
        estimate_in_blocks(vae, same, ESTIMATORS, 20, seed=seed)["elbo"] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.all(first != other)
    assert len(set(first)) == 7


def test_streamed_iwae_equals_iwae_of_all_its_samples(vae, x, small_blocks):
    kept = []

    class KeepingVAE(CountedVAE):
        def log_weights(self, x, num_samples, seed):
            kept.append(np.asarray(super().log_weights(x, num_samples, seed=seed), float))
            return kept[-1].astype("float32")

    streaming = KeepingVAE(vae)
    estimate = streamed_iwae(streaming, x[:3], 50, seed=0)  # blocks of 20, 20 and 10 samples
    assert streaming.largest == 60
    assert len({float(part[0, 0]) for part in kept}) == 3
    expected = np.logaddexp.reduce(np.concatenate(kept), 0) - np.log(50)
    np.testing.assert_allclose(estimate, expected, rtol=1e-6)


def test_interrupted_call_goes_on_to_the_same_numbers(vae, x, small_blocks, tmp_path):
    path = tmp_path / "kept.npz"
    with pytest.raises(KeyboardInterrupt):
        estimate_in_blocks(CountedVAE(vae, fail_at=4), x, ESTIMATORS, 20, seed=1, path=path)
    assert path.exists()
    second = CountedVAE(vae)
    resumed = estimate_in_blocks(second, x, ESTIMATORS, 20, seed=1, path=path)
    assert second.calls == 2  # the first image for the check, and the last block
    assert not path.exists()
    whole = estimate_in_blocks(vae, x, ESTIMATORS, 20, seed=1)
    for name in ESTIMATORS:
        np.testing.assert_array_equal(resumed[name], whole[name])


def test_kept_results_of_another_call_are_refused(vae, x, small_blocks, tmp_path):
    path = tmp_path / "kept.npz"
    with pytest.raises(KeyboardInterrupt):
        estimate_in_blocks(CountedVAE(vae, fail_at=4), x, ESTIMATORS, 20, seed=1, path=path)
    for num_samples, seed, data in ((21, 1, x), (20, 2, x), (20, 1, 1 - x)):
        with pytest.raises(ValueError, match="delete it or choose another"):
            estimate_in_blocks(vae, data, ESTIMATORS, num_samples, seed=seed, path=path)
    vae.set_weights([w + 0.1 for w in vae.get_weights()])
    with pytest.raises(ValueError, match="another model"):
        estimate_in_blocks(vae, x, ESTIMATORS, 20, seed=1, path=path)


def test_kept_results_of_other_functions_or_options_are_refused(vae, x, small_blocks, tmp_path):
    path = tmp_path / "kept.npz"

    def with_first(num):
        return {"iwae": lambda log_weights: evidence.iwae(log_weights[:num])}

    with pytest.raises(KeyboardInterrupt):
        estimate_in_blocks(CountedVAE(vae, fail_at=4), x, with_first(5), 20, seed=1, path=path)
    kept = path.read_bytes()
    colder = VAE(vae.encoder, vae.decoder, temperature=0.5)
    other = VAE(vae.encoder, vae.decoder, likelihood=Gaussian(scale=1.0))
    for model, estimators in (
        (vae, with_first(6)),
        (colder, with_first(5)),
        (other, with_first(5)),
    ):
        with pytest.raises(ValueError, match="delete it or choose another"):
            estimate_in_blocks(model, x, estimators, 20, seed=1, path=path)
    assert path.read_bytes() == kept


def test_results_that_another_process_keeps_are_not_lost(vae, x, small_blocks, tmp_path):
    path = tmp_path / "kept.npz"

    class Slower(CountedVAE):
        def log_weights(self, *arguments, seed):
            if self.calls == 1 and not path.exists():  # after the check, another process is faster
                with pytest.raises(KeyboardInterrupt):
                    faster = CountedVAE(vae, fail_at=4)
                    estimate_in_blocks(faster, x, ESTIMATORS, 20, seed=2, path=path)
            return super().log_weights(*arguments, seed=seed)

    with pytest.raises(ValueError, match="delete it or choose another"):
        estimate_in_blocks(Slower(vae), x, ESTIMATORS, 20, seed=1, path=path)
    faster = CountedVAE(vae)
    estimate_in_blocks(faster, x, ESTIMATORS, 20, seed=2, path=path)
    assert faster.calls == 2


@pytest.mark.parametrize("content", [b"", b"no archive", b"half", b"array", b"foreign"])
def test_kept_file_that_cannot_be_read_is_named(vae, x, small_blocks, tmp_path, content):
    path = tmp_path / "kept.npz"
    if content == b"half":
        with pytest.raises(KeyboardInterrupt):
            estimate_in_blocks(CountedVAE(vae, fail_at=4), x, ESTIMATORS, 20, seed=1, path=path)
        content = path.read_bytes()[:200]
    path.write_bytes(content)
    if content in (b"array", b"foreign"):
        with open(path, "wb") as file:
            np.save(file, x) if content == b"array" else np.savez(file, x=x)
    with pytest.raises(ValueError, match="holds no results of an evaluation: delete it or choose"):
        estimate_in_blocks(vae, x, ESTIMATORS, 20, seed=1, path=path)


class Elsewhere:
    """A model of another library: NumPy's float64 log-weights ln w = x + y + noise."""

    def log_weights(self, x, num_samples, *, seed):
        noise = np.random.default_rng(seed).normal(size=(num_samples, len(x["y"])))
        return x["pair"][0].sum(-1) + x["y"] + noise


def test_nested_data_and_models_of_other_libraries_go_in_by_blocks(small_blocks, tmp_path):
    rng, seen = np.random.default_rng(0), []
    x = {"pair": (rng.normal(size=(7, 2)), rng.normal(size=(7, 3, 4))), "y": rng.normal(size=7)}
    estimators = {"elbo": lambda w: seen.append(w.dtype) or evidence.elbo(w)}
    path = tmp_path / "kept.npz"
    found = estimate_in_blocks(Elsewhere(), x, estimators, 20, seed=1, path=path)["elbo"]
    exact = x["pair"][0].sum(-1) + x["y"]
    assert np.all(np.abs(found - exact) < 5 / 20**0.5) and set(seen) == {np.dtype("float64")}
    assert np.std(found - exact) > 0.05  # the noise is that of each
    streamed = streamed_iwae(Elsewhere(), x, 2000, seed=1)  # ln <exp(noise)> = 1/2
    assert np.all(np.abs(streamed - exact - 0.5) < 5 * np.sqrt(np.expm1(1) / 2000))
    with pytest.raises(ValueError, match=r"of one length; got \[6, 7\]"):
        estimate_in_blocks(Elsewhere(), {**x, "y": x["y"][:6]}, estimators, 20)


def test_kept_results_of_latents_with_other_weights_are_refused(vae, x, small_blocks, tmp_path):
    path, elbo = tmp_path / "kept.npz", {"elbo": evidence.elbo}
    latents = Latents(vae.encoder, vae.decoder)
    whole = estimate_in_blocks(latents, x, elbo, 20, seed=1)["elbo"]
    with pytest.raises(KeyboardInterrupt):
        estimate_in_blocks(latents, x, {"elbo": interrupting(3)}, 20, seed=1, path=path)
    resumed = estimate_in_blocks(latents, x, elbo, 20, seed=1, path=path)["elbo"]
    np.testing.assert_array_equal(resumed, whole)
    with pytest.raises(KeyboardInterrupt):
        estimate_in_blocks(latents, x, {"elbo": interrupting(3)}, 20, seed=1, path=path)
    vae.decoder.set_weights([weight + 0.1 for weight in vae.decoder.get_weights()])
    with pytest.raises(ValueError, match="another model"):
        estimate_in_blocks(latents, x, elbo, 20, seed=1, path=path)


def interrupting(call):
    """evidence.elbo, interrupted at a call."""
    calls = iter(range(1, 100))

    def estimate(log_weights):
        if next(calls) == call:
            raise KeyboardInterrupt
        return evidence.elbo(log_weights)

    return estimate


def test_wrong_calls_are_refused(vae, x, tmp_path):
    with pytest.raises(ValueError, match="at least one image"):
        estimate_in_blocks(vae, x[:0], ESTIMATORS, 20)
    with pytest.raises(ValueError, match="needs a seed"):
        estimate_in_blocks(vae, x, ESTIMATORS, 20, path=tmp_path / "kept.npz")
    for num_samples in (0, -3):
        with pytest.raises(ValueError, match="num_samples"):
            estimate_in_blocks(vae, x, ESTIMATORS, num_samples)
        with pytest.raises(ValueError, match="num_samples"):
            streamed_iwae(vae, x, num_samples)


def test_a_model_of_another_library_is_given_tensors_of_its_own():
    torch = pytest.importorskip("torch")

    class Model:
        def log_weights(self, x, num_samples, seed):
            assert isinstance(x, torch.Tensor)
            return np.zeros((num_samples, len(x)))

    found = estimate_in_blocks(Model(), torch.zeros(3, 2), {"IWAE": evidence.iwae}, 2, seed=0)
    np.testing.assert_array_equal(found["IWAE"], np.zeros(3))

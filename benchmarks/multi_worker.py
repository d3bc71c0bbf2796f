"""Train a VAE or an RBM on several machines, by tf.distribute.MultiWorkerMirroredStrategy.

Keras 3.15 does not `fit` under this strategy; `strategy.run` of the model's own step works. Start
the same command on every machine, each with its own index; a port that is free and can be reached:

    python benchmarks/multi_worker.py --model rbm --workers host-a:12345,host-b:12345 --index 0
    python benchmarks/multi_worker.py --model rbm --workers host-a:12345,host-b:12345 --index 1

Each machine takes its share of every global batch; losses and gradients are those of one machine
with the whole batch. For a VAE the replicas draw the same noise, each for its own examples. Of an
RBM each moves its share of the chains, with draws of its own, also where ln Z is annealed in the
end. The first machine saves.
"""

import argparse
import json
import os
import sys


def main():
    parser = argparse.ArgumentParser(description="Train a model of digits on several machines.")
    parser.add_argument("--model", choices=("vae", "rbm"), default="vae")
    parser.add_argument("--workers", required=True, help="host:port of every machine, with commas")
    parser.add_argument("--index", type=int, required=True, help="of this machine, from 0")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64, help="global")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the VAE")
    parser.add_argument("--hidden", type=int, default=32, help="units of the RBM")
    parser.add_argument("--exact", action="store_true", help="the RBM's exact gradient, no chains")
    parser.add_argument("--output", help="by default outputs/MODEL_multi_worker.keras")
    options = parser.parse_args()
    task = {"type": "worker", "index": options.index}
    cluster = {"worker": options.workers.split(",")}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    train(options)


def make_vae(options, x):
    from vae_keras.networks import dense_decoder, dense_encoder
    from vae_keras.vae import VAE

    networks = dense_encoder((8, 8), latent_dim=2), dense_decoder((8, 8), latent_dim=2)
    return VAE(*networks, temperature=options.temperature, seed=0)


def make_rbm(options, x):
    from rbm_tf.rbm import BernoulliRBM
    from rbm_tf.training.negative_phase import ExactPhase

    phase = ExactPhase() if options.exact else None
    rbm = BernoulliRBM(64, options.hidden, negative_phase=phase, seed=0)
    rbm.adapt(x)  # as `fit` would do
    return rbm


def train(options):
    import keras
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # before anything else of TensorFlow
    from rbm_tf.datasets import load_digits

    (x, _), _ = load_digits("bernoulli", seed=0)
    x = x if options.model == "vae" else x.reshape(-1, 64)
    keras.utils.set_random_seed(0)  # the same weights and the same order everywhere
    with strategy.scope():
        model = {"vae": make_vae, "rbm": make_rbm}[options.model](options, x)
    batches = tf.data.Dataset.from_tensor_slices(x).batch(options.batch_size, drop_remainder=True)
    data_options = tf.data.Options()
    data_options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    batches = strategy.experimental_distribute_dataset(batches.with_options(data_options))

    @tf.function
    def step(batch):
        logs = strategy.run(model.train_step, ((batch,),))
        return strategy.reduce("MEAN", logs["loss"], axis=None)  # in this epoch so far

    for epoch in range(options.epochs):
        model.reset_metrics()
        for batch in batches:
            loss = step(batch)
        print(f"epoch {epoch + 1}: loss {float(loss):.6f} nats", flush=True)
    if options.model == "rbm":
        from rbm_tf.annealing import ais

        with strategy.scope():  # each machine walks its share of the chains
            estimate = ais(model, num_chains=100 * len(options.workers.split(",")), seed=0)
        print(f"ln Z: {estimate.log_z:.4f} +- {estimate.standard_error:.4f}", flush=True)
    if options.index == 0:
        model.save(options.output or f"outputs/{options.model}_multi_worker.keras")


if __name__ == "__main__":
    sys.exit(main())

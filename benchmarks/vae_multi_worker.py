"""Train a VAE on several machines: a recipe for tf.distribute.MultiWorkerMirroredStrategy.

Keras 3.15 does not `fit` under this strategy; a loop around `strategy.run` works. Start
the same command on every machine, each with its own index; a port that is free and can be reached:

    python benchmarks/vae_multi_worker.py --workers host-a:12345,host-b:12345 --index 0
    python benchmarks/vae_multi_worker.py --workers host-a:12345,host-b:12345 --index 1

Each machine takes its share of every global batch; losses and gradients are those of one machine
with the whole batch. The replicas draw the same noise, each for its own examples. The first machine
saves.
"""

import argparse
import json
import os
import sys


def main():
    parser = argparse.ArgumentParser(description="Train a VAE on digits on several machines.")
    parser.add_argument("--workers", required=True, help="host:port of every machine, with commas")
    parser.add_argument("--index", type=int, required=True, help="of this machine, from 0")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64, help="global")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--output", default="outputs/vae_multi_worker.keras")
    options = parser.parse_args()
    task = {"type": "worker", "index": options.index}
    cluster = {"worker": options.workers.split(",")}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    train(options)


def train(options):
    import keras
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # before anything else of TensorFlow
    from rbm_tf.datasets import load_digits
    from vae_keras.networks import dense_decoder, dense_encoder
    from vae_keras.vae import VAE

    (x, _), _ = load_digits("bernoulli", seed=0)
    keras.utils.set_random_seed(0)  # the same weights and the same order everywhere
    with strategy.scope():
        networks = dense_encoder((8, 8), latent_dim=2), dense_decoder((8, 8), latent_dim=2)
        vae = VAE(*networks, temperature=options.temperature, seed=0)
    batches = tf.data.Dataset.from_tensor_slices(x).batch(options.batch_size, drop_remainder=True)
    data_options = tf.data.Options()
    data_options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    batches = strategy.experimental_distribute_dataset(batches.with_options(data_options))

    def replica_step(batch):
        with tf.GradientTape() as tape:
            loss = vae.compute_loss(batch)  # its mean over the global batch sums over replicas
        gradients = tape.gradient(loss, vae.trainable_weights)
        vae.optimizer.apply_gradients(zip(gradients, vae.trainable_weights, strict=True))
        return loss

    @tf.function
    def step(batch):
        return strategy.reduce("SUM", strategy.run(replica_step, (batch,)), axis=None)

    for epoch in range(options.epochs):
        losses = [float(step(batch)) for batch in batches]
        print(f"epoch {epoch + 1}: loss {sum(losses) / len(losses):.6f} nats", flush=True)
    if options.index == 0:
        vae.save(options.output)


if __name__ == "__main__":
    sys.exit(main())

"""Contacts and ln p of sequences of a known Potts model, from RBMs with Potts visible units.

    .venv/bin/python benchmarks/potts_sequences.py [--states 6] [--seed 0]

The true model couples 34 pairs of 24 sites, the edges of a ladder of 2 x 12 sites whose numbers are
shuffled. Two sites side by side are one link of a chain, so its entropy is exact by a transfer
matrix, and its samples are independent. RBMs learn from 1,000 sequences by persistent contrastive
divergence. Their effective couplings follow from the second cumulant of the hidden units:

    -F_c(v) = a.v + sum_j Gamma_j(b_j + sum_i W_i(v_i)j),
    J_ik(s, t) = sum_j < Gamma_j''(I_j(v)) > W_isj W_ktj,   sum_s W_isj = 0,

the second order of Gamma_j around the input I_j(v) of each sequence, averaged over the data; for
Gaussian hidden units it is exact. Pairs are ranked by the Frobenius norm of J_ik. Competitors: mean
field (minus the inverse covariance) and mutual information. Results go to
benchmarks/results/potts_sequences*.
"""

import argparse
import sys
import time

from rbm_tf.quiet import quiet_start

quiet_start()

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from rounds import RESULTS, write
from scipy.special import logsumexp

from rbm_tf.annealing import ais, reverse_ais
from rbm_tf.command_line.program import table
from rbm_tf.machine import hidden_input
from rbm_tf.rbm import RBM
from rbm_tf.shared.files import written_whole
from rbm_tf.training.negative_phase import PersistentContrastiveDivergence
from rbm_tf.units import Binary, DReLU, Gaussian, Potts

LENGTH, NUM_TRAIN, NUM_TEST = 24, 1000, 2000
COUPLING, FIELD = 1.5, 0.3  # standard deviations of the true couplings and fields
HIDDEN = {"Binary": Binary, "Gaussian": Gaussian, "dReLU": DReLU}
NUM_HIDDEN, BATCH, DECAY = 60, 100, 1e-3
FIRST, SECOND = LENGTH // 2, 2  # links of the chain, sites of a link


class Ladder:
    """Potts sites on a ladder: exact ln Z, ln p, entropy and independent samples."""

    def __init__(self, states, rng):
        self.states, self.order = states, rng.permutation(LENGTH)
        self.fields = FIELD * rng.normal(size=(LENGTH, states))
        self.edges = [(2 * i, 2 * i + 1) for i in range(FIRST)]
        self.edges += [(i, i + 2) for i in range(LENGTH - 2)]
        couplings = COUPLING * rng.normal(size=(len(self.edges), states, states))
        couplings -= couplings.mean(1, keepdims=True)
        self.couplings = couplings - couplings.mean(2, keepdims=True)  # both sums are 0
        self.transfer, self.link_terms = self._links()
        self.messages = self._messages()

    def _links(self):
        q, by_edge = self.states, dict(zip(self.edges, self.couplings, strict=True))
        terms = [
            (
                self.fields[2 * i][:, None] + self.fields[2 * i + 1] + by_edge[2 * i, 2 * i + 1]
            ).ravel()
            for i in range(FIRST)
        ]
        transfers = [
            (
                by_edge[2 * i, 2 * i + 2][:, None, :, None]
                + by_edge[2 * i + 1, 2 * i + 3][None, :, None, :]
            ).reshape(q * q, q * q)
            for i in range(FIRST - 1)
        ]
        return transfers, terms

    def _messages(self):
        """ln of the sum over all links to the right of each one."""
        message, found = np.zeros(self.states**2), [np.zeros(self.states**2)]
        for transfer, term in zip(self.transfer[::-1], self.link_terms[:0:-1], strict=True):
            message = logsumexp(transfer + term + message, axis=1)
            found.append(message)
        return found[::-1]

    @property
    def log_z(self):
        return logsumexp(self.link_terms[0] + self.messages[0])

    def sample(self, num, rng):
        """Sequences (num, LENGTH) of the shuffled sites."""

        def draw(logits):
            return np.argmax(logits + rng.gumbel(size=logits.shape), -1)

        first = self.link_terms[0] + self.messages[0]
        links = [draw(np.broadcast_to(first, (num, len(first))))]
        for i, transfer in enumerate(self.transfer, 1):
            links.append(draw(transfer[links[-1]] + self.link_terms[i] + self.messages[i]))
        sites = np.stack([part for link in links for part in divmod(link, self.states)], 1)
        found = np.empty_like(sites)
        found[:, self.order] = sites
        return found

    def log_p(self, sequences):
        sites = sequences[:, self.order]
        total = self.fields[np.arange(LENGTH), sites].sum(1) - self.log_z
        for (i, k), coupling in zip(self.edges, self.couplings, strict=True):
            total += coupling[sites[:, i], sites[:, k]]
        return total

    @property
    def entropy(self):
        """-<ln p>, from exact marginals of neighbouring links."""
        total, log_q = 0.0, self.link_terms[0] + self.messages[0] - self.log_z
        total -= np.exp(log_q) @ log_q
        for i, transfer in enumerate(self.transfer, 1):
            log_next = transfer + self.link_terms[i] + self.messages[i]
            log_next -= logsumexp(log_next, axis=1, keepdims=True)
            total -= np.exp(log_q) @ np.sum(np.exp(log_next) * log_next, 1)
            log_q = logsumexp(log_q[:, None] + log_next, axis=0)
        return total

    @property
    def contacts(self):
        """(LENGTH, LENGTH) bool, of the shuffled sites."""
        found = np.zeros((LENGTH, LENGTH), bool)
        for i, k in self.edges:
            found[self.order[i], self.order[k]] = found[self.order[k], self.order[i]] = True
        return found


def one_hot(sequences, states):
    return np.eye(states, dtype=np.float32)[sequences].reshape(len(sequences), -1)


def frobenius(couplings):
    """The norms of blocks (LENGTH, states, LENGTH, states) whose sums over states are 0."""
    blocks = couplings.reshape(LENGTH, -1, LENGTH, couplings.shape[0] // LENGTH)
    blocks = blocks - blocks.mean(1, keepdims=True)
    blocks = blocks - blocks.mean(3, keepdims=True)
    return np.sqrt((blocks**2).sum((1, 3)))


def by_cumulants(rbm, v):
    """Effective couplings: sum_j <Gamma_j''(I_j)> W_sj W_tj, a flat square matrix."""
    machine = rbm.machine
    curvature = machine.hidden.variance(hidden_input(machine, tf.constant(v))).numpy().mean(0)
    kernel = machine.kernel.numpy().reshape(LENGTH, -1, machine.num_hidden)
    kernel = (kernel - kernel.mean(1, keepdims=True)).reshape(-1, machine.num_hidden)
    return kernel * curvature @ kernel.T


def by_mean_field(v, states):
    """Minus the inverse covariance with half a pseudo-count, without the last state of each."""
    pseudo = 0.5
    p = (1 - pseudo) * v.mean(0) + pseudo / states
    pairs = (1 - pseudo) * (v.T @ v) / len(v) + pseudo / states**2
    for i in range(LENGTH):
        block = slice(i * states, (i + 1) * states)
        pairs[block, block] = np.diag(p[block])
    kept = np.arange(v.shape[1]) % states < states - 1
    found = np.zeros((v.shape[1], v.shape[1]))
    found[np.ix_(kept, kept)] = -np.linalg.inv((pairs - np.outer(p, p))[np.ix_(kept, kept)])
    return found


def mutual_information(v, states):
    """(LENGTH, LENGTH), nats, with one count spread over the pairs of states."""
    pairs = ((v.T @ v) + 1 / states**2) / (len(v) + 1)
    pairs = pairs.reshape(LENGTH, states, LENGTH, states)
    p = (v.reshape(len(v), LENGTH, states).sum(0) + 1 / states) / (len(v) + 1)
    return np.einsum("iskt,iskt->ik", pairs, np.log(pairs / (p[:, :, None, None] * p)))


def precision(scores, contacts, num):
    """The share of contacts among the num pairs of the highest scores."""
    i, k = np.triu_indices(LENGTH, 1)
    best = np.argsort(-scores[i, k])[:num]
    return float(contacts[i, k][best].mean())


def train(x, states, kind, epochs, seed):
    keras.utils.set_random_seed(seed)
    phase = PersistentContrastiveDivergence(BATCH, num_steps=2, seed=seed)
    rbm = RBM(
        Potts(LENGTH, states),
        HIDDEN[kind](NUM_HIDDEN),
        negative_phase=phase,
        kernel_regularizer=keras.regularizers.L2(DECAY),
        seed=seed,
    )
    steps = len(x) // BATCH
    rate = keras.optimizers.schedules.PolynomialDecay(0.1, epochs * steps, 0.0)
    rbm.compile(keras.optimizers.SGD(rate), steps_per_execution=steps)
    start = time.process_time()
    rbm.fit(x, batch_size=BATCH, epochs=epochs, verbose=0)
    return rbm, time.process_time() - start


def log_z_both_ways(rbm, x, seed):
    """AIS forward, and reverse from chains that start at the data and run on."""
    options = {"betas": np.linspace(0, 1, 501), "progress": False}
    forward = ais(rbm, num_chains=100, seed=seed, **options)
    v = tf.constant(x[:100])
    for step in range(200):
        v = rbm.gibbs_step(v, seed=seed + step)
    return forward, reverse_ais(rbm, v, seed=seed + 1, **options)


def row(kind, rbm, seconds, x, x_test, log_p_test, contacts, seed):
    forward, reverse = log_z_both_ways(rbm, x, seed)
    free_energy = rbm.free_energy(x_test).numpy().astype(float)
    scores = frobenius(by_cumulants(rbm, x))
    found = {"model": f"RBM, {NUM_HIDDEN} {kind}", "training seconds": seconds}
    for name, estimate in (("forward", forward), ("reverse", reverse)):
        found[f"ln p, {name}"] = float(-free_energy.mean() - estimate.log_z)
        found[f"KL, {name}"] = float(log_p_test.mean()) - found[f"ln p, {name}"]
    found["s.e. of ln Z"] = float(np.hypot(forward.standard_error, reverse.standard_error))
    return found | precisions(scores, contacts), scores


def precisions(scores, contacts):
    return {
        f"precision of {num}": precision(scores, contacts, num)
        for num in (LENGTH, int(contacts.sum()) // 2)
    }


def independent(x, x_test, states):
    """ln p(test) of independent sites with one count spread over the states."""
    p = (x.sum(0) + 1 / states) / (len(x) + 1)
    return float((x_test @ np.log(p)).mean())


def draw(maps, contacts, order, name):
    """Scores of all pairs in the order of the ladder, beside the contacts."""
    maps = {"true contacts": contacts.astype(float)} | maps
    figure, axes = plt.subplots(1, len(maps), figsize=(2.6 * len(maps), 2.9), layout="constrained")
    for ax, (title, scores) in zip(axes, maps.items(), strict=True):
        scores = scores[np.ix_(order, order)].copy()
        np.fill_diagonal(scores, np.nan)
        ax.imshow(scores, cmap="Greys")
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("site along the ladder")
    with written_whole(RESULTS / f"{name}.png") as partial:
        figure.savefig(partial, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--states", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--hidden", nargs="+", choices=HIDDEN, default=list(HIDDEN))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    start, rng = time.perf_counter(), np.random.default_rng(given.seed)
    ladder = Ladder(given.states, rng)
    train_set, test_set = (ladder.sample(num, rng) for num in (NUM_TRAIN, NUM_TEST))
    x, x_test = (one_hot(part, given.states) for part in (train_set, test_set))
    log_p_test, contacts = ladder.log_p(test_set), ladder.contacts
    error = log_p_test.std() / np.sqrt(NUM_TEST)
    print(f"exact -entropy {-ladder.entropy:.3f}, ln p of the test set {log_p_test.mean():.3f}")
    rows, maps = [], {}
    for kind in given.hidden:
        rbm, seconds = train(x, given.states, kind, given.epochs, given.seed)
        found, maps[f"RBM, {kind}"] = row(
            kind, rbm, seconds, x, x_test, log_p_test, contacts, given.seed
        )
        rows.append(found)
        print(found, flush=True)
    maps["mean field"] = frobenius(by_mean_field(x.astype(float), given.states))
    maps["mutual information"] = mutual_information(x.astype(float), given.states)
    for name in ("mean field", "mutual information"):
        rows.append({"model": name} | precisions(maps[name], contacts))
    alone = independent(x, x_test, given.states)
    rows.append({"model": "independent sites", "ln p, forward": alone})
    rows[-1]["KL, forward"] = float(log_p_test.mean()) - alone
    names = "ln p, forward", "KL, forward", "KL, reverse", "s.e. of ln Z"
    formats = {"model": ""} | dict.fromkeys(names, ".2f")
    formats |= dict.fromkeys(precisions(maps["mean field"], contacts), ".2f")
    print(table(rows, formats))
    name = f"potts_sequences_{given.states}"
    write(
        name,
        what="nats for a sequence; precision is the share of true contacts among the best pairs",
        command=f"benchmarks/potts_sequences.py {' '.join(sys.argv[1:])}",
        seed=given.seed,
        total_seconds=time.perf_counter() - start,
        **{"exact -entropy": -float(ladder.entropy)},
        **{"ln p(test), true model": float(log_p_test.mean()), "s.e.": float(error)},
        sequences={"train": NUM_TRAIN, "test": NUM_TEST},
        epochs=given.epochs,
        rows=rows,
    )
    draw(maps, contacts, ladder.order, name)


if __name__ == "__main__":
    sys.exit(main())

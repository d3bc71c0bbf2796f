"""An RBM for scikit-learn: features in a Pipeline, a density for GridSearchCV."""

from __future__ import annotations

import warnings
from typing import Any, Self

import keras
import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from rbm_tf.evaluation import JudgedLogZ, judged_log_z
from rbm_tf.rbm import RBM
from rbm_tf.shared.checkpoints import are_finite, arrays_of
from rbm_tf.shared.counts import check_counts
from rbm_tf.shared.seeds import LIMIT
from rbm_tf.shared.types import ArrayLike
from rbm_tf.training.negative_phase import ContrastiveDivergence, PersistentContrastiveDivergence
from rbm_tf.units import UNITS_BY_NAME, Unit, units_by_name

_PHASES = {"pcd": PersistentContrastiveDivergence, "cd": ContrastiveDivergence}
_MOST_STEPS = 100  # of training in one call of TensorFlow


class RBMTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A restricted Boltzmann machine of any two kinds of units, as an estimator of scikit-learn.

    `transform` gives the means of the hidden units, `score_samples` ln p(v) in nats and `score`
    its mean, which GridSearchCV then compares. Between estimators with equal data ln p(v) compares;
    that of Gaussian and other continuous visible units is of a density, and shifts where a scaler
    before it shifts. Arrays of float32 are computed with in float32, all others in float64.

    Gaussian visible units want columns of mean 0 and variance 1, by StandardScaler; binary ones
    want [0, 1]. Nothing is scaled here. Training is stochastic gradient descent at one rate.

    Args:
        n_components: the number of hidden units.
        visible: the name of a kind of visible units, as `units_by_name` knows it, or a `Unit` with
            as many columns as the data have.
        hidden: the name of a kind of hidden units, or a `Unit` of n_components units.
        learning_rate: the step along the gradient.
        batch_size: the number of examples in a batch.
        n_iter: the number of passes over the data in `fit`.
        negative_phase: "pcd", "cd", or a layer of `rbm_tf.training.negative_phase`, of which each
            fit makes a copy with a seed of its own.
        unit_rate: as `RBM` takes it: the step of precisions relative to that of the kernel.
        verbose: 0, or 1 for progress bars.
        random_state: integer, RandomState or None. The same integer gives the same numbers.

    Attributes:
        rbm_: the trained `RBM`, for all that this package can do with it.
        n_features_in_: the number of columns of the data.
        feature_names_in_: their names, if they have any.

    Raises:
        ValueError: in `fit`, if an argument or the data do not fit.

    Reference: as `RBM`.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(100, 3))
        >>> transformer = RBMTransformer(n_components=2, random_state=0).fit(x)
        >>> transformer.transform(x).shape, transformer.score_samples(x).shape
        ((100, 2), (100,))
    """

    _judged: JudgedLogZ | None  # ln Z, once it was asked for

    def __init__(
        self,
        n_components: int = 64,
        *,
        visible: str | Unit = "gaussian",
        hidden: str | Unit = "binary",
        learning_rate: float = 0.1,
        batch_size: int = 10,
        n_iter: int = 10,
        negative_phase: str | keras.layers.Layer = "pcd",
        unit_rate: float = 0.0,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.visible = visible
        self.hidden = hidden
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_iter = n_iter
        self.negative_phase = negative_phase
        self.unit_rate = unit_rate
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: N803  # scikit-learn's name
        """Train a new RBM.

        Args:
            X: states of the visible units, or means of them, such as grey levels of binary ones,
                (num, n_features): an array, a table or a sparse matrix.
            y: not used.

        Returns:
            The estimator.
        """
        return self._train(self._begin(X), self.n_iter)

    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: N803
        """One pass over these data, after those that there were: n_iter such calls make a `fit`.

        The first call, if there was no `fit`, begins with a new RBM, whose visible biases and
        offsets are those of its data.

        Args:
            X: data as `fit` takes them.
            y: not used.

        Returns:
            The estimator.
        """
        if not hasattr(self, "rbm_"):
            return self._train(self._begin(X), 1)
        self._check_numbers()
        self.rbm_.optimizer.learning_rate = self.learning_rate
        return self._train(self._data(X), 1)

    def transform(self, X: ArrayLike) -> np.ndarray:  # noqa: N803
        """The means <h_j> of the hidden units given v.

        Args:
            X: states of the visible units or means of them, (num, n_features). Values a little
                outside of the units' support, as scalers leave them, pass.

        Returns:
            (num, n_components); potts:q units have q columns each.
        """
        check_is_fitted(self)
        return self.rbm_.hidden_mean(self._data(X)).numpy()

    def score_samples(self, X: ArrayLike) -> np.ndarray:  # noqa: N803
        """ln p(v) = -F_c(v) - ln Z of each example, with ln Z as `log_z` has it.

        Args:
            X: states of the visible units, (num, n_features); means of them have no likelihood.

        Returns:
            (num,), nats, float64.
        """
        check_is_fitted(self)
        x = self.rbm_.visible.check(self._data(X), name="X")
        return -self.rbm_.free_energy(x).numpy().astype(float) - self.log_z().best.log_z

    def score(self, X: ArrayLike, y: Any = None) -> float:  # noqa: N803
        """The mean of `score_samples`, nats.

        Args:
            X: states of the visible units, (num, n_features).
            y: not used.
        """
        return float(self.score_samples(X).mean())

    def log_z(self) -> JudgedLogZ:
        """ln Z of the trained RBM, exactly where `is_quick`, otherwise by annealing three times.

        It is computed once, and warns if the walks do not bear each other out.

        Returns:
            `JudgedLogZ`: `best` with log_z and its standard error, and a verdict.
        """
        check_is_fitted(self)
        if self._judged is None:
            options = {"progress": bool(self.verbose), "seed": self._seed}
            self._judged = judged_log_z(self.rbm_, **options)
            if not self._judged.verdict.trusted:
                warnings.warn(self._judged.verdict.message, stacklevel=3)
        return self._judged

    def sample(
        self,
        n_samples: int = 1,
        *,
        n_steps: int = 1000,
        random_state: int | np.random.RandomState | None = None,
    ) -> np.ndarray:
        """Draw visible states by independent Gibbs chains, as `RBM.sample`.

        Args:
            n_samples: the number of chains, of which each gives one sample.
            n_steps: the number of sweeps of each chain.
            random_state: integer, RandomState or None for another draw every time.

        Returns:
            (n_samples, n_features).
        """
        check_is_fitted(self)
        options = {"progress": bool(self.verbose), "seed": _seed(random_state)}
        return self.rbm_.sample(n_samples, n_steps, **options).numpy()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        kind = UNITS_BY_NAME.get(str(self.visible).partition(":")[0], self.visible)
        tags.input_tags.positive_only = bool(np.min(getattr(kind, "bounds", [-1])[0]) >= 0)
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self):
        return self.rbm_.num_hidden

    def _begin(self, x):
        """The data, after a new RBM for them was made."""
        self._check_numbers()
        x = self._data(x, reset=True)
        seed = self._seed = _seed(self.random_state)
        phase = _phase(self.negative_phase, seed)
        options = {"unit_rate": self.unit_rate, "dtype": str(x.dtype), "seed": seed}
        self.rbm_ = RBM(*self._layers(x.shape[1]), negative_phase=phase, **options)
        num_batches = -(-len(x) // self.batch_size)
        self.rbm_.compile(
            keras.optimizers.SGD(self.learning_rate),
            steps_per_execution=min(num_batches, _MOST_STEPS),
        )
        return x

    def _check_numbers(self):
        counts = {"n_components": self.n_components, "batch_size": self.batch_size}
        check_counts(**counts, n_iter=self.n_iter)
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0; got {self.learning_rate!r}.")

    def _data(self, x, reset=False):
        """The data as an array of float64 or float32, refused unless they are finite numbers."""
        dtypes = [np.float64, np.float32]
        x = validate_data(self, x, reset=reset, accept_sparse="csr", dtype=dtypes)
        return x.toarray() if hasattr(x, "toarray") else x

    def _train(self, x, num_passes):
        self._judged = None
        self.rbm_.fit(x, batch_size=self.batch_size, epochs=num_passes, verbose=self.verbose)
        if not are_finite(arrays_of(self.rbm_)):
            raise ValueError(
                "Training broke down: a weight became NaN or infinite. Lower learning_rate or "
                "unit_rate, or scale the columns, as StandardScaler does."
            )
        return self

    def _layers(self, num_columns):
        visible, hidden = self.visible, self.hidden
        if not isinstance(visible, Unit):
            visible = units_by_name(visible, num_columns=num_columns)
        if not isinstance(hidden, Unit):
            hidden = units_by_name(hidden, num=self.n_components)
        if hidden.num != self.n_components:
            raise ValueError(
                f"n_components={self.n_components} and hidden={hidden!r} differ: give "
                f"n_components={hidden.num}, or the name of a kind as hidden."
            )
        return visible, hidden


def _seed(random_state):
    return int(check_random_state(random_state).randint(LIMIT))


def _phase(negative_phase, seed):
    """A new layer, with the options of the one that is given."""
    if isinstance(negative_phase, keras.layers.Layer):
        config = negative_phase.get_config()
        return type(negative_phase).from_config({**config, "seed": seed})
    if negative_phase not in _PHASES:
        raise ValueError(
            f"negative_phase must be one of {', '.join(_PHASES)}, or a layer of "
            f"rbm_tf.training.negative_phase; got {negative_phase!r}."
        )
    return _PHASES[negative_phase](seed=seed)

"""Training, evaluation and prediction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv import losses, optimizers
from fastconv._errors import value_error
from fastconv._shapes import LARGEST_INT, normalize_int
from fastconv.callbacks import Callback, CallbackList, History, as_list
from fastconv.models.data import ArrayBatches, as_pair, split_off_validation
from fastconv.models.network import Network
from fastconv.models.objective import MetricLike, Objective
from fastconv.models.parameters import FlatParameters
from fastconv.models.training import Evaluator, Trainer
from fastconv.progress import ProgressDisplay, check_verbose

if TYPE_CHECKING:
    from os import PathLike

    from fastconv._types import FloatArray
    from fastconv.layers.variable import Float32Array
    from fastconv.losses import Loss
    from fastconv.metrics import Metric
    from fastconv.optimizers import Optimizer

_BATCH_SIZE = 32


class Model(Network):
    """A network that can be trained. Use `Sequential` to make one.

    Attributes:
        optimizer: the optimizer; None before `compile`.
        stop_training: a callback sets it to end `fit` after the current batch.
        history: of the last `fit`.
    """

    def __init__(self, *, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self.optimizer: Optimizer | None = None
        self.stop_training = False
        self.history: History | None = None
        self._objective: Objective | None = None
        self._parameters: FlatParameters | None = None

    def compile(
        self,
        optimizer: str | Optimizer = "rmsprop",
        loss: str | Loss | type[Loss] | None = None,
        *,
        metrics: Sequence[MetricLike] | None = None,
    ) -> None:
        """Say how to train. Layers frozen or unfrozen since the last time take effect.

        Args:
            optimizer: name or instance.
            loss: name or instance.
            metrics: names, instances, or functions of `(y_true, y_pred)` with one value a sample.

        Raises:
            ValueError, TypeError: something unknown.
        """
        if loss is None:
            expected = "a name or a Loss, such as sparse_categorical_crossentropy"
            raise value_error("compile", "loss", "must be given", expected, None)
        if isinstance(metrics, str) or not isinstance(metrics, Sequence | None):
            expected = "a list, such as ['accuracy']"
            raise value_error("compile", "metrics", "must be a list", expected, metrics)
        self.optimizer = optimizers.get(optimizer)
        self._objective = Objective(losses.get(loss), metrics or ())
        self._changed()

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self._objective is not None

    @property
    def loss(self) -> Loss | None:
        """The loss; None before `compile`."""
        return None if self._objective is None else self._objective.loss

    @property
    def metrics(self) -> list[Metric]:
        """The metrics, known from the first batch on."""
        return [] if self._objective is None else list(self._objective.metrics)

    def reset_metrics(self) -> None:
        """Start the running loss and metrics anew."""
        if self._objective is not None:
            self._objective.reset()

    def fit(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Callback | Iterable[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
        shuffle: bool = True,
        *,
        initial_epoch: int = 0,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> History:
        """Train.

        Args:
            x: `(samples, ...)` of real numbers; each batch is cast to float32. A last axis of
                size 1 may be missing.
            y: targets, as the loss takes them.
            batch_size: samples a step, 32 by default; the last batch of an epoch may be smaller.
            epochs: number of the last epoch, counted from `initial_epoch`.
            verbose: "auto" or 1: a progress bar in a terminal, else as 2; 2: one line an epoch;
                0: nothing.
            callbacks: `callbacks.Callback` instances.
            validation_split: share of the samples, from the end, to validate on instead.
            validation_data: `(x, y)` to validate on.
            shuffle: whether each epoch takes the samples in another order.
            initial_epoch: number of the first epoch.
            validation_batch_size: `batch_size` by default.
            validation_freq: epochs from one validation to the next.

        Returns:
            The figures of every epoch; losses and metrics are means over its samples.

        Raises:
            ValueError, TypeError: arguments that do not fit the model, its loss or each other.
        """
        self._compiled_objective("fit")
        check_verbose("fit", verbose)
        epochs = normalize_int("fit", "epochs", epochs)
        initial_epoch = normalize_int("fit", "initial_epoch", initial_epoch, minimum=0)
        validation_freq = normalize_int("fit", "validation_freq", validation_freq)
        if validation_split and validation_data is None:
            x, y, validation_data = split_off_validation(x, y, validation_split)
        batches = self._batches("fit", x, y, batch_size)
        validation = None
        if validation_data is not None:
            size = validation_batch_size or batch_size
            validation = self._batches("fit: validation_data", *as_pair(validation_data), size)
        history = History()
        run = self._run([*as_list(callbacks), history], verbose, batches, epochs)
        self.history = history
        self._trainer().fit(
            self,
            batches,
            validation,
            run,
            range(initial_epoch, epochs),
            shuffle=bool(shuffle),
            validation_freq=validation_freq,
        )
        return history

    def evaluate(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        *,
        callbacks: Callback | Iterable[Callback] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics over all samples.

        Args:
            x, y, batch_size, verbose, callbacks: as for `fit`.
            return_dict: whether to return figures by name.

        Returns:
            The loss, or if there are metrics a list of the loss and the metrics, or a dict.

        Raises:
            ValueError, TypeError: arguments that do not fit the model, its loss or each other.
        """
        check_verbose("evaluate", verbose)
        batches = self._batches("evaluate", x, y, batch_size)
        run = self._run(as_list(callbacks), verbose, batches, 1)
        return _returned(self._evaluator().evaluate(batches, run), return_dict)

    def predict(
        self,
        x: npt.ArrayLike,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        *,
        callbacks: Callback | Iterable[Callback] | None = None,
    ) -> Float32Array:
        """Results for all samples.

        Args:
            x, batch_size, verbose, callbacks: as for `fit`.

        Returns:
            `(samples, ...)`, float32.

        Raises:
            ValueError, TypeError: inputs that do not fit the model.
        """
        check_verbose("predict", verbose)
        inputs = self._adapt("predict", x)
        batches = ArrayBatches((inputs,), (np.float32,), _batch_size("predict", batch_size))
        run = self._run(as_list(callbacks), verbose, batches, 1)
        plan = self._get_plan()
        sizes = [int(size or 0) for size in self.compute_output_shape(inputs.shape)]
        results = np.empty(sizes, np.float32)
        before_batch = run.hooks("on_predict_batch_begin")
        after_batch = run.hooks("on_predict_batch_end")
        run.call("on_predict_begin")
        start = 0
        for index, (rows,) in enumerate(batches.batches()):
            for hook in before_batch:
                hook(index)
            results[start : start + len(rows)] = plan.finish(plan.forward(rows))
            start += len(rows)
            for hook in after_batch:
                hook(index)
        run.call("on_predict_end")
        return results

    def train_on_batch(
        self, x: npt.ArrayLike, y: npt.ArrayLike, *, return_dict: bool = False
    ) -> Any:
        """One training step. Returns the figures of this batch, before the step, as `evaluate`."""
        inputs, targets = self._batch("train_on_batch", x, y)
        trainer = self._trainer()
        trainer.objective.reset()
        trainer.train_step(inputs, targets)
        return _returned(trainer.objective.results(), return_dict)

    def test_on_batch(
        self, x: npt.ArrayLike, y: npt.ArrayLike, *, return_dict: bool = False
    ) -> Any:
        """The figures of one batch, as `evaluate`."""
        inputs, targets = self._batch("test_on_batch", x, y)
        evaluator = self._evaluator()
        evaluator.objective.reset()
        evaluator.test_step(inputs, targets)
        return _returned(evaluator.objective.results(), return_dict)

    def predict_on_batch(self, x: npt.ArrayLike) -> FloatArray:
        """The result for one batch."""
        return self(x)

    def save(self, filepath: str | PathLike[str], overwrite: bool = True) -> None:
        """Write the model to a ".keras" file; see `fastconv.saving.save_model`."""
        from fastconv import saving

        saving.save_model(self, filepath, overwrite)

    def save_weights(self, filepath: str | PathLike[str], overwrite: bool = True) -> None:
        """Write the weights to a file; see `fastconv.saving.save_weights`."""
        from fastconv import saving

        saving.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: str | PathLike[str]) -> None:
        """Take the weights of a file; see `fastconv.saving.load_weights`."""
        from fastconv import saving

        saving.load_weights(self, filepath)

    def get_compile_config(self) -> dict[str, Any]:
        """The arguments of the last `compile`; empty if there was none."""
        if self._objective is None:
            return {}
        metrics = list(self._objective.identifiers)
        return {"optimizer": self.optimizer, "loss": self.loss, "metrics": metrics}

    def _evaluator(self) -> Evaluator:
        return Evaluator(self._get_plan(), self._compiled_objective("evaluate"))

    def _trainer(self) -> Trainer:
        objective = self._compiled_objective("fit")
        parameters = self.flat_parameters()
        assert self.optimizer is not None
        return Trainer(self._get_plan(), objective, self.optimizer, parameters)

    def flat_parameters(self) -> FlatParameters:
        """The weights in this model's flat buffers, with the optimizer's state beside them.

        Raises:
            ValueError: the optimizer is that of another model or of other weights.
        """
        if self._parameters is None or not self._parameters.current:
            self._parameters = FlatParameters(self.trainable_weights, self.non_trainable_weights)
        if self.optimizer is not None:
            self.optimizer.claim(self)
            self.optimizer.build(self._parameters.trainable.size)
        return self._parameters

    def _changed(self) -> None:
        """Forget what was made of the layers and of what `compile` was given."""
        self._plan = None
        self._parameters = None

    def _compiled_objective(self, operation: str) -> Objective:
        if self._objective is None:
            rule, expected = "must be compiled first", "a call of compile()"
            raise value_error(operation, f"the model {self.name}", rule, expected, "none")
        return self._objective

    def _batches(
        self, operation: str, x: npt.ArrayLike, y: npt.ArrayLike, batch_size: int | None
    ) -> ArrayBatches:
        objective = self._compiled_objective(operation)
        inputs = self._adapt(operation, x)
        if y is None:
            raise value_error(operation, "y", "must be given", "targets", None)
        output_shape = self.compute_output_shape(inputs.shape)
        targets = objective.loss.prepare(y, output_shape)
        if len(targets) != len(inputs):
            rule = "must have as many samples as x"
            raise value_error(operation, "y", rule, len(inputs), len(targets))
        if not len(inputs):
            raise value_error(operation, "x", "is empty", "at least one sample", inputs.shape)
        objective.bind(self._get_plan(), targets.shape, output_shape)
        size = _batch_size(operation, batch_size)
        return ArrayBatches((inputs, targets), (np.float32, targets.dtype), size)

    def _batch(
        self, operation: str, x: npt.ArrayLike, y: npt.ArrayLike
    ) -> tuple[npt.NDArray[Any], ...]:
        """The inputs and targets of one batch that holds everything."""
        (batch,) = self._batches(operation, x, y, LARGEST_INT).batches()
        return batch

    def _run(
        self, callbacks: list[Callback], verbose: str | int, batches: ArrayBatches, epochs: int
    ) -> CallbackList:
        if verbose != 0:
            callbacks.append(ProgressDisplay(verbose))
        params = {
            "verbose": verbose,
            "epochs": epochs,
            "steps": len(batches),
            "samples": batches.samples,
        }
        return CallbackList(callbacks, self, params)

    def _optimizer_size(self) -> tuple[int, int] | None:
        if self.optimizer is None or not self.optimizer.built:
            return None
        trained = sum(variable.value.size for variable in self.trainable_weights)
        count = trained * len(self.optimizer.slots)
        # The number of the step is an int64, the learning rate a float32.
        return count + 2, 4 * count + 8 + 4


def _batch_size(operation: str, batch_size: int | None) -> int:
    return normalize_int(operation, "batch_size", _BATCH_SIZE if batch_size is None else batch_size)


def _returned(figures: dict[str, float], return_dict: bool) -> Any:
    if return_dict:
        return figures
    return figures["loss"] if len(figures) == 1 else list(figures.values())

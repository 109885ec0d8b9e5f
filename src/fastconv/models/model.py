"""Training, evaluation and prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastconv import losses, optimizers
from fastconv._errors import value_error
from fastconv._shapes import LARGEST_INT, normalize_int
from fastconv.callbacks import Callback, CallbackList, History, as_list
from fastconv.models.data import ArrayBatches, Batch, Batches, as_validation, split_off_validation
from fastconv.models.intake import input_batches, labelled_batches
from fastconv.models.network import Network
from fastconv.models.objective import MetricLike, Objective
from fastconv.models.parameters import FlatParameters
from fastconv.models.training import Evaluator, Trainer, predict
from fastconv.progress import ProgressDisplay, check_verbose

if TYPE_CHECKING:
    from os import PathLike

    from fastconv._types import FloatArray
    from fastconv.layers.variable import Float32Array
    from fastconv.losses import Loss
    from fastconv.metrics import Metric
    from fastconv.optimizers import Optimizer


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
        loss: str | Loss | type[Loss] | Callable[..., Any] | None = None,
        *,
        metrics: Sequence[MetricLike] | None = None,
        weighted_metrics: Sequence[MetricLike] | None = None,
    ) -> None:
        """Say how to train. Layers frozen or unfrozen since the last time take effect.

        Args:
            optimizer: name or instance.
            loss: name, instance or function of `fastconv.losses`.
            metrics: names, instances, or functions of `(y_true, y_pred)` with one value a sample.
            weighted_metrics: the same, of metrics that take the weights of samples.

        Raises:
            ValueError, TypeError: something unknown.
        """
        if loss is None:
            expected = "a name or a Loss, such as sparse_categorical_crossentropy"
            raise value_error("compile", "loss", "must be given", expected, None)
        for name, given in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if isinstance(given, str) or not isinstance(given, Sequence | None):
                expected = "a list, such as ['accuracy']"
                raise value_error("compile", name, "must be a list", expected, given)
        self.optimizer = optimizers.get(optimizer)
        self._objective = Objective(losses.get(loss), metrics or (), weighted_metrics or ())
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
        x: Any,
        y: npt.ArrayLike | None = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Callback | Iterable[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: npt.ArrayLike | None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> History:
        """Train.

        Args:
            x: `(samples, ...)` of real numbers; each batch is cast to float32. A last axis of
                size 1 may be missing. Or a generator, or another iterable, of batches `(x, y)` or
                `(x, y, sample_weight)`, which says itself in which order they come.
            y: targets, as the loss takes them.
            batch_size: samples a step, 32 by default; the last batch of an epoch may be smaller.
            epochs: number of the last epoch, counted from `initial_epoch`.
            verbose: "auto" or 1: a progress bar in a terminal or a notebook, else as 2; 2: one line
                an epoch; 0: nothing.
            callbacks: `callbacks.Callback` instances.
            validation_split: share of the samples, from the end, to validate on instead.
            validation_data: `(x, y)` or `(x, y, sample_weight)` to validate on, or a generator.
            shuffle: whether each epoch takes the samples of arrays in another order.
            class_weight: `{class: factor}` for the loss of the samples of a class.
            sample_weight: factors for the loss, one a sample or one for each value of the loss.
            initial_epoch: number of the first epoch.
            steps_per_epoch: batches an epoch, which goes on where the last one ended; needed for a
                generator that does not end.
            validation_steps: batches of a validation.
            validation_batch_size: `batch_size` by default.
            validation_freq: epochs from one validation to the next.

        Returns:
            The figures of every epoch; losses and metrics are means over its samples. With a
            schedule in the optimizer also the learning rate.

        Raises:
            ValueError, TypeError: arguments that do not fit the model, its loss or each other.
        """
        self._compiled_objective("fit")
        check_verbose("fit", verbose)
        epochs = normalize_int("fit", "epochs", epochs)
        initial_epoch = normalize_int("fit", "initial_epoch", initial_epoch, minimum=0)
        validation_freq = normalize_int("fit", "validation_freq", validation_freq)
        if validation_split and validation_data is None:
            train, validation_data = split_off_validation(x, y, sample_weight, validation_split)
            x, y, sample_weight = train
        batches = self._batches(
            "fit", x, y, sample_weight, class_weight, batch_size, steps_per_epoch
        )
        validation = None
        if validation_data is not None:
            validation = self._batches(
                "fit: validation_data",
                *as_validation(validation_data),
                batch_size=validation_batch_size or batch_size,
                steps=validation_steps,
            )
        history = History()
        trainer = self._trainer()
        with self._run([*as_list(callbacks), history], verbose, batches, epochs) as run:
            self.history = history
            trainer.fit(
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
        x: Any,
        y: npt.ArrayLike | None = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: npt.ArrayLike | None = None,
        steps: int | None = None,
        callbacks: Callback | Iterable[Callback] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics over all samples.

        Args:
            x, y, batch_size, verbose, sample_weight, callbacks: as for `fit`.
            steps: batches to take; all by default.
            return_dict: whether to return figures by name.

        Returns:
            The loss, or if there are metrics a list of the loss and the metrics, or a dict.

        Raises:
            ValueError, TypeError: arguments that do not fit the model, its loss or each other.
        """
        check_verbose("evaluate", verbose)
        batches = self._batches("evaluate", x, y, sample_weight, batch_size=batch_size, steps=steps)
        with self._run(as_list(callbacks), verbose, batches, 1) as run:
            return _returned(self._evaluator().evaluate(batches, run), return_dict)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Callback | Iterable[Callback] | None = None,
    ) -> Float32Array:
        """Results for all samples.

        Args:
            x, batch_size, verbose, callbacks: as for `fit`; of a generator's batches the first
                part counts.
            steps: batches to take; all by default.

        Returns:
            `(samples, ...)`, float32.

        Raises:
            ValueError, TypeError: inputs that do not fit the model.
        """
        check_verbose("predict", verbose)
        batches = input_batches("predict", self, x, batch_size, steps)
        with self._run(as_list(callbacks), verbose, batches, 1) as run:
            return predict(self._get_plan(), batches, run, self._room_for_results(batches))

    def train_on_batch(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One training step. Returns the figures of this batch, before the step, as `evaluate`."""
        batch = self._batch("train_on_batch", x, y, sample_weight, class_weight)
        trainer = self._trainer()
        trainer.objective.reset()
        trainer.train_step(*batch)
        return _returned(trainer.objective.results(), return_dict)

    def test_on_batch(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        return_dict: bool = False,
    ) -> Any:
        """The figures of one batch, as `evaluate`."""
        batch = self._batch("test_on_batch", x, y, sample_weight)
        evaluator = self._evaluator()
        evaluator.objective.reset()
        evaluator.test_step(*batch)
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
        arguments = {
            "optimizer": self.optimizer,
            "loss": self.loss,
            "metrics": list(self._objective.identifiers),
        }
        if self._objective.weighted:
            arguments["weighted_metrics"] = list(self._objective.weighted)
        return arguments

    def _evaluator(self) -> Evaluator:
        objective = self._compiled_objective("evaluate")
        return Evaluator(self._get_plan(), objective, self.trainable_weights)

    def _trainer(self) -> Trainer:
        objective = self._compiled_objective("fit")
        parameters = self.flat_parameters()
        assert self.optimizer is not None
        plan, trainable = self._get_plan(), self.trainable_weights
        return Trainer(plan, objective, trainable, self.optimizer, parameters)

    def flat_parameters(self) -> FlatParameters:
        """The weights in this model's flat buffers, with the optimizer's state beside them.

        Raises:
            ValueError: the optimizer is that of another model or of other weights.
        """
        if self._parameters is None or not self._parameters.current:
            self._parameters = FlatParameters(self.trainable_weights, self.non_trainable_weights)
        if self.optimizer is not None:
            self.optimizer.claim(self)
            self.optimizer.build(self._parameters.trainable.size, self._parameters.slices)
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

    def _batches(self, operation: str, *data: Any, **options: Any) -> Batches:
        objective = self._compiled_objective(operation)
        return labelled_batches(operation, self, objective, *data, **options)

    def _batch(self, operation: str, *data: Any) -> Batch:
        """One batch that holds everything."""
        (batch,) = self._batches(operation, *data, batch_size=LARGEST_INT).epoch(None)
        return batch

    def _room_for_results(self, batches: Batches) -> Float32Array | None:
        if not isinstance(batches, ArrayBatches) or batches.samples is None:
            return None
        shape = self.compute_output_shape(batches.input_shape)
        return np.empty([int(size or 0) for size in shape], np.float32)

    def _run(
        self, callbacks: list[Callback], verbose: str | int, batches: Batches, epochs: int
    ) -> CallbackList:
        params = {
            "verbose": verbose,
            "epochs": epochs,
            "steps": batches.steps,
            "samples": batches.samples,
        }
        display = ProgressDisplay(verbose) if verbose != 0 else None
        return CallbackList(callbacks, self, params, display)

    def _optimizer_size(self) -> tuple[int, int] | None:
        if self.optimizer is None or not self.optimizer.built:
            return None
        trained = sum(variable.value.size for variable in self.trainable_weights)
        count = trained * len(self.optimizer.slots)
        # The number of the step is an int64, the learning rate a float32.
        return count + 2, 4 * count + 8 + 4


def _returned(figures: dict[str, float], return_dict: bool) -> Any:
    if return_dict:
        return figures
    return figures["loss"] if len(figures) == 1 else list(figures.values())

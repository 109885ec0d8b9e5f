"""Training, evaluation and prediction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv._shapes import normalize_int
from fastconv.callbacks import Callback, CallbackList, History, as_list
from fastconv.layers.naming import unique_name
from fastconv.models.compiled import CompiledNetwork
from fastconv.models.data import Batches, as_validation
from fastconv.models.graph import Graph, each
from fastconv.models.intake import Intake, input_batches
from fastconv.models.training import predict
from fastconv.progress import ProgressDisplay, check_verbose

if TYPE_CHECKING:
    from os import PathLike

    from fastconv.layers.symbolic import Shape
    from fastconv.layers.variable import Float32Array


class Model(CompiledNetwork):
    """A network of layers that can be trained.

    Args:
        inputs: a result of `Input`, or a list of them.
        outputs: what layers give when they are called on the inputs, and so on; or a list.
        name: made from the class name by default.
        trainable: as for `Layer`.

    A layer may be called several times: its weights are shared.

    Attributes:
        optimizer: the optimizer; None before `compile`.
        stop_training: a callback sets it to end `fit` after the current batch.
        history: of the last `fit`.

    Raises:
        TypeError, ValueError: no symbolic tensors, outputs that need other inputs, two layers of
            one name.

    >>> from fastconv import Input, layers
    >>> x = Input((8, 8, 3))
    >>> y = layers.Add()([x, layers.Conv2D(3, 3, padding="same")(x)])
    >>> Model(x, layers.Flatten()(y)).output_shape
    (None, 192)
    """

    def __init__(
        self,
        inputs: Any = None,
        outputs: Any = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        if name is None and type(self) is Model:
            name = unique_name("Functional")
        super().__init__(name=name, trainable=trainable)
        if inputs is not None or outputs is not None or type(self) is Model:
            self._graph = Graph(inputs, outputs)
            self.built = True
        self.stop_training = False
        self.history: History | None = None

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Callback | Iterable[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> History:
        """Train.

        Args:
            x: `(samples, ...)` of real numbers; each batch is cast to float32. A last axis of
                size 1 may be missing. For several inputs a list of arrays, or a dict by the names
                of the inputs. Or a generator, or another iterable, of batches `(x, y)` or
                `(x, y, sample_weight)`, which says itself in which order they come.
            y: targets, as the loss takes them; for several outputs a list, or a dict by the names
                of their layers.
            batch_size: samples a step, 32 by default; the last batch of an epoch may be smaller.
            epochs: number of the last epoch, counted from `initial_epoch`.
            verbose: "auto" or 1: a progress bar in a terminal or a notebook, else as 2; 2: one line
                an epoch; 0: nothing.
            callbacks: `callbacks.Callback` instances.
            validation_split: share of the samples, from the end, to validate on instead.
            validation_data: `(x, y)` or `(x, y, sample_weight)` to validate on, or a generator.
            shuffle: whether each epoch takes the samples of arrays in another order.
            class_weight: `{class: factor}` for the loss of the samples of a class.
            sample_weight: factors for the loss, one a sample or one for each value of the loss;
                for several outputs they may be in a list or dict.
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
        intake = self._intake("fit")
        check_verbose("fit", verbose)
        epochs = normalize_int("fit", "epochs", epochs)
        initial_epoch = normalize_int("fit", "initial_epoch", initial_epoch, minimum=0)
        validation_freq = normalize_int("fit", "validation_freq", validation_freq)
        if validation_split and validation_data is None:
            train, validation_data = intake.split(x, y, sample_weight, validation_split)
            x, y, sample_weight = train
        batches = intake.batches(x, y, sample_weight, class_weight, batch_size, steps_per_epoch)
        validation = None
        if validation_data is not None:
            validation = self._intake("fit: validation_data").batches(
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
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
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
        intake = self._intake("evaluate")
        batches = intake.batches(x, y, sample_weight, batch_size=batch_size, steps=steps)
        with self._run(as_list(callbacks), verbose, batches, 1) as run:
            return _returned(self._evaluator().evaluate(batches, run), return_dict)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Callback | Iterable[Callback] | None = None,
    ) -> Any:
        """Results for all samples.

        Args:
            x, batch_size, verbose, callbacks: as for `fit`; of a generator's batches the first
                part counts.
            steps: batches to take; all by default.

        Returns:
            `(samples, ...)`, float32; a list of arrays for several outputs.

        Raises:
            ValueError, TypeError: inputs that do not fit the model.
        """
        check_verbose("predict", verbose)
        batches, shape = input_batches("predict", self, x, batch_size, steps)
        results = None if shape is None else each(self.compute_output_shape(shape), _room)
        with self._run(as_list(callbacks), verbose, batches, 1) as run:
            return predict(self._get_plan(), batches, run, results)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One training step. Returns the figures of this batch, before the step, as `evaluate`."""
        batch = self._intake("train_on_batch").batch(x, y, sample_weight, class_weight)
        trainer = self._trainer()
        trainer.objective.reset()
        trainer.train_step(*batch)
        return _returned(trainer.objective.results(), return_dict)

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """The figures of one batch, as `evaluate`."""
        batch = self._intake("test_on_batch").batch(x, y, sample_weight)
        evaluator = self._evaluator()
        evaluator.objective.reset()
        evaluator.test_step(*batch)
        return _returned(evaluator.objective.results(), return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """The result for one batch."""
        return self(x)

    def get_config(self) -> dict[str, Any]:
        """The name of the model and the descriptions of its layers, as values of JSON.

        Raises:
            ValueError: a layer, or something in it, that no file can name.
        """
        from fastconv.saving.models import describe_model

        config: dict[str, Any] = describe_model(self)["config"]
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """A model with new weights from what `get_config` of a model gave, here or in Keras.

        Raises:
            ValueError: the configuration is damaged, or names layers that fastconv does not have.
        """
        from fastconv.saving.models import make_model_of_config

        return make_model_of_config(config)

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

    def _intake(self, operation: str) -> Intake:
        return Intake(operation, self, self._compiled_objective(operation))

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


def _room(shape: Shape) -> Float32Array:
    return np.empty([int(size or 0) for size in shape], np.float32)


def _returned(figures: dict[str, float], return_dict: bool) -> Any:
    if return_dict:
        return figures
    return figures["loss"] if len(figures) == 1 else list(figures.values())

"""The loops over batches: steps, epochs, and the calls of callbacks between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from fastconv import random

if TYPE_CHECKING:
    from fastconv._types import FloatArray
    from fastconv.callbacks import CallbackList
    from fastconv.models.data import ArrayBatches
    from fastconv.models.objective import Objective
    from fastconv.models.parameters import FlatParameters
    from fastconv.models.plan import Plan
    from fastconv.optimizers import Optimizer


class Stoppable(Protocol):
    """What callbacks set to end a run: the model."""

    stop_training: bool


class Evaluator:
    """Measures a model by its objective."""

    def __init__(self, plan: Plan, objective: Objective) -> None:
        self.plan = plan
        self.objective = objective

    def test_step(self, x: FloatArray, targets: npt.NDArray[Any]) -> None:
        """Add one batch to the running figures of the objective."""
        with np.errstate(all="ignore"):
            self.objective.assess(self.plan.forward(x), targets)

    def evaluate(self, batches: ArrayBatches, run: CallbackList) -> dict[str, float]:
        """The figures over all batches."""
        objective = self.objective
        before_batch = run.hooks("on_test_batch_begin")
        after_batch = run.hooks("on_test_batch_end")
        objective.reset()
        run.call("on_test_begin")
        for index, (x, targets) in enumerate(batches.batches()):
            for hook in before_batch:
                hook(index)
            self.test_step(x, targets)
            if after_batch:
                logs = objective.results()
                for hook in after_batch:
                    hook(index, logs)
        logs = objective.results()
        run.call("on_test_end", logs)
        return logs


class Trainer(Evaluator):
    """Trains a model whose weights are in `parameters`."""

    def __init__(
        self,
        plan: Plan,
        objective: Objective,
        optimizer: Optimizer,
        parameters: FlatParameters,
    ) -> None:
        super().__init__(plan, objective)
        self.optimizer = optimizer
        self.parameters = parameters

    def train_step(self, x: FloatArray, targets: npt.NDArray[Any]) -> None:
        """Add one batch to the running figures and take one step of the optimizer."""
        plan, parameters = self.plan, self.parameters
        # A run that diverges shows inf or nan as its loss, and no warnings besides.
        with np.errstate(all="ignore"):
            result, tape = plan.record(x)
            plan.backward(self.objective.assess(result, targets), tape)
            self.optimizer.update(parameters.trainable, parameters.gradients)

    def fit(
        self,
        model: Stoppable,
        batches: ArrayBatches,
        validation: ArrayBatches | None,
        run: CallbackList,
        epochs: range,
        *,
        shuffle: bool,
        validation_freq: int,
    ) -> None:
        """All epochs, until `model.stop_training` is set."""
        generator = random.generator()
        model.stop_training = False
        logs: dict[str, float] = {}
        run.call("on_train_begin")
        for epoch in epochs:
            run.call("on_epoch_begin", epoch)
            order = generator.permutation(batches.samples) if shuffle else None
            logs = self._train_epoch(model, batches, order, run)
            if validation is not None and (epoch + 1) % validation_freq == 0:
                figures = self.evaluate(validation, run)
                logs |= {f"val_{name}": value for name, value in figures.items()}
            run.call("on_epoch_end", epoch, logs)
            if model.stop_training:
                break
        run.call("on_train_end", logs)

    def _train_epoch(
        self,
        model: Stoppable,
        batches: ArrayBatches,
        order: npt.NDArray[np.intp] | None,
        run: CallbackList,
    ) -> dict[str, float]:
        objective = self.objective
        before_batch = run.hooks("on_train_batch_begin")
        after_batch = run.hooks("on_train_batch_end")
        objective.reset()
        for index, (x, targets) in enumerate(batches.batches(order)):
            for hook in before_batch:
                hook(index)
            self.train_step(x, targets)
            if after_batch:
                logs = objective.results()
                for hook in after_batch:
                    hook(index, logs)
            if model.stop_training:
                break
        return objective.results()

"""The loops over batches: steps, epochs, and the calls of callbacks between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from fastconv import random
from fastconv.models.data import sample_count, warn_of_end
from fastconv.models.graph import gathered
from fastconv.optimizers.schedules import LearningRateSchedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv.callbacks import CallbackList
    from fastconv.layers.variable import Variable
    from fastconv.models.data import Batches
    from fastconv.models.joint_objective import AnyObjective
    from fastconv.models.parameters import FlatParameters
    from fastconv.models.plan import Plan
    from fastconv.optimizers import Optimizer


class Stoppable(Protocol):
    """What callbacks set to end a run: the model."""

    stop_training: bool


class Evaluator:
    """Measures a model by its objective.

    Args:
        plan: runs the model.
        objective: bound to it.
        trainable: its weights that train, some of which may have regularisers.
    """

    def __init__(self, plan: Plan, objective: AnyObjective, trainable: Sequence[Variable]) -> None:
        self.plan = plan
        self.objective = objective
        self._penalised = [
            (variable, variable.regularizer)
            for variable in trainable
            if variable.regularizer is not None
        ]

    def test_step(
        self,
        x: Any,
        targets: Any,
        weights: Any = None,
    ) -> None:
        """Add one batch to the running figures of the objective."""
        with np.errstate(all="ignore"):
            penalty = self._penalty() if self._penalised else 0.0
            self.objective.assess(self.plan.forward(x), targets, weights, penalty)

    def evaluate(self, batches: Batches, run: CallbackList) -> dict[str, Any]:
        """The figures over all batches."""
        objective = self.objective
        before_batch = run.hooks("on_test_batch_begin")
        after_batch = run.hooks("on_test_batch_end")
        objective.reset()
        run.call("on_test_begin", {})
        for index, batch in enumerate(batches.epoch(None)):
            for hook in before_batch:
                hook(index, {})
            self.test_step(*batch)
            if after_batch:
                logs = objective.results()
                for hook in after_batch:
                    hook(index, logs)
        logs = objective.results()
        run.call("on_test_end", logs)
        return logs

    def _penalty(self) -> float:
        return sum((rule(variable.value) for variable, rule in self._penalised), 0.0)


class Trainer(Evaluator):
    """Trains a model whose weights are in `parameters`; otherwise as `Evaluator`."""

    def __init__(
        self,
        plan: Plan,
        objective: AnyObjective,
        trainable: Sequence[Variable],
        optimizer: Optimizer,
        parameters: FlatParameters,
    ) -> None:
        super().__init__(plan, objective, trainable)
        self.optimizer = optimizer
        self.parameters = parameters

    def train_step(
        self,
        x: Any,
        targets: Any,
        weights: Any = None,
    ) -> None:
        """Add one batch to the running figures and take one step of the optimizer."""
        plan, parameters = self.plan, self.parameters
        # A run that diverges shows inf or nan as its loss, and no warnings besides.
        with np.errstate(all="ignore"):
            penalty = self._penalty() if self._penalised else 0.0
            result, tape = plan.record(x)
            plan.backward(self.objective.assess(result, targets, weights, penalty), tape)
            for variable, regularizer in self._penalised:
                assert variable.gradient is not None
                variable.gradient += regularizer.gradient(variable.value)
            self.optimizer.update(parameters.trainable, parameters.gradients)

    def fit(
        self,
        model: Stoppable,
        batches: Batches,
        validation: Batches | None,
        run: CallbackList,
        epochs: range,
        *,
        shuffle: bool,
        validation_freq: int,
    ) -> None:
        """All epochs, until `model.stop_training` is set or the data end."""
        generator = random.generator()
        order = generator if shuffle else None
        model.stop_training = False
        logs: dict[str, Any] = {}
        run.call("on_train_begin", {})
        for epoch in epochs:
            if not batches.ready():
                warn_of_end(batches.steps)
                break
            run.call("on_epoch_begin", epoch, {})
            logs = self._train_epoch(model, batches, order, run)
            if validation is not None and (epoch + 1) % validation_freq == 0:
                if validation.ready():
                    figures = self.evaluate(validation, run)
                    logs |= {f"val_{name}": value for name, value in figures.items()}
                else:
                    warn_of_end(validation.steps)
            if isinstance(self.optimizer.schedule, LearningRateSchedule):
                logs["learning_rate"] = self.optimizer.learning_rate
            run.call("on_epoch_end", epoch, logs)
            if model.stop_training:
                break
        run.call("on_train_end", logs)

    def _train_epoch(
        self,
        model: Stoppable,
        batches: Batches,
        order: np.random.Generator | None,
        run: CallbackList,
    ) -> dict[str, Any]:
        objective = self.objective
        before_batch = run.hooks("on_train_batch_begin")
        after_batch = run.hooks("on_train_batch_end")
        objective.reset()
        for index, batch in enumerate(batches.epoch(order)):
            for hook in before_batch:
                hook(index, {})
            self.train_step(*batch)
            if after_batch:
                logs = objective.results()
                for hook in after_batch:
                    hook(index, logs)
            if model.stop_training:
                break
        return objective.results()


def predict(plan: Plan, batches: Batches, run: CallbackList, results: Any) -> Any:
    """What a plan gives for all batches, one after the other.

    Args:
        plan, batches, run: as for `Evaluator`.
        results: where it goes, an array or a list of arrays; None if the number of samples is not
            known.
    """
    before_batch = run.hooks("on_predict_batch_begin")
    after_batch = run.hooks("on_predict_batch_end")
    run.call("on_predict_begin", {})
    parts: list[list[npt.NDArray[Any]]] = []
    start = 0
    for index, (x,) in enumerate(batches.epoch(None)):
        for hook in before_batch:
            hook(index, {})
        y = plan.predict(x)
        if results is None:
            # Copies: the result of a model may be a view of its input, which the next batch reuses.
            parts.append([np.array(part) for part in as_parts(y)])
        else:
            for part, room in zip(as_parts(y), as_parts(results), strict=True):
                room[start : start + len(part)] = part
            start += sample_count(y)
        for hook in after_batch:
            hook(index, {"outputs": y})
    run.call("on_predict_end", {})
    if results is None:
        results = gathered([np.concatenate(column) for column in zip(*parts, strict=True)])
    return results


def as_parts(value: Any) -> list[Any]:
    """The arrays of a list, or the one array."""
    return value if isinstance(value, list) else [value]

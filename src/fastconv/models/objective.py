"""What a model is trained for and measured by: its loss and its metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastconv import activations, metrics
from fastconv._errors import value_error
from fastconv.losses import CrossEntropy, Loss
from fastconv.losses.loss import prepare_weights
from fastconv.metrics import Metric

if TYPE_CHECKING:
    from fastconv.models.plan import Plan

MetricLike: TypeAlias = str | Metric | type[Metric] | Callable[..., Any]


class Objective:
    """A loss and metrics with their running figures.

    Args:
        loss: gives values and gradients.
        identifiers: of the metrics, resolved once the shapes of targets and outputs are known.
        weighted: of metrics that take the weights of samples.

    Attributes:
        batch_loss: of the last batch.
        metrics: known once the objective is bound.
    """

    def __init__(
        self,
        loss: Loss,
        identifiers: Sequence[MetricLike],
        weighted: Sequence[MetricLike] = (),
    ) -> None:
        self.loss = loss
        self.metrics: list[Metric] = []
        self.identifiers = tuple(identifiers)
        self.weighted = tuple(weighted)
        self.batch_loss = 0.0
        self._loss_mean = metrics.Mean("loss")
        self._bound = False

    def prepare(self, operation: str, y: Any, output_shape: Any, samples: int) -> Any:
        """Targets as the loss takes them.

        Raises:
            ValueError, TypeError: targets that do not fit the output, or another number of them.
        """
        targets = self.loss.prepare(y, output_shape)
        if len(targets) != samples:
            raise value_error(
                operation, "y", "must have as many samples as x", samples, len(targets)
            )
        return targets

    def prepare_weights(self, operation: str, sample_weight: Any, output_shape: Any) -> Any:
        """Weights that broadcast to the values of the loss.

        Raises:
            ValueError, TypeError: weights that do not fit the output.
        """
        return prepare_weights(operation, sample_weight, output_shape)

    def bind(self, plan: Plan, targets: Any, output_shape: Any) -> None:
        """Resolve the metrics for these data, at the first call only, and look at the plan."""
        if not self._bound:
            self.metrics = [
                metrics.get(identifier, targets.shape, output_shape)
                for identifier in (*self.identifiers, *self.weighted)
            ]
            self._bound = True
        count = len(self.identifiers)
        self._plain, self._weighted = self.metrics[:count], self.metrics[count:]
        loss = self.loss
        self._softmax = plan.ends_in_softmax
        self._through_logits = (
            plan.ends_in_softmax and isinstance(loss, CrossEntropy) and not loss.from_logits
        )
        self._probabilities = any(metric.needs_probabilities for metric in self.metrics)

    def assess(
        self,
        result: Any,
        targets: Any,
        weights: Any = None,
        penalty: float = 0.0,
    ) -> Any:
        """Add a batch to the running figures; the gradient of the batch's loss at `result`.

        Args:
            result: what the plan's steps gave, before a softmax that ends the model.
            targets: as the loss prepared them.
            weights: of the loss' values, which they broadcast to.
            penalty: added to the loss; its gradient is the caller's affair.
        """
        loss, y_pred = self.loss, result
        if self._softmax and (self._probabilities or not self._through_logits):
            y_pred = activations.softmax(result)
        if self._through_logits:
            assert isinstance(loss, CrossEntropy)
            values, grad = loss.values_and_gradient_from_logits(targets, result)
        else:
            values, grad = loss.values_and_gradient(targets, y_pred)
            if self._softmax:
                grad = activations.softmax.gradient(grad, y_pred)
        scale = loss.scale(values.size, weights)
        if weights is None:
            grad *= scale
        else:
            values = values * weights
            grad *= (weights * scale)[..., np.newaxis]
        samples = len(result)
        self.batch_loss = loss_value = float(np.add.reduce(values, axis=None)) * scale + penalty
        self._loss_mean.add(loss_value * samples, samples)
        for metric in self._plain:
            metric.update_state(targets, y_pred)
        for metric in self._weighted:
            metric.update_state(targets, y_pred, weights)
        return grad

    def reset(self) -> None:
        """Start the running figures anew."""
        self._loss_mean.reset_state()
        for metric in self.metrics:
            metric.reset_state()

    def results(self) -> dict[str, Any]:
        """The running figures: "loss", then the metrics by name."""
        figures = {metric.name: metric.result() for metric in self.metrics}
        return {"loss": self._loss_mean.result(), **figures}

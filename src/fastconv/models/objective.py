"""What a model is trained for and measured by: its loss and its metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastconv import activations, metrics
from fastconv.losses import CrossEntropy, Loss
from fastconv.metrics import Metric

if TYPE_CHECKING:
    from fastconv._types import FloatArray
    from fastconv.layers.symbolic import Shape
    from fastconv.models.plan import Plan

MetricLike: TypeAlias = str | Metric | type[Metric] | Callable[..., Any]


class Objective:
    """A loss and metrics with their running figures.

    Args:
        loss: gives values and gradients.
        identifiers: of the metrics, resolved once the shapes of targets and outputs are known.
        weighted: of metrics that take the weights of samples.
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
        self._loss_mean = metrics.Mean("loss")
        self._bound = False

    def bind(self, plan: Plan, target_shape: Shape, output_shape: Shape) -> None:
        """Resolve the metrics for these shapes, at the first call only, and look at the plan."""
        if not self._bound:
            self.metrics = [
                metrics.get(identifier, target_shape, output_shape)
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
        result: FloatArray,
        targets: npt.NDArray[Any],
        weights: npt.NDArray[np.float32] | None = None,
        penalty: float = 0.0,
    ) -> FloatArray:
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
        total = float(np.add.reduce(values, axis=None)) * scale + penalty
        self._loss_mean.add(total * samples, samples)
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

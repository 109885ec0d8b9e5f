"""What a model with several outputs is trained for: a loss and metrics for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastconv import losses, metrics
from fastconv._errors import value_error
from fastconv.models.graph import in_parts
from fastconv.models.objective import Objective

if TYPE_CHECKING:
    from fastconv.losses import Loss
    from fastconv.metrics import Metric
    from fastconv.models.plan import Plan


class JointObjective:
    """The sum of the losses of several outputs, and their metrics.

    Figures have the name of their output before them: "digit_loss", "digit_accuracy".

    Args:
        parts: one for each output.
        names: of the outputs.
        loss_weights: factors of the losses in the sum; the losses by name are without them.
    """

    def __init__(
        self, parts: Sequence[Objective], names: Sequence[str], loss_weights: Sequence[float]
    ) -> None:
        self.parts = list(parts)
        self.names = list(names)
        self.loss_weights = list(loss_weights)
        self.batch_loss = 0.0
        self._loss_mean = metrics.Mean("loss")

    @property
    def loss(self) -> list[Loss]:
        """The losses."""
        return [part.loss for part in self.parts]

    @property
    def metrics(self) -> list[Metric]:
        """The metrics of all outputs."""
        return [metric for part in self.parts for metric in part.metrics]

    @property
    def identifiers(self) -> list[list[Any]]:
        """For each output what its metrics were made of."""
        return [list(part.identifiers) for part in self.parts]

    @property
    def weighted(self) -> list[list[Any]]:
        """For each output what its metrics that take weights were made of."""
        weighted = [list(part.weighted) for part in self.parts]
        return weighted if any(weighted) else []

    def prepare(self, operation: str, y: Any, output_shape: Any, samples: int) -> Any:
        """As in `Objective`; a list or a dict by names of targets."""
        given = in_parts(operation, "y", y, self.names)
        each = zip(self.parts, given, output_shape, strict=True)
        return [part.prepare(operation, own, shape, samples) for part, own, shape in each]

    def prepare_weights(self, operation: str, sample_weight: Any, output_shape: Any) -> Any:
        """As in `Objective`; a list or a dict by names, or one array for all outputs."""
        if isinstance(sample_weight, list | tuple | dict):
            given = in_parts(operation, "sample_weight", sample_weight, self.names)
        else:
            given = [sample_weight] * len(self.parts)
        known = [weights for weights in given if weights is not None]
        given = [np.ones(len(known[0])) if own is None else own for own in given]
        each = zip(self.parts, given, output_shape, strict=True)
        return [part.prepare_weights(operation, own, shape) for part, own, shape in each]

    def bind(self, plan: Plan, targets: Any, output_shape: Any) -> None:
        """As in `Objective`."""
        assert not plan.ends_in_softmax, "a plan splits a softmax off a single output only"
        for part, own, shape in zip(self.parts, targets, output_shape, strict=True):
            part.bind(plan, own, shape)

    def assess(self, result: Any, targets: Any, weights: Any = None, penalty: float = 0.0) -> Any:
        """As in `Objective`, of a list of results; gives a list of gradients."""
        gradients = []
        total = penalty
        own_weights = [None] * len(self.parts) if weights is None else weights
        each = zip(self.parts, self.loss_weights, result, targets, own_weights, strict=True)
        for part, factor, *batch in each:
            gradient = part.assess(*batch)
            gradient *= factor
            gradients.append(gradient)
            total += factor * part.batch_loss
        self.batch_loss = total
        samples = len(result[0])
        self._loss_mean.add(total * samples, samples)
        return gradients

    def reset(self) -> None:
        """Start the running figures anew."""
        self._loss_mean.reset_state()
        for part in self.parts:
            part.reset()

    def results(self) -> dict[str, Any]:
        """The running figures: the sum of the losses, the losses, then the metrics by output."""
        figures = {"loss": self._loss_mean.result()}
        own_losses: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for name, part in zip(self.names, self.parts, strict=True):
            own = part.results()
            own_losses[f"{name}_loss"] = own.pop("loss")
            others |= {f"{name}_{key}": value for key, value in own.items()}
        return figures | own_losses | others


AnyObjective: TypeAlias = Objective | JointObjective


def make_objective(
    names: list[str], loss: Any, loss_weights: Any, metrics: Any, weighted_metrics: Any
) -> AnyObjective:
    """The objective for outputs of these names, from the arguments of `compile`.

    Raises:
        ValueError, TypeError: something unknown, or that does not fit the outputs.
    """
    if len(names) > 1:
        return _joint(names, loss, loss_weights, metrics, weighted_metrics)
    if isinstance(loss_weights, Sequence | Mapping):
        rule, expected = "need several outputs", "None"
        raise value_error("compile", "loss_weights", rule, expected, loss_weights)
    if isinstance(loss, list | tuple) and len(loss) == 1:
        (loss,) = loss
    given = {"loss": loss, "metrics": metrics, "weighted_metrics": weighted_metrics}
    loss, plain, weighted = (
        in_parts("compile", argument, value, names)[0] if isinstance(value, Mapping) else value
        for argument, value in given.items()
    )
    return Objective(losses.get(loss), plain or (), weighted or ())


def _joint(
    names: list[str], loss: Any, loss_weights: Any, metrics: Any, weighted: Any
) -> JointObjective:
    """The objective for outputs of these names."""
    several = isinstance(loss, Sequence | Mapping) and not isinstance(loss, str)
    own = in_parts("compile", "loss", loss, names) if several else [loss] * len(names)
    parts = [
        Objective(losses.get(loss), plain, weighted)
        for loss, plain, weighted in zip(
            own,
            _metrics_of_outputs("metrics", metrics, names),
            _metrics_of_outputs("weighted_metrics", weighted, names),
            strict=True,
        )
    ]
    factors: list[Any] = [1.0] * len(names)
    if loss_weights is not None:
        factors = in_parts("compile", "loss_weights", loss_weights, names)
    return JointObjective(parts, names, list(map(float, factors)))


def _metrics_of_outputs(argument: str, given: Any, names: list[str]) -> list[Sequence[Any]]:
    if not given:
        return [()] * len(names)
    if isinstance(given, Mapping):
        given = {name: given.get(name) for name in names} | dict(given)
    parts = in_parts("compile", argument, given, names)
    return [
        () if part is None else part if isinstance(part, list | tuple) else (part,)
        for part in parts
    ]

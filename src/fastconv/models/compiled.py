"""What `compile` sets up: how a network is to be trained and measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastconv import losses, optimizers
from fastconv._errors import value_error
from fastconv.models.network import Network
from fastconv.models.objective import MetricLike, Objective
from fastconv.models.parameters import FlatParameters
from fastconv.models.training import Evaluator, Trainer

if TYPE_CHECKING:
    from fastconv.losses import Loss
    from fastconv.metrics import Metric
    from fastconv.optimizers import Optimizer


class CompiledNetwork(Network):
    """A network with an optimizer, a loss and metrics, once `compile` was called.

    Attributes:
        optimizer: None before `compile`.
    """

    def __init__(self, *, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self.optimizer: Optimizer | None = None
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

    def _optimizer_size(self) -> tuple[int, int] | None:
        if self.optimizer is None or not self.optimizer.built:
            return None
        trained = sum(variable.value.size for variable in self.trainable_weights)
        count = trained * len(self.optimizer.slots)
        # The number of the step is an int64, the learning rate a float32.
        return count + 2, 4 * count + 8 + 4

"""What `compile` sets up: how a network is to be trained and measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from fastconv import optimizers
from fastconv._errors import value_error
from fastconv.losses import Loss
from fastconv.models.joint_objective import AnyObjective, JointObjective, make_objective
from fastconv.models.network import Network
from fastconv.models.parameters import FlatParameters
from fastconv.models.training import Evaluator, Trainer

if TYPE_CHECKING:
    from fastconv.metrics import Metric
    from fastconv.optimizers import Optimizer

LossLike: TypeAlias = str | Loss | type[Loss] | Callable[..., Any]


class CompiledNetwork(Network):
    """A network with an optimizer, a loss and metrics, once `compile` was called.

    Attributes:
        optimizer: None before `compile`.
    """

    def __init__(self, *, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self.optimizer: Optimizer | None = None
        self._objective: AnyObjective | None = None
        self._parameters: FlatParameters | None = None

    def compile(
        self,
        optimizer: str | Optimizer = "rmsprop",
        loss: LossLike | Sequence[LossLike] | Mapping[str, LossLike] | None = None,
        loss_weights: Sequence[float] | Mapping[str, float] | None = None,
        metrics: Sequence[Any] | Mapping[str, Any] | None = None,
        weighted_metrics: Sequence[Any] | Mapping[str, Any] | None = None,
        run_eagerly: bool = False,  # noqa: ARG002
        steps_per_execution: int = 1,  # noqa: ARG002
        jit_compile: str | bool = "auto",  # noqa: ARG002
        auto_scale_loss: bool = True,  # noqa: ARG002
    ) -> None:
        """Say how to train. Layers frozen or unfrozen since the last time take effect.

        Args:
            optimizer: name or instance.
            loss: name, instance or function of `fastconv.losses`. For several outputs one for all,
                a list, or a dict by the names of the outputs.
            loss_weights: for several outputs, a list or dict of factors of the losses in their sum.
            metrics: names, instances, or functions of `(y_true, y_pred)` with one value a sample.
                For several outputs a list of such lists, or a dict of them.
            weighted_metrics: the same, of metrics that take the weights of samples.
            run_eagerly, steps_per_execution, jit_compile, auto_scale_loss: how Keras is to run; of
                no effect here.

        Raises:
            ValueError, TypeError: something unknown, or that does not fit the outputs.
        """
        if loss is None:
            expected = "a name or a Loss, such as sparse_categorical_crossentropy"
            raise value_error("compile", "loss", "must be given", expected, None)
        for name, given in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
            if isinstance(given, str) or not isinstance(given, Sequence | Mapping | None):
                expected = "a list, such as ['accuracy']"
                raise value_error("compile", name, "must be a list", expected, given)
        names = [] if self._graph is None else [t.layer.name for t in self._graph.outputs]
        objective = make_objective(names, loss, loss_weights, metrics, weighted_metrics)
        self.optimizer = optimizers.get(optimizer)
        self._objective = objective
        self._changed()

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self._objective is not None

    @property
    def loss(self) -> Any:
        """The loss, or a list of losses for several outputs; None before `compile`."""
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
        if isinstance(self._objective, JointObjective):
            arguments["loss_weights"] = self._objective.loss_weights
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

    def _compiled_objective(self, operation: str) -> AnyObjective:
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

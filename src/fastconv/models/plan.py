"""How a model runs: a list of steps between numbered slots, in order.

The graph of symbolic tensors says what the model is; the plan says how it is computed, with
neighbouring layers fused where `fusion` knows how. The results are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fastconv import activations
from fastconv._errors import value_error
from fastconv.models.fusion import Runner, fuse
from fastconv.models.native import NativeChain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._types import FloatArray
    from fastconv.layers.symbolic import SymbolicTensor


class Step(NamedTuple):
    """Run `runner` on slot `source` (several for layers that merge) and fill slot `target`."""

    runner: Runner
    sources: tuple[int, ...]
    target: int
    last_uses: tuple[int, ...]
    trains: bool
    need_input_gradient: bool


class Plan:
    """The steps from the input to the output of a model.

    Attributes:
        ends_in_softmax: whether the result of the model is the softmax of what the steps give.
    """

    def __init__(self, source: SymbolicTensor, output: SymbolicTensor) -> None:
        calls, self.ends_in_softmax = fuse(graph_order(source, output))
        slots = {id(source): 0}
        learned = {0: False}
        steps: list[Step] = []
        for runner, inputs, result, layers in calls:
            sources = tuple(slots[id(tensor)] for tensor in inputs)
            target = slots[id(result)] = len(slots)
            below = any(learned[slot] for slot in sources)
            learned[target] = below or any(layer.trainable_weights for layer in layers)
            steps.append(Step(runner, sources, target, (), learned[target], below))
        self._slot_count = len(slots)
        self._output = steps[-1].target if steps else 0
        self.steps = _with_last_uses(steps, self._output)
        self._is_chain = [(i,) for i in range(len(steps))] == [step.sources for step in steps]
        self._native: NativeChain | None = None

    def forward(self, x: FloatArray) -> FloatArray:
        """What the steps give for one batch. Arrays that no later step reads are given back."""
        if self._is_chain:
            native = self._native
            if native is None or (native.complete and not native.serves(x)):
                native = self._native = NativeChain(
                    [step.runner for step in self.steps], x.shape[1:]
                )
            if native.serves(x):
                return native.run(x)
        values: list[Any] = [None] * self._slot_count
        values[0] = x
        for step in self.steps:
            arguments = _gather(values, step.sources)
            values[step.target] = step.runner.forward(arguments, training=False)[0]
            del arguments
            for slot in step.last_uses:
                values[slot] = None
        result: FloatArray = values[self._output]
        return result

    def finish(self, result: FloatArray) -> FloatArray:
        """The result of the model from that of the steps."""
        return activations.softmax(result) if self.ends_in_softmax else result

    def record(self, x: FloatArray) -> tuple[FloatArray, list[Any]]:
        """As `forward`, in training mode: the result of the steps, and a tape for `backward`."""
        values: list[Any] = [None] * self._slot_count
        values[0] = x
        tape = []
        for step in self.steps:
            arguments = _gather(values, step.sources)
            values[step.target], saved = step.runner.forward(arguments, training=True)
            tape.append(saved)
        return values[self._output], tape

    def backward(self, grad: FloatArray, tape: list[Any]) -> None:
        """Fill `Variable.gradient` of all weights that train, from the gradient at the result.

        `grad` may be overwritten. Gradients that the input alone would need are not computed.
        """
        grads: list[FloatArray | None] = [None] * self._slot_count
        grads[self._output] = grad
        for step in reversed(self.steps):
            saved = tape.pop()
            if not step.trains:
                continue
            grad_here = grads[step.target]
            grads[step.target] = None
            assert grad_here is not None
            result = step.runner.backward(
                grad_here, saved, need_input_gradient=step.need_input_gradient
            )
            if not step.need_input_gradient:
                continue
            parts: Sequence[Any] = (result,) if len(step.sources) == 1 else result  # type: ignore[assignment]
            for slot, part in zip(step.sources, parts, strict=True):
                before = grads[slot]
                if before is None:
                    grads[slot] = part
                else:
                    before += part


def graph_order(source: SymbolicTensor, output: SymbolicTensor) -> list[SymbolicTensor]:
    """All tensors from `source` (left out) to `output`, each after those it is made from.

    Raises:
        ValueError: the output needs another input, or uses one layer twice.
    """
    order: list[SymbolicTensor] = []
    done = {id(source)}
    pending = [output]
    while pending:
        tensor = pending[-1]
        waiting = [tensor_in for tensor_in in tensor.inputs if id(tensor_in) not in done]
        if id(tensor) not in done and not tensor.inputs:
            rule = "does not come from the input of the model"
            raise value_error("Model", "the output", rule, source.name, tensor.name)
        if waiting:
            pending.extend(waiting)
            continue
        pending.pop()
        if id(tensor) not in done:
            done.add(id(tensor))
            order.append(tensor)
    layers = [id(tensor.layer) for tensor in order]
    for tensor in order:
        if layers.count(id(tensor.layer)) > 1:
            rule = "is called twice, and shared layers are not supported"
            raise value_error("Model", "the layer", rule, "a layer of its own", tensor.name)
    return order


def _gather(values: list[Any], slots: tuple[int, ...]) -> Any:
    if len(slots) == 1:
        return values[slots[0]]
    return [values[slot] for slot in slots]


def _with_last_uses(steps: list[Step], output: int) -> list[Step]:
    seen = {output}
    result = []
    for step in reversed(steps):
        last = tuple(slot for slot in dict.fromkeys(step.sources) if slot not in seen)
        seen.update(last)
        result.append(step._replace(last_uses=last))
    return result[::-1]

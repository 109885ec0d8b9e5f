"""How a model runs: a list of steps between numbered slots, in order.

The graph of symbolic tensors says what the model is; the plan says how it is computed, with
neighbouring layers fused where `fusion` knows how. The results are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fastconv import activations
from fastconv.models.fusion import Runner, fuse
from fastconv.models.graph import gathered
from fastconv.models.native import NativeChain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastconv._types import FloatArray
    from fastconv.layers.variable import Variable
    from fastconv.models.graph import Graph


class Step(NamedTuple):
    """Run `runner` on slot `source` (several for layers that merge) and fill slot `target`.

    `repeated` are the weights of shared layers to which later steps, which go first in `backward`,
    have given gradients already.
    """

    runner: Runner
    sources: tuple[int, ...]
    target: int
    last_uses: tuple[int, ...]
    trains: bool
    need_input_gradient: bool
    repeated: tuple[Variable, ...]


class Plan:
    """The steps from the inputs to the outputs of a model.

    Batches and results are arrays, or lists of arrays where the model has several.

    Attributes:
        ends_in_softmax: whether the result of the model is the softmax of what the steps give.
    """

    def __init__(self, graph: Graph) -> None:
        calls, self.ends_in_softmax = fuse(graph.tensors, graph.outputs)
        slots = {tensor: slot for slot, tensor in enumerate(graph.inputs)}
        self._input_count = len(slots)
        learned = dict.fromkeys(slots.values(), False)
        steps: list[Step] = []
        weights: list[list[Variable]] = []
        for runner, inputs, result, layers in calls:
            sources = tuple(slots[tensor] for tensor in inputs)
            target = slots[result] = len(slots)
            below = any(learned[slot] for slot in sources)
            weights.append([weight for layer in layers for weight in layer.trainable_weights])
            learned[target] = below or bool(weights[-1])
            steps.append(Step(runner, sources, target, (), learned[target], below, ()))
        self._slot_count = len(slots)
        # The output that a softmax was split from has no slot: the last step's result is its input.
        last = steps[-1].target if steps else 0
        self._outputs = tuple(slots.get(tensor, last) for tensor in graph.outputs)
        self.steps = _with_repeated(_with_last_uses(steps, self._outputs), weights)
        self._is_chain = [(i,) for i in range(len(steps))] == [step.sources for step in steps]
        self._is_chain = self._is_chain and len(graph.inputs) == len(graph.outputs) == 1
        self._native: NativeChain | None = None
        self._takes_any_batch = graph.inputs[0].shape[0] is None

    def forward(self, x: Any) -> Any:
        """What the steps give for one batch. Arrays that no later step reads are given back."""
        if self._is_chain:
            result = self._run_natively(x, softmax=False)
            if result is not None:
                return result
        values = self._slots(x)
        for step in self.steps:
            arguments = gathered([values[slot] for slot in step.sources])
            values[step.target] = step.runner.forward(arguments, training=False)[0]
            del arguments
            for slot in step.last_uses:
                values[slot] = None
        return gathered([values[slot] for slot in self._outputs])

    def predict(self, x: Any) -> Any:
        """The result of the model for one batch."""
        if self._is_chain:
            result = self._run_natively(x, softmax=self.ends_in_softmax)
            if result is not None:
                return result
        return self.finish(self.forward(x))

    def predict_unchecked(self, x: object) -> FloatArray | None:
        """As `predict`, of arrays that need neither check nor conversion; None for others."""
        if self._native is None or not self._takes_any_batch:
            return None
        return self._native.run(x, softmax=self.ends_in_softmax)

    def finish(self, result: Any) -> Any:
        """The result of the model from that of the steps."""
        return activations.softmax(result) if self.ends_in_softmax else result

    def record(self, x: Any) -> tuple[Any, list[Any]]:
        """As `forward`, in training mode: the result of the steps, and a tape for `backward`."""
        values = self._slots(x)
        tape = []
        for step in self.steps:
            arguments = gathered([values[slot] for slot in step.sources])
            values[step.target], saved = step.runner.forward(arguments, training=True)
            tape.append(saved)
        return gathered([values[slot] for slot in self._outputs]), tape

    def backward(self, grad: Any, tape: list[Any]) -> None:
        """Fill `Variable.gradient` of all weights that train, from the gradient at the result.

        `grad` may be overwritten. Gradients that the inputs alone would need are not computed.
        """
        grads: list[FloatArray | None] = [None] * self._slot_count
        _add_to(grads, self._outputs, [grad] if len(self._outputs) == 1 else grad)
        for step in reversed(self.steps):
            saved = tape.pop()
            if not step.trains:
                continue
            grad_here = grads[step.target]
            grads[step.target] = None
            assert grad_here is not None
            gradients = [w.gradient for w in step.repeated if w.gradient is not None]
            earlier = [gradient.copy() for gradient in gradients]
            result = step.runner.backward(
                grad_here, saved, need_input_gradient=step.need_input_gradient
            )
            for gradient, part in zip(gradients, earlier, strict=True):
                gradient += part
            if step.need_input_gradient:
                parts: Any = [result] if len(step.sources) == 1 else result
                _add_to(grads, step.sources, parts)

    def _run_natively(self, x: FloatArray, *, softmax: bool) -> FloatArray | None:
        native = self._native
        result = None if native is None else native.run(x, softmax=softmax)
        if result is None and (native is None or native.complete):
            runners = [step.runner for step in self.steps]
            native = self._native = NativeChain(runners, x.shape[1:])
            result = native.run(x, softmax=softmax)
        return result

    def _slots(self, x: Any) -> list[Any]:
        inputs = [x] if self._input_count == 1 else x
        return [*inputs, *[None] * (self._slot_count - self._input_count)]


def _add_to(
    grads: list[FloatArray | None], slots: Sequence[int], parts: Sequence[FloatArray]
) -> None:
    for slot, part in zip(slots, parts, strict=True):
        before = grads[slot]
        if before is None:
            grads[slot] = part
        else:
            before += part


def _with_last_uses(steps: list[Step], outputs: Sequence[int]) -> list[Step]:
    seen = set(outputs)
    result = []
    for step in reversed(steps):
        last = tuple(slot for slot in dict.fromkeys(step.sources) if slot not in seen)
        seen.update(last)
        result.append(step._replace(last_uses=last))
    return result[::-1]


def _with_repeated(steps: list[Step], weights: list[list[Variable]]) -> list[Step]:
    seen: set[Variable] = set()
    result = []
    for step, own in zip(reversed(steps), reversed(weights), strict=True):
        result.append(step._replace(repeated=tuple(w for w in own if w in seen)))
        seen.update(own)
    return result[::-1]

"""The base of all layers.

A layer is written as two functions on arrays: `forward` gives the result and whatever `backward`
will need; `backward` turns the gradient of the result into that of the input and writes the
gradients of the weights where `Variable.gradient` points. Shapes are tuples with the batch first,
None where a size is not known. There is no automatic differentiation.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

import numpy as np
import numpy.typing as npt

from fastconv import initializers
from fastconv._errors import type_error, value_error
from fastconv.configurable import Configurable
from fastconv.layers.allocation import new_values
from fastconv.layers.arguments import normalize_sizes, refuse_unsupported
from fastconv.layers.naming import unique_name
from fastconv.layers.symbolic import Shape, SymbolicTensor
from fastconv.layers.variable import Float32Array, Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastconv._types import FloatArray
    from fastconv.regularizers import Regularizer


class LayerOptions(TypedDict, total=False):
    """Keyword arguments that every layer takes."""

    name: str | None
    trainable: bool
    dtype: str | None
    input_shape: Sequence[int | None] | None


class Layer(Configurable):
    """Base class of layers.

    Args:
        name: unique in its model; made from the class name if None.
        trainable: whether training changes the weights. A change holds from the next `compile` on.
        dtype: None or "float32", the only one.
        input_shape: for the first layer of a `Sequential`: shape of a sample, without the batch.
        unsupported: Keras' arguments that layers do not have here, such as `kernel_constraint`,
            with Keras' default.

    To write a layer, override `forward`, `backward` and `compute_output_shape`, and `build` if
    it has weights.
    """

    min_ndim = 1
    """Fewest axes of an input, the batch included."""
    max_ndim: int | None = None
    """Most axes of an input, None for any."""
    input_axes = ""
    """What the axes of an input are, for error messages."""
    unsaved_arguments: ClassVar[frozenset[str]] = frozenset({"input_shape"})
    random_state: tuple[int, int] | None = None
    """(seed, offset) of the random numbers that the layer draws next; None if it draws none."""

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        **unsupported: Any,
    ) -> None:
        refuse_unsupported(type(self).__name__, unsupported)
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            expected = 'a str without "/"'
            raise value_error(type(self).__name__, "name", "is not valid", expected, repr(name))
        self.name = unique_name(type(self).__name__) if name is None else name
        if dtype not in (None, "float32"):
            raise value_error(self._title, "dtype", "is not known", '"float32"', repr(dtype))
        if not isinstance(trainable, bool | np.bool_):
            rule, expected = "must be a bool", "True or False"
            raise type_error(self._title, "trainable", rule, expected, repr(trainable))
        self._trainable = bool(trainable)
        self._variables: list[Variable] = []
        self._output: SymbolicTensor | None = None
        self._calls = 0
        self.built = False
        self.batch_input_shape: Shape | None = None
        if input_shape is not None:
            self.batch_input_shape = None, *normalize_sizes(self._title, "input_shape", input_shape)

    # What a layer overrides

    def build(self, input_shape: Any) -> None:
        """Create the weights for inputs of `input_shape`. Called once.

        A shape is a `Shape`; for a layer of several inputs here and below a list of them, as `x`
        and the gradient of the input are lists of arrays.
        """

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Shape of the result for inputs of `input_shape`.

        Raises:
            ValueError: a shape that the layer cannot take.
        """
        raise NotImplementedError

    def forward(self, x: Any, *, training: bool) -> tuple[FloatArray, Any]:
        """The result and what `backward` needs.

        `x` is float32, C-contiguous, of a shape that was checked; it must not be changed. The
        result may be a view of it.
        """
        raise NotImplementedError

    def backward(self, grad: FloatArray, saved: Any, *, need_input_gradient: bool) -> Any:
        """Write the gradients of the weights; give the gradient of the input if asked for.

        `grad` is the gradient of the result. It belongs to the layer, which may overwrite and
        return it. Without `need_input_gradient` the result means nothing.
        """
        raise NotImplementedError

    # Calling

    def __call__(self, inputs: Any, training: bool = False) -> Any:
        """The result for an array, cast to float32, or the next symbolic tensor of a model.

        Args:
            inputs: an array or a symbolic tensor; a list of them for a layer of several inputs.
            training: for arrays, whether a layer such as Dropout acts as in training.

        Raises:
            ValueError: a shape that does not fit.
            TypeError: no numbers, or another number of inputs than the layer takes.
        """
        parts = self._parts_of(inputs)
        if all(isinstance(part, SymbolicTensor) for part in parts):
            shapes = self._whole([part.shape for part in parts])
            self.ensure_built(shapes)
            shape, call = self.compute_output_shape(shapes), self._calls
            self._calls += 1
            self._output = SymbolicTensor(shape, self, tuple(parts), call)
            return self._output
        arrays = [
            np.ascontiguousarray(as_numbers(self._title, "inputs", part), np.float32)
            for part in parts
        ]
        self.ensure_built(self._whole([(None, *array.shape[1:]) for array in arrays]))
        self.compute_output_shape(self._whole([array.shape for array in arrays]))
        return self.forward(self._whole(arrays), training=training)[0]

    def _parts_of(self, inputs: Any) -> Sequence[Any]:
        """The inputs of a call, one by one."""
        if isinstance(inputs, list | tuple) and any(isinstance(x, SymbolicTensor) for x in inputs):
            rule, expected = "takes one input", "one tensor"
            raise type_error(self._title, "the layer", rule, expected, f"a list of {len(inputs)}")
        return [inputs]

    def _whole(self, parts: Sequence[Any]) -> Any:
        """What belongs to each input as `forward` and the others take it."""
        return parts[0]

    def ensure_built(self, input_shape: Any) -> None:
        """Check the rank of the input and create the weights if there are none yet."""
        self.check_ndim(input_shape)
        if not self.built:
            self.build(input_shape)
            self.built = True

    def check_ndim(self, input_shape: Shape) -> None:
        """Refuse inputs of too few or too many axes."""
        ndim, most = len(input_shape), self.max_ndim
        if ndim >= self.min_ndim and (most is None or ndim <= most):
            return
        if most is None:
            expected = f"at least {self.min_ndim}"
        elif most == self.min_ndim:
            expected = str(most)
        else:
            expected = f"{self.min_ndim} to {most}"
        rule = "has the wrong number of axes"
        expected += f" {self.input_axes}" if self.input_axes else ""
        raise value_error(self._title, "the input", rule, expected, f"shape {input_shape}")

    @property
    def _title(self) -> str:
        return f"{type(self).__name__} {self.name!r}"

    # Weights

    def add_weight(
        self,
        shape: Sequence[int],
        initializer: str | Callable[..., Any] = "glorot_uniform",
        *,
        regularizer: Regularizer | None = None,
        trainable: bool = True,
        name: str,
    ) -> Variable:
        """A new weight of this layer, with values from `initializer`."""
        value = new_values(self._title, name, tuple(shape), initializers.get(initializer))
        path = f"{self.name}/{name}"
        variable = Variable(value, name, path, trainable=trainable, regularizer=regularizer)
        self._variables.append(variable)
        return variable

    @property
    def dtype(self) -> str:
        """Of weights and results: always "float32"."""
        return "float32"

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)

    @property
    def weights(self) -> list[Variable]:
        """All weights, those that can be trained first."""
        return sorted(self._variables, key=lambda variable: not variable.trainable)

    @property
    def variables(self) -> list[Variable]:
        """The same as `weights`."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that training changes."""
        return [v for v in self._variables if v.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that training leaves alone."""
        trained = set(map(id, self.trainable_weights))
        return [variable for variable in self.weights if id(variable) not in trained]

    @property
    def trainable_variables(self) -> list[Variable]:
        """The same as `trainable_weights`."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The same as `non_trainable_weights`."""
        return self.non_trainable_weights

    @property
    def losses(self) -> list[float]:
        """The penalties of the weights that train and have a regulariser."""
        return [
            variable.regularizer(variable.value)
            for variable in self.trainable_weights
            if variable.regularizer is not None
        ]

    def get_weights(self) -> list[Float32Array]:
        """Copies of all weights, in the order of `weights`."""
        return [variable.numpy() for variable in self.weights]

    def set_weights(self, weights: Sequence[npt.ArrayLike]) -> None:
        """Copy arrays in, in the order of `get_weights`. All are checked before the first copy.

        Raises:
            ValueError: another number of arrays, or another shape.
        """
        variables = self.weights
        if len(weights) != len(variables):
            rule = "has the wrong length"
            raise value_error(self._title, "weights", rule, len(variables), len(weights))
        arrays = [as_numbers(self._title, "weights", value) for value in weights]
        for variable, array in zip(variables, arrays, strict=True):
            if array.shape != variable.shape:
                rule = f"has the wrong shape for {variable.path}"
                raise value_error(self._title, "weights", rule, variable.shape, array.shape)
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)

    def count_params(self) -> int:
        """Number of values in all weights.

        Raises:
            ValueError: the layer is not built.
        """
        if not self.built:
            rule = "must be built before its parameters are counted"
            raise value_error(self._title, "the layer", rule, "a call or build()", "no input shape")
        return sum(math.prod(variable.shape) for variable in self.weights)

    # Place in a model

    @property
    def output(self) -> SymbolicTensor:
        """The symbolic result of the last symbolic call.

        Raises:
            AttributeError: the layer is in no model whose input shape is known.
        """
        if self._output is None:
            raise AttributeError(f"{self._title} has no output: its input shape is not known yet")
        return self._output

    @property
    def input(self) -> Any:
        """The symbolic input of the last symbolic call, a list for several inputs.

        Raises:
            AttributeError: as `output`.
        """
        inputs = self.output.inputs
        return self._whole(inputs) if inputs else self.output

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def as_numbers(operation: str, argument: str, value: object) -> npt.NDArray[Any]:
    """`value` as an array of real numbers of any dtype.

    Raises:
        TypeError: strings, objects or complex numbers.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        rule, received = "must hold real numbers", f"{type(value).__name__} of {array.dtype}"
        raise type_error(operation, argument, rule, "bool, int or float", received)
    return array

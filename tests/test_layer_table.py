"""What every layer must do, on every row of `layer_table`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastconv as keras
from fastconv import layers
from fastconv.layers import Layer
from layer_table import ROWS, Row
from support.arrays import assert_equal, integers
from support.gradients import check, in_float64

each_row = pytest.mark.parametrize("row", ROWS, ids=str)


def has_layouts(row: Row) -> bool:
    """Softmax is over the last axis, whatever that is."""
    images = hasattr(row.make(), "data_format") and len(row.input_shapes[0]) == 4
    return images and row.arguments.get("activation") != "softmax"


in_both_layouts = pytest.mark.parametrize("row", list(filter(has_layouts, ROWS)), ids=str)

pytestmark = pytest.mark.usefixtures("fresh_names")


def arrays(row: Row, batch: int | None = None) -> list[Any]:
    shapes = [shape if batch is None else (batch, *shape[1:]) for shape in row.input_shapes]
    return [integers(index + 1, *s).astype(np.float32) for index, s in enumerate(shapes)]


def set_integer_weights(layer: Layer) -> None:
    """Sums of integers do not depend on their order; what nothing trains may not be negative."""
    for variable in layer.weights:
        value = integers(2, *variable.shape)
        variable.assign(value if variable.trainable else np.abs(value))


def test_every_layer_has_a_row() -> None:
    exported = [getattr(layers, name) for name in layers.__all__]
    kinds = {kind for kind in exported if isinstance(kind, type) and issubclass(kind, Layer)}
    assert kinds - {row.kind for row in ROWS} == {layers.Layer, layers.InputLayer}


@each_row
def test_shapes(row: Row) -> None:
    layer = row.make()
    tensors = [keras.Input(shape[1:]) for shape in row.input_shapes]
    assert layer(row.inputs(tensors)).shape == (None, *row.output_shape[1:])
    assert layer.output.inputs == tuple(tensors)
    y = layer(row.inputs(arrays(row)))
    assert y.shape == row.output_shape
    assert y.dtype == np.float32
    assert [weight.shape for weight in layer.get_weights()] == row.weights
    assert layer.count_params() == sum(int(np.prod(shape)) for shape in row.weights)
    assert {weight.path.split("/")[0] for weight in layer.weights} <= {layer.name}
    assert layer(row.inputs(arrays(row, batch=0))).shape == (0, *row.output_shape[1:])


@each_row
def test_a_batch_is_its_samples(row: Row) -> None:
    layer = row.make()
    inputs = arrays(row)
    layer(row.inputs(inputs))
    set_integer_weights(layer)
    y = layer(row.inputs(inputs))
    one_by_one = [
        layer(row.inputs([part[index : index + 1] for part in inputs])) for index in range(len(y))
    ]
    assert_equal(np.concatenate(one_by_one), y)


@each_row
@pytest.mark.parametrize("training", [False, True])
def test_inputs_are_never_changed(row: Row, training: bool) -> None:
    layer = row.make()
    inputs = arrays(row)
    before = [part.copy() for part in inputs]
    layer(row.inputs(inputs))
    y, saved = layer.forward(row.inputs(inputs), training=training)
    if training:
        for variable in layer.trainable_weights:
            variable.gradient = np.zeros_like(variable.value)
        layer.backward(np.ones_like(y), saved, need_input_gradient=True)
    for part, expected in zip(inputs, before, strict=True):
        assert_equal(part, expected)


def rewind(layer: Layer) -> None:
    """Have a layer that draws random numbers draw its first ones again."""
    if layer.random_state is not None:
        layer.random_state = layer.random_state[0], 0


@each_row
def test_gradients(row: Row) -> None:
    layer = row.make()
    layer(row.inputs([np.zeros(shape, np.float32) for shape in row.input_shapes]))
    in_float64(layer.weights)
    for variable in layer.non_trainable_weights:
        variable.gradient = None
    generator = np.random.default_rng(3)
    parts = [generator.normal(size=shape) for shape in row.input_shapes]
    x = row.inputs(parts)
    grad = generator.normal(size=row.output_shape)

    def value() -> float:
        rewind(layer)
        return float(np.sum(grad * layer.forward(x, training=True)[0]))

    rewind(layer)
    _, saved = layer.forward(x, training=True)
    dx = layer.backward(grad.copy(), saved, need_input_gradient=True)
    for index, (part, gradient) in enumerate(
        zip(parts, dx if isinstance(dx, list) else [dx], strict=True)
    ):
        check(value, part, gradient, seed=10 + index)
    for index, variable in enumerate(layer.trainable_weights):
        assert variable.gradient is not None
        check(value, variable.value, variable.gradient, seed=5 + index)


@each_row
def test_gradients_of_weights_do_not_need_that_of_the_input(row: Row) -> None:
    layer = row.make()
    inputs = arrays(row)
    layer(row.inputs(inputs))
    expected = []
    for needed in (True, False):
        rewind(layer)
        y, saved = layer.forward(row.inputs(inputs), training=True)
        for variable in layer.trainable_weights:
            variable.gradient = np.full_like(variable.value, np.nan)
        layer.backward(np.ones_like(y), saved, need_input_gradient=needed)
        expected.append([variable.gradient for variable in layer.trainable_weights])
    for with_input, alone in zip(*expected, strict=True):
        assert_equal(with_input, alone)


@in_both_layouts
def test_channels_first_equals_channels_last(row: Row) -> None:
    last, first = row.make(), row.make(data_format="channels_first")
    (x,) = arrays(row)
    swapped = np.ascontiguousarray(np.moveaxis(x, -1, 1))
    last(x)
    first(swapped)
    set_integer_weights(last)
    first.set_weights(last.get_weights())
    y, saved = last.forward(x, training=True)
    y_first, saved_first = first.forward(swapped, training=True)
    assert first.compute_output_shape((None, *swapped.shape[1:])) == (None, *y_first.shape[1:])
    assert_equal(layout(y_first, "channels_last"), y)
    for variable in [*last.weights, *first.weights]:
        variable.gradient = np.full_like(variable.value, np.nan)
    grad = integers(9, *y.shape).astype(np.float32)
    dx_first = first.backward(layout(grad, "channels_first"), saved_first, need_input_gradient=True)
    dx = last.backward(grad, saved, need_input_gradient=True)
    assert_equal(layout(dx_first, "channels_last"), dx)
    for one, other in zip(last.weights, first.weights, strict=True):
        assert_equal(other.gradient, one.gradient)


def layout(values: Any, data_format: str) -> Any:
    """A copy with the channels moved last or second; of what has no images a plain copy."""
    if values.ndim != 4:
        return values.copy()
    places = (1, -1) if data_format == "channels_last" else (-1, 1)
    return np.ascontiguousarray(np.moveaxis(values, *places))


@each_row
def test_arguments_are_attributes(row: Row) -> None:
    """What `get_config` of every layer rests on."""
    layer = row.make()
    for name in row.arguments:
        assert hasattr(layer, name)

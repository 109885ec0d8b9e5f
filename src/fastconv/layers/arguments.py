"""Checks of layer arguments and shapes that several families share."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, SupportsIndex

from fastconv._errors import type_error, value_error
from fastconv._shapes import Windows, check_data_format, normalize_int

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastconv._types import DataFormat, Pair
    from fastconv.layers.symbolic import Shape

IMAGE_AXES: dict[DataFormat, str] = {
    "channels_last": "(batch, height, width, channels)",
    "channels_first": "(batch, channels, height, width)",
}


CHANNEL_AXES: dict[DataFormat, int] = {"channels_last": 3, "channels_first": 1}

KERAS_DEFAULTS: dict[str, object] = {
    "activity_regularizer": None,
    "beta_constraint": None,
    "bias_constraint": None,
    "depthwise_constraint": None,
    "gamma_constraint": None,
    "kernel_constraint": None,
    "pointwise_constraint": None,
    "quantization_config": None,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
    "synchronized": False,
}
"""Arguments of Keras' layers without a counterpart here: files and code may name the default."""


def refuse_unsupported(operation: str, arguments: Mapping[str, Any]) -> None:
    """Accept Keras' default for arguments of `KERAS_DEFAULTS`, and nothing else."""
    for name, value in arguments.items():
        if name not in KERAS_DEFAULTS:
            expected = "one that the documentation of the layer names"
            raise type_error(operation, name, "is not an argument", expected, repr(value))
        if value != KERAS_DEFAULTS[name]:
            default = KERAS_DEFAULTS[name]
            raise value_error(operation, name, "is not supported", default, repr(value))


def normalize_number(operation: str, argument: str, value: object) -> float:
    """`value` as a float; strings and None are a TypeError."""
    if not isinstance(value, Real):
        raise type_error(operation, argument, "must be a number", "int or float", repr(value))
    return float(value)


def normalize_non_negative(operation: str, argument: str, value: object) -> float:
    """`value` as a float >= 0, which NaN is not."""
    number = normalize_number(operation, argument, value)
    if not number >= 0:
        raise value_error(operation, argument, "must not be negative", ">= 0", value)
    return number


def normalize_index(operation: str, argument: str, value: object) -> int:
    """`value` as an int of any sign and size, such as an axis or a seed."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise type_error(operation, argument, "must be an integer", "an int", repr(value))
    return operator.index(value)


def check_sample_axis(operation: str, axis: int, shape: Shape) -> None:
    """Refuse an axis that `shape` does not have, and that of the batch."""
    ndim = len(shape)
    if not -ndim <= axis < ndim or axis % ndim == 0:
        rule, expected = "names no axis of a sample", f"an axis of shape {shape}"
        raise value_error(operation, "axis", rule, expected, axis)


def normalize_sizes(operation: str, argument: str, shape: object) -> Shape:
    """The shape of a sample: positive ints, None where a size may vary."""
    if isinstance(shape, str) or not isinstance(shape, Sequence):
        expected = "a tuple such as (28, 28, 1)"
        raise value_error(operation, argument, "must be a tuple of sizes", expected, repr(shape))
    return tuple(
        None if size is None else normalize_int(operation, argument, size) for size in shape
    )


def normalize_data_format(operation: str, data_format: str | None) -> DataFormat:
    """The data format, accepted in any case as Keras does; None is "channels_last"."""
    if data_format is None:
        return "channels_last"
    name = str(data_format).lower()
    check_data_format(operation, name)
    return "channels_first" if name == "channels_first" else "channels_last"


def normalize_padding_name(operation: str, padding: str) -> str:
    """The padding in lower case, accepted in any case as Keras does."""
    expected = '"valid" or "same"'
    if not isinstance(padding, str):
        raise type_error(operation, "padding", "must be a str", expected, padding)
    if padding.lower() not in ("valid", "same"):
        raise value_error(operation, "padding", "is not known", expected, repr(padding))
    return padding.lower()


def split_image_shape(shape: Shape, data_format: DataFormat) -> tuple[Shape, int | None]:
    """((height, width), channels) of an image batch."""
    if data_format == "channels_last":
        return shape[1:3], shape[3]
    return shape[2:4], shape[1]


def join_image_shape(
    batch: int | None, size: Shape, channels: int | None, data_format: DataFormat
) -> Shape:
    """The inverse of `split_image_shape`."""
    if data_format == "channels_last":
        return (batch, *size, channels)
    return (batch, channels, *size)


def windowed_size(size: Shape, extent: Pair, windows: Callable[[Pair], Windows]) -> Shape:
    """The output size of `windows(size)`, None where `size` is None.

    `extent` is what one window covers: it stands in for a size that is not known.
    """
    height, width = (e if s is None else s for s, e in zip(size, extent, strict=True))
    out = windows((height, width)).output_size
    return tuple(None if s is None else o for s, o in zip(size, out, strict=True))

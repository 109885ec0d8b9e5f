"""What `compile` was given, in Keras' files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastconv._errors import value_error
from fastconv.saving.objects import describe, make

if TYPE_CHECKING:
    from fastconv.models.model import Model


def describe_compilation(model: Model) -> dict[str, Any] | None:
    """The `compile_config` of a model; None if it was not compiled or cannot be described.

    A loss, metric or optimizer of a class of one's own cannot: a warning says so.
    """
    given = model.get_compile_config()
    if not given:
        return None
    try:
        return {name: _describe_part(value) for name, value in given.items()}
    except ValueError as error:
        message = f"save: the file will load without what compile() was given: {error}"
        warnings.warn(message, stacklevel=4)
        return None


def compile_model(model: Model, description: object) -> None:
    """Compile a model as a `compile_config` of Keras says; do nothing if that is empty.

    Raises:
        ValueError: something that fastconv does not have.
    """
    if not description:
        return
    try:
        if not isinstance(description, Mapping):
            expected = "a dict of arguments of compile()"
            raise value_error("load", "compile_config", "is not valid", expected, description)
        given = {name: value for name, value in description.items() if value is not None}
        arguments = {name: _make_part(value) for name, value in given.items()}
        model.compile(**arguments)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        hint = "load_model(..., compile=False) loads the model without"
        message = f"the model cannot be compiled as the file says: {error}; {hint}"
        raise ValueError(message) from error


def _describe_part(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_describe_part(part) for part in value]
    if isinstance(value, dict):
        return {name: _describe_part(part) for name, part in value.items()}
    if isinstance(value, type):
        return describe(value())
    return describe(value)


def _make_part(value: Any) -> Any:
    if isinstance(value, list):
        return [_make_part(part) for part in value]
    if not isinstance(value, Mapping):
        return value
    if value.get("class_name") == "function":
        return value.get("config")
    if "class_name" in value:
        return make(value)
    return {name: _make_part(part) for name, part in value.items()}

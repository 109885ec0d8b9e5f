"""Objects and their descriptions in Keras' files.

A description names a class and the arguments of its constructor::

    {"module": "keras.initializers", "class_name": "Constant", "config": {"value": 1.0},
     "registered_name": None}

Only classes of the tables here are ever looked up: a file cannot make anything else, and nothing in
it is run.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import initializers, layers, losses, metrics, optimizers, regularizers
from fastconv._errors import type_error, value_error
from fastconv.activations import ActivationFunction
from fastconv.configurable import Configurable

if TYPE_CHECKING:
    from types import ModuleType

_FAMILIES: dict[str, tuple[ModuleType, type[Configurable]]] = {
    "keras.layers": (layers, layers.Layer),
    "keras.initializers": (initializers, initializers.Initializer),
    "keras.losses": (losses, losses.Loss),
    "keras.metrics": (metrics, metrics.Metric),
    "keras.optimizers": (optimizers, optimizers.Optimizer),
    "keras.optimizers.schedules": (
        optimizers.schedules,
        optimizers.schedules.LearningRateSchedule,
    ),
    "keras.regularizers": (regularizers, regularizers.Regularizer),
}
"""Keras' module: the module here, and the class that all classes of it derive from."""

_BASES = frozenset(
    {
        "CrossEntropy",
        "Initializer",
        "Layer",
        "LearningRateSchedule",
        "Loss",
        "MeanMetricWrapper",
        "Metric",
        "Optimizer",
        "RandomInitializer",
        "Regularizer",
    }
)
"""Public classes that are only there to be derived from."""

_WITHOUT_EFFECT: dict[str, Any] = {
    "axis": -1,
    "dtype": "float32",
    "label_smoothing": 0.0,
    "optional": False,
    "ragged": False,
    "renorm": False,
    "sparse": False,
    "synchronized": False,
    "use_ema": False,
}
"""Arguments that Keras writes down and a class here may lack: the values that change nothing.

None changes nothing for any argument.
"""
_UNUSED = ("ema_momentum", "renorm_momentum")
"""Such arguments that only matter where `use_ema` or `renorm` is on."""


@functools.cache
def known_classes() -> dict[str, dict[str, type[Configurable]]]:
    """For each module of Keras the classes that files may name, by name."""
    return {
        keras_module: {
            name: value
            for name, value in vars(module).items()
            if isinstance(value, type)
            and issubclass(value, base)
            and not name.startswith("_")
            and name == value.__name__
            and name not in _BASES
        }
        for keras_module, (module, base) in _FAMILIES.items()
    }


def argument_names(cls: type[Configurable]) -> list[str]:
    """The arguments of a constructor, those of its base's first where it takes `**options`."""
    names: list[str] = []
    for part in cls.__mro__[:-1]:
        if "__init__" not in vars(part):
            continue
        parameters = list(inspect.signature(vars(part)["__init__"]).parameters.values())[1:]
        names = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD] + names
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return [name for name in dict.fromkeys(names) if name not in cls.unsaved_arguments]


def arguments_of(value: Configurable) -> dict[str, Any]:
    """The arguments that make an object like `value`, as values of JSON.

    Raises:
        ValueError: one of them is something that no file can name.
    """
    return {
        name: _plain(type(value).__name__, name, getattr(value, name))
        for name in argument_names(type(value))
    }


def describe(value: object) -> dict[str, Any]:
    """The description of an object.

    Raises:
        ValueError: its class is not one that files can name.
    """
    cls = type(value)
    for keras_module, classes in known_classes().items():
        if classes.get(cls.__name__) is cls:
            assert isinstance(value, Configurable)
            return {
                "module": keras_module,
                "class_name": cls.__name__,
                "config": value.get_config(),
                "registered_name": None,
            }
    expected = "an instance of a class of fastconv itself"
    raise value_error("save", repr(value), "cannot be named in a file", expected, cls.__name__)


def make(description: object) -> Any:
    """The object of a description.

    Raises:
        ValueError: a class that is not in the tables, or an argument that it does not have.
        TypeError: no description.
    """
    keras_module, name = class_of(description)
    cls = known_classes().get(keras_module, {}).get(name)
    if cls is None:
        expected = "classes that fastconv has (custom objects and Lambda are never loaded)"
        raise value_error("load", f"{keras_module}.{name}", "is not known", expected, name)
    assert isinstance(description, Mapping)
    return cls.from_config(description["config"])


def class_of(description: object) -> tuple[str, str]:
    """Keras' module and the name of the class of a description.

    Raises:
        TypeError: no description.
    """
    if isinstance(description, Mapping):
        keras_module, name = description.get("module"), description.get("class_name")
        config = description.get("config")
        if isinstance(name, str) and isinstance(config, Mapping):
            return keras_module if isinstance(keras_module, str) else "(no module)", name
    expected = "a dict with module, class_name and config"
    raise type_error("load", "a description", "is not valid", expected, description)


def constructor_arguments(cls: type[Configurable], config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `cls` from a configuration of it here or in Keras.

    Raises:
        ValueError: an argument that `cls` does not have, with a value that matters.
    """
    names = argument_names(cls)
    arguments = {}
    for name, value in config.items():
        if name in names:
            arguments[name] = _revived(name, value)
        elif _matters(name, value):
            expected = f"one of {', '.join(names)}"
            raise value_error(cls.__name__, name, "is not supported", expected, f"{name}={value}")
    return arguments


def _matters(name: str, value: Any) -> bool:
    """Whether an argument that a class lacks would change anything."""
    if value is None or name in _UNUSED:
        return False
    return name not in _WITHOUT_EFFECT or _revived(name, value) != _WITHOUT_EFFECT[name]


def _plain(owner: str, name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [_plain(owner, name, part) for part in value]
    if isinstance(value, ActivationFunction):
        return value.__name__
    try:
        return describe(value)
    except ValueError:
        expected = "a number, a name or an object of fastconv itself"
        rule = "cannot be written to a file"
        raise value_error(owner, name, rule, expected, repr(value)) from None


def _revived(name: str, value: Any) -> Any:
    if name == "dtype":
        return _plain_dtype(value)
    if isinstance(value, list):
        return tuple(_revived(name, part) for part in value)
    if not isinstance(value, Mapping):
        return value
    if value.get("class_name") == "function" and isinstance(value.get("config"), str):
        # Such a name is looked up among the activations, never imported.
        return value["config"]
    return make(value)


def _plain_dtype(value: Any) -> Any:
    """The name of a dtype or of a policy of dtypes."""
    if isinstance(value, Mapping) and isinstance(value.get("config"), Mapping):
        return value["config"].get("name")
    return value

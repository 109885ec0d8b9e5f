"""Automatic names: `conv2d`, `conv2d_1`, ... counted in the process, as in Keras."""

from __future__ import annotations

import re

_taken: dict[str, int] = {}


def unique_name(class_name: str) -> str:
    """The class name in snake case, with a number from the second object on.

    >>> unique_name("NeverUsed2D"), unique_name("NeverUsed2D")
    ('never_used2d', 'never_used2d_1')
    """
    prefix = snake_case(class_name)
    count = _taken.get(prefix, 0)
    _taken[prefix] = count + 1
    return f"{prefix}_{count}" if count else prefix


def snake_case(class_name: str) -> str:
    """Keras' form of a class name in names of layers and in files.

    >>> snake_case("MaxPooling2D"), snake_case("ReLU")
    ('max_pooling2d', 're_lu')
    """
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def forget_names() -> None:
    """Count from the start again."""
    _taken.clear()

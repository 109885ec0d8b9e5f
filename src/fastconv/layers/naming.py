"""Automatic names: `conv2d`, `conv2d_1`, ... counted in the process, as in Keras."""

from __future__ import annotations

import re

_taken: dict[str, int] = {}


def unique_name(class_name: str) -> str:
    """The class name in snake case, with a number from the second object on.

    >>> unique_name("NeverUsed2D"), unique_name("NeverUsed2D")
    ('never_used2d', 'never_used2d_1')
    """
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    prefix = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
    count = _taken.get(prefix, 0)
    _taken[prefix] = count + 1
    return f"{prefix}_{count}" if count else prefix


def forget_names() -> None:
    """Count from the start again."""
    _taken.clear()

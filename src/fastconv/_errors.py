"""One wording for every refusal: operation, argument, rule, expected and received."""

from __future__ import annotations

_LONGEST_RECEIVED = 200


def value_error(
    operation: str, argument: str, rule: str, expected: object, received: object
) -> ValueError:
    """The ValueError to raise when the value of `argument` breaks `rule`.

    >>> print(value_error("conv2d", "strides", "must be positive", "ints >= 1", (0, 1)))
    conv2d: strides must be positive, expected ints >= 1, received (0, 1)
    """
    return ValueError(_message(operation, argument, rule, expected, received))


def type_error(
    operation: str, argument: str, rule: str, expected: object, received: object
) -> TypeError:
    """The TypeError to raise when the type or dtype of `argument` breaks `rule`."""
    return TypeError(_message(operation, argument, rule, expected, received))


def _message(operation: str, argument: str, rule: str, expected: object, received: object) -> str:
    shown = str(received)
    if len(shown) > _LONGEST_RECEIVED:
        shown = shown[:_LONGEST_RECEIVED] + "..."
    return f"{operation}: {argument} {rule}, expected {expected}, received {shown}"

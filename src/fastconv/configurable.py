"""Objects that a file describes by the name of their class and the arguments that make them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


class Configurable:
    """Base of what can be made again from its configuration.

    For each argument of its constructor, and of its base's where it takes `**options`, an object
    has an attribute of the same name; a class with other habits overrides both methods.
    """

    unsaved_arguments: ClassVar[frozenset[str]] = frozenset()
    """Arguments that no configuration needs."""

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an object like this one, as values of JSON.

        Raises:
            ValueError: one of them is something that no file can name, such as a function.
        """
        from fastconv.saving.objects import arguments_of

        return arguments_of(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """An object made from what `get_config` gave, here or in Keras.

        Raises:
            ValueError, TypeError: an argument that the class does not have or refuses.
        """
        from fastconv.saving.objects import constructor_arguments

        return cls(**constructor_arguments(cls, config))

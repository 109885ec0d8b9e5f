"""Small networks for images, by name: what `fastconv train --model` offers.

Each is written for any image size and number of classes; `build` makes a `Sequential` of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fastconv.layers import Conv2D, Dense, Dropout, Flatten, Input, Layer, MaxPooling2D
from fastconv.models import Sequential

__all__ = ["NETWORKS", "Network", "build"]


@dataclass(frozen=True)
class Network:
    """A network: one line about it, its layers, and whether they end in logits.

    `layers` takes the number of classes. With `from_logits` the last layer has no activation and
    the loss must be told so; otherwise it ends in softmax.
    """

    description: str
    layers: Callable[[int], list[Layer]]
    from_logits: bool = False


NETWORKS = {
    "m1": Network(
        "conv 32, pool, conv 64, pool, dropout 0.5, output",
        lambda classes: [
            Conv2D(32, kernel_size=(3, 3), activation="relu"),
            MaxPooling2D(pool_size=(2, 2)),
            Conv2D(64, kernel_size=(3, 3), activation="relu"),
            MaxPooling2D(pool_size=(2, 2)),
            Flatten(),
            Dropout(0.5),
            Dense(classes, activation="softmax"),
        ],
    ),
    "m3": Network(
        "conv 64, pool, conv 64, pool, dense 128, output",
        lambda classes: [
            Conv2D(64, (3, 3), activation="relu"),
            MaxPooling2D(2, 2),
            Conv2D(64, (3, 3), activation="relu"),
            MaxPooling2D(2, 2),
            Flatten(),
            Dense(128, activation="relu"),
            Dense(classes, activation="softmax"),
        ],
    ),
    "m4": Network(
        "conv 32, pool, conv 32, pool, conv 32, dense 32, output (logits)",
        lambda classes: [
            Conv2D(32, (3, 3), activation="relu"),
            MaxPooling2D((2, 2)),
            Conv2D(32, (3, 3), activation="relu"),
            MaxPooling2D((2, 2)),
            Conv2D(32, (3, 3), activation="relu"),
            Flatten(),
            Dense(32, activation="relu"),
            Dense(classes),
        ],
        from_logits=True,
    ),
    "m5": Network(
        "conv 16, conv 32, pool, dense 128, output",
        lambda classes: [
            Conv2D(16, kernel_size=(3, 3), activation="relu"),
            Conv2D(32, kernel_size=(3, 3), activation="relu"),
            MaxPooling2D(),
            Flatten(),
            Dense(128, activation="relu"),
            Dense(classes, activation="softmax"),
        ],
    ),
    "minimal": Network(
        "conv 32, pool, output",
        lambda classes: [
            Conv2D(32, (3, 3), activation="relu"),
            MaxPooling2D((2, 2)),
            Flatten(),
            Dense(classes, activation="softmax"),
        ],
    ),
    "deep": Network(
        "conv 32, conv 32, pool, conv 64, conv 64, pool, output",
        lambda classes: [
            Conv2D(32, (3, 3), activation="relu"),
            Conv2D(32, (3, 3), activation="relu"),
            MaxPooling2D((2, 2)),
            Conv2D(64, (3, 3), activation="relu"),
            Conv2D(64, (3, 3), activation="relu"),
            MaxPooling2D((2, 2)),
            Flatten(),
            Dense(classes, activation="softmax"),
        ],
    ),
}


def build(name: str, input_shape: tuple[int, int, int], classes: int) -> Sequential:
    """Make a new model of a named network, with fresh weights.

    Args:
        name: a key of `NETWORKS`.
        input_shape: height, width and channels of an image.
        classes: number of outputs.

    Raises:
        ValueError: there is no network of this name.

    Example:
        >>> build("m1", (28, 28, 1), 10).count_params()
        34826
    """
    if name not in NETWORKS:
        raise ValueError(
            f"build: name must be a known network, expected one of {sorted(NETWORKS)}, "
            f"received {name!r}"
        )
    return Sequential([Input(shape=input_shape), *NETWORKS[name].layers(classes)], name=name)

"""Inputs and calls that layers must refuse, for fastconv and for Keras: the code is the same.

`taken` is what it is in `wrong_arguments.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from wrong_arguments import CAST, DEPENDS, IMAGE_LAYERS, POOLINGS, REQUIRED, Refused


def misfit(layer: str, rule: str, shape: Any, /, taken: str = "", **given: Any) -> Refused:
    """The layer with the arguments `given` and valid other ones, and the shape of a sample."""
    message = rf"{layer} '\w+': {rule}"
    arguments = REQUIRED.get(layer, {}) | given
    return Refused(layer, arguments, ValueError, message, taken, shape)


AXES = "the input has the wrong number of axes, expected"
CHANNELS_LAST = rf"{AXES} 4 \(batch, height, width, channels\)"
CHANNELS_FIRST = rf"{AXES} 4 \(batch, channels, height, width\)"
NO_AXIS = "axis names no axis of a sample, expected an axis of shape"
UNEQUAL = "the inputs do not fit together, expected equal sizes"

BATCH = "works along the batch, too"
BROADCAST = "adds the axes that are missing"

INPUTS: list[Refused] = [
    # A batch of grey images without the axis of channels, one image, and too many axes.
    *[misfit(layer, CHANNELS_LAST, (28, 28)) for layer in IMAGE_LAYERS],
    *[misfit(layer, CHANNELS_LAST, (28,)) for layer in IMAGE_LAYERS],
    *[misfit(layer, CHANNELS_LAST, (3, 8, 8, 2)) for layer in IMAGE_LAYERS],
    *[
        misfit(layer, CHANNELS_FIRST, (28, 28), data_format="channels_first")
        for layer in IMAGE_LAYERS
    ],
    misfit("Dense", rf"{AXES} at least 2 \(batch, \.\.\., features\)", ()),
    # Images smaller than a window.
    *[
        misfit(layer, "the height and width of x give an output size below 1", (2, 9, 2))
        for layer in ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")
    ],
    misfit("Conv2D", "the height and width of x give an output", (4, 4, 2), dilation_rate=2),
    *[
        misfit(layer, "the height and width of x give an output", (3, 9, 2), DEPENDS, pool_size=4)
        for layer in POOLINGS
    ],
    *[
        misfit(layer, "the input has no cells", (0, 9, 2), DEPENDS)
        for layer in ("GlobalAveragePooling2D", "GlobalMaxPooling2D")
    ],
    # Channels.
    misfit("Conv2D", "the input has the wrong channels, expected a multiple", (9, 9, 3), groups=2),
    misfit("Conv2D", "the input has the wrong channels, expected a known number", (9, 9, None)),
    misfit("Dense", "the input needs a known last axis", (3, None)),
    misfit("BatchNormalization", "the input needs a known size of axis", (3, None)),
    # Axes and sizes.
    misfit("Reshape", "the input does not fit target_shape", (10,), target_shape=(3, 4)),
    misfit("Reshape", "the input does not fit target_shape", (10,), target_shape=(3, -1)),
    misfit("BatchNormalization", NO_AXIS, (3, 3), axis=3),
    misfit("BatchNormalization", NO_AXIS, (3, 3), axis=-4),
    misfit("BatchNormalization", NO_AXIS, (3, 3), BATCH, axis=0),
    misfit("Softmax", NO_AXIS, (3,), axis=2),
    misfit("Softmax", NO_AXIS, (3,), BATCH, axis=0),
    # Several inputs.
    misfit("Add", UNEQUAL, [(4, 3), (4, 2)]),
    misfit("Add", "the inputs do not fit together, expected as many", [(3,), (1, 3)], BROADCAST),
    misfit("Concatenate", UNEQUAL, [(4, 3), (3, 3)]),
    misfit("Concatenate", "the inputs do not fit together, expected as many", [(3,), (1, 3)]),
    misfit("Concatenate", NO_AXIS, [(3,), (3,)], axis=2),
    misfit("Concatenate", NO_AXIS, [(3,), (3,)], BATCH, axis=0),
]


class WrongCall(NamedTuple):
    """Anything else that is refused."""

    call: Callable[[Any], Any]
    error: type[Exception]
    message: str
    taken: str = ""


def built(layer: Any, *shape: int) -> Any:
    """The layer after it saw inputs of `shape`."""
    layer(np.zeros(shape, np.float32))
    return layer


X = np.ones((2, 3), np.float32)
ONE = "Dense 'dense': the layer takes one input"
NUMBERS = "Dense 'dense': inputs must hold real numbers"
SEVERAL = "the layer must be called on several inputs"
BATCHES = "Add 'add': the inputs do not fit together"

CALLS: dict[str, WrongCall] = {
    "two inputs": WrongCall(
        lambda k: k.layers.Dense(1)([k.Input((3,)), k.Input((3,))]), TypeError, ONE
    ),
    "a layer": WrongCall(
        lambda k: k.layers.Dense(1)(k.layers.Flatten()),
        TypeError,
        f"{NUMBERS}, expected bool, int or float, received Flatten of object",
    ),
    "a text": WrongCall(lambda k: k.layers.Dense(1)("a"), TypeError, NUMBERS),
    "texts": WrongCall(lambda k: k.layers.Dense(1)(np.array([["a"]])), TypeError, NUMBERS),
    "nothing": WrongCall(lambda k: k.layers.Dense(1)(None), TypeError, NUMBERS),
    "complex": WrongCall(lambda k: k.layers.Dense(1)(X * 1j), TypeError, NUMBERS, CAST),
    "add one": WrongCall(lambda k: k.layers.Add()(X), TypeError, f"Add 'add': {SEVERAL}"),
    "add a list of one": WrongCall(
        lambda k: k.layers.Add()([X]), TypeError, f"Add 'add': {SEVERAL}", CAST
    ),
    "add nothing": WrongCall(lambda k: k.layers.Add()([]), TypeError, f"Add 'add': {SEVERAL}"),
    "concatenate one": WrongCall(
        lambda k: k.layers.Concatenate()(X), TypeError, f"Concatenate 'concatenate': {SEVERAL}"
    ),
    "add batches of two sizes": WrongCall(
        lambda k: k.layers.Add()([X, X[:1]]), ValueError, BATCHES
    ),
    "other channels": WrongCall(
        lambda k: built(k.layers.Conv2D(2, 3), 1, 5, 5, 3)(np.zeros((1, 5, 5, 1))),
        ValueError,
        r"Conv2D 'conv2d': the input has the wrong channels, expected 3, received shape",
    ),
    "other features": WrongCall(
        lambda k: built(k.layers.Dense(1), 2, 4)(X),
        ValueError,
        "Dense 'dense': the input has the wrong last axis, expected 4",
    ),
    "another normalised axis": WrongCall(
        lambda k: built(k.layers.BatchNormalization(), 2, 4)(X),
        ValueError,
        "BatchNormalization 'batch_normalization': the input has the wrong axis -1, expected 4",
    ),
    "weights of another number": WrongCall(
        lambda k: built(k.layers.Dense(1), 2, 3).set_weights([X]),
        ValueError,
        "Dense 'dense': weights has the wrong length, expected 2, received 1",
    ),
    "weights of another shape": WrongCall(
        lambda k: built(k.layers.Dense(1), 2, 3).set_weights([X, X[0]]),
        ValueError,
        "Dense 'dense': weights has the wrong shape for dense/kernel, expected",
    ),
    "parameters of no weights": WrongCall(
        lambda k: k.layers.Dense(1).count_params(),
        ValueError,
        "Dense 'dense': the layer must be built before its parameters are counted",
    ),
}

"""Arguments that layers must refuse: what the layers of Keras 3 check, and more.

The rows are for fastconv and for Keras: the code is the same. `taken` says why Keras takes what
fastconv refuses; it is empty where both refuse. What only Keras refuses is in
`tests/peers/test_keras_errors.py`; inputs that do not fit are in `wrong_inputs.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

REQUIRED: dict[str, dict[str, Any]] = {
    "Activation": {"activation": "relu"},
    "AveragePooling2D": {"pool_size": 2},
    "Conv2D": {"filters": 2, "kernel_size": 3},
    "Conv2DTranspose": {"filters": 2, "kernel_size": 3},
    "Dense": {"units": 2},
    "DepthwiseConv2D": {"kernel_size": 3},
    "Dropout": {"rate": 0.5},
    "InputLayer": {"shape": (8, 8, 2)},
    "Rescaling": {"scale": 0.5},
    "Reshape": {"target_shape": (16, 8)},
    "SeparableConv2D": {"filters": 2, "kernel_size": 3},
}
"""Valid values of the arguments that have no default."""


class Refused(NamedTuple):
    """A layer with arguments that cannot be made, or cannot be called on an input of `shape`."""

    layer: str
    arguments: dict[str, Any]
    error: type[Exception]
    message: str
    """A regular expression for the start: operation, argument and rule."""
    taken: str
    shape: Any = None
    """Of a sample; of several samples a list."""

    def make(self, package: Any) -> Any:
        return getattr(package.layers, self.layer)(**self.arguments)

    def __str__(self) -> str:
        valid = REQUIRED.get(self.layer, {})
        texts = [
            f"{key}={getattr(value, '__name__', value)!r}"
            for key, value in self.arguments.items()
            if key not in valid or value != valid[key]
        ]
        on = "" if self.shape is None else f" on {self.shape}"
        return f"{self.layer}({', '.join(texts)}){on}"


def wrong(
    layer: str, message: str, /, error: type[Exception] = ValueError, taken: str = "", **given: Any
) -> Refused:
    """The layer with the arguments `given` and valid other ones."""
    start = message if ": " in message else rf"{layer}(?: '\w+')?: {message}"
    return Refused(layer, REQUIRED.get(layer, {}) | given, error, start, taken)


# Why Keras takes what is refused here.
ANY_NUMBER = "takes any number"
CAST = "casts it, or has a default for it"
DEPENDS = "depends on the backend"
DOCUMENTED = "documents that it does not, but does"
NO_GRADIENT = "finds the gradient of any function"
NOT_HERE = "has it, fastconv does not"

CONVOLUTIONS = ("Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D")
POOLINGS = ("AveragePooling2D", "MaxPooling2D")
IMAGE_LAYERS = (
    *CONVOLUTIONS,
    *POOLINGS,
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "UpSampling2D",
    "ZeroPadding2D",
)


def wrong_pairs(layer: str, argument: str) -> list[Refused]:
    """What no kernel size, strides, dilation rate, pool size or size of an upsampling may be."""
    many = f"{argument} must have one or two values"
    return [
        wrong(layer, f"{argument} must be positive", **{argument: 0}),
        wrong(layer, f"{argument} must be positive", **{argument: -1}),
        wrong(layer, f"{argument} must be positive", **{argument: (2, 0)}),
        wrong(layer, f"{argument} must be positive", **{argument: (-2, 1)}),
        wrong(layer, many, **{argument: (2,)}),
        wrong(layer, many, **{argument: (1, 2, 3)}),
        wrong(layer, f"{argument} must be an integer", TypeError, **{argument: "3"}),
        wrong(layer, f"{argument} must be an integer", TypeError, **{argument: 2.5}),
        wrong(layer, f"{argument} must be an integer", TypeError, **{argument: ("a", 1)}),
        wrong(layer, f"{argument} must be an integer", TypeError, DEPENDS, **{argument: (2.5, 1)}),
    ]


def wrong_count(layer: str, argument: str) -> list[Refused]:
    """What no number of filters, units, groups or a depth multiplier may be."""
    return [
        wrong(layer, f"{argument} must be positive", **{argument: 0}),
        wrong(layer, f"{argument} must be positive", **{argument: -1}),
        wrong(layer, f"{argument} must be an integer", TypeError, **{argument: 1.5}),
        wrong(layer, f"{argument} must be an integer", TypeError, **{argument: "ten"}),
    ]


BOTH = "strides and dilation_rate must not both be above 1"

ARGUMENTS: list[Refused] = [
    # Every layer.
    wrong("Dense", "weight_decay is not an argument", TypeError, weight_decay=0.1),
    wrong("MaxPooling2D", "activation is not an argument", TypeError, activation="relu"),
    wrong("Dense", "name is not valid", name="a/b"),
    wrong("Dense", "name is not valid", name=5),
    wrong("Dense", "trainable must be a bool", TypeError, trainable="yes"),
    wrong("Dense", "input_shape must be a tuple of sizes", input_shape=5),
    wrong("Dense", "input_shape must be positive", input_shape=(8, -1)),
    wrong("Dense", "dtype is not known", dtype="float31"),
    wrong("Dense", "dtype is not known", taken=NOT_HERE, dtype="float16"),
    wrong(
        "Dense", "activity_regularizer is not supported", taken=NOT_HERE, activity_regularizer="l2"
    ),
    wrong(
        "Conv2D", "kernel_constraint is not supported", taken=NOT_HERE, kernel_constraint="non_neg"
    ),
    wrong("Conv2D", "lora_rank is not an argument", TypeError, taken=NOT_HERE, lora_rank=2),
    wrong("Conv2D", "activations.get: identifier is not known", activation="swoosh"),
    wrong("Conv2D", "activations.get: identifier is not known", activation=5),
    wrong(
        "Conv2D",
        "activations.get: identifier is not known",
        taken=NO_GRADIENT,
        activation=lambda x: x,
    ),
    wrong("Conv2D", "initializers.get: identifier is not known", kernel_initializer="magic"),
    wrong("Conv2D", "initializers.get: identifier is not known", bias_initializer=5),
    wrong("Conv2D", "initializers.get: identifier is not known", taken=CAST, bias_initializer=None),
    wrong("Conv2D", "regularizers.get: identifier is not known", kernel_regularizer="l3"),
    wrong(
        "Dense",
        "regularizers.get: identifier is not known",
        taken=NO_GRADIENT,
        bias_regularizer=abs,
    ),
    *[
        wrong(layer, "data_format is not known", data_format="NCHW")
        for layer in (*IMAGE_LAYERS, "Flatten")
    ],
    # Convolutions.
    *[
        row
        for layer in CONVOLUTIONS
        for argument in ("kernel_size", "strides", "dilation_rate")
        for row in wrong_pairs(layer, argument)
    ],
    *[wrong(layer, "padding is not known", padding="full") for layer in CONVOLUTIONS],
    *[wrong(layer, "padding is not known", padding="causal") for layer in CONVOLUTIONS],
    *[wrong(layer, "padding must be a str", TypeError, padding=1) for layer in CONVOLUTIONS],
    wrong("Conv2D", BOTH, strides=2, dilation_rate=2),
    wrong("Conv2D", BOTH, strides=(1, 2), dilation_rate=(2, 1)),
    wrong("Conv2DTranspose", BOTH, strides=2, dilation_rate=2),
    wrong("DepthwiseConv2D", BOTH, taken=DOCUMENTED, strides=2, dilation_rate=2),
    wrong("SeparableConv2D", BOTH, taken=DOCUMENTED, strides=2, dilation_rate=2),
    *wrong_count("Conv2D", "filters"),
    *wrong_count("Conv2DTranspose", "filters"),
    *wrong_count("SeparableConv2D", "filters"),
    wrong("Conv2D", "filters must be an integer", TypeError, CAST, filters=True),
    *wrong_count("Conv2D", "groups"),
    wrong("Conv2D", "filters must be a multiple of groups", filters=3, groups=2),
    *wrong_count("DepthwiseConv2D", "depth_multiplier"),
    *wrong_count("SeparableConv2D", "depth_multiplier"),
    wrong("Conv2DTranspose", "output_padding must be below strides", strides=2, output_padding=2),
    wrong(
        "Conv2DTranspose", "output_padding must be below strides", strides=(3, 1), output_padding=1
    ),
    wrong("Conv2DTranspose", "output_padding must not be negative", output_padding=-1),
    wrong("Conv2DTranspose", "output_padding must have one or two", output_padding=(0, 0, 0)),
    # Dense.
    *wrong_count("Dense", "units"),
    wrong("Dense", "units must be an integer", TypeError, CAST, units=True),
    # Poolings.
    *[row for layer in POOLINGS for row in wrong_pairs(layer, "pool_size")],
    *[row for layer in POOLINGS for row in wrong_pairs(layer, "strides")],
    *[wrong(layer, "padding is not known", padding="full") for layer in POOLINGS],
    *[wrong(layer, "padding must be a str", TypeError, padding=1) for layer in POOLINGS],
    # Layers that change the shape.
    wrong("ZeroPadding2D", "padding must not be negative", padding=-1),
    wrong("ZeroPadding2D", "padding must not be negative", padding=((1, 1), (1, -1))),
    wrong("ZeroPadding2D", "padding must have two values", padding=(1, 2, 3)),
    wrong("ZeroPadding2D", "padding must have two values a side", padding=((1, 2, 3), (1, 1))),
    wrong("ZeroPadding2D", "padding must be numbers", TypeError, padding="same"),
    wrong("ZeroPadding2D", "padding must be an integer", TypeError, padding=0.5),
    *wrong_pairs("UpSampling2D", "size"),
    wrong("UpSampling2D", "interpolation is not known", interpolation="cubic"),
    wrong("UpSampling2D", "interpolation is not known", taken=NOT_HERE, interpolation="bicubic"),
    wrong("Reshape", "target_shape has more than one size to infer", target_shape=(-1, -1)),
    wrong("Reshape", "target_shape must be positive", target_shape=(-2, 64)),
    wrong("Reshape", "target_shape must be positive", target_shape=(0, 64)),
    wrong("Reshape", "target_shape must be a tuple", TypeError, target_shape=128),
    wrong("Reshape", "target_shape must be an integer", TypeError, CAST, target_shape=(1.5, 8)),
    # Layers of several inputs.
    wrong("Concatenate", "axis must be an integer", TypeError, axis="last"),
    wrong("Concatenate", "axis must be an integer", TypeError, axis=(1, 2)),
    # Activations.
    wrong("Activation", "activations.get: identifier is not known", activation="swoosh"),
    wrong("ReLU", "max_value must not be negative", max_value=-1),
    wrong("ReLU", "negative_slope must not be negative", negative_slope=-1),
    wrong("ReLU", "negative_slope must be a number", TypeError, negative_slope=None),
    wrong("ReLU", "threshold must not be negative", threshold=-1),
    wrong("ReLU", "threshold must be a number", TypeError, threshold=None),
    wrong("ReLU", "threshold must be a number", TypeError, threshold="0"),
    wrong("LeakyReLU", "negative_slope must not be negative", negative_slope=-1),
    wrong("LeakyReLU", "negative_slope must be a number", TypeError, negative_slope=None),
    wrong(
        "LeakyReLU", "negative_slope must not be negative", taken=CAST, negative_slope=float("nan")
    ),
    wrong("LeakyReLU", "alpha is not an argument", TypeError, taken=CAST, alpha=0.1),
    wrong("Softmax", "axis must be an integer", TypeError, axis="last"),
    wrong("Softmax", "axis must be an integer", TypeError, taken=NOT_HERE, axis=(1, 2)),
    # Dropout, normalisation, rescaling.
    wrong("Dropout", "rate is out of range", rate=-0.1),
    wrong("Dropout", "rate is out of range", rate=1.5),
    wrong("Dropout", "rate is out of range", rate=float("nan")),
    wrong("Dropout", "rate must be a number", TypeError, rate="a"),
    wrong("Dropout", "rate must be a number", TypeError, rate=None),
    wrong("Dropout", "seed must be an integer", TypeError, seed="a"),
    wrong("Dropout", "noise_shape is not supported", noise_shape="a"),
    wrong("Dropout", "noise_shape is not supported", noise_shape=(0, 1)),
    wrong("Dropout", "noise_shape is not supported", taken=NOT_HERE, noise_shape=(None, 1, 1, 2)),
    wrong("BatchNormalization", "axis must be an integer", TypeError, axis="last"),
    wrong("BatchNormalization", "axis must be an integer", TypeError, axis=[1, 2]),
    wrong("BatchNormalization", "axis must be an integer", TypeError, CAST, axis=1.5),
    wrong("BatchNormalization", "momentum must be a number", TypeError, momentum="a"),
    wrong("BatchNormalization", "momentum is out of range", taken=ANY_NUMBER, momentum=1.5),
    wrong("BatchNormalization", "epsilon must be a number", TypeError, epsilon=None),
    wrong("BatchNormalization", "epsilon must be positive", taken=ANY_NUMBER, epsilon=0),
    wrong("BatchNormalization", "synchronized is not supported", taken=DEPENDS, synchronized=True),
    wrong("BatchNormalization", "renorm is not supported", renorm=True, renorm_clipping={"min": 1}),
    wrong("BatchNormalization", "renorm is not supported", taken=NOT_HERE, renorm=True),
    wrong("Rescaling", "scale must be numbers", TypeError, scale="a"),
    wrong("Rescaling", "offset must be numbers", TypeError, offset=None),
    # Inputs.
    wrong("InputLayer", "shape must be a tuple of sizes", shape=5),
    wrong("InputLayer", "shape must be a tuple of sizes", shape=None),
    wrong("InputLayer", "shape must be an integer", TypeError, shape=(2.5, 1)),
    wrong("InputLayer", "shape must be an integer", TypeError, shape=("a", 1)),
    wrong("InputLayer", "shape must be positive", shape=(-1, 1)),
    wrong("InputLayer", "shape must be positive", taken=ANY_NUMBER, shape=(0, 1)),
    wrong("InputLayer", "batch_size must be positive", batch_size=-1),
    wrong("InputLayer", "batch_size must be positive", taken=ANY_NUMBER, batch_size=0),
    wrong("InputLayer", "batch_size must be an integer", TypeError, batch_size="a"),
    wrong("InputLayer", "dtype is not known", dtype="float31"),
    wrong("InputLayer", "dtype is not known", taken=NOT_HERE, dtype="uint8"),
]

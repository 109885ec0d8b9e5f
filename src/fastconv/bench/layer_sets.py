"""Named sets of layers for `fastconv bench ops --set NAME`. A new set is one more table.

The layers of large networks are those of the papers' tables, for images of 224x224 (AlexNet:
227x227, which its 55x55 outputs need); layers of equal shape stand once, with their number as
`count`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fastconv.bench.workloads import CONVS, DENSES, Conv, Dense, Layer, Pool, Pooling

__all__ = ["LAYER_SETS", "LayerSet", "find_layer", "set_of_layer"]


class LayerSet(NamedTuple):
    """Layers that are measured together; no layer is in two sets.

    Attributes:
        layers: each `count` times they are a network, or some small ones.
        batch: images, beside one image, if nothing else is asked for.
        fused: whether convolutions with their poolings are measured without being asked for.
    """

    description: str
    layers: tuple[Layer, ...]
    batch: int
    fused: bool = False


def with_poolings(layers: Iterable[Layer]) -> Iterable[Layer]:
    """The layers, and behind each convolution the pooling that follows it."""
    for layer in layers:
        yield layer
        if isinstance(layer, Conv) and layer.pool is not None:
            yield Pooling(
                f"{layer.name}-pool",
                layer.out_height,
                layer.out_width,
                layer.out_channels,
                *layer.pool,
            )


# The networks of `fastconv.networks` for images of 28x28x1; two of them have equal poolings.
MNIST: tuple[Layer, ...] = (
    *(conv for conv in CONVS if not conv.name.startswith("cifar")),
    Conv("fashion-conv1", 28, 28, 1, 64),
    Conv("thin-conv1", 28, 28, 1, 16),
    Conv("thin-conv2", 26, 26, 16, 32),
    Pooling("mnist-pool1", 26, 26, 32, 2, 2),
    Pooling("mnist-pool2", 11, 11, 64, 2, 2),
    Pooling("fashion-pool1", 26, 26, 64, 2, 2),
    Pooling("thin-pool", 24, 24, 32, 2, 2),
    *DENSES,
    Dense("thin-hidden", 4608, 128),
    Dense("fashion-output", 128, 10),
)

# Network m4 of `fastconv.networks`.
CIFAR: tuple[Layer, ...] = (
    *(conv for conv in CONVS if conv.name.startswith("cifar")),
    Conv("cifar-conv2", 15, 15, 32, 32, pool=Pool(2, 2)),
    Conv("cifar-conv3", 6, 6, 32, 32),
    Dense("cifar-hidden", 512, 32),
    Dense("cifar-output", 32, 10),
)


# Simonyan and Zisserman, "Very deep convolutional networks", arXiv 1409.1556, table 1, column D.
VGG16 = (
    Conv("vgg16-conv1_1", 224, 224, 3, 64, padding=1),
    Conv("vgg16-conv1_2", 224, 224, 64, 64, padding=1, pool=Pool(2, 2)),
    Conv("vgg16-conv2_1", 112, 112, 64, 128, padding=1),
    Conv("vgg16-conv2_2", 112, 112, 128, 128, padding=1, pool=Pool(2, 2)),
    Conv("vgg16-conv3_1", 56, 56, 128, 256, padding=1),
    Conv("vgg16-conv3_x", 56, 56, 256, 256, padding=1, pool=Pool(2, 2), count=2),
    Conv("vgg16-conv4_1", 28, 28, 256, 512, padding=1),
    Conv("vgg16-conv4_x", 28, 28, 512, 512, padding=1, pool=Pool(2, 2), count=2),
    Conv("vgg16-conv5_x", 14, 14, 512, 512, padding=1, pool=Pool(2, 2), count=3),
    Dense("vgg16-fc6", 25088, 4096),
    Dense("vgg16-fc7", 4096, 4096),
    Dense("vgg16-fc8", 4096, 1000),
)

# Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
# networks", 2012, section 3.5. Only the last of its poolings follows a convolution directly;
# between the others and theirs is a normalisation.
ALEXNET = (
    Conv("alexnet-conv1", 227, 227, 3, 96, kernel_size=11, strides=4),
    Pooling("alexnet-pool1", 55, 55, 96, 3, 2),
    Conv("alexnet-conv2", 27, 27, 96, 256, kernel_size=5, padding=2, groups=2),
    Pooling("alexnet-pool2", 27, 27, 256, 3, 2),
    Conv("alexnet-conv3", 13, 13, 256, 384, padding=1),
    Conv("alexnet-conv4", 13, 13, 384, 384, padding=1, groups=2),
    Conv("alexnet-conv5", 13, 13, 384, 256, padding=1, groups=2, pool=Pool(3, 2)),
    Dense("alexnet-fc6", 9216, 4096),
    Dense("alexnet-fc7", 4096, 4096),
    Dense("alexnet-fc8", 4096, 1000),
)


def resnet50() -> Iterable[Layer]:
    """He et al., "Deep residual learning", arXiv 1512.03385, table 1.

    Stages of bottlenecks 1x1, 3x3, 1x1. The first bottleneck of a stage has the strides, in its
    first layer and in the 1x1 convolution beside it; the second stage has none of them.
    """
    yield Conv("resnet50-conv1", 224, 224, 3, 64, kernel_size=7, strides=2, padding=3)
    yield Pooling("resnet50-pool1", 112, 112, 64, 3, 2, padding=1)
    # Stage, size of its images, channels inside and of its input, bottlenecks.
    table = ((2, 56, 64, 64, 3), (3, 28, 128, 256, 4), (4, 14, 256, 512, 6), (5, 7, 512, 1024, 3))
    for stage, size, inner, channels, blocks in table:
        name, outer = f"resnet50-conv{stage}", 4 * inner
        strides = 1 if stage == 2 else 2
        before = size * strides
        yield Conv(f"{name}-first", before, before, channels, inner, 1, strides)
        yield Conv(f"{name}-3x3", size, size, inner, inner, padding=1, count=blocks)
        # In the second stage the convolution beside the first bottleneck has the shape of these.
        yield Conv(f"{name}-out", size, size, inner, outer, 1, count=blocks + (stage == 2))
        if stage > 2:
            yield Conv(f"{name}-beside", before, before, channels, outer, 1, strides)
        yield Conv(f"{name}-in", size, size, outer, inner, 1, count=blocks - 1)
    yield Pooling("resnet50-pool5", 7, 7, 2048, 7, 7, kind="average")
    yield Dense("resnet50-output", 2048, 1000)


def mobilenet_v1() -> Iterable[Layer]:
    """Howard et al., "MobileNets", arXiv 1704.04861, table 1."""
    yield Conv("mobilenet-conv1", 224, 224, 3, 32, strides=2, padding=1)
    # Size and channels of the input, strides of the depthwise part, channels of the output, number.
    table = (
        (112, 32, 1, 64, 1),
        (112, 64, 2, 128, 1),
        (56, 128, 1, 128, 1),
        (56, 128, 2, 256, 1),
        (28, 256, 1, 256, 1),
        (28, 256, 2, 512, 1),
        (14, 512, 1, 512, 5),
        (14, 512, 2, 1024, 1),
        # The table gives this one stride 2, but 7x7 in and out.
        (7, 1024, 1, 1024, 1),
    )
    for size, channels, strides, filters, count in table:
        name = f"mobilenet-{size}x{size}x{channels}-s{strides}"
        yield Conv(
            f"{name}-depthwise",
            size,
            size,
            channels,
            channels,
            strides=strides,
            padding=1,
            groups=channels,
            count=count,
        )
        out = size // strides
        yield Conv(f"{name}-pointwise", out, out, channels, filters, 1, count=count)
    yield Pooling("mobilenet-pool", 7, 7, 1024, 7, 7, kind="average")
    yield Dense("mobilenet-output", 1024, 1000)


LAYER_SETS = {
    "mnist": LayerSet("the small networks for MNIST and Fashion-MNIST", MNIST, 128, fused=True),
    "cifar": LayerSet(
        "the small network for CIFAR-10", tuple(with_poolings(CIFAR)), 128, fused=True
    ),
    "resnet50": LayerSet("ResNet-50", tuple(resnet50()), 8),
    "vgg16": LayerSet("VGG-16", tuple(with_poolings(VGG16)), 8),
    "mobilenet-v1": LayerSet("MobileNet-V1", tuple(mobilenet_v1()), 8),
    "alexnet": LayerSet("AlexNet", tuple(with_poolings(ALEXNET)), 32),
}

_FOUND = {layer.name: (name, layer) for name, some in LAYER_SETS.items() for layer in some.layers}


def find_layer(name: str) -> Layer:
    """The layer of this name, of any set.

    Raises:
        KeyError: there is none.
    """
    return _FOUND[name][1]


def set_of_layer(name: str) -> str:
    """The name of the set that has the layer of this name.

    Raises:
        KeyError: there is none.
    """
    return _FOUND[name][0]

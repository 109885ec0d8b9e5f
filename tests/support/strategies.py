"""Hypothesis strategies for shapes."""

from __future__ import annotations

from hypothesis import strategies as st

from support.cases import ConvCase, PoolCase

_sizes = st.integers(1, 4)
_pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
_sides = st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2)
_channels = st.one_of(st.integers(1, 9), st.integers(10, 70))


@st.composite
def convolutions(draw: st.DrawFn) -> ConvCase:
    """A convolution in which at least one window fits; channel counts across all tails."""
    kernel = draw(_sizes), draw(_sizes)
    strides, dilation = draw(_pairs), draw(_pairs)
    padding = draw(st.one_of(st.just("same"), st.just("valid"), _sides))
    around = padding if not isinstance(padding, str) else ((0, 0), (0, 0))
    height, width = (
        draw(st.integers(1, 12))
        if padding == "same"
        else max(1, dilation[axis] * (kernel[axis] - 1) + 1 - sum(around[axis]))
        + draw(st.integers(0, 7))
        for axis in (0, 1)
    )
    groups = draw(st.sampled_from((1, 1, 1, 2, 3, 5)))
    inputs, outputs = draw(_channels), draw(_channels)
    if draw(st.booleans()):
        groups, inputs, outputs = draw(_channels), 1, draw(st.integers(1, 2))
    return ConvCase(
        "drawn",
        (draw(st.integers(0, 3)), height, width, groups * inputs),
        (*kernel, inputs, groups * outputs),
        strides,
        padding,
        dilation,
        groups,
    )


@st.composite
def poolings(draw: st.DrawFn) -> PoolCase:
    """A pooling in which each window holds a cell of the image."""
    size, strides = (draw(_sizes), draw(_sizes)), draw(_pairs)
    dilation = draw(st.sampled_from(((1, 1), (1, 1), (2, 1), (2, 3))))
    explicit = tuple(
        (draw(st.integers(0, side - 1)), draw(st.integers(0, side - 1))) for side in size
    )
    padding = draw(st.sampled_from(("valid", "same", explicit)))
    # As long as the window: then no dilated window can step over the image.
    height, width = (
        dilation[axis] * (size[axis] - 1) + 1 + draw(st.integers(0, 7)) for axis in (0, 1)
    )
    return PoolCase(
        "drawn",
        (draw(st.integers(0, 3)), height, width, draw(_channels)),
        size,
        strides,
        padding,
        dilation,
        draw(st.booleans()),
    )

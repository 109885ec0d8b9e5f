"""Test data with the results of the reference, computed once per case."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from fastconv import reference
from fastconv.reference import Conv2DGradients
from support.arrays import (
    Array,
    assert_exact_in_float32,
    assert_mostly_nonzero,
    integers,
    reals,
)
from support.cases import ConvCase, PoolCase


@dataclass(frozen=True)
class ConvolutionData:
    """Arrays in float64, channels_last; every value is a whole number that float32 holds."""

    x: Array
    kernel: Array
    bias: Array
    y: Array
    y_with_bias_and_relu: Array
    grad: Array
    dx: Array
    dkernel: Array
    dbias: Array


@cache
def convolution_data(case: ConvCase) -> ConvolutionData:
    """Inputs, results and gradients of a convolution."""
    x, kernel, bias = integers(0, *case.x), integers(1, *case.kernel), integers(2, case.kernel[3])
    y = reference.conv2d(x, kernel, **case.options)
    relu = reference.conv2d(x, kernel, bias, activation="relu", **case.options)
    grad = integers(3, *y.shape)
    gradients = reference.conv2d_gradients(x, kernel, grad, **case.options)
    for terms in (case.terms, case.terms // case.kernel[2] * case.kernel[3], y[..., 0].size):
        assert_exact_in_float32(terms)
    for expected in (relu, *gradients):
        if case.x[0]:
            assert_mostly_nonzero(expected)
    return ConvolutionData(x, kernel, bias, y, relu, grad, *gradients)


@dataclass(frozen=True)
class RealData:
    """Arrays in float64, channels_last, and the magnitudes that the error bounds need."""

    x: Array
    kernel: Array
    bias: Array
    grad: Array
    y: Array
    y_magnitude: Array
    gradients: Conv2DGradients
    gradient_magnitudes: Conv2DGradients


@cache
def real_data(case: ConvCase) -> RealData:
    """Inputs, results and gradients of a convolution of real numbers."""
    x, kernel, bias = reals(0, *case.x), reals(1, *case.kernel), reals(2, case.kernel[3])
    y = reference.conv2d(x, kernel, bias, **case.options)
    grad = reals(3, *y.shape)
    magnitude = reference.conv2d(abs(x), abs(kernel), abs(bias), **case.options)
    return RealData(
        x,
        kernel,
        bias,
        grad,
        y,
        magnitude,
        reference.conv2d_gradients(x, kernel, grad, **case.options),
        reference.conv2d_gradients(abs(x), abs(kernel), abs(grad), **case.options),
    )


@dataclass(frozen=True)
class PoolingData:
    """Arrays in float64 and codes in int64, channels_last."""

    x: Array
    maxima: Array
    argmax: Array
    grad: Array
    max_dx: Array


@cache
def pooling_data(case: PoolCase) -> PoolingData:
    """Inputs, maxima with many ties, codes, and the gradient."""
    x = integers(0, *case.x)
    maxima, argmax = reference.max_pool2d(x, return_argmax=True, **case.options)
    grad = integers(1, *maxima.shape)
    return PoolingData(
        x, maxima, argmax, grad, reference.max_pool2d_gradient(grad, argmax, x.shape)
    )


@dataclass(frozen=True)
class FusedData:
    """Arrays in float64 and codes in int64, channels_last."""

    x: Array
    kernel: Array
    bias: Array
    y: Array
    argmax: Array
    grad: Array
    dx: Array
    dkernel: Array
    dbias: Array


@cache
def fused_data(
    case: ConvCase, activation: str | None, pool: tuple[tuple[str, Any], ...]
) -> FusedData:
    """Inputs, results and gradients of a convolution with activation and pooling."""
    x, kernel, bias = integers(0, *case.x), integers(1, *case.kernel), integers(2, case.kernel[3])
    options: dict[str, Any] = {"activation": activation, **case.options, **dict(pool)}
    y, argmax = reference.conv2d_max_pool2d(x, kernel, bias, return_argmax=True, **options)
    grad = integers(3, *y.shape)
    gradients = reference.conv2d_max_pool2d_gradients(x, kernel, grad, argmax, y, **options)
    # With overlapping windows a cell may collect as many values as a window has cells.
    overlap = int(np.prod(options["pool_size"])) if options["pool_strides"] is not None else 1
    for terms in (case.terms, case.terms // case.kernel[2] * case.kernel[3], y[..., 0].size):
        assert_exact_in_float32(terms * overlap)
    if case.x[0]:
        assert_mostly_nonzero(y)
        assert_mostly_nonzero(gradients.kernel)
    return FusedData(x, kernel, bias, y, argmax, grad, *gradients)

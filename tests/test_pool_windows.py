"""Which poolings are legal, by the definition: every window holds a cell of the image."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import _core, ops
from fastconv._pool_windows import _floor_sum, pool_windows


def test_floor_sum() -> None:
    random = np.random.default_rng(0)
    for count, divisor, step, start in random.integers(0, 40, (2000, 4)).tolist():
        expected = sum((step * i + start) // (divisor + 1) for i in range(count))
        assert _floor_sum(count, divisor + 1, step, start) == expected


def test_windows_without_a_cell() -> None:
    random = np.random.default_rng(1)
    legal, illegal = 0, 0
    for _ in range(4000):
        length, size, dilation, stride = (int(random.integers(1, top)) for top in (6, 5, 9, 7))
        extent = dilation * (size - 1) + 1
        before, after = (int(side) for side in random.integers(0, extent + 2, 2))
        if length + before + after < extent:
            continue
        windows = (length + before + after - extent) // stride + 1
        holds_a_cell = all(
            any(0 <= o * stride - before + tap * dilation < length for tap in range(size))
            for o in range(windows)
        )
        x = np.zeros((1, length, 1, 1), np.float32)
        padding = ((before, after), (0, 0))
        geometry = (size, 1, stride, 1, dilation, 1, before, after, 0, 0)
        y = np.zeros((1, windows, 1, 1), np.float32)
        if holds_a_cell:
            legal += 1
            found = ops.max_pool2d(
                x, (size, 1), strides=(stride, 1), padding=padding, dilation_rate=(dilation, 1)
            )
            assert found.shape == y.shape
            _core.max_pool2d(x, y, None, geometry, 1)
        else:
            illegal += 1
            with pytest.raises(ValueError, match="padding leaves a window without a cell"):
                pool_windows(
                    "pool",
                    (length, 1),
                    (size, 1),
                    strides=(stride, 1),
                    padding=padding,
                    dilation_rate=(dilation, 1),
                )
            with pytest.raises(ValueError, match="padding leaves a pooling window without"):
                _core.max_pool2d(x, y, None, geometry, 1)
    assert min(legal, illegal) > 500


def test_many_windows_are_counted_at_once() -> None:
    x = np.zeros((1, 1, 1, 1), np.float32)
    with pytest.raises(ValueError, match="padding leaves a window without a cell"):
        ops.max_pool2d(x, 2, strides=1, padding=2**31 - 2, dilation_rate=2**31 - 1)

"""Tables of shapes: the layers of the seeds' models, and shapes that break kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ConvCase:
    """One convolution: `x` (N, H, W, C), `kernel` (kh, kw, C / groups, filters)."""

    name: str
    x: tuple[int, int, int, int]
    kernel: tuple[int, int, int, int]
    strides: int | tuple[int, int] = 1
    padding: str | int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]] = "valid"
    dilation_rate: int | tuple[int, int] = 1
    groups: int = 1

    @property
    def options(self) -> dict[str, Any]:
        return {
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
        }

    @property
    def terms(self) -> int:
        """Products in one sum of the forward pass."""
        return self.kernel[0] * self.kernel[1] * self.kernel[2]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class PoolCase:
    """One pooling of `x` (N, H, W, C)."""

    name: str
    x: tuple[int, int, int, int]
    pool_size: int | tuple[int, int] = 2
    strides: int | tuple[int, int] | None = None
    padding: str | int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]] = "valid"
    dilation_rate: int | tuple[int, int] = 1
    ceil_mode: bool = False

    @property
    def options(self) -> dict[str, Any]:
        return {
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation_rate,
            "ceil_mode": self.ceil_mode,
        }

    @property
    def average_options(self) -> dict[str, Any]:
        return {
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
        }

    @property
    def has_average(self) -> bool:
        """Average pooling has neither dilation nor ceil_mode."""
        return self.dilation_rate == 1 and not self.ceil_mode

    def __str__(self) -> str:
        return self.name


SEED_CONVOLUTIONS = (
    ConvCase("lecture", (1, 7, 9, 3), (3, 3, 3, 1)),
    ConvCase("m1_first", (3, 28, 28, 1), (3, 3, 1, 32)),
    ConvCase("m1_second", (3, 13, 13, 32), (3, 3, 32, 64)),
    ConvCase("m3_first", (2, 28, 28, 1), (3, 3, 1, 64)),
    ConvCase("m3_second", (2, 13, 13, 64), (3, 3, 64, 64)),
    ConvCase("m4_first", (2, 32, 32, 3), (3, 3, 3, 32)),
    ConvCase("m4_second", (2, 15, 15, 32), (3, 3, 32, 32)),
    ConvCase("m4_third", (2, 6, 6, 32), (3, 3, 32, 32)),
    ConvCase("m5_first", (2, 28, 28, 1), (3, 3, 1, 16)),
    ConvCase("m5_second", (1, 26, 26, 16), (3, 3, 16, 32)),
    ConvCase("m7", (1, 32, 32, 3), (3, 3, 3, 100)),
    ConvCase("m8_5x5", (2, 28, 28, 1), (5, 5, 1, 1)),
)

TRICKY_CONVOLUTIONS = (
    ConvCase("1x1_image", (2, 1, 1, 5), (1, 1, 5, 7)),
    ConvCase("1x1_image_same", (2, 1, 1, 5), (3, 3, 5, 7), padding="same"),
    ConvCase("1x1_image_many", (1, 1, 1, 130), (1, 1, 130, 70)),
    ConvCase("1x1_kernel", (2, 5, 7, 19), (1, 1, 19, 33)),
    ConvCase("1x1_stride_2_few_channels", (2, 7, 7, 3), (1, 1, 3, 5), strides=2),
    ConvCase("kernel_is_image", (3, 5, 4, 6), (5, 4, 6, 9)),
    ConvCase("row_kernel", (2, 4, 11, 3), (1, 5, 3, 4)),
    ConvCase("column_kernel", (2, 11, 4, 3), (5, 1, 3, 4)),
    ConvCase("wide_image", (1, 3, 70, 2), (3, 3, 2, 8)),
    ConvCase("tall_image", (1, 70, 3, 2), (3, 3, 2, 8)),
    ConvCase("one_channel_each", (2, 6, 6, 1), (3, 3, 1, 1), padding="same"),
    ConvCase("7x7_stride_2_pad_3", (1, 17, 17, 3), (7, 7, 3, 16), strides=2, padding=3),
    ConvCase("3_channels_in_bands", (1, 40, 200, 3), (7, 7, 3, 17), strides=2, padding=3),
    ConvCase("3_channels_in_slices", (1, 67, 131, 3), (3, 3, 3, 17), strides=2, padding=1),
    ConvCase("taps_that_miss_a_slice", (1, 12, 180, 1), (9, 3, 1, 16), padding=(4, 0)),
    ConvCase("1_channel_to_65", (2, 11, 12, 1), (4, 5, 1, 65), padding=((1, 3), (2, 0))),
    ConvCase(
        "2_channels_dilated",
        (2, 19, 23, 2),
        (3, 3, 2, 33),
        strides=(2, 3),
        dilation_rate=(3, 2),
        padding=((1, 2), (0, 4)),
    ),
    ConvCase("even_kernel_same", (2, 6, 7, 3), (2, 4, 3, 5), padding="same"),
    ConvCase("same_stride_2", (2, 8, 7, 3), (3, 3, 3, 5), strides=2, padding="same"),
    ConvCase("same_stride_above_kernel", (2, 10, 11, 3), (2, 2, 3, 5), strides=3, padding="same"),
    ConvCase("stride_above_kernel", (2, 10, 11, 3), (2, 1, 3, 5), strides=(3, 4)),
    ConvCase("stride_above_image", (2, 3, 3, 3), (2, 2, 3, 5), strides=9),
    ConvCase("strides_2_3", (2, 9, 11, 4), (3, 3, 4, 6), strides=(2, 3)),
    ConvCase("rows_left_over", (2, 10, 10, 4), (3, 3, 4, 6), strides=4),
    ConvCase("dilation_2_3", (2, 9, 12, 4), (3, 3, 4, 6), dilation_rate=(2, 3)),
    ConvCase("dilation_same", (2, 6, 5, 4), (3, 2, 4, 6), dilation_rate=2, padding="same"),
    ConvCase("dilation_above_image", (2, 3, 3, 4), (3, 3, 4, 6), dilation_rate=4, padding=7),
    ConvCase(
        "stride_and_dilation",
        (2, 11, 12, 4),
        (3, 3, 4, 6),
        strides=(3, 2),
        dilation_rate=(2, 3),
        padding=2,
    ),
    ConvCase("pad_asymmetric", (2, 5, 6, 4), (3, 3, 4, 6), padding=((0, 2), (3, 1))),
    ConvCase("pad_vertical", (2, 5, 6, 4), (3, 3, 4, 6), padding=(2, 0)),
    ConvCase("pad_above_kernel", (2, 3, 3, 4), (2, 2, 4, 6), padding=4),
    ConvCase("pad_and_stride", (2, 6, 5, 4), (3, 3, 4, 6), strides=2, padding=((1, 0), (0, 2))),
    ConvCase("groups_2", (2, 6, 6, 6), (3, 3, 3, 10), groups=2),
    ConvCase("groups_3_tails", (2, 6, 6, 51), (3, 3, 17, 57), groups=3, padding="same"),
    ConvCase("groups_one_filter_each", (2, 6, 6, 8), (3, 3, 2, 4), groups=4, strides=2),
    ConvCase("depthwise", (2, 7, 7, 19), (3, 3, 1, 19), groups=19),
    ConvCase(
        "depthwise_same_stride_2", (2, 8, 7, 33), (3, 3, 1, 33), groups=33, strides=2, padding=1
    ),
    ConvCase("depthwise_times_3", (2, 6, 5, 5), (3, 2, 1, 15), groups=5),
    ConvCase("depthwise_dilated", (1, 9, 9, 16), (3, 3, 1, 16), groups=16, dilation_rate=2),
    ConvCase("deep", (1, 6, 5, 350), (3, 3, 350, 70), padding="same"),
    ConvCase("many_filters", (1, 6, 5, 70), (3, 3, 70, 350), padding="same"),
    ConvCase("deep_groups", (1, 5, 5, 420), (5, 5, 210, 34), padding=2, groups=2),
    # Packed kernel gradients: images cut into blocks of rows, of columns, taps that miss a block.
    ConvCase("packed_strided", (9, 7, 6, 200), (3, 3, 200, 150), strides=2, padding=1),
    ConvCase("packed_wide", (1, 2, 300, 192), (1, 9, 192, 161), padding=((1, 0), (3, 6))),
    ConvCase("packed_groups", (2, 7, 6, 396), (3, 3, 198, 258), padding=1, groups=2, strides=2),
    ConvCase("packed_dilated", (1, 5, 4, 192), (5, 2, 192, 144), dilation_rate=3, padding=6),
    ConvCase("batch_7", (7, 5, 5, 3), (3, 3, 3, 4)),
    ConvCase("empty_batch", (0, 5, 5, 3), (3, 3, 3, 4)),
    ConvCase("empty_batch_grouped", (0, 5, 5, 4), (3, 3, 2, 4), groups=2, padding="same"),
)

TAILS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 31, 32, 33, 47, 48, 49, 63, 64, 65, 67)
"""Channel counts around the multiples of every vector width."""

TAIL_CONVOLUTIONS = tuple(
    ConvCase(f"tail_{channels}_to_{filters}", (1, 5, 6, channels), (3, 3, channels, filters))
    for channels, filters in zip(TAILS, TAILS[::-1], strict=True)
)

CONVOLUTIONS = SEED_CONVOLUTIONS + TRICKY_CONVOLUTIONS + TAIL_CONVOLUTIONS

POOLINGS = (
    PoolCase("lecture_dropped", (1, 5, 5, 1)),
    PoolCase("lecture_kept", (1, 5, 5, 1), ceil_mode=True),
    PoolCase("m1_first", (3, 26, 26, 32)),
    PoolCase("m1_second", (3, 11, 11, 64)),
    PoolCase("m4_first", (2, 30, 30, 32)),
    PoolCase("size_3", (2, 11, 10, 7), 3),
    PoolCase("overlapping", (2, 9, 9, 5), 3, 2),
    PoolCase("overlapping_stride_1", (2, 6, 7, 5), 3, 1),
    PoolCase("gaps", (2, 9, 9, 5), 2, 3),
    PoolCase("rectangular", (2, 8, 9, 5), (3, 2), (1, 4)),
    PoolCase("whole_image", (2, 6, 5, 9), (6, 5)),
    PoolCase("whole_image_whole_vectors", (2, 5, 5, 48), 5),
    PoolCase("1x1_image", (2, 1, 1, 9), 1),
    PoolCase("same", (2, 7, 8, 5), 2, padding="same"),
    PoolCase("same_size_3", (2, 7, 8, 5), 3, 2, padding="same"),
    PoolCase("same_stride_1", (2, 5, 6, 17), 3, 1, padding="same"),
    PoolCase("same_1x1_image", (2, 1, 1, 5), 3, 1, padding="same"),
    PoolCase("pad_1", (2, 8, 7, 5), 3, 2, padding=1),
    PoolCase("pad_asymmetric", (2, 6, 7, 5), 3, 2, padding=((0, 2), (2, 1))),
    PoolCase("dilation", (2, 9, 8, 5), 2, 1, dilation_rate=(2, 3)),
    PoolCase("dilation_same", (2, 9, 8, 5), 3, 2, padding="same", dilation_rate=2),
    PoolCase("ceil", (2, 8, 9, 5), 3, 2, ceil_mode=True),
    PoolCase("ceil_padded", (2, 8, 9, 5), 3, 2, padding=1, ceil_mode=True),
    PoolCase("ceil_small_image", (2, 1, 2, 5), 2, 2, ceil_mode=True),
    PoolCase("empty_batch", (0, 6, 6, 5)),
    *(PoolCase(f"tail_{channels}", (1, 4, 6, channels)) for channels in TAILS),
)

PARALLEL_CONVOLUTIONS = (
    ConvCase("batch_of_m1_second", (5, 13, 13, 32), (3, 3, 32, 64)),
    ConvCase("batch_of_m1_first", (33, 28, 28, 1), (3, 3, 1, 32)),
    ConvCase("3_channels_stride_2", (3, 60, 64, 3), (7, 7, 3, 48), strides=2, padding=3),
    ConvCase("one_image_of_3_channels", (1, 70, 60, 3), (3, 3, 3, 32), padding="same"),
    ConvCase("one_large_image", (1, 31, 33, 16), (3, 3, 16, 40), padding="same"),
    ConvCase("strided", (5, 17, 17, 16), (5, 5, 16, 48), strides=2, padding=2),
    ConvCase("grouped", (5, 14, 14, 32), (3, 3, 8, 64), groups=4, padding="same"),
    ConvCase("depthwise", (5, 26, 26, 33), (3, 3, 1, 33), groups=33, padding="same"),
    ConvCase("1x1", (3, 30, 30, 48), (1, 1, 48, 65)),
    ConvCase("1x1_of_many_channels", (12, 14, 14, 200), (1, 1, 200, 290)),
    ConvCase("one_image_and_many_weights", (1, 7, 7, 256), (1, 1, 256, 512)),
    ConvCase("grouped_of_many_channels", (4, 9, 9, 396), (3, 3, 198, 258), padding=1, groups=2),
)
"""Above the work (about a million multiply-adds) below which a call stays serial."""

"""The reference on the worked numbers of the seeds and other cases computed by hand."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from fastconv import ops, reference
from fastconv.reference.random import philox4x32_10

LECTURE_IMAGE = """
58 17 75  9 51 54 21 18 91   6 65 19 93 52 36 31 23 98  24 74 69 78 82 94 48 44 44
36 65 19 49 80 88 24 32 12  83 46 37 44 65 56 85 93 26   2 55 63 45 38 63 20 44 41
 5 30 79 31 82 59 23 19 60

53 99 34 78  4 86 49 69 73  24  4 68 72 75 81 17  5 15  49 89 14 91 51 58 98  8 66
63 92 73 90 48 19 72 53 52  68 80 11 34 91 24 51 10 98  40 10 66 70 61 89 48 82 65
37 27 50 20 62  3  6 82 81

38 74 31 13 20 38 39 99 82  20 27 71 99 37 20 59 74 27  49 43 67 18 47 43 26 35 60
34 55 54  4 99 49 30 59  3  96 95 70 57 16 13 62 11 43  93 42 67 89 86 59 27 91 32
 6 99 18 67 65 23 83 88 17
"""
LECTURE_FILTER = "5 4 1 2 1 2 6 9 7   7 2 5 6 1 5 9 3 6   9 8 5 6 4 3 4 3 2"
LECTURE_RESULT = [
    [5849, 7463, 6193, 7261, 6177, 6309, 6484],
    [5580, 7161, 7311, 7902, 6699, 5329, 5375],
    [6690, 7301, 6211, 6464, 7450, 5865, 6553],
    [6826, 7003, 6740, 6804, 7072, 5875, 5869],
    [6917, 6605, 6838, 6247, 6121, 5410, 6179],
]


@pytest.mark.parametrize("name", reference.__all__)
def test_signature_is_that_of_the_native_operation(name: str) -> None:
    native = inspect.signature(getattr(ops, name))
    assert inspect.signature(getattr(reference, name)) == native


def planes(text: str, height: int, width: int) -> np.ndarray:
    """Three planes written one after the other as (height, width, 3)."""
    return np.array(text.split(), np.float32).reshape(3, height, width).transpose(1, 2, 0)


@pytest.fixture
def lecture_result() -> np.ndarray:
    image = planes(LECTURE_IMAGE, 7, 9)[None]
    kernel = planes(LECTURE_FILTER, 3, 3)[..., None]
    return reference.conv2d(image, kernel)


def test_lecture_convolution_gives_the_35_numbers(lecture_result: np.ndarray) -> None:
    assert lecture_result.dtype == np.float32
    assert lecture_result[0, :, :, 0].tolist() == LECTURE_RESULT


@pytest.mark.parametrize(
    ("ceil_mode", "expected"),
    [
        (True, [[7463, 7902, 6699], [7301, 6804, 7450], [6917, 6838, 6121]]),
        (False, [[7463, 7902], [7301, 6804]]),
    ],
    ids=["partial_windows_kept", "partial_windows_dropped"],
)
def test_lecture_pooling_both_ways(
    lecture_result: np.ndarray, ceil_mode: bool, expected: list[list[int]]
) -> None:
    pooled = reference.max_pool2d(lecture_result[:, :, :5], 2, ceil_mode=ceil_mode)
    assert pooled[0, :, :, 0].tolist() == expected


def test_lecture_argmax_names_the_cells(lecture_result: np.ndarray) -> None:
    image = np.ascontiguousarray(lecture_result[:, :, :5])
    pooled, argmax = reference.max_pool2d(image, 2, ceil_mode=True, return_argmax=True)
    assert argmax.dtype == np.int64
    assert argmax[0, :, :, 0].tolist() == [[1, 8, 9], [11, 18, 14], [20, 22, 24]]
    assert (image.ravel()[argmax.ravel()] == pooled.ravel()).all()


def test_flatten_order_is_rows_from_top_to_bottom(lecture_result: np.ndarray) -> None:
    pooled = reference.max_pool2d(lecture_result[:, :, :5], 2, ceil_mode=True)
    assert pooled.reshape(1, -1).tolist() == [
        [7463, 7902, 6699, 7301, 6804, 7450, 6917, 6838, 6121]
    ]


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_strides_say_which_cells_an_output_reads(strides: int, row: int, column: int) -> None:
    image, kernel = np.zeros((1, 9, 11, 1), np.float32), np.ones((3, 3, 1, 1), np.float32)
    grad = np.zeros_like(reference.conv2d(image, kernel, strides=strides))
    grad[0, row, column, 0] = 1
    cells = reference.conv2d_gradients(image, kernel, grad, strides=strides, wrt=("x",)).x
    assert cells is not None
    expected = np.zeros_like(image)
    top, left = row * strides, column * strides
    expected[0, top : top + 3, left : left + 3, 0] = 1
    np.testing.assert_array_equal(cells, expected)


@pytest.mark.parametrize(
    ("x", "kernel", "expected"),
    [
        ((1, 28, 28, 1), (3, 3, 1, 32), (26, 26, 32)),
        ((1, 13, 13, 32), (3, 3, 32, 64), (11, 11, 64)),
        ((1, 32, 32, 3), (3, 3, 3, 32), (30, 30, 32)),
        ((1, 15, 15, 32), (3, 3, 32, 32), (13, 13, 32)),
        ((1, 6, 6, 32), (3, 3, 32, 32), (4, 4, 32)),
        ((1, 28, 28, 1), (5, 5, 1, 1), (24, 24, 1)),
    ],
)
def test_seed_layers_have_the_seed_shapes(
    x: tuple[int, ...], kernel: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert reference.conv2d(np.zeros(x), np.zeros(kernel)).shape[1:] == expected


@pytest.mark.parametrize(("size", "expected"), [(26, 13), (11, 5), (30, 15), (13, 6)])
def test_seed_poolings_round_down(size: int, expected: int) -> None:
    assert reference.max_pool2d(np.zeros((1, size, size, 2))).shape == (1, expected, expected, 2)


def test_relu_comes_after_the_dot_product_and_the_bias() -> None:
    image = np.array([1.0, 2.0]).reshape(1, 1, 2, 1)
    kernel = np.array([3.0, -3.0]).reshape(1, 1, 1, 2)
    y = reference.conv2d(image, kernel, np.array([-4.0, 5.0]), activation="relu")
    assert y[0, 0].tolist() == [[0.0, 2.0], [2.0, 0.0]]


def test_transposed_convolution_by_hand() -> None:
    x = np.array([1.0, 2.0]).reshape(1, 1, 2, 1)
    kernel = np.array([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1)

    def rows(**options: object) -> list[float]:
        return reference.conv2d_transpose(x, kernel, strides=(1, 2), **options).ravel().tolist()

    assert rows() == [1.0, 10.0, 102.0, 20.0, 200.0]
    assert rows(padding="same") == [1.0, 10.0, 102.0, 20.0]
    assert rows(padding=((0, 0), (1, 1))) == [10.0, 102.0, 20.0]
    assert rows(output_padding=(0, 1)) == [1.0, 10.0, 102.0, 20.0, 200.0, 0.0]


def test_transposed_convolution_kernel_layout_is_out_then_in() -> None:
    x = np.array([1.0, 10.0, 100.0]).reshape(1, 1, 1, 3)
    kernel = np.arange(6.0).reshape(1, 1, 2, 3)
    y = reference.conv2d_transpose(x, kernel, np.array([0.5, 0.25]))
    assert y.ravel().tolist() == [210.5, 543.25]


def test_softmax_by_hand() -> None:
    x = np.log(np.array([[1.0, 3.0], [4.0, 4.0]]))
    np.testing.assert_allclose(reference.softmax(x), [[0.25, 0.75], [0.5, 0.5]], rtol=1e-15)
    np.testing.assert_allclose(
        reference.log_softmax(x), np.log([[0.25, 0.75], [0.5, 0.5]]), rtol=1e-15
    )


def test_softmax_cross_entropy_by_hand() -> None:
    logits = np.log(np.array([[1.0, 3.0], [4.0, 4.0]]))
    expected_grad = [[-0.75, 0.75], [0.5, -0.5]]
    for labels in (np.array([0, 1]), np.eye(2)):
        loss, grad = reference.softmax_cross_entropy(logits, labels)
        np.testing.assert_allclose(loss, np.log([4.0, 2.0]), rtol=1e-15)
        np.testing.assert_allclose(grad, expected_grad, rtol=1e-15)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        (
            "00000000 00000000 00000000 00000000",
            "00000000 00000000",
            "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        ),
        (
            "ffffffff ffffffff ffffffff ffffffff",
            "ffffffff ffffffff",
            "408f276d 41c83b0e a20bc7c6 6d5451fd",
        ),
        (
            "243f6a88 85a308d3 13198a2e 03707344",
            "a4093822 299f31d0",
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter: str, key: str, expected: str) -> None:
    def words(text: str) -> np.ndarray:
        return np.array([int(word, 16) for word in text.split()], np.uint32)

    assert philox4x32_10(words(counter), words(key)).tolist() == words(expected).tolist()


def test_dropout_keeps_the_elements_whose_word_reaches_the_threshold() -> None:
    # The first four words for seed 0 and offset 0 are the first known answer above, as parts of
    # 2**32: 0.399, 0.881, 0.736, 0.605.
    x = np.full(4, 3.0, np.float32)
    assert reference.dropout(x, 0.5, seed=0).tolist() == [0, 6, 6, 6]
    assert reference.dropout(x, 0.75, seed=0).tolist() == [0, 12, 0, 0]
    assert reference.dropout(x, 0.0, seed=0).tolist() == [3, 3, 3, 3]
    assert reference.dropout(x, 1.0, seed=0).tolist() == [0, 0, 0, 0]


def test_dropout_threshold_is_the_floor() -> None:
    x, word = np.ones(1), 0x6627E8D5
    assert reference.dropout(x, word / 2**32, seed=0)[0] != 0
    assert reference.dropout(x, (word + 1) / 2**32, seed=0)[0] == 0
    assert reference.dropout(x, (word + 0.5) / 2**32, seed=0)[0] != 0


def test_dropout_offset_counts_blocks_of_four_and_wraps() -> None:
    x = np.ones(24, np.float32)
    whole = reference.dropout(x, 0.5, seed=7, offset=2**64 - 3)
    parts = [
        reference.dropout(x[:12], 0.5, seed=7, offset=2**64 - 3),
        reference.dropout(x[12:], 0.5, seed=7, offset=0),
    ]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_dropout_uses_both_words_of_the_seed_and_of_the_offset() -> None:
    x = np.ones(256)
    calls = [(0, 0), (1, 0), (1 << 32, 0), (0, 1 << 32), (0, 64)]
    masks = {reference.dropout(x, 0.5, seed=s, offset=o).tobytes() for s, o in calls}
    assert len(masks) == len(calls)


def test_dropout_keeps_about_one_minus_rate() -> None:
    # A binomial count of n draws deviates by more than 6 standard deviations once in 10**9.
    n, rate = 1 << 16, 0.3
    kept = np.count_nonzero(reference.dropout(np.ones(n), rate, seed=1))
    assert abs(kept - n * (1 - rate)) < 6 * (n * rate * (1 - rate)) ** 0.5

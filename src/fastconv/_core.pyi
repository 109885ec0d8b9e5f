# The native core. Arrays are checked and never converted; `fastconv.ops` is the public side.
#
# Float arrays of one call share one dtype, float32 or float64; all arrays are native, aligned and
# C-contiguous. Images are (N, H, W, C), kernels (kh, kw, C / groups, filters). The last arrays of a
# signature are filled. `num_threads` <= 0 means the default.

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
Int64Array: TypeAlias = npt.NDArray[np.int64]
Uint8Array: TypeAlias = npt.NDArray[np.uint8]

# strides, dilation rates (vertical, horizontal each), padding top, bottom, left, right, groups
ConvGeometry: TypeAlias = tuple[int, int, int, int, int, int, int, int, int]
# pool size, strides, dilation rates (vertical, horizontal each), padding top, bottom, left, right
PoolGeometry: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, int]

version: str
compiler: str
build_flags: str

def conv2d(
    x: FloatArray,
    kernel: FloatArray,
    bias: FloatArray | None,
    y: FloatArray,
    geometry: ConvGeometry,
    relu: bool,
    num_threads: int,
    channels_first: bool = False,
) -> None: ...
def conv2d_input_gradient(
    grad: FloatArray,
    kernel: FloatArray,
    bias: FloatArray | None,
    dx: FloatArray,
    geometry: ConvGeometry,
    relu: bool,
    num_threads: int,
    channels_first: bool = False,
) -> None: ...
def conv2d_kernel_gradient(
    x: FloatArray,
    grad: FloatArray,
    dkernel: FloatArray,
    geometry: ConvGeometry,
    num_threads: int,
    channels_first: bool = False,
) -> None: ...
def bias_gradient(grad: FloatArray, dbias: FloatArray, num_threads: int) -> None: ...
def max_pool2d(
    x: FloatArray,
    y: FloatArray,
    argmax: Int64Array | None,
    geometry: PoolGeometry,
    num_threads: int,
) -> None: ...
def max_pool2d_gradient(
    grad: FloatArray, argmax: Int64Array, dx: FloatArray, num_threads: int
) -> None: ...
def planar_max_pool2d_gradient(
    grad: FloatArray, argmax: Int64Array, dx: FloatArray, num_threads: int
) -> bool: ...
def average_pool2d(
    x: FloatArray, y: FloatArray, geometry: PoolGeometry, num_threads: int
) -> None: ...
def average_pool2d_gradient(
    grad: FloatArray, dx: FloatArray, geometry: PoolGeometry, num_threads: int
) -> None: ...
def conv2d_max_pool2d(
    x: FloatArray,
    kernel: FloatArray,
    bias: FloatArray | None,
    y: FloatArray,
    argmax: Int64Array | None,
    conv_geometry: ConvGeometry,
    pool_geometry: PoolGeometry,
    relu: bool,
    num_threads: int,
) -> None: ...
def conv2d_max_pool2d_gradients(
    x: FloatArray,
    kernel: FloatArray,
    grad: FloatArray,
    argmax: Int64Array,
    y: FloatArray,
    dx: FloatArray | None,
    dkernel: FloatArray | None,
    dbias: FloatArray | None,
    conv_geometry: ConvGeometry,
    pool_geometry: PoolGeometry,
    relu: bool,
    num_threads: int,
) -> None: ...
def plain_conv2d(
    x: object,
    kernel: object,
    bias: object,
    strides: object,
    padding: object,
    dilation_rate: object,
    groups: object,
    activation: object,
    data_format: object,
    out: object,
    num_threads: object,
) -> FloatArray | None: ...
def plain_conv2d_gradients(
    x: object,
    kernel: object,
    grad: object,
    strides: object,
    padding: object,
    dilation_rate: object,
    groups: object,
    data_format: object,
    wrt: object,
    out: object,
    num_threads: object,
) -> tuple[FloatArray | None, FloatArray | None, FloatArray | None] | None: ...
def plain_max_pool2d(
    x: object,
    pool_size: object,
    strides: object,
    padding: object,
    dilation_rate: object,
    ceil_mode: object,
    return_argmax: object,
    data_format: object,
    out: object,
    num_threads: object,
) -> FloatArray | tuple[FloatArray, Int64Array] | None: ...
def plain_max_pool2d_gradient(
    grad: object,
    argmax: object,
    input_shape: object,
    data_format: object,
    out: object,
    num_threads: object,
) -> FloatArray | None: ...
def plain_average_pool2d(
    x: object,
    pool_size: object,
    strides: object,
    padding: object,
    data_format: object,
    out: object,
    num_threads: object,
) -> FloatArray | None: ...
def plain_average_pool2d_gradient(
    grad: object,
    input_shape: object,
    pool_size: object,
    strides: object,
    padding: object,
    data_format: object,
    out: object,
    num_threads: object,
) -> FloatArray | None: ...
def matmul(
    a: FloatArray,
    b: FloatArray,
    bias: FloatArray | None,
    c: FloatArray,
    transpose_a: bool,
    transpose_b: bool,
    relu: bool,
    num_threads: int,
) -> None: ...
def plain_matmul(
    a: object,
    b: object,
    bias: object,
    out: object,
    transpose_a: object,
    transpose_b: object,
    activation: object,
    num_threads: object,
) -> FloatArray | None: ...
def relu(x: FloatArray, y: FloatArray, num_threads: int) -> None: ...
def relu_gradient(grad: FloatArray, y: FloatArray, dx: FloatArray, num_threads: int) -> None: ...
def softmax(x: FloatArray, y: FloatArray, num_threads: int) -> None: ...
def log_softmax(x: FloatArray, y: FloatArray, num_threads: int) -> None: ...
def softmax_cross_entropy(
    logits: FloatArray,
    labels: Int64Array | FloatArray,
    loss: FloatArray,
    grad: FloatArray,
    num_threads: int,
) -> None: ...
def dropout(
    x: FloatArray,
    y: FloatArray,
    kept: Uint8Array | None,
    rate: float,
    seed: int,
    offset: int,
    num_threads: int,
) -> None: ...
def dropout_gradient(
    grad: FloatArray, kept: Uint8Array, dx: FloatArray, rate: float, num_threads: int
) -> None: ...
def adam_step(
    gradients: FloatArray,
    momentum: FloatArray,
    velocity: FloatArray,
    velocity_hat: FloatArray | None,
    parameters: FloatArray,
    momentum_rate: float,
    velocity_rate: float,
    epsilon: float,
    rate: float,
    num_threads: int,
) -> None: ...
def transpose_planes(x: FloatArray, y: FloatArray, num_threads: int) -> None: ...
def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]: ...
def clear_pool() -> None: ...
def pool_statistics() -> tuple[int, int, int, int, int, int, int]: ...
def cpu_name() -> str: ...
def compiled_isas() -> list[str]: ...
def available_isas() -> list[str]: ...
def active_isa() -> str: ...
def set_active_isa(name: str) -> None: ...
def precision() -> str: ...
def set_precision(name: str) -> None: ...
def num_threads() -> int: ...
def set_num_threads(count: int) -> None: ...
def multiply_adds_per_second(seconds: float, float64: bool, num_threads: int) -> float: ...
def seconds_of_memory(x: FloatArray, y: FloatArray, seconds: float, num_threads: int) -> float: ...
def multiply_tiles(count: int, float64: bool) -> float: ...
def are_plain(values: tuple[Any, ...]) -> bool: ...

# Layers in a row, for inference on float32 images; the weights are read where they lie.
class Chain:
    def __init__(self, image_shape: Sequence[int]) -> None: ...
    def conv2d(
        self, kernel: FloatArray, bias: FloatArray | None, geometry: ConvGeometry, relu: bool
    ) -> None: ...
    def conv2d_max_pool2d(
        self,
        kernel: FloatArray,
        bias: FloatArray | None,
        conv_geometry: ConvGeometry,
        pool_geometry: PoolGeometry,
        relu: bool,
    ) -> None: ...
    def max_pool2d(self, geometry: PoolGeometry) -> None: ...
    def flatten(self) -> None: ...
    def dense(self, kernel: FloatArray, bias: FloatArray | None, relu: bool) -> None: ...
    def run(self, x: object, softmax: bool, num_threads: int) -> FloatArray | None: ...

"""Arrays that touch a page which may not be read: one element too far ends the process."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_PROT_NONE = 0


def beside_guard_page(array: Array, *, at_end: bool) -> Array:
    """A copy of `array` whose last byte is right before, or first right behind, such a page."""
    pages = max(1, -(-array.nbytes // mmap.PAGESIZE))
    memory = mmap.mmap(-1, (pages + 2) * mmap.PAGESIZE)
    cells = np.frombuffer(memory, np.uint8)
    _forbid(cells.ctypes.data)
    _forbid(cells.ctypes.data + (pages + 1) * mmap.PAGESIZE)
    end = (pages + 1) * mmap.PAGESIZE
    start = end - array.nbytes if at_end else mmap.PAGESIZE
    copy = cells[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def _forbid(address: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(address), mmap.PAGESIZE, _PROT_NONE) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")

"""No operation touches a byte beside its arrays, proved by pages that must not be touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
TESTS = Path(__file__).parent

READ_TOO_FAR = """
import ctypes, sys
import numpy as np
from support.guard_pages import beside_guard_page
at_end = sys.argv[1] == "end"
array = beside_guard_page(np.ones(5), at_end=at_end)
ctypes.string_at(array.ctypes.data + (array.nbytes if at_end else -1), 1)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with the helpers on its path."""
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_operation_reads_or_writes_beside_its_arrays(isa: str) -> None:
    process = run("-m", "support.guarded_calls", isa)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("side", ["end", "start"])
def test_guard_pages_catch_one_byte_too_far(side: str) -> None:
    process = run("-c", READ_TOO_FAR, side)
    assert process.returncode != 0
    # The words of faulthandler and of the address sanitizer.
    assert "Segmentation fault" in process.stderr or "SEGV" in process.stderr

"""The symbol check finds what it is there for, in objects that the compiler really made."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / "tools" / "check_symbols.py"
COMPILER = shutil.which("c++")
pytestmark = pytest.mark.skipif(
    COMPILER is None or shutil.which("nm") is None or sys.platform != "linux",
    reason="needs a C++ compiler and nm on Linux",
)

CLEAN = """
#include <cstring>
#include <cmath>
namespace level { namespace {
float twice(float x) { return 2.0f * std::exp(x); }
} void other(float*);
void kernel(float* y, const float* x, long n) {
    std::memcpy(y, x, n * sizeof(float));
    y[0] = twice(y[1]);
    other(y);
} }
"""
OTHER = "namespace level { void other(float* y) { y[0] += 1.0f; } }"
WEAK = """
inline __attribute__((noinline)) float twice(float x) { return 2.0f * x; }
void kernel(float* y) { y[0] = twice(y[1]); }
"""
UNIQUE = """
template <class T> struct Table { static T value; };
template <class T> T Table<T>::value = 3;
float* kernel() { return &Table<float>::value; }
"""
ALLOCATES = "float* kernel(long n) { return new float[n]; }"
THROWS = "void kernel(long n) { if (n < 0) throw n; }"


def check(folder: Path, **sources: str) -> subprocess.CompletedProcess[str]:
    """Compile each source to an object and run the tool on all of them."""
    objects = []
    for name, source in sources.items():
        path = folder / f"{name}.cpp"
        path.write_text(source)
        objects.append(str(folder / f"{name}.o"))
        subprocess.run([COMPILER, "-O2", "-fPIC", "-c", path, "-o", objects[-1]], check=True)
    return subprocess.run([sys.executable, TOOL, *objects], capture_output=True, text=True)


def test_clean_objects_pass(tmp_path: Path) -> None:
    result = check(tmp_path, clean=CLEAN, other=OTHER)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (WEAK, "weak symbol _Z5twicef (W)"),
        (UNIQUE, "_ZN5TableIfE5valueE (u)"),
        (ALLOCATES, "undefined symbol _Znam"),
        (THROWS, "undefined symbol __cxa_throw"),
        (CLEAN, "undefined symbol _ZN5level5otherEPf"),
    ],
    ids=["weak", "unique", "allocates", "throws", "calls outside"],
)
def test_faults_are_found(source: str, message: str, tmp_path: Path) -> None:
    result = check(tmp_path, faulty=source, other="int unrelated() { return 1; }")
    assert result.returncode == 1
    assert message in result.stdout
    assert "faulty.o" in result.stdout
    assert "other.o" not in result.stdout


def test_no_objects_is_a_fault() -> None:
    result = subprocess.run([sys.executable, TOOL], capture_output=True, text=True)
    assert result.returncode == 2


def test_every_weak_type_is_found() -> None:
    spec = importlib.util.spec_from_file_location("check_symbols", TOOL)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for kind in "WwVvu":
        assert module.find_faults({"a.o": [("name", kind)]})
    assert module.find_faults({"a.o": [("expf", "U"), ("kernel", "T"), ("local", "t")]}) == []

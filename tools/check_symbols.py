"""Fail if kernel objects have symbols that could mix instruction-set levels.

    python tools/check_symbols.py OBJECT...

Give all kernel objects at once. The linker keeps one copy of a weak or unique symbol (an inline
function, say) for the whole library, maybe the AVX-512 one for a caller on a machine without it
(numpy#25274, Botan#5260); so no such symbol may exist. Kernels neither allocate, throw nor use
threads; so they may refer only to each other and to the functions in `ALLOWED`.
"""

import os
import subprocess
import sys
from pathlib import Path

# Types of `nm`: weak (W, w), weak object (V, v), unique global (u).
WEAK_TYPES = frozenset("WwVvu")
# What compilers call by themselves, the table for position-independent code, and the stack
# protector that distributions switch on.
IMPLICIT = {"memcpy", "memmove", "memset", "memcmp", "_GLOBAL_OFFSET_TABLE_"}
IMPLICIT |= {"__stack_chk_fail", "__stack_chk_guard"}
# The mathematical library, float64 and float32.
MATHEMATICS = {
    name + suffix for name in ("exp", "expm1", "log", "log1p", "sqrt") for suffix in ("", "f")
}
ALLOWED = IMPLICIT | MATHEMATICS


def read_symbols(path: Path) -> list[tuple[str, str]]:
    """Symbols of an object file as pairs of name and `nm` type, `U` for undefined."""
    command = [os.environ.get("NM", "nm"), "--format=posix", str(path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [(line.split()[0], line.split()[1]) for line in lines]


def find_faults(symbols: dict[str, list[tuple[str, str]]]) -> list[str]:
    """One line per symbol that must not be there; `symbols` is by object."""
    defined = {name for of_object in symbols.values() for name, kind in of_object if kind != "U"}
    faults = []
    for path, of_object in symbols.items():
        for name, kind in of_object:
            if kind in WEAK_TYPES:
                faults.append(f"{path}: weak symbol {name} ({kind})")
            elif kind == "U" and name not in defined | ALLOWED:
                faults.append(f"{path}: undefined symbol {name} outside the kernels")
    return faults


def main(paths: list[str]) -> int:
    """Print the faults and return the exit code."""
    if not paths:
        print(__doc__, file=sys.stderr)
        return 2
    symbols = {path: read_symbols(Path(path)) for path in paths}
    empty = [path for path, of_object in symbols.items() if not of_object]
    faults = find_faults(symbols) + [f"{path}: no symbols at all" for path in empty]
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

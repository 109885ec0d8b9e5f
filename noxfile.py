"""Checks of fastconv, each in its own environment: `nox -l` lists them, `nox -s tests` runs one."""

from pathlib import Path

import nox

nox.needs_version = ">=2024.4"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "venv"

PRESETS = {"asan": "build/asan", "tidy": "build/tidy", "aarch64": "build/aarch64"}


@nox.session
def tests(session: nox.Session) -> None:
    """The whole suite on the best level of this machine."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def isa(session: nox.Session) -> None:
    """The whole suite on every instruction-set level of this machine."""
    session.install(".[test]")
    levels = session.run(
        "python", "-c", "import fastconv; print(*fastconv.available_isas())", silent=True
    )
    for level in str(levels).split():
        session.run("pytest", *session.posargs, env={"FASTCONV_ISA": level})


@nox.session
def lint(session: nox.Session) -> None:
    """Style of Python and C++."""
    session.install("ruff", "clang-format")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    sources = [str(path) for path in Path("src/cpp").rglob("*.[ch]pp")]
    session.run("clang-format", "--dry-run", "--Werror", *sources)


@nox.session
def types(session: nox.Session) -> None:
    """Types of the package."""
    session.install(".[cli]", "mypy")
    session.run("mypy")


@nox.session
def asan(session: nox.Session) -> None:
    """The suite under AddressSanitizer and UndefinedBehaviorSanitizer."""
    session.install("scikit-build-core", "pybind11", "cmake", "ninja")
    session.install(
        "--no-build-isolation", ".[test]", "-Ccmake.args=--preset=asan", "-Cinstall.strip=false"
    )
    runtime = session.run("c++", "-print-file-name=libasan.so", silent=True, external=True)
    session.run(
        "pytest",
        *session.posargs,
        env={
            "LD_PRELOAD": str(runtime).strip(),
            # The interpreter itself leaves memory to the system at exit.
            "ASAN_OPTIONS": "detect_leaks=0:strict_string_checks=1",
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        },
    )

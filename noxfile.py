"""Checks of fastconv, each in its own environment: `nox -l` lists them, `nox -s tests` runs one."""

from pathlib import Path

import nox

nox.needs_version = ">=2024.4"
nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "types", "tests"]

# Installed without the package, which most sessions need not build.
TOOLS = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]["dev"]
# One of the tools; make may not be there.
GENERATOR = ("-G", "Ninja")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the whole suite on the best level of this machine."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def isa(session: nox.Session) -> None:
    """Run the whole suite on every instruction-set level of this machine."""
    session.install(".[test]")
    code = "import fastconv; print(*fastconv.available_isas())"
    levels = str(session.run("python", "-c", code, silent=True)).split()
    for level in levels:
        session.run("pytest", *session.posargs, env={"FASTCONV_ISA": level})


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style of Python and C++."""
    session.install(*TOOLS)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    sources = [str(path) for path in sorted(Path("src/cpp").rglob("*.[ch]pp"))]
    session.run("clang-format", "--dry-run", "--Werror", *sources)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package."""
    session.install(".[cli]", *TOOLS)
    session.run("mypy")


@nox.session
def core(session: nox.Session) -> None:
    """Build with warnings as errors, look for weak symbols in the kernels, test the core alone."""
    session.install(*TOOLS)
    session.run("cmake", "--preset", "dev", *GENERATOR)
    session.run("cmake", "--build", "--preset", "dev")
    session.run("cmake", "--build", "--preset", "dev", "--target", "check_symbols")
    session.run("cmake", "--build", "--preset", "dev", "--target", "core_test")
    session.run("build/dev/core_test", external=True)


@nox.session
def asan(session: nox.Session) -> None:
    """Run the suite under AddressSanitizer and UndefinedBehaviorSanitizer."""
    session.install(
        ".[test]",
        "-Ccmake.args=--preset=asan",
        "-Ccmake.build-type=RelWithDebInfo",
        "-Cbuild-dir=build/asan-wheel",
        "-Cinstall.strip=false",
    )
    # Python is linked to neither; without the second the first does not see C++ exceptions.
    libraries = [
        str(session.run("c++", f"-print-file-name={name}", silent=True, external=True)).strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    session.run(
        "pytest",
        # Freed memory is kept on purpose under AddressSanitizer.
        "--deselect=tests/test_memory.py::test_nothing_grows",
        # It limits the address space, of which AddressSanitizer itself needs more.
        "--deselect=tests/test_memory.py::test_memory_runs_out_anywhere",
        # Reports must reach the terminal: the process ends with them.
        "--capture=no",
        "--timeout=1200",
        *session.posargs,
        env={"LD_PRELOAD": " ".join(libraries), "ASAN_OPTIONS": "detect_leaks=0"},
    )


@nox.session
def tsan(session: nox.Session) -> None:
    """Run the core's own tests under ThreadSanitizer."""
    session.install(*TOOLS)
    session.run("cmake", "--preset", "tsan", *GENERATOR)
    session.run("cmake", "--build", "--preset", "tsan")
    session.run("build/tsan/core_test", external=True)


@nox.session
def tidy(session: nox.Session) -> None:
    """Run clang-tidy over the core; needs clang and clang-tidy 14 of the system."""
    session.install(*TOOLS)
    session.run("cmake", "--preset", "tidy", *GENERATOR)
    session.run("cmake", "--build", "--preset", "tidy")


@nox.session
def aarch64(session: nox.Session) -> None:
    """Cross-compile the core and run its tests under qemu; needs g++-aarch64-linux-gnu and qemu."""
    session.install(*TOOLS)
    session.run("cmake", "--preset", "aarch64", *GENERATOR)
    session.run("cmake", "--build", "--preset", "aarch64")
    qemu = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]
    session.run(*qemu, "build/aarch64/core_test", external=True)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure every operation against the NumPy reference."""
    session.install(".[test]")
    session.run("pytest", "benchmarks", *session.posargs)


@nox.session
def torch(session: nox.Session) -> None:
    """Compare training with PyTorch."""
    session.install(".[test]", "torch==2.13.0")
    session.run("pytest", "tests/peers/test_torch_training.py", *session.posargs)


@nox.session
@nox.parametrize("backend", ["jax", "tensorflow"])
def keras(session: nox.Session, backend: str) -> None:
    """Compare models, training, files and errors with Keras 3."""
    package = {"jax": "jax==0.10.2", "tensorflow": "tensorflow-cpu==2.21.0"}[backend]
    session.install(".[test]", "keras==3.15.1", package)
    names = ("models", "compiled_files", "files", "training", "errors")
    files = [f"tests/peers/test_keras_{name}.py" for name in names]
    session.run("pytest", *files, *session.posargs, env={"KERAS_BACKEND": backend})

"""Rules of the source tree that no compiler checks."""

import ast
import doctest
import importlib
import importlib.metadata
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import fastconv

ROOT = Path(__file__).parents[1]
CPP = ROOT / "src" / "cpp"
PACKAGE = ROOT / "src" / "fastconv"
GENERATED = {"build", "dist", "_skbuild"}


def project_files() -> list[Path]:
    """Files under version control, or about to be; in an unpacked archive, all that are source."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "-co", "--exclude-standard"]
    try:
        listed = subprocess.run(command, check=True, capture_output=True).stdout
        names = [Path(os.fsdecode(name)) for name in listed.split(b"\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = [path.relative_to(ROOT) for path in ROOT.rglob("*")]
        names = [
            name
            for name in names
            if name.parts[0] not in GENERATED
            and not any(part.startswith(".") or part == "__pycache__" for part in name.parts[:-1])
        ]
    return sorted(ROOT / name for name in names if (ROOT / name).is_file())


FILES = project_files()
TEXTS = {
    path: path.read_text(encoding="utf-8")
    for path in FILES
    if path.suffix not in {".gz", ".h5", ".keras", ".npz", ".png", ".safetensors", ".so"}
}


def name(path: Path) -> str:
    """Path relative to the top of the tree, as an id."""
    return str(path.relative_to(ROOT))


# --- size and content of files ------------------------------------------------------------------


def test_files_are_found() -> None:
    assert PACKAGE / "__init__.py" in TEXTS
    assert ROOT / "CMakeLists.txt" in TEXTS
    assert any(path.parent == CPP / "kernels" for path in TEXTS)


def test_source_files_fit_in_the_head() -> None:
    lines = {name(path): text.count("\n") for path, text in TEXTS.items() if "src" in path.parts}
    assert {path: count for path, count in lines.items() if count > 400} == {}


@pytest.mark.parametrize(
    "pattern",
    [
        # Someone's machine, and the package index of someone's network.
        r"/(?:root|work|home|Users)/",
        r"(?:pypi|pythonhosted|anaconda)\.org|index[-]url|find[-]links",
        # Markers of a merge that was not finished.
        r"^(?:<{7}|>{7}) ",
    ],
)
def test_nothing_of_one_machine(pattern: str) -> None:
    found = [
        f"{name(path)}: {match.group()}"
        for path, text in TEXTS.items()
        for match in re.finditer(pattern, text, re.MULTILINE)
    ]
    assert found == []


# --- the build ----------------------------------------------------------------------------------

UNSAFE_FLAGS = ("-march=native", "-mtune=native", "-ffast-math", "-Ofast", "-funsafe-math")


def test_build_files_have_no_unsafe_flags() -> None:
    build_files = {
        path: text
        for path, text in TEXTS.items()
        if path.name in {"CMakeLists.txt", "CMakePresets.json", "pyproject.toml", "noxfile.py"}
        or path.suffix == ".cmake"
        or path.parent == ROOT / ".ci"
        or CPP in path.parents
    }
    assert ROOT / "CMakeLists.txt" in build_files
    for path, text in build_files.items():
        code = re.sub(r"//.*|#(?!pragma).*", "", text)
        for flag in (*UNSAFE_FLAGS, "fast-math", "=native"):
            assert flag not in code, f"{name(path)}: {flag}"


def test_this_build_has_no_unsafe_flags() -> None:
    flags = fastconv.config.build_info()["flags"]
    assert "-O" in flags
    assert [flag for flag in UNSAFE_FLAGS if flag in flags] == []


def test_numpy_is_the_only_requirement() -> None:
    requirements = importlib.metadata.requires("fastconv") or []
    always = [line for line in requirements if "extra ==" not in line]
    assert [re.split(r"[^\w-]", line)[0].lower() for line in always] == ["numpy"]


def test_import_needs_numpy_alone() -> None:
    code = (
        "import sys, fastconv, fastconv.__main__\n"
        "third_party = {name.partition('.')[0] for name, module in sys.modules.items()\n"
        "               if 'site-packages' in (getattr(module, '__file__', None) or '')}\n"
        "print(*sorted(third_party - {'fastconv', 'numpy'}))"
    )
    command = [sys.executable, "-I", "-c", code]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    # Hooks of other installed packages (editable installs, coverage) run before any import.
    before = subprocess.run(
        [*command[:3], code.replace(", fastconv, fastconv.__main__", "")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert set(result.stdout.split()) - set(before.stdout.split()) == set()


def test_import_is_quick() -> None:
    """What only some programs need is imported where it is used."""
    code = (
        "import sys, numpy; known = {*sys.modules}; import fastconv; print(*{*sys.modules} - known)"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    imported = set(result.stdout.split())
    assert "fastconv.models.plan" in imported
    slow = {"numpy.random", "numpy.polynomial", "pathlib", "json", "zipfile", "shutil", "csv"}
    assert not imported & (slow | {"fastconv.saving", "fastconv.datasets", "fastconv.reference"})


@pytest.mark.parametrize("data", ["py.typed", "_core.pyi", "datasets/sample/ATTRIBUTION.md"])
def test_package_data_is_installed(data: str) -> None:
    assert (Path(fastconv.datasets.__file__).parents[1] / data).is_file()


def test_console_script() -> None:
    scripts = importlib.metadata.entry_points(group="console_scripts", name="fastconv")
    assert [script.value for script in scripts] == ["fastconv.__main__:main"]


# --- the dependency rule of src/cpp -------------------------------------------------------------

# What files of a folder may include: prefixes of "..." and of <...>. Standard headers of plain
# functions and types only in kernels and simd, because what templates leave behind is weak.
PLAIN_HEADERS = r"<(cstddef|cstdint|cmath|math\.h|cfloat|climits)>"
ANY_STANDARD = r"<(?!omp\.h|pybind11|Python)[\w./]+>"
INCLUDES = {
    "simd": rf'"(simd/|common\.hpp)|{PLAIN_HEADERS}|<(immintrin|arm_neon)\.h>',
    "kernels": rf'"(kernels/|simd/|common\.hpp)|{PLAIN_HEADERS}',
    "dispatch": rf'"(dispatch/|kernels/table\.hpp|common\.hpp)|{ANY_STANDARD}',
    "runtime": rf'"(runtime/|common\.hpp)|{ANY_STANDARD}',
    "ops": rf'"(ops/|kernels/table\.hpp|dispatch/|runtime/|common\.hpp)|{ANY_STANDARD}',
    "bindings": rf'"(bindings/|ops/|dispatch/|runtime/|common\.hpp)|{ANY_STANDARD}|<pybind11/',
}
CPP_FILES = [path for path in TEXTS if CPP in path.parents and path.suffix in {".cpp", ".hpp"}]


def test_every_folder_has_its_rule() -> None:
    folders = {path.relative_to(CPP).parts[0] for path in CPP_FILES if path.parent != CPP}
    assert folders == set(INCLUDES)


@pytest.mark.parametrize("folder", INCLUDES)
def test_includes(folder: str) -> None:
    found = []
    for path in CPP_FILES:
        if path.relative_to(CPP).parts[0] != folder:
            continue
        for included in re.findall(r"^\s*#\s*include\s+(\S+)", TEXTS[path], re.MULTILINE):
            found += [f"{name(path)}: {included}"] * (not re.match(INCLUDES[folder], included))
    assert found == []


def test_threads_are_in_one_place() -> None:
    """One way to run in parallel: OpenMP beside it would make threads of its own."""
    openmp = [name(path) for path in CPP_FILES if re.search(r"#\s*pragma\s+omp", TEXTS[path])]
    assert openmp == []
    made = [
        name(path)
        for path in CPP_FILES
        if re.search(r"std::j?thread\(|pthread_create", TEXTS[path])
    ]
    assert made == ["src/cpp/runtime/team.cpp"]


@pytest.mark.parametrize("folder", ["kernels", "simd"])
def test_kernels_are_plain(folder: str) -> None:
    """No exceptions, no allocation, and of the library only names that leave no weak symbols."""
    forbidden = r"\b(throw|try|catch|new|delete|malloc|free|thread_local)\b"
    library = r"std::(?!size_t|ptrdiff_t|u?int(?:8|16|32|64)_t|uintptr_t)\w+"
    found = []
    for path in CPP_FILES:
        if path.relative_to(CPP).parts[0] == folder:
            code = re.sub(r"//.*", "", TEXTS[path])
            found += [
                f"{name(path)}: {match.group()}"
                for match in re.finditer(f"{forbidden}|{library}", code)
            ]
    assert found == []


# --- documentation ------------------------------------------------------------------------------


def public_modules() -> list[types.ModuleType]:
    """What users import. The command line only where typer is there."""
    paths = [("fastconv.", fastconv.__path__), ("fastconv.datasets.", fastconv.datasets.__path__)]
    names = [m.name for prefix, path in paths for m in pkgutil.iter_modules(path, prefix)]
    modules = [fastconv]
    for module_name in names:
        if module_name.rpartition(".")[2].startswith("_"):
            continue
        try:
            modules.append(importlib.import_module(module_name))
        except ModuleNotFoundError as error:
            if error.name not in {"typer", "rich"}:
                raise
    return modules


def public_things(module: types.ModuleType) -> dict[str, object]:
    """Functions and classes that a module offers, and the public methods of these classes."""
    own = [
        key
        for key, thing in vars(module).items()
        if not key.startswith("_") and getattr(thing, "__module__", None) == module.__name__
    ]
    things = {key: getattr(module, key) for key in getattr(module, "__all__", own)}
    things = {k: v for k, v in things.items() if inspect.isclass(v) or inspect.isfunction(v)}
    for key, thing in list(things.items()):
        if inspect.isclass(thing):
            # An overridden method has the docstring of the one that it overrides.
            things |= {
                f"{key}.{method}": getattr(thing, method)
                for method, function in vars(thing).items()
                if not method.startswith("_") and inspect.isfunction(function)
            }
    return things


@pytest.mark.parametrize("module", public_modules(), ids=lambda module: module.__name__)
def test_public_names_are_documented(module: types.ModuleType) -> None:
    assert module.__doc__
    assert [key for key, thing in public_things(module).items() if not inspect.getdoc(thing)] == []


def test_public_names_are_found() -> None:
    assert "Sequential.add" in public_things(fastconv)
    assert "Model.fit" in public_things(fastconv)
    assert "conv2d" in public_things(fastconv.ops)
    assert "load_data" in public_things(fastconv.datasets.mnist)


def all_modules() -> list[str]:
    """Of the package, but for those that need an extra to be imported."""
    found = pkgutil.walk_packages(fastconv.__path__, "fastconv.", onerror=lambda _: None)
    return [module.name for module in found if not module.name.endswith(("__main__", "_core"))]


@pytest.mark.parametrize("module", all_modules())
def test_examples_of_docstrings(module: str) -> None:
    try:
        imported = importlib.import_module(module)
    except ImportError as error:
        pytest.skip(str(error))
    fastconv.utils.clear_session()
    assert doctest.testmod(imported).failed == 0


def test_docstrings_have_examples() -> None:
    tests = doctest.DocTestFinder().find(importlib.import_module("fastconv.layers.dense"))
    assert sum(len(test.examples) for test in tests) > 0


def test_no_pickle() -> None:
    for path, text in TEXTS.items():
        if PACKAGE in path.parents and path.suffix == ".py":
            for node in ast.walk(ast.parse(text)):
                imported = []
                if isinstance(node, ast.Import):
                    imported = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    imported = [node.module]
                elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                    assert ast.unparse(node.value) == "False", name(path)
                assert not {"pickle", "cPickle", "dill", "marshal", "shelve"} & set(imported), path


# --- the README ---------------------------------------------------------------------------------


def test_readme_commands_are_those_of_ci() -> None:
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```console\n(.*?)```", readme, re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if line]
    assert 'pip install ".[cli]" && fastconv train mnist' in commands
    assert 'pip install ".[test]" && pytest -n auto' in commands
    script = (ROOT / ".ci" / "run").read_text()
    assert [command for command in commands if command not in script] == []


def test_readme_examples() -> None:
    result = doctest.testfile(
        str(ROOT / "README.md"), module_relative=False, optionflags=doctest.ELLIPSIS
    )
    assert result.attempted > 5
    assert result.failed == 0


DOCUMENTS = [path for path in TEXTS if path.suffix == ".md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_files_that_documents_name_exist(document: Path) -> None:
    folders = r"(?:src|tests|tools|docs|examples|benchmarks|\.ci)"
    paths = re.findall(rf"`({folders}/[\w./-]*)`|\]\(([\w./-]+)\)", TEXTS[document])
    missing = [
        path or link
        for path, link in paths
        if not (ROOT / path if path else document.parent / link).exists()
    ]
    assert missing == []

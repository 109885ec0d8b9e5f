"""The stub of the core names what the core has."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import fastconv
from fastconv import _core

STUB = ast.parse((Path(fastconv.ops.__file__).parents[1] / "_core.pyi").read_text())


def stub_functions() -> dict[str, list[str]]:
    return {
        node.name: [argument.arg for argument in node.args.args]
        for node in STUB.body
        if isinstance(node, ast.FunctionDef)
    }


def stub_classes() -> dict[str, dict[str, list[str]]]:
    """Methods and their arguments, by the class of the stub."""
    return {
        node.name: {
            method.name: [argument.arg for argument in method.args.args]
            for method in node.body
            if isinstance(method, ast.FunctionDef)
        }
        for node in STUB.body
        if isinstance(node, ast.ClassDef)
    }


def stub_values() -> dict[str, str]:
    return {
        ast.unparse(node.target): ast.unparse(node.annotation)
        for node in STUB.body
        if isinstance(node, ast.AnnAssign) and "TypeAlias" not in ast.unparse(node.annotation)
    }


def top_level_arguments(signature: str) -> list[str]:
    """Argument names of the first line of a pybind11 docstring."""
    inside = signature[signature.index("(") + 1 : signature.rindex(") ->")]
    depth, names, start = 0, [], 0
    for position, character in enumerate(inside + ","):
        depth += (character in "[(") - (character in "])")
        if character == "," and depth == 0 and inside[start:position].strip():
            names.append(inside[start:position].strip())
            start = position + 1
    return [re.split(r"[:=]", name)[0].strip() for name in names]


def test_stub_names_everything() -> None:
    public = {name for name in vars(_core) if not name.startswith("__")}
    assert public == set(stub_functions()) | set(stub_values()) | set(stub_classes())


def test_stub_methods() -> None:
    for name, methods in stub_classes().items():
        known = vars(getattr(_core, name))
        public = {method for method in known if not method.startswith("_")} | {"__init__"}
        assert public == set(methods)
        for method, arguments in methods.items():
            signature = inspect.getdoc(known[method]).splitlines()[0]
            assert top_level_arguments(signature) == arguments


@pytest.mark.parametrize("name", stub_functions())
def test_stub_arguments(name: str) -> None:
    function = getattr(_core, name)
    signature = inspect.getdoc(function).splitlines()[0]
    assert signature.startswith(f"{name}(")
    assert top_level_arguments(signature) == stub_functions()[name]


@pytest.mark.parametrize("name", stub_values())
def test_stub_values(name: str) -> None:
    assert type(getattr(_core, name)).__name__ == stub_values()[name]

"""Validates the docstrings of public objects with numpydoc, and that errors and shapes are stated (``make lint``).

Which checks of numpydoc hold, and in which packages, is set in ``[tool.numpydoc_validation]`` of pyproject.toml. Two
more hold there, named as numpydoc names its own: RS01, a function that raises an error for its caller has a Raises
section; SH01, one that takes or returns an array states its shape.
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from numpydoc.validate import validate

ROOT = Path(__file__).parents[1]
DEFECTS = ("AssertionError", "NotImplementedError", "StopIteration")
"""What no caller can do anything about."""


def public_objects(package: str) -> Iterator[tuple[str, Any]]:
    """Yield the public functions, classes and methods that the modules of a package define.

    Parameters
    ----------
    package
        Dotted name of a package, or of a module.

    Yields
    ------
    tuple of str and object
        Dotted name and object.
    """
    top = import_module(package)
    names = [package]
    if hasattr(top, "__path__"):
        names += [found.name for found in pkgutil.walk_packages(top.__path__, f"{package}.")]
    for name in names:
        if name.endswith("__main__"):
            continue
        module = import_module(name)
        for of, item in vars(module).items():
            if of.startswith("_") or getattr(item, "__module__", None) != name:
                continue
            if inspect.isfunction(item):
                yield f"{name}.{of}", item
            elif inspect.isclass(item):
                yield f"{name}.{of}", item
                for member, value in vars(item).items():
                    if not member.startswith("_") and inspect.isfunction(
                        inspect.unwrap(getattr(value, "__func__", value))
                    ):
                        yield f"{name}.{of}.{member}", getattr(value, "__func__", value)


def own_errors(item: Any) -> Iterator[tuple[str, str]]:
    """Yield what numpydoc does not check.

    Parameters
    ----------
    item
        A function.

    Yields
    ------
    tuple of str and str
        Code and message.
    """
    text = inspect.getdoc(item) or ""
    annotations = " ".join(map(str, getattr(item, "__annotations__", {}).values()))
    if "ndarray" in annotations.lower() and "hape" not in text:
        yield "SH01", "The shape of an array is not stated"
    tree = ast.parse(textwrap.dedent(inspect.getsource(item)))
    raised = {node.exc.func.id for node in ast.walk(tree) if isinstance(node, ast.Raise) and _names_class(node.exc)}
    caught = {
        part.id
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and node.type is not None
        for part in ast.walk(node.type)
        if isinstance(part, ast.Name)
    }
    for error in sorted(raised.difference(DEFECTS, caught)):
        if error not in text:
            yield "RS01", f"{error} is raised and not documented"


def _names_class(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id[0].isupper()


def errors_of(name: str, item: Any, checks: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the docstring of an object.

    Parameters
    ----------
    name, item
        The object, and its dotted name.
    checks
        Codes of numpydoc that hold.

    Yields
    ------
    tuple of str and str
        Code and message.
    """
    is_class = inspect.isclass(item)
    # What a dataclass is made of stands under Attributes.
    own_init = "__init__" in vars(item) if is_class else True
    described = own_init and not is_dataclass(item) and not getattr(item, "_is_protocol", False)
    for code, message in validate(name)["errors"]:
        if code in checks and (described or not code.startswith("PR")):
            yield code, message
    if not is_class:
        yield from own_errors(item)


def main() -> int:
    """Print every error; return how many there are, at most 1.

    Returns
    -------
    int
        Exit status.
    """
    sys.path.insert(0, str(ROOT))
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["numpydoc_validation"]
    checks, count = frozenset(settings["checks"]), 0
    for package in settings["packages"]:
        for name, item in public_objects(package):
            for code, message in errors_of(name, item, checks):
                count += 1
                print(f"{name}: {code} {message}")
    print(f"docstrings: {count} errors" if count else "docstrings: clean")
    return min(count, 1)


if __name__ == "__main__":
    sys.exit(main())

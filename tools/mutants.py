"""Random single mutants of the core, and whether the tests of their own folders notice: ``make mutants``.

A mutant is the program with one operator, number, flag or condition changed, or one call left out. Nothing is written:
the changed module is compiled as it is imported, in a process of its own that runs those tests of the folder that reach
the changed line, the shortest first, up to the first that fails. First all tests of the folders run once, to see what
reaches what.

    python tools/mutants.py [--count N] [--seed N] [--least SHARE] FOLDER...

A mutant that no test notices is shown with its line. Exit status 1: fewer than ``--least`` were noticed.
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import signal
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "rtpverify"
LEAST = 0.9
"""Share of mutants that must be noticed."""
PATIENCE, PATIENCE_SECONDS = 5.0, 60.0
"""Tests that take longer than so many times what they took, and so much more, hang: noticed."""

OPTIONS = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning")

Change = Callable[[], str]
"""Changes a syntax tree in place; returns what is there instead."""

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_CALCULATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
}  # fmt: skip
_NO_BEHAVIOUR = ("annotation", "returns", "decorator_list", "type_comment")
"""Parts of a tree that change nothing of what is done, or only how a mistake of the programmer is found."""
_NO_FLAGS = ("strict", "frozen", "slots", "keepdims", "copy")
"""Keyword arguments whose flags only guard, or save memory."""


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes
    ----------
    path
        The file.
    number
        Its place among the changes of the file, in order of the tree.
    """

    path: Path
    number: int

    @property
    def module(self) -> str:
        """Name of the module."""
        return ".".join(self.path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")

    def made(self) -> tuple[ast.Module, int, str]:
        """Return the changed tree, the line of the change, and what is there instead."""
        tree = ast.parse(self.path.read_text(encoding="utf-8"))
        line, change = list(changes(tree))[self.number]
        after = change()
        return ast.fix_missing_locations(tree), line, after


def changes(tree: ast.AST) -> Iterator[tuple[int, Change]]:
    """Yield every change of a tree, with its line."""
    for name, value in ast.iter_fields(tree):
        if name in _NO_BEHAVIOUR:
            continue
        for index, node in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(node, ast.AST):
                yield from _changes_of(tree, name, index if isinstance(value, list) else None, node)


def _changes_of(parent: ast.AST, name: str, index: int | None, node: ast.AST) -> Iterator[tuple[int, Change]]:
    """Yield the changes of a node, which is a field of its parent, and of what is below it."""
    if isinstance(node, ast.JoinedStr | ast.Raise) or _is_for_types(node):
        return
    if isinstance(node, ast.keyword) and node.arg in _NO_FLAGS:
        return
    line = getattr(node, "lineno", 0)

    def replaced(by: ast.AST) -> Change:
        def change() -> str:
            ast.copy_location(by, node)
            if index is None:
                setattr(parent, name, by)
            else:
                getattr(parent, name)[index] = by
            return ast.unparse(by).splitlines()[0]

        return change

    for other in _instead_of(node):
        yield line, replaced(other)
    yield from changes(node)


def _instead_of(node: ast.AST) -> Iterator[ast.AST]:  # noqa: C901 - one line for each kind of change
    """Yield what may be in place of a node."""
    match node:
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                other = _COMPARED[type(operator)]()
                operators = [other if at == place else one for at, one in enumerate(node.ops)]
                yield ast.Compare(node.left, operators, node.comparators)
        case ast.BinOp() if type(node.op) in _CALCULATED and not _is_text(node):
            yield ast.BinOp(node.left, _CALCULATED[type(node.op)](), node.right)
        case ast.AugAssign() if type(node.op) in _CALCULATED:
            yield ast.AugAssign(node.target, _CALCULATED[type(node.op)](), node.value)
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield node.operand
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int()):
            yield ast.Constant(node.value + 1)
        case ast.Constant(value=float()):
            yield ast.Constant(2 * node.value or 1.0)
        case ast.If():
            yield ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
        case ast.While():
            yield ast.While(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
        case ast.IfExp():
            yield ast.IfExp(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
        case ast.Expr(value=ast.Call()):
            yield ast.Pass()


def _is_for_types(node: ast.AST) -> bool:
    """Return whether a node is there for a type checker alone."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _is_text(node: ast.BinOp) -> bool:
    """Return whether an operator joins or writes text: messages are no behaviour that is tested letter by letter."""
    sides = (node.left, node.right)
    return any(
        isinstance(one, ast.JoinedStr) or (isinstance(one, ast.Constant) and isinstance(one.value, str | bytes))
        for one in sides
    )


# Tests --------------------------------------------------------------------------------------------------------------


class _Loader(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Imports the changed module in place of the one it was made of."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__(mutant.module, str(mutant.path))
        self._mutant = mutant

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find the changed module, and no other."""
        if name != self._mutant.module:
            return None
        return importlib.util.spec_from_file_location(name, self._mutant.path, loader=self)

    def get_code(self, _name: str) -> CodeType:
        """Compile the changed tree."""
        return compile(self._mutant.made()[0], str(self._mutant.path), "exec")


class _Chosen:
    """Lets pytest run some tests, the shortest first, without making examples that fail smaller."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds

    def pytest_collection(self) -> None:
        """Change how hypothesis works before any test is imported."""
        from hypothesis import Phase, settings

        settings.register_profile("mutants", settings(), phases=[Phase.explicit, Phase.generate], database=None)
        settings.load_profile("mutants")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the chosen tests."""
        items[:] = sorted(
            (item for item in items if item.nodeid in self._seconds), key=lambda item: self._seconds[item.nodeid]
        )


class _Reach:
    """Notes which test reaches which line, and how long each takes."""

    def __init__(self) -> None:
        import coverage

        self.coverage = coverage.Coverage(source=[PACKAGE], data_file=None, branch=False)
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Note lines under the name of the test that runs."""
        self.coverage.switch_context(item.nodeid)
        began = time.perf_counter()
        yield
        self.seconds[item.nodeid] = time.perf_counter() - began


@dataclass(frozen=True)
class Tests:
    """What the tests of a folder reach.

    Attributes
    ----------
    reaching
        Tests by file and line.
    seconds
        How long each takes.
    """

    reaching: dict[tuple[str, int], set[str]]
    seconds: dict[str, float]

    def of(self, path: Path, line: int) -> dict[str, float]:
        """Return the tests of a line; of one that runs when its module is imported, those that reach the module."""
        found = self.reaching.get((str(path), line), set())
        if not found or "" in found:
            found = set().union(*(tests for (file, _), tests in self.reaching.items() if file == str(path)))
        return {test: self.seconds[test] for test in found if test in self.seconds}


def _in_a_child(work: Callable[[], int], seconds: float | None = None) -> int | None:
    """Return the exit status of some work in a child; None where it took too long."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.setpgid(0, 0)
            quiet = os.open(os.devnull, os.O_WRONLY)
            said = os.dup(2)
            for stream in (1, 2):
                os.dup2(quiet, stream)
            status = work()
        except Exception:
            os.dup2(said, 2)
            traceback.print_exc()
        finally:
            os._exit(status)
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, 0 if end is None else os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if end is not None and time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.01)


def measure(folder: str) -> Tests:
    """Run the tests of a folder once, and return what reaches what."""
    import json
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        noted = Path(name) / "reach"

        def work() -> int:
            reach = _Reach()
            reach.coverage.start()
            status = pytest.main([*OPTIONS, f"tests/{folder}"], plugins=[reach])
            reach.coverage.stop()
            data = reach.coverage.get_data()
            lines = [
                (file, line, tests)
                for file in data.measured_files()
                for line, tests in data.contexts_by_lineno(file).items()
            ]
            noted.write_text(json.dumps([lines, reach.seconds]), encoding="utf-8")
            return int(status)

        status = _in_a_child(work)
        if status:
            raise SystemExit(f"tests/{folder}: exit status {status} without any change")
        lines, seconds = json.loads(noted.read_text(encoding="utf-8"))
    reaching = defaultdict(set)
    for file, line, tests in lines:
        reaching[file, line] |= set(tests)
    return Tests(dict(reaching), seconds)


def is_noticed(mutant: Mutant, tests: Tests, line: int) -> bool:
    """Return whether a test fails, or hangs, with the mutant."""
    chosen = tests.of(mutant.path, line)
    if not chosen:
        return False
    files = sorted({test.partition("::")[0] for test in chosen})

    def work() -> int:
        sys.meta_path.insert(0, _Loader(mutant))
        return int(pytest.main([*OPTIONS, "-x", *files], plugins=[_Chosen(chosen)]))

    return _in_a_child(work, PATIENCE * sum(chosen.values()) + PATIENCE_SECONDS) != 0


def main() -> int:
    """Draw mutants, try each, and show those that nothing noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="of the package, and of the same name in tests/")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--least", type=float, default=LEAST)
    asked = parser.parse_args()
    os.chdir(ROOT)
    for preloaded in ("hypothesis", "numpy", "scipy.fft", "scipy.signal", "coverage"):
        importlib.import_module(preloaded)
    mutants = [
        Mutant(path, number)
        for folder in asked.folders
        for path in sorted((ROOT / PACKAGE / folder).rglob("*.py"))
        for number, _ in enumerate(changes(ast.parse(path.read_text(encoding="utf-8"))))
    ]
    drawn = random.Random(asked.seed).sample(mutants, min(asked.count, len(mutants)))  # noqa: S311
    print(f"{len(mutants)} mutants of {' '.join(asked.folders)}, {len(drawn)} drawn (seed {asked.seed})", flush=True)
    tests = {folder: measure(folder) for folder in asked.folders}
    survivors = 0
    for tried, mutant in enumerate(drawn, 1):
        _, line, after = mutant.made()
        folder = next(one for one in asked.folders if mutant.path.is_relative_to(ROOT / PACKAGE / one))
        if not is_noticed(mutant, tests[folder], line):
            survivors += 1
            before = mutant.path.read_text(encoding="utf-8").splitlines()[line - 1].strip()
            place = f"{mutant.path.relative_to(ROOT)}:{line}"
            print(f"[{tried}] {place}: {before}\n      not noticed: {after}  (change {mutant.number})", flush=True)
    share = 1 - survivors / len(drawn)
    print(f"{len(drawn) - survivors} of {len(drawn)} noticed: {share:.1%}")
    return int(share < asked.least)


if __name__ == "__main__":
    sys.exit(main())

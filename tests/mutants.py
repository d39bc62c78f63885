"""Changes modules in small ways, and sees whether their tests notice each change.

    python tests/mutants.py                   # all modules of TESTS: half an hour
    python tests/mutants.py model/search.py

Each mutant differs from the module in one place: an operator, a comparison or a condition, a
number, an argument or a call that is left out. It is in memory only, in a forked process that runs
the module's tests. What lives is printed, and the exit code is 1 if there is more than ALIVE
explains. No part of the suite, as it takes long; needs POSIX.
"""

import ast
import gc
import os
import signal
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import NamedTuple

import cv2  # noqa: F401  imported here, once for all
import hypothesis
import pytest
import torch  # noqa: F401

ROOT = Path(__file__).parent.parent
TESTS = {
    "model/search.py": ["model/test_search.py"],
    "model/decoder.py": ["model/test_decoder.py", "model/test_network.py", "model/test_search.py"],
    "training/losses.py": ["training/test_losses.py"],
    "evaluation/metrics.py": ["evaluation/test_metrics.py"],
    "batch/ledger.py": ["batch/test_ledger.py"],
    "batch/rows.py": ["batch/test_ledger.py"],
}
TIMEOUT_S = 180

# Mutants that live, by what they change, and why no test can or should notice.
ALIVE: dict[str, dict[str, str]] = {}

_COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_OPERATIONS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
_NAMES = {"min": "max", "amin": "amax", "minimum": "maximum", "any": "all"}
_NAMES |= {new: old for old, new in _NAMES.items()}


class Mutant(NamedTuple):
    line: int
    change: str  # "old -> new"
    source: bytes


def variants(node: ast.AST) -> Iterator[ast.AST | None]:
    """What could stand in the place of ``node``; None is nothing."""
    match node:
        case ast.Compare(left, [op], right) if type(op) in _COMPARISONS:
            yield ast.Compare(left, [_COMPARISONS[type(op)]()], right)
        case ast.BinOp(left, op, right):
            if type(op) in _OPERATIONS:
                yield ast.BinOp(left, _OPERATIONS[type(op)](), right)
            yield left
        case ast.BoolOp(op, values):
            yield ast.BoolOp(ast.And() if isinstance(op, ast.Or) else ast.Or(), values)
        case ast.UnaryOp(ast.Not() | ast.Invert() | ast.USub(), operand):
            yield operand
        case ast.IfExp(_, body, other):
            yield from (body, other)
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.Name(name) if name in _NAMES:
            yield ast.Name(_NAMES[name])
        case ast.Attribute(value, name) if name in _NAMES:
            yield ast.Attribute(value, _NAMES[name])
        case ast.Call(function, arguments, keywords):
            if len(arguments) == 1 and not keywords and not isinstance(arguments[0], ast.Starred):
                yield arguments[0]
            for keyword in keywords:
                yield ast.Call(function, arguments, [each for each in keywords if each != keyword])
        case ast.Expr(ast.Call()) | ast.AugAssign():
            yield None


def mutants(source: bytes) -> Iterator[Mutant]:
    """All of a module, but for annotations, decorators, errors and the bodies of f-strings."""
    lines = source.splitlines(keepends=True)
    starts = [sum(map(len, lines[:i])) for i in range(len(lines))]
    tree = ast.parse(source)
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        skipped = {"annotation", "returns", "decorator_list"}
        pending += [
            child
            for name, value in ast.iter_fields(node)
            if name not in skipped and not isinstance(node, ast.Raise | ast.JoinedStr)
            for child in (value if isinstance(value, list) else [value])
            if isinstance(child, ast.AST)
        ]
        for variant in variants(node):
            first = starts[node.lineno - 1] + node.col_offset
            last = starts[node.end_lineno - 1] + node.end_col_offset
            old = " ".join(source[first:last].decode().split())
            new = "pass" if variant is None else ast.unparse(variant)
            text = "pass" if variant is None else f"({new})"
            changed = source[:first] + text.encode() + source[last:]
            yield Mutant(node.lineno, f"{old} -> {new}", changed)


def survives(module: str, source: bytes) -> bool:
    """Whether the module's tests pass where it has this source."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        os.dup2(1, 2)
        signal.alarm(TIMEOUT_S)
        code = 3
        try:
            code = _test(module, source)
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] == 0


def _test(module: str, source: bytes) -> int:
    path = str(ROOT / "vidcaption" / module)
    get_code = SourceFileLoader.get_code

    def get_changed_code(loader: SourceFileLoader, name: str) -> object:
        if loader.path == path:
            return compile(source, path, "exec", dont_inherit=True)
        return get_code(loader, name)

    SourceFileLoader.get_code = get_changed_code  # type: ignore[method-assign, assignment]
    hypothesis.settings.register_profile(
        "mutants", deadline=None, database=None, phases=[hypothesis.Phase.generate]
    )
    options = ["-qx", "-n0", "-pno:cacheprovider", "--assert=plain"]
    options += ["--hypothesis-profile=mutants", "--hypothesis-seed=0"]
    return pytest.main([*options, *(str(ROOT / "tests" / name) for name in TESTS[module])])


def main(modules: list[str]) -> int:
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    gc.freeze()
    unexplained = 0
    for module in modules or TESTS:
        source = (ROOT / "vidcaption" / module).read_bytes()
        if not survives(module, source):
            print(f"{module}: its tests fail as it is")
            return 1
        alive, count = [], 0
        for mutant in mutants(source):
            count += 1
            if survives(module, mutant.source):
                why = ALIVE.get(module, {}).get(mutant.change)
                unexplained += why is None
                alive.append(mutant)
                print(f"{module}:{mutant.line}: {mutant.change}  # {why or '?'}", flush=True)
        print(f"{module}: {len(alive)} of {count} mutants live", flush=True)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

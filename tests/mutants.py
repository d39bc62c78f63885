"""Changes modules in small ways, and sees whether their tests notice each change.

    python tests/mutants.py                    # all modules of TESTS: hours
    python tests/mutants.py model/search.py
    python tests/mutants.py model/search.py:91 # a line of it
    python tests/mutants.py --sample 40        # so many of each module, always the same ones

Each mutant differs from the module in one place: an operator, a comparison or a condition, a
number, an argument or a call that is left out. It is in memory only, in a forked process that runs
the module's tests. What lives is printed, and the exit code is 1 if there is more than ALIVE
explains. No part of the suite, as it takes long; needs POSIX.

Left alone are errors' messages, annotations, and the arguments KEPT, which are for GPUs or find
what is wrong with the program.
"""

import argparse
import ast
import gc
import os
import random
import resource
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
    "model/people.py": ["model/test_people.py"],
    "model/neighbours.py": ["model/test_neighbours.py"],
    "model/decoder.py": ["model/test_decoder.py", "model/test_network.py", "model/test_search.py"],
    "model/attention.py": ["model/test_attention.py", "model/test_network.py"],
    "model/cells.py": ["model/test_cells.py"],
    "model/fused.py": ["model/test_fused.py"],
    "model/roles.py": ["model/test_roles.py"],
    "training/losses.py": ["training/test_losses.py"],
    "training/objectives.py": ["training/test_objectives.py"],
    "evaluation/metrics.py": ["evaluation/test_metrics.py"],
    "batch/ledger.py": ["batch/test_ledger.py"],
    "video/plan.py": ["video/test_plan.py"],
    "video/sparse.py": ["video/test_sparse.py"],
    "video/windows.py": ["video/test_windows.py"],
    "output/merge.py": ["output/test_merge.py"],
    "find/meaning.py": ["find/test_meaning.py"],
}
KEPT = ("device", "non_blocking", "strict")
CPU_S, TIMEOUT_S = 60, 900  # of one mutant, which may run for ever; a busy machine takes long

# Mutants that live, by the lines that they change, and why no test can or should notice.
ALIVE: dict[str, dict[str, str]] = {
    "model/people.py": {
        "W = (TypeVar('W'))": "for mypy",
        "CHANGED = (1.4) # what it costs the rank if a neighbouring window names people of other "
        "kinds": "chosen by measuring",
    },
    "model/neighbours.py": {
        "AHEAD = (3) # windows that a choice looks ahead; more change nothing": "as it says",
        "(each, each.rank + max((w - _cost(each.people, c.people) for c, w in worth), "
        "default=(1)))": "the same for all captions of the last window",
    },
    "model/search.py": {
        "EXPLAINED_AT_ONCE = (5) # at least": "more do no harm",
        "return ((self.ranks[:, 0] >= bound).all())": "if takes a tensor, too",
        "return bool(((self.ranks[:, 0] > bound)).all())": "one word later, the same captions",
        "every = torch.cat([self.words, (F.pad(words, (0, most - length)))], 1)": "PAD is 0",
        "targets = (F.pad(words, (0, 1))).scatter(-1, ends, EOS).unsqueeze(-1)": "PAD is 0",
    },
    "training/objectives.py": {
        "DISCRIMINATOR_EMBEDDING, DISCRIMINATOR_LR = (129), 1e-4": "one more does no harm",
        "DISCRIMINATOR_EMBEDDING, DISCRIMINATOR_LR = 128, (1.0001)": "the tests set their own",
        "return (sample.captions)": "if takes a tuple, too",
    },
    "training/losses.py": {
        "known = (_mix(decoder, memory, words, own_words))": "without a share, no word is drawn",
        "swapped = ((torch.rand(true.shape, device=true.device) <= share)) & (true != PAD) &"
        " (true != EOS)": "a random number is the share once in 16 million",
    },
    "output/merge.py": {
        "best = total = (1.0)": "set with the first segment",
        "parts = (1)": "set with the first segment",
    },
    "video/plan.py": {
        "DEPTH = (33) # packets: no codec stores a frame more than 16 before or after its turn": (
            "no stream needs the last half of them"
        ),
        "until_s: float = (1.0)": "set before a picture is needed",
    },
    "video/sparse.py": {
        "self._whole = (True) # both fields of a picture are in one packet for certain": (
            "set before decoding"
        ),
    },
    "evaluation/metrics.py": {
        'command = ["java", "-cp", (jar), "edu.stanford.nlp.process.PTBTokenizer"]': (
            "a path will do, too"
        ),
    },
    "video/windows.py": {
        "MOST_TIMES = (10000001) # at which a video is sampled": "the tests set one of their own",
        "while waiting and (waiting[0][0] < span.start_s):": "the heap has the same order",
    },
    "find/meaning.py": {
        "_AT_ONCE = (2) << 18 # bytes of vectors: as float32 they stay in the processor's cache": (
            "slower, the same windows"
        ),
        "held = (1)": "one byte sooner, the same windows",
    },
    "batch/ledger.py": {
        "_FLAGS = (os.O_RDWR | os.O_APPEND | os.O_CREAT)": "O_BINARY is for Windows",
        '_FLAGS = (os.O_RDWR) | os.O_CREAT | getattr(os, "O_BINARY", 0)': (
            "noticed by several processes, whose module is not changed"
        ),
        "assert (self._descriptor is None)": (
            "noticed by several processes, whose module is not changed"
        ),
        "without self._lock(offset, 1)": (
            "noticed by several processes, whose module is not changed"
        ),
        "return os.open(path, _FLAGS, (439))": "the umask decides, too",
        'data = b"\\n" * (os.read(descriptor, (2)) != b"\\n") + data': "one byte is left to read",
        "(descriptor)": "a power cut alone shows that a row is on disk",
        "without os.fsync(descriptor)": "a power cut alone shows that a row is on disk",
    },
}

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
    text: str  # of the lines that are changed, or what they are without
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
        case ast.UnaryOp(ast.Not() | ast.Invert(), operand):
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
            for keyword in (each for each in keywords if each.arg not in KEPT):
                yield ast.Call(function, arguments, [each for each in keywords if each != keyword])
        case ast.Expr(ast.Call()) | ast.AugAssign():
            yield None


def mutants(source: bytes) -> list[Mutant]:
    """All of a module, in the order of the lines."""
    lines = source.splitlines(keepends=True)
    starts = [sum(map(len, lines[:i])) for i in range(len(lines))]
    tree = ast.parse(source)
    pending: list[ast.AST] = [tree]
    found = []
    while pending:
        node = pending.pop()
        skipped = {"annotation", "returns", "decorator_list"}
        pending += [
            child
            for name, value in ast.iter_fields(node)
            if name not in skipped and not isinstance(node, ast.Raise | ast.JoinedStr)
            if not (isinstance(node, ast.keyword) and node.arg in KEPT)
            for child in (value if isinstance(value, list) else [value])
            if isinstance(child, ast.AST)
        ]
        for variant in variants(node):
            first = starts[node.lineno - 1] + node.col_offset
            last = starts[node.end_lineno - 1] + node.end_col_offset
            new = "pass" if variant is None else f"({ast.unparse(variant)})"
            changed = source[:first] + new.encode() + source[last:]
            end = starts[node.end_lineno] if node.end_lineno < len(starts) else len(source)
            text = changed[starts[node.lineno - 1] : len(changed) - (len(source) - end)]
            if variant is None:
                text = b"without " + source[first:last]
            found.append(Mutant(node.lineno, " ".join(text.decode().split()), changed))
    return sorted(found)


def survives(module: str, source: bytes) -> bool:
    """Whether the module's tests pass where it has this source."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        os.dup2(1, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("modules", nargs="*", default=list(TESTS), metavar="MODULE[:LINE]")
    parser.add_argument("--sample", type=int, help="how many mutants of each module")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    gc.freeze()
    unexplained = 0
    for each in asked.modules:
        module, _, line = each.partition(":")
        source = (ROOT / "vidcaption" / module).read_bytes()
        if not survives(module, source):
            print(f"{module}: its tests fail as it is")
            return 1
        chosen = [mutant for mutant in mutants(source) if line in ("", str(mutant.line))]
        if asked.sample and asked.sample < len(chosen):
            chosen = sorted(random.Random(asked.seed).sample(chosen, asked.sample))
        alive = 0
        for mutant in chosen:
            if survives(module, mutant.source):
                alive += 1
                why = ALIVE.get(module, {}).get(mutant.text)
                unexplained += why is None
                print(f"{module}:{mutant.line}: {mutant.text}  # {why or '?'}", flush=True)
        print(f"{module}: {alive} of {len(chosen)} mutants live", flush=True)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())

"""Which module may import which: from the rooms below its own, and never in a circle."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import vidcaption

ROOT = Path(vidcaption.__file__).parent
# From top to bottom; those of a line do not import each other.
ROOMS = """
    __main__
    cli
    doctor
    serve
    scale
    find live
    batch
    training
    report
    pipeline
    captioning
    batcher
    evaluation
    store
    datasets
    output
    video
    model
    types
    options suffixes
    remote
    addresses
    errors reasons events version cpus
"""
LEVEL = {
    name: level
    for level, names in enumerate(reversed(ROOMS.strip().splitlines()))
    for name in names.split()
}


def imports() -> dict[str, set[str]]:
    """What each module of the package imports of it, anywhere, also for type checkers alone."""
    paths = {
        ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path
        for path in ROOT.rglob("*.py")
    }
    found: dict[str, set[str]] = {}
    for name, path in paths.items():
        for node in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            names = {alias.name for alias in node.names}
            if isinstance(node, ast.ImportFrom) and node.module:
                modules = {f"{node.module}.{each}" for each in names}
                names = modules & paths.keys() or {node.module}
            found.setdefault(name, set()).update(names & paths.keys())
    return found


def room(module: str) -> str:
    return module.split(".")[1]


def test_every_room_has_a_place() -> None:
    rooms = {room(name) for name in imports() if name != "vidcaption"}
    assert not rooms - LEVEL.keys(), "give them lines in ROOMS, as in the design"


def test_imports_go_down() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, others in imports().items()
        for other in others
        if name != "vidcaption"  # which imports what is public, from many rooms
        and (
            other == "vidcaption"
            or (room(name) != room(other) and LEVEL[room(name)] <= LEVEL[room(other)])
        )
    ]
    assert not wrong


def test_nothing_below_the_command_line_draws() -> None:
    drawing = [
        path.relative_to(ROOT)
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
        if name.split(".")[0] in ("rich", "tqdm", "typer", "click")
    ]
    assert {path.parts[0] for path in drawing} <= {"cli"}, drawing


def test_no_circles() -> None:
    list(TopologicalSorter(imports()).static_order())  # raises CycleError


def test_commands_stand_alone() -> None:
    """What several share is in the modules beside them, which do not know them."""
    commands = "vidcaption.cli.commands."
    wrong = [
        f"{name} imports {other}"
        for name, others in imports().items()
        for other in others
        if other.startswith(commands) and name != other
    ]
    assert not wrong


def test_only_the_command_line_knows_typer() -> None:
    pattern = re.compile(r"^\s*(?:import|from) typer\b", re.MULTILINE)
    users = {path for path in ROOT.rglob("*.py") if pattern.search(path.read_text())}
    assert {path.relative_to(ROOT).parts[0] for path in users} == {"cli"}

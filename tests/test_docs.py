"""The documents say what the commands do: links, options, commands and what they print."""

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import every, write_clip
from runs import all_options, check_arguments
from tiny import write_tiny

from vidcaption.cli import main
from vidcaption.cli.settings import presets
from vidcaption.options.base import Options, choices_of, flag_of
from vidcaption.options.batch import BatchOptions, RayOptions
from vidcaption.options.captioning import CaptionOptions, MachineOptions
from vidcaption.options.output import LogOptions, OutputOptions

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", *DOCS]
LINKING = [*PAGES, ROOT / "benchmarks/README.md", ROOT / "CHANGELOG.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OTHERS = ("ffmpeg", "gunicorn", "mkvmerge", "pip", "yt-dlp")  # whose options are not ours
# In a shell's line: the variables that are set for it, and its arguments.
COMMAND = re.compile(r"^((?:VIDCAPTION_\w+=\S+ )*)vidcaption (.+?)(?: +#.*| \|.*)?$")
# Commands that are quick to run, and options and names that need what these tests do not have.
QUICK = re.compile(r"(run|status|config|models (list|info)) ")
ELSEWHERE = re.compile(r"://|owner/name|my-model|--engine|--from-file|--start|\brun -")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return [code for name, code in BLOCK.findall(text_of(page)) if name == language]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def per_page(*pages: Path) -> Any:
    return pytest.mark.parametrize("page", pages, ids=named)


@pytest.mark.parametrize(
    "kind", [OutputOptions, BatchOptions, RayOptions, CaptionOptions, MachineOptions, LogOptions]
)
def test_every_flag_has_a_row_with_its_default(kind: type[Options]) -> None:
    lines = text_of(ROOT / "docs/usage.md").splitlines()
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("|")]
    for f in fields(kind):
        row = next((row for row in rows if f"`{flag_of(f)}`" in row[0]), None)
        assert row is not None, flag_of(f)
        if isinstance(f.default, int | float) and not isinstance(f.default, bool) and f.default:
            assert f"{f.default:g}" in re.findall(r"[\d.]+", row[1]), flag_of(f)
        for choice in choices_of(f):
            assert choice in "".join(row), flag_of(f)


def test_ci_runs_the_commands_of_the_readme() -> None:
    commands = re.findall(r'^readme "(.+)"$', (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert len(commands) == 2
    assert set(commands) <= set(text_of(ROOT / "README.md").splitlines())


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    readme = text_of(ROOT / "README.md")
    assert len(readme.splitlines()) < 200
    assert [page for page in DOCS if f"]({named(page)})" not in readme] == []


def anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub makes addresses of them, and its own anchors."""
    text = BLOCK.sub("", text_of(page))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
    return slugs | set(re.findall(r'<a id="(.+?)">', text))


@per_page(*LINKING)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", text_of(page))):
        path, _, anchor = link.partition("#")
        if path.startswith(("https:", "http:")):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT) and target.exists(), link
        assert not anchor or anchor in anchors(target), link


def commands(page: Path) -> Iterator[tuple[dict[str, str], list[str]]]:
    """What shell blocks call ``vidcaption`` with: variables and arguments."""
    for line in "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines():
        if found := COMMAND.match(line):
            variables = dict(each.split("=", 1) for each in found[1].split())
            yield variables, shlex.split(found[2])


@per_page(*PAGES)
def test_commands_exist_with_their_arguments(page: Path) -> None:
    for _, args in commands(page):
        check_arguments([*args])


@per_page(*PAGES)
def test_options_exist(page: Path) -> None:
    known = all_options()
    spans = re.findall(r"`([^`\n]+)`", BLOCK.sub("", text_of(page)))
    for span in spans:
        if not span.startswith(OTHERS):
            for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z](?![\w-])", span):
                assert flag in known, f"{flag} in {span!r}"


@pytest.fixture
def footage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the commands of the documents name, and a model that captions in no time."""
    monkeypatch.chdir(tmp_path)
    clip = write_clip(tmp_path / "talk.mp4", every(0.1, 20))
    examples = ("examples/clip.mp4", "examples/street.mp4")
    for name in ("clip.mp4", "camera.mp4", "videos/a.mp4", "videos/sub/b.mp4", *examples):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, tmp_path / name)
    write_clip(tmp_path / "walk.mkv", every(0.1, 20))
    monkeypatch.setenv("VIDCAPTION_RUN_MODEL", str(write_tiny(tmp_path / "tiny")))
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    return tmp_path


@per_page(*PAGES)
def test_commands_work(page: Path, footage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the README caption; most others are only planned, to save time."""
    for variables, args in commands(page):
        line = " ".join(args)
        if not QUICK.match(line) or ELSEWHERE.search(line):
            continue
        if args[0] == "run" and page.name != "README.md" and "--manifest" not in args:
            args.append("--dry-run")
        with monkeypatch.context() as changed:
            for name, value in variables.items():
                changed.setenv(name, value)
            assert main(args) == 0, line


@per_page(*(page for page in PAGES if "```console\n" in text_of(page)))
def test_what_is_printed_is_what_the_page_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the built-in model, in fp32, which captions alike on every machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "examples").mkdir()
    for name in ("clip.mp4", "street.mp4"):
        shutil.copy(ROOT / "examples" / name, tmp_path / "examples")
    for block in blocks(page, "console"):
        shown = ""
        for line in block.splitlines():
            if line.startswith("$ vidcaption "):
                assert main(shlex.split(line)[2:]) == 0, line
                shown += line + "\n" + capsys.readouterr().out
        assert shown == block


@per_page(*(page for page in PAGES if "```python\n" in text_of(page)))
def test_python_runs(page: Path, footage: Path) -> None:
    frames = np.zeros((4, 48, 64, 3), np.uint8)
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), {"frames": frames, "times": [0.0, 0.1, 0.2, 0.3]})
    assert (footage / "clip.srt").is_file()


@per_page(*(page for page in PAGES if "```toml\n" in text_of(page)))
def test_toml_is_toml(page: Path) -> None:
    assert all(tomllib.loads(code) for code in blocks(page, "toml"))


def test_every_preset_has_a_row() -> None:
    papers = text_of(ROOT / "docs/presets.md").partition("## Scores")[0]
    rows = re.findall(r"^\| `([\w-]+)` \|", papers, re.MULTILINE)
    assert sorted(rows) == list(presets())

"""``vidcaption report``: which pages are written, from which captions, and what is left alone."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from clips import Clips, every, write_clip
from tiny import write_tiny

from vidcaption.cli import main

QUICK = ["--beam", "1", "--frames", "1", "--max-words", "4"]


@pytest.fixture
def clip(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDCAPTION_REPORT_MODEL", str(tiny))
    return write_clip(tmp_path / "clip.mp4", every(0.1, 10))


def report(*arguments: str | Path, capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    """What the command says on standard error."""
    assert main(["report", *map(str, arguments), *QUICK]) == code
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_a_page_again(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = clip.with_suffix(".html")
    assert report(clip, capsys=capsys) == f"vidcaption: {clip} -> {page}\n"
    assert {path.name for path in clip.parent.iterdir()} == {"clip.mp4", "clip.html"}
    assert f"{page} is up to date; --force writes it again" in report(clip, capsys=capsys)
    assert f"{clip} -> {page}" in report(clip, "--embed", capsys=capsys)  # another page
    os.utime(clip, (1, 1))  # another video
    assert f"{clip} -> {page}" in report(clip, "--embed", capsys=capsys)
    assert f"{clip} -> {page}" in report(clip, "--embed", "--force", capsys=capsys)


def test_captions_that_run_wrote_are_taken(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, page = clip.with_suffix(".json"), clip.with_suffix(".html")
    model = os.environ["VIDCAPTION_REPORT_MODEL"]
    assert main(["run", str(clip), "--json", "-q", "--model", model, *QUICK]) == 0
    document = json.loads(source.read_text())
    document["segments"][0]["text"] = "Edited by me"
    source.write_text(json.dumps(document))
    assert f"{clip}: captions from {source}" in report(clip, capsys=capsys)
    assert "Edited by me" in page.read_text()

    document["model"]["sha256"] = "0" * 64
    source.write_text(json.dumps(document))
    err = report(clip, capsys=capsys)
    assert f"{source} was made by another model; {clip} is captioned again" in err
    assert "Edited by me" not in page.read_text()

    os.utime(source, (1, 1))  # older than the video
    assert str(source) not in report(clip, capsys=capsys)

    source.write_text("no JSON")
    assert f"{source} is not JSON as this version" in report(clip, capsys=capsys, code=1)


def test_captions_of_several_models_are_theirs_alone(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = ["--model", str(write_tiny(tmp_path / "a")), "--model", str(tmp_path / "b")]
    write_tiny(tmp_path / "b", seed=1)
    source = clip.with_suffix(".json")
    assert main(["run", str(clip), "--json", "-q", *mixed[:3], f"{mixed[3]}=0.5", *QUICK]) == 0
    assert f"captions from {source}" in report(clip, *mixed[:3], f"{mixed[3]}=0.5", capsys=capsys)
    for others in ([], ["--model", f"{mixed[3]}=0.4"]):
        err = report(clip, *mixed[:2], *others, capsys=capsys)
        assert f"{source} was made by another model" in err


def test_a_folder_has_an_index(
    clip: Path, clips: Clips, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sub").mkdir()
    shutil.copy(clip, tmp_path / "sub/more.mkv")
    shutil.copy(clips["still.jpg"], tmp_path / "still.jpg")
    (tmp_path / "broken.mp4").write_text("no video")
    out = tmp_path / "out"
    err = report(tmp_path, "-r", "--out-dir", out, capsys=capsys, code=1)
    assert "broken.mp4 is not a video" in err and f"3 pages -> {out / 'index.html'}" in err
    index = (out / "index.html").read_text()
    links = re.findall(r'<h2><a href="(.*?)"', index)
    assert links == ["clip.html", "still.html", "sub/more.html"]
    player = re.search(r'<video[^>]* src="(.*?)"', (out / "sub/more.html").read_text())
    assert player is not None
    assert (out / "sub" / player[1]).samefile(tmp_path / "sub/more.mkv")


def test_an_index_keeps_the_pages_it_has(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    names = ["clip10.mp4", "clip2.mp4", "clip1.mp4"]
    for count, name in enumerate(names, 1):
        video = shutil.copy(clip, tmp_path / name)
        pages = "1 page" if count == 1 else f"{count} pages"
        assert f"{pages} -> {out / 'index.html'}" in report(video, "--out-dir", out, capsys=capsys)
    (tmp_path / "bad.mp4").write_text("no video")
    for pages in (["clip1.html", "clip2.html", "clip10.html"], ["clip1.html", "clip10.html"]):
        err = report(tmp_path / "bad.mp4", "--out-dir", out, capsys=capsys, code=1)
        assert f"{len(pages)} pages -> {out / 'index.html'}" in err
        links = re.findall(r'<h2><a href="(.*?)"', (out / "index.html").read_text())
        assert links == pages
        (out / "clip2.html").unlink(missing_ok=True)


def test_pages_of_others_stay(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = [clip.with_suffix(".html"), clip.with_name("index.html")]
    for page in pages:
        page.write_text("mine")
    err = report(clip.parent, capsys=capsys)
    for page in pages:
        assert f"{page} was not written by this command; --force replaces it" in err
        assert page.read_text() == "mine"
    report(clip.parent, "--force", capsys=capsys)
    assert all("vidcaption" in page.read_text() for page in pages)


def test_a_page_is_of_one_video(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also if the other of the same name comes in a command of its own."""
    other = shutil.copy(clip, clip.with_suffix(".mkv"))
    report(clip, capsys=capsys)
    assert f"-> {other}.html" in report(other, capsys=capsys)


def test_a_still_has_a_page(
    clips: Clips, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = shutil.copy(clips["still.png"], tmp_path / "still.png")
    report(still, capsys=capsys)
    assert "<video" not in (tmp_path / "still.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.mp4"], 2, "no such file or folder: missing.mp4"),
        (["{clip}", "--out-dir", "{clip}"], 3, "cannot be written"),
        (
            ["{clip}", "--model", "{folder}"],
            3,
            "is not a model folder; give a folder with config.json",
        ),
    ],
)
def test_wrong_commands(
    clip: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    filled = [each.format(clip=clip, folder=clip.parent) for each in arguments]
    err = report(*filled, capsys=capsys, code=code)
    assert message in err and err.count("\n") == 1


def test_a_page_that_cannot_be_written_costs_itself_alone(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(clip, tmp_path / "other.mp4")
    (tmp_path / "clip.html").mkdir()
    err = report(clip, tmp_path / "other.mp4", "--force", capsys=capsys, code=1)
    assert "clip.html" in err and (tmp_path / "other.html").is_file()

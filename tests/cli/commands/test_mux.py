"""``vidcaption mux``: from captions that are there, or new ones, to another video."""

import shutil
from pathlib import Path

import av
import pytest
from clips import Clips, every, write_clip
from tiny import write_tiny

from vidcaption.cli import main

QUICK = ["--beam", "1", "--frames", "1", "--max-words", "4"]
SRT = "1\n00:00:00,000 --> 00:00:01,000\n{}\n"


@pytest.fixture
def clip(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDCAPTION_MUX_MODEL", str(tiny))
    return write_clip(tmp_path / "clip.mp4", every(0.1, 10))


def said(path: Path) -> bytes:
    """All data of the subtitle track."""
    with av.open(str(path)) as container:
        [track] = container.streams.subtitles
        return b"".join(map(bytes, container.demux(track)))


def test_captions_are_made_where_there_are_none(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mux", str(clip), *QUICK]) == 0
    target = clip.with_name("clip.captioned.mp4")
    assert capsys.readouterr() == ("", f"vidcaption: {clip} -> {target}\n")
    assert len(said(target)) > 5
    assert {path.name for path in clip.parent.iterdir()} == {"clip.mp4", target.name}


def test_several_models_caption_together(clip: Path, tmp_path: Path) -> None:
    first, second = write_tiny(tmp_path / "a"), write_tiny(tmp_path / "b", seed=1)
    said_by = {}
    for models in ([first], [first, f"{second}=1"], [second]):
        options = [x for each in models for x in ("--model", str(each))]
        assert main(["mux", str(clip), "--force", *options, *QUICK]) == 0
        said_by[len(said_by)] = said(clip.with_name("clip.captioned.mp4"))
    assert said_by[0] != said_by[1] == said_by[2]


def test_no_caption_reaches_the_confidence_asked_for(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sure = ["--model", "default", "--min-confidence", "1"]
    assert main(["mux", str(clip), *QUICK, *sure]) == 1
    assert "none reaches --min-confidence" in capsys.readouterr().err
    assert not clip.with_name("clip.captioned.mp4").exists()


def test_edited_captions_are_taken(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip.with_suffix(".srt").write_text(SRT.format("Mine"))
    (clip.parent / "other.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nOther\n")
    targets = [clip.parent / name for name in ("a.mkv", "b.mkv")]
    assert main(["mux", str(clip), "-o", str(targets[0])]) == 0
    assert f"captions from {clip.with_suffix('.srt')}" in capsys.readouterr().err
    other = ["--subtitles", str(clip.parent / "other.vtt")]
    assert main(["mux", str(clip), "-o", str(targets[1]), *other]) == 0
    assert list(map(said, targets)) == [b"Mine", b"Other"]


def test_captions_end_with_the_video(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cues = ("00:00.000 --> 99:99:99.999\nMine", "00:00:05.000 --> 00:00:06.000\nLate")
    clip.with_suffix(".vtt").write_text("\n\n".join(("WEBVTT", *cues, "")))
    assert main(["mux", str(clip), "-o", str(clip.parent / "a.mkv")]) == 0
    assert "left out 1 cue after the end of the video" in capsys.readouterr().err
    assert said(clip.parent / "a.mkv") == b"Mine"
    with av.open(str(clip.parent / "a.mkv")) as container:
        assert container.duration == 1_000_000  # µs


def test_captions_of_the_video_of_the_same_name_are_not_taken(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copy(clip, clip.with_suffix(".mkv"))
    assert main(["run", str(clip), "--srt", *QUICK]) == 0
    clip.with_suffix(".mkv.srt").write_text(SRT.format("Mine"))
    assert main(["mux", str(other)]) == 0
    assert said(clip.with_name("clip.captioned.mkv")) == b"Mine"


def test_a_folder_again(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was made of a video is not taken for one, and stays, unless it is to be replaced."""
    (clip.parent / "broken.mp4").write_text("no video")
    clip.with_suffix(".srt").write_text(SRT.format("Mine"))
    assert main(["mux", str(clip.parent), *QUICK]) == 1
    [line] = [line for line in capsys.readouterr().err.splitlines() if "broken" in line]
    assert "broken.mp4 is not a video" in line
    target = clip.with_name("clip.captioned.mp4")
    clip.with_suffix(".srt").write_text(SRT.format("New"))
    assert main(["mux", str(clip), str(target.parent), *QUICK]) == 1
    assert f"{target} exists and is kept; --force replaces it" in capsys.readouterr().err
    assert b"Mine" in said(target)
    assert main(["mux", str(clip), "--force"]) == 0
    assert b"New" in said(target)
    assert not list(clip.parent.glob("*captioned.captioned*"))


def test_other_containers_become_matroska(clips: Clips, tmp_path: Path) -> None:
    video = shutil.copy(clips["mjpeg.avi"], tmp_path / "old.avi")
    (tmp_path / "old.srt").write_text(SRT.format("Mine"))
    assert main(["mux", str(video), "-q"]) == 0
    assert said(tmp_path / "old.captioned.mkv") == b"Mine"


def test_burning(clip: Path) -> None:
    clip.with_suffix(".srt").write_text(SRT.format("Mine"))
    assert main(["mux", str(clip), "--burn", "-q"]) == 0
    with av.open(str(clip.with_name("clip.captioned.mp4"))) as container:
        assert [stream.type for stream in container.streams] == ["video"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.mp4"], "no such file or folder: missing.mp4"),
        (["{clip}", "-o", "{clip}"], "which is the input; choose another name"),
        (["{clip}", "-o", "x.avi"], "x.avi must end in one of .mp4, .m4v, .mov, .mkv, .webm"),
        (["{clip}", "{folder}", "-o", "x.mp4"], "--output is for one video, and there are 2"),
        (["{clip}", "--subtitles", "x.srt"], "--subtitles is x.srt, which does not exist"),
        (["{clip}", "--font", "x.ttf"], "--font needs --burn"),
        (["{clip}", "--language", "english"], "--language is 'english'; give three letters"),
    ],
)
def test_wrong_commands(
    clip: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (clip.parent / "second.mp4").touch()
    filled = [each.format(clip=clip, folder=clip.parent) for each in arguments]
    assert main(["mux", *filled]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1


def test_subtitles_that_cannot_be_read(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip.with_suffix(".srt").write_text("no subtitles")
    assert main(["mux", str(clip)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "clip.srt contains no cue that can be read" in line
    assert not clip.with_name("clip.captioned.mp4").exists()


@pytest.mark.parametrize("name", ["clip.srt", "clip.mp4"])
def test_subtitles_are_read_where_the_output_exists(
    clip: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    target = clip.with_name("clip.captioned.mp4")
    target.write_text("before")
    (clip.parent / "clip.srt").write_text("no subtitles")
    command = ["mux", str(clip), "--subtitles"]
    assert main([*command, str(clip.parent / name)]) == 1
    kept, wrong = capsys.readouterr().err.splitlines()
    assert f"{target} exists and is kept" in kept and f"{name} " in wrong
    (clip.parent / "clip.srt").write_text(SRT.format("Mine"))
    assert main([*command, str(clip.parent / "clip.srt")]) == 0
    assert target.read_text() == "before"

"""Subtitles in a copy of a video: what was there stays as it was."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import Clips, every, number_of, write_clip, write_sound

from vidcaption.errors import InputError, OutputError, UsageError
from vidcaption.output.burn import burn_subtitles
from vidcaption.output.layout import Cue
from vidcaption.output.mux import add_subtitles
from vidcaption.video.reader import VideoReader, probe

CUES = [Cue(200, 500, ("A dog & a <cat>", "{run} on")), Cue(700, 1000, (r"ü 犬 C:\new",))]
TEXTS = ["A dog & a <cat>\n{run} on", "ü 犬 C:\uff3cnew"]


def ignore(seconds: float) -> None:
    pass


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of video with half a second of sound, with metadata and a chapter."""
    folder = tmp_path_factory.mktemp("talk")
    parts = [write_clip(folder / "v.mp4", every(0.1, 10)), write_sound(folder / "a.mp4")]
    path = folder / "talk.mp4"
    with av.open(str(path), "w") as output:
        output.metadata["title"] = "A talk"
        output.set_chapters(
            [{"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {}}]
        )
        sources = [av.open(str(part)) for part in parts]
        copies = [output.add_stream_from_template(source.streams[0]) for source in sources]
        copies[1].metadata["language"] = "fra"
        for source, copy in zip(sources, copies, strict=True):
            for packet in source.demux(source.streams[0]):
                if packet.dts is not None:
                    packet.stream = copy
                    output.mux(packet)
            source.close()
    return path


def content(path: Path, kind: str) -> list[tuple[float, bytes]]:
    """(seconds, data) of each packet of the first stream of a kind."""
    with av.open(str(path)) as container:
        stream = next(each for each in container.streams if each.type == kind)
        return [
            (round(float((p.pts or 0) * (p.time_base or 0)), 3), bytes(p))
            for p in container.demux(stream)
            if p.size
        ]


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.mov", "OUT.M4V"])
def test_streams_stay_as_they_are(talk: Path, tmp_path: Path, name: str) -> None:
    seen: list[float] = []
    add_subtitles(talk, CUES, tmp_path / name, "ita", seen.append)
    for kind in ("video", "audio"):
        assert content(tmp_path / name, kind) == content(talk, kind)
    with av.open(str(tmp_path / name)) as container:
        assert [stream.type for stream in container.streams][:3] == ["video", "audio", "subtitle"]
        assert container.streams.audio[0].language == "fra"
        assert container.streams.subtitles[0].language == "ita"
        assert container.metadata["title"] == "A talk"
        assert len(container.chapters()) == 1
    said = [(at_s, data) for at_s, data in content(tmp_path / name, "subtitle") if data[2:]]
    assert [at_s for at_s, _ in said] == [0.2, 0.7]
    for (_, data), text in zip(said, TEXTS, strict=True):
        assert data.endswith(text.encode())  # in MP4 the length stands before it
    assert max(seen) == 0.7
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_webm(clips: Clips, tmp_path: Path) -> None:
    source, target = clips["vp9.webm"], tmp_path / "out.webm"
    add_subtitles(source, CUES, target, "eng", ignore)
    assert content(target, "video") == content(source, "video")
    assert content(target, "subtitle")[0] == (0.2, b"A dog &amp; a &lt;cat&gt;\n{run} on")


def test_subtitles_that_were_there_stay(talk: Path, tmp_path: Path) -> None:
    one, both, other = tmp_path / "one.mp4", tmp_path / "both.mp4", tmp_path / "other.mkv"
    add_subtitles(talk, CUES[:1], one, "eng", ignore)
    add_subtitles(one, CUES[1:], both, "deu", ignore)
    add_subtitles(one, CUES[1:], other, "deu", ignore)  # Matroska cannot hold those of MP4
    languages = []
    for path in (both, other):
        with av.open(str(path)) as container:
            languages.append([track.language for track in container.streams.subtitles])
    assert languages == [["eng", "deu"], ["deu"]]


def test_captions_stay_with_frames_of_a_video_that_begins_late(
    clips: Clips, tmp_path: Path
) -> None:
    add_subtitles(clips["delayed.mkv"], CUES, tmp_path / "out.mkv", "eng", ignore)
    assert [seconds for seconds, _ in content(tmp_path / "out.mkv", "subtitle")] == [2.2, 2.7]


def test_a_turned_video_stays_turned(clips: Clips, tmp_path: Path) -> None:
    add_subtitles(clips["turned_90.mp4"], CUES, tmp_path / "soft.mp4", "eng", ignore)
    assert probe(tmp_path / "soft.mp4").rotation == 90


def test_what_a_file_lacks_at_its_end_is_told(clips: Clips, tmp_path: Path) -> None:
    add_subtitles(clips["truncated.mp4"], CUES, tmp_path / "out.mp4", "eng", ignore)
    assert 0 < len(content(tmp_path / "out.mp4", "video")) < 20


@pytest.mark.parametrize("burn", [False, True])
@pytest.mark.parametrize(
    ("source", "target", "kind", "message"),
    [
        ("h264.mp4", "out.avi", UsageError, r"out.avi must end in one of \.mp4, .* \.webm"),
        ("still.jpg", "out.mp4", InputError, "still.jpg is a still image"),
        ("noise.mp4", "out.mp4", InputError, "noise.mp4 is not a video"),
        ("sound.mp4", "out.mp4", InputError, "sound.mp4 holds sound but no video"),
    ],
)
def test_what_cannot_be(
    clips: Clips, tmp_path: Path, source: str, target: str, kind: type[Exception], message: str,
    burn: bool,
) -> None:  # fmt: skip
    with pytest.raises(kind, match=message):
        if burn:
            burn_subtitles(clips[source], CUES, tmp_path / target, None, ignore)
        else:
            add_subtitles(clips[source], CUES, tmp_path / target, "eng", ignore)
    assert not list(tmp_path.iterdir())


def test_a_container_that_cannot_hold_the_streams(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"out\.webm cannot hold .* \(h264\); name .*\.mkv"):
        add_subtitles(clips["h264.mp4"], CUES, tmp_path / "out.webm", "eng", ignore)
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written(clips: Clips, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"out\.mp4 cannot be written"):
        add_subtitles(clips["h264.mp4"], CUES, tmp_path / "file/out.mp4", "eng", ignore)


def test_an_interrupt_leaves_the_old_file(clips: Clips, tmp_path: Path) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    (tmp_path / "out.mp4").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        add_subtitles(clips["h264.mp4"], CUES, tmp_path / "out.mp4", "eng", interrupt)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def frames(path: Path) -> list[tuple[float, "np.ndarray[Any, Any]"]]:
    with VideoReader(path) as reader:
        return [(round(frame.pts_s, 3), frame.image) for frame in reader.frames()]


def test_burned_captions_are_in_the_picture_at_their_times(talk: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    burn_subtitles(talk, CUES, target, None, ignore)
    before, after = frames(talk), frames(target)
    assert [at_s for at_s, _ in after] == [at_s for at_s, _ in before]
    for (at_s, image), (_, old) in zip(after, before, strict=True):
        assert number_of(image[:16]) == number_of(old[:16])  # above the text
        changed = np.abs(image.astype(int) - old).max() > 150
        assert changed == (0.2 <= at_s < 0.5 or 0.7 <= at_s < 1.0), at_s
    assert content(target, "audio") == content(talk, "audio")


@pytest.mark.parametrize("name", ["odd.mp4", "ten_bit.mp4", "turned_90.mp4", "vfr.mp4", "vp9.webm"])
def test_burning_into_all_kinds(clips: Clips, tmp_path: Path, name: str) -> None:
    """Frames stand upright and keep their times, also of an odd size."""
    source, target = clips[name], tmp_path / f"out{Path(name).suffix}"
    burn_subtitles(source, [Cue(0, 100, ("x",))], target, None, ignore)
    before, after = frames(source), frames(target)
    assert [at_s for at_s, _ in after] == [at_s for at_s, _ in before]
    info = probe(target)
    height, width = before[0][1].shape[:2]
    assert (info.width, info.height, info.rotation) == (width // 2 * 2, height // 2 * 2, 0)
    if "turned" not in name:
        assert [number_of(image[:16]) for _, image in after] == list(range(len(after)))


def test_colours_survive(tmp_path: Path) -> None:
    """Those of a picture that is large enough to count as BT.709, too."""
    red = np.full((720, 1280, 3), (200, 30, 60), np.uint8)
    source = write_clip(tmp_path / "a.mp4", [0.0], [red], size=(1280, 720))
    with av.open(str(source)) as container:
        was = next(container.decode(video=0)).to_ndarray(format="rgb24")
    burn_subtitles(source, [Cue(0, 1000, ("x",))], tmp_path / "b.mp4", None, ignore)
    with VideoReader(tmp_path / "b.mp4") as reader:
        [now] = [frame.image for frame in reader.frames()]
    assert np.abs(now[:300].astype(int).mean((0, 1)) - was[:300].mean((0, 1))).max() < 4


def test_a_long_line_is_made_to_fit(tmp_path: Path) -> None:
    grey = np.full((240, 320, 3), 90, np.uint8)
    source = write_clip(tmp_path / "a.mp4", [0.0], [grey], size=(320, 240))
    burn_subtitles(source, [Cue(0, 1000, ("m" * 42,))], tmp_path / "b.mp4", None, ignore)
    [(_, image)] = frames(tmp_path / "b.mp4")
    assert np.abs(image[:, :3].astype(int) - 90).max() < 25  # nothing at the sides
    assert np.abs(image.astype(int) - 90).max() > 60


def test_a_font_that_is_none(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--font is .*text\.txt, not a TrueType"):
        burn_subtitles(clips["h264.mp4"], CUES, tmp_path / "out.mp4", clips["text.txt"], ignore)

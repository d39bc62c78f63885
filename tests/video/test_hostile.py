"""Whatever a file holds, it costs bounded time and memory, and at most one sentence.

The workers of these tests may use 1 GiB; those of ``vidcaption run`` may use four.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from clips import every, picture, write_clip, write_image
from heif import write_grid
from hostile import LARGEST, LIES, Change, cuts, mutated, mutations
from hypothesis import HealthCheck, given, settings

from vidcaption.errors import InputError
from vidcaption.options.captioning import CaptionOptions
from vidcaption.video import batches
from vidcaption.video.batches import WindowReader
from vidcaption.video.protocol import Request
from vidcaption.video.workers import RemoteReader, Workers

CLIP = Path(__file__).parent.parent.parent / "examples/clip.mp4"
SIZE = (64, 64)
HOURS = CaptionOptions(window_s=3600, frames=2)
MOST_S = 30.0  # on a slow machine; a tenth of --file-timeout
MOST_BYTES = 2**30
CODE_BYTES = 2**28  # of libraries and shared memory, which the limit does not count


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    av.logging.set_level(None)
    with Workers(1, timeout_s=MOST_S, memory_bytes=MOST_BYTES) as workers:
        yield workers


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Small valid files, by suffix; two kinds of MP4."""
    folder = tmp_path_factory.mktemp("seeds")
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    return {
        "mp4": write_clip(folder / "a.mp4", every(0.1, 20)),
        "fragments": write_clip(folder / "b.mp4", every(0.1, 20), mux=fragments),
        "mkv": write_clip(folder / "c.mkv", every(0.1, 20)),
        "webm": write_clip(folder / "d.webm", every(0.1, 10), codec="libvpx-vp9"),
        "ts": write_clip(folder / "e.ts", every(0.1, 10)),
        "avi": write_clip(folder / "f.avi", every(0.1, 10), codec="mjpeg", pix_fmt="yuvj420p"),
        "gif": write_clip(folder / "g.gif", every(0.1, 5), codec="gif", pix_fmt="rgb8"),
        "png": write_image(folder / "h.png"),
        "heic": write_grid(folder / "i.heic", picture(5), 2, 2),
        "avif": write_grid(folder / "j.avif", picture(5), 2, 2),
    }


def read(workers: Workers, path: Path, options: CaptionOptions = HOURS) -> int | str:
    """How many windows a file gives, or why it gives none. Fails if it costs more than it may."""
    began_s = time.monotonic()
    reader = RemoteReader(workers, Request(path, SIZE, options, 8))
    result: int | str = 0
    try:
        with reader:
            while batch := reader.read():
                assert isinstance(result, int)
                result += len(batch)
    except InputError as error:
        result = str(error)
        assert result.startswith(str(path))
        result = result.removeprefix(str(path))
        assert "unexpected" not in result and "crashed the process" not in result
        assert result.isprintable() and len(result) < 200
    assert time.monotonic() - began_s < MOST_S
    assert peak(workers) < MOST_BYTES + CODE_BYTES
    return result


def peak(workers: Workers) -> int:
    """Bytes of memory that the idle worker, if there is one, ever had."""
    if sys.platform != "linux" or not workers._idle:
        return 0
    status = Path(f"/proc/{workers._idle[-1]._process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def all_is_well(workers: Workers) -> bool:
    """Whether the next file is read as if nothing had happened."""
    return read(workers, CLIP, CaptionOptions(frames=1, end_s=4)) == 1 and not workers._busy


@pytest.mark.parametrize("name", sorted(LIES, key=repr), ids=ascii)
def test_a_lie_costs_little(workers: Workers, tmp_path: Path, name: str) -> None:
    try:
        LIES[name](tmp_path / name)
    except (OSError, UnicodeError) as error:
        pytest.skip(f"there can be no such file here: {error}")
    found = read(workers, tmp_path / name)
    assert isinstance(found, str) or 1 <= found <= 1000
    assert all_is_well(workers)


def test_how_lies_are_answered(workers: Workers, tmp_path: Path) -> None:
    """Tables and headers that lie do not hide what can be read."""

    def answer(name: str) -> int | str:
        LIES[name](tmp_path / name)
        return read(workers, tmp_path / name)

    for name in ("track_65535.mp4", "movie_long.mp4", "edit_64.mp4", "longest.mkv", "streams.mkv"):
        assert answer(name) == 1
    for name in ("30000.png", "bomb.png", "bomb.gif", "screen_65535.gif"):
        assert "over 134 million pixels" in str(answer(name))
    assert "1,000 streams" in str(answer("tracks.mp4"))
    assert "holds no video" in str(answer("subtitles.mkv"))


@pytest.mark.parametrize(
    "name", ["concat:a.mp4", "http:a.mp4", "pipe:0.mp4", "-f.mp4", "%03d.png", "*.png"]
)
def test_a_name_is_no_command(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What FFmpeg takes for a protocol, an option or a pattern is a file."""
    path = tmp_path / name
    try:
        write_image(tmp_path / "a.png").rename(path)
    except OSError as error:
        pytest.skip(f"there can be no such file here: {error}")
    monkeypatch.chdir(tmp_path)
    with WindowReader(Path(name), SIZE, HOURS, 8) as reader:
        assert len(reader.read()) == 1
    assert read(workers, path) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_pictures_stay_in_bounds(workers: Workers, tmp_path: Path, name: str) -> None:
    LARGEST[name](tmp_path / name)
    assert read(workers, tmp_path / name) in {
        1,
        " needs more memory than decoding may use; scale it down first",
        " has no frame that FFmpeg can decode; it may be damaged, cut off, an animated WebP, or "
        "over 134 million pixels in size",
    }
    assert all_is_well(workers)


@pytest.mark.parametrize("kind", ["mp4", "fragments", "mkv", "webm"])
def test_a_cut_at_each_boundary(
    workers: Workers, seeds: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    path = tmp_path / seeds[kind].name
    count = 0
    for data in cuts(seeds[kind]):
        path.write_bytes(data)
        found = read(workers, path)
        assert found == 1 or isinstance(found, str), len(data)
        count += 1
    assert count > 40
    assert all_is_well(workers)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=mutations())
@pytest.mark.parametrize(
    "kind", ["mp4", "fragments", "mkv", "webm", "ts", "avi", "gif", "png", "heic", "avif"]
)
def test_any_damage_costs_little(
    workers: Workers, seeds: dict[str, Path], tmp_path: Path, kind: str, changes: list[Change]
) -> None:
    path = tmp_path / seeds[kind].name
    path.write_bytes(mutated(seeds[kind].read_bytes(), changes))
    found = read(workers, path)
    assert isinstance(found, str) or 1 <= found <= 1000


def test_a_picture_stands_for_a_day_at_most(workers: Workers, tmp_path: Path) -> None:
    """More is a new clock, whatever the header says."""
    day = write_clip(tmp_path / "day.mkv", [0, 80_000], options={"bf": "0"})
    assert read(workers, day) == 22
    LIES["apart.mkv"](tmp_path / "apart.mkv")
    assert read(workers, tmp_path / "apart.mkv") == 1


def test_a_video_has_so_many_windows_at_most(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = write_clip(tmp_path / "day.mkv", [0, 80_000], options={"bf": "0"})
    monkeypatch.setattr(batches, "MOST_WINDOWS", 100)
    count = 0
    with (
        WindowReader(path, SIZE, CaptionOptions(frames=1), 8) as reader,
        pytest.raises(InputError, match=r"would be more than 100 windows; .*longer --window$"),
    ):
        while batch := reader.read():
            count += len(batch)
    assert 90 < count <= 100

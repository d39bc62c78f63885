"""Moments as files: what was cut shows the pictures of that time, and plays in order."""

import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Clips, every, number_of, picture, write_clip, write_image

from vidcaption.errors import InputError, OutputError
from vidcaption.find.clips import cut
from vidcaption.find.search import Moment

KEYS = {"g": "10", "sc_threshold": "0"}  # a key frame every ten


def moment(path: Path, start_s: float = 0.0, end_s: float = 4.0) -> Moment:
    return Moment(path, start_s, end_s, "A dog", 1.0, None, ())


def numbers(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [number_of(f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


def with_sound(path: Path) -> Path:
    """Four seconds of numbered pictures, a key frame each second, and sound as long."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10, options=KEYS)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=8000, layout="mono")
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24")
            container.mux(video.encode(frame))
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.float32), "fltp", "mono")
            samples.sample_rate, samples.pts = 8000, number * 800
            container.mux(sound.encode(samples))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_a_moment_begins_at_a_key_frame_and_has_its_sound(tmp_path: Path, suffix: str) -> None:
    source = with_sound(tmp_path / f"source{suffix}")
    path = cut(moment(source, 1.3, 2.5), tmp_path / "clips", 7)
    assert path == tmp_path / f"clips/007-source-1.3s{suffix}"
    shown = numbers(path)
    assert shown[:15] == list(range(10, 25))
    assert len(shown) <= 18  # some that pictures before them build on
    with av.open(str(path)) as container:
        (video,), (sound,) = container.streams.video, container.streams.audio
        assert abs((video.start_time or 0) * video.time_base) < 0.01
        packets = [p for p in container.demux(sound) if p.pts is not None]
        length_s = float((packets[-1].pts - packets[0].pts) * sound.time_base)
        assert 1.2 < length_s < 1.6
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_times_count_from_the_start_of_the_container(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "late.mkv", every(0.1, 30, start_s=5.0), options={**KEYS, "bf": "0"}
    )
    assert numbers(cut(moment(source, 1.0, 2.0), tmp_path, 1)) == list(range(10, 20))


@pytest.mark.parametrize("name", ["mjpeg.avi", "vp9.webm", "animated.gif", "h264.mp4"])
def test_containers(clips: Clips, tmp_path: Path, name: str) -> None:
    path = cut(moment(clips[name]), tmp_path, 1)
    with av.open(str(clips[name])) as whole:
        count = sum(1 for _ in whole.decode(video=0))
    kept = Path(name).suffix in {".avi", ".webm", ".gif", ".mp4"}
    assert path.suffix == (Path(name).suffix if kept else ".mkv")
    assert len(numbers(path)) == count


def test_a_picture_is_copied(tmp_path: Path) -> None:
    source = write_image(tmp_path / "still.png")
    path = cut(moment(source), tmp_path / "clips", 1)
    assert path.read_bytes() == source.read_bytes()


def test_what_cannot_be_cut(clips: Clips, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"noise\.mp4 is not a video"):
        cut(moment(clips["noise.mp4"]), tmp_path / "clips", 1)
    assert list((tmp_path / "clips").iterdir()) == []
    with pytest.raises(InputError, match=r"raw\.h264 cannot be cut: its packets have no times"):
        cut(moment(clips["raw.h264"]), tmp_path / "clips", 1)
    (tmp_path / "file").touch()
    with pytest.raises(
        OutputError, match=r"cannot be written: a file is where a folder is needed; choose"
    ):
        cut(moment(clips["h264.mp4"]), tmp_path / "file", 1)


def test_long_names_fit(tmp_path: Path, clips: Clips) -> None:
    source = tmp_path / ("長" * 80 + ".mp4")
    try:
        shutil.copy(clips["h264.mp4"], source)
    except OSError:
        pytest.skip("this file system takes shorter names alone")
    assert cut(moment(source), tmp_path / "clips", 1).exists()

import importlib.util
from pathlib import Path

import av
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_clip_is_small_and_cuts_every_four_seconds() -> None:
    assert (EXAMPLES / "clip.mp4").stat().st_size <= 300_000
    with av.open(str(EXAMPLES / "clip.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert [frame.time for frame in container.decode(stream) if frame.key_frame] == [
            *(0.0, 4.0, 8.0, 12.0, 16.0)
        ]
        assert stream.frames == 20 * 24


def test_make_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("make_clip", EXAMPLES / "make_clip.py")
    assert spec is not None and spec.loader is not None
    make_clip = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_clip)
    monkeypatch.setattr(make_clip, "SECONDS_PER_PHOTO", 1)
    make_clip.write(str(tmp_path / "clip.mp4"))
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5 * 24

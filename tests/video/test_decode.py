import pytest

from vidcaption.video.decode import threads


@pytest.mark.parametrize(("cpus", "expected"), [(1, 1), (2, 3), (8, 9), (15, 16), (64, 16)])
def test_threads_are_as_many_as_ffmpeg_chooses(
    monkeypatch: pytest.MonkeyPatch, cpus: int, expected: int
) -> None:
    monkeypatch.setattr("vidcaption.video.decode.cpu_count", lambda: cpus)
    assert threads() == expected

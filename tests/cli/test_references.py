"""A model's own captions are no references."""

import shutil
from pathlib import Path

import pytest
from clips import Clips
from runs import Run

from vidcaption import UsageError
from vidcaption.cli.references import read_references


def test_what_run_wrote_is_skipped(
    tmp_path: Path,
    clips: Clips,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        shutil.copy(clips["h264.mp4"], tmp_path / name)
    assert Run(capsys, str(tmp_path), "--srt").code == 0
    with pytest.raises(
        UsageError, match=r"has a \.txt or \.srt file beside it that vidcaption did"
    ):
        read_references(tmp_path)
    assert "skipped 3 files that 'vidcaption run' wrote" in caplog.text
    caplog.clear()

    (tmp_path / "b.txt").write_text("bars that change\n")
    (tmp_path / "c.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nbars, by a person\n")
    samples = read_references(tmp_path)
    assert {sample.captions for sample in samples} == {
        ("bars that change",),
        ("bars, by a person",),
    }
    assert "skipped 2 files that 'vidcaption run' wrote" in caplog.text
    caplog.clear()

    for name in ("a.srt", "b.srt"):
        (tmp_path / name).unlink()
    assert len(read_references(tmp_path)) == 2
    assert caplog.text == ""

"""Going on inside a file: whatever ended the run before, the result is that of an unbroken one."""

import os
import re
import shutil
import time
from contextlib import chdir, suppress
from dataclasses import replace
from pathlib import Path

import forks
import numpy as np
import pytest
from alike import alike
from clips import every, picture, write_clip, write_image
from tiny import PEOPLE, write_tiny

from vidcaption import Captioner
from vidcaption.batch import Books, Job, Outcome, Runner, Watcher
from vidcaption.batch.parts import Parts
from vidcaption.captioning import Captioning
from vidcaption.cli import main
from vidcaption.errors import InputError
from vidcaption.model.neighbours import AHEAD
from vidcaption.options.captioning import CaptionOptions
from vidcaption.types import Segment, Window
from vidcaption.video.batches import WindowReader

CLIP = Path(__file__).parent.parent.parent / "examples/clip.mp4"
CUT = CaptionOptions(beam=1, frames=2, max_words=6, window_s=1, merge=False, segment="fixed")
RECIPES = {
    "exact": CUT,
    "fast": replace(CUT, window_s=0.5, sampling="fast", merge=True),
    "keyframes": replace(CUT, frames=1, sampling="keyframes"),
    "auto": CaptionOptions(beam=1, frames=2, max_words=6, window_s=1.5),
    "overlapping": CaptionOptions(
        beam=1,
        frames=2,
        max_words=6,
        window_s=2,
        stride_s=0.5,
        start_s=0.3,
        end_s=12.2,
        segment="fixed",
    ),
    "gaps": CaptionOptions(
        beam=1, frames=1, max_words=6, window_s=0.5, stride_s=1.1, segment="fixed"
    ),
    "scenes": CaptionOptions(beam=1, frames=2, max_words=6, window_s=2, segment="scenes"),
    "near": CaptionOptions(beam=1, frames=2, max_words=6, window_s=1, same_within=30),
}


class Interrupting(Watcher):
    """Interrupts after so many segments."""

    def __init__(self, most: int = 1000) -> None:
        self._left = most
        self.captioning: Captioning | None = None

    def opened(self, job: Job, captioning: Captioning) -> None:
        self.captioning = captioning

    def captioned(self, segment: Segment) -> None:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def captioner(tiny: Path) -> Captioner:
    return Captioner.from_pretrained(tiny, precision="fp32", batch_size=4)


def job(folder: Path, path: Path = CLIP) -> Job:
    return Job(path, path.parent, {"json": folder / "clip.json", "srt": folder / "clip.srt"})


def run(
    captioner: Captioner,
    job: Job,
    options: CaptionOptions,
    watcher: Interrupting,
    force: bool = False,
) -> list[Outcome]:
    books = Books(captioner.model.sha256, options, force=force)
    return list(Runner(lambda: [captioner], books).run([job], watcher))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("clip.*")}


def test_who_was_seen_before_still_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it was interrupted, neighbours name the same people as in an unbroken run."""
    model = write_tiny(tmp_path / "model", seed=1, words=PEOPLE)
    captioner = Captioner.from_pretrained(model, precision="fp32", batch_size=4, isolate=False)
    options = CaptionOptions(
        frames=1, max_words=6, window_s=0.5, end_s=12.2, merge=False, segment="fixed"
    )
    [whole] = run(captioner, job(tmp_path / "whole"), options, Interrupting())
    monkeypatch.setattr("vidcaption.captioning.KEEP_S", 0)
    for most in range(1, 24, 2):
        broken = tmp_path / str(most)
        with pytest.raises(KeyboardInterrupt):
            run(captioner, job(broken), options, Interrupting(most))
        [outcome] = run(captioner, job(broken), options, Interrupting())
        assert outcome.statistics is not None and outcome.statistics.frames == 25 - most - 1
        assert alike(outcome.captions, whole.captions)


@pytest.mark.parametrize("calls", [1, 2, 3, 4])
def test_what_is_kept_before_an_error_is_as_in_an_unbroken_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """Of the last windows before it, it is not known what follows."""
    model = write_tiny(tmp_path / "model", seed=1, words=PEOPLE)
    captioner = Captioner.from_pretrained(model, precision="fp32", batch_size=4, isolate=False)
    options = CaptionOptions(frames=1, max_words=6, window_s=0.5, merge=False, segment="fixed")
    [whole] = run(captioner, job(tmp_path / "whole"), options, Interrupting())
    read, left = WindowReader.read, [calls]

    def failing(reader: WindowReader) -> list[Window]:
        left[0] -= 1
        if left[0] < 0:
            raise InputError("the disk is gone")
        return read(reader)

    monkeypatch.setattr(WindowReader, "read", failing)
    first = Interrupting()
    [failed] = run(captioner, job(tmp_path / "broken"), options, first)
    assert str(failed.error) == "the disk is gone"
    kept_s = pytest.approx(0.5 * (4 * calls - AHEAD))
    assert first.captioning is not None and first.captioning.kept_s == kept_s
    left[0] = 1000
    last = Interrupting()
    [outcome] = run(captioner, job(tmp_path / "broken"), options, last)
    assert alike(outcome.captions, whole.captions)
    assert last.captioning is not None
    assert last.captioning.resumed_s == kept_s


@pytest.mark.parametrize("name", RECIPES)
def test_it_goes_on_after_what_is_finished(
    captioner: Captioner, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted twice, and once more when all was finished and nothing written."""
    options = RECIPES[name]
    [whole] = run(captioner, job(tmp_path / "whole"), options, Interrupting())
    assert whole.captions is not None
    number = len(whole.captions.segments)
    monkeypatch.setattr("vidcaption.captioning.KEEP_S", 0)
    broken, looked_at = tmp_path / "broken", []
    for most in (number // 3, number - 2, number - 1):
        watcher = Interrupting(most)
        with pytest.raises(KeyboardInterrupt):
            run(captioner, job(broken), options, watcher)
        assert watcher.captioning is not None
        assert watcher.captioning.kept_s == watcher.captioning.progress_s
        looked_at.append(watcher.captioning.statistics.frames)
    assert not files(broken)
    last = Interrupting()
    [outcome] = run(captioner, job(broken), options, last)
    assert files(broken) == files(tmp_path / "whole")
    assert alike(outcome.captions, whole.captions)
    assert last.captioning is not None
    assert last.captioning.resumed_s > 0.7 * whole.captions.segments[-1].end_s
    assert last.captioning.statistics.frames < looked_at[0]
    assert not list(broken.glob(".*.parts"))


def test_what_is_finished_is_kept_in_time(
    captioner: Captioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most KEEP_S pass; where equal windows are joined, no segment need come meanwhile."""
    path = write_clip(tmp_path / "still.mkv", every(1, 60), [picture(1)] * 60, codec="ffv1")
    rows = []
    monkeypatch.setattr("vidcaption.captioning.KEEP_S", 0)
    monkeypatch.setattr(Parts, "add_progress", lambda *row: rows.append(row))
    [outcome] = run(
        captioner, job(tmp_path, path), CaptionOptions(window_s=2, segment="fixed"), Interrupting()
    )
    assert outcome.captions is not None and len(outcome.captions.segments) == 1
    assert len(rows) == 30


def test_force_and_other_options_begin_again(captioner: Captioner, tmp_path: Path) -> None:
    for options, force in ((RECIPES["gaps"], False), (CUT, True)):
        with pytest.raises(KeyboardInterrupt):
            run(captioner, job(tmp_path), CUT, Interrupting(5))
        watcher = Interrupting(0)
        with pytest.raises(KeyboardInterrupt):
            run(captioner, job(tmp_path), options, watcher, force)
        assert watcher.captioning is not None and watcher.captioning.resumed_s == 0


def test_damage_is_counted_once(captioner: Captioner, tmp_path: Path) -> None:
    """So what is finished of a damaged video is not kept."""
    data = bytearray(CLIP.read_bytes())
    chance = np.random.default_rng(0)
    middle = len(data) // 3
    data[middle : middle + 3000] = chance.integers(0, 256, 3000, np.uint8).tobytes()
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    [whole] = run(captioner, job(tmp_path / "whole", path), CUT, Interrupting())
    assert whole.captions is not None and whole.captions.corrupt
    with pytest.raises(KeyboardInterrupt):
        run(captioner, job(tmp_path / "broken", path), CUT, Interrupting(15))
    run(captioner, job(tmp_path / "broken", path), CUT, Interrupting())
    assert files(tmp_path / "broken") == files(tmp_path / "whole")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("output", [["--srt", "--json"], ["--jsonl", "-o", "all.jsonl"]])
def test_a_kill_costs_little(
    tmp_path: Path, tiny: Path, output: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the parts of one file for several inputs are kept in the same place."""
    command = ["run", "a.png", "b.mp4", *output, "--precision", "fp32", "--threads", "1"]
    command += ["--model", str(tiny), "--stride", "0.5", "--batch-size", "1"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for place in (whole, broken):
        place.mkdir()
        shutil.copy(CLIP, place / "b.mp4")
        write_image(place / "a.png")
    with chdir(whole):
        assert main([*command, "-q"]) == 0
    often = "import vidcaption.captioning; vidcaption.captioning.KEEP_S = 0"
    process = forks.start(*command, "-q", cwd=broken, before=often)
    name = ".b.srt.parts" if "--srt" in output else ".all.jsonl.parts"
    rows = b""
    while process.is_alive() and rows.count(b'"first"') < 5:
        time.sleep(0.02)
        with suppress(FileNotFoundError):
            rows = (broken / name).read_bytes()
    process.kill()
    process.join()
    assert 5 <= rows.count(b'"first"') < 40
    with chdir(broken):
        assert main(command) == 0
    assert re.search(r"b.mp4: continues at [1-9]\d*\.\d s, where", capsys.readouterr().err)
    results = [
        {path.name: path.read_bytes() for path in place.iterdir() if path.name[0] != "."}
        for place in (whole, broken)
    ]
    assert results[0] == results[1]
    assert (broken / name).exists() == ("--srt" not in output)

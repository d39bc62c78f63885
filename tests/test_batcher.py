"""Windows that go through the network together, whichever video they are of."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from alike import alike
from clips import Clips
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import write_tiny

from vidcaption import Captioner, InputError, Segment
from vidcaption.batcher import Batcher, Costs, Pending, Runner
from vidcaption.captioning import Captioning
from vidcaption.model.features import Look
from vidcaption.options.captioning import CaptionOptions

CLIP = Path(__file__).parent.parent / "examples/clip.mp4"
SIDE = 64
OPTIONS = CaptionOptions(window_s=0.4, frames=2, max_words=5, merge=False)


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> Captioner:
    folder = write_tiny(tmp_path_factory.mktemp("tiny"))
    return Captioner.from_pretrained(folder, device="cpu", precision="fp32", batch_size=4)


@pytest.fixture
def batcher(captioner: Captioner) -> Iterator[Batcher]:
    batcher = captioner.batcher(OPTIONS)
    yield batcher
    batcher.close()


def look(*shades: int) -> Look:
    """Pictures of noise, a different one for each number."""
    return tuple(
        bytes((shade * (i % 97 + 1) + i) % 256 for i in range(SIDE * SIDE * 3)) for shade in shades
    )


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many windows each run of the network has."""
    sizes: list[int] = []
    run = Runner.caption

    def counted(runner: Runner, looks: Sequence[Look], *others: object) -> object:
        sizes.append(len(looks))
        return run(runner, looks, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(Runner, "caption", counted)
    return sizes


def said(pending: Sequence[Pending]) -> list[tuple[list[int], list[float]]]:
    captions = [each.result(Costs()) for each in pending]
    return [(caption.ids, caption.log_probs.tolist()) for caption in captions]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=3), min_size=1, max_size=12))
def test_company_changes_nothing(captioner: Captioner, windows: list[list[int]]) -> None:
    """Neither words nor, but for the last digits, probabilities, in fp32; also where windows have
    different numbers of frames, and some look the same."""
    looks = [look(*window) for window in windows]
    together, alone = captioner.batcher(OPTIONS), captioner.batcher(OPTIONS)
    try:
        got = said([together.add(each, Costs()) for each in looks])
        expected = [said([alone.add(each, Costs())])[0] for each in looks]
        assert alike(got, expected)
    finally:
        together.close()
        alone.close()


def test_a_batch_goes_when_it_is_full_or_awaited(batcher: Batcher, passes: list[int]) -> None:
    several = [batcher.add(look(n), Costs()) for n in range(6)]
    several[0].result(Costs())
    assert passes == [4]
    several[5].result(Costs())
    assert passes == [4, 2]
    assert batcher.add(look(5), Costs()).result(Costs()) is several[5].result(Costs())
    assert passes == [4, 2]  # it looks the same


def test_each_video_pays_its_share(batcher: Batcher) -> None:
    first, second = Costs(), Costs()
    pending = [batcher.add(look(n, 1), payer) for n, payer in enumerate((first, first, second))]
    pending.append(batcher.add(look(2, 1), second))
    for each in pending:
        each.result(first)
    assert (first.encoded, second.encoded) == (2, 1)  # the third is among the pictures before
    assert first.search_s == pytest.approx(2 * second.search_s)
    assert first.shifted_s == pytest.approx(-second.shifted_s) and second.shifted_s > 0


@pytest.mark.parametrize("fault", ["one", "too many"])
def test_a_fault_meets_those_it_must(
    batcher: Batcher, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One window that the network cannot take, or a batch that takes too much memory."""
    run = Runner.caption

    def failing(runner: Runner, looks: Sequence[Look], *others: object) -> object:
        if look(2) in looks if fault == "one" else len(looks) > 1:
            raise RuntimeError("out of memory")
        return run(runner, looks, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(Runner, "caption", failing)
    for number, pending in enumerate([batcher.add(look(n), Costs()) for n in range(4)]):
        if fault == "one" and number == 2:
            with pytest.raises(RuntimeError, match="out of memory"):
                pending.result(Costs())
        else:
            assert pending.result(Costs()).ids


def test_videos_are_captioned_together_as_they_are_alone(
    captioner: Captioner, clips: Clips, tmp_path: Path, passes: list[int]
) -> None:
    """A broken one among them, a still image, and one that is longer than a batch."""
    (tmp_path / "bad.mp4").write_bytes(b"\0" * 5000)
    names = ["h264.mp4", "still.png", "vfr.mp4", "vp9.webm"]
    paths = [*(clips[name] for name in names), tmp_path / "bad.mp4", CLIP]
    alone = {path: segments(captioner.open(path, OPTIONS)) for path in paths}
    runs, passes[:] = len(passes), []
    batcher = captioner.batcher(OPTIONS)
    captionings = [captioner.open(path, OPTIONS, batcher=batcher) for path in paths]
    for each in captionings:
        each.prefetch()
    assert captionings[4].queued == 0 and captionings[5].queued > 4
    for path, captioning in zip(paths, captionings, strict=True):
        assert alike(segments(captioning), alone[path])
    batcher.close()
    assert len(passes) < runs and max(passes) == 4


def segments(captioning: Captioning) -> list[Segment] | str:
    try:
        with captioning:
            return list(captioning)
    except InputError as error:
        return str(error)

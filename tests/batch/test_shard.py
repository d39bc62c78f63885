from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcaption import UsageError
from vidcaption.batch import Shard

PARTS = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1)
PATHS = st.lists(PARTS.filter(lambda part: part not in {".", ".."}), min_size=1, max_size=4)


@given(st.lists(PATHS, max_size=50), st.integers(1, 9))
def test_shards_cover_everything_and_never_overlap(paths: list[list[str]], count: int) -> None:
    for root in (Path("videos"), Path("/mnt/elsewhere/videos")):
        held = [
            [index for index in range(1, count + 1) if Shard(index, count).holds(path, root)]
            for path in (root.joinpath(*parts) for parts in paths)
        ]
        assert all(len(each) == 1 for each in held)
        here = [Shard(each[0], count) for each in held]
        assert all(
            shard.holds(Path("videos", *parts), Path("videos"))
            for shard, parts in zip(here, paths, strict=True)
        )


def test_the_parts_are_alike_in_size_and_stay_what_they_are() -> None:
    paths = [Path(f"d/clip{number}.mp4") for number in range(4000)]
    sizes = [sum(Shard(i, 4).holds(path, Path("d")) for path in paths) for i in range(1, 5)]
    assert min(sizes) > 900
    # A change of the hash would make machines of two versions overlap.
    assert [path.name for path in paths[:8] if Shard(4, 4).holds(path, Path("d"))] == [
        "clip1.mp4", "clip7.mp4",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "0/4", "5/4", "1", "1/0", "-1/4", "a/b", "1/4/2", "1.0/4"])
def test_wrong_shards(text: str) -> None:
    with pytest.raises(UsageError, match="allowed are 1/N to N/N"):
        Shard.parse(text, {})


def test_shard() -> None:
    assert Shard.parse("2/8", {}) == Shard(2, 8)


SLURM = {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_MIN": "4", "SLURM_ARRAY_TASK_COUNT": "3"}


@pytest.mark.parametrize(
    ("environment", "index", "count", "source"),
    [
        (SLURM, 2, 3, "SLURM"),
        (SLURM | {"SLURM_ARRAY_TASK_MAX": "6", "SLURM_ARRAY_TASK_STEP": "1"}, 2, 3, "SLURM"),
        (
            {
                **SLURM,
                "SLURM_ARRAY_TASK_ID": "8",
                "SLURM_ARRAY_TASK_STEP": "2",
                "SLURM_ARRAY_TASK_MAX": "8",
            },
            3, 3, "SLURM",
        ),
        ({"RANK": "0", "WORLD_SIZE": "2"}, 1, 2, "RANK"),
        (SLURM | {"RANK": "1", "WORLD_SIZE": "2"}, 4, 6, "SLURM_ARRAY_TASK_ID and torchrun's RANK"),
    ],
)  # fmt: skip
def test_auto(environment: dict[str, str], index: int, count: int, source: str) -> None:
    shard = Shard.parse("auto", environment)
    assert (shard.index, shard.count) == (index, count)
    assert source in shard.taken_from


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "neither Slurm's SLURM_ARRAY_TASK_ID nor torchrun's RANK is set"),
        ({"RANK": "0"}, "neither"),
        ({"SLURM_ARRAY_TASK_ID": "5"}, "SLURM_ARRAY_TASK_COUNT is ''"),
        (SLURM | {"SLURM_ARRAY_TASK_ID": "7"}, "task 7 of Slurm's array of 3 from 4 to 6 cannot"),
        (SLURM | {"SLURM_ARRAY_TASK_ID": "3"}, "task 3"),
        (SLURM | {"SLURM_ARRAY_TASK_MAX": "9"}, "the array has gaps"),
        (SLURM | {"SLURM_ARRAY_TASK_STEP": "2"}, "task 5"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "the first must be lower"),
        ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK is 'x'"),
    ],
)
def test_auto_that_cannot_tell(environment: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Shard.parse("auto", environment)

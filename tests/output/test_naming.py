import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcaption.output.naming import natural_key, output_paths


def named(*inputs: str, out_dir: str | None = None, **roots: str) -> dict[str, str]:
    """The srt of each input; ``roots`` gives the folder of each input that starts with the key."""
    paths = [Path(name) for name in inputs]
    found = output_paths(
        paths,
        ["srt"],
        Path(out_dir) if out_dir else None,
        {path: Path(roots[path.parts[0]]) for path in paths if path.parts[0] in roots},
    )
    assert set(found) == set(paths)
    return {path.as_posix(): outputs["srt"].as_posix() for path, outputs in found.items()}


def test_next_to_the_input() -> None:
    assert output_paths([Path("a/clip.mp4"), Path("/b/two.words.MKV")], ["srt", "json"]) == {
        Path("a/clip.mp4"): {"srt": Path("a/clip.srt"), "json": Path("a/clip.json")},
        Path("/b/two.words.MKV"): {
            "srt": Path("/b/two.words.srt"),
            "json": Path("/b/two.words.json"),
        },
    }


def test_without_inputs_or_formats() -> None:
    assert output_paths([], ["srt"]) == {}
    assert output_paths([Path("a.mp4")], []) == {Path("a.mp4"): {}}


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (["x.mkv", "x.mp4"], {"x.mp4": "x.srt", "x.mkv": "x.mkv.srt"}),
        (["x.mkv", "x.MP4"], {"x.MP4": "x.srt", "x.mkv": "x.mkv.srt"}),
        (["x.webm", "x.mkv"], {"x.mkv": "x.srt", "x.webm": "x.webm.srt"}),
        (["a/x.mp4", "b/x.mkv"], {"a/x.mp4": "a/x.srt", "b/x.mkv": "b/x.srt"}),
        (["X.mp4", "x.mp4"], {"X.mp4": "X.srt", "x.mp4": "x.mp4.srt"}),
        (["x", "x.mp4"], {"x.mp4": "x.srt", "x": "x.2.srt"}),
        # The second choice of x.mkv is the first one of x.mkv.mp4.
        (
            ["x.mp4", "x.mkv", "x.mkv.mp4"],
            {"x.mp4": "x.srt", "x.mkv.mp4": "x.mkv.srt", "x.mkv": "x.mkv.2.srt"},
        ),
        # A video that is called like an output is not overwritten.
        (["x.srt"], {"x.srt": "x.srt.srt"}),
        (["x.mp4", "x.srt"], {"x.mp4": "x.mp4.srt", "x.srt": "x.srt.srt"}),
        (["caf\u00e9.mp4", "cafe\u0301.mov"], {
            "caf\u00e9.mp4": "caf\u00e9.srt", "cafe\u0301.mov": "cafe\u0301.mov.srt"
        }),
        ([".mp4"], {".mp4": ".mp4.srt"}),
    ],
)  # fmt: skip
def test_collisions_next_to_the_inputs(inputs: list[str], expected: dict[str, str]) -> None:
    assert named(*inputs) == expected


def test_all_formats_of_an_input_share_a_name() -> None:
    found = output_paths([Path("x.mp4"), Path("x.txt")], ["srt", "txt"])
    assert found[Path("x.mp4")] == {"srt": Path("x.mp4.srt"), "txt": Path("x.mp4.txt")}


def test_out_dir_mirrors_the_folder_arguments() -> None:
    assert named(
        "in/x.mp4", "in/deep/er/x.mp4", "../up/a/y.mp4", "direct/z.mp4",
        out_dir="out", **{"in": "in", "..": "../up"},
    ) == {
        "in/x.mp4": "out/x.srt",
        "in/deep/er/x.mp4": "out/deep/er/x.srt",
        "../up/a/y.mp4": "out/a/y.srt",
        "direct/z.mp4": "out/z.srt",
    }  # fmt: skip


def test_out_dir_with_the_working_folder_as_argument() -> None:
    path = Path("a/x.mp4")
    assert output_paths([path], ["srt"], Path("out"), {path: Path()}) == {
        path: {"srt": Path("out/a/x.srt")}
    }


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (["a/x.mp4", "b/x.mkv"], {"a/x.mp4": "out/x.srt", "b/x.mkv": "out/x.mkv.srt"}),
        (["a/x.mp4", "b/x.mp4"], {"a/x.mp4": "out/a/x.srt", "b/x.mp4": "out/b/x.srt"}),
        (
            ["/cam1/day/x.mp4", "/cam2/day/x.mp4", "/cam2/day/y.mp4"],
            {
                "/cam1/day/x.mp4": "out/cam1/day/x.srt",
                "/cam2/day/x.mp4": "out/cam2/day/x.srt",
                "/cam2/day/y.mp4": "out/y.srt",
            },
        ),
        (["x.mp4", "a/x.mp4"], {"x.mp4": "out/x.srt", "a/x.mp4": "out/a/x.srt"}),
    ],
)
def test_collisions_below_out_dir(inputs: list[str], expected: dict[str, str]) -> None:
    assert named(*inputs, out_dir="out") == expected


def test_names_that_differ_in_case_stay_in_their_folder() -> None:
    assert named("in/a/x.jpg", "in/a/X.JPG", "in/B/y.mp4", "in/b/y.mp4", out_dir="o", **{
        "in": "in"
    }) == {
        "in/a/X.JPG": "o/a/X.srt",
        "in/a/x.jpg": "o/a/x.jpg.srt",
        "in/B/y.mp4": "o/B/y.srt",
        "in/b/y.mp4": "o/b/y.mp4.srt",
    }  # fmt: skip


def test_two_trees_with_the_same_file() -> None:
    assert named("a/s/x.mp4", "b/s/x.mp4", "b/s/y.mp4", out_dir="out", a="a", b="b") == {
        "a/s/x.mp4": "out/a/s/x.srt",
        "b/s/x.mp4": "out/b/s/x.srt",
        "b/s/y.mp4": "out/s/y.srt",
    }


def test_the_place_a_twin_moves_to_may_be_taken() -> None:
    assert named("a/x.mp4", "b/x.mp4", "tree/a/x.mp4", out_dir="out", tree="tree") == {
        "a/x.mp4": "out/a/x.srt",
        "b/x.mp4": "out/b/x.srt",
        "tree/a/x.mp4": "out/a/x.mp4.srt",
    }


def test_out_dir_that_is_the_input_folder() -> None:
    assert named("in/x.mp4", "in/x.srt", out_dir="./in") == {
        "in/x.mp4": "in/x.mp4.srt",
        "in/x.srt": "in/x.srt.srt",
    }


def test_natural_order() -> None:
    names = ["clip10.mp4", "Clip2.mp4", "clip1.mp4", "b/1", "a/2", "10", "9", "²"]
    assert [path.as_posix() for path in sorted(map(Path, names), key=natural_key)] == [
        "9", "10", "a/2", "b/1", "clip1.mp4", "Clip2.mp4", "clip10.mp4", "²",
    ]  # fmt: skip


def identity(path: Path) -> str:
    return unicodedata.normalize("NFC", os.path.abspath(path).casefold())


FOLDERS = ["", "a", "A", "a/b", "b", "/a", "../a", "out"]
NAMES = ["x.mp4", "X.mp4", "x.MP4", "x.mkv", "x", "x.mkv.mp4", "x.srt", "x.mp4.srt", "x.mkv.2.srt"]
PATHS = st.builds(Path, st.sampled_from(FOLDERS), st.sampled_from(NAMES))


@given(
    st.lists(PATHS, unique=True, max_size=20),
    st.sampled_from([["srt"], ["srt", "json"]]),
    st.sampled_from([None, Path("out"), Path("a"), Path("/a/b")]),
    st.data(),
)
def test_no_two_outputs_are_the_same_in_any_order(
    inputs: list[Path], formats: list[str], out_dir: Path | None, data: st.DataObject
) -> None:
    found_under = data.draw(st.lists(st.integers(0, 3), min_size=len(inputs)))
    roots = {
        path: Path(os.path.abspath(path)).parents[depth - 1]
        for path, depth in zip(inputs, found_under, strict=False)
        if 0 < depth < len(Path(os.path.abspath(path)).parts)
    }
    found = output_paths(inputs, formats, out_dir, roots)

    outputs = [identity(output) for each in found.values() for output in each.values()]
    assert len(outputs) == len(set(outputs)) == len(inputs) * len(formats)
    assert not set(outputs) & {identity(path) for path in inputs}
    for path, each in found.items():
        for format, output in each.items():
            assert output.name.startswith(path.stem)
            assert output.suffix == f".{format}"
            assert (
                output.parent == path.parent if out_dir is None else output.is_relative_to(out_dir)
            )
            assert ".." not in output.parts[len(out_dir.parts) :] if out_dir else True

    shuffled = data.draw(st.permutations(inputs))
    assert output_paths(shuffled, formats, out_dir, roots) == found

"""Options from files and the environment, and ``vidcaption config show``."""

import json
import os
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clips import Clips
from hypothesis import given
from hypothesis import strategies as st

from vidcaption.cli import main
from vidcaption.cli.app import Commands
from vidcaption.cli.settings import to_toml

Write = Callable[[str, str], Path]
Show = Callable[..., dict[str, tuple[Any, str]]]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a file below an empty working directory."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)

    def write(name: str, text: str) -> Path:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Show:
    """Value and source of each option of a command, by key."""

    def show(command: str, *args: str) -> dict[str, tuple[Any, str]]:
        assert main(["config", "show", command, "--json", *args]) == 0
        rows = json.loads(capsys.readouterr().out)
        assert {row["command"] for row in rows} == {command}
        return {row["key"]: (row["value"], row["source"]) for row in rows}

    return show


def test_each_place_wins_over_those_below_it(
    write: Write, show: Show, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    user = write("../settings/config.toml", "[run]\nframes = 1\nbeam = 1\nthreads = 1\nstart = 1\n")
    write("vidcaption.toml", "[run]\nbeam = 2\nthreads = 2\nstart = 2\n")
    given = write("given.toml", "[run]\nthreads = 3\nstart = 3\n[train]\nlr = 1\n")
    monkeypatch.setenv("VIDCAPTION_RUN_START", "4")
    found = show("run", "--config", str(given))
    assert user.samefile(tmp_path / "settings/config.toml")
    assert found["max-words"] == (20, "default")
    assert found["frames"] == (1, str(tmp_path / "settings/config.toml"))
    assert found["beam"] == (2, "vidcaption.toml")
    assert found["threads"] == (3, str(given))
    assert found["start"] == (4.0, "VIDCAPTION_RUN_START")


def test_the_environment_and_files_reach_a_command(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clips: Clips
) -> None:
    write(
        "vidcaption.toml",
        '[run]\njson = true\nbeam = 2\nwindow = 1\nframes = 1\nworkers = 1\nout-dir = "o"\n',
    )
    monkeypatch.setenv("VIDCAPTION_RUN_MAX_WORDS", "5")
    clip = str(clips["h264.mp4"])
    assert main(["run", clip, "--beam", "1"]) == 0
    [written] = Path("o").rglob("*.json")
    options = json.loads(written.read_text())["options"]
    assert [options[key] for key in ("beam", "max_words", "frames")] == [1, 5, 1]
    # the command line has the last word on switches, too
    monkeypatch.setenv("VIDCAPTION_RUN_VTT", "1")
    assert main(["run", clip, "--no-json", "--no-vtt", "--tsv", "--out-dir", "p"]) == 0
    assert [path.suffix for path in Path("p").rglob("[!.]*.*")] == [".tsv"]


def test_a_list_of_inputs(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("vidcaption.toml", '[run]\ninputs = ["gone.mp4"]\n')
    assert main(["run"]) == 2
    assert "no such file or folder: gone.mp4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run]\nbaem = 3", "given.toml: [run] has 'baem', which is unknown; did you mean beam"),
        ('[run]\nout_dir = "x"', "[run] has 'out_dir', which is unknown; did you mean out-dir"),
        ("[run]\nxyz = 3", "[run] has 'xyz', which is unknown; known are batch-size, beam, "),
        (
            "[rnu]\nbeam = 3",
            "given.toml has 'rnu' at the top; allowed are only [run], ",
        ),
        ("beam = 3", "given.toml has 'beam' at the top; allowed are only [run]"),
        ("run = 3", "given.toml has 'run' at the top"),
        ('[run]\nbeam = "3"', '[run] beam is "3"; it must be a whole number'),
        ("[run]\nbeam = true", "[run] beam is true; it must be a whole number"),
        ("[run]\nbeam = 3.0", "[run] beam is 3.0; it must be a whole number"),
        ("[run]\nwindow = false", "[run] window is false; it must be a number"),
        ("[run]\nsrt = 1", "[run] srt is 1; it must be true or false"),
        ("[run]\nmodel = true", "[run] model is true; it must be a string or a list"),
        (
            "[run]\ninputs = [true]",
            "[run] inputs is [true]; it must be a string or a list of strings",
        ),
        ('[run]\nsegment = "odd"', '"odd"; it must be one of "auto", "fixed", "scenes"'),
        ("[run]\nend = 1979-05-27", '[run] end is "1979-05-27"; it must be a number'),
        (
            "[run]\nbeam = 99",
            "--beam is 99; it must be at least 1 and at most 50 (--beam comes from",
        ),
        ("[run]\nwindow = nan", "--window is nan; it must be at least 0.1"),
        ("[run]\nmin-words = 30", "the first must not exceed the second (--min-words comes from"),
        ("[run]\nbeam = ", "given.toml is not TOML: it ends too early"),
        ("[run]\nconfig = 'x'", "[run] has 'config', which is unknown"),
    ],
)
def test_wrong_files(
    text: str, message: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "gone.mp4", "--config", str(write("given.toml", text))]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line and "given.toml" in line


def test_files_that_cannot_be_read(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "x", "--config", "gone.toml"]) == 2
    assert "--config is gone.toml, which does not exist" in capsys.readouterr().err
    write("bytes.toml", "").write_bytes(b"\xff")
    assert main(["run", "x", "--config", "bytes.toml"]) == 2
    assert "bytes.toml, line 1: not UTF-8; correct it" in capsys.readouterr().err
    Path("vidcaption.toml").mkdir()
    assert main(["run", "x"]) == 2
    assert "vidcaption.toml cannot be read (Is a directory)" in capsys.readouterr().err
    assert main(["run", "--help"]) == 0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("BEAM", "x", "--beam comes from VIDCAPTION_RUN_BEAM"),
        ("BEAM", "99", "--beam is 99; it must be at least 1 and at most 50 (--beam comes from"),
        (
            "SEGMENT",
            "odd",
            "allowed are auto, fixed, scenes (--segment comes from VIDCAPTION_RUN_SEGMENT)",
        ),
        (
            "WINDOW_S",
            "1",
            "VIDCAPTION_RUN_WINDOW_S in the environment is not an option; did you mean VIDCAPTION",
        ),
        ("CONFIG", "gone.toml", "--config is gone.toml, which does not exist"),
    ],
)
def test_wrong_variables(
    name: str,
    value: str,
    message: str,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(f"VIDCAPTION_RUN_{name}", value)
    assert main(["run", "gone.mp4"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


def test_variables_of_no_command_and_of_other_commands(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("VIDCAPTION_DEBUG", "VIDCAPTION_TRAIN_LR", "MY_VIDCAPTION_BEAM"):
        monkeypatch.setenv(name, "1")
    assert main(["config", "show", "run"]) == 0
    monkeypatch.setenv("VIDCAPTION_BEAM", "5")
    assert main(["config", "show", "run"]) == 2
    message = (
        "VIDCAPTION_BEAM in the environment is not an option; did you mean VIDCAPTION_RUN_BEAM"
    )
    assert message in capsys.readouterr().err


def test_times_in_files(write: Write, show: Show, capsys: pytest.CaptureFixture[str]) -> None:
    write("vidcaption.toml", '[run]\nwindow = "whole"\nstart = "1:05"\nend = 90\n')
    found = show("run")
    assert [found[key][0] for key in ("window", "start", "end")] == ["whole", 65, 90]
    write("vidcaption.toml", '[run]\nstart = "soon"\n')
    assert main(["config", "show", "run"]) == 2
    assert "--start is 'soon'; it must be seconds, such as 90" in capsys.readouterr().err


def test_doctor_tells_of_options_that_stand_in_the_way(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vidcaption.doctor._CHECKS", {})  # those take seconds
    for text, value, code, found in (
        ("", "5", 0, "ok       options: set by VIDCAPTION_RUN_BEAM\n"),
        ("[train]\nlr = 9", "5", 0, "warning  options: train cannot use them: --lr is 9; it must"),
        (
            "[run]\nbean = 1",
            "5",
            3,
            "failed   options: run cannot use them: vidcaption.toml: [",
        ),
        ("", "x", 3, "failed   options: run cannot use them: --beam is 'x'; it must be a"),
        ("", "0", 3, "at most 50 (--beam comes from VIDCAPTION_RUN_BEAM)\n         correct the"),
    ):
        write("vidcaption.toml", text)
        monkeypatch.setenv("VIDCAPTION_RUN_BEAM", value)
        assert main(["doctor"]) == code
        assert found in capsys.readouterr().out
    monkeypatch.delenv("VIDCAPTION_RUN_BEAM")
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"][0]["found"] == "none set by files"


def test_show_as_a_table(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("vidcaption.toml", "[evaluate]\nbeam = 5\n")
    assert main(["config", "show"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["COMMAND", "OPTION", "VALUE", "FROM"]
    assert ["run", "beam", "3", "default"] in rows
    assert ["evaluate", "beam", "5", "vidcaption.toml"] in rows
    assert ["run", "out-dir", "-", "default"] in rows
    assert {row[0] for row in rows[1:]} == {
        str(each.name)
        for each in Commands().commands.values()
        if getattr(each, "configured", False)
    }


@pytest.mark.parametrize(
    ("text", "args", "message"),
    [
        ("[train]\nlr = 9", [], "--lr is 9; it must be above 0 and at most 1 (--lr comes from"),
        ("[train]\nlr = 'x'", [], 'vidcaption.toml: [train] lr is "x"; it must be a number'),
        ("", ["trian"], "there is no command 'trian' with options; did you mean train"),
        ("", ["models"], "there is no command 'models' with options; known are evaluate, features"),
    ],
)
def test_show_refuses(
    text: str, args: list[str], message: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write("vidcaption.toml", text)
    assert main(["config", "show", *args]) == 2
    assert message in capsys.readouterr().err


def test_one_value_of_a_list_needs_no_brackets(
    write: Write, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("vidcaption.toml", "[run]\nmodel = 'a'\ninputs = 'x.mp4'")
    assert show("run")["model"] == (["a"], "vidcaption.toml")
    assert show("run")["inputs"] == (["x.mp4"], "vidcaption.toml")
    monkeypatch.setenv("VIDCAPTION_RUN_MODEL", f"my models/a{os.pathsep}b=0.3")
    assert show("run")["model"] == (["my models/a", "b=0.3"], "VIDCAPTION_RUN_MODEL")


def test_presets(write: Write, show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDCAPTION_TRAIN_PRESET", "mean-pool")
    write("vidcaption.toml", "[train]\ngrid = 3\n")
    found = show("train")
    assert found["attention"] == ("none", "preset mean-pool")
    assert found["grid"] == (3, "vidcaption.toml")
    assert found["mean"] == ([0.485, 0.456, 0.406], "default")
    mine = write("mine.toml", "[train]\nmean = [0, 0.5, 1]\n")
    monkeypatch.setenv("VIDCAPTION_TRAIN_PRESET", str(mine))
    assert show("train")["mean"] == ([0, 0.5, 1], f"preset {mine}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mean-pol", "--preset is 'mean-pol', which is unknown; did you mean mean-pool; or give a"),
        ("gone.toml", "--preset is 'gone.toml', which does not exist"),
        ("odd.toml", "odd.toml: [train] has 'lrr', which is unknown; did you mean lr"),
    ],
)
def test_wrong_presets(
    name: str, message: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write("odd.toml", "[train]\nlrr = 1\n")
    assert main(["train", "x", "--out", "y", "--preset", name]) == 2
    assert message in capsys.readouterr().err


SCALARS = (
    st.text(st.characters(codec="utf-8"))
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.floats(allow_nan=False)
)


@given(SCALARS | st.lists(SCALARS))
def test_toml_is_read_as_it_was_written(value: Any) -> None:
    read = tomllib.loads(f"x = {to_toml(value)}")["x"]
    assert read == value and type(read) is type(value)


@pytest.mark.skipif(sys.platform != "linux", reason="each system has a place of its own")
def test_the_place_of_the_users_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from vidcaption.cli.settings import user_file

    monkeypatch.undo()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert user_file() == tmp_path / "vidcaption/config.toml"

import json
from pathlib import Path

import pytest

from vidcaption.errors import ModelError, UsageError
from vidcaption.model.config import MIGRATIONS, SCHEMA, InputConfig, ModelConfig
from vidcaption.options.base import flag_of

CONFIGS = Path(__file__).parent / "configs"


def test_json_round_trip():
    config = ModelConfig.flat(attention="additive", grid=3, mean=(0.5, 0.5, 0.5))
    assert ModelConfig.from_json(config.to_json()) == config


def test_windows_have_two_frames_unless_a_config_says_otherwise():
    assert ModelConfig.from_json(changed(frames="DROP")).frames == 2
    assert ModelConfig.from_json(changed(frames=16)).frames == 16


def test_a_config_without_the_version_that_reads_it_is_read():
    assert ModelConfig.from_json(changed(since="DROP")) == ModelConfig()


@pytest.mark.parametrize("schema", range(1, SCHEMA + 1))
def test_a_config_of_each_schema_is_read(schema):
    text = (CONFIGS / f"schema-{schema}.json").read_text()
    row = json.loads(text)
    assert row.pop("schema") == schema and row.pop("since")
    values = row.pop("input", {}) | row
    if schema < 3:
        values["attention_heads"] = values.pop("heads")
    config = ModelConfig.from_json(text).flat_values()
    flags = {f.name: flag_of(f) for f in ModelConfig.flat_fields()}
    for name, value in values.items():
        assert config[flags[name]] == (tuple(value) if isinstance(value, list) else value)
    for flag in config.keys() - {flags[name] for name in values}:
        assert config[flag] == NEW[flag], flag


# What was not said in older schemas, as there was no choice.
NEW = {
    **{
        "--concept-slots": 0,
        "--roles": "none",
        "--cell": "lstm",
        "--layers": 2,
        "--feed": "both",
        "--heads": "caption",
    },
    **{"--input": "rgb", "--flow-gap": 0.1, "--flow-method": "dis", "--tracks": 0},
    **{"--pyramid": 1, "--crops": 1},
    **{"--start-with": "frames", "--every-with": "frames"},
}


def test_a_missing_field_takes_the_default_of_its_schema(monkeypatch):
    read = ModelConfig.from_json
    assert read(changed(attention="DROP", size=96)) == ModelConfig(size=96)
    # a default that changed in schema 2 stays what it was for configs of schema 1
    monkeypatch.setitem(MIGRATIONS, 1, lambda values: {"grid": 3} | values)
    assert read('{"schema": 1}').input.grid == 3
    assert read('{"schema": 1, "grid": 5}').input.grid == 5
    assert read('{"schema": 2}').input.grid == ModelConfig().input.grid


def changed(**values):
    """The default config with other values; those of the input are named as they are."""
    row = json.loads(ModelConfig().to_json())
    for name, value in values.items():
        place = row["input"] if name in row["input"] else row
        place[name] = value
        if value == "DROP":
            del place[name]
    return json.dumps(row)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "config.json, line 1, column 1: not JSON"),
        ("[]", "must be an object"),
        (changed(schema=99, since="7.2.0"), r"needs vidcaption 7\.2\.0 .* reads 4\); upgrade"),
        (changed(schema=99, since="DROP", odd=1), "needs a newer vidcaption .* schema 99"),
        (changed(schema=0), "schema 0"),
        (changed(schema="2"), "schema '2'; this version of vidcaption reads 1 to 4"),
        (changed(schema=True), "schema True"),
        (changed(extra=1), "unknown fields: 'extra'"),
        (changed(input={"extra": 1}), "unknown fields: 'extra'"),
        (changed(input=[1]), r"input is \[1\]; it must be an object"),
        (changed(backbone="alexnet"), "'alexnet'; allowed are efficientnet_lite2"),
        (changed(backbone="vgg16+alexnet"), "allowed are .*, or several of them joined by"),
        (changed(backbone="vgg16+vgg16"), "is 'vgg16.vgg16'"),
        (changed(grid=0), "at least 1"),
        (changed(grid="7"), "whole number"),
        (changed(grid=True), "whole number"),
        (changed(size=10**9), "at most 8192"),
        (changed(std=[0, 1, 1]), "above 0"),
        (changed(mean=[0.5]), "mean"),
        (changed(backbone=[1]), "allowed are"),
        (changed(pyramid=2), "--grid is 7; give --grid 1, or leave --pyramid out"),
        (changed(pyramid=4, grid=1), "--pyramid is 4; it must be at least 1 and at most 3"),
        (changed(crops=9), "--crops is 9; it must be 1, 5 or 10"),
        (changed(crops=10, kind="flow"), "--crops 10 mirrors frames, and .*; give --crops 5"),
        (changed(attention_heads=5), "multiple"),
        (changed(heads="caption+odd"), "--heads is 'caption.odd'; allowed are caption, classes"),
        (changed(heads="classes", concept_slots=2), "--concept-slots is 2, and without the head"),
        (changed(feed="start"), "--feed start shows nothing to --attention dot; add"),
        (changed(feed="word"), "--feed word shows nothing to --attention dot; add"),
        (changed(layers=3), "--layers is 3; it must be at least 1 and at most 2"),
        (changed(layers=1, temporal="s2vt"), "--layers is 1; give --layers 2, or --temporal fo"),
        (changed(feed="every", temporal="s2vt"), "give --feed start or both"),
        (
            changed(feed="word", attention="none", temporal="s2vt"),
            "--feed is word; give --feed start or both",
        ),
    ],
)
def test_broken_files_are_refused(text, reason):
    with pytest.raises(ModelError, match=reason):
        ModelConfig.from_json(text)


def test_a_wrong_argument_is_a_usage_error():
    with pytest.raises(UsageError, match="--dropout is 1; it must be"):
        ModelConfig(dropout=1)


SEEN = {"attention": "none", "temporal": "none", "concept_slots": 4, "tracks": 8}


@pytest.mark.parametrize(
    ("fields", "starts", "lasts"),
    [
        ({"feed": "both", "every_with": "frames+tracks"}, ["frames"], ["frames", "tracks"]),
        ({"feed": "both", "start_with": "tracks"}, ["tracks"], ["frames"]),
        ({"feed": "both", "start_with": "tracks+frames", "every_with": "concepts"}, ..., ...),
        ({"feed": "start", "start_with": "frames+tracks"}, ["frames", "tracks"], []),
        ({"feed": "word", "start_with": "frames+tracks"}, ["frames", "tracks"], []),
        ({"feed": "every", "every_with": "tracks+frames"}, [], ["tracks", "frames"]),
        ({"temporal": "s2vt", "every_with": "tracks"}, ["frames"], ["tracks"]),
        ({"attention": "dot", "every_with": "frames+tracks"}, ["frames"], ["frames", "tracks"]),
    ],
)
def test_what_is_shown_when(fields, starts, lasts):
    config = ModelConfig.flat(**SEEN | fields)
    if starts is ...:
        starts, lasts = ["tracks", "frames"], ["concepts"]
    assert (config.starts, config.lasts, config.fed) == (starts, lasts, {*starts, *lasts})


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"feed": "every", "start_with": "tracks"}, "--start-with tracks is shown to nobody by"),
        (
            {"temporal": "s2vt", "start_with": "tracks"},
            "to nobody by --temporal s2vt, --feed",
        ),
        ({"feed": "start", "every_with": "tracks"}, "--every-with tracks is shown to nobody by"),
        (
            {"heads": "joint", "every_with": "tracks", "concept_slots": 0},
            "and --heads joint; le",
        ),
        ({"attention": "dot", "every_with": "tracks"}, "shows nothing to --attention dot; add"),
        ({"start_with": "tracks", "every_with": "concepts"}, "neither .* shows frames; add"),
        ({"feed": "word", "start_with": "tracks"}, "neither .* shows frames; add"),
        ({"every_with": "frames+tracks", "tracks": 0}, "see tracks, and --tracks is 0; add --tr"),
        ({"every_with": "frames+concepts"}, "--tracks is 8, and nobody sees them; add tracks to"),
        ({"start_with": "concepts", "concept_slots": 0, "tracks": 0}, "needs --concept-slots"),
        ({"start_with": "concepts", "roles": "max", "tracks": 0}, "and --roles none"),
        ({"start_with": "motion"}, "--start-with is 'motion'; allowed are frames, tracks, concep"),
    ],
)
def test_what_cannot_be_shown_is_said(fields, reason):
    with pytest.raises(UsageError, match=reason):
        ModelConfig.flat(**SEEN | fields)


def test_channels_of_frames_are_those_that_are_seen():
    channels = range(18)
    for fields, picture, every, steps in (
        ({}, [0, 1, 2], [0, 1, 2], None),
        ({"kind": "flow"}, [3, 4, 5], [3, 4, 5], 1),
        ({"tracks": 8}, [0, 1, 2], [*channels], 5),
        ({"tracks": 8, "kind": "flow"}, [3, 4, 5], [*channels], 5),
    ):
        seen = InputConfig(**fields)
        assert [*channels[seen.picture]] == picture and [*channels[seen.channels]] == every
        assert (seen.flow and seen.flow.steps) == steps

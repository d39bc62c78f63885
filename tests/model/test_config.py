import json
from pathlib import Path

import pytest

from vidcaption.errors import ModelError, UsageError
from vidcaption.model.config import DEFAULTS, SCHEMA, ModelConfig

CONFIGS = Path(__file__).parent / "configs"


def test_json_round_trip():
    config = ModelConfig(attention="additive", grid=3, mean=(0.5, 0.5, 0.5))
    assert ModelConfig.from_json(config.to_json()) == config


def test_a_config_without_the_version_that_reads_it_is_read():
    assert ModelConfig.from_json(changed(since="DROP")) == ModelConfig()


@pytest.mark.parametrize("schema", range(1, SCHEMA + 1))
def test_a_config_of_each_schema_is_read(schema):
    text = (CONFIGS / f"schema-{schema}.json").read_text()
    row = json.loads(text)
    assert row["schema"] == schema
    config = ModelConfig.from_json(text)
    for name, value in row.items():
        if name not in ("schema", "since"):
            assert getattr(config, name) == (tuple(value) if isinstance(value, list) else value)


def test_a_missing_field_takes_the_default_of_its_schema(monkeypatch):
    assert ModelConfig.from_json(changed(grid="DROP", size=96)) == ModelConfig(size=96)
    # a default that changed in schema 2 stays what it was for configs of schema 1
    monkeypatch.setitem(DEFAULTS, 1, {"grid": 3})
    assert ModelConfig.from_json(changed(schema=1, grid="DROP")).grid == 3
    assert ModelConfig.from_json(changed(schema=1, grid=5)).grid == 5
    assert ModelConfig.from_json(changed(schema=2, grid="DROP")).grid == ModelConfig().grid


def changed(**values):
    row = json.loads(ModelConfig().to_json())
    row.update(values)
    return json.dumps({key: value for key, value in row.items() if value != "DROP"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "not JSON"),
        ("[]", "must hold an object"),
        (changed(schema=99, since="7.2.0"), r"needs vidcaption 7\.2\.0 .* reads 2\); upgrade"),
        (changed(schema=99, since="DROP", odd=1), "needs a newer vidcaption .* schema 99"),
        (changed(schema=0), "schema 0"),
        (changed(schema="2"), "schema '2'; this version of vidcaption reads 1 to 2"),
        (changed(schema=True), "schema True"),
        (changed(extra=1), "unknown fields: .extra"),
        (changed(backbone="alexnet"), "'alexnet'; allowed are efficientnet_lite2"),
        (changed(grid=0), "at least 1"),
        (changed(grid="7"), "whole number"),
        (changed(grid=True), "whole number"),
        (changed(size=10**9), "at most 8192"),
        (changed(std=[0, 1, 1]), "above 0"),
        (changed(mean=[0.5]), "mean"),
        (changed(backbone=[1]), "allowed are"),
        (changed(heads=5), "multiple"),
    ],
)
def test_broken_files_are_refused(text, reason):
    with pytest.raises(ModelError, match=reason):
        ModelConfig.from_json(text)


def test_a_wrong_argument_is_a_usage_error():
    with pytest.raises(UsageError, match="--dropout is 1; it must be"):
        ModelConfig(dropout=1)

import json

import pytest

from vidcaption.errors import ModelError, UsageError
from vidcaption.model.config import ModelConfig


def test_json_round_trip():
    config = ModelConfig(attention="additive", grid=3, mean=(0.5, 0.5, 0.5))
    assert ModelConfig.from_json(config.to_json()) == config


def test_a_config_without_the_version_that_reads_it_is_read():
    assert ModelConfig.from_json(changed(since="DROP")) == ModelConfig()


def changed(**values):
    row = json.loads(ModelConfig().to_json())
    row.update(values)
    return json.dumps({key: value for key, value in row.items() if value != "DROP"})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "not JSON"),
        ("[]", "must hold an object"),
        (changed(schema=99, since="7.2.0"), r"needs vidcaption 7\.2\.0 .* reads 1\); upgrade"),
        (changed(schema=99, since="DROP", odd=1), "needs a newer vidcaption .* schema 99"),
        (changed(schema=0), "schema 0"),
        (changed(schema="2"), "schema '2'"),
        (changed(extra=1), "unknown fields: .extra"),
        (changed(grid="DROP"), "lacks fields: grid"),
        (changed(backbone="alexnet"), "'alexnet'; allowed are mobilenet_v2"),
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

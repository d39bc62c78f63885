import json
from dataclasses import asdict

import yaml

from vidcaption.model.config import ModelConfig
from vidcaption.options.training import TrainOptions
from vidcaption.training.card import write_card
from vidcaption.training.history import Epoch


def test_the_hub_and_people_can_read_it():
    options = TrainOptions(epochs=3)
    last = Epoch(7, "scst", None, {"loss": 2.5, "cider": 55.25}, 1e-4, 10.0)
    card = write_card("Of 5 <b> & {{ 2 }} samples.", ModelConfig(), options, [last])
    _, top, text = card.split("---\n", 2)
    assert yaml.safe_load(top) == {
        "library_name": "vidcaption",
        "tags": ["video-captioning", "pytorch"],
    }
    assert text.startswith("\n# A vidcaption model\n") and text.endswith("\n```\n")
    assert "Of 5 <b> & {{ 2 }} samples." in text
    assert "Best epoch: 7 (scst), dev loss 2.500, dev CIDEr 55.2." in text
    _, config, _, trained, _ = text.split("```")
    assert (
        json.loads(config.removeprefix("json"))["input"]["backbone"] == ModelConfig().input.backbone
    )
    assert json.loads(trained.removeprefix("json")) == asdict(options) | {"stage": []}

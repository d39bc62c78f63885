"""Stages as data: what flags and tables make of them."""

import pytest

from vidcaption.errors import UsageError
from vidcaption.model.config import ModelConfig
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.training import TrainOptions
from vidcaption.training.stages import PARTS, stages_of

NEW = {"name": "new", "epochs": 2, "trains": {"decoder": 0.1}, "objectives": {"captions": 1}}


def test_flags_build_the_usual_stages() -> None:
    options = TrainOptions(concept_epochs=0, epochs=2, finetune_epochs=3, scst_epochs=1, lr=0.01)
    frozen, finetune, scst = stages_of(options)
    assert [s.name for s in (frozen, finetune, scst)] == ["frozen", "finetune", "scst"]
    assert (frozen.options.epochs, frozen.source, frozen.trains) == (
        2,
        "features",
        {"decoder": 0.01},
    )
    assert (finetune.options.epochs, finetune.source) == (3, "pixels")
    assert finetune.options.batch == options.finetune_batch
    assert finetune.trains["cnn"] == options.backbone_lr
    assert list(scst.objectives.items())[:2] == [("rewards", 1), ("captions", options.scst_imitate)]


def test_a_table_takes_from_the_usual_stage_what_it_does_not_say() -> None:
    tables = ({"name": "scst", "captions": 1, "ema": 0.5}, {"name": "frozen"}, NEW)
    options = TrainOptions(scst_epochs=4, epochs=2, finetune_epochs=9, lr=0.01, stage=tables)
    scst, frozen, new = stages_of(options)
    assert (scst.options.epochs, scst.options.captions, scst.options.ema) == (4, 1, 0.5)
    assert scst.trains == {"decoder": options.scst_lr}
    assert (frozen.options.captions, frozen.options.ema) == (options.captions, options.ema)
    assert frozen.trains == {"decoder": 0.01}
    assert (new.options.epochs, new.source, new.options.batch) == (2, "features", options.batch)


def test_a_stage_without_epochs_is_left_out() -> None:
    assert not stages_of(TrainOptions(stage=({**NEW, "epochs": 0},)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "a stage has name 3; give each a name"),
        ({"name": "a\x1b"}, r"a stage has name 'a\\x1b'"),
        ({"trians": {}}, "stage 'new' has 'trians', which is unknown; did you mean trains"),
        ({"seed": 2}, "stage 'new' has 'seed', which is unknown"),
        ({"epochs": -1}, "stage 'new': --epochs is -1; it must be at least 0 and at most 1000"),
        ({"epochs": "2"}, "stage 'new': --epochs is '2'; it must be a whole number"),
        ({"source": "video"}, "has source 'video'; allowed are features, pixels"),
        ({"trains": {}}, "stage 'new' has trains {}; it must be a table of numbers"),
        ({"trains": ["cnn"]}, "it must be a table of numbers, each for one of decoder, cnn"),
        ({"trains": {"cnm": 1}}, "'cnm' in trains, which is unknown; did you mean cnn"),
        ({"trains": {"cnn": 1}}, "trains the cnn on its own features"),
        (
            {"trains": {"decoder": 2}},
            "has 2 for decoder in trains; it must be a number from",
        ),
        ({"trains": {"decoder": True}}, "has True for decoder in trains; it must be a number"),
        ({"objectives": {"caption": 1}}, "in objectives, which is unknown; did you mean captions"),
        ({"objectives": {"captions": float("nan")}}, "has nan for captions in objectives"),
    ],
)
def test_wrong_tables(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        stages_of(TrainOptions(stage=(NEW | change,)))


def test_an_unknown_name_takes_nothing() -> None:
    message = (
        "stage 'warmup' has no epochs and trains; only concepts, frozen, finetune, joint, scst have"
    )
    with pytest.raises(UsageError, match=message):
        stages_of(TrainOptions(stage=({"name": "warmup", "objectives": {"captions": 1}},)))


def test_a_stage_trains_its_parts_alone() -> None:
    small = {"image_size": 32, "grid": 1, "size": 16, "attention_heads": 2, "concept_slots": 1}
    config = ModelConfig.flat(**small, heads="caption+joint")
    network = CaptionNetwork(config, Vocabulary(["dog"], ["dog"]))
    everything = {name for name, _ in network.named_parameters()}
    trained = {}
    for part in PARTS:
        stage = NEW | {"trains": {part: 0.1}, "source": "pixels", "finetune-from": 0}
        [made] = stages_of(TrainOptions(stage=(stage,)))
        [(parameters, rate)] = made.parameters(network)
        assert rate == 0.1
        ids = {id(p) for p in parameters}
        trained[part] = {name for name, p in network.named_parameters() if p.requires_grad}
        assert trained[part] == {name for name, p in network.named_parameters() if id(p) in ids}
    left = everything - set().union(*trained.values())
    assert left == {"confidence.weigh.weight", "confidence.weigh.bias"}
    joint = trained.pop("joint")  # which also learns with the decoder
    assert joint == {x for x in trained["decoder"] if x.startswith("heads.joint.")} != set()
    assert sum(map(len, trained.values())) == len(everything - left)  # each is of one part
    without = CaptionNetwork(ModelConfig.flat(image_size=32, grid=1), Vocabulary(["dog"]))
    [made] = stages_of(TrainOptions(stage=(NEW | {"trains": {"classifier": 0.1}},)))
    assert made.parameters(without) == []

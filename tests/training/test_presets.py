import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from clips import every, write_clip
from colours import CPU, trainer, write_colours
from shapes import write_shapes
from torch import Tensor

from vidcaption import Captioner
from vidcaption.cli import main
from vidcaption.cli.settings import presets
from vidcaption.datasets.read import read_dataset
from vidcaption.datasets.samples import Sample, load_frames, with_splits
from vidcaption.errors import UsageError
from vidcaption.evaluation.evaluate import score_model
from vidcaption.model.config import ModelConfig
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.parts import MATCHING
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.base import flag_of
from vidcaption.options.captioning import SearchOptions
from vidcaption.options.training import TrainOptions
from vidcaption.training.stages import stages_of

TINY = {"backbone": "mobilenet_v2", "image_size": 32, "size": 16, "embedding": 8}
METRICS = {
    **{"caption": ["CIDEr"], "classes": ["accuracy"], "score": ["spearman"]},
    **{head: ["search_R@1", "annotation_median_rank"] for head in MATCHING},
    "regions": ["mAP", "box_recall", "label_accuracy", "relation_recall"],
}
SHAPES = {
    **{"caption": (1, 1, 3, 11), "classes": (1, 5), "score": (1,), "joint": (1, 256)},
    "alignment": (1, 4 * 4 + 1, 256),
}
# two steps of the first stage, one of those that follow
BRIEF: dict[str, Any] = {
    **{"concept_epochs": 1, "epochs": 1, "finetune_epochs": 0, "scst_epochs": 0, "batch": 8},
    **{"frames": 2, "cached_frames": 2, "min_count": 1, "select": "loss", "workers": 0},
}
SHAPED = {"a", "red", "green", "blue", "square", "circle"}
COLOURED = {"a", "plain", "picture", "everything", "is", "red", "green", "blue", "white"}


def chosen_by(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the network and of the training in a preset's file, by field."""
    text = presets()[name].read_text(encoding="utf-8")
    [(table, values)] = tomllib.loads(text).items()
    assert table == "train" and text.startswith("# ")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    network, training = (
        {f.name: values.pop(key) for f in kind.flat_fields() if (key := flag_of(f)[2:]) in values}
        for kind in (ModelConfig, TrainOptions)
    )
    assert not values  # each is an option of one of the two
    return network, training


def test_help_lists_each_preset_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = lines[lines.index("Presets:") + 1 : lines.index("Examples:") - 1]
    assert [line.split()[0] for line in listed] == [
        *[
            *["activity", "activity-flow", "activity-frame", "alstm", "default", "inception-gru"],
            *["lsmdc", "lstm-gan", "mean-pool", "memorability", "regions", "retrieval"],
            *["retrieval-alignment", "s2vt", "s2vt-flow", "show-and-tell", "show-attend-tell"],
            *["show-attend-tell-hard", "temporal-attention", "words-to-sentence"],
        ],
    ]
    assert listed[8].split(maxsplit=1)[1] == "Venugopalan et al. 2015a: the mean of all frames."


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    samples = write_colours(tmp_path_factory.mktemp("data"))
    return [replace(s, label=s.captions[0].split()[2], score=float(s.id)) for s in samples]


@pytest.fixture(scope="module")
def videos(pictures: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """The same as videos, as optical flow needs them."""
    folder, made = tmp_path_factory.mktemp("videos"), []
    for sample in pictures:
        [frame] = load_frames(sample, 1)
        path = folder / f"{sample.id}.mp4"
        write_clip(path, every(0.1, 3), [frame] * 3, size=(32, 32))
        made.append(replace(sample, stills=(), video=path))
    return made


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    folder = tmp_path_factory.mktemp("shapes")
    return with_splits(read_dataset(write_shapes(folder / "data", 24)), seed=1)


@pytest.mark.parametrize("name", presets())
def test_a_preset_trains_and_its_model_runs_and_is_scored(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, training = chosen_by(name)
    config = ModelConfig.flat(**network | TINY | {"grid": min(2, network["grid"])})
    options = replace(TrainOptions(**training), **BRIEF)
    kind = "shapes" if config.says == "regions" else "pictures"
    samples = request.getfixturevalue("videos" if config.input.flow else kind)
    done = trainer(tmp_path, samples, options, config=config).run()
    stages = [each.name for each in stages_of(options) if each.name != "concepts"]
    stages = ["concepts"] * bool(config.concept_slots) + stages
    assert list(dict.fromkeys(epoch.stage for epoch in done.history)) == stages
    captioner = Captioner.from_pretrained(tmp_path, isolate=False, precision="fp32")
    assert captioner.loaded.network.config == config
    seen = samples[0].video or samples[0].stills[0]
    if config.says in MATCHING:
        with pytest.raises(UsageError, match="which says nothing of a video"):
            captioner.caption(seen)
    elif config.says == "regions":
        [segment] = captioner.caption(seen, regions=True)
        assert segment.graph and len(segment.graph.regions) > 0
        assert {x for r in segment.graph.regions for x in r.text.split()} <= SHAPED
    elif config.says == "score":
        assert -100 < float(captioner.caption(seen)[0].text) < 100
    else:
        assert set(captioner.caption(seen)[0].text.lower().split()) <= COLOURED
    monkeypatch.setenv("PATH", "")  # without Java, which takes seconds
    scored = score_model(tmp_path, samples[:4], 2, SearchOptions(), CPU)
    assert set(METRICS[config.says]) <= set(scored.report["scores"]) and len(scored.said) == 4


@pytest.mark.parametrize("name", presets())
def test_a_preset_builds_a_network_that_runs(name: str) -> None:
    network, training = chosen_by(name)
    assert stages_of(TrainOptions(**training))
    with torch.device("meta"):  # as large as it is, without the numbers
        config = ModelConfig.flat(**network)
        if config.says != "regions":  # of which there are as many as it finds
            assert run(config)[0].shape == SHAPES[config.heads]
    words, weights = run(ModelConfig.flat(**network | TINY))
    assert words.isfinite().all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


@torch.inference_mode()
def run(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Logits of a vocabulary of 11 after each of three words about two frames, and weights; or what
    another head gives, and the weight 1."""
    labels = ["a", "b", "c", "d", "e"]
    vocabulary = Vocabulary([f"word{i}" for i in range(7)], ["word0", "word1"], labels=labels)
    network = CaptionNetwork(config, vocabulary).eval()
    frames = torch.zeros(
        1, 2, 18, config.input.image_size, config.input.image_size, dtype=torch.uint8
    )
    network.to(frames.device)  # the CNN keeps some numbers elsewhere
    memory = network.remember(network.encode(frames))
    if config.says == "regions":
        read = network.heads["regions"].read(memory, [torch.tensor([[0.0, 0.0, 0.5, 1.0]])])
        return read.things, torch.ones(1, 1)
    if not config.writes:
        return network.heads[config.says](memory), torch.ones(1, 1)
    words = torch.tensor([[[1, 2, 3]]])
    out, weights, *_ = network.decoder(words, memory, network.decoder.start(memory))
    return network.decoder.logits(out), weights

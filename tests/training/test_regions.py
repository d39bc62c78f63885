"""Regions, learnt from pictures whose best description is known."""

from dataclasses import replace

import cv2
import pytest
import torch
import torch.nn.functional as F
from colours import CPU, trainer
from shapes import write_shapes

from vidcaption.datasets.read import read_dataset
from vidcaption.datasets.samples import with_splits
from vidcaption.errors import UsageError
from vidcaption.evaluation.regions import region_figures
from vidcaption.model import folder as model_folder
from vidcaption.model.config import ModelConfig
from vidcaption.model.network import CaptionNetwork
from vidcaption.options.captioning import SearchOptions
from vidcaption.options.training import TrainOptions
from vidcaption.training.clips import Batch
from vidcaption.training.distributed import World
from vidcaption.training.material import MOST_THINGS, Material, names_of
from vidcaption.training.objectives import Loss
from vidcaption.training.regions import MOST_BOXES, Regions, drawn
from vidcaption.training.words import with_heads
from vidcaption.types import Region, Relation, SceneGraph

GRID, PICTURES, STEPS = 4, 80, 90
CONFIG = ModelConfig.flat(
    **{"image_size": 64, "grid": GRID, "size": 32, "embedding": 16, "dropout": 0.0},
    **{"attention_heads": 2, "temporal": "none", "attention": "none", "heads": "regions"},
)
BRIEF = TrainOptions(
    **{"epochs": 1, "finetune_epochs": 0, "frames": 1, "cached_frames": 1, "min_count": 1},
    **{"workers": 0, "batch": 12},
)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    path = write_shapes(tmp_path_factory.mktemp("shapes") / "data", PICTURES)
    return with_splits(read_dataset(path), seed=1)


def of_colours(sample):
    """What a CNN could give: the pixels of each cell of the grid, smaller, (1, R, 1280)."""
    pixels = torch.from_numpy(cv2.imread(str(sample.stills[0]))).permute(2, 0, 1) / 32
    cells = F.pixel_unshuffle(F.adaptive_avg_pool2d(pixels, 4 * GRID), 4).flatten(1).T
    return F.pad(cells, (0, 1280 - 48)).unsqueeze(0)


def test_what_can_be_known_is_learnt(shapes):
    """From pixels, which tell all there is to say."""
    material = Material(shapes, min_count=1, seed=1, heads=["regions"])
    assert material.vocabulary.things == ("circle", "square")
    assert material.vocabulary.predicates == ("left of",)
    torch.manual_seed(0)
    network = CaptionNetwork(CONFIG, material.vocabulary)
    network.encoder.requires_grad_(False)
    objective = Regions(network, material, CPU, World(CPU.device))
    loss = Loss(network, {objective: 1.0}, replace(BRIEF, label_smoothing=0.0))
    seen = torch.stack([of_colours(sample) for sample in material.samples])
    optimizer = torch.optim.Adam([p for p in loss.parameters() if p.requires_grad], lr=0.01)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.01, STEPS)
    for _ in range(STEPS):
        rows = torch.randperm(len(material.train))[:8].tolist()
        batch = Batch(seen[rows], torch.zeros(8, 1, 1), rows)
        [term] = loss(batch.clips, batch, 0.0)
        optimizer.zero_grad()
        (term.total / term.words).backward()
        torch.nn.utils.clip_grad_norm_(loss.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    metrics = objective.judge(network, seen.__getitem__, BRIEF)
    assert list(metrics) == ["loss", "mAP"]
    assert metrics["mAP"] > 88 and metrics["loss"] < 0.5
    with torch.inference_mode():
        memory = network.eval().remember(seen[material.first_dev :])
        said = network.heads["regions"](memory)
    figures, _ = region_figures(said, [sample.graph for sample in material.dev])
    assert float(figures["mAP"]) == pytest.approx(metrics["mAP"])
    assert float(figures["box_recall"]) > 95 and float(figures["label_accuracy"]) > 95
    assert float(figures["relation_recall"]) > 90
    assert objective.doubt.min() < 0  # it has become sure of something
    by_loss = objective.judge(network, seen.__getitem__, replace(BRIEF, select="loss"))
    assert list(by_loss) == ["mAP", "loss"]


def test_a_head_learns_beside_captions(tmp_path, shapes):
    """And so processes that train together never wait for a parameter without gradient."""
    some = [replace(s, captions=("two shapes", "a picture of shapes")) for s in shapes[:12]]
    bare = [replace(s, graph=replace(s.graph, relations=())) for s in some]
    config = replace(CONFIG, heads="caption+regions")
    options = replace(BRIEF, select="loss")
    training = trainer(tmp_path, bare, options, config=config)
    assert not training._pixels(training.options).moves  # boxes would have to follow
    objective = training.objectives["regions"]
    training.run()
    every = [*training.network.heads.named_parameters(), *objective.named_parameters()]
    assert every and all(p.grad is not None for _, p in every)
    assert training.vocabulary.predicates == () and "picture" in training.vocabulary.words
    # nothing is said of the doubt of what the batch has not
    assert objective.doubt[4] == 0 and all(objective.doubt[:4] != 0)
    words = model_folder.load(tmp_path)
    with torch.inference_mode():
        assert words.network.caption(torch.zeros(1, 1, 16, 1280), SearchOptions())[0].ids


def test_losses_by_hand(shapes):
    """Of a picture with two objects and a phrase, whose logits are zero."""
    box = (0.0, 0.0, 0.5, 0.5)
    regions = (Region(box, "a red square"), Region(box, label="circle"), Region(box, label="odd"))
    graph = SceneGraph(regions, (Relation(1, "left of", 2), Relation(2, "unheard of", 1)))
    material = Material(shapes, min_count=1, seed=1, heads=["regions"])
    material.train[0] = replace(material.train[0], graph=graph)
    network = CaptionNetwork(CONFIG, material.vocabulary).eval()
    objective, head = Regions(network, material, CPU, World(CPU.device)), network.heads["regions"]
    for layer in (head.thing, head.predicate):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    head.thing.bias.data[0] = head.predicate.bias.data[0] = 1.0
    memory = network.remember(torch.zeros(1, 1, GRID**2, 1280))
    phrases, things, predicates = objective._losses(head, memory, [graph])
    assert phrases[1] == 4  # and the end
    none, one = -torch.tensor([1.0, 0, 0]).log_softmax(0)[:2]
    assert things[0].item() == pytest.approx((one + none).item()) and things[1] == 2
    none, one = -torch.tensor([1.0, 0]).log_softmax(0)
    # one pair is related, one in an unknown way, and those of a phrase or a box with itself are not
    assert predicates[0].item() == pytest.approx(one.item()) and predicates[1] == 1
    alone = SceneGraph(regions[1:], ())
    *_, predicates = objective._losses(head, memory, [alone])
    assert predicates[0].item() == pytest.approx(2 * none.item()) and predicates[1] == 2
    many = SceneGraph((Region(box, label="circle"),) * 5, (Relation(0, "left of", 1),))
    *_, predicates = objective._losses(head, memory, [many])  # of 20 pairs, 19 count like 3
    assert predicates[1] == pytest.approx(4)
    assert predicates[0].item() == pytest.approx((one + 3 * none).item(), rel=1e-5)
    phrases, *_ = objective._losses(head, memory, [alone])
    assert (phrases[0].item(), phrases[1]) == (0, 0)


def test_some_regions_of_many():
    regions = tuple(Region((i / 100, 0.0, 0.1, 0.1), f"{i}") for i in range(MOST_BOXES + 8))
    relations = tuple(Relation(i, "by", i + 1) for i in range(len(regions) - 1))
    graph = SceneGraph(regions, relations)
    torch.manual_seed(0)
    some, others = drawn(graph), drawn(graph)
    assert len(some.regions) == MOST_BOXES and some != others
    assert 0 < len(some.relations) < len(relations)
    for each in some.relations:
        subject, object = (int(some.regions[i].text) for i in (each.subject, each.object))
        assert object == subject + 1
    small = SceneGraph(regions[:MOST_BOXES])
    assert drawn(small) is small


def test_the_most_frequent_names(shapes):
    kinds = [f"{i:03}" for i in range(MOST_THINGS + 5)] + ["often"] * 2
    graph = SceneGraph(tuple(Region((0.0, 0.0, 1.0, 1.0), label=kind) for kind in kinds))
    things, predicates = names_of([replace(shapes[0], graph=graph)])
    assert things == ["often", *kinds[: MOST_THINGS - 1]] and predicates == []


def test_a_model_gets_the_head(tmp_path, shapes):
    some = [replace(s, captions=("a red square", "a blue circle")) for s in shapes[:10]]
    options = replace(BRIEF, select="loss")
    trainer(tmp_path, some, options, config=replace(CONFIG, heads="caption")).run()
    first = model_folder.load(tmp_path)
    names = (["circle"], ["left of"])
    second = with_heads(first, "regions", (), 1, names)
    assert second.vocabulary.words == first.vocabulary.words
    assert (second.vocabulary.things, second.vocabulary.predicates) == (("circle",), ("left of",))
    again = with_heads(second, "regions", (), 2, (["circle"], []))
    weight = "heads.regions.box.weight"
    states = [x.network.state_dict() for x in (second, again)]
    assert torch.equal(states[0][weight], states[1][weight])
    other = with_heads(second, "regions", (), 2, (["square"], []))
    assert not torch.equal(other.network.state_dict()[weight], states[0][weight])
    labels = with_heads(first, "classes", ["a", "b"], 1)
    with pytest.raises(UsageError, match="knows no words for --heads regions; choose one that"):
        with_heads(labels, "regions", (), 1, names)


def test_samples_without_regions_are_left_out(shapes):
    bare = [replace(sample, graph=None) for sample in shapes]
    with pytest.raises(UsageError, match="no sample with a region is in the split 'train'"):
        Material(bare, min_count=1, seed=1, heads=["regions"])

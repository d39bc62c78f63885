"""The regions of a picture: what the head computes, and what it keeps."""

import pytest
import torch

from vidcaption.errors import ModelError, UsageError
from vidcaption.model import folder
from vidcaption.model.config import ModelConfig
from vidcaption.model.network import CaptionNetwork
from vidcaption.model.regions import LEAST, MOST
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.captioning import SearchOptions
from vidcaption.types import Region, SceneGraph

WORDS = Vocabulary(["a", "red", "square"], things=["square", "circle"], predicates=["on", "by"])


def make(heads="regions", vocabulary=WORDS, **fields):
    torch.manual_seed(0)
    small = {"image_size": 64, "grid": 2, "size": 16, "attention_heads": 2, "embedding": 12}
    return CaptionNetwork(ModelConfig.flat(heads=heads, **small | fields), vocabulary).eval()


@pytest.fixture(scope="module")
def sure():
    """A head that is sure of every box."""
    network = make()
    network.heads["regions"].proposals.head.cls_logits.bias.data.fill_(3)
    return network


@torch.inference_mode()
def test_a_graph_of_each_picture(sure, features):
    head, memory = sure.heads["regions"], sure.remember(features)
    graphs = head(memory)
    assert len(graphs) == 3
    for graph in graphs:
        assert 1 < len(graph.regions) <= MOST
        scores = [region.score for region in graph.regions]
        assert scores == sorted(scores, reverse=True) and min(scores) > LEAST
        for x, y, width, height in (region.box for region in graph.regions):
            assert x >= 0 and y >= 0 and width > 0 and height > 0
            assert x + width < 1.00001 and y + height < 1.00001
        for region in graph.regions:
            assert set(region.text.split()) <= {"a", "red", "square"} and region.text
            assert region.label in ("", "square", "circle")
        likely = [each.score for each in graph.relations]
        assert len(likely) <= MOST and likely == sorted(likely, reverse=True)
        for each in graph.relations:
            assert each.subject != each.object and each.predicate in ("on", "by")
            assert max(each.subject, each.object) < len(graph.regions)
            both = scores[each.subject] * scores[each.object]
            assert LEAST <= each.score < both
    # each picture is told by itself
    alone = [head(sure.remember(features[i : i + 1]))[0] for i in range(3)]
    for one, whole in zip(alone, graphs, strict=True):
        assert [x.text for x in one.regions] == [x.text for x in whole.regions]
        assert [x.label for x in one.regions] == [x.label for x in whole.regions]
        boxes = [torch.tensor([x.box for x in graph.regions]) for graph in (one, whole)]
        torch.testing.assert_close(*boxes)


@torch.inference_mode()
def test_the_frame_in_the_middle_counts(sure, features):
    head = sure.heads["regions"]
    three = torch.stack([features[:, 1], features[:, 0], features[:, 1]], 1)
    still = features[:, :1]
    network = make(temporal="none")
    network.load_state_dict(sure.state_dict(), strict=False)
    first, second = (network.heads["regions"](network.remember(x)) for x in (three, still))
    boxes = [torch.tensor([x.box for x in each[0].regions]) for each in (first, second)]
    torch.testing.assert_close(*boxes)
    assert head(sure.remember(three)) != head(sure.remember(still))  # it sees the others


@torch.inference_mode()
def test_boxes_and_pairs_are_read_by_place(sure, features):
    head, memory = sure.heads["regions"], sure.remember(features[:2])
    left, right = torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]])
    read = head.read(memory, [torch.stack([left, right]), right[None]])
    assert read.known.tolist() == [[True, True], [True, False]]
    assert read.things.shape == (2, 2, 3) and read.predicates.shape == (2, 2, 2, 3)
    assert read.memory.pooled.shape == (3, 16)
    swapped = head.read(memory, [torch.stack([right, left]), right[None]])
    torch.testing.assert_close(swapped.things[0], read.things[0].flip(0))
    torch.testing.assert_close(swapped.predicates[0], read.predicates[0].flip(0, 1))
    assert not torch.allclose(read.predicates[0, 0, 1], read.predicates[0, 1, 0])
    # padding changes nothing
    alone = head.read(sure.remember(features[1:2]), [right[None]])
    torch.testing.assert_close(alone.memory.pooled[0], read.memory.pooled[2])
    torch.testing.assert_close(alone.things[0, 0], read.things[1, 0])
    # and a phrase knows what else there is
    other = head.read(memory, [left[None], right[None]])
    assert not torch.allclose(other.memory.pooled[0], read.memory.pooled[0])
    torch.testing.assert_close(other.things[0, 0], read.things[0, 0])


def test_losses_of_boxes(sure, features):
    head = make().heads["regions"].train()
    memory = sure.remember(features)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
    boxes = [torch.tensor([[0.0, 0.0, 0.5, 0.5]]), torch.tensor([[0.5, 0.5, 1, 1]])] * 2
    before = None
    for _ in range(40):
        losses = head.propose(memory, boxes[:3])
        before = before or [loss.item() for loss in losses]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward(retain_graph=True)
        optimizer.step()
    assert all(loss.item() < first / 3 for loss, first in zip(losses, before, strict=True))
    found, scores = head.find(memory)
    for corners, score, wanted in zip(found, scores, boxes, strict=False):
        assert corners[0].tolist() == pytest.approx(wanted[0].tolist(), abs=0.1) and score[0] > 0.5


@torch.inference_mode()
def test_a_folder_keeps_all_of_it(tmp_path, sure, features):
    folder.save(tmp_path, sure, WORDS, "")
    loaded = folder.load(tmp_path)
    assert loaded.network.config == sure.config
    assert loaded.vocabulary.things == WORDS.things
    assert loaded.vocabulary.predicates == WORDS.predicates
    first, second = (
        x.heads["regions"](x.remember(features.half().float())) for x in (sure, loaded.network)
    )
    assert [[x.text for x in g.regions] for g in first] == [
        [x.text for x in g.regions] for g in second
    ]


@torch.inference_mode()
def test_boxes_do_not_depend_on_the_precision_of_the_rest(sure, features):
    memory = sure.remember(features)
    whole = sure.heads["regions"](memory)
    with torch.autocast("cpu", torch.bfloat16):
        assert sure.heads["regions"](memory) == whole


@torch.inference_mode()
def test_the_text_is_the_surest_phrases(sure, features):
    captions = sure.caption(features, SearchOptions())
    for caption in captions:
        phrases = list(dict.fromkeys(x.text for x in caption.graph.regions[:3]))
        assert caption.text == "; ".join(phrases) and caption.ids == []
        assert caption.score == pytest.approx(torch.tensor(caption.graph.regions[0].score).log())


@torch.inference_mode()
def test_no_region(features):
    network = make()
    network.heads["regions"].proposals.head.cls_logits.bias.data.fill_(-9)
    captions = network.caption(features, SearchOptions())
    assert [x.graph for x in captions] == [SceneGraph()] * 3
    assert [x.text for x in captions] == [""] * 3


@torch.inference_mode()
def test_no_kinds_and_no_predicates(features):
    network = make(vocabulary=Vocabulary(["a"]))
    network.heads["regions"].proposals.head.cls_logits.bias.data.fill_(3)
    for graph in network.heads["regions"](network.remember(features)):
        assert graph.relations == () and {x.label for x in graph.regions} == {""}


@torch.inference_mode()
def test_regions_beside_captions_are_found_on_request(features):
    network = make("caption+regions")
    network.heads["regions"].proposals.head.cls_logits.bias.data.fill_(3)
    plain = network.caption(features, SearchOptions())
    assert [x.graph for x in plain] == [None] * 3 and all(x.ids for x in plain)
    more = network.caption(features, SearchOptions(), with_regions=True)
    assert [x.ids for x in more] == [x.ids for x in plain] and all(x.graph for x in more)


def test_a_head_without_words(tmp_path):
    with pytest.raises(ModelError, match="the head regions, but vocab"):
        make(vocabulary=Vocabulary([]))


def test_models_of_regions_are_not_mixed(tmp_path, sure):
    folder.save(tmp_path, sure, WORDS, "")
    one = folder.load(tmp_path)
    with pytest.raises(UsageError, match="regions alone, each of which finds boxes of its own"):
        folder.check_mixable(one, "a", one, "b")


def test_scaling():
    graph = SceneGraph((Region((0.25, 0.5, 0.5, 0.25), "x"),))
    assert graph.scaled(64, 32) == SceneGraph((Region((16, 16, 32, 8), "x"),))


def test_roles_leave_no_grid():
    with pytest.raises(UsageError, match="--roles max shows words in place of the grid, which the"):
        ModelConfig.flat(heads="caption+regions", concept_slots=4, roles="max")

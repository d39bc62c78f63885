"""Dense captioning's precision, by hand."""

import numpy as np
import pytest

from vidcaption.evaluation.regions import meteor, region_figures
from vidcaption.types import Region, Relation, SceneGraph

LEFT, RIGHT, AWAY = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 0.5, 1.0), (0.0, 0.9, 0.1, 0.1)
TRUE = SceneGraph(
    (Region(LEFT, "a red square", "square"), Region(RIGHT, "a blue circle", "circle")),
    (Relation(0, "left of", 1),),
)


@pytest.mark.parametrize(
    ("said", "wanted", "value"),
    [
        ("a dog", "a dog", 1 - 0.5 / 8),  # METEOR's own penalty for the one chunk
        ("dog a", "a dog", 0.5),
        ("a cat runs", "a dog", 0.5 * (10 / 3 / 2) / (1 / 2 + 9 / 3)),
        ("a a", "a dog", 0.5 * 0.5),
        ("cat", "a dog", 0.0),
    ],
)
def test_meteor(said, wanted, value):
    assert meteor(said.split(), wanted.split()) == pytest.approx(value)


def figures(*graphs, wanted=TRUE):
    found, merits = region_figures(graphs, [wanted] * len(graphs))
    return {name: float(figure) for name, figure in found.items()}, merits.tolist()


def test_what_is_right_is_perfect():
    assert figures(TRUE, TRUE) == (
        {"mAP": 100, "box_recall": 100, "label_accuracy": 100, "relation_recall": 100},
        [pytest.approx(1 - 0.5 / 27)] * 2,
    )


def test_nothing_said():
    wrong = {"mAP": 0, "box_recall": 0, "relation_recall": 0}
    assert figures(SceneGraph()) == (wrong, [0])


def test_precision_by_hand():
    """The surest region is nowhere, and the second right one is said twice."""
    regions = (
        *(Region(AWAY, "a dog", "dog", 0.9), Region(LEFT, "a red square", "square", 0.8)),
        *(Region(LEFT, "a red square", "square", 0.7), Region(RIGHT, "it", "circle", 0.6)),
    )
    found, [merit] = figures(SceneGraph(regions, (Relation(3, "left of", 1),)))
    # of METEOR's six thresholds, "it" passes the first alone: then recall is whole at a half
    assert found.pop("mAP") == pytest.approx(100 * (0.5 + 5 * 0.25) / 6)
    assert found == {"box_recall": 100, "label_accuracy": 100, "relation_recall": 0}
    assert merit == pytest.approx((1 - 0.5 / 27) / 2)


def test_thresholds_of_boxes():
    half = Region((0.0, 0.0, 0.5, 0.55), "a red square", "circle")  # of LEFT
    found, [merit] = figures(SceneGraph((half,)))
    assert found["mAP"] == pytest.approx(100 * 3 / 5 / 2) and merit > 0.4
    assert (found["box_recall"], found["label_accuracy"]) == (50, 0)
    small = Region((0.0, 0.0, 0.5, 0.45), "a red square", "square")
    found, [merit] = figures(SceneGraph((small,)))
    assert found["mAP"] == pytest.approx(100 * 2 / 5 / 2) and merit == found["box_recall"] == 0


def test_relations_need_everything():
    for change in ("predicate", "label", "place"):
        predicate = "on" if change == "predicate" else "left of"
        label = "square" if change == "label" else "circle"
        box = AWAY if change == "place" else RIGHT
        regions = (TRUE.regions[0], Region(box, "a blue circle", label))
        graph = SceneGraph(regions, (Relation(0, predicate, 1),))
        assert figures(graph)[0]["relation_recall"] == 0, change


def test_figures_without_labels_and_phrases():
    bare = SceneGraph((Region(LEFT, "a red square"),))
    assert set(figures(bare, wanted=bare)[0]) == {"mAP", "box_recall"}
    named = SceneGraph((Region(LEFT, label="square"),))
    found, merits = figures(named, wanted=named)
    assert np.isnan(found.pop("mAP")) and merits == [0]
    assert found == {"box_recall": 100, "label_accuracy": 100}


def test_weights_are_how_often_a_picture_counts():
    said = [TRUE, SceneGraph((Region(LEFT, "a red square", "square", 0.5),)), SceneGraph()]
    found, _ = region_figures(said, [TRUE] * 3)
    weights = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
    for row, values in enumerate(zip(*(found[x].of(weights) for x in found), strict=True)):
        again = [graph for graph, n in zip(said, weights[row], strict=True) for _ in range(int(n))]
        expected, _ = region_figures(again, [TRUE] * 3)
        assert values == pytest.approx([float(expected[name]) for name in found])

"""Labels and scores, learnt from sets whose best possible result is known."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from colours import CONFIG, CPU, OPTIONS, history, trainer

from vidcaption.datasets.samples import Sample
from vidcaption.errors import UsageError
from vidcaption.evaluation.evaluate import score_model
from vidcaption.model import folder as model_folder
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.captioning import SearchOptions
from vidcaption.training.judge import judge_labels, judge_scores
from vidcaption.training.words import with_heads

QUICK = replace(
    OPTIONS,
    select="cider",
    epochs=12,
    finetune_epochs=0,
    scst_epochs=0,
    lr=0.02,
    ema=0.9,
    patience=12,
)
LABELS = replace(CONFIG, heads="classes")
SCORES = replace(CONFIG, heads="score", temporal="none")


@pytest.fixture(scope="module")
def fades(tmp_path_factory):
    """Clips of four grey pictures that become brighter or darker: both have the same frames."""
    folder = tmp_path_factory.mktemp("greys")
    for grey in range(256):
        cv2.imwrite(str(folder / f"{grey}.png"), np.full((32, 32, 3), grey, np.uint8))
    samples = []
    for i in range(40):
        stills = [folder / f"{grey}.png" for grey in range(2 * i, 2 * i + 200, 50)]
        split = "dev" if i % 4 == 1 else "train"
        for label, order in (("brighter", stills), ("darker", stills[::-1])):
            name = f"{i} {label}"
            samples.append(Sample(name, (), split, tuple(order), label=label, score=5000 + i))
    return samples


def evaluate(folder, samples, frames=4):
    dev = [sample for sample in samples if sample.split == "dev"]
    return score_model(folder, dev, frames, SearchOptions(), CPU)


def test_an_lstm_tells_what_frames_alone_cannot(tmp_path, fades):
    options = replace(QUICK, frames=4, cached_frames=4, epochs=16, patience=16)
    trainer(tmp_path / "lstm", fades, options, config=LABELS).run()
    frames = replace(LABELS, temporal="none")
    trainer(tmp_path / "frames", fades, replace(options, epochs=2), config=frames).run()
    lstm, alone = (evaluate(tmp_path / name, fades) for name in ("lstm", "frames"))
    assert lstm.report["scores"]["accuracy"] >= 95  # of 100
    assert alone.report["scores"]["accuracy"] == 50  # the frames of both labels are the same
    assert alone.report["scores"]["macro_auc"] == pytest.approx(50, abs=1)
    assert [row["label"] for row in lstm.report["labels"]] == ["brighter", "darker"]
    assert np.array(lstm.report["confusion"]).sum() == lstm.report["samples"] == 20


def test_scores_are_learnt_whatever_their_scale(tmp_path, fades):
    """Brightness gives the score away, so that the best correlation is 1."""
    folder = fades[0].stills[0].parent
    pictures = [
        replace(sample, stills=(folder / f"{6 * (sample.score - 5000)}.png",))
        for sample in fades[::2]
    ]
    trainer(tmp_path, pictures, replace(QUICK, frames=1, select="loss"), config=SCORES).run()
    scores = evaluate(tmp_path, pictures).report["scores"]
    assert scores["spearman"] > 95 and scores["pearson"] > 90
    assert scores["mean_absolute_error"] < 4  # 10 for their mean
    [row, *_] = history(tmp_path)
    assert row["loss"] == "" and {"dev_loss", "dev_spearman"} <= set(row)


def test_heads_learn_beside_captions(tmp_path, samples):
    """And so processes that train together never wait for a head without gradient."""
    named = [replace(s, label=s.captions[0].split()[2], score=float(s.id)) for s in samples]
    options = replace(OPTIONS, finetune_epochs=1, epochs=1, scst_epochs=1)
    config = replace(CONFIG, heads="caption+classes+score")
    trained = trainer(tmp_path, named, options, config=config)
    before = {name: p.clone() for name, p in trained.network.heads.named_parameters()}
    trained.run()
    assert [row["stage"] for row in history(tmp_path)] == ["frozen", "finetune", "scst"]
    after = dict(trained.network.heads.named_parameters())
    assert before and all(not torch.equal(before[name], after[name]) for name in before)
    assert model_folder.load(tmp_path).vocabulary.labels == ("blue", "green", "red", "white")


@pytest.mark.parametrize("heads", ["joint", "caption+joint", "alignment"])
def test_a_joint_space_is_learnt(tmp_path, samples, heads):
    """Of pictures that differ in colour, captions find their own."""
    options = replace(QUICK, epochs=20, lr=0.005, batch=4, select="loss")
    config = replace(CONFIG, heads=heads, dropout=0.0)
    trained = trainer(tmp_path, samples, options, config=config)
    before, after = trained.run().history[0], trained.position.history[-1]
    assert after.metrics["loss"] < before.metrics["loss"]
    colours = {s.captions[1]: replace(s, split="dev") for s in samples}
    said = evaluate(tmp_path, list(colours.values()), frames=1)
    figures = {**said.report, **said.report["scores"]}
    assert len(colours) == 4 and figures["search_R@1"] == figures["annotation_R@1"] == 100
    assert figures["search_median_rank"] == 1 and figures["mean_recall"] == 100
    assert set(said.report["intervals"]) >= {"search_R@1", "annotation_median_rank"}
    if heads != "caption+joint":
        assert after.chosen_by == "loss" and {"loss", "mean_recall"} == set(after.metrics)
        assert all(said.said[s.id].text in s.captions for s in colours.values())
        assert said.merits.tolist() == [-1] * 4


def test_a_joint_space_is_added_to_a_model_that_stays_as_it_is(tmp_path, samples):
    config = replace(CONFIG, concept_slots=2)
    options = replace(OPTIONS, epochs=1, finetune_epochs=0, scst_epochs=0)
    trainer(tmp_path / "a", samples, options, config=config).run()
    first = model_folder.load(tmp_path / "a")
    wide = with_heads(first, "caption+joint", (), seed=1)
    stage = {"name": "joint", "epochs": 2}
    added = trainer(tmp_path / "b", samples, replace(options, stage=(stage,)), init=wide)
    history = added.run().history
    assert [each.stage for each in history] == ["joint"] * 2 and added.network.config.heads == (
        "caption+joint"
    )
    second = model_folder.load(tmp_path / "b").network.state_dict()
    old, start = first.network.state_dict(), wide.network.state_dict()
    changed = {name for name, x in old.items() if not torch.equal(second[name], x)}
    assert changed == {"confidence.weigh.weight", "confidence.weigh.bias"}  # of other captions
    new = second.keys() - old.keys()
    assert new and all(name.startswith("heads.joint.") for name in new)
    assert not any(torch.equal(second[name], start[name].half().float()) for name in new)
    alone = with_heads(first, "joint", (), seed=1)
    assert alone.vocabulary.words == first.vocabulary.words and not alone.network.config.writes


def test_a_resumed_training_goes_on_the_same(tmp_path, fades):
    options = replace(QUICK, epochs=2)
    whole = trainer(tmp_path / "whole", fades, options, config=SCORES)
    whole.run()
    cut = trainer(tmp_path / "cut", fades, options, config=SCORES)
    save = cut._save_checkpoint

    def save_then_stop(state):
        save(state)
        raise KeyboardInterrupt

    cut._save_checkpoint = save_then_stop
    with pytest.raises(KeyboardInterrupt):
        cut.run()
    trainer(tmp_path / "cut", fades, options, config=SCORES).run(resume=True)
    assert history(tmp_path / "cut") == history(tmp_path / "whole")
    other = [replace(s, score=-s.score) for s in fades]
    with pytest.raises(UsageError, match="dataset"):
        trainer(tmp_path / "cut", other, options, config=SCORES).run(resume=True)


def test_a_label_of_dev_alone_counts_as_wrong(tmp_path, fades):
    odd = [replace(s, label="odd") if s.split == "dev" and s.id < "2" else s for s in fades]
    trained = trainer(tmp_path, odd, replace(QUICK, epochs=1), config=LABELS)
    assert trained.vocabulary.labels == ("brighter", "darker")
    trained.run()
    report = evaluate(tmp_path, odd).report
    unknown = sum(s.label == "odd" for s in odd)
    assert report["samples_of_unknown_labels"] == unknown > 0
    assert report["scores"]["accuracy"] <= 100 * (20 - unknown) / 20


def test_metrics_by_hand():
    log_probs = torch.tensor([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1]]).log()
    metrics = judge_labels(log_probs, torch.tensor([0, 0, -1]))
    assert metrics == pytest.approx({"loss": -np.log(0.7 * 0.4) / 2, "accuracy": 100 / 3})
    said, wanted = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.0, 2.0, 9.0])
    assert judge_scores(said, wanted) == pytest.approx({"loss": 26 / 3, "spearman": 100})
    assert judge_scores(torch.ones(3), wanted)["spearman"] == 0
    assert list(metrics)[-1] == "accuracy"


def test_the_loss_can_choose_the_epoch(tmp_path, fades):
    options = replace(QUICK, epochs=1, select="loss")
    [epoch] = trainer(tmp_path, fades, options, config=LABELS).run().history
    assert epoch.chosen_by == "loss"


def test_what_cannot_be_learnt_is_refused(tmp_path, fades):
    alike = [replace(s, label="brighter") for s in fades]
    with pytest.raises(UsageError, match="only the label 'brighter'; classes need at least two"):
        trainer(tmp_path, alike, QUICK, config=LABELS)
    bare = [replace(s, label=None) for s in fades]
    with pytest.raises(
        UsageError, match=r"no sample with a label is in the split 'train'; .*--label"
    ):
        trainer(tmp_path, bare, QUICK, config=LABELS)
    bare = [replace(s, score=None) if s.split == "dev" else s for s in fades]
    with pytest.raises(UsageError, match="no sample with a score is in the split 'dev'; training"):
        trainer(tmp_path, bare, QUICK, config=SCORES)


def test_a_model_gets_another_head(tmp_path, samples, fades):
    trained = trainer(
        tmp_path / "a", samples, replace(OPTIONS, epochs=1, finetune_epochs=0, scst_epochs=0)
    )
    trained.run()
    first = model_folder.load(tmp_path / "a")
    second = with_heads(first, "classes", ["dark", "light"], seed=1)
    assert second.network.config.heads == "classes"
    assert second.vocabulary.labels == ("dark", "light") and not hasattr(second.network, "decoder")
    kept = [name for name in second.network.state_dict() if not name.startswith("heads.")]
    for name in kept:
        assert torch.equal(second.network.state_dict()[name], first.network.state_dict()[name])
    # labels that it knows do not change its head, others do
    again = with_heads(second, "classes+score", ["light"], seed=2)
    weight = "heads.classes.out.weight"
    assert torch.equal(again.network.state_dict()[weight], second.network.state_dict()[weight])
    other = with_heads(second, "classes", ["dark", "grey"], seed=2)
    assert not torch.equal(other.network.state_dict()[weight], second.network.state_dict()[weight])
    both = with_heads(first, "caption+score", (), seed=1)
    assert both.vocabulary.words == first.vocabulary.words and both.network.config.writes
    with pytest.raises(UsageError, match="writes no captions; choose one that does, or --heads c"):
        with_heads(second, "caption", (), seed=1)
    assert Vocabulary.from_json(second.vocabulary.to_json()).labels == ("dark", "light")

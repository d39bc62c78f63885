import pickle
from dataclasses import replace

import pytest
import torch
from colours import COLOURS, CONCEPTS, CONFIG, CPU, ONE_EPOCH, OPTIONS, history, trainer
from processors import needs_bf16

from vidcaption.errors import InputError, UsageError
from vidcaption.evaluation.captioning import caption_samples
from vidcaption.model import folder as model_folder
from vidcaption.model.concepts import Concepts
from vidcaption.model.config import ModelConfig
from vidcaption.model.device import Machine
from vidcaption.model.search import search
from vidcaption.model.vocabulary import Vocabulary
from vidcaption.options.captioning import SearchOptions
from vidcaption.training.clips import ClipDataset, Draw, FeatureClips, PixelClips
from vidcaption.training.learner import learning_rate


def test_learns_to_name_colours_and_leaves_a_model(tmp_path, samples):
    options = replace(ONE_EPOCH, epochs=25, batch=4, lr=0.005, patience=25)
    trainer(tmp_path, samples, options).run()
    rows = history(tmp_path)
    assert [row["stage"] for row in rows] == ["frozen"] * 25
    assert float(rows[-1]["dev_loss"]) < 0.5 * float(rows[0]["dev_loss"])
    model = model_folder.load(tmp_path)
    dev = [sample for sample in samples if sample.split == "dev"]
    said = caption_samples(model.network, model.vocabulary, dev, 1, SearchOptions(), CPU)
    right = sum(sample.captions[1].split()[-1] in said[sample.id].text for sample in dev)
    assert right >= len(dev) - 1, said
    card = (tmp_path / "README.md").read_text()
    assert '"epochs": 25' in card and "19 training and 5 dev samples" in card


def test_a_plot_is_drawn_now_and_then(tmp_path, samples, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "vidcaption.training.trainer.write_plot", lambda _, epochs: drawn.append(len(epochs))
    )
    for every_s in (3600.0, 0.0):
        monkeypatch.setattr("vidcaption.training.trainer.DRAW_S", every_s)
        trainer(tmp_path / str(every_s), samples, replace(ONE_EPOCH, epochs=2)).run()
    assert drawn == [1, 2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, samples):
    """A training that nothing interrupted."""
    whole = trainer(tmp_path_factory.mktemp("whole"), samples)
    whole.run()
    assert [row["stage"] for row in history(whole.folder)] == ["frozen"] * 2 + ["finetune"] + [
        "scst"
    ] * 2
    return whole


class Killed(Exception):
    pass


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_an_interrupted_training_resumes_exactly(tmp_path, samples, monkeypatch, whole, after):
    cut = trainer(tmp_path / "cut", samples)
    save, saved = cut._save_checkpoint, []

    def save_then_die(*state):
        save(*state)
        saved.append(1)
        if len(saved) == after:
            raise Killed

    monkeypatch.setattr(cut, "_save_checkpoint", save_then_die)
    with pytest.raises(Killed):
        cut.run()
    torch.manual_seed(99)  # resuming must not depend on what the process did before
    resumed = trainer(tmp_path / "cut", samples)
    resumed.run(resume=True)

    expected, got = whole.network.state_dict(), resumed.network.state_dict()
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert history(tmp_path / "cut") == history(whole.folder)


def test_a_finished_training_resumes_to_nothing(tmp_path, samples):
    trainer(tmp_path, samples, ONE_EPOCH).run()
    before = history(tmp_path)
    trainer(tmp_path, samples, ONE_EPOCH).run(resume=True)
    assert history(tmp_path) == before


def test_resuming_asks_for_the_same_training(tmp_path, samples):
    with pytest.raises(UsageError, match="nothing to resume"):
        trainer(tmp_path, samples, ONE_EPOCH).run(resume=True)
    trainer(tmp_path, samples, ONE_EPOCH).run()
    with pytest.raises(UsageError, match=r"with --lr 0.0008 instead of 0.1; use the same again"):
        trainer(tmp_path, samples, replace(ONE_EPOCH, lr=0.1)).run(resume=True)
    other = replace(CONFIG, dropout=0.2), Machine(torch.device("cpu"), torch.bfloat16)
    message = "with --dropout 0.1 instead of 0.2, --precision fp32 instead of bf16"
    with pytest.raises(UsageError, match=message):
        trainer(tmp_path, samples, ONE_EPOCH, other[1], other[0]).run(resume=True)
    with pytest.raises(UsageError, match="with another dataset; use the same again"):
        trainer(tmp_path, samples[::-1], ONE_EPOCH).run(resume=True)


def test_stops_when_the_dev_score_is_stale(tmp_path, samples, caplog):
    caplog.set_level("INFO", "vidcaption")
    # a rate at which nothing is learned: no epoch but the first can be the best by much
    options = replace(ONE_EPOCH, epochs=9, lr=0.5, optimizer="adam", patience=1)
    trainer(tmp_path, samples, replace(options, finetune_epochs=1)).run()
    count = len(history(tmp_path))
    assert count < 10
    lines = [line for line in caplog.messages if "epoch" in line]
    assert lines[0] == "training for at most 10 epochs: 9 frozen, 1 finetune"
    assert lines[1].startswith("epoch 1 of 10 (frozen): ")
    assert lines[-1].startswith(f"epoch {count} of {count} (finetune): ")


@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_other_optimizers_and_cider_work(tmp_path, samples, optimizer):
    pytest.importorskip("pycocoevalcap")
    options = replace(
        OPTIONS, epochs=1, finetune_epochs=0, scst_epochs=0, optimizer=optimizer, select="cider"
    )
    trainer(tmp_path, samples, options).run()
    assert float(history(tmp_path)[0]["dev_cider"]) >= 0


def test_epochs_are_judged_in_as_many_frames_as_windows_have(tmp_path, samples):
    config = replace(CONFIG, frames=3)
    trained = trainer(tmp_path, samples, OPTIONS, config=config)
    assert trained._pixels(OPTIONS).judged == 3
    assert trained._cached(trained._stages[0], [0]).judged == 3
    cache = [torch.arange(8).reshape(8, 1, 1)]
    assert FeatureClips(cache, {5: 0}, 3).look(5).flatten().tolist() == [1, 4, 6]


def test_workers_change_nothing(tmp_path, samples, whole):
    parallel = trainer(tmp_path, samples, replace(OPTIONS, workers=1))
    parallel.run()
    assert history(tmp_path) == history(whole.folder)


def test_batches_can_go_to_a_worker_that_was_not_forked(tmp_path, samples):
    dataset = ClipDataset(
        samples, range(24), PixelClips(samples, 32, 8, 2), Vocabulary(["a"]), 1, seed=0
    )
    again = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(again[Draw(0, 0, 2)][0], dataset[Draw(0, 0, 2)][0])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_vanished_is_named(tmp_path, samples, workers):
    gone = replace(samples[0], split="train", stills=(tmp_path / "gone.png",))
    options = replace(OPTIONS, epochs=0, workers=workers)
    with pytest.raises(InputError, match=r"^\S+gone.png cannot be read: no such file"):
        trainer(tmp_path, [gone, *samples[1:]], options).run()


@needs_bf16
def test_trains_and_captions_in_bf16(tmp_path, samples):
    machine = Machine(torch.device("cpu"), torch.bfloat16)
    options = replace(OPTIONS, epochs=1, finetune_epochs=1)
    trainer(tmp_path, samples, options, machine).run()
    model = model_folder.load(tmp_path)
    dev = [sample for sample in samples if sample.split == "dev"]
    said = caption_samples(model.network, model.vocabulary, dev, 1, SearchOptions(), machine)
    assert all(each.text for each in said.values())


def test_a_broken_checkpoint_is_not_resumed(tmp_path, samples):
    trainer(tmp_path, samples, ONE_EPOCH).run()
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UsageError, match="is broken and cannot be resumed"):
        trainer(tmp_path, samples, ONE_EPOCH).run(resume=True)


def test_starts_from_a_model(tmp_path, samples, whole):
    init = model_folder.load(whole.folder)
    options = replace(OPTIONS, epochs=0, finetune_epochs=0, scst_epochs=1)
    other = ModelConfig.flat(size=64, attention_heads=2)  # has no effect
    started = trainer(tmp_path, samples, options, config=other, init=init)
    assert started.config == CONFIG and started.vocabulary is init.vocabulary
    started.run()
    assert [row["stage"] for row in history(tmp_path)] == ["scst"]
    assert model_folder.load(tmp_path).network.config == CONFIG


def test_sentences_teach_words_that_no_caption_has(tmp_path, samples):
    """The pictures' captions never say "wall"; sentences do, of what they name."""
    texts = [f"a {colour} wall" for colour in COLOURS] * 20
    options = replace(ONE_EPOCH, epochs=20, lr=0.01, concept_epochs=4, text_batch=16)
    trained = trainer(tmp_path, samples, options, config=CONCEPTS, texts=texts)
    trained.run()
    assert [row["stage"] for row in history(tmp_path)] == ["concepts"] * 4 + ["frozen"] * 20
    model = model_folder.load(tmp_path)
    assert model.network.confidence.weigh.weight.abs().sum() > 0  # fitted at the end
    assert set(COLOURS) <= set(model.vocabulary.concepts)
    red = model.vocabulary.concepts.index("red")
    given = Concepts(torch.tensor([[red, 0]]), torch.tensor([[0.9, 0.0]]))
    memory = model.network.remember(torch.zeros(1, 1, 1, 1280), given)
    [caption] = search(model.network.decoder, memory, SearchOptions())
    assert model.vocabulary.decode(caption.ids) == ["a", "red", "wall"]


def test_scores_teach_concepts_to_pictures_without_captions(tmp_path, samples):
    bare = [replace(s, id=f"{s.id} bare", captions=(), split=None) for s in samples]
    scores = [{s.stills[0].resolve(): {"plain": 1.0} for s in bare}]
    material = trainer(tmp_path, [*samples, *bare], config=CONCEPTS, scores=scores).material
    assert len(material.pictures) == 24
    concept = material.vocabulary.concepts.index("plain")
    rows = slice(len(material.train), None)
    assert material.targets[rows, concept].tolist() == [1.0] * 24
    assert material.known[rows].sum(0).tolist() == [
        24 * (name == "plain") for name in material.vocabulary.concepts
    ]


def test_options_change_what_is_learned(tmp_path, samples):
    """The same seed otherwise learns the same."""
    losses = {}
    for change in ({}, {"own_words": 1.0}, {"label_smoothing": 0.5}, {"seed": 2}):
        trainer(tmp_path / repr(change), samples, replace(ONE_EPOCH, **change)).run()
        [losses[repr(change)]] = [row["loss"] for row in history(tmp_path / repr(change))]
    trainer(tmp_path / "again", samples, ONE_EPOCH).run()
    assert [row["loss"] for row in history(tmp_path / "again")] == [losses["{}"]]
    assert len(set(losses.values())) == len(losses)


def test_keeps_the_mean_of_weights(tmp_path, samples):
    for ema, same in ((0.0, True), (0.9, False)):
        trained = trainer(tmp_path / str(ema), samples, replace(ONE_EPOCH, ema=ema))
        trained.run()
        kept = model_folder.load(tmp_path / str(ema)).network.project.weight
        last = trained.network.project.weight
        assert torch.allclose(kept, last, rtol=1e-3, atol=1e-5) == same  # kept in fp16


def test_shows_how_far_it_is(tmp_path, samples):
    shown = []

    def watch(label, total, position):
        shown.append((label, total, position))
        assert position() == 0

    trainer(tmp_path, samples, ONE_EPOCH, watch=watch).run()
    assert [each[:2] for each in shown] == [("features", 24), ("frozen 1/1", 3)]
    assert [position() for _, _, position in shown] == [24, 3]


def test_needs_both_splits(tmp_path, samples):
    with pytest.raises(UsageError, match="no sample with a caption is in the split 'dev'"):
        trainer(tmp_path, [s for s in samples if s.split == "train"])


def test_learning_rate_rises_then_falls():
    rates = [learning_rate(step, 100, 0.1) for step in range(100)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) == pytest.approx(1)
    assert rates[-1] < 0.01

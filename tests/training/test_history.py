import pytest

from vidcaption.errors import UsageError
from vidcaption.training.history import (
    Epoch,
    best_of,
    plot_history,
    read_history,
    write_history,
    write_plot,
)

EPOCHS = [
    Epoch(1, "concepts", 3.5, {"concept_loss": 3.25}, 8e-4, 1.5),
    Epoch(2, "finetune", 3.0, {"loss": 3.125, "cider": 42.5}, 1e-4, 2.0),
    Epoch(3, "scst", None, {"loss": 3.0, "cider": 41.25}, 0.0, 2.5),
]


def test_reads_what_it_wrote(tmp_path):
    write_history(tmp_path, EPOCHS)
    assert read_history(tmp_path) == EPOCHS
    write_plot(tmp_path, EPOCHS)
    assert (tmp_path / "loss.png").read_bytes() == plot_history(EPOCHS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.csv", "loss.png"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not the history of a training"),
        (b"\xff\xfe", "is not the history"),
        (b"epoch,stage\n1,frozen\n", "is not the history"),
        (b"epoch,stage,loss,dev_loss,dev_cider,lr,seconds\n1,frozen\n", "is not the history"),
        (b"epoch,stage,loss,dev_loss,dev_cider,lr,seconds\none,a,1,1,,1,1\n", "is not the history"),
        (b"epoch,stage,loss,dev_loss,lr,seconds\n1,a,1,,1,1\n", "is not the history"),
        (b"epoch,stage,loss,dev_loss,lr,seconds\n1,a,1,1,1,1,1\n", "is not the history"),
        (b"", "has no epochs"),
    ],
)
def test_bad_history(content, message, tmp_path):
    if content is not None:
        (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_history(tmp_path)


def test_the_best_epoch_is_one_of_those_that_can_be_compared():
    assert best_of(EPOCHS) is EPOCHS[1]  # the highest CIDEr, and not the lowest loss
    assert best_of(EPOCHS[:1]) is EPOCHS[0]
    losses = [Epoch(i, "frozen", 1.0, {"loss": x}, 0.1, 1.0) for i, x in enumerate([3.0, 2.0, 2.0])]
    assert best_of([EPOCHS[0], *losses]) is losses[1]  # the first of the lowest


def test_an_epoch_in_words():
    first, _, last = EPOCHS
    line = "epoch 1 of 9 (concepts): loss 3.500, dev concept loss 3.250, 2 s"
    assert first.in_words(9) == line
    assert last.in_words(3) == "epoch 3 of 3 (scst): dev loss 3.000, dev CIDEr 41.2, 2 s"


def test_reads_the_history_of_a_released_version(tmp_path):
    """It has a column for CIDEr, empty or not, and the classifier's epochs have dev_loss, too."""
    rows = "1,concepts,41.3,35.6,,0.1,45.9\n2,frozen,8.4,3.7,36.8,0.1,321.9\n"
    (tmp_path / "history.csv").write_text(f"epoch,stage,loss,dev_loss,dev_cider,lr,seconds\n{rows}")
    first, second = read_history(tmp_path)
    assert (first.metrics, second.metrics) == ({"loss": 35.6}, {"loss": 3.7, "cider": 36.8})
    assert best_of([first, second]) is second

import pytest

from vidcaption.errors import UsageError
from vidcaption.training.history import Epoch, plot_history, read_history, write_history

EPOCHS = [
    Epoch(1, "frozen", 3.5, 3.25, None, 8e-4, 1.5),
    Epoch(2, "finetune", 3.0, 3.125, 41.5, 1e-4, 2.0),
    Epoch(3, "scst", -0.25, 3.0, 42.25, 0.0, 2.5),
]


def test_reads_what_it_wrote(tmp_path):
    write_history(tmp_path, EPOCHS)
    assert read_history(tmp_path) == EPOCHS
    assert (tmp_path / "loss.png").read_bytes() == plot_history(EPOCHS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.csv", "loss.png"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not the history of a training"),
        (b"\xff\xfe", "cannot be read"),
        (b"epoch,stage\n1,frozen\n", "cannot be read"),
        (b"epoch,stage,loss,dev_loss,dev_cider,lr,seconds\n1,frozen\n", "cannot be read"),
        (b"epoch,stage,loss,dev_loss,dev_cider,lr,seconds\none,a,1,1,,1,1\n", "cannot be read"),
        (b"", "has no epochs"),
    ],
)
def test_bad_history(content, message, tmp_path):
    if content is not None:
        (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_history(tmp_path)

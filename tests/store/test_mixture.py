from pathlib import Path

import pytest

from vidcaption.errors import UsageError
from vidcaption.store.mixture import folders, mixed_name, mixed_sha256, parse, weigh


def test_the_first_has_what_is_left() -> None:
    mixture = parse(["a", "owner/b@v1=0.3", "c=d=0.2"])
    assert mixture == ["a", ("owner/b@v1", 0.3), ("c=d", 0.2)]
    assert weigh(mixture) == [("a", pytest.approx(0.5)), ("owner/b@v1", 0.3), ("c=d", 0.2)]
    assert weigh(["a", ("b", 1)]) == [("a", 0.0), ("b", 1.0)]
    rounded = [("b", 0.14), ("c", 0.17), ("d", 0.17), ("e", 0.2), ("f", 0.32)]
    assert weigh(["a", *rounded])[0] == ("a", 0.0)  # up to Python 3.11 their sum is above 1
    assert weigh(None) == [(None, 1.0)] and folders(Path("x")) == [(Path("x"), 1.0)]


def test_a_name_and_a_checksum_tell_mixtures_apart() -> None:
    assert mixed_name([("a", 0.7), ("b", 0.3)]) == "a + b=0.3"
    assert mixed_name([("a", 1.0)]) == "a" and mixed_sha256([("1f", 1.0)]) == "1f"
    several = {
        mixed_sha256(parts)
        for parts in (
            [("1f", 0.7), ("2f", 0.3)],
            [("1f", 0.6), ("2f", 0.4)],
            [("2f", 0.7), ("1f", 0.3)],
        )
    }
    assert len(several) == 3 and all(len(each) == 64 for each in several)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a=0.7", "b=0.3"], "the first model's weight is what the others leave of 1; give a with"),
        (["a", "b"], "--model is 'b'; models after the first need a weight, such as b=0.3"),
        (["a", "b=x"], "'b=x'; models after the first need a weight"),
        (["a", "b=0.6", "c=0.5"], "add up to 1.1; together they can be 1 at most"),
        (["a", "b=1.5"], "the weight of b is 1.5; it must be from 0 to 1"),
        (["a", "b=-0.1"], "the weight of b is -0.1; it must be"),
        (["a", "b=nan"], "the weight of b is nan; it must be"),
    ],
)
def test_wrong_mixtures(given: list[str], message: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(given)
    assert message in str(error.value)


def test_wrong_mixtures_in_python() -> None:
    with pytest.raises(UsageError, match="give the first without a weight"):
        weigh([("a", 0.5), ("b", 0.5)])
    with pytest.raises(UsageError, match="the model b has no weight"):
        weigh(["a", "b"])
    with pytest.raises(UsageError, match="models to mix are"):
        weigh([])

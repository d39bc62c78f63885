import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidcaption.datasets.objects import coco_names, read_names
from vidcaption.errors import UsageError

COCO = coco_names()


def test_coco_has_its_80_classes() -> None:
    assert len(COCO.classes) == len(set(COCO.classes)) == 80
    assert (COCO.classes[0], COCO.classes[-1]) == ("person", "toothbrush")
    assert set(COCO.meanings.values()) == {*COCO.classes, None}


@pytest.mark.parametrize(
    ("sentence", "classes"),
    [
        ("Two DOGS run.", ["dog"]),
        ("Hot dogs and a corn dog.", ["hot dog"]),
        ("a hot-dog on a paper plate", ["hot dog"]),
        ("A dog, hot and tired", ["dog"]),
        ("the dog's sofa", ["dog", "couch"]),
        ("a cat, a kitten and two dogs", ["cat", "dog"]),
        ("a fire hydrant beside fire trucks", ["fire hydrant", "truck"]),
        ("a teddy bear and a polar bear", ["teddy bear", "bear"]),
        ("teddy bears", ["teddy bear"]),
        ("a computer mouse", ["mouse"]),
        ("Mickey Mouse", []),
        ("knives, buses, geese and puppies", ["knife", "bus", "bird", "dog"]),
        ("talking on her phone", ["cell phone"]),
        ("a bike, a motorbike and a dirt bike", ["bicycle", "motorcycle"]),
        ("a plane lands", ["airplane"]),
        ("train tracks at a train station", []),
        ("the bed of a truck", ["truck"]),
        ("a bus driver", ["person"]),
        ("an orange cat with orange slices", ["cat", "orange"]),
        ("a ski slope, a skier and skis", ["person", "skis"]),
        ("an apple, laptop and fork", ["apple", "laptop", "fork"]),
        ("an apple laptop", []),
        ("T.V. and the catcher's mitt", ["tv", "baseball glove"]),
        ("a scarf, a category, cattle", ["cow"]),
        ("men and women", ["person"]),
        ("", []),
    ],
)
def test_sentence(sentence: str, classes: list[str]) -> None:
    assert COCO.named(sentence) == classes


@given(st.lists(st.sampled_from(sorted(COCO.meanings)), max_size=6))
def test_each_name_means_its_class(names: list[str]) -> None:
    said = (COCO.meanings[name] for name in names)
    assert COCO.named(", ".join(names).upper()) == list(dict.fromkeys(filter(None, said)))


def test_without_a_class() -> None:
    names = COCO.without("person")
    assert len(names.classes) == 79
    assert names.named("a bus driver pets dogs") == ["dog"]


def test_own_classes(tmp_path) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(
        'ignore = ["sea lion", "sheet"]\n[classes]\nlion = ["Lioness"]\nsea = []\n'
        '"T-shirt" = ["tee"]\nsheet = []\n'
    )
    names = read_names(path)
    assert names.classes == ("lion", "sea", "T-shirt", "sheet")
    assert names.named("Lionesses and sea lions at sea") == ["lion", "sea"]
    assert names.named("tees, t shirts, a sheet") == ["T-shirt"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes = 3", "needs a table [classes]"),
        ("", "needs a table [classes]"),
        ("[classes]", "needs a table [classes]"),
        ("[classes", "is not TOML: it ends too early"),
        ("a = " + "[" * 5000, "is not TOML: it is nested too deeply"),
        ("a = " + "1" * 5000, "is not TOML: a number has too many digits"),
        ("[clases]\ndog = []", "has 'clases' at the top"),
        ('[classes]\ndog = "pup"', "dog must be a list of names; got 'pup'"),
        ("[classes]\ndog = [1]", "dog must be a list of names; got [1]"),
        ('ignore = "pup"\n[classes]\ndog = []', "ignore must be a list of names; got 'pup'"),
        ("[classes.dog]\npup = []", "dog must be a list of names"),
        ('[classes]\ndog = ["-"]', "a name must have a letter or digit; got '-'"),
        ('[classes]\n"" = []', "a name must have a letter or digit; got ''"),
        ('[classes]\ndog = ["pet"]\ncat = ["Pet"]', "'pet' is listed under dog and cat"),
        ("[classes]\nDog = []\ndog = []", "the class 'dog' is also a name of 'Dog'"),
        ('ignore = ["pet"]\n[classes]\ncat = ["pet"]', "'pet' is listed under cat and ignore"),
    ],
)
def test_a_file_of_another_form(text: str, message: str, tmp_path) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_names(path)
    assert str(path) in str(caught.value) and message in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path) -> None:
    path = tmp_path / "classes.toml"
    with pytest.raises(UsageError, match="No such file"):
        read_names(path)
    with pytest.raises(UsageError, match="directory"):
        read_names(tmp_path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="UTF-8"):
        read_names(path)

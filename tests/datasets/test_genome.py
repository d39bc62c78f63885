"""Visual Genome's JSON, and what is said of a broken one."""

import json

import pytest
from shapes import write_documents

from vidcaption.datasets.read import read_dataset
from vidcaption.errors import UsageError
from vidcaption.types import Region, Relation, SceneGraph

CUP = {"object_id": 5, "names": ["Cup", "mug"], "x": 0, "y": 10, "w": 50, "h": 20}
TABLE = {"object_id": 7, "name": "wooden  table", "x": 0, "y": 20, "w": 100, "h": 20}
PHRASE = {"region_id": 1, "phrase": " a cup\n on a table ", "x": 50, "y": -10}
PHRASE |= {"width": 70, "height": 30}
GENOME = {
    "region_descriptions": [
        {"id": 2, "regions": [PHRASE]},
        {"id": 3, "regions": []},
        {"image_id": 4, "regions": [PHRASE | {"phrase": "a cup"}]},
    ],
    "image_data": [{"image_id": n, "width": 100, "height": 40} for n in (2, 3, 4)],
    "objects": [
        {"image_id": 2, "objects": [CUP | {"merged_object_ids": [6]}]},
        {"image_id": 9, "objects": [{"of": "no interest"}]},
    ],
    "relationships": [
        {
            "image_id": 2,
            "relationships": [
                {"predicate": "ON", "subject": CUP | {"object_id": 6}, "object": TABLE},
                {"predicate": "under  the", "subject": TABLE, "object": CUP},
            ],
        }
    ],
}


@pytest.fixture
def folder(tmp_path):
    for name in ("VG_100K/2.jpg", "VG_100K_2/4.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    return tmp_path


def test_regions_objects_and_relations(folder):
    first, second = read_dataset(write_documents(folder, GENOME))
    assert (first.id, first.split, first.captions) == ("2", None, ())
    assert first.stills == (folder / "VG_100K/2.jpg",)
    assert first.graph == SceneGraph(
        (
            # the part in the picture, in shares of its size
            Region((0.5, 0.0, 0.5, 0.5), "a cup on a table"),
            Region((0.0, 0.25, 0.5, 0.5), label="cup"),
            Region((0.0, 0.5, 1.0, 0.5), label="wooden table"),
        ),
        (Relation(1, "on", 2), Relation(2, "under the", 1)),
    )
    assert first.has("regions") and not first.has("caption")
    assert first.references("regions") == ("a cup on a table", "cup", "wooden table")
    assert second.graph == SceneGraph((Region((0.5, 0.0, 0.5, 0.5), "a cup"),))


def test_objects_and_relations_may_be_missing(folder):
    some = {name: GENOME[name] for name in ("region_descriptions", "image_data")}
    first, _ = read_dataset(write_documents(folder, some))
    assert first.graph == SceneGraph((Region((0.5, 0.0, 0.5, 0.5), "a cup on a table"),))


def test_splits_by_name_and_by_list(folder):
    path = write_documents(folder, GENOME)
    named = path.rename(folder / "region_descriptions_val.json")
    assert [sample.split for sample in read_dataset(named)] == ["dev", "dev"]
    (folder / "train.txt").write_text("4\n")
    assert [(s.id, s.split) for s in read_dataset(named.rename(path))] == [("4", "train")]


def changed(*keys, to):
    """The documents with one value changed, or removed for ``...``."""
    documents = json.loads(json.dumps(GENOME))
    place = documents
    for key in keys[:-1]:
        place = place[key]
    if to is ...:
        del place[keys[-1]]
    else:
        place[keys[-1]] = to
    return documents


PHRASES = ("region_descriptions", 0, "regions")
RELATED = ("relationships", 0, "relationships", 0)


@pytest.mark.parametrize(
    ("keys", "to", "message"),
    [
        (PHRASES[:1], {}, "descriptions.json: it must be a list, as Visual Genome has it; got {}"),
        (PHRASES[:1], [], "descriptions.json has no regions"),
        (PHRASES[:2], 3, "descriptions.json, [0]: an entry must be a JSON object"),
        ((*PHRASES[:2], "id"), ..., "[0]: image_id must be a whole number; got None"),
        ((*PHRASES[:2], "id"), True, "[0]: id must be a whole number; got True"),
        ((*PHRASES[:2], "id"), 4, "[2]: the picture 4 is there twice"),
        ((*PHRASES[:2], "id"), 8, "[0]: the picture 8 is not in image_data.json beside it"),
        (PHRASES, ..., "[0]: there is no list 'regions', as Visual Genome has it"),
        (PHRASES, "x", "[0].regions: it must be a list, as Visual Genome has it; got 'x'"),
        ((*PHRASES, 0), None, "[0].regions[0]: an entry must be a JSON object"),
        ((*PHRASES, 0, "phrase"), ..., "[0].regions[0]: phrase must be a text; got None"),
        ((*PHRASES, 0, "phrase"), " \n", "[0].regions[0]: phrase must be a text; got ' \\n'"),
        ((*PHRASES, 0, "phrase"), "a\x00", "[0].regions[0]: phrase must be a text; got 'a\\x00'"),
        ((*PHRASES, 0, "x"), ..., "[0].regions[0]: x must be a number; got None"),
        ((*PHRASES, 0, "y"), float("nan"), "[0].regions[0]: y must be a number; got nan"),
        ((*PHRASES, 0, "width"), float("inf"), "[0].regions[0]: width must be a number; got inf"),
        ((*PHRASES, 0, "x"), False, "[0].regions[0]: x must be a number; got False"),
        ((*PHRASES, 0, "height"), 0, "[0].regions[0]: height is 0; it must be above 0"),
        (
            *((*PHRASES, 0, "x"), 100),
            "[0].regions[0]: the box is outside the picture of 100 x 40 pixels; got x 100 y -10 "
            "width 70 height 30",
        ),
        ((*PHRASES, 0, "y"), -30, "[0].regions[0]: the box is outside the picture"),
        (("image_data", 0, "width"), -1, "image_data.json, [0]: width is -1; it must be above 0"),
        (("image_data", 0, "image_id"), "2", "image_data.json, [0]: image_id must be a whole num"),
        (("objects", 0, "image_id"), ..., "objects.json, [0]: image_id must be a whole number"),
        (("objects", 0, "objects"), ..., "objects.json, [0]: there is no list 'objects'"),
        (("objects", 0, "objects", 0, "names"), [], "[0].objects[0]: names must be a text"),
        (("objects", 0, "objects", 0, "w"), "5", "[0].objects[0]: w must be a number; got '5'"),
        (("objects", 0, "objects", 0, "object_id"), 1.5, "object_id must be a whole number; got"),
        (
            *(("objects", 0, "objects", 0, "merged_object_ids"), 6),
            "[0].objects[0]: merged_object_ids must be a list of whole numbers; got 6",
        ),
        (
            *(("objects", 0, "objects", 0, "merged_object_ids"), [[]]),
            "[0].objects[0]: merged_object_ids must be a list of whole numbers; got [[]]",
        ),
        ((*RELATED, "predicate"), 1, "relationships.json, [0].relationships[0]: predicate must be"),
        ((*RELATED, "subject"), 5, "[0].relationships[0]: subject must be a JSON object; got 5"),
        ((*RELATED, "object", "object_id"), ..., "[0].relationships[0].object: object_id must be"),
        ((*RELATED, "object", "x"), 200, "[0].relationships[0].object: the box is outside the"),
    ],
)
def test_what_is_wrong_is_said(folder, keys, to, message):
    path = write_documents(folder, changed(*keys, to=to))
    with pytest.raises(UsageError) as raised:
        read_dataset(path)
    assert message in str(raised.value) and str(folder) in str(raised.value)


def test_missing_sizes(folder):
    path = write_documents(folder, {PHRASES[0]: GENOME[PHRASES[0]]})
    with pytest.raises(UsageError, match=r"image_data.json is missing, which has the sizes"):
        read_dataset(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("[\n{", "line 2, column 2: not JSON"), ("[" * 99999, "nested too deeply")],
)
def test_no_json(folder, text, message):
    path = write_documents(folder, GENOME)
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_dataset(path)


def test_no_picture_and_a_video(folder):
    path = write_documents(folder, GENOME)
    place = (folder / "VG_100K/2.jpg").rename(folder / "VG_100K/2.mp4")
    with pytest.raises(UsageError, match=r"\[0\]: .*2.mp4 is a video, and regions are of pictures"):
        read_dataset(path)
    place.unlink()
    with pytest.raises(UsageError, match=r"\[0\]: 2 is not in .* put the files there"):
        read_dataset(path)

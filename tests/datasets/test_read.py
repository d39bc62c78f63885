"""Each format that people have, on a tiny sample, and what is said of a broken one."""

import json
import unicodedata
from pathlib import Path

import pytest

from vidcaption.datasets.read import READERS, read_dataset
from vidcaption.datasets.samples import Sample
from vidcaption.errors import UsageError

ROOT = Path(__file__).parents[2]
MSRVTT = {
    "videos": [
        {"video_id": "video0", "split": "train", "start time": 137.72, "end time": 149.44},
        {"video_id": "video1", "split": "validate"},
    ],
    "sentences": [
        {"video_id": "video1", "caption": "a car "},
        {"video_id": "video0", "caption": "a dog"},
        {"video_id": "video1", "caption": "a red car"},
    ],
}
COCO = {
    "images": [{"id": 7, "file_name": "007.jpg"}, {"id": 8, "file_name": "008.jpg"}],
    "annotations": [
        {"image_id": 7, "caption": "A dog.\n"},
        {"image_id": 8, "caption": "A cat."},
        {"image_id": 7, "caption": "Dogs."},
    ],
}
TOKENS = "a.jpg#0\tA dog , running .\na.jpg#1\tA dog .\nb.jpg#0\tA cat .\nc.jpg.1#0\tGone .\n"
DESCRIPTIONS = "# Descriptions\n\nx_1_5 a squirrel eats\nx_1_5 an animal\ny_2_9 a man\n"
CUES = """1
00:00:01,000 --> 00:00:02,500
<i>a dog</i>
runs

2
00:00:03,000 --> 00:00:04,000
{\\an8}a cat
"""
# As the real one: other languages, an empty description, stray quotes and line breaks.
CORPUS = (
    "VideoID,Start,End,WorkerID,Source,AnnotationTime,Language,Description\n"
    'x,1,5,1,clean,9,English,"a ""squirrel"",\neats"\n'
    "x,1,5,2,clean,9,German,ein Tier\n"
    "x,1,5,2,clean,9,English,\n"
    'y,2,9,3,clean,9,English,"a man"s hat\n'
)


def make(folder, files):
    """Write ``files``, by name; those without text are media, which no reader opens."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return folder


def media(*names):
    return dict.fromkeys(names, "")


def seen(samples):
    """(file name, captions, split) of each."""
    return [((s.video or s.stills[0]).name, s.captions, s.split) for s in samples]


def test_csv_of_paths_and_captions(tmp_path):
    table = (
        '\ufeffpath,caption,split\nv/a.mp4,"a dog, running",val\nb.jpg,a cat,train\n\n'
        "v/a.mp4,dogs,val\n"
    )
    make(tmp_path, {"data.csv": table, **media("v/a.mp4", "b.jpg")})
    assert read_dataset(tmp_path / "data.csv") == [
        Sample("v/a.mp4", ("a dog, running", "dogs"), "dev", video=tmp_path / "v/a.mp4"),
        Sample("b.jpg", ("a cat",), "train", stills=(tmp_path / "b.jpg",)),
    ]


def test_the_column_of_the_label(tmp_path):
    make(tmp_path, {"l.csv": "path,sport\na.mp4,high jump\n", **media("a.mp4")})
    [sample] = read_dataset(tmp_path / "l.csv", label_field="sport")
    assert sample.label == "high jump"
    with pytest.raises(UsageError, match=r"the columns path and caption \(or label, or score\)"):
        read_dataset(tmp_path / "l.csv")


def test_other_formats_have_no_field_for_labels(tmp_path):
    make(tmp_path, {"d.token": "a.jpg#0\tx\n", **media("a.jpg")})
    with pytest.raises(UsageError, match=r"--label-field is for \.jsonl and \.csv files"):
        read_dataset(tmp_path / "d.token", label_field="category")


def test_a_label_is_one_line(tmp_path):
    make(tmp_path, {"d.jsonl": {"id": "a", "image": "a.png", "label": "high\njump"}})
    with pytest.raises(UsageError, match=r"the label of a is 'high\\njump'; labels are printable"):
        read_dataset(tmp_path / "d.jsonl")


def test_csv_of_labels_and_scores(tmp_path):
    make(tmp_path, {"l.csv": "path,label\na.mp4, high jump \nb.jpg,\n", **media("a.mp4", "b.jpg")})
    table = "path,score,caption,label\na.mp4,0.5,a dog,run\na.mp4,.5,dogs,run\nb.jpg,,a cat,\n"
    make(tmp_path, {"s.csv": table})
    video, still = {"video": tmp_path / "a.mp4"}, {"stills": (tmp_path / "b.jpg",)}
    assert read_dataset(tmp_path / "l.csv") == [
        Sample("a.mp4", (), None, label="high jump", **video),
        Sample("b.jpg", (), None, **still),
    ]
    assert read_dataset(tmp_path / "s.csv") == [
        Sample("a.mp4", ("a dog", "dogs"), None, label="run", score=0.5, **video),
        Sample("b.jpg", ("a cat",), None, **still),
    ]


@pytest.mark.parametrize("name", ["Flickr8k.token.txt", "results_20130124.token"])
def test_flickr_with_split_lists(tmp_path, name):
    lists = {
        "Flickr_8k.trainImages.txt": "b.jpg\n",
        "Flickr_8k.testImages.txt": "a.jpg\n",
        "ExpertAnnotations.txt": "no list",
    }
    make(tmp_path, {name: TOKENS, **lists, **media("Flicker8k_Dataset/a.jpg", "images/b.jpg")})
    # c.jpg.1, which the real file has too, stands in no list: it need not exist
    assert seen(read_dataset(tmp_path / name)) == [
        ("a.jpg", ("A dog , running .", "A dog ."), "test"),
        ("b.jpg", ("A cat .",), "train"),
    ]


def test_flickr_of_kaggle(tmp_path):
    table = 'image,caption\na.jpg,"A dog , running ."\na.jpg,A dog .\n'
    make(tmp_path, {"captions.txt": table, **media("Images/a.jpg")})
    [sample] = read_dataset(tmp_path / "captions.txt")
    assert sample.stills == (tmp_path / "Images/a.jpg",)
    assert sample.captions == ("A dog , running .", "A dog .") and sample.split is None


@pytest.mark.parametrize(
    ("name", "text", "captions"),
    [
        ("AllVideoDescriptions.txt", DESCRIPTIONS, ("a squirrel eats", "an animal")),
        ("video_corpus.csv", CORPUS, ('a "squirrel", eats',)),
    ],
)
def test_msvd(tmp_path, name, text, captions):
    lists = {"train_list.txt": "x_1_5\n", "val_list.txt": "y_2_9.avi\n"}
    make(
        tmp_path, {name: text, **lists, **media("YouTubeClips/x_1_5.avi", "YouTubeClips/y_2_9.avi")}
    )
    first, second = seen(read_dataset(tmp_path / name))
    assert first == ("x_1_5.avi", captions, "train")
    assert second[::2] == ("y_2_9.avi", "dev")


def test_msrvtt(tmp_path):
    files = {"train_val_videodatainfo.json": MSRVTT}
    make(tmp_path, files | media("TrainValVideo/video0.mp4", "TrainValVideo/video1.mp4"))
    samples = read_dataset(tmp_path / "train_val_videodatainfo.json")
    assert seen(samples) == [
        ("video1.mp4", ("a car", "a red car"), "dev"),
        ("video0.mp4", ("a dog",), "train"),
    ]
    assert {(s.start_s, s.end_s) for s in samples} == {(0.0, None)}  # the clips are cut already


def test_coco(tmp_path):
    files = {"annotations/captions_val2017.json": COCO, **media("val2017/007.jpg", "008.jpg")}
    make(tmp_path / "coco", files | media("val2017/008.jpg"))
    assert seen(read_dataset(tmp_path / "coco/annotations/captions_val2017.json")) == [
        ("007.jpg", ("A dog.", "Dogs."), "dev"),
        ("008.jpg", ("A cat.",), "dev"),
    ]


def test_folder_with_captions_beside_the_videos(tmp_path):
    files = {"a.txt": "a dog\n\na brown dog\n", "b.srt": CUES, "readme.txt": "no captions"}
    make(tmp_path, files | media("a.mp4", "b.MKV", "bare.mp4", "._a.mp4"))
    video = tmp_path / "b.MKV"
    assert read_dataset(tmp_path) == [
        Sample("a.mp4", ("a dog", "a brown dog"), None, video=tmp_path / "a.mp4"),
        Sample("b.MKV#1", ("a dog runs",), None, video=video, start_s=1.0, end_s=2.5),
        Sample("b.MKV#2", ("a cat",), None, video=video, start_s=3.0, end_s=4.0),
    ]


def test_a_cue_without_length_is_a_moment(tmp_path):
    cues = CUES.replace("00:00:04,000", "00:00:03,000")
    [_, moment] = read_dataset(make(tmp_path, {"b.srt": cues, **media("b.mp4")}))
    assert (moment.captions, moment.start_s, moment.end_s) == (("a cat",), 3.0, 3.0)


def test_names_with_folders(tmp_path):
    """As Windows writes them, too; the same name in two folders is two files."""
    names = ["images/1.jpg", "images\\2.jpg", "more/1.jpg", "images/deep/3"]
    document = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [{"image_id": i, "caption": name} for i, name in enumerate(names)],
    }
    table = "image,caption\n" + "".join(f"{name},{name}\n" for name in names)
    files = ["images/1.jpg", "images/2.jpg", "more/1.jpg", "images/deep/3.jpg", "@eaDir/2.jpg"]
    make(tmp_path, {"x.json": document, "captions.txt": table, **media(*files)})
    make(tmp_path, {"annotations/captions_val.json": document, **media("old/images/1.jpg")})
    for name in ("x.json", "captions.txt", "annotations/captions_val.json"):
        samples = read_dataset(tmp_path / name)
        assert [
            s.stills[0].resolve().relative_to(tmp_path.resolve()).as_posix() for s in samples
        ] == files[:4]
        assert [s.captions for s in samples] == [(name,) for name in names]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_as_windows_and_macos_write_them(tmp_path, form):
    names = ["café/är.mp4", "café\\ö.mp4"]
    written = [unicodedata.normalize("NFD" if form == "NFC" else "NFC", name) for name in names]
    places = [unicodedata.normalize(form, name.replace("\\", "/")) for name in names]
    rows = [{"id": n, "video": n, "captions": ["x"]} for n in written]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    table = "path,caption\n" + "".join(f"{name},x\n" for name in written)
    make(tmp_path, {"d.csv": table, "e.csv": table.replace("path", "image"), **media(*places)})
    for name in ("d.jsonl", "d.csv", "e.csv"):
        assert [s.video for s in read_dataset(tmp_path / name)] == [tmp_path / p for p in places]


def test_a_split_list_in_another_spelling(tmp_path):
    files = {"d.token": "café.jpg#0\tx\n", "test.txt": unicodedata.normalize("NFD", "café\n")}
    make(tmp_path, files | media("café.jpg"))
    assert seen(read_dataset(tmp_path / "d.token")) == [("café.jpg", ("x",), "test")]


@pytest.mark.parametrize("line", ["[00:00.000 --> 00:04.000] A dog", "1:00:00,5 --> 1:00:02,0"])
def test_times_are_no_words(tmp_path, line):
    make(tmp_path, {"a.txt": f"a dog\n{line}\n", **media("a.mp4")})
    with pytest.raises(UsageError, match=r"a caption of a\.mp4 contains times, .* --> "):
        read_dataset(tmp_path)
    make(tmp_path, {"d.csv": f'path,caption\na.mp4,"{line}"\n'})
    with pytest.raises(UsageError, match=r"d\.csv: a caption of a\.mp4 contains times"):
        read_dataset(tmp_path / "d.csv")


def test_json_lines(tmp_path):
    make(tmp_path, {"data.jsonl": {"id": "a", "image": "a.png", "captions": ["a dog"]}})
    assert read_dataset(tmp_path / "data.jsonl") == [
        Sample("a", ("a dog",), None, stills=(tmp_path / "a.png",))
    ]


def test_other_files_are_told_what_is_known(tmp_path):
    make(tmp_path, {"data.xml": ""})
    with pytest.raises(UsageError, match="no such dataset"):
        read_dataset(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="no known format") as caught:
        read_dataset(tmp_path / "data.xml")
    assert all(pattern in str(caught.value) for pattern in READERS)


def test_the_documents_list_every_format():
    page = (ROOT / "docs/training.md").read_text(encoding="utf-8").lower()
    for pattern in READERS:
        assert f"`{pattern}`" in page, pattern


ONE = media("a.mp4", "a.jpg")
BROKEN = {
    "an unclosed quote": (
        {"d.csv": 'path,caption\na.mp4,"a dog\n'},
        "line 2: not CSV; a quote is left open",
    ),
    "an unquoted comma": ({"d.csv": "path,caption\na.mp4,a dog, b\n"}, "line 2: got 3 values"),
    "an empty caption": ({"d.csv": "path,caption\na.mp4, \n"}, "line 2: the caption of a.mp4"),
    "a missing file": (
        {"d.csv": "path,caption\nb.mp4,a dog\n"},
        r"line 2: there is no .*b\.mp4; paths are relative",
    ),
    "two splits": (
        {"d.csv": "path,caption,split\na.mp4,x,train\na.mp4,y,\n"},
        "line 3: a.mp4 has split none here and train above",
    ),
    "two labels": (
        {"d.csv": "path,label\na.mp4,run\na.mp4,jump\n"},
        "line 3: a.mp4 has label jump here and run above",
    ),
    "no number": (
        {"d.csv": "path,score\na.mp4,much\n"},
        "line 2: score is 'much'; it must be a number",
    ),
    "an endless number": ({"d.csv": "path,score\na.mp4,inf\n"}, "line 2: score is 'inf'; it must"),
    "another header": ({"d.csv": "video,text\n"}, "line 1: the header must.*got video, text"),
    "an empty table": ({"d.csv": ""}, "line 1: the header must.*got nothing"),
    "a header alone": ({"d.csv": "path,caption\n"}, "d.csv has no rows"),
    "no tab": ({"d.token.txt": "a.jpg#0\tx\na.jpg#1 y\n"}, "line 2: a line must be an image"),
    "no sentence": ({"AllVideoDescriptions.txt": "a\n"}, "line 1: a line must be a clip"),
    "files not there": (
        {"d.token": "a.jpg#0\tx\nb.jpg#0\ty\nc.jpg#0\tz\n"},
        r"line 2: b.jpg is not in the folder of the file, or .* it \(2 are missing in all\)",
    ),
    "a file twice": (
        {"d.token": "a.jpg#0\tx\n", **media("images/a.jpg")},
        "line 1: a.jpg matches several files",
    ),
    "a list of others": (
        {"d.token": "a.jpg#0\tx\n", "test.txt": "a\n\nz.jpg\n"},
        "test.txt, line 3: z.jpg has no caption in d.token",
    ),
    "two lists": (
        {"d.token": "a.jpg#0\tx\n", "dev.txt": "a\n", "test.txt": "a\n"},
        "test.txt, line 1: a is in the dev split already",
    ),
    "no JSON": ({"d.json": '{\n"videos": [,\n'}, "line 2, column 12: not JSON; correct it, or"),
    "JSON of something else": ({"d.json": {"videos": []}}, "neither videos and sentences"),
    "no captions": (
        {"d.json": {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1}]}},
        r"annotations\[0\]: caption must be a string; got None",
    ),
    "an unknown image": (
        {"d.json": {**COCO, "images": []}},
        r"annotations\[0\]: image_id is 7, which the file does not list",
    ),
    "no list": ({"d.json": {"videos": {}, "sentences": []}}, "videos must be a list"),
    "no objects": ({"d.json": {"videos": [1], "sentences": []}}, r"videos\[0\]: an entry must be"),
}


BROKEN_FOLDERS = {
    "nothing": ({}, "no video or image in"),
    "empty text": ({"a.txt": "\n"}, "a.txt has no captions"),
    "both": ({"a.txt": "a dog", "a.srt": CUES}, "both a.txt and a.srt"),
    "no subtitles": ({"a.srt": "\nhello\n"}, "a.srt, line 2: not a cue"),
    "no cue": ({"a.srt": ""}, "a.srt has no captions"),
    "backwards": ({"a.srt": CUES.replace("04,000", "02,000")}, "line 7: the cue ends before"),
    "a malformed arrow": ({"a.srt": CUES.replace("--> 00:00:04", "-> 00:00:04")}, "line 6: not a"),
    "an arrow": (
        {"a.srt": CUES.replace("runs", "--> runs")},
        "line 2: the cue's text contains",
    ),
    "a malformed time": ({"a.srt": CUES.replace("00:00:04,000", "4")}, "line 6: not a cue"),
}


@pytest.mark.parametrize("kind", [*BROKEN, *BROKEN_FOLDERS])
def test_what_is_broken_is_named_with_the_place(tmp_path, kind):
    files, reason = (BROKEN | BROKEN_FOLDERS)[kind]
    dataset = make(tmp_path, files | ONE) / (next(iter(files)) if kind in BROKEN else "")
    with pytest.raises(UsageError, match=reason) as caught:
        read_dataset(dataset)
    assert "\n" not in str(caught.value)


def test_text_in_another_encoding_is_named_with_the_line(tmp_path):
    (tmp_path / "d.csv").write_bytes("path,caption\na.mp4,caf\u00e9\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"d\.csv, line 2: not UTF-8; convert"):
        read_dataset(tmp_path / "d.csv")

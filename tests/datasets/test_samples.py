import av
import cv2
import numpy as np
import pytest
from clips import write_late
from heif import write_grid
from PIL import Image

from vidcaption.datasets.samples import Sample, load_frames, of_split, with_splits
from vidcaption.errors import InputError, UsageError
from vidcaption.options.captioning import CaptionOptions
from vidcaption.video.batches import WindowReader


def test_splits_by_chance_only_where_none_is_given():
    bare = [Sample(str(i), ("x",), None) for i in range(50)]
    split = with_splits(bare, seed=3)
    assert [s.split for s in split].count("dev") == 10
    assert split == with_splits(bare, seed=3) != with_splits(bare, seed=4)
    others = [Sample(str(i), (), None, label="run", score=i) for i in range(5)]
    assert [s.split for s in with_splits(others, seed=3)].count("dev") == 1
    assert with_splits([Sample("y", (), None)], seed=3)[0].split is None
    given = [*bare, Sample("z", ("x",), "test")]
    assert with_splits(given, seed=3) == given


def test_what_is_scored_is_a_split_or_all(tmp_path):
    bare = [Sample("a", ("x",), None), Sample("b", (), None)]
    split = [Sample("c", ("x",), "dev"), Sample("d", ("x",), "test"), Sample("e", (), "test")]
    assert of_split(bare, None, tmp_path) == (bare[:1], "all")
    assert of_split(bare + split, None, tmp_path) == (split[1:2], "test")
    assert of_split(split, "dev", tmp_path) == (split[:1], "dev")
    for samples, asked, reason in [
        (split, "train", "'train'; choose one of dev, test with --split"),
        (split[:1], None, "'test'; choose dev with"),
        (bare, "dev", "omit --split"),
        (bare[1:], None, "no captions to score against"),
    ]:
        with pytest.raises(UsageError, match=reason):
            of_split(samples, asked, tmp_path)


@pytest.fixture
def stills(tmp_path):
    """Six pictures, each grey and lighter than the one before."""
    paths = tuple(tmp_path / f"é{i}.png" for i in range(6))
    for i, path in enumerate(paths):
        path.write_bytes(cv2.imencode(".png", np.full((20, 30, 3), 40 * i, np.uint8))[1].tobytes())
    return paths


@pytest.mark.parametrize(
    ("most", "levels"), [(1, [120]), (2, [40, 160]), (6, range(0, 201, 40)), (9, range(0, 201, 40))]
)
def test_frames_are_spread_evenly(stills, most, levels):
    frames = load_frames(Sample("a", (), None, stills), most, size=16)
    assert [int(frame.mean()) for frame in frames] == list(levels)
    assert {frame.shape for frame in frames} == {(16, 16, 3)}


def test_colours_are_red_green_blue(tmp_path):
    path = tmp_path / "red.png"
    path.write_bytes(cv2.imencode(".png", np.full((8, 8, 3), (0, 0, 255), np.uint8))[1].tobytes())
    [frame] = load_frames(Sample("a", (), None, (path,)), 4)
    assert frame[0, 0].tolist() == [255, 0, 0]


def test_unreadable_stills_are_input_errors(tmp_path):
    with pytest.raises(InputError, match="cannot be read: no such file or directory"):
        load_frames(Sample("a", (), None, (tmp_path / "none.png",)), 1)
    for data, says in ((b"", "is empty"), (b"no picture", "has no frame that FFmpeg")):
        (tmp_path / "bad.png").write_bytes(data)
        with pytest.raises(InputError, match=f"bad.png {says}"):
            load_frames(Sample("a", (), None, (tmp_path / "bad.png",)), 1)


@pytest.fixture
def video(tmp_path):
    """Four seconds at 5 frames a second; the picture grows lighter by 10 levels a frame."""
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for i in range(20):
            picture = np.full((24, 32, 3), 10 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("part", "levels"),
    [((0.0, None), [50, 150]), ((1.0, 3.0), [70, 120]), ((2.0, 99.0), [120, 170])],
)
def test_frames_come_from_the_part_of_a_video_that_the_captions_tell_of(video, part, levels):
    sample = Sample("a", (), None, video=video, start_s=part[0], end_s=part[1])
    frames = load_frames(sample, 2, size=16)
    assert [frame.shape for frame in frames] == [(16, 16, 3)] * 2
    assert [float(frame.mean()) for frame in frames] == pytest.approx(levels, abs=3)


def test_a_moment_is_one_frame(video):
    sample = Sample("a", (), None, video=video, start_s=1.0, end_s=1.0)
    [frame] = load_frames(sample, 4, size=16)
    assert frame.mean() == pytest.approx(50, abs=3)


def test_a_part_behind_the_end_is_an_input_error(video):
    with pytest.raises(InputError, match=r"ends at 4\.0 s, but its captions begin at 5\.0 s"):
        load_frames(Sample("a", (), None, video=video, start_s=5, end_s=6), 2)


@pytest.mark.parametrize("name", ["mirrored.jpg", "clear.png", "photo.heic", "clip.mkv"])
def test_training_gets_the_pixels_that_running_gets(tmp_path, video, name):
    path = tmp_path / name
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    image = Image.fromarray(cv2.resize(coarse, (320, 240))).convert("RGBA")
    exif = Image.Exif()
    exif[0x112] = 7
    if name == "mirrored.jpg":
        image.convert("RGB").save(path, exif=exif)
    elif name == "clear.png":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        image.save(path)
    elif name == "photo.heic":
        write_grid(path, np.asarray(image.convert("RGB")), 4, 5)
    stills = () if path == video else (path,)
    with WindowReader(path, (96, 96), CaptionOptions(window_s=9, frames=2), 9) as reader:
        [window] = reader.read()
    frames = load_frames(Sample("a", (), None, stills, None if stills else path), 2, 96)
    assert len(frames) == len(window.frames)
    for ours, theirs in zip(frames, window.frames, strict=True):
        assert (ours == theirs.image).all()
        assert ours.std() > 5 or path == video


def test_frames_of_a_video_that_starts_later_than_its_sound(tmp_path):
    path = write_late(tmp_path / "late.mp4", 30.0)
    frames = load_frames(Sample("a", (), None, video=path), 2)
    assert not (frames[0] == frames[1]).all()  # both from the two seconds that there are

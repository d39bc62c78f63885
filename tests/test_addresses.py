"""Addresses: their parts, what is hidden of them, and what is one."""

import pickle
from pathlib import Path

import pytest

from vidcaption.addresses import Address, is_address, location_of, parts_below


@pytest.mark.parametrize(
    ("text", "name", "suffix", "parent", "root"),
    [
        ("s3://b/day 1/x.tar.mp4", "x.tar.mp4", ".mp4", "s3://b/day 1", "s3://b"),
        ("s3://b/what?#.mp4", "what?#.mp4", ".mp4", "s3://b", "s3://b"),
        ("s3://b/", "b", "", "s3://b", "s3://b"),
        ("gs://b/x", "x", "", "gs://b", "gs://b"),
        ("https://a.b:8/c/d%20e.mp4?v=1#t", "d e.mp4", ".mp4", "https://a.b:8/c", "https://a.b:8"),
        ("https://a.b/..%2Fx.mp4", ".._x.mp4", ".mp4", "https://a.b", "https://a.b"),
        ("zip://in/x.mp4::s3://b/y.zip", "x.mp4", ".mp4", "zip://in::s3://b/y.zip",
         "zip://in::s3://b/y.zip"),
        ("simplecache::s3://b/x.mp4", "x.mp4", ".mp4", "simplecache::s3://b", "simplecache::s3://b"),
    ],
)  # fmt: skip
def test_parts(text: str, name: str, suffix: str, parent: str, root: str) -> None:
    address = Address(text)
    assert (address.name, address.suffix, str(address.parent)) == (name, suffix, parent)
    assert str(address.root) == root and address.stem + suffix == name
    assert address.url == text.partition("#t")[0].removesuffix("/")


def test_siblings_and_what_is_below() -> None:
    clip = Address("s3://b/day/clip.mp4")
    assert clip.with_name("clip.srt") == Address("s3://b/day/clip.srt")
    assert clip.parent / "e/f.txt" == Address("s3://b/day").joinpath("e", "f.txt")
    signed = Address("https://h/a.mp4?sig=1")
    assert str(signed.with_name("a.srt")) == "https://h/a.srt"
    assert parts_below(clip, Address("s3://b")) == ("day", "clip.mp4")
    assert parts_below(clip, Address("s3://other")) == parts_below(clip, Path("x")) == ("clip.mp4",)
    out = Address("s3://b/in/../../etc/x.mp4")
    assert parts_below(out, Address("s3://b/in")) == ("_", "_", "etc", "x.mp4")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pw@a.b/x.mp4", "https://me:***@a.b/x.mp4"),
        ("https://me@a.b/x.mp4", "https://me@a.b/x.mp4"),
        ("abfs://c@account/x", "abfs://c@account/x"),
        ("https://a.b/x?v=1&X-Amz-Signature=abc&X-Amz-Date=1",
         "https://a.b/x?v=1&X-Amz-Signature=***&X-Amz-Date=***"),
        ("https://a.b/x?sv=2&sig=abc&access_token=q", "https://a.b/x?sv=***&sig=***&access_token=***"),
        (f"https://a.b/x?id={'q' * 33}", "https://a.b/x?id=***"),
        ("zip://x.mp4::https://u:pw@h/y.zip?token=1", "zip://x.mp4::https://u:***@h/y.zip?token=***"),
    ],
)  # fmt: skip
def test_secrets_are_hidden(text: str, shown: str) -> None:
    address = Address(text)
    assert str(address) == f"{address}" == shown and repr(address) == f"Address({shown!r})"
    assert pickle.loads(pickle.dumps(address)).url == address.url == text


def test_what_is_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("clip.mp4", "c:/x.mp4", "10:30.mp4", "/a//b", "-", "", "a b://c"):
        assert not is_address(name) and location_of(name) == Path(name)
    assert location_of("s3://b/x") == location_of(Path("s3://b/x")) == Address("s3://b/x")
    assert location_of("file:///a/b%20c.mp4") == Path("/a/b c.mp4")
    for name in ("memory://", "memory:/", "memory:"):  # a Path drops slashes at the end
        assert location_of(Path(name)) == Address("memory://") and Address(name).parts == ()
    (tmp_path / "s3:/b").mkdir(parents=True)
    assert not is_address("s3://b")
    with pytest.raises(ValueError, match="clip"):
        Address("clip.mp4")
    assert Address("s3://a") < Address("s3://b") != "s3://b"

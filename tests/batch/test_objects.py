"""Runs whose inputs and outputs are in an object store: found, skipped, kept, resumed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from clips import every, write_clip
from stores import Proxy, Store
from tiny import write_tiny

from vidcaption import OutputError, SetupError, UsageError, remote
from vidcaption.addresses import Address
from vidcaption.batch import Batch, Outcome, Watcher, read_manifest
from vidcaption.batch.inputs import Shard, discover_anywhere, select
from vidcaption.batch.ledger import Ledger
from vidcaption.batch.objects import ObjectLedger, ObjectRows, of_others, record_of
from vidcaption.batch.parts import Parts
from vidcaption.options.batch import BatchOptions
from vidcaption.options.captioning import CaptionOptions, MachineOptions
from vidcaption.options.output import OutputOptions
from vidcaption.types import Progress

QUICK = CaptionOptions(beam=1, frames=1, max_words=4, window_s=1, segment="fixed")
FP32 = MachineOptions(precision="fp32")
ROOT = Address("s3://videos")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_clip(tmp_path_factory.mktemp("clip") / "c.mp4", every(0.5, 5)).read_bytes()


def run(
    inputs: list[str], model: Path, output: OutputOptions, **options: object
) -> dict[str, Outcome]:
    """What became of each input, by its address."""
    outcomes: list[Outcome] = []
    with Batch(inputs, output, BatchOptions(workers="1", **options)) as batch:  # type: ignore[arg-type]
        batch.plan(model, QUICK)
        batch.start(FP32, Watcher(), print, outcomes.append)()
    return {str(outcome.job.path): outcome for outcome in outcomes}


def became(outcomes: dict[str, Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes.values()]


def test_a_folder_is_captioned_once(store: Store, model: Path, clip: bytes, tmp_path: Path) -> None:
    store.put(**{"in/a2.mp4": clip, "in/a10.mp4": clip, "in/e/b.mp4": clip, "in/n.txt": b"x"})
    srt, rows = OutputOptions(srt=True), tmp_path / "run.jsonl"
    made = run(["s3://videos/in"], model, srt, recursive=True, manifest=rows)
    assert list(made) == [f"s3://videos/in/{name}.mp4" for name in ("a2", "a10", "e/b")]
    assert became(made) == ["captioned"] * 3
    written = {"in/a2.srt", "in/a10.srt", "in/e/b.srt"}
    assert {name for name in store.names() if name.endswith("srt")} == written
    assert b"-->" in store.get("in/e/b.srt")
    assert [str(row.path) for row in read_manifest(rows)] == list(made)

    store.proxy.asked.clear()
    assert became(run(["s3://videos/in"], model, srt, recursive=True)) == ["done"] * 3
    assert not [each for each in store.proxy.asked if ".srt" in each and "GET" in each]  # by ETag
    store.put(**{"in/a2.srt": b"mine", "in/a10.mp4": clip + bytes(9)})
    again = run(["s3://videos/in"], model, srt, recursive=True)
    assert became(again) == ["kept", "captioned", "done"]
    assert store.get("in/a2.srt") == b"mine"


@pytest.mark.slow
def test_from_here_to_there_and_back(
    store: Store, model: Path, clip: bytes, tmp_path: Path
) -> None:
    (tmp_path / "in/e").mkdir(parents=True)
    (tmp_path / "in/e/x.mp4").write_bytes(clip)
    there = OutputOptions(srt=True, vtt=True, out_dir=Path("s3://videos/out"))
    for expected in ("captioned", "done"):
        assert became(run([str(tmp_path / "in")], model, there, recursive=True)) == [expected]
    assert store.names() == {"out/e/x.srt", "out/e/x.vtt"}
    store.put(**{"v/e/y.mp4": clip})
    here = OutputOptions(json=True, out_dir=tmp_path / "out")
    for expected in ("captioned", "done"):
        assert became(run(["s3://videos/v/**/*.mp4"], model, here)) == [expected]
    found = json.loads((tmp_path / "out/e/y.json").read_text())
    assert found["video"]["path"] == "s3://videos/v/e/y.mp4"


def test_one_file_for_all(store: Store, model: Path, clip: bytes) -> None:
    store.put(**{"in/a.mp4": clip, "in/b.mp4": clip, "in/bad.mp4": b"bad" * 99})
    whole = OutputOptions(output="s3://videos/all.jsonl")
    assert became(run(["s3://videos/in"], model, whole)) == ["captioned", "captioned", "failed"]
    rows = [json.loads(line) for line in store.get("all.jsonl").splitlines()]
    assert {row["video"] for row in rows} == {"s3://videos/in/a.mp4", "s3://videos/in/b.mp4"}
    store.put(**{"in/bad.mp4": clip})
    assert became(run(["s3://videos/in"], model, whole)) == ["done", "done", "captioned"]
    assert store.get("all.jsonl").count(b"in/bad.mp4") == len(rows) / 2
    store.put(**{"all.jsonl": b"mine"})
    with pytest.raises(OutputError, match=r"all.jsonl is kept: it was edited"):
        run(["s3://videos/in"], model, whole)


@pytest.mark.slow
def test_a_failed_upload_leaves_the_old_file(store: Store, model: Path, clip: bytes) -> None:
    store.put(**{"a.mp4": clip})
    srt = OutputOptions(srt=True)
    run(["s3://videos/a.mp4"], model, srt)
    old = store.get("a.srt")
    store.proxy.fault = lambda method, path: 403 if method == "PUT" and ".srt" in path else None
    (failed,) = run(["s3://videos/a.mp4"], model, srt, force=True).values()
    assert failed.status == "failed" and "s3://videos/a.srt cannot be written" in failed.reason
    assert store.get("a.srt") == old
    store.proxy.fault = lambda *_: None
    assert became(run(["s3://videos/a.mp4"], model, srt)) == ["done"]


def test_what_is_found(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.mp4").touch()
    names = ("d/x[1].mp4", "d/c10.mp4", "d/c9.MKV", "d/.h.mp4", "d/t.txt", "d/@eaDir/q.mp4",
             "d/e/z.dat")  # fmt: skip
    store.put(**dict.fromkeys(names, b"x"))

    def found(*inputs: str, **options: object) -> list[str]:
        return [str(each) for each in discover_anywhere(inputs, **options)]  # type: ignore[arg-type]

    d = "s3://videos/d"
    assert found(f"{d}/") == [f"{d}/c9.MKV", f"{d}/c10.mp4", f"{d}/x[1].mp4"]
    assert found("here.mp4", f"{d}/x[1].mp4", f"{d}/c?.*", f"{d}/c9.MKV", "./here.mp4") == [
        "here.mp4", f"{d}/x[1].mp4", f"{d}/c9.MKV",
    ]  # fmt: skip
    assert found(d, recursive=True, suffixes=[".dat"])[-2:] == [f"{d}/e/z.dat", f"{d}/x[1].mp4"]
    assert found(f"{d}/*.txt", f"{d}/.h*", "s3://videos/*/*.mp4") == [
        f"{d}/t.txt", f"{d}/.h.mp4", f"{d}/c10.mp4", f"{d}/x[1].mp4",
    ]  # fmt: skip
    assert list(discover_anywhere([f"{d}/**"]).values()) == [Address(d)] * 3
    assert list(discover_anywhere([], [Address(f"{d}/gone.mp4")])) == [Address(f"{d}/gone.mp4")]
    for name, message in (
        (f"{d}/gone.mp4", f"no such file or folder: {d}/gone.mp4"),
        (f"{d}/*.mov", f"no such file, and no video or image matches: {d}/.*.mov"),
        (f"{d}/e", f"{d}/e contains no video or image; -r includes its subfolders"),
    ):
        with pytest.raises(UsageError, match=message):
            found(name)
    store.proxy.fault = lambda *_: 403
    with pytest.raises(SetupError, match="s3://other/d cannot be read: access is refused"):
        found("s3://other/d")


def test_a_web_server_has_single_files(
    clip: bytes, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "WAITS_S", ())
    with Proxy(files={"/x y.mp4": ("video/mp4", clip), "/": ("text/html", b"<html>")}) as web:
        web.files["/x%20y.mp4"] = web.files["/x y.mp4"]
        here = OutputOptions(json=True, out_dir=tmp_path)
        for expected in ("captioned", "done"):
            made = run([f"{web.address}/x%20y.mp4?sig=abc"], model, here)
            assert became(made) == [expected]
        text = (tmp_path / "x y.json").read_text()
        assert f"{web.address}/x%20y.mp4?sig=***" in text and "abc" not in text
        rows = (tmp_path / ".vidcaption.jsonl").read_text()
        assert "sig=***" in rows and "abc" not in rows
        for name, message in (("/", "is a web page, and no video"), ("/[a]*.mp4", "no such file")):
            with pytest.raises(UsageError, match=message):
                discover_anywhere([web.address + name])
        web.fault = lambda *_: 503
        with pytest.raises(SetupError, match=r"overloaded or broken \(status 503\)"):
            discover_anywhere([f"{web.address}/x%20y.mp4"])


def test_folders_are_listed_by_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    store.put(**{f"many/{number}.mp4": b"x" for number in range(8)})
    assert len(discover_anywhere(["s3://videos/many"])) == 8
    assert len([each for each in store.proxy.asked if "continuation-token" in each]) == 2


def test_shards_do_not_depend_on_the_bucket() -> None:
    for number in range(20):
        below, path = f"d/{number}.mp4", Path("/mnt/d")
        there = [Shard(1, 3).holds(Address(f"{root}/{below}"), Address(root))
                 for root in ("s3://a", "s3://b/c")]  # fmt: skip
        assert there == [Shard(1, 3).holds(path.parent / below, path.parent)] * 2


def test_the_record_of_a_folder(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidcaption.batch.objects.FRESH_S", 0.0)
    monkeypatch.setattr("vidcaption.batch.objects.SAME_S", 0.0)
    one, two = record_of(ROOT), ObjectLedger(ROOT)
    assert isinstance(one, ObjectLedger) and isinstance(record_of(Path()), Ledger)
    first, second = one.digest_in([b"fi", b"rst"]), one.digest_in([b"second"])
    one.add("x.srt", first, "1", ROOT / "x.mp4")
    two.refresh()
    assert (
        two.knows("x.srt") and two.fingerprint("x.srt", first) == "1" and two.names() == {"x.srt"}
    )
    assert two.size("x.srt") is two.digest("x.srt") is None
    store.put(**{"x.srt": b"first", "x.mp4": b"x"})
    assert (two.size("x.srt"), two.digest("x.srt"), two.input("x.srt")) == (
        5,
        first,
        ROOT / "x.mp4",
    )
    two.add("x.srt", second, "2", Path("here.mp4"))
    one.refresh()
    assert one.fingerprint("x.srt", second) == "2" and one.fingerprint("x.srt", first) == "1"
    assert one.input("x.srt") is None  # which is on another machine
    two.add("y.srt", second, "2", ROOT / "y.mp4")
    store.put(**{"y.srt": b"edited", "y.mp4": b"y"})
    assert ObjectLedger(ROOT).digest("y.srt") == one.digest_in([b"edited"])
    assert of_others([])(ROOT / "y.srt") and not of_others([ROOT / "y.mp4"])(ROOT / "y.srt")
    assert not of_others([])(ROOT / "gone.srt")
    with two.lease("x") as held, one.lease("x") as other:
        assert held and other


def test_rows_come_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidcaption.batch.objects.FRESH_S", 0.0)
    monkeypatch.setattr("vidcaption.batch.objects.ROWS_BYTES", 60)
    folder = ROOT / ".x.parts"
    one, two = ObjectRows(folder), ObjectRows(folder)
    assert list(one.new()) == []
    seen: list[int] = []
    for number in range(8):
        (one, two)[number % 2].add({"number": number, "filling": "12345"})
        seen += [row["number"] for _, row in filter(None, one.new())]
    assert sorted(seen) == list(range(8))
    found = [each for each in two.new() if each is not None]
    places = [place for place, _ in found]
    assert two.at([*places, ("gone.jsonl", 0)]) == [*(row for _, row in found), {}]
    assert len({name for name, _ in places}) == 4  # files, of two or three rows each
    two.remove()
    assert list(one.new()) == [None] and list(two.new()) == [None]
    one.add({"number": 9})
    assert [row for _, row in filter(None, two.new())] == [{"number": 9}]


def test_finished_windows_come_back(store: Store) -> None:
    target = ROOT / "x.srt"
    parts = Parts(target)
    parts.add_progress("x.srt", "1", 0, Progress((None,), 0.0, 1.0, b"pixels"))
    parts.add_progress("x.srt", "1", 1, Progress((None,), 1.0, 2.0))
    for each in (parts, Parts(target)):
        assert each.progress("x.srt", "1") == Progress((None, None), 1.0, 2.0)
        assert each.progress("x.srt", "2") == Progress()
    parts.add("part", "1", "text")
    fresh = Parts(target)
    assert fresh.fingerprint("part") == "1" and fresh.text("part") == "text"
    fresh.remove()
    assert Parts(target).fingerprint("part") is None


@pytest.mark.slow
def test_an_interrupted_run_continues(
    store: Store, model: Path, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(**{"a.mp4": clip})
    from vidcaption import captioning

    monkeypatch.setattr(captioning, "KEEP_S", 0.0)

    class Stopping(Watcher):
        def captioned(self, segment: object) -> None:
            raise KeyboardInterrupt

    def runs(watcher: Watcher) -> Iterator[Outcome]:
        outcomes: list[Outcome] = []
        options = BatchOptions(workers="1")
        with Batch(["s3://videos/a.mp4"], OutputOptions(srt=True), options) as batch:
            batch.plan(model, QUICK)
            batch.start(FP32, watcher, print, outcomes.append)()
        yield from outcomes

    with pytest.raises(KeyboardInterrupt):
        list(runs(Stopping()))
    assert any(".a.srt.parts" in each for each in store.proxy.asked if each.startswith("PUT"))
    (outcome,) = runs(Watcher())
    assert outcome.statistics is not None and outcome.statistics.captioned_s < 2.5
    assert outcome.captions is not None and outcome.captions[-1].end_s > 2
    assert not [each for each in store.names() if "parts" in each]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": OutputOptions(srt=True), "offline": True}, "s3://videos/a.mp4 is an address, "
         "and --offline forbids the network"),
        ({"output": OutputOptions(srt=True, out_dir=Path("s3://x")), "inputs": ["a"],
          "offline": True}, "s3://x is an address, and --offline forbids"),
        ({"output": OutputOptions(output="s3://videos/a.mp4", txt=True)}, "which is an input"),
    ],
)  # fmt: skip
def test_wrong_use(store: Store, options: dict[str, object], message: str) -> None:
    store.put(**{"a.mp4": b"x"})
    given = {"inputs": ["s3://videos/a.mp4"], "batch": BatchOptions(), "offline": False} | options
    with pytest.raises(UsageError, match=message):
        Batch(given["inputs"], given["output"], given["batch"], offline=given["offline"])  # type: ignore[arg-type]


def test_the_scheme_of_files(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    found = select([path.as_uri()], BatchOptions())
    assert found.chosen == [path] and not found.several


def test_the_hub_offline(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="and HF_HUB_OFFLINE forbids the network"):
        Batch(["s3://videos/a.mp4"], OutputOptions(srt=True), BatchOptions())


def test_a_secret_is_not_in_a_manifest(tmp_path: Path) -> None:
    row = {"path": "https://h/a.mp4?sig=***", "root": "https://h", "status": "failed",
           "outputs": {}, "seconds": 1, "error": None, "model": "m", "at": ""}  # fmt: skip
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(UsageError, match=r"has a secret, which .* does not hold; name the inputs"):
        Batch([], OutputOptions(srt=True, out_dir=tmp_path), BatchOptions(retry_failed=path))

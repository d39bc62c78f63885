import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import av
import pytest
import srt
import yaml
from clips import every, write_clip
from runs import check_arguments, install
from streams import send
from tiny import write_tiny

from vidcaption.find.index import Index
from vidcaption.output.subtitles import read_cues

EXAMPLES = Path(__file__).parent.parent / "examples"
QUICK = ["--beam", "1", "--frames", "1", "--max-words", "4", "-q"]

posix = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


def needs(*tools: str) -> pytest.MarkDecorator:
    missing = [tool for tool in tools if not shutil.which(tool)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@pytest.fixture
def command(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``vidcaption``, that of this checkout, on the PATH."""
    path = install(tmp_path_factory.mktemp("bin"))
    monkeypatch.setenv("PATH", str(path.parent), prepend=os.pathsep)
    root = str(EXAMPLES.parent)
    monkeypatch.setenv("PYTHONPATH", root, prepend=os.pathsep)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of video."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", every(0.1, 10))


@pytest.fixture
def names(tmp_path: Path) -> set[str]:
    """Files in a folder, whose content a plan does not look at; some in each of two shards."""
    for name in ("a.mp4", "b c.mp4", "d.mp4", "f's.mp4", "g.mp4", "i j.mp4", "k.mp4", "ü.mp4"):
        (tmp_path / name).touch()
    return {path.stem for path in tmp_path.iterdir()}


def planned(stdout: str) -> list[str]:
    """The videos in what --dry-run prints."""
    return [Path(path).stem for path in re.findall("^run +(.+) -> ", stdout, re.MULTILINE)]


def run(name: str, *arguments: str | Path, cwd: Path, **variables: str) -> str:
    result = subprocess.run(
        [EXAMPLES / name, *arguments], cwd=cwd, env=os.environ | variables, text=True,
        capture_output=True,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_the_clip_is_small_and_cuts_every_four_seconds() -> None:
    assert (EXAMPLES / "clip.mp4").stat().st_size <= 300_000
    with av.open(str(EXAMPLES / "clip.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert [frame.time for frame in container.decode(stream) if frame.key_frame] == [
            *(0.0, 4.0, 8.0, 12.0, 16.0)
        ]
        assert stream.frames == 20 * 24


def test_make_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("make_clip", EXAMPLES / "make_clip.py")
    assert spec is not None and spec.loader is not None
    make_clip = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_clip)
    monkeypatch.setattr(make_clip, "SECONDS_PER_PHOTO", 1)
    make_clip.write(str(tmp_path / "clip.mp4"))
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5 * 24


@posix
@needs("shellcheck")
def test_shellcheck_finds_nothing() -> None:
    result = subprocess.run(["shellcheck", *EXAMPLES.glob("*.sh")], stdout=subprocess.PIPE)
    assert result.stdout == b""


@posix
@pytest.mark.parametrize("script", sorted(path.name for path in EXAMPLES.glob("*.sh")))
def test_a_script_without_arguments_tells_how_it_is_used(script: str) -> None:
    result = subprocess.run([EXAMPLES / script], capture_output=True, text=True)
    assert result.returncode > 0
    assert "usage: " in result.stderr and script in result.stderr


@needs("bash", "find", "xargs")
def test_find_xargs(tmp_path: Path, command: Path, names: set[str]) -> None:
    os.utime(tmp_path / "d.mp4", (0, 0))
    stdout = run("find_xargs.sh", ".", "--dry-run", cwd=tmp_path, DAYS="1", JOBS="2")
    assert sorted(planned(stdout)) == sorted(names - {"d"})


@needs("bash", "parallel")
def test_parallel(tmp_path: Path, command: Path, names: set[str]) -> None:
    stdout = run("parallel.sh", ".", "--dry-run", cwd=tmp_path, JOBS="2")
    assert sorted(planned(stdout)) == sorted(names)  # each once


@needs("bash")
def test_slurm(tmp_path: Path, command: Path, names: set[str]) -> None:
    array = {"JOB_ID": "7", "TASK_COUNT": "2", "TASK_MIN": "1", "TASK_MAX": "2"}
    variables = {f"SLURM_ARRAY_{name}": value for name, value in array.items()}
    one, two = (
        run("slurm.sh", ".", "--dry-run", cwd=tmp_path, SLURM_ARRAY_TASK_ID=task, **variables)
        for task in "12"
    )
    assert planned(one) and planned(two)
    assert sorted(planned(one) + planned(two)) == sorted(names)  # each once


@pytest.mark.slow
@needs("bash", "find", "comm")
def test_watch(tmp_path: Path, command: Path, clip: Path) -> None:
    """What is there, and what comes later: in a subfolder, with a space and a part at a time."""
    shutil.copy(clip, tmp_path / "first.mp4")
    (tmp_path / "broken.mp4").write_text("no video")
    later = tmp_path / "sub folder/later.mp4"
    log = tmp_path / "log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [EXAMPLES / "watch.sh", tmp_path, *QUICK], stderr=stderr, start_new_session=True,
            env=os.environ | {"EVERY": "0.5"},
        ) as watch,
    ):  # fmt: skip
        try:
            wait_for(tmp_path / "first.srt", watch)
            later.parent.mkdir()
            data = clip.read_bytes()
            with later.open("wb") as file:
                file.write(data[:500])
                file.flush()
                time.sleep(0.2)
                file.write(data[500:])
            wait_for(later.with_suffix(".srt"), watch)
        finally:
            os.killpg(watch.pid, signal.SIGTERM)
    for path in (tmp_path / "first.srt", later.with_suffix(".srt")):
        assert len(list(srt.parse(path.read_text()))) == 1
    told = [line for line in log.read_text().splitlines() if line != "Terminated"]  # bash, by us
    assert len(told) == 1 and "broken.mp4" in told[0]  # of the other one nothing, and once


def wait_for(path: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline_s = time.monotonic() + 300  # a busy machine
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline_s, f"no {path}"
        time.sleep(0.1)


@pytest.fixture
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One that captions in no time."""
    return str(write_tiny(tmp_path_factory.mktemp("tiny")))


class Webhook(BaseHTTPRequestHandler):
    """Remembers the JSON that it is sent."""

    got: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/json"
        self.got.append(json.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
@needs("bash", "curl", "jq")
def test_frigate(tmp_path: Path, command: Path, model: str) -> None:
    """Both ways at once; the client of the broker is a script that notes its arguments."""
    send(str(tmp_path / "a.ts"), 30, paced=False)
    client = command.with_name("mosquitto_pub")
    client.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$*\" >>'{tmp_path}/published'\n")
    client.chmod(0o755)
    options = ["--model", model, "--window", "10", *QUICK]
    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        variables = {
            "WEBHOOK": f"http://127.0.0.1:{server.server_port}/hook", "MQTT": "broker",
            "TOPIC": "home/door", "WORDS": "word14",
        }  # fmt: skip
        with (tmp_path / "a.ts").open("rb") as stream:
            result = subprocess.run(
                [EXAMPLES / "frigate.sh", "-", *options], stdin=stream, text=True,
                capture_output=True, env=os.environ | variables,
            )  # fmt: skip
        server.shutdown()
    assert (result.returncode, result.stderr) == (0, "")
    lines = [line.partition("] ")[2] for line in result.stdout.splitlines()]
    wanted = [line for line in lines if "word14" in line.lower()]
    assert wanted and sorted(each["text"] for each in Webhook.got) == sorted(wanted)
    for each in Webhook.got:
        assert each["camera"] == "standard input" and each["confidence"] is None
        assert datetime.fromisoformat(each["start"]) < datetime.fromisoformat(each["end"])
    published = (tmp_path / "published").read_text().splitlines()
    assert all(line.startswith("-h broker -t home/door -m {") for line in published)
    assert len(published) == len(wanted)


@pytest.mark.slow
@needs("bash", "find")
def test_jellyfin(tmp_path: Path, command: Path, clip: Path, model: str) -> None:
    for name in ("a film/a film.mkv", "b.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(clip, tmp_path / name)
    edited = tmp_path / "b.en.vtt"
    edited.write_text("WEBVTT\n")
    for _ in range(2):
        assert run("jellyfin.sh", ".", "--model", model, *QUICK, cwd=tmp_path) == ""
    assert [len(read_cues(path)) for path in tmp_path.glob("*/*.en.vtt")] == [1]
    assert edited.read_text() == "WEBVTT\n"
    (tmp_path / "broken.mp4").write_text("no video")
    script = [EXAMPLES / "jellyfin.sh", tmp_path, "--model", model, *QUICK]
    assert subprocess.run(script, stderr=subprocess.PIPE).returncode == 1


@pytest.mark.slow
@needs("sh", "flock", "nice")
def test_cron(tmp_path: Path, command: Path, clip: Path, model: str) -> None:
    lines = (EXAMPLES / "index.cron").read_text().splitlines()
    [job] = [line for line in lines if line and not re.match(r"#|\w+=", line)]
    *times, line = job.split(maxsplit=5)
    assert times == ["30", "2", "*", "*", "*"]
    assert "%" not in line  # a line break to cron
    (tmp_path / "Videos").mkdir()
    shutil.copy(clip, tmp_path / "Videos")
    variables = {
        "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "VIDCAPTION_INDEX_MODEL": model,
    }  # fmt: skip
    result = subprocess.run(
        ["sh", "-c", line], env=os.environ | variables, capture_output=True, cwd=tmp_path
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    with Index(tmp_path / "vidcaption/index.sqlite") as index:
        assert len(list(index.videos())) == 1


@needs("bash")
def test_ray_slurm(tmp_path: Path, command: Path) -> None:
    """What each node runs. Ray itself is not started, as another one may be running here."""
    for name, text in (("srun", "printf '%s\\n' \"$@\""), ("scontrol", "echo node1; echo node2")):
        tool = command.parent / name
        tool.write_text(f"#!/bin/sh\n{text}\n")
        tool.chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2"}
    words = run(
        "ray_slurm.sh", "my videos", "--out-dir", "o u t", cwd=tmp_path, **slurm
    ).splitlines()
    at = words.index("--")
    assert words[:2] == ["ray", "symmetric-run"]
    scripts = pytest.importorskip("ray.scripts.scripts")
    start = {option for each in scripts.start.params for option in each.opts}
    assert {word for word in words[2:at] if word[:2] == "--"} <= start | {"--min-nodes"}
    assert words[words.index("--min-nodes") + 1] == "2"
    program, *arguments = words[at + 1 :]
    assert program == "vidcaption"
    check_arguments([*arguments])
    assert arguments[1] == "my videos" and arguments[-1] == "o u t"
    for options in words[:at], arguments:
        place = options.index("--address" if options is not arguments else "--ray-address")
        assert options[place + 1] == "node1:6379"


@pytest.mark.slow
def test_ray_data(tmp_path: Path, clip: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("ray")
    environment = os.environ | {"PYTHONPATH": str(EXAMPLES.parent), "RAY_ADDRESS": "local"}
    command = [sys.executable, EXAMPLES / "ray_data.py", tmp_path / "out", clip]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    [row] = parquet.read_table(tmp_path / "out").to_pylist()
    assert row["path"] == str(clip) and row["start_s"] == 0 and row["text"]
    assert list(row) == ["path", "start_s", "end_s", "text", "score", "confidence"]


def test_rayjob() -> None:
    job = yaml.safe_load((EXAMPLES / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    program, *arguments = shlex.split(job["spec"]["entrypoint"])
    assert program == "vidcaption"
    check_arguments(arguments)
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        spec = group["template"]["spec"]
        mounted = {
            mount["name"]: mount["mountPath"]
            for each in spec["containers"]
            for mount in each["volumeMounts"]
        }
        assert mounted.keys() == {volume["name"] for volume in spec["volumes"]}
        assert all(path.startswith(mounted["data"]) for path in arguments if path[0] == "/")


@needs("hadolint")
def test_hadolint_finds_nothing() -> None:
    result = subprocess.run(["hadolint", EXAMPLES.parent / "Dockerfile"], capture_output=True)
    assert result.stdout == b""


def test_the_dockerfile_has_all_of_the_package() -> None:
    """What it copies exists and holds the model, and its commands are those of this version."""
    text = (EXAMPLES.parent / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    paths = [EXAMPLES.parent / name for names in copied for name in names.split()]
    assert all(path.exists() for path in paths)
    kept = (EXAMPLES.parent / ".dockerignore").read_text().splitlines()
    assert {f"!{path.name}" for path in paths} == {line for line in kept if line[0] == "!"}
    for words in re.findall(r"^CMD (\[.+\])$", text, re.MULTILINE):
        program, *arguments = json.loads(words)
        assert program == "vidcaption"
        if arguments != ["--help"]:
            check_arguments(arguments)
    assert re.findall(r"^USER (\d+)$", text, re.MULTILINE) == ["1000"]


@needs("make")
def test_makefile(tmp_path: Path, command: Path, clip: Path) -> None:
    shutil.copy(clip, tmp_path / "a.mp4")
    make = ["make", "-s", "-C", tmp_path, "-f", EXAMPLES / "Makefile"]
    assert subprocess.run([*make, "-q"]).returncode == 1  # there is something to do
    assert subprocess.run([*make, f"OPTIONS={' '.join(QUICK[:-1])}"]).returncode == 0
    assert len(list(srt.parse((tmp_path / "a.srt").read_text()))) == 1
    assert subprocess.run([*make, "-q"]).returncode == 0
    os.utime(tmp_path / "a.srt", (1, 1))  # older than its video
    assert subprocess.run([*make, "-q"]).returncode == 1


@needs("systemd-analyze")
def test_systemd(tmp_path: Path, command: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    installed = tmp_path / ".local/bin/vidcaption"
    installed.parent.mkdir(parents=True)
    shutil.copy(command, installed)
    for kind in ("service", "timer"):
        shutil.copy(EXAMPLES / f"vidcaption@.{kind}", tmp_path / f"vidcaption@srv-my\\x20v.{kind}")
    units = sorted(tmp_path.glob("vidcaption@*"))
    verify = ["systemd-analyze", "--user", "verify", *units]
    result = subprocess.run(verify, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")

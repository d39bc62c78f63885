"""The HTTP API, through its routes."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from clips import write_image
from servers import QUICK, Served, send, until, until_over
from starlette.testclient import TestClient

from vidcaption import Captioner
from vidcaption.find.index import Index
from vidcaption.options.captioning import CaptionOptions
from vidcaption.options.output import OutputOptions
from vidcaption.output.read import read_captions
from vidcaption.serve.jobs import Jobs


def quick(**more: object) -> CaptionOptions:
    return CaptionOptions(beam=1, frames=1, max_words=6, window_s=1).with_flags(more)


def test_an_upload_becomes_captions(
    client: TestClient, served: Served, captioner: Captioner, clip: Path, tmp_path: Path
) -> None:
    answer = client.post(
        "/v1/captions", params=QUICK | {"name": "a b.mp4"}, content=clip.read_bytes()
    )
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == job["links"]["self"]
    assert job["name"] == "a b.mp4" and job["status"] in ("queued", "running", "done")
    done = until_over(client, job)
    assert done["status"] == "done" and done["progress"] == 1 and done["error"] is None
    expected = captioner.caption(clip, quick())
    assert done["captions"] == len(expected) and done["duration"] == pytest.approx(3, abs=0.2)
    assert set(done["links"]["results"]) == set(OutputOptions.known_formats())
    for format, address in done["links"]["results"].items():
        result = client.get(address)
        assert result.status_code == 200
        assert result.headers["content-disposition"].endswith(f"''a%20b.{format}")
        path = tmp_path / f"result.{format}"
        path.write_bytes(result.content)
        if format in ("srt", "vtt", "tsv", "txt"):  # which do not name the video
            assert result.text == expected.render(format)
    written = read_captions(tmp_path / "result.json")
    assert written.segments == read_captions(served.place.result(done["id"])).segments
    assert written.video.path == "a b.mp4"


def test_a_result_can_be_waited_for(client: TestClient, captioner: Captioner, clip: Path) -> None:
    query = QUICK | {"wait": "60", "format": "srt"}
    answer = client.post("/v1/captions", params=query, content=clip.read_bytes())
    assert answer.status_code == 200
    assert answer.text == captioner.caption(clip, quick()).to_srt()
    job = client.get(answer.headers["location"]).json()
    assert job["status"] == "done"
    broken = client.post("/v1/captions", params=query, content=b"no video")
    assert broken.status_code == 422 and "video is not a video" in broken.json()["error"]


def test_waiting_ends(client: TestClient, long_clip: Path) -> None:
    query = QUICK | {"wait": "0.1", "stride": "0.1"}
    answer = client.post("/v1/captions", params=query, content=long_clip.read_bytes())
    assert answer.status_code == 202
    client.delete(answer.headers["location"])


def test_options_are_those_of_run(client: TestClient, captioner: Captioner, clip: Path) -> None:
    asked = {"window": "0:01", "start": "1", "merge": "false", "wait": "60"}
    job = send(client, clip.read_bytes(), 200, **asked)
    expected = captioner.caption(clip, quick(start=1, merge=False))
    assert [segment["text"] for segment in job["segments"]] == [each.text for each in expected]
    assert job["options"]["merge"] is False and job["options"]["start_s"] == 1
    whole = send(client, clip.read_bytes(), 200, window="whole", wait="60")
    assert len(whole["segments"]) == 1 and whole["options"]["window_s"] == "whole"


def test_windows_have_the_frames_of_the_model(
    client: TestClient, served: Served, captioner: Captioner, clip: Path
) -> None:
    query = {name: value for name, value in QUICK.items() if name != "frames"} | {"wait": "60"}
    job = client.post("/v1/captions", params=query, content=clip.read_bytes()).json()
    assert job["options"]["frames"] == captioner.frames == 2
    with Index(served.place.index) as index:
        latest = index.latest_recipe()
    assert latest and latest[1].frames == 2  # as find looks again at as many


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"beam": "99"}, "beam is 99; it must be at least 1 and at most 50"),
        ({"beam": "many"}, "beam is 'many'; it must be a whole number"),
        ({"bean": "3"}, "there is no parameter 'bean'; did you mean beam"),
        ({"merge": "maybe"}, "merge is 'maybe'; it must be true or false"),
        ({"segment": "none"}, "segment is 'none'; allowed are auto, fixed, scenes"),
        ({"window": "3600", "stride": "0.5"}, "7200 windows of 2 frames overlap"),
        ({"end": "1", "start": "2"}, "end is 1; it must be after start, which is 2"),
        ({"wait": "100"}, "wait is '100'; it must be seconds, from 0 to 60"),
        ({"wait": "soon"}, "wait is 'soon'; it must be seconds, from 0 to 60"),
        ({"format": "doc"}, "'doc' is not a caption format"),
        ({"callback": "ftp://a.example/"}, "give an address such as https://example.com/done"),
        ({"callback": "http://127.0.0.1/x"}, "a private address"),
    ],
)
def test_wrong_parameters(
    client: TestClient, served: Served, query: dict[str, str], told: str
) -> None:
    answer = client.post("/v1/captions", params=query, content=b"never kept")
    assert answer.status_code == 400
    assert told in answer.json()["error"] and "--" not in answer.json()["error"].replace(
        "--private-callbacks", ""
    )
    assert not served.files() and client.get("/v1/captions").json()["jobs"] == []


def test_no_body(client: TestClient, served: Served) -> None:
    assert "no body" in send(client, b"", 400)["error"]
    assert not served.files()


def test_what_is_not_there(client: TestClient) -> None:
    for path in ("", "/events", "/video", "/result.srt"):
        answer = client.get(f"/v1/captions/nothing{path}")
        assert answer.status_code == 404 and "no such job" in answer.json()["error"]
    assert client.delete("/v1/captions/nothing").status_code == 404
    assert client.post("/v1/captions/nothing/cancel").status_code == 404
    assert "no such file" in client.post("/v1/captions?file=../../x").json()["error"]
    assert client.get("/v1/files/..%2f..%2fx").status_code == 404
    assert client.get("/nothing").json()["error"].startswith("there is no /nothing")
    refused = client.put("/v1/captions")
    assert refused.status_code == 405 and "PUT is not for /v1/captions" in refused.json()["error"]


def test_a_file_that_is_no_video_fails(client: TestClient, served: Served) -> None:
    job = until_over(client, send(client, b"no video\n" * 100, name="notes.mp4"))
    assert job["status"] == "failed"
    assert "notes.mp4" in job["error"] and str(served.place.root) not in job["error"]
    assert not served.files()  # nobody needs the upload any more
    early = client.get(f"{job['links']['self']}/result.srt")
    assert early.status_code == 409 and "the job is failed" in early.json()["error"]
    assert client.post(f"{job['links']['self']}/cancel").status_code == 409


def test_pictures(client: TestClient, tmp_path: Path) -> None:
    picture = write_image(tmp_path / "still.png").read_bytes()
    job = until_over(client, send(client, picture, name="still.png"))
    assert (job["status"], job["captions"], job["duration"]) == ("done", 1, None)
    assert client.get(job["links"]["video"]).headers["content-type"] == "image/png"


def test_events_tell_each_caption(client: TestClient, clip: Path) -> None:
    job = send(client, clip.read_bytes(), merge="false")
    answer = client.get(job["links"]["events"])
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = parsed(answer.text)
    captions = [data for name, data in events if name == "caption"]
    result = client.get(f"{job['links']['self']}/result.json").json()["segments"]
    assert [caption["text"] for caption in captions] == [each["text"] for each in result]
    assert events[-1][0] == "job" and events[-1][1]["status"] == "done"
    rest = client.get(job["links"]["events"], headers={"Last-Event-ID": "1"})
    assert [name for name, _ in parsed(rest.text)].count("caption") == len(captions) - 2


def parsed(stream: str) -> list[tuple[str, dict[str, object]]]:
    found = []
    for block in stream.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def test_cancel(client: TestClient, served: Served, long_clip: Path) -> None:
    first = send(client, long_clip.read_bytes(), stride="0.1")
    second = send(client, long_clip.read_bytes())
    until_over(client, first, "running")
    assert client.get(second["links"]["self"]).json()["position"] == 0
    for job in (second, first):  # that waits, that runs
        answer = client.post(f"{job['links']['self']}/cancel")
        assert answer.status_code == 200 and answer.json()["status"] == "cancelled"
    until(lambda: not served.files())
    jobs = client.get("/v1/captions").json()["jobs"]
    assert [(job["id"], job["status"]) for job in jobs] == [
        (second["id"], "cancelled"), (first["id"], "cancelled")
    ]  # fmt: skip


def test_delete(client: TestClient, served: Served, clip: Path, long_clip: Path) -> None:
    done = until_over(client, send(client, clip.read_bytes()))
    word = (
        client.get(f"{done['links']['self']}/result.json").json()["segments"][0]["text"].split()[0]
    )
    assert client.get("/v1/search", params={"q": word}).json()["moments"]
    running = send(client, long_clip.read_bytes(), stride="0.1")
    until_over(client, running, "running")
    for job in (running, done):
        assert client.delete(job["links"]["self"]).status_code == 204
        assert client.get(job["links"]["self"]).status_code == 404
    until(lambda: not served.files())
    assert client.get("/v1/search", params={"q": word}).json()["moments"] == []
    assert client.get("/v1/captions").json()["jobs"] == []
    jobs = Jobs(served.place.jobs)
    assert jobs.statuses() == {}
    jobs.close()


def test_a_server_tidies_up_after_the_last_one(served: Served, clip: Path) -> None:
    with served.started() as client:
        old = until_over(client, send(client, clip.read_bytes()))
        deleted = until_over(client, send(client, clip.read_bytes()))
    jobs = Jobs(served.place.jobs)
    jobs.delete(deleted["id"])  # and it was killed before the files were gone
    jobs.close()
    (served.place.folder("broken-off")).mkdir()
    with served.started() as client:
        assert [job["id"] for job in client.get("/v1/captions").json()["jobs"]] == [old["id"]]
        assert {path.name for path in served.place.uploads.iterdir()} == {old["id"]}
    with served.started(keep_days=1e-9) as client:
        until(lambda: not served.files())
        assert client.get("/v1/captions").json()["jobs"] == []


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")
def test_what_hangs_can_be_cancelled(served: Served, clip: Path, long_clip: Path) -> None:
    with served.started() as client:
        job = _hanging(client, served, long_clip)
        assert client.post(f"{job['links']['self']}/cancel").json()["status"] == "cancelled"
        assert send(client, clip.read_bytes(), 200, wait="60")["segments"]
        job = _hanging(client, served, long_clip)
    # nor does it keep the server from ending; it waits for the next one
    jobs = Jobs(served.place.jobs)
    assert jobs.statuses()[job["id"]] == "queued"
    jobs.close()


def _hanging(client: TestClient, served: Served, long_clip: Path) -> dict[str, Any]:
    """A job whose reader does not get on, as on a disk that does not answer."""
    job = send(client, long_clip.read_bytes(), stride="0.1")
    workers = served.captioner.workers
    assert workers is not None
    until(lambda: workers._busy)
    (worker,) = workers._busy
    os.kill(worker._process.pid or 0, signal.SIGSTOP)
    return job

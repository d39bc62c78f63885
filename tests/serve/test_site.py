"""Pages as they are served: the player, files of folders, what is found."""

import os
import shutil
import time
from pathlib import Path

import pytest
from clips import write_image
from pages import read_scripted
from servers import QUICK, Served, send, until, until_over
from starlette.testclient import TestClient

from vidcaption.serve import library
from vidcaption.serve.library import Library


def page_of(client: TestClient, address: str) -> str:
    """The player, once it is drawn."""
    deadline_s = time.monotonic() + 60
    while (answer := client.get(address)).status_code == 202:
        assert "The player is being made" in answer.text and 'http-equiv="refresh"' in answer.text
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_the_player(client: TestClient, served: Served, clip: Path, tmp_path: Path) -> None:
    job = until_over(client, send(client, clip.read_bytes(), name="<b>&.mp4", merge="false"))
    html = page_of(client, job["links"]["page"])
    page = read_scripted(html)
    (video,) = page.of("video")
    assert video["src"] == job["links"]["video"]
    part = client.get(video["src"], headers={"Range": "bytes=0-9"})
    assert part.status_code == 206 and part.content == clip.read_bytes()[:10]
    assert "sandbox" in part.headers["content-security-policy"]
    cues = [each for _, each in page.elements if each.get("class", "").startswith("cue ")]
    assert len(cues) == job["captions"] and html.count("--strip: url(data:image/jpeg") == len(cues)
    assert "<b>&" not in html.replace("<b>&amp;", "")
    policy = client.get(job["links"]["page"]).headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    still = until_over(client, send(client, write_image(tmp_path / "a.png").read_bytes()))
    assert not read_scripted(page_of(client, still["links"]["page"])).of("video")


def test_a_player_that_cannot_be_made(served: Served, clip: Path) -> None:
    shutil.copy(clip, served.folders[0] / "gone.mp4")
    with served.started() as client:
        (file,) = client.get("/v1/files").json()["files"]
        job = client.post("/v1/captions", params=QUICK | {"file": file["id"]}).json()
        job = until_over(client, job)
        (served.folders[0] / "gone.mp4").unlink()
        until(lambda: client.get(job["links"]["page"]).status_code != 202)
        failed = client.get(job["links"]["page"])
        assert (
            failed.status_code == 500
            and "The player cannot be made: videos/gone.mp4" in failed.text
        )
        assert client.get(job["links"]["video"]).status_code == 404
        assert client.get(job["links"]["results"]["srt"]).status_code == 200


def test_there_is_no_player_before_the_end(client: TestClient) -> None:
    job = until_over(client, send(client, b"no video"))
    for id in (job["id"], "nothing"):
        answer = client.get(f"/captions/{id}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_home_and_what_it_loads(client: TestClient) -> None:
    home = client.get("/").text
    assert "Pick from the server's folders" in home
    for address in ("/static/home.js", "/static/style.css", "/static/icon.svg"):
        assert address in home
        assert client.get(address).status_code == 200
    assert "<style" not in home and "onclick" not in home  # the policy would refuse them
    for address in ("/static/../site.py", "/static/%2e%2e/site.py", "/static/nothing"):
        assert client.get(address).status_code == 404


def test_files_of_folders(
    served: Served, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "FRESH_S", 0)
    folder = served.folders[0]
    (folder / "sub").mkdir()
    for name in ("sub/Clip 10.mp4", "sub/clip 2.mp4", ".hidden.mp4"):
        shutil.copy(clip, folder / name)
    (folder / "notes.txt").write_text("x")
    secret = shutil.copy(clip, tmp_path / "secret.mp4")
    with served.started() as client:
        found = client.get("/v1/files").json()
        names = [file["name"] for file in found["files"]]
        assert (
            names == ["videos/sub/clip 2.mp4", "videos/sub/Clip 10.mp4"] and not found["left_out"]
        )
        (file,) = client.get("/v1/files", params={"q": "CLIP 10"}).json()["files"]
        assert client.get(f"/v1/files/{file['id']}").content == clip.read_bytes()
        job = client.post("/v1/captions", params=QUICK | {"file": file["id"]}).json()
        job = until_over(client, job)
        assert job["name"] == "videos/sub/Clip 10.mp4" and job["status"] == "done"
        for other in (str(secret), "../secret.mp4", library._id_of(secret)):
            assert client.post("/v1/captions", params={"file": other}).status_code == 404
        client.delete(job["links"]["self"])
        assert (folder / "sub/Clip 10.mp4").is_file() and not served.files()


def test_folders_that_are_away(tmp_path: Path) -> None:
    assert Library([tmp_path, tmp_path / "nothing"]).files() == {}


def test_search(served: Served, clip: Path, tmp_path: Path) -> None:
    shutil.copy(clip, served.folders[0] / "picked.mp4")
    with served.started() as client:
        assert client.get("/v1/search", params={"q": "dog"}).json() == {"moments": [], "away": 0}
        (file,) = client.get("/v1/files").json()["files"]
        picked = client.post("/v1/captions", params=QUICK | {"file": file["id"]}).json()
        picked = until_over(client, picked)
        sent = until_over(client, send(client, clip.read_bytes(), name="sent.mp4"))
        word = client.get(sent["links"]["results"]["txt"]).text.split()[0]
        moments = client.get("/v1/search", params={"q": word}).json()["moments"]
        pages = {moment["page"].split("#")[0] for moment in moments}
        assert pages == {picked["links"]["page"], sent["links"]["page"]}
        assert {moment["name"] for moment in moments} == {"videos/picked.mp4", "sent.mp4"}
        assert (
            len(client.get("/v1/search", params={"q": word, "limit": "1"}).json()["moments"]) == 1
        )
        # what is in the index without a job leads to the file itself
        client.delete(picked["links"]["self"])
        moments = client.get("/v1/search", params={"q": word}).json()["moments"]
        assert f"/v1/files/{file['id']}" in {moment["page"].split("#")[0] for moment in moments}
        os.unlink(served.folders[0] / "picked.mp4")
        assert client.get("/v1/search", params={"q": word}).json()["away"] >= 1


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"q": ""}, "no word to search for"),
        ({"q": "-dog"}, "no word to search for"),
        ({"q": "dog", "limit": "0"}, "limit is 0; it must be at least 1"),
        ({"q": "dog", "path": "/"}, "there is no parameter 'path'"),
    ],
)
def test_wrong_searches(client: TestClient, query: dict[str, str], told: str) -> None:
    answer = client.get("/v1/search", params=query)
    assert answer.status_code == 400 and told in answer.json()["error"]

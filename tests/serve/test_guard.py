"""Who is refused, before anything else is looked at."""

from pathlib import Path

import pytest
from servers import LOCAL, Served, send
from starlette.testclient import TestClient

from vidcaption.serve.guard import HEADERS

TOKEN = "a token that nobody knows"


OWN_HOSTS = ["127.0.0.1:8765", "localhost", "[::1]:1", "LocalHost:9", "127.9.9.9"]
FOREIGN_HOSTS = [
    "evil.example", "evil.example:8765", "127.0.0.1.evil.example", "192.168.1.2", "", "[::1",
    "a@127.0.0.1x",
]  # fmt: skip
OTHER_SITES = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "http://localhost:8765"},  # another name of the host that is spoken to
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
]


def test_hosts(client: TestClient) -> None:
    """A name can be made to stand for 127.0.0.1 by whoever owns it."""
    for host in OWN_HOSTS:
        assert client.get("/v1/health", headers={"Host": host}).status_code == 200, host
    for host in FOREIGN_HOSTS:
        answer = client.get("/v1/health", headers={"Host": host})
        assert answer.status_code == 421, host
        assert "does not answer to the host" in answer.json()["error"]


def test_other_sites_change_nothing(client: TestClient) -> None:
    for headers in OTHER_SITES:
        for method, path in (("POST", "captions"), ("DELETE", "captions/x"), ("POST", "x")):
            answer = client.request(method, f"/v1/{path}", headers=headers)
            assert answer.status_code == 403 and "other sites" in answer.json()["error"]


def test_other_sites_read_nothing(client: TestClient) -> None:
    for mode, dest in (("no-cors", "video"), ("cors", "empty"), ("navigate", "iframe")):
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
        assert client.get("/v1/captions", headers=headers).status_code == 403
    link = headers | {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/", headers=link).status_code == 200


def test_the_own_page_may(client: TestClient) -> None:
    own = {"Origin": LOCAL, "Sec-Fetch-Site": "same-origin"}
    assert client.post("/v1/captions", headers=own).status_code == 400  # it has no body


def test_every_answer_is_protected(client: TestClient) -> None:
    for path in ("/", "/v1/captions", "/nothing", "/static/home.js", "/openapi.json"):
        answer = client.get(path)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, path
    assert "access-control-allow-origin" not in answer.headers


def test_a_token_is_needed(served: Served, clip: Path) -> None:
    with served.started(host="0.0.0.0", token=TOKEN) as client:
        for headers in ({}, {"Authorization": "Bearer no"}, {"Authorization": f"Basic {TOKEN}"},
                        {"Cookie": "vidcaption=no"}, {"Cookie": f"vidcaption={TOKEN}"},
                        {"Authorization": "Bearer é".encode()}):  # fmt: skip
            answer = client.post("/v1/captions", content=clip.read_bytes(), headers=headers)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/v1/health").status_code == 200
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        assert send(client, clip.read_bytes())["id"]
        # who has a token may call the machine by its address, and not by just any name
        assert client.get("/v1/captions", headers={"Host": "192.168.1.2:8765"}).status_code == 200
        assert client.get("/v1/captions", headers={"Host": "evil.example"}).status_code == 421


def test_further_hosts(served: Served) -> None:
    with served.started(allow_host="films.example,Other.example") as client:
        for host in ("films.example", "other.example:80"):
            assert client.get("/v1/health", headers={"Host": host}).status_code == 200


def test_browsers_log_in(served: Served) -> None:
    with served.started(host="0.0.0.0", token=TOKEN) as client:
        page = client.get("/", headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["location"]) == (303, "/login")
        assert 'name="token"' in client.get("/login").text
        wrong = client.post("/login", data={"token": "wrong"})
        assert wrong.status_code == 401 and "not the token" in wrong.text
        assert client.post("/login", content=b"token=" + b"x" * 10_000).status_code == 401
        right = client.post("/login", data={"token": TOKEN})
        assert (right.status_code, right.headers["location"]) == (303, "/")
        cookie = right.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
        assert client.get("/v1/captions").status_code == 200  # the client keeps it


def test_defects_are_one_sentence(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with served.started() as client:
        monkeypatch.setattr("vidcaption.serve.state.State.snapshot", lambda _: 1 / 0)
        answer = client.get("/v1/captions")
    assert answer.status_code == 500
    assert "ZeroDivisionError; this is a defect" in answer.json()["error"]
    assert [record.exc_info for record in caplog.records] == [None]
    caplog.clear()

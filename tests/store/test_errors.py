"""What is said when a model cannot be had: what happened, and what to do."""

import errno
import os
import re
import shutil
import socket
import ssl
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from hub import Answer, Hub, Repo, refusal
from huggingface_hub import constants

from vidcaption.errors import ModelError, OutputError, SetupError
from vidcaption.model.manifest import MANIFEST, WORDS
from vidcaption.store import hub as store_hub
from vidcaption.store import resolve
from vidcaption.store.reference import Reference

NAME = "ann/captioner"


def said(name: str = NAME, kind: type[SetupError] = ModelError) -> str:
    with pytest.raises(kind) as caught:
        resolve(name)
    assert type(caught.value) is kind
    return str(caught.value)


def point_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", url)


def test_no_such_repo(repo: Repo, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for token in (None, "hf_right"):
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        assert said("ann/captoner") == (
            f"there is no model ann/captoner on {hub.url}, or it is private (there is "
            "ann/captioner); for a private one set HF_TOKEN to a token that may read it"
        )
    assert "(there is ann/captioner)" in said("anne/captioner")
    assert "private; for a private one" in said("bob/something-else")


def test_a_hint_that_fails_is_left_out(repo: Repo, hub: Hub) -> None:
    hub.fault = lambda request: refusal(400, "no") if "author=" in request.path else None
    assert "or it is private; for a private one" in said("ann/captoner")


def test_no_such_revision(repo: Repo, files: dict[str, bytes]) -> None:
    repo.commit(files, "v1.0")
    assert said(f"{NAME}@v1.1") == (
        "ann/captioner has no revision v1.1 (there is v1.0); give a branch, a tag or a full commit "
        "hash"
    )
    assert "has no revision " + "0" * 40 in said(f"{NAME}@{'0' * 40}")


def test_a_private_repo(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.private = True
    assert "or it is private; for a private one set HF_TOKEN" in said()
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "refuses access to ann/captioner with 401 (Invalid credentials" in said()


def test_a_gated_repo(repo: Repo, hub: Hub) -> None:
    repo.gated = True
    assert said() == (
        f"ann/captioner is gated; accept its terms at {hub.url}/ann/captioner, and set HF_TOKEN to "
        "a token of that account"
    )


def test_another_kind_of_model(repo: Repo, files: dict[str, bytes], cache: Path) -> None:
    repo.commit({name: files[name] for name in files if name not in (WORDS, MANIFEST)})
    assert said().startswith(
        "ann/captioner is not a vidcaption model, as it has no vocab.json, manifest.json; choose"
    )
    assert not cache.exists()


class Fault(NamedTuple):
    answer: Answer
    message: str


LIMITED = {"RateLimit": '"api";r=0;t=55', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(refusal(429, "slow down", "", **LIMITED), r"\(429\); try again in 55 s, and set HF"),
        Fault(refusal(429, "slow down"), "try again in a few minutes"),
        Fault(refusal(403, "no entry"), r"refuses access .* with 403 \(no entry\); set HF_TOKEN"),
        Fault(refusal(503, "Unavailable"), r"has a problem \(503\) .*; try again later"),
        Fault(refusal(418, "teapot"), r"refuses the request with 418 .*; check HF_ENDPOINT"),
        Fault(Answer(200, b"<html>Welcome to the hotel"), "does not answer as the Hub does"),
        Fault(Answer(200, b"[]"), "does not answer as the Hub does"),
        Fault(Answer(200, b'{"id": "a/b", "sha": "../.."}'), "'../..' is not a commit"),
    ],
)
def test_answers_that_are_none(repo: Repo, hub: Hub, fault: Fault) -> None:
    hub.fault = lambda request: fault.answer
    assert re.search(fault.message, said())


def test_a_hub_that_does_not_answer(repo: Repo, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_hub, "PATIENCE_S", 0.2)
    ended = threading.Event()
    hub.fault = lambda request: Answer(500) if ended.wait(10) else None
    message = f"{hub.url} did not answer in time; run the same command again"
    assert said().startswith(message)
    ended.set()


def test_nothing_listens(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        point_to(url, monkeypatch)
        assert said().startswith(f"{url} cannot be reached (its server refuses the connection)")
        assert "check the connection, or use a model that is on this machine" in said()


def test_a_proxy_that_refuses(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    point_to("https://hub.invalid", monkeypatch)
    monkeypatch.setenv("https_proxy", hub.url)
    message = said()
    assert message.startswith("the proxy refuses to connect to https://hub.invalid (501")
    assert f"through the proxy {hub.url}; correct HTTPS_PROXY" in message


@pytest.mark.skipif(find_spec("socksio") is not None, reason="SOCKS proxies work here")
def test_a_socks_proxy_without_its_library(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    point_to("https://hub.invalid", monkeypatch)
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:9")
    assert said() == (
        "the library for SOCKS proxies, such as socks5://127.0.0.1:9, is not installed; run pip "
        "install 'httpx2[socks]', or use another proxy"
    )


def test_a_proxy_of_an_unknown_kind(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    point_to("https://hub.invalid", monkeypatch)
    monkeypatch.setenv("https_proxy", "socks4://127.0.0.1:9")
    assert said().startswith("the proxy socks4://127.0.0.1:9 is of an unknown kind; it must begin")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.pem", "no such file or directory"),
        ("empty.pem", "it contains none"),
        ("", "directory"),
    ],
)
def test_certificates_that_cannot_be_read(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    (tmp_path / "empty.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / name))
    message = said()
    assert message.startswith(f"SSL_CERT_FILE is {tmp_path / name}, and no certificates can be")
    assert f"{reason}); correct it or unset it" in message


def test_a_token_that_is_none(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "schlüssel")
    assert said().startswith("HF_TOKEN contains invalid characters")


def test_an_address_that_is_none(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    point_to("hub.invalid", monkeypatch)
    assert said().startswith("HF_ENDPOINT is 'hub.invalid'; it must begin with https://")


def test_no_home_to_keep_models_in(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "~/.cache/huggingface/hub")  # it stays so then
    message = said(kind=OutputError)
    assert message.startswith("models from the Hub are kept in the home folder, and this user has")
    assert hub.requests == [] and not os.path.exists("~")


def test_a_certificate_that_is_not_trusted(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).with_name("untrusted.pem"))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, pytest.raises(ssl.SSLError):
                context.wrap_socket(connection, server_side=True)

        server = threading.Thread(target=serve)
        server.start()
        point_to(f"https://127.0.0.1:{listener.getsockname()[1]}", monkeypatch)
        message = said()
        server.join()
    assert re.search(r"is not trusted \(self.signed certificate\); if a proxy re-signs", message)


def test_a_connection_that_breaks_for_good(
    repo: Repo, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)

    def cut(request: object) -> None:
        hub.cut = 10

    hub.fault = cut
    assert re.match(r"the connection to .* broke; run the same", said())
    hub.fault, hub.cut = None, None
    assert resolve(NAME).is_dir()


def test_too_little_space(repo: Repo, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nearly_full = shutil.disk_usage(Path(__file__))._replace(free=200_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: nearly_full)
    assert re.match(
        r"ann/captioner needs 0\.3 MB and /.* has 0\.2 MB free; free some space, or set HF_HOME",
        said(kind=OutputError),
    )
    assert not cache.exists()


@pytest.mark.parametrize(
    ("code", "message"),
    [(errno.ENOSPC, "^the disk of .* is full; free"), (errno.EROFS, "^/c cannot be written .*HF_")],
)
def test_a_disk_that_takes_no_more(code: int, message: str) -> None:
    with pytest.raises(OutputError, match=message), store_hub.explained(Reference(NAME)):
        raise OSError(code, os.strerror(code), "/c")


def test_a_cache_that_cannot_be_written(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file/cache"))
    assert re.match(f"{tmp_path}/file.* cannot be written .*; set HF_HOME", said(kind=OutputError))


def test_defects_are_not_explained_away() -> None:
    with pytest.raises(AttributeError), store_hub.explained(Reference(NAME)):
        raise AttributeError("a defect")

"""What the environment sets is read when a process starts: shown by processes of their own."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from clips import write_image
from hub import TOKEN, Hub, Repo, Request
from runs import Apart

from vidcaption.model.manifest import FILES

NAME = "ann/captioner"


@pytest.fixture
def environment(hub: Hub, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return kept | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
    }


def vidcaption(environment: dict[str, str], *args: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "vidcaption", *args]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    return result.returncode, result.stdout, result.stderr


def test_the_environment_of_the_hub(
    repo: Repo, hub: Hub, environment: dict[str, str], tmp_path: Path
) -> None:
    repo.private = True
    offline = environment | {"HF_HUB_OFFLINE": "1"}
    code, out, err = vidcaption(offline, "models", "pull", NAME)
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert hub.requests == []
    code, out, err = vidcaption(environment, "models", "pull", NAME)
    assert (code, err) == (0, "")
    assert out == f"{NAME}@{repo.refs['main']}\n"
    assert list((tmp_path / "home/hub").glob("models--ann--captioner/snapshots/*/config.json"))
    # nothing is asked that a model does not need
    assert {request.partition("/resolve/")[0] for request in hub.asked() if NAME in request} == {
        f"GET /api/models/{NAME}?blobs=true",
        f"HEAD /{NAME}",
        f"GET /{NAME}",
    }
    assert len(hub.requests) == 1 + 2 * len(FILES)
    hub.requests.clear()
    code, out, err = vidcaption(offline, "models", "path", NAME)
    assert code == 0 and Path(out.strip()).parent.parent.parent == tmp_path / "home/hub"
    assert hub.requests == []


ODD = {
    "HF_HUB_ETAG_TIMEOUT": "soon",
    "HF_HUB_ENABLE_HF_TRANSFER": "1",
    "HF_ENDPOINT": "http://[",
    "HF_HUB_VERBOSITY": "loud",
    "ALL_PROXY": "socks5://127.0.0.1:9",
    "SSL_CERT_FILE": "/nowhere/ca.pem",
}


def test_the_embedded_model_has_nothing_to_do_with_the_hub(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    run = Apart("run", "a.png", "--srt", "-q", cwd=tmp_path, environment=os.environ | ODD)
    assert (run.code, run.lines) == (0, [])
    assert not {name.partition(".")[0] for name in run.loaded} & {"huggingface_hub", "httpx2"}


@pytest.mark.parametrize(
    ("name", "value"), [("HF_HUB_ETAG_TIMEOUT", "soon"), ("HF_ENDPOINT", "http://[")]
)
@pytest.mark.parametrize("command", ["models pull ann/x", "models push . ann/x"])
def test_settings_that_cannot_be_read(
    environment: dict[str, str], name: str, value: str, command: str
) -> None:
    code, out, err = vidcaption(environment | {name: value}, *command.split())
    assert (code, out) == (3, "")
    assert err == (f"vidcaption: {name} is {value!r}, which is not valid; correct it or unset it\n")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_an_interrupt_does_not_wait_for_the_download(
    repo: Repo, hub: Hub, environment: dict[str, str]
) -> None:
    asked, ended = threading.Event(), threading.Event()

    def hang(request: Request) -> None:
        if request.cdn:
            asked.set()
            ended.wait()

    hub.fault = hang
    command = [sys.executable, "-m", "vidcaption", "models", "pull", NAME]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        # a shell that runs the tests in the background has them ignore interrupts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        asked.wait()
        process.send_signal(signal.SIGINT)
        assert process.communicate() == (b"", b"")
    assert process.returncode == 130
    ended.set()

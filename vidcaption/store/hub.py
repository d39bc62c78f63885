"""Downloads a model's files from the Hub into its cache, with errors in plain words."""

import difflib
import errno
import itertools
import os
import shutil
import ssl
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TypeVar
from urllib.request import getproxies

import httpx2
from huggingface_hub import HfApi, ModelInfo, constants, hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

# documented there, but not re-exported for type checkers
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

from vidcaption.errors import ModelError, OutputError, VidcaptionError
from vidcaption.model.manifest import FILES, REQUIRED, check
from vidcaption.reasons import of_network
from vidcaption.store import cache
from vidcaption.store.progress import Tally
from vidcaption.store.reference import Reference
from vidcaption.types import Watch
from vidcaption.version import __version__

PATIENCE_S = 5.0  # until the Hub must have answered a request
_HINT_PATIENCE_S = 2.0  # the same for a request that only improves an error message
_AGAIN = "run the same command again: complete files are not fetched twice"

# The library would send the Hub the versions of PyTorch and others, and request a list.
constants.HF_HUB_DISABLE_TELEMETRY = True

# The library raises any of the last four if an answer is not from the Hub. ImportError: a proxy
# may need another library.
_FAILURES = (
    httpx2.HTTPError, ImportError, OSError, RuntimeError, ValueError, KeyError, TypeError,
)  # fmt: skip

T = TypeVar("T")


def api() -> HfApi:
    """The Hub's API, with this program's user agent."""
    return HfApi(library_name="vidcaption", library_version=__version__)


def fetch(reference: Reference, watch: Watch | None = None, *, again: bool = False) -> Path:
    """Download the missing files of a model, check them, and record the commit of its revision.

    ``again``: download existing files as well. Raises ModelError, OutputError.
    """
    cache.check_home()
    with explained(reference):
        info = within(
            PATIENCE_S,
            partial(
                api().model_info,
                reference.repo,
                revision=reference.revision,
                files_metadata=True,
                timeout=PATIENCE_S,
            ),
        )
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
        commit = _commit(info)
        if missing := [name for name in REQUIRED if name not in sizes]:
            raise ModelError(
                f"{reference} is not a vidcaption model, as it has no {', '.join(missing)}; choose "
                "one that was made with 'vidcaption train' and 'vidcaption models push'"
            )
        folder = cache.snapshot(reference.repo, commit)
        absent = {
            name: sizes[name]
            for name in FILES
            if name in sizes and (again or not (folder / name).is_file())
        }
        _check_space(reference, sum(absent.values()))
        _download(reference, commit, absent, watch, again)
    # only now: a failed download does not change the commit of a revision
    check(folder)
    cache.record(reference, commit)
    return folder


def within(seconds: float, question: Callable[[], T]) -> T:
    """The answer to ``question``, or TimeoutError after so many seconds.

    The timeouts of the HTTP client apply to each address of a host and not to the lookup, so a
    firewall that drops packets would make it wait many times as long.
    """
    return _begun(question).result(timeout=seconds)


def _begun(work: Callable[[], T]) -> Future[T]:
    """The future result of ``work``, in a thread that does not keep the process from ending."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # it is raised where the result is used
            result.set_exception(error)

    Thread(target=run, daemon=True).start()
    return result


def _download(
    reference: Reference,
    commit: str,
    sizes: dict[str, int],
    watch: Watch | None,
    again: bool,
) -> None:
    """Fetch files in parallel into the cache: these and no others.

    Not by snapshot_download, whose listing of the repo has no time limit.
    """
    tally = Tally()
    if watch and sizes:
        watch(str(reference), sum(sizes.values()), tally.done)
    one = partial(
        hf_hub_download,
        reference.repo,
        revision=commit,
        etag_timeout=PATIENCE_S,
        force_download=again,
        tqdm_class=tally,
        library_name="vidcaption",
        library_version=__version__,
    )
    downloads = [_begun(partial(one, filename=name)) for name in sizes]
    try:
        wait(downloads)
    except KeyboardInterrupt:
        tally.stop()
        raise
    for download in downloads:
        download.result()


def _commit(info: ModelInfo) -> str:
    if commit := Reference(info.id, info.sha).commit:
        return commit
    raise ValueError(f"{info.sha!r} is not a commit")


def _check_space(reference: Reference, needed: int) -> None:
    place = Path(constants.HF_HUB_CACHE).absolute()
    place = next(folder for folder in (place, *place.parents) if folder.is_dir())
    if (free := shutil.disk_usage(place).free) < needed:
        raise OutputError(
            f"{reference} needs {needed / 1e6:.1f} MB and {place} has {free / 1e6:.1f} MB free; "
            "free some space, or set HF_HOME to a folder on another disk"
        )


@contextmanager
def explained(reference: Reference) -> Iterator[None]:
    """Raise ModelError or OutputError for anything that goes wrong on the way to the Hub."""
    try:
        yield
    except VidcaptionError:
        raise
    except _FAILURES as error:
        # the wrapped error is more specific
        wrapped = isinstance(error, LocalEntryNotFoundError | RuntimeError)
        raise _explanation((wrapped and error.__cause__) or error, reference) from error


def _explanation(error: BaseException, reference: Reference) -> VidcaptionError:
    where = constants.ENDPOINT
    match error:
        case GatedRepoError():
            return ModelError(
                f"{reference.repo} is gated; accept its terms at {where}/{reference.repo}, and set "
                "HF_TOKEN to a token of that account"
            )
        case RepositoryNotFoundError():
            return ModelError(
                f"there is no model {reference.repo} on {where}, or it is private"
                f"{_hint(_repos(reference), reference.repo)}; "
                "for a private one set HF_TOKEN to a token that may read it"
            )
        case RevisionNotFoundError():
            return ModelError(
                f"{reference.repo} has no revision {reference.revision}"
                f"{_hint(_revisions(reference), reference.revision or cache.MAIN)}; give a branch, "
                "a tag or a full commit hash"
            )
        case HfHubHTTPError():
            return _refusal(error, reference)
        case OfflineModeIsEnabled():
            return ModelError(
                f"{reference} is on the Hub, and HF_HUB_OFFLINE forbids the network; unset it"
            )
        case TimeoutError() | httpx2.TimeoutException():
            return ModelError(f"{where} did not answer in time{_through_proxy()}; {_AGAIN}")
        case ImportError():
            return ModelError(
                f"the library for SOCKS proxies, such as {_proxy()}, is not installed; run pip "
                "install 'httpx2[socks]', or use another proxy"
            )
        case ValueError() if "proxy URL" in str(error):
            return ModelError(
                f"the proxy {_proxy()} is of an unknown kind; it must begin with http://, https:// "
                "or socks5://"
            )
        case UnicodeEncodeError():
            return ModelError("HF_TOKEN contains invalid characters; correct it or unset it")
        case httpx2.UnsupportedProtocol():
            return ModelError(
                f"HF_ENDPOINT is {where!r}; it must begin with https:// or http://: correct it or "
                "unset it"
            )
        case httpx2.ProxyError():
            return ModelError(
                f"the proxy refuses to connect to {where} ({error}){_through_proxy()}; correct "
                "HTTPS_PROXY, or list the host in NO_PROXY"
            )
        case httpx2.HTTPError() if certificate := _certificate_error(error):
            return ModelError(
                f"the certificate of {where} is not trusted ({certificate.verify_message}); if a "
                "proxy re-signs connections, set SSL_CERT_FILE to its certificate"
            )
        case httpx2.ConnectError():
            return ModelError(
                f"{where} cannot be reached ({of_network(error)}){_through_proxy()}; check the "
                "connection, or use a model that is on this machine"
            )
        case httpx2.HTTPError():
            return ModelError(f"the connection to {where} broke; {_AGAIN}")
        case OSError() if reason := _unreadable_certificates():
            return ModelError(
                f"SSL_CERT_FILE is {os.environ['SSL_CERT_FILE']}, and no certificates can be read "
                f"from it ({reason}); correct it or unset it"
            )
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return OutputError(
                f"the disk of {constants.HF_HUB_CACHE} is full; free some space, or set HF_HOME to "
                "a folder on another disk"
            )
        case OSError(errno=int()):
            return OutputError(
                f"{error.filename or constants.HF_HUB_CACHE} cannot be written ({error.strerror}); "
                "set HF_HOME to a folder that can"
            )
    told = " ".join(str(error).split())
    return ModelError(f"{where} does not answer as the Hub does ({told}); check HF_ENDPOINT")


def _refusal(error: HfHubHTTPError, reference: Reference) -> ModelError:
    status, where = error.response.status_code, constants.ENDPOINT
    told = f" ({error.server_message})" if error.server_message else ""
    if status in (401, 403):
        return ModelError(
            f"{where} refuses access to {reference.repo} with {status}{told}; set HF_TOKEN to a "
            "valid token that may read it, and to push, write it"
        )
    if status == 429:
        limit = parse_ratelimit_headers(error.response.headers)
        wait = f"in {limit.reset_in_seconds} s" if limit else "in a few minutes"
        return ModelError(
            f"{where} limits the rate of requests (429); try again {wait}, and set HF_TOKEN "
            "for a higher limit"
        )
    if status >= 500:
        return ModelError(f"{where} has a problem ({status}){told}; try again later")
    return ModelError(f"{where} refuses the request with {status}{told}; check HF_ENDPOINT")


def _certificate_error(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _unreadable_certificates() -> str | None:
    """What is wrong with the file of certificates, if anything."""
    try:
        if file := os.environ.get("SSL_CERT_FILE"):
            ssl.create_default_context(cafile=file)
    except ssl.SSLError:
        return "it contains none"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def _proxy() -> str:
    proxies = {url for scheme, url in getproxies().items() if scheme in ("http", "https", "all")}
    return " or ".join(sorted(proxies))


def _through_proxy() -> str:
    return f", through the proxy {_proxy()}" if _proxy() else ""


def _hint(names: Callable[[], Iterable[str]], wanted: str) -> str:
    """Names similar to the wanted one, if the Hub returns any in time."""
    near: list[str] = []
    with suppress(*_FAILURES):
        near = difflib.get_close_matches(wanted, within(_HINT_PATIENCE_S, lambda: list(names())))
    return f" (there is {' and '.join(near)})" if near else ""


def _repos(reference: Reference) -> Callable[[], Iterator[str]]:
    """Models of the same owner and models of the same name, as either may be misspelled."""
    owner, name = reference.repo.split("/")

    def ids() -> Iterator[str]:
        for model in itertools.chain(
            api().list_models(author=owner, limit=200), api().list_models(search=name, limit=50)
        ):
            yield model.id

    return ids


def _revisions(reference: Reference) -> Callable[[], Iterator[str]]:
    def names() -> Iterator[str]:
        refs = api().list_repo_refs(reference.repo)
        for ref in (*refs.branches, *refs.tags):
            yield ref.name

    return names

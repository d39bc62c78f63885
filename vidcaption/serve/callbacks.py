"""Tells clients' addresses that a job is over, without being led to places that are not theirs."""

import ipaddress
import json
import logging
import socket
from collections.abc import Callable, Iterable
from threading import Event, Thread
from typing import Any, Self
from urllib.parse import urlsplit

import httpcore2

from vidcaption.errors import OutputError, UsageError
from vidcaption.reasons import ADDRESS, of_network
from vidcaption.serve.jobs import Job, Jobs
from vidcaption.version import __version__

logger = logging.getLogger(__name__)

POLL_S = 5.0  # between two looks for what is due
TIMEOUT_S = 10.0  # for each step of a request
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Refused(Exception):
    """An address that a callback may not go to."""


def check_callback(address: str, *, private: bool) -> None:
    """Raises UsageError for a callback that can be refused without looking its host up."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError(f"callback is {address!r}, which is no address; {ADDRESS}") from error
    if parts.scheme not in ("http", "https") or not host or parts.username or not address.isascii():
        raise UsageError(
            f"callback is {address!r}; give an address such as https://example.com/done, without a "
            "user name"
        )
    if not private and (host == "localhost" or _is_private_literal(host)):
        raise UsageError(
            f"callback is {address!r}, a private address; a server allows these with "
            "--private-callbacks"
        )


def is_public(address: str) -> bool:
    """Whether an IP address, or the one that it stands for, can be reached from everywhere."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


class Callbacks:
    """A context manager: inside, a thread makes the callbacks that are due.

    ``describe``: what is sent of a job. ``private``: whether any address is allowed.
    """

    def __init__(
        self, jobs: Jobs, describe: Callable[[Job], dict[str, Any]], *, private: bool
    ) -> None:
        self._jobs, self._describe = jobs, describe
        self._backend = httpcore2.SyncBackend() if private else _PublicBackend()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="callbacks")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for job in self._jobs.to_call():
                    if not self._stop.is_set():
                        self._jobs.called(job, self._call(job))
            except OutputError as error:
                logger.error(str(error))
            self._stop.wait(POLL_S)

    def _call(self, job: Job) -> str | None:
        """Why a job's address did not take what it was sent; None if it did."""
        assert job.callback is not None, "those without are not due"
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT_S)
        try:
            with (
                httpcore2.ConnectionPool(network_backend=self._backend) as pool,
                pool.stream(
                    "POST",
                    job.callback,
                    headers={
                        "Host": urlsplit(job.callback).netloc,
                        "Content-Type": "application/json",
                        "User-Agent": f"vidcaption/{__version__}",
                    },
                    content=json.dumps(self._describe(job)).encode(),
                    extensions={"timeout": timeouts},
                ) as response,
            ):
                if 200 <= response.status < 300:
                    return None
                return f"it answered {response.status}; redirections are not followed"
        except Refused as error:
            return str(error)
        except (OSError, ValueError, httpcore2.NetworkError, httpcore2.TimeoutException) as error:
            return f"it cannot be reached: {of_network(error)}"
        except httpcore2.ProtocolError:
            return "it does not speak HTTP"


class _PublicBackend(httpcore2.NetworkBackend):
    """Connects to public addresses only, and to the very address that was checked: a name may
    resolve to another one a moment later."""

    def __init__(self) -> None:
        self._plain = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(each[4][0]) for each in found]
        if not all(map(is_public, addresses)):
            raise Refused(
                f"{host} is at a private address; a server allows these with --private-callbacks"
            )
        return self._plain.connect_tcp(addresses[0], port, timeout, local_address, socket_options)


def _is_private_literal(host: str) -> bool:
    try:
        return not is_public(host)
    except ValueError:
        return False

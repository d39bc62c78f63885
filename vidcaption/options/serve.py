"""Options of the server."""

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from socket import getaddrinfo

from vidcaption.errors import UsageError
from vidcaption.options.base import Options, option


def check_host(host: str) -> None:
    """Raises UsageError if there is no host of that name."""
    try:
        getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:  # the latter for a name that no host can have
        raise UsageError(
            f"--host is {host!r}, and there is no host of that name; give an address of this "
            "machine, such as 127.0.0.1"
        ) from error


@dataclass(frozen=True, kw_only=True)
class ServeOptions(Options):
    """Server."""

    host: str = option(
        "127.0.0.1", "Address to listen on; one that other machines can reach needs --token."
    )
    port: int = option(8765, "Port to listen on; 0: any free port.", at_least=0, at_most=65_535)
    token: str | None = option(
        None,
        "Secret that clients have to send, at least 16 characters; better set in the "
        "environment, as VIDCAPTION_SERVE_TOKEN.",
    )
    allow_host: str | None = option(
        None,
        "Also answer to these host names, as behind a proxy: a.example or a.example,b.example.",
    )
    data: Path | None = option(
        None, "Folder for jobs and uploads.  [default: in the user's data folder]"
    )
    index: Path | None = option(
        None, "The index to search and extend.  [default: in the folder of --data]"
    )
    queue: int = option(100, "Maximum number of waiting jobs.", at_least=1, at_most=100_000)
    uploads: int = option(64, "Maximum number of simultaneous uploads.", at_least=1, at_most=1000)
    upload_mb: float = option(2000.0, "Maximum size of an upload, in MB.", above=0)
    upload_timeout_s: float = option(
        3600.0, "Abort uploads after this many seconds, or 30 without data.", above=0
    )
    storage_mb: float = option(20_000.0, "Maximum size of all stored uploads, in MB.", above=0)
    keep_days: float = option(7.0, "Delete jobs this many days after their end.", above=0)
    private_callbacks: bool = option(
        False, "Allow callbacks to private addresses, such as this machine's."
    )

    @property
    def is_local(self) -> bool:
        """Whether it listens to this machine alone."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.token is None and not self.is_local:
            check_host(self.host)
            raise UsageError(
                f"--host is {self.host!r}, which other machines can reach; give --token, too, or "
                "listen on 127.0.0.1"
            )
        if self.token is not None and not (
            len(self.token) >= 16 and self.token.isascii() and self.token.isprintable()
        ):
            raise UsageError(
                "--token must have at least 16 characters of ASCII; make one with "
                "openssl rand -hex 16"
            )

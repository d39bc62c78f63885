"""The socket of a server: what is wrong with its address is said before a model is loaded."""

import errno
import socket

from vidcaption.errors import SetupError
from vidcaption.options.serve import ServeOptions, check_host
from vidcaption.reasons import of_system

_REASONS = {
    errno.EADDRINUSE: ("the port is in use", "choose another, or stop what uses it"),
    errno.EADDRNOTAVAIL: ("this machine has no such address", "give one that it has"),
    errno.EACCES: ("this user may not use the port", "choose one above 1023"),
}


def listen(options: ServeOptions) -> socket.socket:
    """Raises UsageError if there is no such host, SetupError."""
    check_host(options.host)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=512)
    except OSError as error:
        reason, advice = _REASONS.get(error.errno or 0, (of_system(error), "choose another port"))
        raise SetupError(
            f"--host {options.host} --port {options.port} cannot be listened on: {reason}; {advice}"
        ) from error


def address_of(listening: socket.socket) -> str:
    """Where a browser on this machine finds the server."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

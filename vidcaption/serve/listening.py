"""The socket of a server: what is wrong with its address is said before a model is loaded."""

import os
import socket

from vidcaption.errors import SetupError
from vidcaption.options.serve import ServeOptions


def listen(options: ServeOptions) -> socket.socket:
    """Raises SetupError."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family, backlog=512)
    except OSError as error:
        number = error.errno or 0  # below 0 where the name cannot be looked up
        reason = (os.strerror(number) if number > 0 else error.strerror or str(error)).lower()
        raise SetupError(
            f"--host {options.host} --port {options.port} cannot be listened on: {reason}; choose "
            "another port, or stop what uses it"
        ) from error


def address_of(listening: socket.socket) -> str:
    """Where a browser on this machine finds the server."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

"""Who may talk to the server: refuses other sites' pages, foreign names and missing tokens."""

import hashlib
import hmac
import ipaddress
import logging
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

COOKIE = "vidcaption"
_OPEN = ("/login", "/static/", "/v1/health")  # paths for which no token is needed
# Nothing from elsewhere is run, shown or sent to; no other site may frame or read what we serve.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; media-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with none, browsers would not say where a form comes from
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def problem(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    """The answer to a request that is refused: one sentence, as JSON."""
    return JSONResponse({"error": sentence}, status, headers)


def session(token: str) -> str:
    """What the cookie of a browser holds that knows the token."""
    return hmac.new(token.encode(), b"vidcaption session", hashlib.sha256).hexdigest()


def is_same(given: str, wanted: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode(), wanted.encode())


class Guard:
    """Stands before an application.

    ``local``: it listens to this machine alone. ``names``: further hosts that it answers to.
    """

    def __init__(
        self, app: ASGIApp, *, local: bool, names: Iterable[str] = (), token: str | None = None
    ) -> None:
        self._app, self._local, self._token = app, local, token
        self._names = {"localhost", *(name.casefold() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(Request(scope))
        try:
            await (refusal or self._app)(scope, receive, protected)
        except Exception as error:  # Starlette has sent a response
            logger.error(f"{scope['path']}: unexpected {type(error).__name__}: {error}")

    def _refusal(self, request: Request) -> Response | None:
        headers = request.headers
        host = headers.get("host", "")
        if not self._answers_to(host):
            return problem(
                421, f"this server does not answer to the host {host!r}; --allow-host names others"
            )
        if not _is_own(headers, host, safe=request.method in ("GET", "HEAD")):
            return problem(403, "pages of other sites may not use this server")
        if self._token is None or request.url.path.startswith(_OPEN) or self._knows_token(headers):
            return None
        if request.method == "GET" and "text/html" in headers.get("accept", ""):
            return RedirectResponse("/login", 303)
        return problem(
            401,
            "this server needs a token; send it as Authorization: Bearer TOKEN",
            {"WWW-Authenticate": "Bearer"},
        )

    def _answers_to(self, host: str) -> bool:
        """Names can be made to stand for this machine by anyone's DNS, but addresses cannot."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").casefold()
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback or not self._local
        except ValueError:
            return False

    def _knows_token(self, headers: Headers) -> bool:
        assert self._token is not None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.casefold() == "bearer":
            return is_same(given.strip(), self._token)
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and is_same(cookie.value, session(self._token))


def _is_own(headers: Headers, host: str, *, safe: bool) -> bool:
    """Whether a request comes from our own page or from no page: browsers tell both.

    Another site may link to our pages, and no more.
    """
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.casefold() != host.casefold():
        return False
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return True
    return (
        safe
        and headers.get("sec-fetch-mode") == "navigate"
        and (headers.get("sec-fetch-dest") == "document")
    )

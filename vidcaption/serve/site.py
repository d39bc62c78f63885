"""The pages that people see."""

from urllib.parse import parse_qs

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from vidcaption.options.output import OutputOptions
from vidcaption.serve.guard import COOKIE, is_same, session
from vidcaption.serve.openapi import document
from vidcaption.serve.state import State
from vidcaption.version import __version__

_MOST_FORM_BYTES = 4096
# The page of a report brings a policy of its own, stricter in all but its inline style and script.
_REPORT_POLICY = {
    "Content-Security-Policy": "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}


async def home(request: Request) -> Response:
    """Drop videos, follow their jobs, search."""
    state = _state(request)
    return _page(
        "home.html",
        model=state.worker.captioner.model.name,
        version=__version__,
        folders=bool(state.library.folders),
        formats=OutputOptions.known_formats(),
        upload_mb=f"{state.options.upload_mb:g}",
    )


async def player(request: Request) -> Response:
    """The player of a job that is done; until it is drawn, how far that is."""
    state = _state(request)
    job = state.jobs.get(request.path_params["id"])
    if job is None or job.status != "done":
        return RedirectResponse("/", 303)
    page = state.place.page(job.id)
    if page.is_file():
        return FileResponse(page, media_type="text/html", headers=_REPORT_POLICY)
    drawing = state.player.draw(job)
    error = drawing.future.exception() if drawing.future.done() else None
    if error is not None:
        sentence = str(error).replace(str(job.path), job.name)
        return _page("wait.html", 500, name=job.name, error=sentence, done=0, count=0)
    return _page(
        "wait.html", 202, name=job.name, error=None, done=drawing.captions, count=job.captions or 0
    )


async def login_form(request: Request) -> Response:
    """Where a browser is asked for the token."""
    return _page("login.html", wrong=False)


async def login(request: Request) -> Response:
    """Give a browser that sends the token a cookie that stands for it."""
    token, form = _state(request).options.token, b""
    async for chunk in request.stream():
        form += chunk
        if len(form) > _MOST_FORM_BYTES:
            break
    given = parse_qs(form.decode("utf-8", "replace")).get("token", [""])[0]
    if token is None or not is_same(given, token):
        return _page("login.html", 401, wrong=True)
    response = RedirectResponse("/", 303)
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, session(token), httponly=True, samesite="strict", secure=secure)
    return response


async def openapi(request: Request) -> Response:
    """The description of the API."""
    return JSONResponse(document())


ROUTES = [
    Route("/", home),
    Route("/captions/{id}", player),
    Route("/login", login_form),
    Route("/login", login, methods=["POST"]),
    Route("/openapi.json", openapi),
    Mount("/static", StaticFiles(packages=[("vidcaption.serve", "static")])),
]


def _state(request: Request) -> State:
    state: State = request.app.state.shared
    return state


def _page(template: str, status: int = 200, **values: object) -> Response:
    return HTMLResponse(_TEMPLATES.get_template(template).render(values), status)


_TEMPLATES = Environment(
    loader=PackageLoader("vidcaption.serve"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

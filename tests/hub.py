"""A small server that speaks as the Hugging Face Hub does to ``huggingface_hub``.

Repositories live in memory. Files of LFS, those with a suffix in ``LFS``, are served by redirection
to a second server, as the Hub does with its CDN; the others by the Hub itself. Every request is
recorded, and faults can be set: see ``Hub``.
"""

import base64
import hashlib
import json
import re
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LFS = (".safetensors",)
TOKEN = "hf_right"


@dataclass
class Repo:
    """``commits``: files by commit, ``refs``: commit by branch. ``tags`` are branches by name."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: bool = False

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Add a commit with exactly these files, and return its hash."""
        text = repr((len(self.commits), sorted((n, sha256(data)) for n, data in files.items())))
        commit = hashlib.sha1(text.encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.refs[branch] = commit
        return commit


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    cdn: bool


@dataclass
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    headers["Content-Type"] = "application/json"
    return Answer(status, json.dumps(value).encode(), headers)


def refusal(status: int, message: str, code: str = "", **headers: str) -> Answer:
    named = {"X-Error-Code": code} if code else {}
    return as_json({"error": message}, status, **named, **{"X-Error-Message": message}, **headers)


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong, but for a client that has gone away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Hub:
    """The server and its CDN, on free ports of 127.0.0.1.

    ``requests``: what was asked, in order. ``fault``: is asked first, and its answer, if there is
    one, takes the place of the true one. ``cut``: so many bytes are sent of the next file from the
    CDN before the connection breaks.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.fault: Callable[[Request], Answer | None] | None = None
        self.cut: int | None = None
        self._servers = [self._serve(cdn) for cdn in (False, True)]
        self.url, self.cdn_url = (f"http://127.0.0.1:{s.server_port}" for s in self._servers)

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def reset(self) -> None:
        self.repos.clear()
        self.objects.clear()
        self.requests.clear()
        self.fault = self.cut = None

    def asked(self) -> list[str]:
        """``METHOD path`` of each request so far."""
        return [f"{request.method} {request.path}" for request in self.requests]

    def answer(self, request: Request, body: bytes) -> Answer:
        self.requests.append(request)
        if self.fault and (fault := self.fault(request)):
            return fault
        path = unquote(urlsplit(request.path).path)
        if request.cdn:
            return self._object(request, path, body)
        for pattern, method in _ROUTES:
            if match := re.fullmatch(pattern, f"{request.method} {path}"):
                return method(self, request, body, **match.groupdict())
        return refusal(404, f"no such page: {path}")

    def _serve(self, cdn: bool) -> ThreadingHTTPServer:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.read_body()
                url = urlsplit(self.path)  # absolute when this server is used as a proxy
                path = url.path + (f"?{url.query}" if url.query else "")
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, path, headers, cdn)
                answer = hub.answer(request, body)
                self.send_response(answer.status)
                size = {"Content-Length": str(len(answer.body))}
                for name, value in (size | answer.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "HEAD":
                    return
                if cdn and hub.cut is not None and self.command == "GET":
                    self.wfile.write(answer.body[: hub.cut])
                    hub.cut, self.close_connection = None, True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.wfile.write(answer.body)

            def read_body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                chunks = []
                while size := int(self.rfile.readline(), 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)

            do_GET = do_HEAD = do_POST = do_PUT = handle_any

            def log_message(self, *args: object) -> None:
                pass

        server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    def _readable(self, request: Request, repo: str) -> Answer | None:
        """A refusal, if the one who asks may not read ``repo``."""
        authorization = request.headers.get("authorization")
        if authorization not in (None, f"Bearer {TOKEN}"):
            return refusal(401, "Invalid credentials in Authorization header")
        found = self.repos.get(repo)
        if found is None or (found.private and not authorization):
            # the Hub does not tell a stranger whether a repo is there
            return refusal(404 if authorization else 401, "Repository not found", "RepoNotFound")
        return None

    def _files(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        found = self.repos[repo]
        commit = found.refs.get(revision, revision)
        return (commit, found.commits[commit]) if commit in found.commits else None

    def _info(
        self, request: Request, body: bytes, repo: str, revision: str | None = None
    ) -> Answer:
        if refused := self._readable(request, repo):
            return refused
        if (found := self._files(repo, revision or "main")) is None:
            return refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        commit, files = found
        siblings: list[dict[str, Any]] = [{"rfilename": name} for name in files]
        if "blobs" in parse_qs(urlsplit(request.path).query):
            for row, (name, data) in zip(siblings, files.items(), strict=True):
                row["size"] = len(data)
                if name.endswith(LFS):
                    row["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 130}
        return as_json({"_id": "1", "id": repo, "sha": commit, "siblings": siblings})

    def _refs(self, request: Request, body: bytes, repo: str) -> Answer:
        rows = [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
            for name, commit in self.repos[repo].refs.items()
        ]
        return as_json({"branches": rows, "tags": [], "converts": []})

    def _list(self, request: Request, body: bytes) -> Answer:
        query = parse_qs(urlsplit(request.path).query)
        author, search = query.get("author", [""])[0], query.get("search", [""])[0]
        ids = [
            repo
            for repo, found in self.repos.items()
            if search in repo and author in ("", repo.split("/")[0]) and not found.private
        ]
        return as_json([{"_id": "1", "id": repo} for repo in ids])

    def _resolve(
        self, request: Request, body: bytes, repo: str, revision: str, name: str
    ) -> Answer:
        if refused := self._readable(request, repo):
            return refused
        if self.repos[repo].gated and not request.headers.get("authorization"):
            return refusal(401, f"Access to model {repo} is restricted", "GatedRepo")
        if (found := self._files(repo, revision)) is None:
            return refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        commit, files = found
        if name not in files:
            return refusal(404, "Entry not found", "EntryNotFound", **{"X-Repo-Commit": commit})
        data, headers = files[name], {"X-Repo-Commit": commit}
        if name.endswith(LFS):
            self.objects[sha256(data)] = data
            return Answer(
                302,
                headers=headers
                | {
                    "Location": f"{self.cdn_url}/{sha256(data)}",
                    "X-Linked-Etag": f'"{sha256(data)}"',
                    "X-Linked-Size": str(len(data)),
                },
            )
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        return Answer(200, data, headers | {"ETag": f'"{blob}"'})

    def _object(self, request: Request, path: str, body: bytes) -> Answer:
        oid = path.removeprefix("/")
        if request.method == "PUT":
            self.objects[oid] = body
            return Answer(200)
        data = self.objects[oid]
        if match := re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", "")):
            start = int(match[1])
            area = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return Answer(206, data[start:], {"Content-Range": area})
        return Answer(200, data, {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"})

    def _writable(self, request: Request) -> Answer | None:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return refusal(401, "Invalid username or password.")
        return None

    def _create(self, request: Request, body: bytes) -> Answer:
        if refused := self._writable(request):
            return refused
        asked = json.loads(body)
        repo = f"{asked['organization']}/{asked['name']}"
        answer = {"url": f"{self.url}/{repo}", "name": repo}
        if repo in self.repos:
            return as_json(answer | {"error": "You already created this model repo"}, 409)
        self.repos[repo] = Repo()
        self.repos[repo].commit({".gitattributes": b""})
        return as_json(answer)

    def _yaml(self, request: Request, body: bytes) -> Answer:
        content = json.loads(body)["content"]
        good = re.match(r"---\n.+?\n---\n", content, re.DOTALL)
        return as_json({"errors": [] if good else [{"message": "no metadata"}], "warnings": []})

    def _preupload(self, request: Request, body: bytes, repo: str, revision: str) -> Answer:
        if refused := self._readable(request, repo) or self._writable(request):
            return refused
        rows = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LFS) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        return as_json({"files": rows})

    def _batch(self, request: Request, body: bytes, repo: str) -> Answer:
        rows = []
        for asked in json.loads(body)["objects"]:
            upload = {"upload": {"href": f"{self.cdn_url}/{asked['oid']}"}}
            there = asked["oid"] in self.objects
            rows.append(asked if there else asked | {"actions": upload})
        return as_json({"transfer": "basic", "objects": rows})

    def _commit(self, request: Request, body: bytes, repo: str, revision: str) -> Answer:
        if refused := self._writable(request):
            return refused
        found = self.repos[repo]
        files = dict(found.commits[found.refs[revision]])
        for line in body.splitlines():
            row = json.loads(line)
            value = row["value"]
            if row["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif row["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
        commit = found.commit(files, revision)
        return as_json({"commitOid": commit, "commitUrl": f"{self.url}/{repo}/commit/{commit}"})


_REPO = r"(?P<repo>[^/]+/[^/]+)"
_ROUTES: list[tuple[str, Callable[..., Answer]]] = [
    (r"GET /api/models", Hub._list),
    (rf"GET /api/models/{_REPO}/revision/(?P<revision>.+)", Hub._info),
    (rf"GET /api/models/{_REPO}/refs", Hub._refs),
    (rf"GET /api/models/{_REPO}", Hub._info),
    (rf"(?:GET|HEAD) /{_REPO}/resolve/(?P<revision>[^/]+)/(?P<name>.+)", Hub._resolve),
    (r"POST /api/repos/create", Hub._create),
    (r"POST /api/validate-yaml", Hub._yaml),
    (rf"POST /api/models/{_REPO}/preupload/(?P<revision>.+)", Hub._preupload),
    (rf"POST /{_REPO}\.git/info/lfs/objects/batch", Hub._batch),
    (rf"POST /api/models/{_REPO}/commit/(?P<revision>.+)", Hub._commit),
]

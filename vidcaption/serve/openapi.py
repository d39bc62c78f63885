"""The API as OpenAPI: made of the same options that everything else is made of."""

import json
from dataclasses import Field, fields
from importlib.resources import files
from typing import Any, get_args

from vidcaption.options.base import choices_of, flag_of, is_seconds, plain
from vidcaption.options.captioning import CaptionOptions
from vidcaption.options.output import OutputOptions
from vidcaption.version import __version__

_TEXT = {"type": "string"}
_NUMBER = {"type": "number"}
_TIME = {"type": ["string", "null"], "format": "date-time"}
_OR_NONE = {"type": ["string", "null"]}

_JOB = {
    "type": "object",
    "required": ["id", "name", "status", "captions", "created", "links"],
    "properties": {
        "id": _TEXT,
        "name": {**_TEXT, "description": "What the client calls the video."},
        "status": {"enum": ["queued", "running", "done", "failed", "cancelled"]},
        "position": {
            "type": ["integer", "null"],
            "description": "Jobs that come before it, while it is queued.",
        },
        "progress": {
            "type": ["number", "null"],
            "minimum": 0,
            "maximum": 1,
            "description": "Share of the video that is captioned; null where that is not known.",
        },
        "captions": {"type": "integer", "description": "How many there are by now."},
        "latest": {**_OR_NONE, "description": "The last caption, while it is running."},
        "duration": {"type": ["number", "null"], "description": "Of the video, in seconds."},
        "created": {"type": "string", "format": "date-time"},
        "started": _TIME,
        "finished": _TIME,
        "error": {**_OR_NONE, "description": "Why it failed: one sentence."},
        "callback_error": {**_OR_NONE, "description": "Why the callback could not be made."},
        "links": {"type": "object", "description": "Addresses of what belongs to it."},
    },
}
_MOMENT = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "page": {**_TEXT, "description": "Where to see it."},
        "start": _NUMBER,
        "end": _NUMBER,
        "text": _TEXT,
        "score": _NUMBER,
        "confidence": {"type": ["number", "null"]},
    },
}


def document() -> dict[str, Any]:
    """The description that is served at ``/openapi.json``."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "vidcaption",
            "version": __version__,
            "description": "Captions videos. With a token, send Authorization: Bearer TOKEN.",
        },
        "paths": _paths(),
        "components": {
            "schemas": {
                "Job": _JOB,
                "Moment": _MOMENT,
                "Error": _object(error=_TEXT),
                "Captions": _captions(),
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _paths() -> dict[str, Any]:
    job, jobs = _answer("The job.", _ref("Job")), _object(jobs=_list("Job"))
    captions = {
        "description": "The captions, in the format asked for.",
        "content": {"application/json": {"schema": _ref("Captions")}, "text/plain": {}},
    }
    video = {"description": "The video, or a part of it.", "content": {"video/*": {}}}
    stream = {"description": "Server-sent events.", "content": {"text/event-stream": {}}}
    id = _parameter("id", "Of the job.", _TEXT, place="path")
    formats = {"enum": list(OutputOptions.known_formats())}
    return {
        "/v1/captions": {
            "post": {
                "summary": "Caption a video: the body, or a file in a folder of the server.",
                "parameters": [
                    _parameter("name", "What to call the video.", _TEXT),
                    _parameter("file", "Id of a file, in place of a body.", _TEXT),
                    _parameter("callback", "The job is sent here when it is over.", _TEXT),
                    _parameter(
                        "wait",
                        "Wait so many seconds for the captions, which are the answer then.",
                        {"type": "number", "minimum": 0, "maximum": 60, "default": 0},
                    ),
                    _parameter("format", "Of that answer.", {**formats, "default": "json"}),
                    *map(_option, fields(CaptionOptions)),
                ],
                "requestBody": {"content": {"application/octet-stream": {}}},
                "responses": {
                    "200": captions,
                    "202": _answer("The job, which goes on.", _ref("Job")),
                    "422": _answer("The job, which has failed meanwhile.", _ref("Job")),
                    **_errors(400, 404, 408, 409, 413, 503, 507),
                },
            },
            "get": {
                "summary": "The newest 200 jobs, the last one first.",
                "responses": {"200": _answer("The jobs.", jobs), **_errors()},
            },
        },
        "/v1/captions/{id}": {
            "parameters": [id],
            "get": {"summary": "A job.", "responses": {"200": job, **_errors(404)}},
            "delete": {
                "summary": "Delete a job, its video and its captions.",
                "responses": {"204": {"description": "It is gone."}, **_errors(404)},
            },
        },
        "/v1/captions/{id}/cancel": {
            "parameters": [id],
            "post": {
                "summary": "End a job that is queued or running.",
                "responses": {"200": job, **_errors(404, 409)},
            },
        },
        "/v1/captions/{id}/events": {
            "parameters": [id],
            "get": {
                "summary": "Each caption as it comes (event caption) and each change (event job), "
                "until the job is over.",
                "responses": {"200": stream, **_errors(404)},
            },
        },
        "/v1/captions/{id}/result.{format}": {
            "parameters": [id, _parameter("format", "Of the captions.", formats, place="path")],
            "get": {
                "summary": "The captions of a job that is done.",
                "responses": {"200": captions, **_errors(400, 404, 409, 410)},
            },
        },
        "/v1/captions/{id}/video": {
            "parameters": [id],
            "get": {
                "summary": "The video of a job.",
                "responses": {"200": video, "206": video, **_errors(404)},
            },
        },
        "/v1/events": {
            "get": {
                "summary": "Changes of all jobs: each as it is at first (event job, then all), and "
                "whenever it changes (job) or is deleted (gone).",
                "responses": {"200": stream, **_errors()},
            }
        },
        "/v1/files": {
            "get": {
                "summary": "Videos and images in the folders of the server.",
                "parameters": [_parameter("q", "Words that names must have.", _TEXT)],
                "responses": {
                    "200": _answer(
                        "At most 1000 of them.",
                        _object(
                            files={"type": "array", "items": _object(id=_TEXT, name=_TEXT)},
                            left_out={"type": "integer"},
                        ),
                    ),
                    **_errors(),
                },
            }
        },
        "/v1/files/{id}": {
            "parameters": [_parameter("id", "Of the file.", _TEXT, place="path")],
            "get": {"summary": "One of them.", "responses": {"200": video, **_errors(404)}},
        },
        "/v1/search": {
            "get": {
                "summary": "Moments in all captioned videos, the best first.",
                "parameters": [
                    _parameter("q", 'Words, "a phrase", -word to leave out.', _TEXT, required=True),
                    _parameter(
                        "limit",
                        "Moments at most.",
                        {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 20},
                    ),
                ],
                "responses": {
                    "200": _answer(
                        "The moments; away: more, in files that are not there now.",
                        _object(moments=_list("Moment"), away={"type": "integer"}),
                    ),
                    **_errors(400),
                },
            }
        },
        "/v1/health": {
            "get": {
                "summary": "Whether the server works, and how much there is to do.",
                "security": [],
                "responses": {
                    "200": _answer(
                        "It works.",
                        _object(
                            version=_TEXT,
                            model=_TEXT,
                            queued={"type": "integer"},
                            running={"type": "boolean"},
                            uploading={"type": "integer"},
                        ),
                    )
                },
            }
        },
    }


def _option(f: Field[Any]) -> dict[str, Any]:
    kinds = {f.type, *get_args(f.type)}
    schema: dict[str, Any]
    if choices := choices_of(f):
        schema = {"enum": list(choices)}
    elif f.type is bool:
        schema = {"type": "boolean"}
    else:
        schema = {"type": "integer" if int in kinds else "number"}
        bounds = {"at_least": "minimum", "at_most": "maximum", "above": "exclusiveMinimum"}
        schema |= {
            name: f.metadata[key] for key, name in bounds.items() if f.metadata[key] is not None
        }
        if f.metadata["whole"]:
            schema = {"anyOf": [schema, {"const": "whole"}]}
        elif is_seconds(f.name):
            schema = {"anyOf": [schema, {"type": "string", "examples": ["1:05"]}]}
    if f.default is not None:
        schema["default"] = plain(f.default)
    return _parameter(flag_of(f).removeprefix("--"), f.metadata["help"], schema)


def _parameter(
    name: str,
    description: str,
    schema: dict[str, Any],
    *,
    place: str = "query",
    required: bool = False,
) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": required or place == "path",
        "description": description,
        "schema": schema,
    }


def _captions() -> Any:
    """That of ``run --json``."""
    schema = json.loads(files("vidcaption.output").joinpath("schema.json").read_text("utf-8"))
    return {name: value for name, value in schema.items() if name != "$schema"}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": _ref(name)}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _errors(*statuses: int) -> dict[str, Any]:
    reasons = {
        400: "The request is wrong.",
        401: "The token is missing or wrong.",
        403: "It comes from a page of another site.",
        404: "There is no such thing.",
        408: "The upload took too long.",
        409: "The job is not in such a state.",
        410: "The captions were removed.",
        413: "The upload is too large.",
        503: "Too many jobs or uploads: see Retry-After.",
        507: "There is no room.",
    }
    return {
        str(status): _answer(reasons[status], _ref("Error"))
        for status in sorted({401, 403, *statuses})
    }

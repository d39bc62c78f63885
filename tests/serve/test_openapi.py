"""The description of the API says what the API does."""

from dataclasses import fields
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from servers import Served, send, until_over
from starlette.testclient import TestClient

from vidcaption.options.base import flag_of
from vidcaption.options.captioning import CaptionOptions
from vidcaption.serve import api
from vidcaption.serve.openapi import document

openapi = pytest.importorskip("openapi_spec_validator")


def test_it_is_openapi(client: TestClient) -> None:
    served = client.get("/openapi.json").json()
    assert served == document()
    openapi.validate(served)


def test_every_route_is_described() -> None:
    routes = {
        (route.path, method.lower())
        for route in api.ROUTES
        for method in (route.methods or ()) - {"HEAD"}
    }
    described = {
        (path, method)
        for path, item in document()["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert described == routes


def test_every_option_is_a_parameter() -> None:
    parameters = {
        each["name"]: each for each in document()["paths"]["/v1/captions"]["post"]["parameters"]
    }
    assert set(parameters) == {flag_of(f).removeprefix("--") for f in fields(CaptionOptions)} | set(
        api._OWN
    )
    assert parameters["beam"]["schema"] == {
        "type": "integer", "minimum": 1, "maximum": 50, "default": 3
    }  # fmt: skip
    assert parameters["segment"]["schema"]["enum"] == ["auto", "fixed", "scenes"]


def test_answers_are_as_described(served: Served, clip: Path) -> None:
    schemas = document()["components"]["schemas"]

    def check(name: str, value: object) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        Draft202012Validator(schema).validate(value)

    with served.started() as client:
        job = send(client, clip.read_bytes())
        check("Job", job)
        done = until_over(client, job)
        check("Job", done)
        check("Captions", client.get(done["links"]["results"]["json"]).json())
        check("Job", until_over(client, send(client, b"no video")))
        check("Error", client.get("/v1/captions/x").json())
        word = client.get(done["links"]["results"]["txt"]).text.split()[0]
        for moment in client.get("/v1/search", params={"q": word}).json()["moments"]:
            check("Moment", moment)
        assert set(done) == set(schemas["Job"]["properties"])

"""What changed between two OpenAPI documents is said in words, and judged for clients."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.diff import compare, matches, verdict

AGREED = Path(__file__).parent.parent.parent / "contracts" / "openapi.json"
Edit = Callable[[dict[str, Any]], object]


def document() -> dict[str, Any]:
    """A small API with one of everything."""
    thing = {
        "type": "object",
        "required": ["id", "state"],
        "properties": {
            "id": {"type": "integer"},
            "state": {"enum": ["open", "closed"]},
            "price": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}},
        },
    }
    order = {
        "type": "object",
        "required": ["size"],
        "properties": {
            "size": {"type": "integer", "minimum": 1, "maximum": 9},
            "side": {"enum": ["buy", "sell"]},
        },
        "additionalProperties": False,
    }
    body = {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}
    answer = {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Things", "version": "1"},
        "paths": {
            "/things": {
                "post": {
                    "summary": "Make a thing",
                    "security": [{"Key": []}],
                    "parameters": [
                        {"in": "query", "name": "dry", "schema": {"type": "boolean"}},
                    ],
                    "requestBody": {"content": body},
                    "responses": {
                        "201": {
                            "description": "made",
                            "content": answer,
                            "headers": {"Location": {"schema": {"type": "string"}}},
                        },
                        "422": {"description": "wrong"},
                    },
                }
            },
            "/things/{id}": {"get": {"responses": {"200": {"content": answer}}}},
        },
        "components": {
            "schemas": {"Thing": thing, "Order": order},
            "securitySchemes": {"Key": {"type": "apiKey", "in": "header", "name": "X-Key"}},
        },
    }


def changed(edit: Edit) -> tuple[dict[str, Any], dict[str, Any]]:
    old = document()
    new = copy.deepcopy(old)
    edit(new)
    return old, new


def post(doc: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = doc["paths"]["/things"]["post"]
    return found


def schema(doc: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = doc["components"]["schemas"][name]
    return found


def field(doc: dict[str, Any], name: str, key: str) -> dict[str, Any]:
    found: dict[str, Any] = schema(doc, name)["properties"][key]
    return found


BREAKING: dict[str, Edit] = {
    "the operation is gone": lambda d: d["paths"].pop("/things/{id}"),
    "the field 'state' is gone": lambda d: schema(d, "Thing")["properties"].pop("state"),
    "id was integer and is now string": lambda d: field(d, "Thing", "id").update(type="string"),
    "id was integer and is now number": lambda d: field(d, "Thing", "id").update(type="number"),
    "no longer has the value 'closed'": lambda d: field(d, "Thing", "state").update(enum=["open"]),
    "state has the new value 'late'": lambda d: field(d, "Thing", "state")["enum"].append("late"),
    "'state' is no longer required": lambda d: schema(d, "Thing")["required"].remove("state"),
    "is now null or number or string": lambda d: field(d, "Thing", "price")["anyOf"].append(
        {"type": "string"}
    ),
    "the required field 'tag' is new": lambda d: (
        schema(d, "Order")["required"].append("tag"),
        schema(d, "Order")["properties"].update(tag={"type": "string"}),
    ),
    "the field 'side' is now required": lambda d: schema(d, "Order")["required"].append("side"),
    "side no longer has the value 'sell'": lambda d: field(d, "Order", "side").update(enum=["buy"]),
    "maximum was 9 and is now 5": lambda d: field(d, "Order", "size").update(maximum=5),
    "size: multipleOf was not set": lambda d: field(d, "Order", "size").update(multipleOf=2),
    "the request's body is now required": lambda d: post(d)["requestBody"].update(required=True),
    "the query parameter 'dry' is gone": lambda d: post(d).update(parameters=[]),
    "the query parameter 'dry' is now required": lambda d: post(d)["parameters"][0].update(
        required=True
    ),
    "the required header parameter 'X' is new": lambda d: post(d)["parameters"].append(
        {"in": "header", "name": "X", "required": True, "schema": {}}
    ),
    "status 201 is no longer promised": lambda d: post(d)["responses"].pop("201"),
    "status 202 is new": lambda d: post(d)["responses"].update({"202": {}}),
    "has lost the header 'location'": lambda d: post(d)["responses"]["201"].pop("headers"),
    "has lost the content type application/json": lambda d: post(d)["responses"]["201"].update(
        content={"text/html": {}}
    ),
    "access needed apiKey header X-Key and now needs nothing": lambda d: post(d).pop("security"),
    "now needs apiKey query X-Key": lambda d: d["components"]["securitySchemes"]["Key"].update(
        {"in": "query"}
    ),
    "parts[] was object and is now": lambda d: field(d, "Thing", "parts").pop("items"),
    "something changed that is not told apart": lambda d: post(d)["parameters"][0]["schema"].update(
        default=True
    ),
}
BESIDE: dict[str, Edit] = {
    "size: maximum was 9 and is now 5": lambda d: beside(d, maximum=5),
    "not told apart here: default was not set and is now 3": lambda d: beside(d, default=3),
    "size no longer has the value 9": lambda d: beside(d, enum=[1, 2]),
    "size: minimum was 1 and is now 2": lambda d: beside(d, minimum=2, description="and words"),
    "the request's body: the field 'side' is now required": lambda d: body(d).update(
        required=["side"]
    ),
    "the request's body: side no longer has the value 'sell'": lambda d: body(d).update(
        properties={"side": {"enum": ["buy"]}}
    ),
}
"""What stands beside a reference holds too."""
ALIKE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "const": ({"const": "a"}, {"enum": ["a"]}),
    "nullable": ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
    "any of types": (
        {"type": ["null", "string"]},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
    ),
    "one of types": (
        {"type": ["string", "null"], "maxLength": 3},
        {"oneOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]},
    ),
    "a list of one type": ({"type": ["string"]}, {"type": "string"}),
    "all of one": ({"$ref": "#/components/schemas/Size"}, {"allOf": [{"type": "integer"}]}),
    "looser beside": (
        {"$ref": "#/components/schemas/Small"},
        {"$ref": "#/components/schemas/Small", "maximum": 99},
    ),
    "order": ({"enum": ["a", "b"], "type": "string"}, {"type": "string", "enum": ["b", "a"]}),
    "itself": ({"$ref": "#/components/schemas/Loop"}, {"$ref": "#/components/schemas/Loop"}),
}
"""Two spellings of the same."""
COMPATIBLE: dict[str, Edit] = {
    "the operation is new": lambda d: d["paths"].update({"/new": {"get": {"responses": {}}}}),
    "the optional field 'note' is new": lambda d: schema(d, "Thing")["properties"].update(
        note={"type": "string"}
    ),
    "side has the new value 'short'": lambda d: field(d, "Order", "side")["enum"].append("short"),
    "maximum was 9 and is now 20": lambda d: field(d, "Order", "size").update(maximum=20),
    "minimum was 1 and is now not set": lambda d: field(d, "Order", "size").pop("minimum"),
    "the field 'size' is no longer required": lambda d: schema(d, "Order").pop("required"),
    "additionalProperties was False": lambda d: schema(d, "Order").pop("additionalProperties"),
    "price was null or number and is now number": lambda d: field(d, "Thing", "price").update(
        anyOf=[{"type": "number"}, {"type": "number"}]
    ),
    "status 429 is new": lambda d: post(d)["responses"].update({"429": {}}),
    "status 422 is no longer promised": lambda d: post(d)["responses"].pop("422"),
    "the optional query parameter 'x' is new": lambda d: post(d)["parameters"].append(
        {"in": "query", "name": "x", "schema": {}}
    ),
    "its description changed": lambda d: post(d).update(summary="Make one thing"),
    "its advice changed": lambda d: post(d).update(deprecated=True),
}


@pytest.mark.parametrize("words", BREAKING)
def test_what_breaks_a_client_is_said_and_judged(words: str) -> None:
    changes = compare(*changed(BREAKING[words]))
    assert verdict(changes) == "breaking"
    assert any(words in one.what and one.breaking for one in changes), changes


def beside(doc: dict[str, Any], **keywords: Any) -> None:
    """Put keywords beside the reference to a size."""
    field(doc, "Order", "size").update(keywords)


def body(doc: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = post(doc)["requestBody"]["content"]["application/json"]["schema"]
    return found


def with_reference(doc: dict[str, Any]) -> dict[str, Any]:
    size = {"type": "integer", "minimum": 1, "maximum": 9, "enum": [1, 2, 9]}
    schema(doc, "Order")["properties"]["size"] = {"$ref": "#/components/schemas/Size"}
    doc["components"]["schemas"]["Size"] = size
    return doc


@pytest.mark.parametrize("words", BESIDE)
def test_what_stands_beside_a_reference_counts(words: str) -> None:
    old, new = with_reference(document()), with_reference(document())
    BESIDE[words](new)
    changes = compare(old, new)
    assert verdict(changes) == "breaking"
    assert any(words in one.what and one.breaking for one in changes), changes
    assert compare(new, new) == []


def test_a_change_that_breaks_nobody_hides_none_that_is_not_told_apart() -> None:
    old, new = with_reference(document()), with_reference(document())
    schema(new, "Order")["properties"]["note"] = {"type": "string"}
    beside(new, default=3)
    field(new, "Thing", "id").update({"not": {"const": 7}})
    changes = compare(old, new)
    told = [one.what for one in changes if one.breaking]
    assert "default was not set and is now 3" in told[0]
    assert "not was not set" in told[1]
    assert not next(one for one in changes if "the optional field 'note'" in one.what).breaking


@pytest.mark.parametrize("name", ALIKE)
@pytest.mark.parametrize("place", ["Thing", "Order"])
def test_two_spellings_of_the_same_are_equal(name: str, place: str) -> None:
    documents = [document(), document()]
    for doc, told in zip(documents, ALIKE[name], strict=True):
        schema(doc, place)["properties"]["x"] = told
        doc["components"]["schemas"] |= {
            "Size": {"type": "integer"},
            "Small": {"type": "integer", "maximum": 9},
            "Loop": {"allOf": [{"$ref": "#/components/schemas/Loop"}]},
        }
    assert compare(*documents) == []
    assert compare(*reversed(documents)) == []


@pytest.mark.parametrize("value", ["9", True, None, [9]])
def test_a_bound_that_is_no_number_is_a_change_and_no_traceback(value: object) -> None:
    changes = compare(*changed(lambda d: field(d, "Order", "size").update(maximum=value)))
    assert any("size: maximum was 9" in one.what for one in changes)


@pytest.mark.parametrize("words", COMPATIBLE)
def test_what_breaks_nobody_is_shown(words: str) -> None:
    changes = compare(*changed(COMPATIBLE[words]))
    assert verdict(changes) == "compatible", changes
    assert any(words in one.what for one in changes), changes


def test_a_document_equals_itself_whatever_the_release_and_the_address() -> None:
    old, new = changed(lambda d: (d["info"].update(version="2"), d.update(servers=[{"url": "x"}])))
    assert compare(old, new) == []
    assert verdict([]) == "equal"


def test_a_rename_is_one_field_gone_and_one_new() -> None:
    def rename(doc: dict[str, Any]) -> None:
        properties = schema(doc, "Thing")["properties"]
        properties["status"] = properties.pop("state")

    what = [one.what for one in compare(*changed(rename)) if one.where == "GET /things/{id}"]
    assert what[0] == "the answer 200: the field 'state' is gone"
    assert "the answer 200: the optional field 'status' is new" in what


def test_the_agreed_document_equals_itself_and_misses_each_of_its_operations() -> None:
    agreed = json.loads(AGREED.read_text(encoding="utf-8"))
    assert compare(agreed, agreed) == []
    gone = compare(agreed, {**agreed, "paths": {}})
    assert {one.what for one in gone} == {"the operation is gone"}
    assert len(gone) == sum(len(item) for item in agreed["paths"].values())


def test_a_path_is_known_by_its_template() -> None:
    assert matches("/api/presets/{name}", "/api/presets/mine")
    assert not matches("/api/presets/{name}", "/api/presets/mine/more")
    assert not matches("/api/presets/", "/api/presets/mine")

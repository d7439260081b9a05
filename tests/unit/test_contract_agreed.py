"""The agreed document: what cannot be read is said in one sentence, what is accepted is written."""

import json
from pathlib import Path
from typing import Any

import pytest

from contracts.agreed import FILE, ContractError, accept, labels, load, read
from gate.target import Target
from tests.contract.options import previous_contract
from tests.unit.test_names import NAME, Server

AROUND = b"""{"openapi": "3.1.0", "paths": {"/x": {"get": {"responses": {"200": {"$ref": %s}}}}},
"components": {"schemas": {"Itself": {"$ref": "#/components/schemas/Itself"}}}}"""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "a readable contract file"),
        (b"\xff\xfe", "it is not text"),
        (b"{", "expected OpenAPI as JSON"),
        (b"[]", "no such document"),
        (b'{"openapi": "3.0.2", "paths": {}}', "got version 3.0.2"),
        (b'{"openapi": "3.1.0"}', "with paths"),
        (b'{"openapi": 3.1, "paths": {"/x": []}}', "with paths"),
        (AROUND % b'"#/components/schemas/Gone"', "lead to a part of"),
        (AROUND % b'"#/components/schemas/Itself"', "got #/components/schemas/Itself"),
        (AROUND % b'"https://elsewhere.invalid/x.json"', "got https://elsewhere.invalid/x.json"),
    ],
)
def test_a_bad_previous_contract_is_refused(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "previous.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(pytest.UsageError, match="--previous-contract") as raised:
        previous_contract(str(path))
    assert words in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1/x", "expected a contract at http://127.0.0.1:1/x, got: "),
        ("https://a..b/openapi.json", "a contract: expected a URL like https://host[:port]"),
        ("https://me:hunter2@bot.test/openapi.json", "without a user or password"),
        ("ftp://bot.test/openapi.json", "a contract: expected a URL like https://"),
    ],
)
def test_a_url_where_nothing_answers_is_refused(url: str, said: str) -> None:
    with pytest.raises(ContractError) as raised:
        read(url)
    assert said in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_url_is_asked_over_the_wire_of_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with Server(tmp_path, answer=FILE.read_bytes()) as server:
        document = f"https://{NAME.upper()}/api/openapi.json?x=1"
        assert read(document, server.target()) == load()
        assert server.hosts == server.names == [NAME]

        here = f"https://localhost:{server.port}/openapi.json"  # the CA is that of --ca-file
        own = Target("disposable", "disposable", managed=True, ca_file=server.ca_file)
        with pytest.raises(pytest.UsageError, match="Hostname mismatch"):
            previous_contract(here, own)
        with pytest.raises(pytest.UsageError, match="--ca-file names the authorities to trust"):
            previous_contract(here, Target("disposable", "disposable", managed=True))


def agreed(tmp_path: Path) -> tuple[Path, Path, dict[str, Any]]:
    document, log = tmp_path / "openapi.json", tmp_path / "CHANGELOG.md"
    document.write_bytes(FILE.read_bytes())
    log.write_text("# Contract changelog\n\n## 1.0.0 (2020-01-01)\n\n- first\n", encoding="utf-8")
    found = load(document)
    found["info"]["version"] = "1.4.0"
    document.write_text(json.dumps(found), encoding="utf-8")
    return document, log, load(document)


def test_a_compatible_change_makes_a_minor_version_and_a_breaking_one_a_major(
    tmp_path: Path,
) -> None:
    document, log, served = agreed(tmp_path)
    served["info"]["version"] = "0.9.9-of-the-release"
    served["paths"]["/api/new"] = {"get": {"responses": {}}}
    assert accept(served, document, log).version == "1.5.0"
    del served["paths"]["/api/health"]
    assert accept(served, document, log).version == "2.0.0"
    assert load(document)["info"]["version"] == "2.0.0"
    assert "GET /api/new" in labels(load(document))
    text = log.read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line[:3] == "## "][-1] == "## 1.0.0 (2020-01-01)"
    assert "- **breaking** `GET /api/health`: the operation is gone" in text
    assert "- `GET /api/new`: the operation is new" in text


def test_accepting_what_is_agreed_already_writes_nothing(tmp_path: Path) -> None:
    document, log, served = agreed(tmp_path)
    before = document.read_bytes(), log.read_bytes()
    assert accept(served, document, log).changes == []
    assert (document.read_bytes(), log.read_bytes()) == before

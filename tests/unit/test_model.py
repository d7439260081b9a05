"""The stack file: read whole or refused in one sentence, true of compose.yaml, and obeyed."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate import model as models
from gate.checks import check
from gate.model import FILE, Model, ModelError, model
from gate.target import Credentials

HEAD = """\
schema = 1
name = "shop"
label = "org.shop"
compose = ["compose.yaml"]
disposable = "gate.yaml"
entry = "edge"
[services.edge]
kinds = ["proxy"]
port = 8443
ready = "/"
[services.cache]
kinds = ["redis"]
port = 6379
scheme = "redis"
[services.sessions]
kinds = ["redis"]
[services.seed]
one_shot = true
"""


def read(tmp_path: Path, text: str) -> Model:
    path = tmp_path / "stack.toml"
    path.write_text(text, encoding="utf-8")
    return models.read(path)


def test_a_service_is_named_by_its_name_or_else_its_kind(tmp_path: Path) -> None:
    stack = read(tmp_path, HEAD)
    assert [stack.name(word) for word in ("edge", "proxy", "redis", "stack")] == [
        "edge",
        "edge",
        "cache",  # the first of two
        "stack",  # no service's: itself
    ]
    assert [one.name for one in stack.of_kind("redis")] == ["cache", "sessions"]
    assert stack.running == ("edge", "cache", "sessions")
    assert stack.label("gate.run") == "org.shop.gate.run"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('entry = "edge"', 'entry = "web"', "entry: expected one of edge, cache"),
        ('entry = "edge"', "", "entry: expected one of edge, cache"),
        ("schema = 1", "schema = 2", "schema: expected 1, the schema that this gate knows"),
        ('name = "shop"', "name = 3", "name: expected text, got 3"),
        ('name = "shop"', "nmae = 'shop'", "name: expected text, got nothing"),
        ('["compose.yaml"]', "[]", "compose: expected a list of text"),
        ("port = 8443", "port = 0", "services.edge.port: expected a whole number from 1"),
        ("port = 8443", "port = true", "services.edge.port: expected a whole number from 1"),
        ("port = 8443", "prot = 8443", "services.edge.prot: expected one of kinds"),
        ('ready = "/"', "", "services.edge.ready: expected a path that begins with /, got nothing"),
        ('ready = "/"', 'ready = "healthz"', "services.edge.ready: expected a path"),
        ('scheme = "redis"', 'scheme = "tcp"', "services.cache.scheme: expected one of http"),
        ("one_shot = true", 'one_shot = "yes"', "services.seed.one_shot: expected true or false"),
        ("[services.seed]", '[services."a b"]', "expected a name that compose takes"),
        ('kinds = ["proxy"]', 'kinds = "proxy"', "services.edge.kinds: expected a list of text"),
        ("[services.seed]", "[services.seed]\nenvironment = {A = 1}", "environment: expected"),
        ("[services.edge]", "[secrets.api_key]\nservice = 'edge'\n[services.edge]", "api_key.var"),
        ("[services.edge]", "[secrets.key]\nservice = 'edge'\n[services.edge]", "one of api_key"),
        ("[services.edge]", "[service.edge]", "expected one of"),
        ("schema = 1", "schema = ", "expected TOML"),
    ],
)
def test_a_mistake_is_told_with_its_file_and_key(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in HEAD
    with pytest.raises(ModelError) as raised:
        read(tmp_path, HEAD.replace(old, new, 1))
    text = str(raised.value)
    assert said in text
    assert str(tmp_path / "stack.toml") in text
    assert "\n" not in text


def test_a_stack_file_that_is_away_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected a readable file"):
        models.read(tmp_path / "stack.toml")


def test_a_wrong_stack_file_ends_a_run_with_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    path.write_text(HEAD.replace('"edge"', '"web"', 1), encoding="utf-8")
    script = (
        "import sys, pathlib, pytest, gate.model as models;"
        "models.FILE = pathlib.Path(sys.argv[1]);"
        "sys.exit(pytest.main(['-m', 'smoke']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        cwd=FILE.parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "Traceback" not in done.stderr
    assert "entry: expected one of edge, cache" in done.stderr


# The reference stack


@pytest.fixture(scope="module")
def rendered() -> dict[str, Any]:
    return dict(yaml.safe_load((FILE.parent / "compose.yaml").read_text(encoding="utf-8")))


def test_secrets_are_those_that_a_run_can_hold() -> None:
    held = tuple(one.name for one in fields(Credentials) if one.name != "redis_user")
    assert held == models.SECRETS


def test_every_service_of_compose_has_a_row(rendered: dict[str, Any]) -> None:
    assert set(model().services) == set(rendered["services"])
    assert model().project == rendered["name"]


def test_rows_say_what_compose_says(rendered: dict[str, Any]) -> None:
    label = model().label("role")
    for name, one in model().services.items():
        said = rendered["services"][name]
        assert one.one_shot == ((said.get("labels") or {}).get(label) == "one-shot"), name
        assert one.profile == next(iter(said.get("profiles", ())), None), name
        assert one.image in (None, said["image"]), name
        assert one.built_from == (said.get("build") or {}).get("context"), name


def test_gate_yaml_is_what_the_stack_file_makes() -> None:
    path = model().folder / model().disposable
    assert path.read_text(encoding="utf-8") == models.disposable(model()), "run `make manifest`"


def test_a_disposable_stack_publishes_on_loopback_only_and_is_labelled() -> None:
    text = models.disposable(model())
    assert set(re.findall(r"([\d.]*)::\d+", text)) == {"127.0.0.1"}
    for part in ("services", "networks", "volumes"):
        assert f"\n{part}:\n" in text
    assert text.count("labels: *labels") == len(model().services)


def test_checks_name_services_as_the_stack_does(monkeypatch: pytest.MonkeyPatch) -> None:
    renamed = {"cache": models.Service("cache", ("redis",))}
    stack = models.Model(FILE, "shop", "org.shop", ("c",), "g", "cache", renamed)
    monkeypatch.setattr("gate.checks.model", lambda: stack)

    @check("redis", cause="", fix="", needs=("stack", "direct:redis"), follows="smoke.*.a[redis]")
    def found() -> None:
        """Nothing."""

    described = found.check  # type: ignore[attr-defined]
    assert described.component == "cache"
    assert described.needs == ("stack", "direct:cache")
    assert described.follows == ("smoke.*.a[redis]", "smoke.*.a[cache]")

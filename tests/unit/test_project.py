"""A compose project is what compose makes of it; what it refuses is one sentence."""

from pathlib import Path

import pytest

from gate import explain
from gate.errors import BAD_INPUT, UsageError
from gate.project import render

SHOP = """
name: shop
services:
  web:
    build: {context: web, target: run}
    ports: ["8080:80", "5353:53/udp"]
    depends_on: {migrate: {condition: service_completed_successfully}}
    healthcheck: {test: ["CMD", "curl", "-f", "localhost"]}
    volumes: ["./site.conf:/etc/nginx/conf.d/site.conf:ro", "data:/data"]
  migrate:
    image: registry.test:5000/shop/migrate:1
    command: ["up", "--all"]
    profiles: [setup]
volumes: {data: {}}
"""
DOCKERFILE = """\
ARG TAG=3.20
FROM node:22 AS build
RUN npm install \\
  # a comment
  express
EXPOSE 9999
FROM alpine:${TAG} AS base
EXPOSE 80 53/udp
FROM base AS run
COPY --from=build /app /app
COPY ["site.conf", "/etc/nginx/"]
CMD ["nginx", "-g", "daemon off;"]
FROM base AS other
CMD false
"""


def project(folder: Path, text: str, name: str = "compose.yaml") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = project(tmp_path / "shop", SHOP)
    (folder / "web").mkdir()
    (folder / "web" / "Dockerfile").write_text(DOCKERFILE)
    return folder


def test_a_service_is_what_compose_and_dockerfile_say(shop: Path) -> None:
    found = render(shop)
    web, migrate = found.services["web"], found.services["migrate"]
    assert (found.name, found.unset) == ("shop", ())
    assert web.ports == (80,)
    assert web.is_published
    assert not migrate.is_published
    assert web.command == "nginx -g daemon off;"
    assert migrate.command == "up --all"
    assert web.health_check == "curl -f localhost"
    assert web.mounts == {"/etc/nginx/conf.d/site.conf": shop / "site.conf"}
    assert found.waited_for_to_end("migrate")
    assert not found.waited_for_to_end("web")
    assert web.dockerfile is not None
    assert web.dockerfile.base == "alpine:3.20"
    assert web.dockerfile.copied == (("site.conf", "/etc/nginx/"),)
    assert "npm install" in web.dockerfile.text_of_runs


def test_files_on_top_and_the_one_beside_it_count(tmp_path: Path) -> None:
    base = project(tmp_path / "a", "services: {a: {image: 'a:1'}}")
    project(base, "services: {a: {image: 'a:2'}}", "compose.override.yaml")
    project(base, "services: {a: {image: 'a:3'}}", "more.yaml")
    assert render(base).services["a"].image == "a:2"
    assert render(base / "compose.yaml").services["a"].image == "a:2"
    assert render(base / "compose.yaml", [base / "more.yaml"]).services["a"].image == "a:3"


def test_variables_are_the_caller_s_and_unset_ones_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        'services: {a: {image: "a:${TAG}", environment: {P: "${P:?say}", Q: "${Q}", R: "${R:-r}"}}}'
    )
    folder = project(tmp_path / "a", text)
    monkeypatch.setenv("TAG", "7")
    monkeypatch.setenv("COMPOSE_FILE", "/elsewhere.yaml")
    for name in ("P", "Q", "R"):
        monkeypatch.delenv(name, raising=False)
    found = render(folder)
    assert found.services["a"].image == "a:7"
    assert found.unset == ("P", "Q")
    assert found.services["a"].environment["R"] == "r"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: {a: [", "got: yaml: line 1"),
        ("services: {}", "expected a service or more, got none"),
        ("services: {a: {image: '${IMG}'}}", "not set: IMG"),
        ("services: {a: {image: a, env_file: gone.env}}", "gone.env"),
        ("services: {a: {image: a, surprise: 1}}", "surprise"),
        ("services: {a: {image: a, depends_on: [b]}}", "undefined service"),
    ],
)
def test_what_compose_refuses_is_one_sentence(
    tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project(tmp_path / "a", text)
    assert explain.main([str(folder)]) == BAD_INPUT
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_a_place_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.yaml, which is not there"):
        render(tmp_path / "gone.yaml")


def test_a_project_is_shown_in_rows(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain.main([str(shop)]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["SERVICE", "KINDS", "BECAUSE"]
    assert first.split(maxsplit=2)[:2] == ["migrate", "job"]
    assert second.split(maxsplit=2)[0] == "web"

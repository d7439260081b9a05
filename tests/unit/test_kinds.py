"""The kinds of a service are told by what its files say, each with a reason."""

from pathlib import Path
from typing import Any

import pytest

from gate.kinds import kinds_of, rules
from gate.project import Project, RenderedService

DATABASE = {"POSTGRES_PASSWORD": "x"}


def known(folder: Path, raw: dict[str, Any], **others: dict[str, Any]) -> list[str]:
    rows = {"it": raw, **others}
    services = {name: RenderedService(name, row, folder) for name, row in rows.items()}
    found = kinds_of(services["it"], Project("p", folder, services))
    assert all(each.reason for each in found)
    return [each.kind for each in found]


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ({"image": "registry.test:5000/team/postgres:16-alpine"}, "postgres"),
        ({"image": "mariadb@sha256:00"}, "mysql"),
        ({"image": "valkey/valkey:8"}, "redis"),
        ({"image": "registry.test/team/db:1", "environment": DATABASE}, "postgres"),
        ({"image": "team/cache", "command": ["redis-server", "--save", ""]}, "redis"),
        ({"image": "team/store", "healthcheck": {"test": ["CMD", "pg_isready"]}}, "postgres"),
        ({"image": "team/store", "ports": [{"target": 5672}]}, "queue"),
        ({"image": "team/app", "environment": {**DATABASE, "DB_HOST": "db"}}, "other"),
        ({"image": "team/app", "command": "celery -A app worker"}, "worker"),
        ({"image": "team/app", "command": "python manage.py migrate"}, "job"),
        ({"image": "team/app", "restart": "always"}, "worker"),
        ({"image": "team/app", "expose": ["8080"]}, "page"),
        ({"image": "team/app", "expose": ["7050"]}, "other"),
        ({"image": "team/app", "network_mode": "host"}, "other"),
        ({"image": "minio/minio"}, "other"),
        ({"image": "grafana/grafana-oss:11"}, "grafana"),
        ({"image": "nginx"}, "page"),
        ({}, "other"),
    ],
)
def test_an_image_is_known_by_name_command_variables_health_or_port(
    tmp_path: Path, raw: dict[str, Any], kind: str
) -> None:
    assert known(tmp_path, raw) == [kind]


def test_what_others_wait_for_to_end_is_a_job(tmp_path: Path) -> None:
    waits = {"depends_on": {"it": {"condition": "service_completed_successfully"}}}
    assert known(tmp_path, {"image": "postgres"}, app=waits) == ["job"]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("location / { proxy_pass http://app; }", ["proxy"]),
        ("root /srv;\nlocation /api { proxy_pass http://app; }", ["proxy", "page"]),
        ("root /srv;\n# proxy_pass http://app;", ["page"]),
        ("example.test {\n  reverse_proxy app:80\n}", ["proxy"]),
    ],
)
@pytest.mark.parametrize("target", ["/etc/nginx/conf.d/site.conf", "/tmp/any.conf"])
def test_a_web_server_is_what_its_configuration_makes_it(
    tmp_path: Path, text: str, kinds: list[str], target: str
) -> None:
    (tmp_path / "site").write_text(text)
    volume = {"type": "bind", "source": str(tmp_path / "site"), "target": target}
    assert known(tmp_path, {"image": "nginx:1", "volumes": [volume]}) == kinds


@pytest.mark.parametrize(
    ("files", "kinds"),
    [
        ({"package.json": '{"dependencies": {"express": "4"}}'}, ["api"]),
        ({"package.json": '{"dependencies": {"react": "18", "express": "4"}}'}, ["page", "api"]),
        ({"package.json": '{"scripts": {"react": "x"}, "dependencies": {"koa": "1"}}'}, ["api"]),
        ({"requirements.txt": "Flask==3\nflask-cors"}, ["api"]),
        ({"requirements.txt": "django>=5\n"}, ["page"]),
        ({"go.mod": "module x\nrequire github.com/gin-gonic/gin v1.9\n"}, ["api"]),
        ({"main.go": 'import "net/http"'}, ["api"]),
        ({"app.csproj": '<Project Sdk="Microsoft.NET.Sdk.Web">', "Pages/a": ""}, ["page", "api"]),
        ({"index.php": "<?php echo 1;"}, ["page"]),
        ({"main.c": "int main"}, ["api"]),
    ],
)
def test_an_application_is_known_by_its_sources(
    tmp_path: Path, files: dict[str, str], kinds: list[str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nEXPOSE 8000\n")
    raw = {"build": {"context": str(tmp_path), "dockerfile": "Dockerfile"}}
    assert known(tmp_path, raw) == kinds


def test_an_application_with_the_variables_of_its_database_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("fastapi\n")
    raw = {"build": {"context": str(tmp_path)}, "environment": DATABASE, "expose": ["80"]}
    assert known(tmp_path, raw) == ["api"]


def test_what_is_built_and_listens_to_nothing_works_on_its_own(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:3\nCMD python main.py\n")
    raw = {"build": {"context": str(tmp_path), "dockerfile": "Dockerfile"}}
    assert known(tmp_path, raw) == ["worker"]


def test_sources_that_cannot_be_read_are_no_reason(tmp_path: Path) -> None:
    raw = {"build": {"context": "https://git.test/app.git"}, "ports": [{"target": 80}]}
    assert known(tmp_path, raw) == ["api"]


def test_every_rule_says_something() -> None:
    assert len(rules()) > 10
    assert all(rule.images or rule.commands for rule in rules().values())

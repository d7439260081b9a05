"""The certificate folder: what is somebody's stays, ours is made and renewed, links stay inside."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from compose.lifecycle import preflight
from compose.lifecycle.deployment import Deployment
from compose.release import HERE, Release
from gate.errors import UsageError
from tests.bot.lifecycle.authority import authority

SCRIPT = HERE / "proxy" / "certs.sh"
RELEASE = Release("1", "abc", "tag")
NAME = "bot.example.test"


def certs(folder: Path, name: str = NAME) -> subprocess.CompletedProcess[str]:
    """Run certs.sh on a folder, as the container of that name does."""
    environment = {"PATH": os.environ["PATH"], "TLS_DIR": str(folder), "SERVER_NAME": name}
    environment["TLS_USER"] = str(os.getuid())
    return subprocess.run(
        ["sh", str(SCRIPT)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def names_of(path: Path) -> str:
    """The names of a certificate, as openssl prints them."""
    words = ["openssl", "x509", "-in", str(path), "-noout", "-ext", "subjectAltName"]
    return subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that is somebody's."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "metrics.prom"
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tls"
    made.mkdir()
    return made


def test_ours_is_made_for_the_public_name_and_stays(folder: Path) -> None:
    assert certs(folder).returncode == 0
    assert f"DNS:{NAME}, DNS:api.{NAME}" in names_of(folder / "server.crt")
    before = contents(folder)
    assert "still lasts" in certs(folder).stdout
    assert contents(folder) == before
    text = (folder / "metrics.prom").read_text()
    assert "not_before_seconds " in text
    assert "not_after_seconds " in text


def test_another_name_gets_another_certificate_of_the_same_authority(folder: Path) -> None:
    certs(folder)
    ca = (folder / "ca.crt").read_bytes()
    assert certs(folder, "other.example.test").returncode == 0
    assert "DNS:other.example.test" in names_of(folder / "server.crt")
    assert (folder / "ca.crt").read_bytes() == ca


def test_one_of_somebody_is_left_alone_with_its_authority(folder: Path) -> None:
    authority(folder).issue(NAME)
    before = contents(folder)
    done = certs(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left alone" in done.stdout
    assert contents(folder) == before


def linked_as_certbot_does(folder: Path) -> None:
    """`live/NAME/…` copied as it is: links to `../../archive/NAME/…`, which is elsewhere."""
    archive = folder.parent / "archive" / NAME
    archive.mkdir(parents=True)
    authority(archive).issue(NAME)
    for name in ("server.crt", "server.key"):
        (folder / name).symlink_to(f"../archive/{NAME}/{name}")


def linked_to_nowhere(folder: Path) -> None:
    (folder / "server.crt").symlink_to("/etc/letsencrypt/live/bot/fullchain.pem")


def linked_folder(folder: Path) -> None:
    """The whole of certbot's folder by a link."""
    elsewhere = folder.parent / "letsencrypt"
    (elsewhere / "live" / "breakout-bot").mkdir(parents=True)
    (folder / "letsencrypt").symlink_to(elsewhere)


@pytest.mark.parametrize("link", [linked_as_certbot_does, linked_to_nowhere, linked_folder])
def test_a_link_that_leads_out_of_the_folder_is_refused(
    folder: Path, link: Callable[[Path], None]
) -> None:
    link(folder)
    links = {path: path.readlink() for path in folder.iterdir()}
    done = certs(folder)
    assert done.returncode == 1
    assert "which leads out of the folder" in done.stdout
    assert {path: path.readlink() for path in links} == links
    found = list(preflight.certificate(deployment(folder), RELEASE))
    assert len(found) == 1
    assert "which leads out of the folder" in found[0].expected


def test_a_link_inside_the_folder_is_followed(folder: Path) -> None:
    inside = folder / "2026"
    inside.mkdir()
    issued = authority(inside).issue(NAME)
    for name in ("server.crt", "server.key", "ca.crt"):
        (folder / name).symlink_to(f"2026/{name}")
    assert certs(folder).returncode == 0
    assert (folder / "server.crt").read_bytes() == issued.path.read_bytes()
    assert not list(preflight.certificate(deployment(folder), RELEASE))


def test_a_key_whose_certificate_is_not_there_yet_is_not_written_over(folder: Path) -> None:
    authority(folder).issue(NAME)
    (folder / "server.crt").unlink()
    (folder / "ca.crt").unlink()
    before = contents(folder)
    done = certs(folder)
    assert done.returncode == 1
    assert "expected server.crt beside server.key" in done.stdout
    assert contents(folder) == before


def test_an_authority_of_somebody_is_not_written_over(folder: Path) -> None:
    authority(folder)
    before = contents(folder)
    done = certs(folder)
    assert done.returncode == 1
    assert "expected server.crt beside ca.crt" in done.stdout
    assert contents(folder) == before


def test_a_key_put_beside_our_authority_is_kept(folder: Path) -> None:
    certs(folder)
    (folder / "server.crt").unlink()
    (folder / "server.key").write_text("somebody's")
    assert certs(folder).returncode == 0
    assert (folder / "replaced" / "server.key").read_text() == "somebody's"


def test_what_an_acme_client_obtained_is_put_in_place_of_ours_and_keeps_somebodys(
    folder: Path,
) -> None:
    issued = authority(folder).issue(NAME)
    (folder / "ca.crt").unlink()
    somebodys = issued.path.read_bytes()
    live = folder / "letsencrypt" / "live" / "breakout-bot"
    live.mkdir(parents=True)
    obtained = authority(live).issue(NAME)
    shutil.move(obtained.path, live / "fullchain.pem")
    shutil.move(obtained.key, live / "privkey.pem")
    (live / "ca.crt").unlink()
    os.utime(folder / "server.crt", (1, 1))
    assert certs(folder).returncode == 0
    assert (folder / "server.crt").read_bytes() == (live / "fullchain.pem").read_bytes()
    assert (folder / "replaced" / "server.crt").read_bytes() == somebodys


# The preflight


def deployment(folder: Path, name: str = NAME, **settings: str) -> Deployment:
    """A deployment whose certificate is in `folder`."""
    path = folder.parent / "settings.env"
    values = {"SERVER_NAME": name, "TLS_SOURCE": f"./{folder.name}"} | settings
    path.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    return Deployment(files=(folder.parent / "compose.yaml",), env_file=path)


def said(deployed: Deployment) -> list[str]:
    """What the preflight finds."""
    return [one.expected for one in preflight.certificate(deployed, RELEASE)]


def test_a_company_certificate_is_taken(folder: Path) -> None:
    authority(folder).issue(NAME)
    assert not said(deployment(folder))
    authority(folder).issue("*.example.test")
    assert not said(deployment(folder))


@pytest.mark.parametrize(
    ("days", "age", "lasts"), [(90, 75, True), (90, 85, False), (6, 3, True), (6, 5.5, False)]
)
def test_how_long_it_has_to_last_is_a_share(
    folder: Path, days: float, age: float, lasts: bool
) -> None:
    authority(folder).issue(NAME, days=days, age_days=age)
    assert (not said(deployment(folder))) is lasts


def test_one_of_another_name_without_key_or_not_a_certificate_is_found(folder: Path) -> None:
    authority(folder).issue("other.example.test")
    assert "to be for bot.example.test" in said(deployment(folder))[0]
    authority(folder).issue(NAME)
    (folder / "server.key").unlink()
    assert "server.key, seen no file" in said(deployment(folder))[0]
    (folder / "server.crt").write_text("no")
    assert "in PEM form" in said(deployment(folder))[0]


def test_a_key_of_another_certificate_or_with_a_passphrase_is_found(folder: Path) -> None:
    signed = authority(folder)
    other = signed.issue("other.example.test").key.read_bytes()
    signed.issue(NAME)
    assert not said(deployment(folder))
    (folder / "server.key").write_bytes(other)
    assert "the key of another certificate" in said(deployment(folder))[0]
    words = ["openssl", "ec", "-aes256", "-passout", "pass:x", "-in", str(folder / "server.key")]
    locked = subprocess.run(words, capture_output=True, timeout=10, check=True).stdout
    (folder / "server.key").write_bytes(locked)
    assert "a passphrase" in said(deployment(folder))[0]


def test_a_chain_that_leads_nowhere_is_found(folder: Path) -> None:
    authority(folder).issue(NAME)
    assert not said(deployment(folder))
    authority(folder)  # another one of the same name in ca.crt
    assert "to lead to an authority that clients trust" in said(deployment(folder))[0]
    (folder / "ca.crt").unlink()
    assert "unable to get local issuer certificate" in said(deployment(folder))[0]


def test_certificates_that_are_no_folder_are_found(folder: Path) -> None:
    file = folder.parent / "server.crt"
    file.touch()
    assert "a folder of certificates in TLS_SOURCE" in said(deployment(file))[0]


def test_certbots_names_are_not_taken_for_no_certificate(folder: Path) -> None:
    (folder / "fullchain.pem").write_text("")
    assert "server.crt, seen" in said(deployment(folder))[0]


def test_a_named_volume_is_left_to_certs(folder: Path) -> None:
    assert not said(deployment(folder, TLS_SOURCE="tls"))


@pytest.mark.parametrize(
    ("name", "plain"),
    [("Bot.Test", "bot.test"), ("bot.test.", "bot.test"), ("bücher.test", "xn--bcher-kva.test")],
)
def test_a_name_that_browsers_write_otherwise_is_found(folder: Path, name: str, plain: str) -> None:
    secret = "0123456789abcdef0123456789abcdef"
    deployed = deployment(folder, name, API_KEY=secret, REDIS_PASSWORD=secret)
    found = [one.todo for one in preflight.settings(deployed, RELEASE)]
    assert found == [f"set SERVER_NAME to {plain}"]
    found = [one.expected for one in preflight.settings(deployment(folder, MODE="Paper"), RELEASE)]
    assert any("MODE to be one of paper, live" in what for what in found)
    deployed = deployment(folder, "api.bot.test", API_KEY=secret, REDIS_PASSWORD=secret)
    assert [one.todo for one in preflight.settings(deployed, RELEASE)] == [
        "set SERVER_NAME to bot.test, or to another name such as bot.bot.test"
    ]
    deployed = deployment(folder, plain, API_KEY=secret, REDIS_PASSWORD=secret)
    assert not list(preflight.settings(deployed, RELEASE))


def test_settings_allow_a_check_for_good() -> None:
    assert preflight.allowed_by({"PREFLIGHT_ALLOW": "names, clock"}) == {"names", "clock"}
    assert preflight.allowed_by({}) == frozenset()
    with pytest.raises(UsageError, match="expected PREFLIGHT_ALLOW to name some of versions, room"):
        preflight.allowed_by({"PREFLIGHT_ALLOW": "nmaes"})

"""Images made here: a Debian system of the host's own mirror, and one layer of packages each."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from compose.machine import apt, certificates
from gate.errors import MachineError
from gate.machine.commands import run_checked
from gate.machine.console import step

SOURCE_LABEL = "org.breakout-bot.image-source"
RECIPE_LABEL = "org.breakout-bot.image-recipe"
SOURCE = f"debian-{apt.SUITE}"
BUILD_LIMIT = 900
IMPORT_LIMIT = 300
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LEFT_OUT = ("doc", "man", "info", "locale", "lintian")
INSTALL = (
    "apt-get -q update && DEBIAN_FRONTEND=noninteractive "
    "apt-get -qy install --no-install-recommends {packages} && "
    "rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log"
)
APT_SETTINGS = (
    'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
    'Acquire::Languages "none";\nAPT::Install-Recommends "false";\n'
)
NO_SERVICE_STARTS = "#!/bin/sh\nexit 101\n"


@dataclass(frozen=True)
class Image:
    """One row of images.toml."""

    name: str
    packages: tuple[str, ...] = ()
    user: str = ""
    uid: int = 0
    owns: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    note: str = ""


def make(image: Image, base: str, recipe: str) -> None:
    """Make one image on top of the base."""
    with (
        step(f"making {image.name} from Debian packages"),
        tempfile.TemporaryDirectory(prefix="breakout-bot-image-") as folder,
    ):
        (Path(folder) / "Dockerfile").write_text(dockerfile(image, base, recipe))
        run_checked(
            f"build {image.name}",
            ["docker", "build", "--progress", "plain", "--tag", image.name, folder],
            BUILD_LIMIT,
            env={"DOCKER_BUILDKIT": "1"},
        )


def dockerfile(image: Image, base: str, recipe: str) -> str:
    """Write the Dockerfile of one row."""
    commands = [*_user(image), INSTALL.format(packages=" ".join(image.packages)), *image.run]
    if image.owns:
        places = " ".join(image.owns)
        commands.append(f"mkdir -p {places} && chown -R {image.uid}:{image.uid} {places}")
    lines = [
        f"FROM {base}",
        f"RUN {' && '.join(commands)}",
        *image.instructions,
        f'LABEL {SOURCE_LABEL}="{SOURCE}" {RECIPE_LABEL}="{recipe}"',
    ]
    return "\n".join(lines) + "\n"


def _user(image: Image) -> list[str]:
    if not image.user:
        return []
    return [
        f"groupadd -g {image.uid} {image.user}",
        f"useradd -u {image.uid} -g {image.uid} -d {image.owns[0]} -s /bin/sh -M {image.user}",
    ]


def make_base(base: Image, recipe: str) -> None:
    """Make the Debian system that the others stand on."""
    _ensure_mmdebstrap()
    with (
        step(f"making {base.name}"),
        tempfile.TemporaryDirectory(prefix="breakout-bot-base-") as name,
    ):
        folder = Path(name)
        _overlay(folder / "overlay")
        run_checked("make a Debian system", _mmdebstrap(base, folder), BUILD_LIMIT)
        changes = [f"LABEL {SOURCE_LABEL}={SOURCE}", f"LABEL {RECIPE_LABEL}={recipe}"]
        changes += [f"ENV {key}={value}" for key, value in _environment().items()]
        options = [part for change in changes for part in ("--change", change)]
        system = folder / "base.tar"
        run_checked("import it", ["docker", "import", *options, system, base.name], IMPORT_LIMIT)


def _ensure_mmdebstrap() -> None:
    if shutil.which("mmdebstrap"):
        return
    if not apt.may_install():
        raise MachineError(
            "Expected an image registry to answer, or Debian and root to make the base images "
            "from packages, but saw neither. Open a way to a registry and repeat with --recheck, "
            "load the images of compose/machine/images.toml by hand, or run as root on Debian."
        )
    apt.install(["mmdebstrap"])


def _overlay(folder: Path) -> None:
    """Write the files that go into the base: settings, and the host's own authorities."""
    _write(folder / "etc/apt/apt.conf.d/90-small", APT_SETTINGS)
    _write(folder / "usr/sbin/policy-rc.d", NO_SERVICE_STARTS, 0o755)
    trusted = folder / certificates.PLACE.relative_to("/")
    for number, certificate in enumerate(certificates.own()):
        _write(trusted / f"host-{number}.crt", certificate)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def _mmdebstrap(base: Image, folder: Path) -> list[str | Path]:
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in LEFT_OUT]
    return [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={','.join(base.packages)}",
        "--dpkgopt=force-unsafe-io",
        *excluded,
        f"--customize-hook=sync-in {folder / 'overlay'} /",
        '--customize-hook=chroot "$1" update-ca-certificates',
        '--customize-hook=rm -rf "$1"/var/cache/apt/*.bin "$1"/var/lib/apt/lists/*',
        apt.SUITE,
        folder / "base.tar",
        apt.machine_mirror().line(apt.SUITE).strip(),
    ]


def _environment() -> dict[str, str]:
    return {"PATH": SEARCH_PATH, **(certificates.environment() if certificates.own() else {})}

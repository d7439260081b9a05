"""Release manifests: what was deployed when, from which images, with which settings and data."""

import hashlib
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from compose.lifecycle.deployment import Deployment, docker
from compose.lifecycle.journal import now, read_json, write_json
from compose.lifecycle.state import ReleaseState
from compose.release import OWN_SERVICES, Release
from compose.release import image as image
from gate.errors import UsageError
from gate.settings import is_secret

REMEDY = (
    "move `order.json` of that state folder away, then `compose/deploy.sh` writes it anew; what was"
    " deployed before cannot be rolled back to then"
)


@dataclass(frozen=True)
class Manifest:
    """One release as it was deployed."""

    tag: str
    version: str
    revision: str
    images: dict[str, str]
    """Service to image digest."""
    config: str
    """Hash of the settings, secrets left out."""
    schema: int
    """Schema version of the data with this release."""
    backup: str | None
    """The backup that was made before it."""
    verdict: str | None
    """Run id of the smoke run that let it in."""
    deployed: str

    @property
    def release(self) -> Release:
        """The release it is of."""
        return Release(self.version, self.revision, self.tag)


def digests(release: Release) -> dict[str, str]:
    """Ask for the image digests of a release. Raises `MachineError` for an image that is gone."""
    return {
        service: docker("image", "inspect", "--format", "{{.Id}}", image(service, release)).strip()
        for service in OWN_SERVICES
    }


def config_hash(deployment: Deployment) -> str:
    """Hash compose files and settings, without secrets, so that drift shows."""
    digest = hashlib.sha256()
    for file in deployment.files:
        digest.update(file.read_bytes())
    for name, value in sorted(deployment.values.items()):
        if not is_secret(name) and not name.startswith("GATE_"):
            digest.update(f"{name}={value}\0".encode())
    return digest.hexdigest()[:16]


def record(deployment: Deployment, state: ReleaseState) -> Manifest:
    """Write down that the release of a command is what should run now."""
    release = state.release
    made = Manifest(
        release.tag,
        release.version,
        release.revision,
        digests(release),
        config_hash(deployment),
        state.new_schema,
        state.backup,
        state.verdict,
        now(),
    )
    write_json(deployment.state / "releases" / f"{release.tag}.json", asdict(made))
    order = [tag for tag in history(deployment) if tag != release.tag]
    write_json(deployment.state / "order.json", [*order, release.tag])
    if deployment.env_file.is_file():
        kept = deployment.kept_settings
        kept.touch(mode=0o600)
        kept.write_bytes(deployment.env_file.read_bytes())
    return made


def history(deployment: Deployment) -> list[str]:
    """List the tags of the releases that were deployed, the present one last."""
    path = deployment.state / "order.json"
    return read_json(path, _tags, REMEDY) or []


def _tags(content: list[str]) -> list[str]:
    if not (isinstance(content, list) and all(isinstance(tag, str) for tag in content)):
        raise TypeError("it is no list of tags")
    return content


def current(deployment: Deployment) -> Manifest | None:
    """Load what should run now; None before the first deploy."""
    tags = history(deployment)
    return load(deployment, tags[-1]) if tags else None


def load(deployment: Deployment, tag: str) -> Manifest:
    """Load the manifest of a release. Raises `UsageError` for a tag that was never deployed."""
    path: Path = deployment.state / "releases" / f"{tag}.json"
    if tag not in history(deployment) or not path.is_file():
        known = ", ".join(history(deployment)) or "none"
        raise UsageError(f"expected a release that was deployed here ({known}), got {tag!r}")
    manifest = read_json(path, lambda content: Manifest(**content), REMEDY)
    assert manifest is not None
    return manifest


def backup_to_go_back_with(deployment: Deployment, earlier: Manifest) -> Manifest | None:
    """Give the release before which data were backed up that an earlier one knows: the first of a
    newer schema after it. None where there is none."""
    tags = history(deployment)
    later = [load(deployment, tag) for tag in tags[tags.index(earlier.tag) + 1 :]]
    return next((manifest for manifest in later if manifest.schema > earlier.schema), None)


def backups_to_go_back_with(deployment: Deployment) -> set[str]:
    """Name the backups from before the present release and from before each newer schema."""
    known = [load(deployment, tag) for tag in history(deployment)]
    wanted = [newer for older, newer in pairwise(known) if newer.schema > older.schema]
    return {manifest.backup for manifest in (*wanted, *known[-1:]) if manifest.backup}

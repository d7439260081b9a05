"""Which kinds a service has, as far as its files tell, each with the reason.

    kinds_of(project.services["db"], project)     # [DetectedKind("postgres", "image postgres:15")]

The first is the main one. Rules over names and words are data (`kinds.toml`); here is what takes
more than a name: web servers by their configuration, applications by their sources, workers and
jobs by what they do not do. What runs may say more than its files; nothing here asks it.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from gate import toml
from gate.project import Project, RenderedService

FILE = Path(__file__).with_name("kinds.toml")
OTHER = "other"
WEB_SERVERS = (
    "nginx",
    "nginx-*",
    "httpd",
    "apache",
    "apache2",
    "openresty",
    "lighttpd",
    "angie",
    "caddy",
)
WEB_COMMANDS = re.compile(r"\b(nginx|httpd|apache2(ctl)?|apache2-foreground|lighttpd|caddy)\b")
CONFIGURATION = ("*.conf", "*.conf.*", "*.template", "*.tmpl", "Caddyfile*", "default", "*.vhost")
FORWARDS = re.compile(
    r"^\s*(?!#).*\b((proxy|uwsgi|fastcgi|grpc)_pass|ProxyPass|reverse_proxy)\b", re.MULTILINE
)
SERVES_FILES = re.compile(
    r"^\s*(?!#)(root\s|DocumentRoot|alias\s|try_files|file_server)", re.MULTILINE
)
MANIFESTS = (
    *(
        "package.json",
        "requirements*.txt",
        "pyproject.toml",
        "Pipfile",
        "setup.py",
        "environment.yml",
    ),
    *("pom.xml", "build.gradle", "build.gradle.kts", "go.mod", "Cargo.toml", "Gemfile"),
    *("composer.json", "*.csproj", "mix.exs", "deno.json"),
)
SOURCES = {
    "*.go": (r"net/http", "api"),
    "*.py": (r"^\s*(from|import) (flask|fastapi|http\.server)\b", "api"),
    "*.js": (r"createServer\(|require\(['\"](express|koa|http)['\"]\)", "api"),
    "*.rs": (r"\b(hyper|TcpListener)\b", "api"),
    "*.php": (r"<\?php", "page"),
}
PAGES = ("templates", "views", "Views", "Pages", "wwwroot", "src/main/resources/templates")
LEFT_OUT = frozenset({"node_modules", ".git", "vendor", "target", "dist", ".venv", "tests", "test"})
MOST_FILES = 400
MOST_BYTES = 200_000


@dataclass(frozen=True)
class DetectedKind:
    """One kind of a service, and what tells it."""

    kind: str
    reason: str


@dataclass(frozen=True)
class KindRule:
    """What a kind is known by."""

    images: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    packages: tuple[str, ...] = ()


@cache
def rules() -> dict[str, KindRule]:
    """Read the rules, by kind."""
    top, made = toml.read(FILE), {}
    for kind, row in top.tables():
        words = {
            name: tuple(row.get(name, toml.TEXTS, ()))
            for name in ("images", "commands", "environment", "health", "packages")
        }
        made[kind] = KindRule(**words, ports=tuple(row.get("ports", toml.ANYTHING, ())))
    top.refuse_unknown()
    return made


def kinds_of(service: RenderedService, project: Project) -> list[DetectedKind]:
    """Give the kinds of a service, the main one first; `other` where nothing tells."""
    looks = (
        _job,
        _by_image,
        _by_command,
        _by_words,
        _web_server,
        _by_sources,
        _by_port,
        _by_silence,
    )
    for look in looks:
        found: dict[str, DetectedKind] = {}
        for known in look(service, project):
            found.setdefault(known.kind, known)
        if found:
            return list(found.values())
    return [DetectedKind(OTHER, f"no rule knows {_short(_image(service)) or 'its image'}")]


def _job(service: RenderedService, project: Project) -> Iterator[DetectedKind]:
    if project.waited_for_to_end(service.name):
        yield DetectedKind("job", "another service waits for it to end well")


def _by_image(service: RenderedService, _: Project) -> Iterator[DetectedKind]:
    name = _short(_image(service))
    for kind, rule in rules().items():
        if name and any(fnmatchcase(name, image) for image in rule.images):
            yield DetectedKind(kind, f"image {_image(service)}")
            return


def _by_command(service: RenderedService, _: Project) -> Iterator[DetectedKind]:
    for kind, rule in rules().items():
        for word in rule.commands:
            if re.search(rf"(^|[\s/'\"&;]){re.escape(word)}($|[\s'\"&;])", service.command):
                yield DetectedKind(kind, f"it runs `{word}`")
                return


def _by_words(service: RenderedService, _: Project) -> Iterator[DetectedKind]:
    if service.is_built and service.context is not None and _has_sources(service.context):
        return  # an application has its database's variables too
    for kind, rule in rules().items():
        for name in rule.environment:
            # A client of a database gets its address as well.
            if name in service.environment and not _names_a_host(service):
                yield DetectedKind(kind, f"variable {name}")
                return
        for word in rule.health:
            if re.search(rf"(^|[\s/]){re.escape(word)}($|\s)", service.health_check):
                yield DetectedKind(kind, f"its health check runs {word}")
                return


def _web_server(service: RenderedService, project: Project) -> Iterator[DetectedKind]:
    name = _short(_image(service))
    is_one = any(fnmatchcase(name, image) for image in WEB_SERVERS)
    if not (is_one or WEB_COMMANDS.search(service.command)):
        return
    texts = list(_configuration(service, project))
    forwarding = [path for path, text in texts if FORWARDS.search(text)]
    serving = [path for path, text in texts if SERVES_FILES.search(text)]
    if forwarding:
        yield DetectedKind("proxy", f"{forwarding[0]} forwards")
    if serving or not forwarding:
        yield DetectedKind(
            "page", f"{serving[0]} serves files" if serving else f"web server {name}"
        )


def _by_sources(service: RenderedService, _: Project) -> Iterator[DetectedKind]:
    context = service.context
    if context is None:
        return
    runs = service.dockerfile.text_of_runs if service.dockerfile else ""
    names = "" if service.dockerfile is None else service.dockerfile.base
    found = list(_packages(context, f"{runs}\n{names}"))
    kinds = {known.kind for known in found}
    if not kinds & {"api"}:
        found += _from_code(context)
    if "page" not in kinds and (folder := next((p for p in PAGES if (context / p).is_dir()), None)):
        found.append(DetectedKind("page", f"pages in {folder}/"))
    is_silent = not (service.ports or found or service.is_published)
    if not is_silent:
        yield from sorted(found, key=lambda known: known.kind != "page")


def _by_port(service: RenderedService, _: Project) -> Iterator[DetectedKind]:
    for port in service.ports:
        for kind, rule in rules().items():
            if port in rule.ports and not service.is_built:
                yield DetectedKind(kind, f"port {port}")
                return
    known = service.ports[:1] if service.is_built else [p for p in service.ports if _is_web(p)]
    if known:
        kind = "api" if service.is_built else "page"  # what people install is mostly for browsers
        yield DetectedKind(kind, f"it listens on {known[0]}; only its answers tell more")


def _is_web(port: int) -> bool:
    """Tell a port that web servers have by custom."""
    return port in (80, 443, 4200, 5000, 5173) or 3000 <= port < 3100 or 8000 <= port < 10_000


def _by_silence(service: RenderedService, _: Project) -> Iterator[DetectedKind]:
    if service.ports or service.raw.get("network_mode"):  # of the host, or of another service
        return
    restart = str(service.raw.get("restart") or "")
    policy = ((service.raw.get("deploy") or {}).get("restart_policy") or {}).get("condition")
    if service.is_built or restart in ("always", "unless-stopped"):
        kind = "job" if restart == "no" or policy == "none" else "worker"
        yield DetectedKind(kind, "it listens to nothing that files name")


# Sources


def _packages(context: Path, more: str) -> Iterator[DetectedKind]:
    texts = [("Dockerfile", more)]
    texts += [(path.name, _package_names(path)) for path in _files(context, MANIFESTS, depth=3)]
    for name, text in texts:
        for kind in ("page", "api"):
            for package in rules()[kind].packages:
                word = re.escape(package)
                pattern = rf"(?i)(?<![\w@./-]){word}(?![\w-])|/{word}(?= v|\")"
                if re.search(pattern, text):
                    yield DetectedKind(kind, f"{name} has {package}")
                    break


def _package_names(path: Path) -> str:
    """Give what a manifest depends on; of package.json nothing else, for scripts name much."""
    text = _text(path)
    if path.name != "package.json":
        return text
    try:
        tree = json.loads(text)
        names = [*(tree.get("dependencies") or ()), *(tree.get("devDependencies") or ())]
    except (ValueError, AttributeError, TypeError):
        return ""
    return "\n".join(names)


def _from_code(context: Path) -> Iterator[DetectedKind]:
    for glob, (pattern, kind) in SOURCES.items():
        for path in _files(context, (glob,), depth=3):
            if re.search(pattern, _text(path), re.MULTILINE):
                yield DetectedKind(kind, f"{path.relative_to(context)} serves HTTP")
                break


def _has_sources(context: Path) -> bool:
    return next(_files(context, (*MANIFESTS, *SOURCES), depth=2), None) is not None


def _files(folder: Path, globs: Iterable[str], depth: int) -> Iterator[Path]:
    """Give files near the top of a folder, a few hundred looked at."""
    looked_at, ahead = 0, [(folder, depth)]
    while ahead:
        here, left = ahead.pop(0)
        try:
            entries = sorted(here.iterdir())
        except OSError:
            continue
        for path in entries:
            looked_at += 1
            if looked_at > MOST_FILES:
                return
            if path.is_dir():
                if left > 1 and path.name not in LEFT_OUT and not path.is_symlink():
                    ahead.append((path, left - 1))
            elif any(fnmatchcase(path.name, glob) for glob in globs):
                yield path


# Configuration of web servers


def _configuration(service: RenderedService, project: Project) -> Iterator[tuple[str, str]]:
    """Give name and text of what is mounted or copied as configuration, wherever it goes first."""
    for row in service.raw.get("configs") or ():
        name = str(row.get("source"))
        config = project.configs.get(name) or {}
        path = service.folder / str(config.get("file") or "")
        yield name, config.get("content") or _text(path)
    for target, path in (*service.mounts.items(), *_copied(service)):
        if not path.is_dir() and _is_configuration(target.rsplit("/", 1)[-1]):
            yield path.name, _text(path)
        else:
            for file in _files(path, CONFIGURATION, depth=3) if path.is_dir() else [path]:
                if _is_configuration(file.name):
                    yield file.name, _text(file)


def _copied(service: RenderedService) -> Iterator[tuple[str, Path]]:
    context, dockerfile = service.context, service.dockerfile
    if context is not None and dockerfile is not None:
        for *sources, target in dockerfile.copied:
            # The whole context would be the sources of an application.
            yield from ((target, context / one.lstrip("/")) for one in sources if one.strip("./"))


def _is_configuration(name: str) -> bool:
    return any(fnmatchcase(name, glob) for glob in CONFIGURATION)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _image(service: RenderedService) -> str:
    """Give the image that says what it is: of one that is built, what it is built upon."""
    if service.is_built:
        return service.dockerfile.base if service.dockerfile else ""
    return service.image or ""


def _short(image: str) -> str:
    """Give the name without registry, folder, tag and digest, in small letters."""
    name = image.partition("@")[0].rsplit("/", 1)[-1].partition(":")[0].lower()
    return name or ""


def _names_a_host(service: RenderedService) -> bool:
    return any(
        re.search(r"(_HOST|_HOSTNAME|_SERVER|_URL|_URI|_ADDR)$", n) for n in service.environment
    )

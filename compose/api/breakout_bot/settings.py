"""What the bot is told by its environment, and what it refuses to start with."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PORT = 8000
BOT_ID = "breakout-bot"
KEY_LENGTH = 16
KNOWN_DEFAULTS = frozenset(
    {
        "changeme",
        "change-me",
        "default",
        "password",
        "secret",
        "test",
        "your-api-key",
        "your_api_key",
        "your-api-key-here",
        "your_api_key_here",
        "changemechangeme",
        "change-me-please",
        "secretsecretsecret",
        "0123456789abcdef",
        "1234567890123456",
    }
)
PRIVATE_NETWORKS = "127.0.0.1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"


class SettingsError(ValueError):
    """A value in the environment that the bot must not run with."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set from outside; secrets stay out of its repr."""

    api_key: str = field(repr=False)
    redis_password: str = field(repr=False)
    redis_host: str = "redis"
    redis_port: int = 6379
    exchange_url: str = "http://exchange:8100"
    data_dir: Path = Path("/data")
    mode: str = "paper"
    preset: str = "balanced"
    cors_origins: tuple[str, ...] = ()
    lease_ttl_seconds: float = 10.0
    tick_seconds: float = 1.0
    scan_seconds: float = 10.0
    control_rate: float = 10.0
    """Control operations a second; five seconds' worth may come at once."""
    forwarded_allow_ips: str = PRIVATE_NETWORKS
    version: str = "0.0.0"
    revision: str = "unknown"


def _refuse(name: str, seen: str, expected: str) -> SettingsError:
    return SettingsError(f"{name} {seen}: expected {expected}; set {name} in the environment")


def _text(env: Mapping[str, str], name: str, default: str) -> str:
    return env.get(name, "").strip() or default


def _number(
    env: Mapping[str, str], name: str, default: float, *, least: float, most: float
) -> float:
    raw = _text(env, name, str(default))
    try:
        value = float(raw)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise _refuse(name, f"is {raw!r}", f"a number from {least:g} to {most:g}")
    return value


def _api_key(env: Mapping[str, str]) -> str:
    key = env.get("API_KEY", "").strip()
    expected = f"a secret of {KEY_LENGTH} characters or more"
    if not key:
        raise _refuse("API_KEY", "is blank", expected)
    if key.lower() in KNOWN_DEFAULTS or len(set(key)) == 1:
        raise _refuse("API_KEY", "is a known default", expected)
    if len(key) < KEY_LENGTH:
        raise _refuse("API_KEY", f"has {len(key)} characters", expected)
    if not key.isascii():
        raise _refuse("API_KEY", "has characters outside ASCII", expected)
    return key


def _redis_password(env: Mapping[str, str]) -> str:
    password = env.get("REDIS_PASSWORD", "").strip()
    if not password:
        raise _refuse("REDIS_PASSWORD", "is blank", "the password that redis asks for")
    return password


def _exchange_url(env: Mapping[str, str]) -> str:
    url = _text(env, "EXCHANGE_URL", "http://exchange:8100").rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise _refuse("EXCHANGE_URL", f"is {url!r}", "a URL that begins with http:// or https://")
    return url


def _mode(env: Mapping[str, str]) -> str:
    mode = _text(env, "MODE", "paper")
    if mode not in ("paper", "live"):
        raise _refuse("MODE", f"is {mode!r}", "paper or live")
    return mode


def _origins(env: Mapping[str, str]) -> tuple[str, ...]:
    origins = tuple(
        one.strip().rstrip("/") for one in env.get("CORS_ORIGINS", "").split(",") if one.strip()
    )
    for origin in origins:
        if not origin.startswith(("http://", "https://")):
            raise _refuse("CORS_ORIGINS", f"has {origin!r}", "origins such as https://host, no *")
    return origins


def load(env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; raise SettingsError with one sentence that says what to do."""
    env = os.environ if env is None else env
    return Settings(
        api_key=_api_key(env),
        redis_password=_redis_password(env),
        redis_host=_text(env, "REDIS_HOST", "redis"),
        redis_port=int(_number(env, "REDIS_PORT", 6379, least=1, most=65535)),
        exchange_url=_exchange_url(env),
        data_dir=Path(_text(env, "DATA_DIR", "/data")),
        mode=_mode(env),
        preset=_text(env, "PRESET", "balanced"),
        cors_origins=_origins(env),
        lease_ttl_seconds=_number(env, "LEASE_TTL_SECONDS", 10.0, least=3, most=300),
        tick_seconds=_number(env, "TICK_SECONDS", 1.0, least=0.05, most=60),
        scan_seconds=_number(env, "SCAN_SECONDS", 10.0, least=0.05, most=3600),
        control_rate=_number(env, "CONTROL_RATE", 10.0, least=0.1, most=1000),
        forwarded_allow_ips=_text(env, "FORWARDED_ALLOW_IPS", PRIVATE_NETWORKS),
        version=_text(env, "BOT_VERSION", "0.0.0"),
        revision=_text(env, "BOT_REVISION", "unknown"),
    )

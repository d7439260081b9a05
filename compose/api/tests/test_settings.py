"""The bot refuses to start with what it must not run with, in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from breakout_bot import settings

GOOD = {"API_KEY": "planted-key-0123456789", "REDIS_PASSWORD": "planted"}


def test_good_settings_have_the_defaults_of_the_stack():
    loaded = settings.load(GOOD)
    assert (loaded.redis_host, loaded.mode) == ("redis", "paper")
    assert loaded.exchange_url == "http://exchange:8100"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("API_KEY", "", "API_KEY is blank: expected a secret of 16 characters or more"),
        ("API_KEY", "   ", "API_KEY is blank"),
        ("API_KEY", "changeme", "known default"),
        ("API_KEY", "SECRET", "known default"),
        ("API_KEY", "your-api-key", "known default"),
        ("API_KEY", "x" * 40, "known default"),
        ("API_KEY", "fifteen-chars-x", "has 15 characters"),
        ("API_KEY", "schlüssel-schlüssel", "outside ASCII"),
        ("REDIS_PASSWORD", "", "REDIS_PASSWORD is blank"),
        ("REDIS_PORT", "redis", "REDIS_PORT is 'redis'"),
        ("REDIS_PORT", "70000", "a number from 1 to 65535"),
        ("MODE", "demo", "expected paper or live"),
        ("EXCHANGE_URL", "exchange:8100", "begins with http://"),
        ("CORS_ORIGINS", "https://a.example,*", "no \\*"),
        ("LEASE_TTL_SECONDS", "0", "a number from 3 to 300"),
        ("LEASE_TTL_SECONDS", "nan", "a number from 3 to 300"),
    ],
)
def test_a_bad_value_is_refused_with_what_to_do(name, value, words):
    with pytest.raises(settings.SettingsError, match=words) as refusal:
        settings.load({**GOOD, name: value})
    assert f"set {name} in the environment" in str(refusal.value)


def test_a_refusal_never_shows_the_key():
    with pytest.raises(settings.SettingsError) as refusal:
        settings.load({**GOOD, "API_KEY": "my-short-key"})
    assert "my-short-key" not in str(refusal.value)


def test_secrets_are_not_in_the_repr():
    assert "planted" not in repr(settings.load(GOOD))


@pytest.mark.parametrize("env", [{"API_KEY": ""}, {**GOOD, "DATA_DIR": "/proc/nowhere"}])
def test_the_process_ends_with_one_line_and_no_traceback(env):
    run = subprocess.run(
        [sys.executable, "-m", "breakout_bot"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), **env},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (run.returncode, run.stderr, run.stdout.count("\n")) == (2, "", 1)
    assert '"level": "ERROR"' in run.stdout

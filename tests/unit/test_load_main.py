"""Load by hand: what is wrong on the command line is one sentence and exit code 4."""

import json
from pathlib import Path

import pytest

from load import __main__ as load
from load.samples import NEEDED, SCHEMA, SUMMARY, Run, samples, write

WRITES = """\
schema = 1
seed = 7
spacing = "even"
in_flight = 5
[[phase]]
kind = "measured"
seconds = 5
rate = 20
[[operation]]
request = "POST /a"
weight = 1
"""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "the following arguments are required: profile"),
        (["go"], "invalid choice: 'go'"),
        (["run", "smoke", "--workers", "many"], "--workers"),
        (["run", "smoke", "--target", ""], "expected --target to be localhost"),
        (["run", "smoke", "--target", "disposable"], "expected a stack that is there"),
        (["run", "smoke", "--baseline", ""], "expected --target to be localhost"),
        (["run", "no-such"], "expected a readable file"),
        (["run", "WRITES", "--target", "https://bot.invalid"], "expected a read among"),
        (["judge", "FOLDER"], "expected the run.json and samples.npz"),
        (["trend", "--history", "FOLDER"], "expected a history"),
        (["trend", "--history", "BYTES"], "expected a history"),
        (
            ["trend", "--history", "EMPTY", "--folder", "/proc/none"],
            "expected a folder that can be",
        ),
    ],
)
def test_bad_input_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    writes, bytes_ = tmp_path / "writes.toml", tmp_path / "bytes.jsonl"
    writes.write_text(WRITES, encoding="utf-8")
    bytes_.write_bytes(b"\xff\xfe")
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    places = {"WRITES": writes, "FOLDER": tmp_path, "BYTES": bytes_, "EMPTY": empty}
    try:
        code = load.main([str(places.get(word, word)) for word in words])
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 4
    assert said in capsys.readouterr().err


def test_levels_that_the_profile_is_too_short_for_are_named_and_not_held(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = {
        **dict.fromkeys(NEEDED),
        "operations": ["GET /api/health"],
        "validity": {"valid": True, "reasons": []},
        "tick_lag_ms": [1.0] * 9,
        "websocket": {"messages": 5, "failures": 0},
        "growth": {},
    }
    count = 600
    latency = [10.0] * count
    columns = {"intended": range(count), "latency_ms": latency, "service_ms": latency}
    found = samples(op=[0] * count, status=[200] * count, phase=[1] * count, **columns)
    write(tmp_path, Run(summary, found))
    assert load.main(["judge", str(tmp_path)]) == 6
    short = ["run recovery", "breakout-bot-api memory_growth", "breakout-bot-api handles_growth"]
    told = {"schema": SCHEMA, **summary, "too_short_for": short}
    (tmp_path / SUMMARY).write_text(json.dumps(told), encoding="utf-8")
    assert load.main(["judge", str(tmp_path)]) == 0
    assert "the profile is too short for run recovery, " in capsys.readouterr().err

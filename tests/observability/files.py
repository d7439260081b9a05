"""The files that monitoring is made of, and what is asked of Prometheus about them."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from gate import Operator, expect
from gate.model import model
from gate.wire import Answer

COMPOSE = Path(__file__).parent.parent.parent / "compose"
PROMETHEUS = COMPOSE / "prometheus"
NEEDS = ("disposable", "stack", "proxy", "api", "direct:prometheus")
NAME = re.compile(r"(?<![\w\"])(up|ALERTS|breakout_bot_\w+)\b")
CHOSEN = re.compile(r"(?<!\w)(up|breakout_bot_\w+)\{([^}]*)\}")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
BY = re.compile(r"\bby\s*\(([^)]*)\)")
LABEL = re.compile(r"\w+")
SAMPLE = re.compile(r"^(\w+)(\{.*\})? (\S+)$", re.MULTILINE)
COUNTED = ("_total", "_count", "_bucket")


def config() -> dict[str, Any]:
    """prometheus.yml as written."""
    return dict(yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8")))


def rules() -> list[dict[str, Any]]:
    """Every alert rule as written."""
    groups = yaml.safe_load((PROMETHEUS / "rules.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def metrics_of(expressions: Iterable[str]) -> set[str]:
    """Names of the metrics that expressions ask for."""
    return {name for one in expressions for name in NAME.findall(one)}


def labels_of(expression: str) -> set[tuple[str, str]]:
    """Metrics with the labels that an expression chooses by, or groups its only metric by."""
    found = {
        (metric, label)
        for metric, matchers in CHOSEN.findall(expression)
        for label in MATCHER.findall(matchers)
    }
    names = metrics_of([expression])
    if len(names) == 1:
        (name,) = names
        found |= {(name, one) for labels in BY.findall(expression) for one in LABEL.findall(labels)}
    return found


def strange_labels(operator: Operator, expressions: Iterable[str]) -> list[str]:
    """What the expressions choose or group by and no series has: they can never give anything."""
    asked = sorted({pair for one in expressions for pair in labels_of(one)})
    return [
        f'{metric}{{{label}!=""}}'
        for metric, label in asked
        if not series(operator, f'count({metric}{{{label}!=""}})')
    ]


def prometheus(operator: Operator, path: str, **params: str) -> Any:
    """`data` of an answer of Prometheus' API."""
    answer = operator.http(f"/api/v1/{path}", "prometheus", params=params)
    expect(answer.status == 200, f"{path} to answer 200", answer.brief)
    return answer.json()["data"]


def series(operator: Operator, expression: str) -> list[Any]:
    """The series that an expression gives now."""
    return list(prometheus(operator, "query", query=expression)["result"])


def contains(loaded: Any, written: Any, where: str = "") -> Iterator[str]:
    """Places where what is loaded lacks, or changes, what was written; defaults may come on top."""
    if isinstance(written, dict) and isinstance(loaded, dict):
        for key, value in written.items():
            yield from contains(loaded.get(key), value, f"{where}.{key}")
    elif isinstance(written, list) and isinstance(loaded, list) and len(written) == len(loaded):
        for number, (one, other) in enumerate(zip(loaded, written, strict=True)):
            yield from contains(one, other, f"{where}[{number}]")
    elif _bare(loaded) != _bare(written):
        yield f"{where.lstrip('.')}: {loaded!r} in place of {written!r}"


def _bare(value: Any) -> Any:
    """Text without spaces: programs write theirs as they like."""
    return "".join(value.split()) if isinstance(value, str) else value


def mounted(operator: Operator, service: str, folder: str) -> dict[str, str]:
    """Texts of the files that compose mounts below a folder of a service, by path there.

    Works for a service whose image cannot be had, too.
    """
    shown = operator.stack.compose.run("--profile", "*", "config", "--format", "json")
    volumes = json.loads(shown)["services"][model().name(service)]["volumes"]
    places = [(one["target"], Path(one["source"])) for one in volumes if one["type"] == "bind"]
    found = {}
    for target, source in sorted(places):
        paths = [source] if source.is_file() else sorted(source.rglob("*"))
        for path in paths:
            name = target if path == source else f"{target}/{path.relative_to(source)}"
            if path.is_file() and name.startswith(folder):
                found[name] = path.read_text(encoding="utf-8")
    return found


def counters(answer: Answer) -> dict[str, float]:
    """Every counter in a page of metrics."""
    expect(answer.status == 200, "metrics", answer.brief)
    rows = SAMPLE.findall(answer.text)
    return {name + labels: float(v) for name, labels, v in rows if name.endswith(COUNTED)}

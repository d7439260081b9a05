"""Sends Schemathesis's cases through the operator and writes down what came of them."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import requests
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.core import NotSet
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.transport import Response

from contracts.budget import Budget
from contracts.fuzz import KEY_HEADER, Received, broken, rule_of, session
from gate import Operator
from gate.wire import Answer, WireError
from tests.contract.ledger import Breach, Ledger, shown

PATIENCE = 3
LONGEST_WAIT = 5.0


class Explorer:
    """One explored stack."""

    def __init__(
        self, operator: Operator, ledger: Ledger, budget: Budget, lead: Callable[[str], None]
    ) -> None:
        self.operator = operator
        self.lead = lead
        self.ledger = ledger
        self.budget = budget
        self.session = session(self._send)
        self._begun: dict[str, float] = {}

    @property
    def options(self) -> dict[str, Any]:
        """How cases are sent: where, through what, with which key."""
        return {
            "base_url": self.operator.target.url,
            "session": self.session,
            "headers": {KEY_HEADER: self.operator.credentials.api_key or ""},
        }

    def _send(self, method: str, url: str, headers: Mapping[str, bytes], body: bytes) -> Received:
        for _ in range(PATIENCE):
            answer = self._once(method, url, headers, body)
            if answer.status != requests.codes.too_many_requests:
                break
            path = answer.url.removeprefix(self.operator.target.url)
            if label := self.ledger.label_of(method, path):
                self.ledger.saw(label, answer.status)
            time.sleep(pause(answer))
        return Received(answer.status, answer.headers.multi_items(), answer.body)

    def _once(self, method: str, url: str, headers: Mapping[str, bytes], body: bytes) -> Answer:
        try:
            return self.operator.http(
                url, method=method, key=False, headers=headers, content=body or None
            )
        except WireError as error:
            raise requests.ConnectionError(str(error)) from None

    def explore(self, case: Case[Any]) -> None:
        """Send one case, after leading the stack to where it can be carried out."""
        label = case.operation.label
        begun = self._begun.setdefault(label, time.monotonic())
        if time.monotonic() - begun > self.budget.seconds_each:
            return
        self.ledger.sends(written(case))
        self.lead(label)
        try:
            response = case.call(**self.options)
        except requests.ConnectionError as error:
            self.unanswered(case, error)
            return
        self.judge(case, response)

    def unanswered(self, case: Case[Any], error: requests.ConnectionError) -> None:
        """Write down that a case, or a probe of it, got no answer."""
        label = case.operation.label
        self._breach(label, case, "not_a_server_error", f"no answer: {error}", None)

    def judge(self, case: Case[Any], response: Response) -> None:
        """Hold one answer to every rule, and write down what it broke."""
        self.saw(case, response)
        try:
            case.validate_response(
                response, headers=self.options["headers"], transport_kwargs=self.options
            )
        except FailureGroup as group:
            self.broke(case, response, group)
        except requests.ConnectionError as error:
            self.unanswered(case, error)

    def saw(self, case: Case[Any], response: Response) -> None:
        """Note an answer; one to a method that the operation does not have proves nothing of it."""
        if case.method == case.operation.method.upper():
            self.ledger.saw(case.operation.label, response.status_code, _parameters(case))

    def broke(self, case: Case[Any], response: Response, group: FailureGroup) -> None:
        """Write down the rules that an answer broke."""
        for failure in broken(group):
            label = case.operation.label
            self._breach(label, case, rule_of(failure), _words(failure), response)

    def _breach(
        self, label: str, case: Case[Any], rule: str, what: str, response: Response | None
    ) -> None:
        request = case.as_curl_command(base_url=self.options["base_url"])
        answer = "no answer"
        if response is not None:
            kind = response.headers.get("content-type", ["no content type"])[0]
            answer = shown(response.status_code, kind, response.content)
        self.ledger.breaches[label].append(Breach(rule, what, request, answer))


def pause(answer: Answer) -> float:
    """Seconds to wait after an answer that says to try later; 1 where it does not say how long."""
    told = answer.headers.get("retry-after", "")
    return min(float(told), LONGEST_WAIT) if told.isdecimal() else 1.0


def written(case: Case[Any]) -> str:
    """A case in one line, the same whenever it is the same case."""
    body = "no body" if isinstance(case.body, NotSet) else repr(case.body)
    return f"{case.method} {case.formatted_path} {case.query!r} {body}"


def _words(failure: Failure) -> str:
    return " ".join(f"{failure.title}: {failure.message}".split())[:300]


def _parameters(case: Case[Any]) -> set[str]:
    places = {"path": case.path_parameters, "query": case.query, "header": case.headers}
    found = {f"{place} {name}" for place, held in places.items() for name in held or {}}
    return found | ({"body"} if case.media_type else set())


def repeatable(examples: int, steps: int, **more: Any) -> settings:
    """Hypothesis without a clock, a memory or an opinion: a seed alone decides what is played."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )

"""The rules that every answer is held to: which of them hold a deployment back, and why."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """One of Schemathesis's checks, and what a breach of it is worth here."""

    blocking: bool
    reason: str


RULES = {
    "not_a_server_error": Rule(True, "no input may crash the API: the engine shares its process"),
    "status_code_conformance": Rule(True, "a client cannot handle a status nobody told it of"),
    "content_type_conformance": Rule(True, "a page that expects JSON breaks on anything else"),
    "response_headers_conformance": Rule(True, "promised headers are used, such as Retry-After"),
    "response_schema_conformance": Rule(True, "a field that is missing or retyped breaks clients"),
    "negative_data_rejection": Rule(True, "a wrong order must be refused, never guessed at"),
    "positive_data_acceptance": Rule(True, "what the contract allows has to work"),
    "use_after_free": Rule(True, "what was deleted must be gone: a cancelled order may not fill"),
    "ensure_resource_availability": Rule(True, "what was made must be there"),
    "unsupported_method": Rule(False, "a wrong method is refused either way; 405 is good manners"),
    "missing_required_header": Rule(False, "the key is the only header, and has a rule of its own"),
}
LEFT_OUT = {
    "ignored_auth": "its probes leave past the wire; contract.auth asks in its place",
    "allow_header_conformance": "one path has several routes, and each names its own methods",
    "object_level_authorization": "there is one owner and one key",
}
"""Rules that mean nothing here."""

ACCEPTED = ("2xx", "400", "401", "403", "404", "409", "429", "503")
"""Statuses that right data may get: 400 is a preset or symbol that this deployment lacks."""

"""A message to people through a Slack-compatible webhook, when a command was undone."""

import os
import threading

import httpx

from compose.lifecycle.deployment import Deployment
from gate.machine.console import say
from gate.machine.docker import PROXIES

VARIABLE = "NOTIFY_WEBHOOK_URL"
LIMIT = 5.0
LONGEST = 10.0
"""A name that does not resolve, or an answer that trickles, is within no limit of one step."""


def send(deployment: Deployment, text: str) -> None:
    """Post `text`. A webhook that does not take it is said and nothing more: the work goes on.

    Nothing of what goes wrong here may stand in place of the reason that is told, an interruption
    included: the command ends anyway.
    """
    failed = ["TimeoutError"]
    try:
        url = deployment.values.get(VARIABLE)
        if not url:
            return
        message = f"{deployment.project}: {text}"
        work = threading.Thread(target=_post, args=(url, message, failed), daemon=True)
        work.start()
        work.join(LONGEST)
    except (Exception, KeyboardInterrupt) as error:
        failed = [type(error).__name__]
    if failed:
        say(f"  ! the webhook of {VARIABLE} did not take the message ({failed[0]}{_way()})")


def _post(url: str, message: str, failed: list[str]) -> None:
    try:
        httpx.post(url, json={"text": message}, timeout=LIMIT).raise_for_status()
    except Exception as error:  # its text may hold the URL, a secret
        failed[:] = [type(error).__name__]
    else:
        failed.clear()


def _way() -> str:
    """Name the variables that lead such a message to a proxy, without their values."""
    names = [name for name in PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
    return f", by way of {' and '.join(names)}" if names else ""

"""A message to people through a Slack-compatible webhook, when a command was undone."""

import httpx

from compose.lifecycle.deployment import Deployment
from gate.machine.console import say

VARIABLE = "NOTIFY_WEBHOOK_URL"
LIMIT = 5.0


def send(deployment: Deployment, text: str) -> None:
    """Post `text`. A webhook that does not take it is said and nothing more: the work goes on."""
    url = deployment.values.get(VARIABLE)
    if not url:
        return
    try:
        answer = httpx.post(url, json={"text": f"{deployment.project}: {text}"}, timeout=LIMIT)
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:  # its text may hold the URL, a secret
        say(f"  ! the webhook of {VARIABLE} did not take the message ({type(error).__name__})")

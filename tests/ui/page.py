"""What checks of the page share: who serves it, and what they need."""

FRONTEND = "breakout-bot-frontend"
NEEDS = ("disposable", "proxy", "breakout-bot-api", FRONTEND)

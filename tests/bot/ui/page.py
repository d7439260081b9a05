"""Checks that others of the bot's page stand on."""

STANDS = "bot.ui.page.stands"
WORKS = (STANDS, "ui.page.asks_only_its_own_origin", "ui.page.policy_allows_the_page")
"""Without these nothing on the page does."""

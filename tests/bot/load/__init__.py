"""The bot is brought to rest around load; its service levels are data."""

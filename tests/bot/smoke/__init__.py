"""Is the bot itself well, by its own word? Looks only."""

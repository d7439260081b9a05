"""The Breakout Bot: an API with a trading engine in paper mode."""

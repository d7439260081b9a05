"""Do the bot's states, messages and outages keep the contract? The exchange is the witness."""

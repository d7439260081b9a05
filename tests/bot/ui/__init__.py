"""Do the bot's page and its buttons work in a real browser?"""

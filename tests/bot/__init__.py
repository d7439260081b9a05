"""Holds the checks that only the Breakout Bot can pass, a folder a stage.

A check is here when its promise is about the bot: a field, a message, a state or a command of its
API, its page, its exchange, its lifecycle. What any stack could be held to is in `tests/<stage>`.
"""

"""The engine: brings any compose stack up, asks it, runs its checks and says what they saw.

PYTEST_DONT_REWRITE: imported before pytest by tools of this repository; it asserts nothing.
"""

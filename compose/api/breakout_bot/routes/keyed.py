"""Marks operations that need the API key; middleware.ApiKey is what enforces it."""

from fastapi import Security
from fastapi.security import APIKeyHeader

from breakout_bot.middleware import HEADER

KEYED = [Security(APIKeyHeader(name=HEADER, auto_error=False))]

"""The agreed API: its document, messages and engine states, and what a served API is held to."""

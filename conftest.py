"""Name the engine's pytest plugin; all wiring is there."""

pytest_plugins = ["gate.plugin"]

"""What the engine needs of a machine: commands, console, signals, ports, the one Docker engine."""

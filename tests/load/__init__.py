"""The load stage: an open loop of requests for a minute, held to the levels of load/slo.toml."""

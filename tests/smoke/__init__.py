"""Is everything there, right and reachable? One file a component; looks only."""

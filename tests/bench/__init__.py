"""Measures what README claims; each bench writes one file under reports/bench/."""

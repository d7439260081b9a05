"""Measures what docs/measured.md claims; each bench writes one file under reports/bench/."""

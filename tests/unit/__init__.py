"""Tests of our own code, without a stack."""

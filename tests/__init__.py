"""The checks, a folder a stage; faults proves that they can fail, unit tests our own code.

PYTEST_DONT_REWRITE: imported before pytest by the tools of this folder; it asserts nothing.
"""

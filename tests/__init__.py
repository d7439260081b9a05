"""The checks, a folder a stage; faults proves that they can fail, unit tests our own code."""

"""Makes a bare machine able to run the stack."""

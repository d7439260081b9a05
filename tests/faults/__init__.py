"""Plants faults in a real stack, and sees the gate find them."""

"""What are the rules of change control? No I/O, no clock, no randomness below this line."""

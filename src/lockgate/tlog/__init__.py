"""What does it take to show that a log only grew? Merkle arithmetic, tiles and checkpoints in C2SP formats; pure."""

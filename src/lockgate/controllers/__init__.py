"""What brings the world to what should be, again and again? One controller for each sort of thing."""

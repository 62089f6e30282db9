"""What lies in a folder, by its content, and is all of it of a kind that executes nothing? Standard library only."""

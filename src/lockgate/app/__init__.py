"""What can be done? Every use case reads, decides, appends."""

"""What does an agent do? A suite that Inspect runs; nothing of it is imported here."""

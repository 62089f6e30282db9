"""Who signs the heads of a log, and never goes back? A process of its own, behind a socket that only we may use."""

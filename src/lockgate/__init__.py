"""What is Lockgate? Change control for AI models: the gate between development and production."""

__version__ = "0.1.0"

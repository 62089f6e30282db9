"""May this host load what it was given? The public part of the loader: verify, then load."""

__all__: list[str] = []

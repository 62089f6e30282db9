"""How is a release tried? A suite, run in a sandbox, measured and signed outside."""

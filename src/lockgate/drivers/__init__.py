"""How do we speak to each outside system? One module, one system."""

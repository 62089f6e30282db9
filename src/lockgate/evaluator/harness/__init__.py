"""What did another harness find? Its report, read as bytes that somebody else wrote."""

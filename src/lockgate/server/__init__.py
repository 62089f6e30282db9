"""What do people, machines and auditors get over HTTP? Doors: decode, call one use case, encode."""

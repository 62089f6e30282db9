"""Who stands at the door of a cluster? A serving host that judges for the pods what it would judge for itself."""

"""How does a cluster obey the same gate? What it needs, written for kustomize and as a chart of Helm."""

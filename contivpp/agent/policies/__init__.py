"""Network policies of this node's pods, and how each data plane enforces them."""

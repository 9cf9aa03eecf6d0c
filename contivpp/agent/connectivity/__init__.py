"""Connectivity: this node, the other nodes, and the pods of this node; services and policies are elsewhere."""

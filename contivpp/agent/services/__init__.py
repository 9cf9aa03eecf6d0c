"""Kubernetes services: what they mean, and how each data plane says it."""

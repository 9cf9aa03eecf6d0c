"""A small kubelet, standing in for the real one and its container runtime on a machine that has neither.

A pod is a network namespace with real processes in it; there are no images and no file systems of their
own. It calls the real CNI plugin, through the CNI protocol, as a container runtime does. No real
deployment runs it.
"""

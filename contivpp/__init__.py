"""Contiv-VPP in Python: a Kubernetes network plugin with an FD.io VPP or Linux data plane."""

__version__ = "0.1.0"

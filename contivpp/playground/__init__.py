"""Stand-ins for Kubernetes on a machine that has none, and the machines to run them on.

Nothing in this package is part of a real deployment. Where a cluster has a kube-apiserver, kubelets and
a controller manager, none of this is installed: the programs of this project talk to the real ones
through the very same interfaces (the Kubernetes REST API and the CNI protocol).
"""

"""What a control plane does besides its API, on a machine that has none: scheduler and controllers.

It stands in for kube-scheduler and for the parts of kube-controller-manager that the network depends on:
endpoints of services, clean-up of namespaces, pods of nodes that are gone. No real deployment runs it.
"""

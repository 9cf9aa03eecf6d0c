"""A small Kubernetes API server, standing in for kube-apiserver on a machine that has none.

It speaks as much of the REST protocol as kubectl and the programs of this project use: lists with pages,
watches with bookmarks and 410 Gone, four kinds of patch, graceful deletion, custom resources, tables. It
checks who a client is (a certificate of the cluster's CA) and not what it may do. No real deployment runs it.
"""

"""contiv-ksr: reflects the state of Kubernetes into etcd."""

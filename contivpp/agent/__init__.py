"""The node agent: turns cluster state into data plane configuration and serves CNI."""

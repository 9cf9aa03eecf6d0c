"""etcd for the whole project: client, snapshot-and-watch, ID allocation, election and a local mirror."""

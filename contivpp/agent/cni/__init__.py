"""The agent's side of the container network interface: gRPC server, requests, results."""

"""How programs of a node talk to contiv-stn: the words of the service, and a client."""

"""contiv-stn: steals the only NIC of a node for VPP, and gives it back whatever happens."""

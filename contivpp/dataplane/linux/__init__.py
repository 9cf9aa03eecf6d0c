"""The Linux kernel as a data plane: veth pairs, VXLAN, addresses, routes, neighbours, rules."""

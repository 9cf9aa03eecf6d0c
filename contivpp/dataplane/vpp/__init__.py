"""FD.io VPP as a data plane, through its binary API."""

"""VPP's binary API: the connection, the messages, and what can go wrong."""

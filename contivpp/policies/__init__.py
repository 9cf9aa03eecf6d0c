"""Who may talk to whom: network policies as rule tables, whatever data plane enforces them. No input or output."""

"""`contiv-netctl deploy`, `plan`, `upgrade`, `reconfigure`, `reset`: the playbooks, with a plan before and progress."""

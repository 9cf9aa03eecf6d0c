"""The kernel's packet filter and address translation: one table of ours, as values."""

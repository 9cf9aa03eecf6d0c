"""The kernel's packet trace for one flow: what is to be traced, what nftables tells of it, and what that means."""

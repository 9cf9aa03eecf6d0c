"""Configuration that others than this agent want of its node, merged over what the agent renders itself."""

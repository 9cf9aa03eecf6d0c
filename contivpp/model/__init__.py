"""The words of the system: typed records, keys, configuration, addresses. No input or output."""

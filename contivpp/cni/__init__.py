"""The CNI plugin: one file that needs nothing but Python."""

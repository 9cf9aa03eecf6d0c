"""The data planes: values, and the descriptors that make them real."""

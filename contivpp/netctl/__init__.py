"""contiv-netctl: the operator's command line. Views return data; rendering is separate."""

"""What VPP can be asked for, as values: frozen records with a key each.

`interface` is always a logical name: that of an interface value. `vrf` is the number of a table.
"""

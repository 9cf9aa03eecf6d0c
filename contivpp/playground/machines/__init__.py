"""The machines of a playground: Debian in systemd-nspawn on one bridge, as like real hosts as can be.

Standard library only: it runs before anything else is installed. All state is on disk and in the kernel
(a folder and a control group per machine), so every command can be repeated, and taken back, after any
other has been cut off in the middle.
"""

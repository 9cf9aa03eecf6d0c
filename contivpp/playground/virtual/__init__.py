"""A virtual machine in pure software emulation, for what a container cannot have: a kernel and PCI NICs of its own.

It is the playground's Debian with a kernel, on emulated hardware: an IOMMU, and NICs of the kinds asked for, each on
a bridge of this machine. The processor is emulated too, so it runs where there is no /dev/kvm, and some ten times
slower. As with the playground's machines all state is on disk and in the kernel: every command can be repeated.
"""

"""The disk that every virtual machine starts with, and the kernel that boots it.

Made once from the playground's base image with a kernel, DPDK's tools and an initial RAM disk that holds only what
this hardware needs. A disk that was cut off while it was being made is never taken for one.
"""

from __future__ import annotations

from pathlib import Path

from contivpp.playground.machines.image import FILES, MASKED, PACKAGES, Image, Recipe
from contivpp.playground.machines.shell import run

# DPDK's libraries come with dpdk-dev, which has dpdk-testpmd; a VPP that was built against them finds them too.
KERNEL_PACKAGES = ("dpdk", "dpdk-dev", "initramfs-tools", "linux-image-amd64", "pci.ids", "pciutils")
VIRTUAL = Recipe(
    packages=(*PACKAGES, *KERNEL_PACKAGES),
    masked=(*MASKED, "dpdk.service", "grub-common.service"),
    files={
        **FILES,
        # The kernel finds the disk by these, and everything else on the disk.
        "etc/initramfs-tools/conf.d/contiv-virtual": "MODULES=list\nCOMPRESS=gzip\nRESUME=none\n",
        "etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\next4\n",
    },
)
_SIZE = "6G"
_BUILD_TIMEOUT = 600


class Disk:
    """The first disk below a state folder, as a raw image with holes where nothing is."""

    def __init__(self, state: Path) -> None:
        self._image = Image(state, VIRTUAL)
        self.file = state / "disk"

    @property
    def kernel(self) -> Path:
        """What is booted: the kernel that the image has."""
        return (self._image.root / "vmlinuz").resolve()

    @property
    def initial(self) -> Path:
        """Its initial RAM disk; Debian links to one only when a kernel made it while it was installed."""
        return self.kernel.with_name(self.kernel.name.replace("vmlinuz", "initrd.img"))

    def is_built(self) -> bool:
        """Tells whether a disk of the present recipe is there."""
        return self._image.is_built() and self.file.is_file()

    def build(self) -> None:
        """Makes the image and the disk; takes some three minutes.

        Raises:
            MachinesError: A tool is missing or failed.
        """
        self.file.unlink(missing_ok=True)
        if not self._image.is_built():
            self._image.build()
        root = self._image.root
        run(["chroot", root, "update-initramfs", "-c", "-k", "all"], timeout=_BUILD_TIMEOUT)
        part = self.file.with_suffix(".part")
        part.unlink(missing_ok=True)
        run(["mke2fs", "-q", "-t", "ext4", "-d", root, part, _SIZE], timeout=_BUILD_TIMEOUT)
        part.rename(self.file)

    def remove(self) -> bool:
        """Removes the disk and the image; returns whether there was anything."""
        there = self.file.exists()
        for file in (self.file, self.file.with_suffix(".part")):
            file.unlink(missing_ok=True)
        return self._image.remove() or there

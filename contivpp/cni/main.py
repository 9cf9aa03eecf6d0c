"""The console script `contiv-cni`: the same plugin, for a look at it by hand; a node gets the faster script."""

from __future__ import annotations

import sys

from contivpp.cni import relay


def main() -> None:
    """Runs one call."""
    sys.exit(relay.main())  # type: ignore[no-untyped-call]

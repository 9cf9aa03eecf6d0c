"""What the benchmarks share: one JSON object per line, and percentiles."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from typing import Any

# What an installer does: a program that would be compiled at every start is not what runs on a node.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def report(name: str, value: float, unit: str, samples: int, **more: Any) -> None:
    """Prints one figure."""
    print(json.dumps({"name": name, "value": round(value, 4), "unit": unit, "samples": samples, **more}), flush=True)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]

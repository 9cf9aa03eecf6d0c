"""How patient tests are: waiting times are multiplied where everything takes longer than on a real processor."""

from __future__ import annotations

import os

PATIENCE = float(os.environ.get("CONTIV_TEST_PATIENCE", "1"))

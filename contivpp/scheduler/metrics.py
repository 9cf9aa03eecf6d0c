"""What the scheduler counts for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

TRANSACTIONS = Counter(
    "contiv_scheduler_transactions", "Transactions by type and outcome (done, failed, reverted)", ["type", "outcome"]
)
COMMIT_SECONDS = Histogram(
    "contiv_scheduler_commit_seconds", "From the start of a transaction to its end", ["type"], buckets=_SECONDS
)
OPERATIONS = Counter(
    "contiv_scheduler_operations",
    "Operations on the data plane by descriptor, kind and outcome (done, failed)",
    ["descriptor", "operation", "outcome"],
)
BATCH_SECONDS = Histogram(
    "contiv_scheduler_batch_seconds",
    "How long a descriptor took for one batch of operations",
    ["descriptor", "operation"],
    buckets=_SECONDS,
)
READ_SECONDS = Histogram(
    "contiv_scheduler_read_seconds",
    "How long a descriptor took to read the data plane",
    ["descriptor"],
    buckets=_SECONDS,
)
READ_ERRORS = Counter("contiv_scheduler_read_errors", "Failed attempts to read the data plane", ["descriptor"])
VALUES = Gauge("contiv_scheduler_values", "Values by state", ["state"])
RETRYING = Gauge("contiv_scheduler_retries_waiting", "Values that will be tried again")
RETRIES = Counter("contiv_scheduler_retries", "Values that were tried again")

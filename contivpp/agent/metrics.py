"""What the controller tells Prometheus. The names are an interface, and the README lists them all.

Labels are few and bounded: kinds of events, names of features, outcomes; never a pod, a node or a key.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

EVENTS = Counter(
    "contiv_agent_events",
    "Events that were handled, by kind and outcome (ok, error, reverted, skipped, crashed)",
    ["event", "outcome"],
)
EVENT_SECONDS = Histogram(
    "contiv_agent_event_seconds",
    "From the start of handling an event to its committed transaction",
    ["event"],
    buckets=_SECONDS,
)
HANDLER_SECONDS = Histogram(
    "contiv_agent_handler_seconds",
    "Time that a feature took to render what an event affects",
    ["handler"],
    buckets=_SECONDS,
)
COMMIT_SECONDS = Histogram(
    "contiv_agent_commit_seconds", "Time that the scheduler took for a transaction of an event", buckets=_SECONDS
)
QUEUED = Gauge(
    "contiv_agent_queued_events", "Events that wait, by queue (main, follow_up, held for the first resync)", ["queue"]
)
IN_SYNC = Gauge("contiv_agent_in_sync", "Whether the first resync has run (1) or not (0)")
HEALINGS = Counter(
    "contiv_agent_healings",
    "What became of failures of best-effort events (mended by retry, by healing; unmended by a healing)",
    ["outcome"],
)
DIFFERENCES = Counter(
    "contiv_agent_verification_differences",
    "What verification found not to be as it should, by place (data_plane, rendering)",
    ["place"],
)
PROBE = Gauge("contiv_agent_etcd_answers", "Whether the last probe of etcd was answered (1) or not (0)")

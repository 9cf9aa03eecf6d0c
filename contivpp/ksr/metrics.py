"""Counters per kind. Source: spec/cluster.md 1.4 (KsrStats)."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

ADDS = Counter("contiv_ksr_adds", "Records added to etcd", ["kind"])
UPDATES = Counter("contiv_ksr_updates", "Records changed in etcd", ["kind"])
DELETES = Counter("contiv_ksr_deletes", "Records deleted from etcd", ["kind"])
RESYNCS = Counter("contiv_ksr_resyncs", "Complete comparisons of Kubernetes with etcd", ["kind"])
ERRORS = Counter("contiv_ksr_errors", "Batches that could not be written", ["kind"])
UNDECODABLE = Counter("contiv_ksr_undecodable", "Kubernetes objects that were skipped", ["kind"])
LEADER = Gauge("contiv_ksr_leader", "Whether this instance writes (1) or stands by (0)")
OBJECTS = Gauge("contiv_ksr_objects", "Kubernetes objects that are reflected", ["kind"])

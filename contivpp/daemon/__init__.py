"""What every long-running program needs: root tasks, probes and metrics over HTTP, logs, patience."""

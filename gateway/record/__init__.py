"""What is recorded of a request: its outcome, the log, the counters, spans.

In reading order: `build` (how this copy was built), `sender` (what the log may hold of a client), `ids`, `outcome` (one
request's record), `subject` (who asked, as a digest), `audit_file`, `audit_line` and `audit` (who did what, apart from
the log), `batches` and `logs`, `counters`, `reachability` (of upstreams), `metrics`, `exposition` (as Prometheus reads
them) and `tracing`.
"""

"""What workers and replicas share: one Redis, asked in time or not at all.

In reading order: `redis` (the connection: up or down, never slower than its time-out), `ended` (sessions that count no
more).
"""

"""How many of it run: one process, or a master and its workers.

In reading order: `memory` (given back to the system), `process` (one of them), `folder` (where their sockets lie),
`worker` and `workers` (several), `run` (as many as the file says).
"""

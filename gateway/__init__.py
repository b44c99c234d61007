"""The auth gateway that stands in front of a Mastra server.

Read the packages in this order; each imports only from those before it,
which `tests/test_layers.py` holds:

    policy    what is decided: tokens, principals, rules, routes, `decide` (pure)
    config    the YAML file: text and environment in, frozen policy out (pure but for reading files)
    keys      public keys by address: fetched, refreshed, bounded (I/O)
    proxy     passing an allowed request on: headers, streams, WebSocket (I/O)
    express   the express lane's bytes: heads by a strict grammar, chunks, connections to an upstream (I/O)
    explain   the decision told step by step, known causes, cases and coverage, logs summed up (pure)
    server    one running gateway: connections, refusals, metrics, reload, drain (I/O)
    commands  what a person types: serve, check, test, explain and the others
"""

__version__ = "0.1.0"

"""The auth gateway that stands in front of a Mastra server.

Read the packages in this order; each imports only from those before it,
which `tests/test_layers.py` holds:

    policy     what is decided: tokens, principals, rules, routes, `decide` (pure)
    config     the YAML file: text and environment in, frozen policy out (pure but for reading files)
    keys       public keys by address: fetched, refreshed, bounded (I/O)
    stores     what workers and replicas share: a Redis, asked in time or not at all (I/O)
    record     what is noted of a request: outcome, log, counters, spans
    http1      the grammar of HTTP/1.1, ours and aiohttp's, both directions (pure)
    proxy      one request and its response: headers, identity, CORS, refusals, the exchange (pure)
    transport  the sockets: clients, upstreams, TLS, how many there may be (I/O)
    explain    the decision told step by step, known causes, cases and coverage, logs summed up (pure)
    server     one running gateway: all of it together, reload, drain (I/O)
    endpoints  what the gateway serves itself: health, metrics, the status page (I/O)
    engines    the file as the whole configuration of an engine that asks for decisions (pure)
    processes  how many of it run: one, or a master and its workers (I/O)
    commands   what a person types: serve, check, test, explain and the others
"""

__version__ = "0.1.0"

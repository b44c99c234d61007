"""What is decided, and from what. Nothing here reads a clock, a socket, a file or a log.

In reading order: `reasons` and `model` (the vocabulary), `paths` and `credentials`
(what the request says), `token`, `jwk`, `providers`, `claims` and `verify` (whom a token
speaks for), `expressions` and `rules` (who may pass), `upstreams` and `routes` (where to),
`decision` (the one line that joins them).
"""

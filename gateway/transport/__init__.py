"""Sockets: clients' connections, upstreams' connections, and what guards them. What they carry, `proxy` says.

In reading order: `limits` (what every client may send and take), `room`, `descriptors` and `crowd` (how many there may
be), `cork` (what leaves together), `hangup` (whether somebody has gone), `upstream` and `pool` (the upstreams' side),
`client` and `listener` (the clients'), `asking` and `unix` (the engines'), `plain_http`, `door` and `certificate` (TLS
on the public port).
"""

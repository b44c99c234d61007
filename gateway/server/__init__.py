"""One running gateway.

In reading order: `limits` (what every client may send and take), `room`, `descriptors` and `crowd` (how many there
may be), `connection` (one client's connection, and what aiohttp leaves to a gateway to guard), `broken` (why its
parser stopped), `door`, `plain_http` and `certificate` (TLS on the public port), `runtime` (one configuration at
work), `head` (a request's head), `outcome`, `counters`, `metrics`, `exposition`, `recent`, `reachability`, `logs`,
`subject` and `tracing` (what is recorded of a request), `host` (what a request needs to know of the gateway around
it), `handler` (one request); the same on the express lane: `shared`, `heads`, `answering`, `exchange` (one
request), `hangup`, `lane_connection` and `lane`; `gateway` (all of it together), `admin` with `state`, `trouble`,
`questions` and `local` (what it says of this process), `reload`, `memory`, `process`, `folder`, `worker`, `merge`,
`fleet` and `workers` (several processes), `run`.
"""

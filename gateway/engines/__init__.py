"""The file as the whole configuration of an engine that asks the decision API: what it says safely, or why it cannot.

In reading order: `plan` (what all of them need to know), `objections` (what an engine cannot do, at which key of the
file), and a printer for each engine: `nginx` with `nginx_locations`, `envoy` with `envoy_clusters`, `haproxy` with
`haproxy_lua`, `caddy`, `traefik`, `envoy_gateway` (an object of Kubernetes); then `printing`: the one that is asked
for.
"""

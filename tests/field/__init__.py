"""Situations of the field: public reports of people who put a token-checking proxy in front of something, built small.

One test each, named after the situation, its sources in the docstring. `issuer` signs and publishes as the issuers do,
`gateways` runs the gateway in front of an upstream that keeps what came. Beside what must work stands the nearest
request that must not, with its code, and nothing of it reaches the upstream.
"""

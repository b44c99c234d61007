"""Public keys by address: when they count, when they are fetched, and how.

In reading order: `entry` (when a key counts), `admission` (which issuers of a template are asked at all), `status`
(what is told of them), `asking` and `fetch` (one document over HTTP), `store` (all of it in time).
"""

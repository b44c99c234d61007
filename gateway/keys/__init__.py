"""Public keys by address: `entry` says when a key counts, `store` fetches in time, `fetch` speaks HTTP."""

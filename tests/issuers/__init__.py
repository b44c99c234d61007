"""Well-known issuers: what they publish and what their tokens look like, as data, and a server that stands in for all."""

"""Well-known issuers: what they publish and what their tokens look like, as data, and a server in place of all."""

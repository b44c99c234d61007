"""The gateway beside public gateways, at the same work: `make bench`."""

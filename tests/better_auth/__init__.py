"""better-auth from npm as the issuer: its plugin jwt(), as it comes."""

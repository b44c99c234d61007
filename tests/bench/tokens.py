"""The tokens that are sent: good ones in files of one a line, and one of each kind that must be refused."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.bench.setups import SECRET, Place, issuer_of

_GROUP = "group-{:05}"


class Tokens:
    """Writes each file when it is first asked for: twenty thousand signatures take a while."""

    def __init__(self, place: Place, key: rsa.RSAPrivateKey) -> None:
        self._place, self._key, self._now = place, key, int(time.time())

    def file(self, name: str) -> Path:
        """Return a file of tokens by its name: `one`, `thousand`, `new`, `wrong`, `issuers-N`, `size-BYTES-COUNT`."""
        file = self._place.folder / f"tokens-{name}"
        if not file.exists():
            file.write_text("\n".join(self._lines(name)) + "\n")
        return file

    def good(self, name: str, number: int) -> list[str]:
        """Return the first tokens of a file, so many at most."""
        return self.file(name).read_text().splitlines()[:number]

    def bad(self, *, has_secret: bool) -> dict[str, str | None]:
        """Return what must be refused, by what is wrong with it."""
        signed: Callable[..., str] = self._by_secret if has_secret else self._by_key
        good, other = signed(0), signed(1)
        return {
            "none": None,
            "no token": "x",
            "wrong signature": f"{good.rpartition('.')[0]}.{other.rpartition('.')[2]}",
            "expired": signed(0, exp=self._now - 60),
            "wrong issuer": signed(0, iss="https://evil.test/"),
            "wrong audience": signed(0, aud="other"),
            "foreign email": signed(0, email="user@evil.test"),
        }

    def _lines(self, name: str) -> list[str]:
        match name.split("-"):
            case ["one"]:
                return [self._by_key(0)]
            case ["thousand"]:
                return [self._by_key(number) for number in range(1000)]
            case ["new"]:  # more than any cache of tokens holds, or than one round asks for
                return [self._by_key(number) for number in range(20_000)]
            case ["wrong"]:
                many = self.file("new").read_text().splitlines()
                return [f"{many[at].rpartition('.')[0]}.{many[at - 1].rpartition('.')[2]}" for at in range(len(many))]
            case ["issuers", issuers]:
                return [
                    self._by_key(number, iss=issuer_of(self._place, number % int(issuers))) for number in range(1000)
                ]
            case ["size", size, count]:
                return [self._by_secret(number, int(size)) for number in range(int(count))]
        raise ValueError(f"found no tokens {name!r}")

    def _by_key(self, number: int, **changes: Any) -> str:
        claims: dict[str, Any] = self._claims(f"user-{number}")
        claims |= {"iat": self._now, "jti": f"{number:032x}"} | changes
        return jwt.encode(claims, self._key, "RS256", headers={"kid": "k1"})

    def _by_secret(self, number: int, size_bytes: int = 235, **changes: Any) -> str:
        return padded(self._claims(f"u{number}") | changes, size_bytes)

    def _claims(self, subject: str) -> dict[str, Any]:
        known = {"iss": self._place.issuer, "aud": self._place.audience, "exp": self._now + 86400}
        return known | {"sub": subject, "email": f"{subject}@example.com"}


def padded(claims: dict[str, Any], size_bytes: int) -> str:
    """Return a token of HS256 of this size, made so by groups as large tokens have, and a filler.

    Raises `ValueError` where the claims alone are too long, or where base64url knows no such length.
    """
    claims_bytes = (size_bytes - len(jwt.encode({}, SECRET, "HS256")) + len("e30")) * 3 // 4
    room = claims_bytes - _length(claims | {"x": ""})
    groups = [_GROUP.format(number) for number in range(max(0, room - 16) // len(f'"{_GROUP.format(0)}",'))]
    whole = claims | ({"groups": groups} if groups else {}) | {"x": ""}
    whole["x"] = "x" * (claims_bytes - _length(whole))
    token = jwt.encode(whole, SECRET, "HS256")
    if len(token) != size_bytes:
        raise ValueError(f"found a token of {len(token)} bytes, expected {size_bytes}")
    return token


def _length(claims: dict[str, Any]) -> int:
    return len(json.dumps(claims, separators=(",", ":")))

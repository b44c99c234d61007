"""A login as it is remembered, and its cookies: one, or several where it is larger than browsers keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

# Of one cookie with its name and attributes: browsers keep 4,096 bytes (RFC 6265 section 6.1).
PART_CHARACTERS: Final = 3_600
MAX_PARTS: Final = 4
BEGUN_SLOTS: Final = 16  # for logins that are under way in one browser: one cookie each
RENEW_SECONDS: Final = 30.0  # before the issuer's word ends, the next is asked for
# The gateway's own addresses that are told of a session also where the issuer's word on it has ended.
ABOUT_SESSIONS: Final = frozenset({"logout", "refresh"})


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody's login. All times are Unix seconds.

    `good_until` is when the issuer's word ends; with a `refresh_token` the server asks for the next before that.
    `seen_at` is of the last request that was written down; see `Seal.is_worn`.
    """

    id: str
    provider: str
    id_token: str = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    begun_at: float
    seen_at: float
    good_until: float
    refresh_token: str | None = field(default=None, repr=False)
    kept: list[Any] = field(init=False, repr=False, compare=False)  # whom it speaks for: see `principal_of_session`

    def __post_init__(self) -> None:
        object.__setattr__(self, "kept", [])

    def seen(self, now: float) -> Session:
        """Return it as of a request now."""
        return replace(self, seen_at=now)


def parts_of(text: str) -> list[str]:
    """Return a cookie's text in parts that browsers keep. Raises `ValueError` for more than they would send back."""
    parts = [text[at : at + PART_CHARACTERS] for at in range(0, len(text), PART_CHARACTERS)]
    if len(parts) > MAX_PARTS:
        raise ValueError(f"{len(text)} characters")
    return parts


@lru_cache(maxsize=64)  # of the file alone
def part_names(name: str) -> tuple[str, ...]:
    """Return the names of a session's cookies: the first part has the name itself."""
    return (name, *(f"{name}.{number}" for number in range(1, MAX_PARTS)))


@lru_cache(maxsize=64)
def begun_names(name: str) -> tuple[str, ...]:
    """Return the names of the cookies of begun logins: fixed ones, so that whoever takes cookies away can name them."""
    return tuple(f"{name}-login.{number}" for number in range(BEGUN_SLOTS))


@lru_cache(maxsize=64)
def sealed_names(name: str) -> tuple[str, ...]:
    """Return the names of all cookies that only the gateway may see."""
    return (*part_names(name), *begun_names(name))

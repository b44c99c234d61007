"""Issuers whose name holds a claim: `https://login.microsoftonline.com/{tid}/v2.0` stands for one of each tenant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.policy.claim_names import read_claim

# RFC 3986 section 2.3, unreserved: what stands for itself in a path, and can neither end a segment nor leave the host.
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~-]{1,128}")


@dataclass(frozen=True, slots=True)
class Part:
    """One segment between two slashes: written out, or filled by the claim of a name."""

    text: str
    is_claim: bool = False


@dataclass(frozen=True, slots=True)
class IssuerTemplate:
    """An issuer with claims in it, each of which fills exactly one segment. `text` is as the file has it."""

    text: str
    parts: tuple[Part, ...]

    def fault(self, issuer: str, claims: Mapping[str, Any]) -> str | None:
        """Return why a token of this issuer is none of the template's; None if it is.

        The claim must agree with the issuer: who could write one tenant into `iss` and another into `tid` would be
        judged as the first and taken for the second (the mix-up of microsoft/Agents#626).
        """
        if not self.may_be(issuer):
            return f"it is not of the form {self.text}"
        for part, segment in zip(self.parts, issuer.split("/"), strict=True):
            if not part.is_claim:
                continue
            value = read_claim(claims, part.text)
            if not isinstance(value, str):
                return f"{part.text} is {'missing' if value is None else 'no text'}, and {self.text} is filled with it"
            if value != segment:
                return f"{part.text} is {value[:100]!a}, and iss has {segment!a} in its place"
        return None

    def may_be(self, issuer: str) -> bool:
        """Return whether some token of this issuer could be of the template."""
        segments = issuer.split("/")
        return len(segments) == len(self.parts) and all(map(_fits, self.parts, segments))

    def may_meet(self, other: IssuerTemplate) -> bool:
        """Return whether one issuer could be of both templates."""
        return len(self.parts) == len(other.parts) and all(map(_meet, self.parts, other.parts))

    def filled(self, values: Mapping[str, str]) -> str:
        """Return the issuer with these claims, which must be there."""
        return "/".join(values[part.text] if part.is_claim else part.text for part in self.parts)


def fills_segment(value: str) -> bool:
    """Return whether a claim's text may stand in a template: one segment, and neither `.` nor `..` or their kind."""
    return _SEGMENT.fullmatch(value) is not None and value.strip(".") != ""


def _fits(part: Part, segment: str) -> bool:
    return fills_segment(segment) if part.is_claim else part.text == segment


def _meet(one: Part, other: Part) -> bool:
    if one.is_claim:
        return other.is_claim or fills_segment(other.text)
    return _fits(other, one.text)

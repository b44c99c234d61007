"""Changes to requests and texts: bytes, lines, and what is known to have fooled parsers."""

from __future__ import annotations

import base64
import json
from random import Random

_CHARACTERS = [bytes([code]) for code in b'\r\n\0\x0b\x0c\t :,;%/\\.="\x7f\x80\xff_-#?@{[019']
_CHARACTERS += [b"\r\n", b"\xc0\xae", b"\xe2\x80\x8b"]
_NUMBERS = [b"0", b"00", b"-1", b"+1", b"0x1", b"1_0", b"1e3", b"65536", b"4294967296", b"18446744073709551615"]
_WORDS = [
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 99999\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive, X-Auth-User-Id\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    b"Upgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"X-Auth-User-Id: evil\r\n",
    b"x_auth_user_id: evil\r\n",
    b"X-Forwarded-For: 6.6.6.6\r\n",
    b"X-Original-URL: /api/x\r\n",
    b"Authorization: Bearer x.y.z\r\n",
    b"Host: evil.test\r\n",
    b"Cookie: session=x\r\n",
    b"Trailer: X\r\n",
    b"TE: trailers\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"GET /api/smuggled HTTP/1.1\r\nHost: gw.test\r\n\r\n",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"http://gw.test",
    b"/../",
    b"/%2e%2e/",
    b"..;/",
    b"%2f",
    b"%5c",
    b"%00",
    b"%252e",
    b"/api",
    b"/public",
    b"//",
]


def mutated(random: Random, data: bytes, others: list[bytes]) -> bytes:
    """Return data with one to six changes; `others` lend their parts."""
    for _ in range(random.randint(1, 6)):
        data = random.choice(_CHANGES)(random, data, others)
    return data[:100_000]


def _place(random: Random, data: bytes) -> int:
    return random.randint(0, len(data))


def _insert(random: Random, data: bytes, others: list[bytes]) -> bytes:
    place = _place(random, data)
    return data[:place] + random.choice(_CHARACTERS) + data[place:]


def _insert_word(random: Random, data: bytes, others: list[bytes]) -> bytes:
    # Most often where a line begins: there it means something.
    lines = [0, *(place + 2 for place in range(len(data)) if data[place : place + 2] == b"\r\n")]
    place = random.choice(lines) if random.random() < 0.8 else _place(random, data)
    return data[:place] + random.choice(_WORDS) + data[place:]


def _remove(random: Random, data: bytes, others: list[bytes]) -> bytes:
    place = _place(random, data)
    return data[:place] + data[place + random.choice((1, 1, 1, 2, 4, 30)) :]


def _replace(random: Random, data: bytes, others: list[bytes]) -> bytes:
    place = _place(random, data)
    return data[:place] + random.choice(_CHARACTERS) + data[place + 1 :]


def _flip_case(random: Random, data: bytes, others: list[bytes]) -> bytes:
    start, end = sorted((_place(random, data), _place(random, data)))
    return data[:start] + data[start : min(end, start + 20)].swapcase() + data[min(end, start + 20) :]


def _repeat(random: Random, data: bytes, others: list[bytes]) -> bytes:
    start, end = sorted((_place(random, data), _place(random, data)))
    return data[:end] + data[start:end] * random.choice((1, 1, 2, 50)) + data[end:]


def _lines(random: Random, data: bytes, others: list[bytes]) -> bytes:
    lines = data.split(b"\r\n")
    one, two = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(4):
        case 0:
            lines.insert(one, lines[two])
        case 1:
            del lines[one]
        case 2:
            lines[one], lines[two] = lines[two], lines[one]
        case _:
            lines[one] = lines[one].replace(b"-", b"_") if b"-" in lines[one] else lines[one] + b" "
    return b"\r\n".join(lines)


def _splice(random: Random, data: bytes, others: list[bytes]) -> bytes:
    other = random.choice(others)
    return data[: _place(random, data)] + other[_place(random, other) :]


def _pipeline(random: Random, data: bytes, others: list[bytes]) -> bytes:
    return data + random.choice(others)


def _number(random: Random, data: bytes, others: list[bytes]) -> bytes:
    places = [place for place in range(len(data)) if data[place : place + 1].isdigit()]
    if not places:
        return data
    place = random.choice(places)
    value = random.choice(_NUMBERS)
    return data[:place] + value + data[place + 1 :]


def _token(random: Random, data: bytes, others: list[bytes]) -> bytes:
    """Change a JSON part of a token, so that it is well-formed and says something else."""
    start = data.find(b"eyJ")
    if start < 0:
        return data
    end = start
    while end < len(data) and data[end : end + 1] not in (b".", b"\r", b" ", b";"):
        end += 1
    try:
        part = json.loads(base64.urlsafe_b64decode(data[start:end] + b"=="))
        name = random.choice([*part, "alg", "kid", "crit", "sub"])
        part[name] = random.choice((None, 0, -1, 1e300, "", "none", "evil", [], {}, [name], True, "HS256", "x" * 3000))
    except (ValueError, TypeError, AttributeError):
        return data
    return data[:start] + base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") + data[end:]


_CHANGES = [_insert, _insert, _insert_word, _insert_word, _remove, _replace, _flip_case]
_CHANGES += [_repeat, _lines, _lines, _splice, _pipeline, _number, _token]

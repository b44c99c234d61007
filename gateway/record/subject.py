"""Subjects in the log: hashed with a key of this installation, so that callers can be told apart, not looked up."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gateway.policy.memory import Remembered

_KEY_BYTES: Final = 32
_HASH_BYTES: Final = 8
_MAX_KNOWN, _MAX_KNOWN_LENGTH = 4096, 256
_FOLDER: Final = "mastra-auth-gateway"
_FILE: Final = "subject.key"


class SubjectHash:
    """Hashes subjects with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.sha256(key).digest()
        self._hashes: Remembered[str, str] = Remembered(_MAX_KNOWN)  # the same callers come again and again

    def __call__(self, subject: str | None) -> str | None:
        """Return 64 bits of a keyed BLAKE2b (RFC 7693) in hexadecimal; None for nobody."""
        if subject is None:
            return None
        known = self._hashes.known.get(subject)
        if known is None:
            written = subject.encode("utf-8", "surrogatepass")
            known = hashlib.blake2b(written, key=self._key, digest_size=_HASH_BYTES).hexdigest()
            if len(subject) <= _MAX_KNOWN_LENGTH:
                self._hashes.keep(subject, known)
        return known


def installation_key(environment: Mapping[str, str]) -> tuple[bytes, str]:
    """Return this installation's key, made at the first start, and why it could not be kept (empty if it is)."""
    folder = _state_folder(environment)
    if folder is None:
        return secrets.token_bytes(_KEY_BYTES), "there is no folder for it ($GATEWAY_STATE_DIR and HOME are not set)"
    file = folder / _FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keep_once(file, secrets.token_hex(_KEY_BYTES).encode())
        kept = bytes.fromhex(file.read_text(encoding="ascii"))
    except (OSError, ValueError) as problem:
        return secrets.token_bytes(
            _KEY_BYTES
        ), f"{file} cannot be used: {getattr(problem, 'strerror', None) or problem}"
    if len(kept) != _KEY_BYTES:
        return secrets.token_bytes(_KEY_BYTES), f"{file} holds something else than a key: remove it"
    return kept, ""


def keep_once(file: Path, content: bytes) -> None:
    """Leave the content in a file that only its owner can read; one that is there stays as it is. Raises `OSError`."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as output:
            output.write(content)
        # Linking, not writing in place: the file is there whole or not at all, and never replaced.
        with contextlib.suppress(FileExistsError):
            os.link(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)


def _state_folder(environment: Mapping[str, str]) -> Path | None:
    for name in ("GATEWAY_STATE_DIR", "STATE_DIRECTORY"):  # the second is systemd's
        if environment.get(name):
            return Path(environment[name].partition(":")[0])
    if environment.get("XDG_STATE_HOME"):
        return Path(environment["XDG_STATE_HOME"]) / _FOLDER
    return Path(environment["HOME"]) / ".local" / "state" / _FOLDER if environment.get("HOME") else None

"""Sealed ids: ids of predictions that carry the output, so that an outcome finds it weeks later without any memory.

An id ends with a uuid of version 4, which has 122 free bits. In a sealed id they are, in order:

    bits | meaning
    58   | random: the first bits of the id before it was sealed
    32   | output in 32 bits (`baseline.codes`), under a mask (exclusive or)
    32   | tag

A keyed hash (BLAKE2s) of the text before the masked output gives each id numbers of its own: the mask, and *a* and *b*
of 64 bits. The tag of the output's bits *x* is the upper half of (*a* x + *b*) mod 2^64. A process with the key opens
the id, whichever replica made it. Without the key it is as random as any other, and can be neither read nor forged:

- That hash is strongly universal: while one output and its tag are known, the tag of any other output is uniform. So
  mask and tag need only one call of BLAKE2s, and a forgery passes with a probability of 2^-32 for each try. The caller
  counts the ids that do not open.
- This holds while no two outputs have the same numbers: a prediction is sealed once, and two predictions have the same
  numbers only if a server makes them in the same second with the same 58 random bits. Among n predictions in a second
  that has a probability of n^2 / 2^59: at 1,000 a second, it happens once in 18,000 years. Then these two ids would
  show the exclusive or of their outputs, and others of the same numbers could be forged.
- Predictions of one request by several models begin alike (`PredictionId.beside`). Their seals have other names, so
  their numbers are different.

References:
    Carter and Wegman, New hash functions and their use in authentication and set equality, JCSS 22, 1981.
    Dietzfelbinger, Universal hashing and k-wise independent random variables via integer arithmetic without primes,
    STACS 1996.
    Aumasson, Neves, Wilcox-O'Hearn and Winnerlein, BLAKE2: simpler, smaller, fast as MD5, ACNS 2013.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import struct
from collections.abc import Callable
from datetime import datetime
from hashlib import blake2s
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple, TypeAlias

from flask_boxkite.baseline.codes import NEAREST, Code
from flask_boxkite.compiled import native
from flask_boxkite.errors import ConfigError
from flask_boxkite.live.folding import KEY_FILE
from flask_boxkite.system.files import open_private, read_file, write_all
from flask_boxkite.system.locks import locked
from flask_boxkite.values.ids import PredictionId

__all__ = ["IdSeal", "Opened", "Seal", "id_key"]

logger = logging.getLogger("flask_boxkite")

_LEAST_LETTERS = 16
_KEY_TEXT = re.compile(rb"[0-9a-f]{64}\n")
_process_text = token_hex(32)  # made on import, so that forked workers share it

_new = tuple.__new__
_Numbers: TypeAlias = "tuple[int, int, int, int]"
_NUMBERS = struct.Struct("<IQQQ")
"""Numbers of an id: mask, a, b, fingerprint."""

_LAST = struct.Struct(">Q")  # the last two groups of a uuid
_TAIL = 19
"""Characters of a uuid from the first that is not all random: the last of its third group."""
_ID_WITHOUT_SERVER = 56
_UUID = 36
_LOW = 2**62 - 1
_VARIANT = 2**63
_DIGITS = "0123456789abcdef"


class Opened(NamedTuple):
    """Content of a sealed id.

    Attributes:
        value: Output, rounded by the code.
        time: Time of the prediction in Unix seconds, a whole number.
        fingerprint: 64 bits that identify the prediction, different under another key or name.
    """

    value: float
    time: float
    fingerprint: int


class IdSeal:
    """Seals ids of predictions and opens them. It changes nothing, so any thread may use it, also after a fork.

    Attributes:
        seal: Returns the id under which a prediction's output is found without any memory, as `Seal` explains.

    Args:
        key: Secret of up to 32 bytes.
        name: Name that is bound into each id, such as model and baseline; a seal of another name opens none of them.
        code: Code of the outputs. Its name is bound into each id too, so that no other code reads it.
    """

    def __init__(self, key: bytes, name: str, code: Code = NEAREST) -> None:
        whole = f"{name}\n{code.name}" if code.name else name
        own = blake2s(_encoded(whole), key=key, person=b"id-name").digest()
        # Copied for each id, which costs half as much as a new one.
        self._numbers_hash = blake2s(key=own, digest_size=_NUMBERS.size, person=b"id-seal")
        self._fingerprint_hash = blake2s(key=own, digest_size=8, person=b"id-print")
        self.seal: Callable[[PredictionId, float], PredictionId | None] = (
            Seal(self._numbers_hash, code) if native is None else native.Seal(self._numbers_hash, PredictionId, code)
        )
        self._code = code

    def open(self, text: str) -> Opened | None:
        """Return the content of a sealed id; None for any other text. Never raises.

        The id of a batch's row (``{id}/{i}``) is no sealed id.
        """
        try:
            digit, low = int(text[-_TAIL], 16), int(text[-17:-13] + text[-12:], 16)
        except (IndexError, ValueError):
            return None

        start, kept = text[:-_TAIL], digit & 12
        numbers = _numbers(self._numbers_hash, start, kept)
        bits = ((digit & 3) << 30 | (low & _LOW) >> 32) ^ numbers[0]
        # The whole text is compared, so that each id has one spelling.
        if text != start + _tail(kept, bits, numbers):
            return None

        moment = text[-_ID_WITHOUT_SERVER : -_UUID - 1]
        try:
            time = datetime.fromisoformat(f"{moment}+00:00").timestamp()
        except ValueError:
            return None
        return _new(Opened, (self._code.value(bits), time, numbers[3]))

    def fingerprint(self, text: str) -> int:
        """Return 64 bits that identify any text, such as an id that is not sealed or a caller's own key."""
        state = self._fingerprint_hash.copy()
        state.update(_encoded(text))
        return int.from_bytes(state.digest(), "little")


class Seal:
    """Seals ids, in Python; an `IdSeal` has the faster one where there is one.

    Args:
        numbers_hash: Keyed hash that gives each id its numbers.
        code: Code of the outputs.
    """

    def __init__(self, numbers_hash: blake2s, code: Code) -> None:
        self._numbers_hash = numbers_hash
        self._bits_of = code.bits

    def __call__(self, prediction: PredictionId, value: float) -> PredictionId | None:
        """Return the sealed id; None if no bits stand for the output. To be called once for an id.

        Args:
            prediction: Id as it was made; its server, its time and its first 58 random bits stay.
            value: Output.
        """
        bits = self._bits_of(value)
        if bits is None:
            return None

        text, _, time_ns = prediction
        start, kept = text[:-_TAIL], int(text[-_TAIL], 16) & 12
        sealed = start + _tail(kept, bits, _numbers(self._numbers_hash, start, kept))
        return _new(PredictionId, (sealed, sealed[-_UUID:], time_ns))


def _numbers(numbers_hash: blake2s, start: str, kept: int) -> _Numbers:
    """Return the numbers of the id that begins with *start* and the upper half of the next digit."""
    state = numbers_hash.copy()
    state.update((start + _DIGITS[kept]).encode("utf-8", "surrogatepass"))
    numbers: _Numbers = _NUMBERS.unpack(state.digest())
    return numbers


def _tail(kept: int, bits: int, numbers: _Numbers) -> str:
    """Return the end of a sealed id: masked output and tag, with the bits that are not free between them."""
    mask, factor, summand, _ = numbers
    word = (bits ^ mask) << 32 | (factor * bits + summand) >> 32 & 0xFFFF_FFFF
    digits = _LAST.pack(word & _LOW | _VARIANT).hex()
    return f"{_DIGITS[kept | word >> 62]}-{digits[:4]}-{digits[4:]}"


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# --- the key ---------------------------------------------------------------------------------------------------------


def id_key(setting: str | None, directory: Path | None, *, patience_seconds: float = 5.0) -> bytes:
    """Return the key of sealed ids, 32 bytes.

    Args:
        setting: Value of ``BOXKITE_ID_KEY``, which replicas share; blanks at its ends do not matter.
        directory: State directory, which keeps a random key for the processes of one server, if there is no setting.
            Without either, a process and its forks have a random key.
        patience_seconds: Longest time to wait for another process that makes it.

    Raises:
        ConfigError: The setting is too short.
        OSError: The directory's key can neither be read nor made.
    """
    if setting is not None:
        text = setting.strip()
        if len(text) < _LEAST_LETTERS:
            # The value is not shown, since it may be a part of the secret.
            remedy = "Make one with: python -c 'import secrets; print(secrets.token_hex())'"
            msg = f"'BOXKITE_ID_KEY' must have at least {_LEAST_LETTERS} characters, got {len(text)}. {remedy}"
            raise ConfigError(msg, key="BOXKITE_ID_KEY")
    else:
        text = _process_text if directory is None else _kept_text(directory / KEY_FILE, patience_seconds)
    return blake2s(_encoded(text), person=b"id-key").digest()


def _kept_text(path: Path, patience_seconds: float) -> str:
    """Return the text in a key file, made if it is missing.

    The text of a damaged file is lost to every process that starts from now on, so the first of them replaces it.
    """
    try:
        data = read_file(path)
    except FileNotFoundError:
        data = b""
    return data.decode().strip() if _KEY_TEXT.fullmatch(data) else _made_text(path, patience_seconds)


def _made_text(path: Path, patience_seconds: float) -> str:
    descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
    try:
        with locked(descriptor, patience_seconds) as is_mine:
            if not is_mine:
                raise OSError(errno.EAGAIN, "another process does not finish it", str(path))
            data = read_file(path, descriptor)
            if not _KEY_TEXT.fullmatch(data):
                if data:
                    logger.warning(
                        "The key of ids in '%s' was damaged, and is replaced: ids made before do not open.", path
                    )
                data = f"{token_hex(32)}\n".encode()
                os.ftruncate(descriptor, 0)
                write_all(descriptor, data, 0)
                os.fsync(descriptor)
            return data.decode().strip()
    finally:
        os.close(descriptor)

"""Sealed ids, bit by bit, and the key that opens them."""

from __future__ import annotations

import calendar
import hashlib
import math
import os
import random
import re
import stat
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from flask_boxkite.baseline.codes import PointCode, SingleCode
from flask_boxkite.compiled import native
from flask_boxkite.errors import ConfigError
from flask_boxkite.live.folding import KEY_FILE
from flask_boxkite.outcomes.sealing import IdSeal, Opened, Seal, id_key
from flask_boxkite.system.files import open_private
from flask_boxkite.system.locks import locked
from flask_boxkite.values.ids import PredictionId, id_maker
from tests.faults import die_at, ended, file_size_limit, fork, read_only
from tests.peers import missing

KEY = bytes(range(32))
SEAL = IdSeal(KEY, "model\n0123456789abcdef")

TIME = 1_700_000_000
LARGEST = 3.4028234663852886e38
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def made(entity: uuid.UUID, server: str = "server", seconds: int = TIME) -> PredictionId:
    """Return an id as an `IdMaker` makes it, from given random bits."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return PredictionId(f"{server}/{moment}/{entity}", str(entity), seconds * 10**9 + 5)


def made_by_chance(chance: random.Random) -> PredictionId:
    return made(uuid.UUID(int=chance.getrandbits(128), version=4))


ONE = made(uuid.UUID("01234567-89ab-4cde-8f01-23456789abcd"))


def sealed(prediction: PredictionId, value: float, seal: IdSeal = SEAL) -> PredictionId:
    found = seal.seal(prediction, value)
    assert found is not None
    return found


# --- the bits --------------------------------------------------------------------------------------------------------


def free_bits(entity: str) -> str:
    bits = f"{uuid.UUID(entity).int:0128b}"
    return bits[:48] + bits[52:64] + bits[66:]


def sealed_by_hand(prediction: PredictionId, value: float, key: bytes, name: str) -> tuple[str, int]:
    """Return the text that `sealing` describes, made of texts of bits, and the fingerprint."""
    own = hashlib.blake2s(name.encode(), key=key, person=b"id-name").digest()
    begin = prediction.text[:-19] + f"{int(prediction.text[-19], 16) // 4 * 4:x}"
    digest = hashlib.blake2s(begin.encode(), key=own, digest_size=28, person=b"id-seal").digest()
    mask, a, b, fingerprint = (int.from_bytes(digest[i:j], "little") for i, j in ((0, 4), (4, 12), (12, 20), (20, 28)))
    x = int(np.float32(value).view(np.uint32))

    free = free_bits(prediction.entity_id)[:58] + f"{x ^ mask:032b}" + f"{(a * x + b) % 2**64 // 2**32:032b}"
    entity = uuid.UUID(int=int(f"{free[:48]}0100{free[48:60]}10{free[60:]}", 2))
    return prediction.text[:-36] + str(entity), fingerprint


KNOWN = {
    0.0: "01234567-89ab-4cdd-b0cf-2f61759440d0",
    0.5: "01234567-89ab-4cdd-8fcf-2f61170b9c24",
    -1.5: "01234567-89ab-4cdf-8f0f-2f61d4d5e1f4",
    LARGEST: "01234567-89ab-4cdc-8fb0-d09e11ee9e1b",
    1.401298464324817e-45: "01234567-89ab-4cdd-b0cf-2f608db7a271",
}


@pytest.mark.parametrize("value", KNOWN)
def test_the_format_has_not_changed(value: float) -> None:
    """Ids that were given to clients must open after an update."""
    found = sealed(ONE, value)
    assert found == (ONE.text[:-36] + KNOWN[value], KNOWN[value], ONE.time_ns)
    assert SEAL.open(found.text) == (value, TIME, 0x12D8_2B90_3F39_757E)


@given(st.uuids(version=4), FINITE, st.text("srv/-é", min_size=1), st.binary(min_size=1, max_size=32), st.text("mü\n"))
def test_a_sealed_id_has_the_described_bits(
    entity: uuid.UUID, value: float, server: str, key: bytes, name: str
) -> None:
    prediction = made(entity, server)
    seal = IdSeal(key, name)
    text, fingerprint = sealed_by_hand(prediction, value, key, name)
    assert sealed(prediction, value, seal).text == text
    assert seal.open(text) == Opened(value, TIME, fingerprint)


@given(
    st.uuids(version=4),
    FINITE,
    st.text(),
    st.integers(calendar.timegm((1000, 1, 1, 0, 0, 0)), calendar.timegm((9999, 12, 31, 23, 59, 59))),
)
@example(uuid.UUID(ONE.entity_id), -0.0, "\udc80", -1)
def test_an_id_gives_back_what_was_sealed(entity: uuid.UUID, value: float, server: str, seconds: int) -> None:
    prediction = made(entity, server, seconds)
    found = sealed(prediction, value)
    opened = SEAL.open(found.text)

    assert opened is not None
    assert (opened.value, math.copysign(1, opened.value)) == (value, math.copysign(1, value))
    assert opened.time == seconds
    assert found.time_ns == prediction.time_ns
    assert found.text == prediction.text[:-36] + found.entity_id


@given(st.uuids(version=4), FINITE)
def test_a_sealed_uuid_is_one_of_version_4_with_the_same_beginning(entity: uuid.UUID, value: float) -> None:
    found = sealed(made(entity), value).entity_id
    parsed = uuid.UUID(found)
    assert (str(parsed), parsed.version, parsed.variant) == (found, 4, uuid.RFC_4122)
    assert free_bits(found)[:58] == free_bits(str(entity))[:58]


def test_ids_as_they_are_made_can_be_sealed() -> None:
    make = id_maker("server")
    ids = [make() for _ in range(1000)]
    opened = [SEAL.open(sealed(prediction, index / 8).text) for index, prediction in enumerate(ids)]
    values, times, fingerprints = zip(*[content for content in opened if content is not None], strict=True)
    assert values == tuple(index / 8 for index in range(1000))
    assert times == tuple(prediction.time_ns // 10**9 for prediction in ids)
    assert len(set(fingerprints)) == 1000


def test_a_value_is_rounded_to_float32() -> None:
    opened = SEAL.open(sealed(ONE, 0.1).text)
    assert opened is not None
    assert opened.value == np.float32(0.1)


@pytest.mark.parametrize("value", [1e39, -1e39, math.inf, -math.inf, math.nan])
def test_no_id_holds_a_value_beyond_float32(value: float) -> None:
    assert SEAL.seal(ONE, value) is None


# --- secrecy ---------------------------------------------------------------------------------------------------------


def test_sealed_ids_of_one_value_look_random() -> None:
    """Each free bit is set in half of 20,000 ids, within 5 standard deviations."""
    chance = random.Random(0)
    texts = [free_bits(sealed(made_by_chance(chance), 0.5).entity_id) for _ in range(20_000)]
    means = np.array([list(map(int, text)) for text in texts]).mean(axis=0)
    assert means.shape == (122,)
    assert np.abs(means - 0.5).max() < 5 * 0.5 / math.sqrt(20_000)


def test_no_bit_of_an_id_tells_a_bit_of_the_value() -> None:
    """Each sealed bit agrees with each bit of the value in half of 20,000 ids, within 5 standard deviations."""
    chance = random.Random(1)
    bits = [chance.getrandbits(31) & ~0x0080_0000 for _ in range(20_000)]  # no exponent of ones
    values = [struct.unpack("<f", struct.pack("<I", word))[0] for word in bits]
    ids = [free_bits(sealed(made_by_chance(chance), value).entity_id)[58:] for value in values]
    signs = 1 - 2 * np.array([list(map(int, text)) for text in ids])
    of_values = 1 - 2 * (np.array(bits)[:, None] >> np.array([*range(23), *range(24, 31)]) & 1)
    assert np.abs(signs.T @ of_values / 20_000).max() < 5 / math.sqrt(20_000)


def test_another_key_or_name_opens_no_id() -> None:
    text = sealed(ONE, 0.5).text
    assert SEAL.open(text) is not None
    assert IdSeal(KEY[:-1] + b"\0", "model\n0123456789abcdef").open(text) is None
    assert IdSeal(KEY, "model\n0123456789abcdee").open(text) is None


# --- forgery ---------------------------------------------------------------------------------------------------------


def flipped(text: str) -> list[str]:
    """Return the text with each of its bits flipped in turn: the bits of the uuid's number, and of other characters."""
    entity = uuid.UUID(text[-36:]).int
    entities = [str(uuid.UUID(int=entity ^ 1 << bit)) for bit in range(128)]
    begin = text[:-36]
    begins = [
        begin[:place] + chr(ord(letter) ^ 1 << bit) + begin[place + 1 :]
        for place, letter in enumerate(begin)
        for bit in range(7)
    ]
    return [begin + other for other in entities] + [other + text[-36:] for other in begins]


@pytest.mark.parametrize("value", [0.0, 0.5, -1.0, LARGEST])
def test_an_id_with_one_flipped_bit_does_not_open(value: float) -> None:
    text = sealed(ONE, value).text
    others = flipped(text)
    assert len(set(others) - {text}) == 128 + 7 * len("server/2023-11-14T22:13:20/")
    assert [other for other in others if SEAL.open(other) is not None] == []


SPELLINGS: dict[str, Callable[[str], str]] = {
    "capitals": lambda text: text[:-12] + text[-12:].upper(),
    "capitals before": lambda text: text[:-36] + text[-36:].upper(),
    "no dashes": lambda text: text[:-36] + text[-36:].replace("-", ""),
    "underscore": lambda text: text[:-2] + "_" + text[-2:],
    "other digits": lambda text: re.sub("[0-9]", lambda digit: chr(0x0660 + int(digit[0])), text),
    "blank before": lambda text: " " + text,
    "blank after": lambda text: text + " ",
    "line break": lambda text: text + "\n",
    "row": lambda text: text + "/0",
    "long row": lambda text: text + "/" + "1" * 40,
    "empty row": lambda text: text + "/",
    "uuid alone": lambda text: text[-36:],
    "half": lambda text: text[: len(text) // 2],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_id_has_one_spelling(spelling: str) -> None:
    """Otherwise one outcome could count twice."""
    chance = random.Random(0)
    for _ in range(50):
        text = sealed(made_by_chance(chance), 0.5).text
        other = SPELLINGS[spelling](text)
        assert other != text
        assert SEAL.open(other) is None


@given(st.text())
@example("")
@example("0" * 19)
@example("/" + ONE.entity_id)
@example("1970-01-01T00:00:00/" + ONE.entity_id)
def test_other_text_does_not_open(text: str) -> None:
    assert SEAL.open(text) is None


@given(st.integers(0, 63), st.integers(0, 63), st.text(max_size=20))
def test_a_damaged_id_does_not_open(start: int, end: int, text: str) -> None:
    whole = sealed(ONE, 0.25).text
    other = whole[:start] + text + whole[end:]
    assume(other != whole)
    assert SEAL.open(other) is None


def test_an_id_that_was_never_sealed_does_not_open() -> None:
    chance = random.Random(0)
    assert all(SEAL.open(made_by_chance(chance).text) is None for _ in range(1000))


def test_an_id_of_a_year_without_four_digits_has_no_content() -> None:
    found = sealed(PredictionId(f"server/999-01-01T00:00:00/{ONE.entity_id}", ONE.entity_id, 0), 0.5)
    assert SEAL.open(found.text) is None


# --- fingerprints ----------------------------------------------------------------------------------------------------


@given(st.text())
def test_any_text_has_a_fingerprint_of_64_bits(text: str) -> None:
    found = SEAL.fingerprint(text)
    assert 0 <= found < 2**64
    assert found == SEAL.fingerprint(text)
    assert found != SEAL.fingerprint(text + " ")
    assert found != IdSeal(KEY, "another").fingerprint(text)


def test_fingerprints_have_not_changed() -> None:
    assert SEAL.fingerprint("order 17") == 18353029851934173772


# --- the compiled seal -----------------------------------------------------------------------------------------------

NUMBERS_HASH = hashlib.blake2s(key=KEY, digest_size=28, person=b"id-seal")
NUMBERS = st.one_of(
    st.floats(),
    st.floats(width=32),
    st.floats(-0.1, 1.1),
    st.sampled_from([math.nextafter(1.0, 0.0), 1.0, 0.5, LARGEST, LARGEST + 2.0**103, 1e39, -1e39, 0.3]),
)


@given(
    st.uuids(version=4),
    st.text("srv/-é\udc80", min_size=1),
    NUMBERS,
    st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.3, 0.5, 1.0]), unique=True),
    st.booleans(),
)
def test_the_compiled_seal_makes_the_same_ids(
    entity: uuid.UUID, server: str, value: float, bounds: list[float], is_probability: bool
) -> None:
    if native is None:
        missing("The compiled part of the package")
    prediction, code = made(entity, server), SingleCode(tuple(sorted(bounds)), is_probability)
    expected = Seal(NUMBERS_HASH, code)(prediction, value)
    assert native.Seal(NUMBERS_HASH, PredictionId, code)(prediction, value) == expected


@given(
    NUMBERS | st.floats(1.69e9, 1.71e9) | st.floats(-300, 300),
    st.sampled_from([0.0, 1.7e9, -1e-3, 1e300]),
    st.integers(-900, 127).map(lambda exponent: 2.0**exponent) | st.sampled_from([1.0, 2.0**22]),
)
@example(LARGEST - 2.0**103, 0.0, 1.0)
@example(255.9999999, 0.0, 1.0)
def test_the_compiled_seal_carries_distances_as_python_does(value: float, origin: float, unit: float) -> None:
    if native is None:
        missing("The compiled part of the package")
    code = PointCode(origin, unit)
    expected = Seal(NUMBERS_HASH, code)(ONE, value)
    assert native.Seal(NUMBERS_HASH, PredictionId, code)(ONE, value) == expected


# --- codes -----------------------------------------------------------------------------------------------------------


def test_an_id_gives_back_what_its_code_makes_of_a_number() -> None:
    code = PointCode(1.7e9, 2.0**22)
    seal = IdSeal(KEY, "model", code)
    opened = seal.open(sealed(ONE, 1.7e9 + 1234.5, seal).text)
    assert opened is not None
    assert opened.value == 1.7e9 + 1234.5


def test_a_number_of_one_code_is_never_read_by_another() -> None:
    """After an update, or with another baseline of the same name, such an id is unknown."""
    codes = [
        SingleCode(),
        SingleCode(is_probability=True),
        PointCode(0.0, 1.0),
        PointCode(0.0, 2.0),
        PointCode(1.0, 1.0),
    ]
    seals = [IdSeal(KEY, "model", code) for code in codes]
    opened = [[other.open(sealed(ONE, 0.5, own).text) is not None for other in seals] for own in seals]
    assert opened == np.eye(len(codes), dtype=bool).tolist()
    assert len({seal.fingerprint("order 17") for seal in seals}) == len(codes)


# --- the key ---------------------------------------------------------------------------------------------------------


def test_a_setting_gives_the_same_key_everywhere(tmp_path: Path) -> None:
    key = id_key("sixteen letters!", None)
    assert key.hex() == "eeceec43313024936134cc31efe2f9758cb8f26f1429be9646bbba27786fe2b7"
    assert id_key("sixteen letters!", tmp_path) == key
    assert id_key(" sixteen letters!\n", None) == key
    assert id_key("sixteen letters?", None) != key
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("setting", ["", "fifteen letters", "  fifteen letters  "])
def test_a_short_setting_is_refused_without_showing_it(setting: str) -> None:
    with pytest.raises(ConfigError) as raised:
        id_key(setting, None)
    assert str(raised.value) == (
        f"'BOXKITE_ID_KEY' must have at least 16 characters, got {len(setting.strip())}. "
        "Make one with: python -c 'import secrets; print(secrets.token_hex())'"
    )
    assert raised.value.key == "BOXKITE_ID_KEY"


def test_a_directory_keeps_its_key_for_this_user_alone(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    key = id_key(None, tmp_path)
    assert id_key(None, tmp_path) == key
    assert id_key(None, tmp_path / "other") != key
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def test_the_text_of_a_kept_key_works_as_a_setting(tmp_path: Path) -> None:
    """So a key that a server made can be given to replicas, and its ids still open."""
    key = id_key(None, tmp_path)
    assert id_key((tmp_path / KEY_FILE).read_text(), None) == key


DAMAGED = {
    "missing": None,
    "empty": b"",
    "zeros": bytes(65),
    "without its end": b"0123456789abcdef" * 4,
    "with another end": b"0123456789abcdef" * 4 + b"\n\n",
    "longer": b"0" * 1000,
    "other letters": b"g" * 64 + b"\n",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=list(DAMAGED))
def test_processes_that_start_together_agree_on_the_key(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / KEY_FILE).write_bytes(content)
    waiting, start = os.pipe()
    reading, writing = os.pipe()

    def make() -> None:
        os.close(start)
        os.read(waiting, 1)
        os.write(writing, id_key(None, tmp_path))

    children = [fork(make) for _ in range(8)]
    os.close(start)
    assert [ended(child) for child in children] == [0] * 8
    keys = os.read(reading, 8 * 32)
    for descriptor in (waiting, reading, writing):
        os.close(descriptor)
    assert keys == 8 * id_key(None, tmp_path)


def test_a_damaged_key_is_replaced_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    id_key(None, tmp_path)
    assert caplog.text == ""
    os.truncate(tmp_path / KEY_FILE, 10)
    key = id_key(None, tmp_path)
    assert id_key(None, tmp_path) == key
    assert [record.getMessage() for record in caplog.records] == [
        f"The key of ids in '{tmp_path / KEY_FILE}' was damaged, and is replaced: ids made before do not open."
    ]


@pytest.mark.parametrize("content", [None, b"damaged"], ids=["missing", "damaged"])
def test_a_process_may_die_at_any_step_of_making_a_key(content: bytes | None, tmp_path: Path) -> None:
    steps = 0
    for steps in range(1, 100):
        path = tmp_path / str(steps)
        path.mkdir()
        if content is not None:
            (path / KEY_FILE).write_bytes(content)

        def make(step: int = steps, path: Path = path) -> None:
            die_at(step)
            id_key(None, path)

        code = ended(fork(make))
        assert id_key(None, path) == id_key(None, path)
        if code == 0:
            break
    assert 3 < steps < 99


def test_a_full_disk_leaves_no_key_that_others_do_not_have(tmp_path: Path) -> None:
    with file_size_limit(20), pytest.raises(OSError, match="File too large"):
        id_key(None, tmp_path)
    assert id_key(None, tmp_path) == id_key(None, tmp_path)


def test_a_key_is_read_from_a_disk_that_became_read_only(tmp_path: Path) -> None:
    key = id_key(None, tmp_path)
    with read_only(tmp_path):
        assert id_key(None, tmp_path) == key


def test_a_process_that_hangs_keeps_no_other_waiting_for_ever(tmp_path: Path) -> None:
    descriptor = open_private(tmp_path / KEY_FILE, os.O_RDWR | os.O_CREAT)
    try:
        with locked(descriptor) as is_mine:
            assert is_mine
            with pytest.raises(OSError, match="another process does not finish it"):
                id_key(None, tmp_path, patience_seconds=0.0)
    finally:
        os.close(descriptor)
    assert len(id_key(None, tmp_path)) == 32


def test_a_link_in_place_of_the_key_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("0123456789abcdef" * 4 + "\n")
    (tmp_path / KEY_FILE).symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        id_key(None, tmp_path)


def test_a_process_without_a_directory_shares_its_key_with_its_forks_alone() -> None:
    key = id_key(None, None)
    reading, writing = os.pipe()
    assert ended(fork(lambda: os.write(writing, id_key(None, None)))) == 0
    forked = os.read(reading, 32)
    os.close(reading)
    os.close(writing)
    script = "from flask_boxkite.outcomes.sealing import id_key; print(id_key(None, None).hex())"
    other = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.strip()
    assert id_key(None, None) == key == forked
    assert len(other) == 64
    assert other != key.hex()

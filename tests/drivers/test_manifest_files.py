"""Manifests on a disk: the bytes are what they always were, a kill costs one piece, a bad sector what is in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import xxhash

from fluffy.base.errors import FileNotFound
from fluffy.base.ids import ChunkId
from fluffy.core.metadata.manifest import (
    AnewManifest,
    BucketManifest,
    FileManifest,
    FilesManifest,
    FolderManifest,
    GoneManifest,
    HeadManifest,
    Manifest,
    MarkManifest,
    UserManifest,
)
from fluffy.drivers.manifest_files import FOLDER_NAME, ManifestFiles, ManifestShelf
from fluffy.wire.manifest_records import MAGIC, Damage, encode_manifest, read_segment

UUID = "0c5d7d2e-7d5c-4b3f-9d5e-4d8b8c6c2f10"
FILE = FileManifest(5, 1, "a", "b/a", 9, 10, 2, 300, b"r" * 32, b"\xee", "text/plain", 1, 1000, 0, True, {"m": "1"},
                    {"t": "ü"}, ((11, ChunkId(b"c" * 32), 300),), None)
FILES = FilesManifest(5, 1, "b/", (
    ("a", 9, 10, 2, 3, b"r" * 32, b"\xee", "text/plain", 1, 1000, 0, b"\x81\xa1m\xa11", b"\x81\xa1t\xa2\xc3\xbc",
     b"abc"),
    ("b", 11, 12, 1, 0, b"r" * 32, "x-1", "", 2, 1001, 3, None, None, b"")))
FILES_ONE_BY_ONE = [
    FileManifest(5, 1, "a", "b/a", 9, 10, 2, 3, b"r" * 32, b"\xee", "text/plain", 1, 1000, 0, True, {"m": "1"},
                 {"t": "ü"}, (), b"abc"),
    FileManifest(5, 1, "b", "b/b", 11, 12, 1, 0, b"r" * 32, "x-1", "", 2, 1001, 3, True, {}, {}, (), b"")]
# With the CRC-32 that they had at first.
RECORDS: list[tuple[Manifest | HeadManifest, str]] = [
    (HeadManifest("u", 1, 2, MarkManifest(3, 4, (0, "k"))),
     "0c000000079328cd9700a175010203049200a16b"),
    (MarkManifest(7, 8),
     "05000000954fea0c94010708c0"),
    (FILE,
     "7c000000b82c862bdc0014020501a161a3622f61090a02cd012cc420727272727272727272727272727272727272727272727272727272"
     "7272727272c401eeaa746578742f706c61696e01cd03e800c381a16da13181a174a2c3bc91930bc4206363636363636363636363636363"
     "636363636363636363636363636363636363cd012cc0"),
    (FolderManifest(5, 0, "b/", "b/", 1, 1, 900),
     "0f00000008f9528d98030500a2622fa2622f0101cd0384"),
    (GoneManifest(6, 1, "x"),
     "060000007b12de0f94040601a178"),
    (UserManifest(6, 2, "bob", "user", 5, b"p", False, None, 10),
     "140000009d68092d9a050602a3626f62a47573657205c40170c2c00a"),
    (BucketManifest(6, 1, 2, 7, None, 2, None, None, ((0, 1), (2, 3))),
     "11000000792c6e0c9a0606010207c002c0c092920001920203"),
    (AnewManifest(6, 1),
     "04000000c310a3aa93070601"),
]


@pytest.mark.parametrize(("record", "golden"), RECORDS, ids=lambda value: type(value).__name__)
def test_the_bytes_are_what_they_always_were(record: Manifest | HeadManifest, golden: str) -> None:
    old, now = bytes.fromhex(golden), encode_manifest(record)
    checksum = xxhash.xxh3_64_intdigest(old[8:]) & 0xFFFFFFFF
    assert now == old[:4] + checksum.to_bytes(4, "little") + old[8:]
    for data in (old, now):
        assert [found for _, found in read_segment(MAGIC + data, Damage())] == [record]


def test_many_small_files_are_one_record_and_read_one_by_one() -> None:
    golden = (
        "8f0000001cc8e3c695080501a2622f929ea161090a0203c42072727272727272727272727272727272727272727272727272"
        "72727272727272c401eeaa746578742f706c61696e01cd03e800c40581a16da131c40681a174a2c3bcc4036162639ea1620b"
        "0c0100c4207272727272727272727272727272727272727272727272727272727272727272a3782d31a002cd03e903c0c0c4"
        "00")
    assert encode_manifest(FILES).hex() == golden
    assert [found for _, found in read_segment(MAGIC + bytes.fromhex(golden), Damage())] == FILES_ONE_BY_ONE


@pytest.mark.parametrize("rows", [
    5, "ab", (5,), (("a",),), ((1, *FILES.rows[0][1:]),), ((*FILES.rows[0][:-1], None),), ((*FILES.rows[0], 1),),
    ((*FILES.rows[0][:11], b"\xc1", None, b"abc"),), ((*FILES.rows[0][:11], b"\x91" * 3_000, None, b"abc"),),
    ((*FILES.rows[0][:11], b"\x93\x01\x02\x03", None, b"abc"),)])
def test_a_record_of_many_files_that_is_none_is_damage_whatever_its_checksum_says(rows: Any) -> None:
    good = encode_manifest(GoneManifest(9, 1, "a"))
    damage = Damage()
    found = list(read_segment(MAGIC + encode_manifest(FilesManifest(5, 1, "b/", rows)) + good, damage))
    assert [record for _, record in found] == [GoneManifest(9, 1, "a")] and damage.places == 1


@pytest.mark.parametrize("at", range(0, 250, 7))
def test_a_bad_byte_in_many_files_costs_their_record(at: int) -> None:
    records = [FILES, GoneManifest(9, 1, "a"), FILES]
    data = bytearray(MAGIC + b"".join(map(encode_manifest, records)))
    data[len(MAGIC) + at % len(encode_manifest(FILES))] ^= 0x20
    damage = Damage()
    found = [record for _, record in read_segment(bytes(data), damage)]
    assert found == [GoneManifest(9, 1, "a"), *FILES_ONE_BY_ONE] and damage.places == 1


def test_what_the_disk_takes_in_parts_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda fd, pieces, at: real(fd, [b"".join(pieces)[:50]], at))
    files = ManifestFiles(tmp_path)
    files.open(UUID)
    files.begin_series(MarkManifest(1, 0))
    files.append([FILE] * 700, MarkManifest(5, 0))
    files.append([FILE], MarkManifest(6, 0))
    files.close()
    assert records_of(tmp_path)[1:] == [*[FILE] * 700, MarkManifest(5, 0), FILE, MarkManifest(6, 0)]


def segment_files(folder: Path) -> list[Path]:
    return sorted((folder / FOLDER_NAME / UUID).iterdir())


def records_of(folder: Path) -> list[Manifest | HeadManifest]:
    return [record for file in segment_files(folder) for _, record in read_segment(file.read_bytes(), Damage())]


def test_it_goes_on_after_its_last_mark_and_cuts_a_torn_end(tmp_path: Path) -> None:
    files = ManifestFiles(tmp_path)
    assert files.open(UUID).mark is None
    files.begin_series(MarkManifest(1, 0, (0, "")))
    files.append([FILE], MarkManifest(5, 0, (1, "a")))
    files.close()
    [file] = segment_files(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole + encode_manifest(GoneManifest(9, 1, "a")) + b"torn")
    again = ManifestFiles(tmp_path)
    assert again.open(UUID).mark == MarkManifest(5, 0, (1, "a"))
    assert file.read_bytes() == whole
    again.append([], MarkManifest(6, 0))
    assert ManifestFiles(tmp_path).open(UUID).mark == MarkManifest(6, 0)


def test_a_mark_behind_a_hole_counts_for_nothing(tmp_path: Path) -> None:
    """A power failure may keep the end of a piece and lose its beginning: it is written again."""
    files = ManifestFiles(tmp_path)
    files.open(UUID)
    files.begin_series(MarkManifest(1, 0))
    files.append([FILE], MarkManifest(5, 0))
    files.close()
    [file] = segment_files(tmp_path)
    whole = file.read_bytes()
    lost = encode_manifest(GoneManifest(9, 1, "a" * 5_000))
    file.write_bytes(whole + bytes(len(lost)) + encode_manifest(FILE) + encode_manifest(MarkManifest(9, 0)))
    assert ManifestFiles(tmp_path).open(UUID).mark == MarkManifest(5, 0)
    assert file.read_bytes() == whole


def test_segments_are_bounded_and_the_next_one_says_how_far_it_was(tmp_path: Path) -> None:
    files = ManifestFiles(tmp_path, segment_bytes=400)
    files.open(UUID)
    files.begin_series(MarkManifest(1, 0))
    for seq in range(2, 12):
        files.append([FILE], MarkManifest(seq, 0))
    names = segment_files(tmp_path)
    assert len(names) > 2
    files.close()
    names[-1].write_bytes(b"")
    again = ManifestFiles(tmp_path)
    assert again.open(UUID).mark is None, "without its head nobody knows how far it was"
    again.begin_series(MarkManifest(7, 0, (0, "")))
    again.append([FILE], MarkManifest(7, 0))
    again.drop_older_series()
    assert [record.series for record in records_of(tmp_path) if isinstance(record, HeadManifest)] == [2]


def test_what_other_clusters_left_is_never_touched(tmp_path: Path) -> None:
    other = UUID.replace("0", "1")
    for uuid in (other, UUID):
        files = ManifestFiles(tmp_path)
        files.open(uuid)
        files.begin_series(MarkManifest(1, 0))
        files.append([FILE], MarkManifest(1, 0))
        files.begin_series(MarkManifest(1, 0))
        files.drop_older_series()
        files.close()
    shelf = ManifestShelf(tmp_path)
    assert [stock.cluster_uuid for stock in shelf.stocks()] == sorted([other, UUID])
    assert shelf.segment(other, shelf.stocks()[0].segments[0]).startswith(MAGIC)
    for uuid, name in ((other, "../../x"), ("..", "00000001-00000001.seg"), (other, "00000009-00000001.seg")):
        with pytest.raises(FileNotFound):
            shelf.segment(uuid, name)


@pytest.mark.parametrize("at", range(0, 500, 13))
def test_a_bad_byte_costs_the_record_in_which_it_is(at: int) -> None:
    records = [GoneManifest(seq, 1, "key " * 10) for seq in range(10)]
    data = bytearray(MAGIC + b"".join(map(encode_manifest, records)))
    data[at % len(data)] ^= 0x20
    damage = Damage()
    found = [record for _, record in read_segment(bytes(data), damage)]
    assert set(found) <= set(records) and len(found) >= 9
    assert damage.places == 1 and 0 < damage.bytes < 120


def test_after_a_restart_it_is_known_how_much_the_walk_wrote(tmp_path: Path) -> None:
    files = ManifestFiles(tmp_path, segment_bytes=400)
    files.open(UUID)
    files.begin_series(MarkManifest(1, 0, (0, "")))
    for number in range(6):
        files.append([FILE], MarkManifest(1, 0, (1, str(number))))
    files.append([FILE], MarkManifest(1, 0))
    built = files.open(UUID).bytes
    for seq in range(2, 30):
        files.append([FILE], MarkManifest(seq, 0))
    files.close()
    state = ManifestFiles(tmp_path).open(UUID)
    assert built * 0.5 < state.built_bytes < built * 1.6 and state.bytes > 3 * built

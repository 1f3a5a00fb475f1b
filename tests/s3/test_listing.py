"""ListObjects, ListObjectsV2, ListObjectVersions against sorting all keys in memory."""

from __future__ import annotations

from typing import Any

import pytest

from tests.s3.world import code_of

KEYS = sorted(["a", "a-b", "a/", "a/b", "a/b/c", "a/b/d", "a.txt", "b", "b/x", "b/x/y", "c d", "c+d", "c%d", "ü",
               "üb/1",
               "photos/2024/1.jpg", "photos/2024/2.jpg", "photos/2025/1.jpg", "photos", "z/", "z/z/", "z/z/z", "日/本"],
              key=str.encode)


@pytest.fixture(scope="module")
def full(world: Any) -> str:
    name = world.new_bucket()
    for key in KEYS:
        world.s3.put_object(Bucket=name, Key=key, Body=key.encode())
    return str(name)


def model(prefix: str, delimiter: str, after: str) -> list[str]:
    """Keys, and groups with a `*` in front, in order."""
    lines: list[str] = []
    for key in KEYS:
        if not key.startswith(prefix):
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        line = key if cut < 0 else "*" + key[:cut + len(delimiter)]
        if (line.startswith("*") and line[1:] <= after) or (cut < 0 and key <= after) or (lines and lines[-1] == line):
            continue
        if key <= after:
            continue
        lines.append(line)
    return lines


def lines_of(page: dict[str, Any]) -> list[str]:
    found = [line["Key"] for line in page.get("Contents", [])]
    found += ["*" + line["Prefix"] for line in page.get("CommonPrefixes", [])]
    return sorted(found, key=lambda line: line.removeprefix("*").encode())


CASES = [(prefix, delimiter) for prefix in ("", "a", "a/", "a/b", "b/", "photos/", "photos/2024/", "z/", "ü",
                                            "nothing", "c")
         for delimiter in ("", "/", "2", "b/")]


@pytest.mark.parametrize("prefix,delimiter", CASES)
@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_pages_of_version_2(s3: Any, full: str, prefix: str, delimiter: str, limit: int) -> None:
    seen: list[str] = []
    more: dict[str, str] = {}
    for _ in range(50):
        page = s3.list_objects_v2(Bucket=full, Prefix=prefix, Delimiter=delimiter, MaxKeys=limit, **more)
        lines = lines_of(page)
        assert len(lines) == page["KeyCount"] <= limit and page["MaxKeys"] == limit
        seen += lines
        if not page["IsTruncated"]:
            break
        more = {"ContinuationToken": page["NextContinuationToken"]}
    assert seen == model(prefix, delimiter, "")


@pytest.mark.parametrize("prefix,delimiter", CASES[::3])
def test_pages_of_version_1(s3: Any, full: str, prefix: str, delimiter: str) -> None:
    seen: list[str] = []
    marker = ""
    for _ in range(50):
        page = s3.list_objects(Bucket=full, Prefix=prefix, Delimiter=delimiter, MaxKeys=2, Marker=marker)
        seen += lines_of(page)
        if not page["IsTruncated"]:
            break
        marker = page.get("NextMarker") or page["Contents"][-1]["Key"]
    assert seen == model(prefix, delimiter, "")


@pytest.mark.parametrize("after", ["", "a", "a/", "a/a", "a/b/c", "photos", "photos/2024/", "zz", "ü", "日"])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_a_listing_starts_after_any_text(s3: Any, full: str, after: str, delimiter: str) -> None:
    page = s3.list_objects_v2(Bucket=full, StartAfter=after, Delimiter=delimiter)
    keys = [line for line in model("", delimiter, "") if line.removeprefix("*") > after or (
        line.startswith("*") and any(key.startswith(line[1:]) and key > after for key in KEYS))]
    # A group that lies before the text altogether is over; one that the text names is too.
    keys = [line for line in keys if not (line.startswith("*") and line[1:] == after)]
    assert [line for line in lines_of(page) if not line.startswith("*")] == [
        line for line in keys if not line.startswith("*")]


@pytest.mark.parametrize("more,expected", [
    ({"MaxKeys": -1}, (400, "InvalidArgument")), ({"ContinuationToken": "made-up"}, (400, "InvalidArgument")),
    ({"EncodingType": "base64"}, (400, "InvalidArgument")), ({"MaxKeys": 0}, (200, "")), ({"MaxKeys": 5000}, (200, "")),
    ({"FetchOwner": True}, (200, ""))], ids=str)
def test_what_a_listing_may_be_asked(s3: Any, full: str, more: dict[str, Any], expected: tuple[int, str]) -> None:
    assert code_of(lambda: s3.list_objects_v2(Bucket=full, **more)) == expected


def test_a_listing_of_nothing(s3: Any, bucket: str, full: str) -> None:
    page = s3.list_objects_v2(Bucket=bucket)
    assert page["KeyCount"] == 0 and not page["IsTruncated"] and "Contents" not in page
    page = s3.list_objects_v2(Bucket=full, MaxKeys=0)
    assert page["KeyCount"] == 0 and not page["IsTruncated"]


def test_lines_say_what_the_objects_are(s3: Any, full: str) -> None:
    [line] = s3.list_objects_v2(Bucket=full, Prefix="a/b/c", FetchOwner=True)["Contents"]
    head = s3.head_object(Bucket=full, Key="a/b/c")
    assert (line["Size"], line["ETag"], line["LastModified"]) == (
        head["ContentLength"], head["ETag"], head["LastModified"])
    assert line["StorageClass"] == "STANDARD" and line["Owner"]["ID"]


@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("limit", [1, 4, 100])
def test_pages_of_versions_where_there_are_none(s3: Any, full: str, delimiter: str, limit: int) -> None:
    seen: list[str] = []
    more: dict[str, str] = {}
    for _ in range(50):
        page = s3.list_object_versions(Bucket=full, MaxKeys=limit, Delimiter=delimiter, **more)
        assert all(line["VersionId"] == "null" and line["IsLatest"] for line in page.get("Versions", []))
        seen += lines_of({"Contents": page.get("Versions", []), "CommonPrefixes": page.get("CommonPrefixes", [])})
        if not page["IsTruncated"]:
            break
        more = {"KeyMarker": page["NextKeyMarker"]}
        if "NextVersionIdMarker" in page:
            more["VersionIdMarker"] = page["NextVersionIdMarker"]
    assert seen == model("", delimiter, "")

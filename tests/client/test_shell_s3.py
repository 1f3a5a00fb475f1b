"""`import s3://…` and `export … s3://…`, from and to a real S3 door."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fluffy.client import foreign_s3
from fluffy.client.sync import Fluffy
from fluffy.services.s3_keys import KeyPair
from tests.client.shell_door import Shell, in_thread
from tests.support.local_log import ADMIN_TOKEN
from tests.support.s3_door import S3, client, running_s3


class There:
    """Another S3."""

    def __init__(self, s3: S3, pair: KeyPair) -> None:
        self.pair, self.url = pair, s3.url
        self.peer, self.token = f"{s3.native.host}:{s3.native.port}", ADMIN_TOKEN


@asynccontextmanager
async def _there(folder: Path) -> AsyncIterator[There]:
    async with running_s3(folder) as s3:
        yield There(s3, await s3.add_key("admin", "ADMINKEY"))


@pytest.fixture
def there(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[There]:
    with in_thread(_there(tmp_path_factory.mktemp("there"))) as found:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", found.pair.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", found.pair.secret)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield found


def test_a_bucket_comes_in_and_goes_out_with_all_that_was_said(there: There) -> None:
    s3 = client(there.url, there.pair)
    s3.create_bucket(Bucket="old")
    s3.create_bucket(Bucket="new")
    body = bytes(range(256)) * 8_000
    for key in ("a/1", "a/2 ü", "a/big", "a/folder/", "b"):
        s3.put_object(Bucket="old", Key=key,
                      Body=body if key == "a/big" else b"" if key.endswith("/") else key.encode(),
                      Metadata={"who": "me"}, ContentType="x/y", Tagging="k=v", CacheControl="no-store",
                      ContentDisposition="x",
                      ContentEncoding="gzip", ContentLanguage="de", WebsiteRedirectLocation="/other",
                      Expires="2031-01-01T00:00:00Z", ChecksumAlgorithm="SHA256")
    with Fluffy(there.peer, there.token) as fluffy:
        def bring(dry_run: bool = False) -> dict[str, Any]:
            return foreign_s3.import_bucket(
                fluffy, foreign_s3.connect(there.url), foreign_s3.Place.parse("s3://old/a"), "/admin/in",
                dry_run=dry_run, on_file=lambda path, size: None).document()

        def send() -> dict[str, Any]:
            return foreign_s3.export_folder(
                fluffy, foreign_s3.connect(there.url), "/admin/in", foreign_s3.Place.parse("s3://new/x/"),
                dry_run=False, on_file=lambda path, size: None).document()
        assert bring(dry_run=True)["copied"] == 3
        assert bring() == {"copied": 3, "bytes": len(body) + 9, "same": 0, "failed": {}, "skipped": {},
                           "only_there": []}
        info = fluffy.info("/admin/in/2 ü")
        assert (info.content_type, info.tags, info.meta["who"]) == ("x/y", {"k": "v"}, "me")
        assert info.headers == {
            "cache-control": "no-store", "content-disposition": "x", "content-encoding": "gzip",
            "content-language": "de", "expires": "Wed, 01 Jan 2031 00:00:00 GMT",
            "x-amz-website-redirect-location": "/other"}
        assert fluffy.get("/admin/in/big") == body
        s3.put_object(Bucket="old", Key="a/1", Body=b"other")
        fluffy.put("/admin/in/mine", b"x")
        again = bring()
        assert (again["copied"], again["same"], again["only_there"]) == (1, 2, ["mine"])
        assert send()["copied"] == 4
        got, old = (s3.get_object(Bucket=bucket, Key=key) for bucket, key in (("new", "x/2 ü"), ("old", "a/2 ü")))
        assert (got["Body"].read(), got["Metadata"]["who"]) == ("a/2 ü".encode(), "me")
        for name in ("ContentType", "TagCount", "CacheControl", "ContentDisposition", "ContentEncoding",
                     "ContentLanguage", "Expires", "WebsiteRedirectLocation"):
            assert got[name] == old[name], name
        assert send()["same"] == 4
        fluffy.put("/admin/in/mine", b"y")
        assert (lambda done: (done["copied"], done["same"]))(send()) == (1, 3)
        with pytest.raises(Exception, match="cannot be listed"):
            foreign_s3.import_bucket(fluffy, foreign_s3.connect(there.url), foreign_s3.Place.parse("s3://nowhere"),
                                     "/admin/in", dry_run=False, on_file=lambda path, size: None)


def test_what_was_put_over_s3_goes_out_as_it_was(there: There) -> None:
    s3 = client(there.url, there.pair)
    for name in ("old", "new"):
        s3.create_bucket(Bucket=name)
    said = {"ContentType": "text/html", "CacheControl": "public", "ContentDisposition": "inline",
            "ContentEncoding": "gzip", "ContentLanguage": "de", "WebsiteRedirectLocation": "/o",
            "Metadata": {"who": "me"}}
    s3.put_object(Bucket="old", Key="k", Body=b"x", Expires=0, ChecksumAlgorithm="SHA1", **said)
    before = s3.head_object(Bucket="old", Key="k", ChecksumMode="ENABLED")
    with Fluffy(there.peer, there.token) as fluffy:
        done = foreign_s3.export_folder(fluffy, foreign_s3.connect(there.url), "/old",
                                        foreign_s3.Place.parse("s3://new"), dry_run=False,
                                        on_file=lambda path, size: None)
    assert done.copied == ["k"]
    after = s3.head_object(Bucket="new", Key="k", ChecksumMode="ENABLED")
    assert after["Metadata"].pop("fluffy-etag") and after["Expires"] == before["Expires"]
    assert {name: after[name] for name in said} == said and after["ChecksumSHA1"] == before["ChecksumSHA1"]


def test_an_end_that_is_no_date_is_long_over(there: There) -> None:
    s3 = client(there.url, there.pair)
    s3.create_bucket(Bucket="new")
    with Fluffy(there.peer, there.token) as fluffy:
        fluffy.put("/admin/out/k", b"x", headers={"Expires": "never"})
        foreign_s3.export_folder(fluffy, foreign_s3.connect(there.url), "/admin/out", foreign_s3.Place.parse("s3://new"),
                                 dry_run=False, on_file=lambda path, size: None)
    assert s3.head_object(Bucket="new", Key="k")["Expires"].year == 1970


def test_the_shell_takes_addresses_of_buckets(shell: Shell, there: There) -> None:
    s3 = client(there.url, there.pair)
    s3.create_bucket(Bucket="old")
    s3.put_object(Bucket="old", Key="d/k", Body=b"1")
    where = ("--endpoint", there.url)
    assert "would copy d/k" in shell("import", "s3://old", "/admin/in", *where, "--dry-run").out
    said = shell("import", "s3://old", "/admin/in", *where, "--json")
    assert said.code == 0 and said.json["copied"] == 1, said.out + said.err
    assert shell("cat", "/admin/in/d/k").out == "1"
    assert "1 copied" in shell("export", "/admin/in", "s3://old/back", *where).out
    assert s3.get_object(Bucket="old", Key="back/d/k")["Body"].read() == b"1"
    assert shell("import", "s3://old", "/admin/in", *where, "--delete").code == 1
    assert shell("import", "s3://nowhere", "/admin/in", *where).code == 1

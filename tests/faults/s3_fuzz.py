"""Made-up requests for the S3 door of a real node: never a 500, never a wrong 200.

    python -m tests.faults.s3_fuzz --minutes 10 [--seed N]        (make s3fuzz MINUTES=10)

Each request begins as a good one and is altered: signed URLs of both versions and signed headers in any character,
documents in XML (laughs of a billion, entities, depth, size), bodies in signed and in checked chunks, forms, values of
headers and fields of queries with a good signature around them, and bytes that are no HTTP. A 5xx other than 501 fails
the drill; so does a 2xx for an altered signature, and an object whose bytes are not those that were signed for.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.client
import json
import random
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from fluffy.services.s3_keys import KeyPair
from fluffy.wire.s3_signature import derive_key, sign
from fluffy.wire.s3_signature_v2 import QUERY_NAMES, SIGNED_NAMES
from tests.faults.drill import judge
from tests.support.cluster import Cluster
from tests.support.s3_door import client

PAIR = KeyPair("FUZZKEY", "a-secret-of-forty-characters-or-about-so")
BUCKET, KEY, BODY = "fuzz-bucket", "the object", b"0123456789" * 20_000
SHOWN_MAX = 20
ALPHABET = "abcXYZ019%&=/+-_.~?#;:,*'\"<>\\ ü\x00\x7f"
HEADERS = (
    "range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "x-amz-acl",
    "x-amz-tagging", "x-amz-copy-source", "x-amz-copy-source-range", "x-amz-copy-source-if-match",
    "x-amz-metadata-directive", "x-amz-checksum-mode", "x-amz-checksum-crc32", "x-amz-checksum-sha256",
    "x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm", "x-amz-checksum-type", "x-amz-object-attributes",
    "x-amz-max-parts", "x-amz-part-number-marker", "x-amz-storage-class", "x-amz-meta-a", "x-amz-mp-object-size",
    "content-md5", "content-type", "content-encoding", "cache-control", "expires", "origin", "x-amz-trailer",
    "access-control-request-method", "x-amz-expected-bucket-owner", "x-amz-decoded-content-length")
VALUES = (
    "", "*", '"x"', "0", "-1", "99999999999999999999", "bytes=0-", "bytes=-1", "bytes=5-2", "bytes=0-1,2-3", "private",
    "public-read", "a=b&c=d", "a=%ff", f"/{BUCKET}/{quote(KEY)}", f"{BUCKET}/x?versionId=1", "REPLACE", "ENABLED",
    "CRC32", "SHA256", "AAAAAA==", "ETag,ObjectParts", "Wed, 01 Jan 2031 00:00:00 GMT", "COMPOSITE", "FULL_OBJECT",
    "aws-chunked", "null", "http://x.example", "GET", "x" * 3_000, "\u00fc", "x-amz-checksum-crc32")
FIELDS = (
    "acl", "attributes", "continuation-token", "cors", "delete", "delimiter", "encoding-type", "fetch-owner",
    "key-marker", "lifecycle", "list-type", "location", "marker", "max-keys", "max-parts", "max-uploads", "partNumber",
    "part-number-marker", "policy", "policyStatus", "prefix", "response-content-type", "response-expires", "restore",
    "select", "start-after", "tagging", "torrent", "uploadId", "upload-id-marker", "uploads", "versionId",
    "version-id-marker", "versioning", "versions", "x-id", "max-buckets")
DOCUMENTS = {
    "delete": b"<Delete><Quiet>true</Quiet><Object><Key>k</Key><VersionId>1</VersionId></Object></Delete>",
    "tagging": b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    "versioning": b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>",
    "cors": b"<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
            b"<MaxAgeSeconds>5</MaxAgeSeconds></CORSRule></CORSConfiguration>",
    "lifecycle": b"<LifecycleConfiguration><Rule><ID>r</ID><Filter><Prefix>q</Prefix></Filter><Status>Disabled</Status>"
                 b"<Expiration><Days>3</Days></Expiration></Rule></LifecycleConfiguration>",
    "acl": b"<AccessControlPolicy><AccessControlList></AccessControlList></AccessControlPolicy>",
    "uploadId=00000000000000000000000000000000": b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
                                                 b"<ETag>x</ETag></Part></CompleteMultipartUpload>"}
BOMBS = (
    b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>',
    b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><Delete/>', b"<a>" * 5_000, b"<a b='1'>" * 50, b"\xff\xfe<\x00",
    b'<?xml version="1.0" encoding="UTF-7"?><Delete/>',
    b"<Delete>" + b"<Object><Key>k</Key></Object>" * 1_001 + b"</Delete>")


@dataclass(slots=True)
class Report:
    """`wrong`: what must not be, with the request. `asked`: by kind; `told`: by status."""

    seed: int
    asked: Counter[str] = field(default_factory=Counter)
    told: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def lines(self) -> list[str]:
        total = sum(self.asked.values())
        return [f"{total:,} requests in {self.seconds:.0f} s: "
                + ", ".join(f"{kind} {count:,}" for kind, count in sorted(self.asked.items())),
                "answers: " + ", ".join(f"{status}: {count:,}" for status, count in sorted(self.told.items())),
                *self.wrong[:SHOWN_MAX]]

    def verify(self, slack: float = 1.0) -> None:
        assert not self.wrong, f"{len(self.wrong)} answers must not be; the first: {self.wrong[0]}"


class Fuzz:
    """Makes requests of one kind after the other, until the time is over."""

    def __init__(self, address: tuple[str, int], pair: KeyPair, report: Report) -> None:
        self.report = report
        self.pair = pair
        self.rng = random.Random(report.seed)
        self.address = address
        self.url = f"http://{address[0]}:{address[1]}"
        self.v2 = client(self.url, pair)
        self.v4 = client(self.url, pair, signature_version="s3v4")
        self.connection = http.client.HTTPConnection(*address, timeout=30)
        self.kinds: dict[str, Callable[[], None]] = {
            "signed URLs": self.altered_url, "signed headers": self.altered_headers, "documents": self.document,
            "chunks": self.chunks, "values": self.values, "forms": self.form, "no HTTP": self.no_http}

    def run(self, seconds: float) -> None:
        self.v4.create_bucket(Bucket=BUCKET)
        self.v4.put_object(Bucket=BUCKET, Key=KEY, Body=BODY)
        began_s = time.monotonic()
        while time.monotonic() - began_s < seconds:
            for kind, ask in self.kinds.items():
                self.report.asked[kind] += 1
                ask()
        self.report.seconds = time.monotonic() - began_s

    # What asks

    def ask(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """(status, body). What the library refuses to send is status 0."""
        try:
            self.connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, text in {"host": "{}:{}".format(*self.address), **headers}.items():
                self.connection.putheader(name, text.encode("utf-8", "surrogateescape"))
            if body is not None and "content-length" not in headers:
                self.connection.putheader("content-length", str(len(body)))
            self.connection.endheaders(body)
            answer = self.connection.getresponse()
            found = answer.status, answer.read()
        except (http.client.HTTPException, OSError, ValueError, UnicodeError):
            self.connection.close()
            return 0, b""
        self.report.told[found[0]] += 1
        if found[0] >= 500 and found[0] != 501:
            self.report.wrong.append(f"{found[0]} for {method} {target[:300]} {headers} {(body or b'')[:200]!r}")
        return found

    def signed(self, method: str, target: str, body: bytes, more: dict[str, str],
               payload: str | None = None) -> dict[str, str]:
        request = AWSRequest(method, self.url + target, headers=more, data=body)
        signer = S3SigV4Auth(Credentials(self.pair.access_key, self.pair.secret), "s3", "us-east-1")
        if payload is not None:
            request.headers["x-amz-content-sha256"] = payload
            signer.payload = lambda _: payload
        signer.add_auth(request)
        return {name.lower(): text for name, text in request.headers.items()}

    def altered(self, text: str) -> str:
        """With one to three characters changed, taken out or put in."""
        for _ in range(self.rng.randint(1, 3)):
            at = self.rng.randrange(len(text))
            text = text[:at] + self.rng.choice(("", self.rng.choice(ALPHABET), text[at] + text[at])) + text[at + 1:]
            if not text:
                break
        return text

    def altered_bytes(self, data: bytes) -> bytes:
        data = bytearray(data)
        for _ in range(self.rng.randint(1, 4)):
            at = self.rng.randrange(max(1, len(data)))
            match self.rng.randrange(4):
                case 0:
                    del data[at:at + self.rng.choice((1, 2, 20))]
                case 1:
                    data[at:at] = self.rng.choice((b"\x00", b"<", b"&a;", b"\r\n", b"<!--", b"]]>", b"\xff", b"0" * 20))
                case 2 if data:
                    data[min(at, len(data) - 1)] = self.rng.randrange(256)
                case _:
                    data[at:at] = data[at:at + self.rng.choice((1, 30))]
        return bytes(data)

    # Kinds

    def altered_url(self) -> None:
        """Of both versions. It may only be taken when it says the same as before."""
        old = self.rng.random() < 0.5
        s3 = self.v2 if old else self.v4
        url = s3.generate_presigned_url("get_object", Params={
            "Bucket": BUCKET, "Key": KEY, "ResponseContentType": "text/plain"}, ExpiresIn=600)
        good = url[len(self.url):]
        target = "/" + self.altered(good[1:])
        if any(letter in target for letter in " \x00\x7fü#"):
            target = quote(target, safe="/?&=%+")
        status, body = self.ask("GET", target, None, {})
        if 200 <= status < 300 and _meaning(target, old) != _meaning(good, old):
            self.report.wrong.append(f"{status} for {target} in place of {good}: {body[:60]!r}")

    def altered_headers(self) -> None:
        """A put, of which something is changed that was signed."""
        body = self.rng.randbytes(self.rng.choice((0, 10, 5_000)))
        target = f"/{BUCKET}/altered"
        good = self.signed("PUT", target, body, {"content-type": "x/y", "x-amz-meta-a": "b"})
        headers, method, sent = dict(good), "PUT", body
        what = self.rng.choice((*good, "method", "body", "target"))
        if what == "method":
            method = self.rng.choice(("POST", "DELETE", "GET"))
        elif what == "target":
            target = "/" + self.altered(target[1:])
        elif what == "body":
            sent = self.altered_bytes(body)
        else:
            headers[what] = self.altered(good[what])
        if (headers, method, target, sent) == (good, "PUT", f"/{BUCKET}/altered", body):
            return
        status, _ = self.ask(method, target, sent, headers)
        if 200 <= status < 300 and not self._is_harmless(what, good, headers):
            self.report.wrong.append(f"{status} for a put with another {what}: {headers.get(what)!r}, {target}")

    def _is_harmless(self, what: str, good: dict[str, str], headers: dict[str, str]) -> bool:
        """Blanks around a value, and between the items of a credential, say nothing; nobody signed the agent."""
        if what in ("user-agent", "accept-encoding", "content-length"):
            return True
        return what in headers and " ".join(headers[what].split()).replace(", ", ",") == " ".join(
            good[what].split()).replace(", ", ",")

    def document(self) -> None:
        field_, good = self.rng.choice(tuple(DOCUMENTS.items()))
        body = self.rng.choice(BOMBS) if self.rng.random() < 0.2 else self.altered_bytes(good)
        method = "POST" if field_.startswith(("delete", "uploadId")) else "PUT"
        is_object = field_.startswith("uploadId") or (field_ in ("tagging", "acl") and self.rng.random() < 0.5)
        key = "/k" if is_object else ""
        target = f"/{BUCKET}{key}?{field_}"
        md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
        self.ask(method, target, body, self.signed(method, target, body, {"content-md5": md5}))

    def chunks(self) -> None:
        """In both framings; what was taken must be what was signed, or what its checksum is of."""
        body = BODY[:self.rng.choice((0, 1, 100, 70_000))]
        is_signed = self.rng.random() < 0.5
        word = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" if is_signed else "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
        more = {"x-amz-decoded-content-length": str(len(body)), "content-encoding": "aws-chunked"}
        if not is_signed:
            more["x-amz-trailer"] = "x-amz-checksum-crc32"
        target = f"/{BUCKET}/chunks"
        headers = self.signed("PUT", target, b"", more, word)
        framed = self._framed(body, headers, is_signed)
        sent = framed if self.rng.random() < 0.1 else self.altered_bytes(framed)
        status, _ = self.ask("PUT", target, sent, headers)
        if sent == framed and status != 200:
            self.report.wrong.append(f"{status} for good chunks, signed: {is_signed}")
        if status == 200 and self.v4.get_object(Bucket=BUCKET, Key="chunks")["Body"].read() != body:
            self.report.wrong.append(f"200 for other bytes in chunks: {sent[:300]!r}")

    def _framed(self, body: bytes, headers: dict[str, str], is_signed: bool) -> bytes:
        if not is_signed:
            crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big"))
            data = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
            return data + b"0\r\nx-amz-checksum-crc32:" + crc + b"\r\n\r\n"
        stamp = headers["x-amz-date"]
        scope = f"{stamp[:8]}/us-east-1/s3/aws4_request"
        key, last = derive_key(self.pair.secret, stamp[:8], "us-east-1"), headers["authorization"].rpartition("=")[2]
        framed = b""
        for piece in (*((body[:50_000], body[50_000:]) if len(body) > 50_000 else (body,) if body else ()), b""):
            text = "\n".join(("AWS4-HMAC-SHA256-PAYLOAD", stamp, scope, last, hashlib.sha256(b"").hexdigest(),
                              hashlib.sha256(piece).hexdigest()))
            last = sign(key, text)
            framed += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(piece), last.encode(), piece)
        return framed

    def values(self) -> None:
        """Well signed, and senseless."""
        method = self.rng.choice(("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"))
        key = self.rng.choice(("", quote(KEY), "other", "a/b/", "%C3%BC", "x" * 1_100, "a//b", "%00", "..", "%FF"))
        names = self.rng.sample(FIELDS, self.rng.choice((0, 1, 1, 2, 3)))
        query = "&".join(name + ("" if self.rng.random() < 0.4 else "=" + quote(self.rng.choice(VALUES)))
                         for name in names)
        target = f"/{BUCKET}/{key}" + (f"?{query}" if query else "")
        more = {name: self.rng.choice(VALUES) for name in self.rng.sample(HEADERS, self.rng.randrange(4))}
        if method == "DELETE" and not key and not query:
            return  # the bucket is needed
        body = b"x" * self.rng.choice((0, 10)) if method in ("PUT", "POST") else b""
        try:
            headers = self.signed(method, target, body, more)
        except (UnicodeError, ValueError):
            return
        self.ask(method, target, body if method in ("PUT", "POST") else None, headers)

    def form(self) -> None:
        s3 = self.v2 if self.rng.random() < 0.5 else self.v4
        form = s3.generate_presigned_post(BUCKET, "form", Conditions=[["content-length-range", 0, 100]])
        fields: dict[str, str] = form["fields"]
        what = self.rng.choice((*fields, "framing"))
        if what != "framing":
            fields = {**fields, what: self.altered(fields[what])}
        if what == "policy" and self.rng.random() < 0.5:
            document: dict[str, Any] = {"expiration": "2031-01-01T00:00:00Z", "conditions": [
                ["starts-with", "$key", ""]]}
            fields["policy"] = base64.b64encode(json.dumps(document).encode()).decode()
        body = b"".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
                        for name, text in fields.items())
        body += b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n12345\r\n--b--\r\n'
        if what == "framing":
            body = self.altered_bytes(body)
        status, _ = self.ask("POST", f"/{BUCKET}", body, {"content-type": "multipart/form-data; boundary=b"})
        if 200 <= status < 300 and what != "framing" and fields[what] != form["fields"][what] and (
                what != "x-amz-date" or fields[what][:8] != form["fields"][what][:8]):
            self.report.wrong.append(f"{status} for a form with another {what}: {fields[what][:200]!r}")

    def no_http(self) -> None:
        self.connection.close()
        self.connection.connect()
        assert self.connection.sock is not None
        line = b"GET /%s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde" % BUCKET.encode()
        try:
            self.connection.sock.sendall(self.altered_bytes(line))
            self.connection.sock.shutdown(1)
            answer = self.connection.sock.recv(65_536)
        except OSError:
            answer = b""
        self.connection.close()
        if answer.startswith((b"HTTP/1.1 500", b"HTTP/1.1 502", b"HTTP/1.1 503")):
            self.report.wrong.append(f"{answer[:60]!r} for bytes that are no request")


def _meaning(target: str, old: bool) -> object:
    """What a signed address says. Of Version 2 only what its signers covered."""
    parts = urlsplit(target)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    if old:
        covered = sorted(pair for pair in pairs if pair[0] in SIGNED_NAMES or pair[0] in QUERY_NAMES
                         or pair[0].startswith("x-amz-"))
        return parts.path, covered
    return unquote_to_bytes(parts.path), sorted(pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    report = Report(given.seed)
    with tempfile.TemporaryDirectory(prefix="fluffy-s3-fuzz-") as folder, Cluster(Path(folder), nodes=1) as cluster:
        cluster.start_ready()
        cluster.add_s3_key(PAIR.access_key, PAIR.secret)
        print(f"seed {given.seed}", flush=True)
        Fuzz(cluster.s3_address(cluster.names[0]), PAIR, report).run(given.minutes * 60)
        bugs = cluster.log_lines(cluster.names[0], "request.bug")
        report.wrong += [f"a bug in the log: {line}" for line in bugs[:SHOWN_MAX]]
        cluster.stop()
    print("\n".join(report.lines()))
    judge(report)


if __name__ == "__main__":
    sys.exit(main())

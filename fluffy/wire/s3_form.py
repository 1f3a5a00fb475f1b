"""`multipart/form-data` as browsers post it: some small fields, then a file, read without keeping it.

Sans-IO. `FormReader` takes bytes until the file begins; `FileReader` takes the rest and gives out the file's bytes, in
place. Everything before the file is bounded; so is what follows it.
"""

from __future__ import annotations

import re
from email.message import Message

from fluffy.base.units import KIB
from fluffy.wire.s3_errors import S3Error

# S3's own bound for all that is not the file is 20 KB; a policy in it may be larger here.
FIELDS_BYTES_MAX = 64 * KIB
FIELDS_MAX = 200
HEAD_BYTES_MAX = 8 * KIB
# What may follow the file: the submit button.
REST_BYTES_MAX = 64 * KIB
_BOUNDARY = re.compile(r"[\x20-\x7e]{1,70}\Z")


def boundary_of(content_type: str) -> bytes:
    """Raises S3Error."""
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_param("boundary")
    if message.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or (
            _BOUNDARY.match(boundary) is None):
        raise S3Error("PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold",
                      Condition="Bucket POST must be of the enclosure-type multipart/form-data")
    return boundary.encode("ascii")


class FormReader:
    """Reads the fields. `fields`: by name in lower case. After `is_at_file`, `rest` are the file's first bytes."""

    def __init__(self, boundary: bytes) -> None:
        self._boundary = boundary
        self._delimiter = b"\r\n--" + boundary
        # As if a line had ended before the first boundary.
        self._data = bytearray(b"\r\n")
        self.fields: dict[str, str] = {}
        self.filename = ""
        self.is_at_file = False

    @property
    def rest(self) -> bytes:
        return bytes(self._data)

    def feed(self, data: bytes) -> None:
        """Raises S3Error. Not to be called when `is_at_file`."""
        self._data += data
        while not self.is_at_file and self._step():
            pass
        if not self.is_at_file and len(self._data) > FIELDS_BYTES_MAX:
            raise S3Error("MaxPostPreDataLengthExceededError", 400, "Your POST request fields preceding the upload file"
                                                                    " were too large.")

    def _step(self) -> bool:
        """Take one field, or the head of the file; False: more bytes are needed."""
        if not self._data.startswith(self._delimiter):
            if len(self._data) >= len(self._delimiter):
                raise malformed("a part does not begin with the boundary")
            return False
        start = len(self._delimiter)
        if self._data[start:start + 2] == b"--":
            raise S3Error("InvalidArgument", 400, "POST requires exactly one file upload per request.",
                          ArgumentName="file", ArgumentValue=0)
        end = self._data.find(b"\r\n\r\n", start)
        if end < 0:
            if len(self._data) - start > HEAD_BYTES_MAX:
                raise malformed("the head of a part is too long")
            return False
        name, filename = _disposition(bytes(self._data[start:end]))
        if name == "file":
            self.filename = filename
            del self._data[:end + 4]
            self.is_at_file = True
            return True
        close = self._data.find(self._delimiter, end + 4)
        if close < 0:
            return False
        self._add(name, bytes(self._data[end + 4:close]))
        del self._data[:close]
        return True

    def _add(self, name: str, value: bytes) -> None:
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise malformed("a field is not UTF-8") from error
        if len(self.fields) >= FIELDS_MAX or name in self.fields:
            raise malformed("there are too many fields, or one of them twice")
        self.fields[name] = text


class FileReader:
    """Takes the file's bytes out of what follows its head. `is_done`: the boundary behind it has come."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._held = b""  # the end of what came, while it may be the beginning of the boundary
        self.is_done = False

    @property
    def held_max(self) -> int:
        return len(self._delimiter) - 1

    def take(self, data: bytes) -> bytes:
        """The bytes of the file among those that came (and were held before)."""
        whole = self._held + data
        end = whole.find(self._delimiter)
        if end >= 0:
            self.is_done = True
            self._held = b""
            return whole[:end]
        keep = max(0, len(whole) - self.held_max)
        # Only what could go on as the boundary is held back.
        start = whole.find(b"\r", keep)
        cut = len(whole) if start < 0 else start
        self._held = whole[cut:]
        return whole[:cut]


def _disposition(head: bytes) -> tuple[str, str]:
    """(name in lower case, file name) of a part. Raises S3Error."""
    try:
        lines = head.decode("utf-8").split("\r\n")
    except UnicodeDecodeError as error:
        raise malformed("the head of a part is not UTF-8") from error
    if lines[0].strip():
        raise malformed("something follows the boundary")
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            message = Message()
            message["content-disposition"] = value.strip()
            field, filename = (message.get_param(key, header="content-disposition") for key in ("name", "filename"))
            if isinstance(field, str) and field:
                return field.lower(), filename if isinstance(filename, str) else ""
    raise malformed("a part has no name")


def malformed(why: str) -> S3Error:
    return S3Error("MalformedPOSTRequest", 400, "The body of your POST request is not well-formed multipart/form-data:"
                                                f" {why}.")

"""Keys of objects, as the S3 door takes them: a path below a bucket, a little freer than the paths of people.

An object's path is `bucket/key`. A key may be longer in one segment than a file's name, and its last segment may be
empty: `photos/` is an object too, which tools use as a marker of a folder. What would make a path ambiguous to people
and programs elsewhere stays forbidden here: empty segments in the middle, `.` and `..`, control characters.
"""

from __future__ import annotations

from fluffy.base.errors import NameIllegal
from fluffy.base.paths import CONTROL_CHARACTER, RemotePath

# S3's own bound; the bucket's name is not counted.
KEY_BYTES_MAX = 1024


def parse_object_path(text: str) -> RemotePath:
    """`bucket/key` as segments, the last of which may be empty. Raises NameIllegal."""
    bucket, slash, key = text.partition("/")
    if not bucket or not slash:
        raise NameIllegal("an object lives inside a bucket and has a key")
    return object_path(bucket, key)


def object_path(bucket: str, key: str) -> RemotePath:
    """The path of an object. Raises NameIllegal for what cannot be a key."""
    try:
        size = len(key.encode())
        bucket.encode()
    except UnicodeEncodeError as error:
        raise NameIllegal("the key is not valid UTF-8") from error
    if not 0 < size <= KEY_BYTES_MAX:
        raise NameIllegal(f"a key has 1 to {KEY_BYTES_MAX} bytes")
    if CONTROL_CHARACTER.search(key) is not None:
        raise NameIllegal("the key has a control character")
    segments = key.split("/")
    for segment in segments[:-1]:
        if segment == "":
            raise NameIllegal("the key begins with a slash or has two slashes in a row; that cannot be kept here")
    if "." in segments or ".." in segments:
        raise NameIllegal("the key has a '.' or '..' segment; that cannot be kept here")
    return RemotePath((bucket, *segments))

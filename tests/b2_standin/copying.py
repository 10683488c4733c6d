# Copyright: lepotato.backup contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""b2_copy_file and b2_copy_part: bytes are shared, not moved."""

from __future__ import annotations

import json
import re

from .accounts import Key, require
from .bodies import Bodies, Segment, slice_segments
from .buckets import Buckets
from .clock import Clock
from .errors import B2Error, bad_request, not_found, range_not_satisfiable
from .large_files import LargeFiles, Part
from .params import Params
from .versions import Attributes, Version, Versions, check_lock_rights

COPY_BYTES_MAX = 5_000_000_000  # documented: b2_copy_file and b2_copy_part copy up to 5 GB
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")


class Copier:
    """Server-side copies."""

    def __init__(
        self,
        buckets: Buckets,
        versions: Versions,
        large_files: LargeFiles,
        bodies: Bodies,
        clock: Clock,
    ) -> None:
        self._buckets = buckets
        self._versions = versions
        self._large_files = large_files
        self._bodies = bodies
        self._clock = clock

    def copy_file(self, params: Params, key: Key) -> Version:
        """b2_copy_file."""
        source, segments, is_whole = self._source(params, key)
        bucket_id = params.optional_text("destinationBucketId") or source.bucket_id
        name = params.text("fileName")
        require(key, "writeFiles", bucket_id, name)
        bucket = self._buckets.get(bucket_id)
        directive = params.optional_text("metadataDirective") or "COPY"
        content_type = params.optional_text("contentType")
        info = params.optional_text_map("fileInfo")
        if directive == "COPY":
            if content_type is not None or info is not None:
                raise bad_request("metadataDirective COPY allows no contentType and no fileInfo")
            content_type, info = source.content_type, json.loads(source.info)
        elif directive == "REPLACE":
            if content_type is None:
                raise bad_request("metadataDirective REPLACE needs a contentType")
        else:
            raise bad_request(f"metadataDirective must be COPY or REPLACE, not {directive}")
        attributes = Attributes(
            name=name,
            content_type=content_type or "application/octet-stream",
            info=info or {},
            encryption=params.optional_object("destinationServerSideEncryption"),
            retention=params.optional_object("fileRetention"),
            legal_hold=params.optional_text("legalHold"),
        )
        check_lock_rights(key, bucket, attributes)
        # A whole copy carries its source's SHA-1 on, "none" of a large file included.
        sha1 = source.sha1 if is_whole and source.sha1 else self._bodies.sha1(segments)
        size = sum(segment.length for segment in segments)
        return self._versions.add(bucket, attributes, size, sha1, segments)

    def copy_part(self, params: Params, key: Key) -> tuple[Part, str]:
        """b2_copy_part; returns the part and the large file's ID."""
        source, segments, is_whole = self._source(params, key)
        large_file = self._large_files.unfinished(params.text("largeFileId"))
        require(key, "writeFiles", large_file.bucket_id, large_file.name)
        verified = is_whole and source.sha1 is not None and len(source.sha1) == 40
        part = Part(
            params.number("partNumber"),
            sum(segment.length for segment in segments),
            source.sha1 if verified and source.sha1 else self._bodies.sha1(segments),
            self._clock.now_ms(),
        )
        self._large_files.add_part(large_file.file_id, part, segments)
        return part, large_file.file_id

    def _source(self, params: Params, key: Key) -> tuple[Version, list[Segment], bool]:
        source = self._versions.get(params.text("sourceFileId"))
        require(key, "readFiles", source.bucket_id, source.name)
        if source.action != "upload":
            raise not_found(f"not an uploaded file: {source.file_id}")
        for field in ("sourceServerSideEncryption", "destinationServerSideEncryption"):
            if (params.optional_object(field) or {}).get("mode") == "SSE-C":
                raise bad_request("SSE-C is not supported by this stand-in")
        segments = self._bodies.segments(source.seq)
        start, length = 0, source.size
        text = params.optional_text("range")
        if text is not None:
            start, length = parse_range(text, source.size)
        if length > COPY_BYTES_MAX:
            raise B2Error(400, "source_too_large", f"Copy source is too big: {length}")
        return source, slice_segments(segments, start, length), length == source.size


def parse_range(text: str, size: int) -> tuple[int, int]:
    """The start and length of a Range header in a file of ``size`` bytes; 400 or 416."""
    match = _RANGE.match(text.strip())
    if match is None or match[0] == "bytes=-":
        raise bad_request(f"Bad Range: {text}")
    if not match[1]:
        length = min(int(match[2]), size)
        start = size - length
    else:
        start = int(match[1])
        last = min(int(match[2]) if match[2] else size - 1, size - 1)
        length = last - start + 1
    if length <= 0 or start >= size:
        raise range_not_satisfiable()
    return start, length

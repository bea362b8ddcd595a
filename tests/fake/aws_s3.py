# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects of a fake S3, in memory, as strict as the real one where a client could rely on less."""
import hashlib
import re
import threading
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from aws_signatures import Refused

PAGE = 1000
PART_LEAST = 5 << 20


class Store:
    def __init__(self, page=PAGE, part_least=PART_LEAST, checksums=True):
        self.checksums, self.within = checksums, None
        self.buckets, self.uploads, self.lifecycle = {}, {}, {}
        self.page, self.part_least = page, part_least
        self.lock = threading.RLock()

    def objects(self, bucket):
        if bucket not in self.buckets:
            raise Refused(404, "NoSuchBucket", "The specified bucket does not exist")
        return self.buckets[bucket]

    def handle(self, method, path, query, headers, body):
        """(status, headers, body)"""
        _, bucket, *rest = path.split("/", 2)
        key, asked = unquote(rest[0]) if rest else "", parse_qs(query, keep_blank_values=True)
        with self.lock:
            if not key:
                return self.handle_bucket(method, bucket, asked, body)
            if "uploads" in asked or "uploadId" in asked:
                return self.handle_upload(method, bucket, key, asked, headers, body)
            return self.handle_object(method, bucket, key, headers, body)

    def handle_bucket(self, method, bucket, asked, body):
        if method == "PUT" and not asked:
            self.buckets.setdefault(bucket, {})
            return 200, {}, b""
        objects = self.objects(bucket)
        if "lifecycle" in asked:
            if method == "PUT":
                if b"<LifecycleConfiguration" not in body:
                    raise Refused(400, "MalformedXML", "no LifecycleConfiguration")
                self.lifecycle[bucket] = body
            elif bucket not in self.lifecycle:
                raise Refused(404, "NoSuchLifecycleConfiguration", "there is none")
            return 200, {}, b"" if method == "PUT" else self.lifecycle[bucket]
        if method == "POST" and "delete" in asked:
            for key in re.findall(r"<Key>([^<]*)</Key>", body.decode()):
                objects.pop(key.replace("&amp;", "&").replace("&lt;", "<"), None)
            return 200, {}, b"<DeleteResult></DeleteResult>"
        if method != "GET" or asked.get("list-type") != ["2"]:
            raise Refused(405, "MethodNotAllowed", "not on a bucket")
        return 200, {}, self.list(objects, asked)

    def list(self, objects, asked):
        prefix = asked.get("prefix", [""])[0]
        if self.within and not prefix.startswith(self.within):
            raise Refused(403, "AccessDenied", "the policy allows lists below the prefix alone")
        after = asked.get("continuation-token", asked.get("start-after", [""]))[0]
        most = min(self.page, int(asked.get("max-keys", [self.page])[0]))
        keys = [k for k in sorted(objects) if k.startswith(prefix) and k > after]
        shown = keys[:most]
        text = f"<ListBucketResult><IsTruncated>{str(len(keys) > most).lower()}</IsTruncated>"
        if len(keys) > most:
            text += f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>"
        for key in shown:
            text += (f"<Contents><Key>{escape(key)}</Key><Size>{len(objects[key]['body'])}</Size>"
                     f"<ETag>&quot;{objects[key]['etag']}&quot;</ETag></Contents>")
        return (text + "</ListBucketResult>").encode()

    def put(self, bucket, key, body, headers, etag=None):
        objects = self.objects(bucket)
        if headers.get("if-none-match") == "*" and key in objects:
            raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        objects[key] = {"body": body, "etag": etag or hashlib.md5(body).hexdigest(),
                        "sse": headers.get("x-amz-server-side-encryption"),
                        "kms": headers.get("x-amz-server-side-encryption-aws-kms-key-id")}
        return {"ETag": f'"{objects[key]["etag"]}"'}

    def handle_object(self, method, bucket, key, headers, body):
        objects = self.objects(bucket)
        if method == "PUT":
            if not self.checksums and "x-amz-checksum-sha256" in headers:
                raise Refused(501, "NotImplemented", "Header 'x-amz-checksum-sha256' not implemented")
            if self.checksums and "x-amz-checksum-sha256" not in headers:
                raise Refused(400, "InvalidRequest", "this store wants a checksum")
            return 200, self.put(bucket, key, body, headers), b""
        if method == "DELETE":
            objects.pop(key, None)
            return 204, {}, b""
        if key not in objects:
            raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        found = objects[key]
        return 200, {"ETag": f'"{found["etag"]}"'}, found["body"]

    def handle_upload(self, method, bucket, key, asked, headers, body):
        if "uploads" in asked:
            upload = f"upload+{len(self.uploads)}/="
            self.uploads[upload] = {"parts": {}, "headers": headers}
            return 200, {}, f"<R><UploadId>{upload}</UploadId></R>".encode()
        upload = self.uploads.get(asked["uploadId"][0])
        if not upload:
            raise Refused(404, "NoSuchUpload", "no such upload")
        if method == "PUT":
            part = int(asked["partNumber"][0])
            upload["parts"][part] = body
            return 200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, b""
        del self.uploads[asked["uploadId"][0]]
        if method == "DELETE":
            return 204, {}, b""
        told = re.findall(r"<PartNumber>(\d+)</PartNumber><ETag>\"?([0-9a-f]+)\"?</ETag><ChecksumSHA256>", body.decode())
        parts = [upload["parts"].get(int(n)) for n, _ in told]
        if not told or None in parts or any(hashlib.md5(p).hexdigest() != e for p, (_, e) in zip(parts, told)):
            raise Refused(400, "InvalidPart", "a part is missing or another one")
        if any(len(p) < self.part_least for p in parts[:-1]):
            raise Refused(400, "EntityTooSmall", "a part is too small")
        merged = {**upload["headers"], **headers}
        etag = f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}"
        self.put(bucket, key, b"".join(parts), merged, etag)
        return 200, {}, b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>"

"""A store in the words of S3, as far as archives speak them, with troubles at will. It runs in a thread, and knows no
signatures. (Amazon S3 API Reference: PutObject, GetObject, ListObjectsV2, DeleteObjects, multipart uploads.)"""

from __future__ import annotations

import hashlib
import io
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from types import MappingProxyType
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class Bucket:
    """What is stored, and how the store behaves."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.lock = threading.Lock()
        self.status = 0
        """With which everything is answered; 0: as it should be."""
        self.read_only = False
        self.delay = 0.0
        """Seconds before each answer."""
        self.lost = ""
        """The next PUT of a key with this in it is done, and the answer says that it was not."""
        self.requests = 0
        self.url = ""

    @property
    def options(self) -> dict[str, str]:
        """How delta-rs reaches it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            "aws_conditional_put": "etag",
        }


def _tag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def _unchunked(source: BufferedIOBase) -> bytes:
    """The content of chunks: each begins with its size in hexadecimal. Signatures and trailers are passed over."""
    content = b""
    while size := int(source.readline().partition(b";")[0].strip() or b"0", 16):
        content += source.read(size)
        source.readline()
    while source.readline().strip():
        pass
    return content


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bucket: Bucket

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _fault(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())

    def _body(self) -> bytes:
        """What was sent, out of the chunks of HTTP and those of S3."""
        if "chunked" in (self.headers.get("transfer-encoding") or ""):
            body = _unchunked(self.rfile)
        else:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
        return _unchunked(io.BytesIO(body)) if "aws-chunked" in (self.headers.get("content-encoding") or "") else body

    def _handle(self) -> None:
        bucket = self.bucket
        body = self._body()
        bucket.requests += 1
        time.sleep(bucket.delay)
        if bucket.status:
            self._fault(bucket.status, "ServiceUnavailable" if bucket.status == 503 else "AccessDenied")
            return
        if bucket.read_only and self.command in ("PUT", "POST", "DELETE"):
            self._fault(403, "AccessDenied")
            return
        parts = urlsplit(self.path)
        _, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        with bucket.lock:
            if self.command in ("GET", "HEAD"):
                self._list(query) if not key else self._get(key)
            elif self.command == "PUT":
                self._put(key, query, body)
            elif self.command == "DELETE":
                bucket.objects.pop(key, None)
                self._answer(204)
            else:
                self._post(key, query, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815  # so the library calls them

    def _get(self, key: str) -> None:
        if key not in self.bucket.objects:
            self._fault(404, "NoSuchKey")
            return
        content, written = self.bucket.objects[key]
        told = {"etag": _tag(content), "last-modified": formatdate(written, usegmt=True), "accept-ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("range") or "")
        if self.command == "HEAD" or asked is None:
            self._answer(200, content, told)
            return
        first = int(asked[1]) if asked[1] else max(0, len(content) - int(asked[2]))
        last = min(int(asked[2]), len(content) - 1) if asked[1] and asked[2] else len(content) - 1
        where = {"content-range": f"bytes {first}-{last}/{len(content)}"}
        self._answer(206, content[first : last + 1], told | where)

    def _put(self, key: str, query: dict[str, str], body: bytes) -> None:
        if "uploadId" in query:
            self.bucket.parts[query["uploadId"]][int(query["partNumber"])] = body
        elif self.headers.get("if-none-match") == "*" and key in self.bucket.objects:
            self._fault(412, "PreconditionFailed")
            return
        else:
            self.bucket.objects[key] = (body, time.time())
            if self.bucket.lost and self.bucket.lost in key:
                self.bucket.lost = ""
                self._fault(503, "ServiceUnavailable")
                return
        self._answer(200, headers={"etag": _tag(body)})

    def _post(self, key: str, query: dict[str, str], body: bytes) -> None:
        if "uploads" in query:
            upload = f"upload-{len(self.bucket.parts)}"
            self.bucket.parts[upload] = {}
            found = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
        elif "uploadId" in query:
            whole = b"".join(content for _, content in sorted(self.bucket.parts.pop(query["uploadId"]).items()))
            self.bucket.objects[key] = (whole, time.time())
            found = f"<CompleteMultipartUploadResult><ETag>{escape(_tag(whole))}</ETag></CompleteMultipartUploadResult>"
        else:
            gone = re.findall(r"<Key>(.*?)</Key>", body.decode())
            for each in gone:
                self.bucket.objects.pop(each, None)
            deleted = "".join(f"<Deleted><Key>{each}</Key></Deleted>" for each in gone)
            found = f"<DeleteResult>{deleted}</DeleteResult>"
        self._answer(200, found.encode())

    def _list(self, query: dict[str, str]) -> None:
        prefix, after = query.get("prefix", ""), query.get("start-after", "")
        contents, folders = [], []
        for key, (content, written) in sorted(self.bucket.objects.items()):
            if not key.startswith(prefix) or key <= after:
                continue
            rest = key[len(prefix) :]
            if query.get("delimiter") and query["delimiter"] in rest:
                folders.append(prefix + rest.partition(query["delimiter"])[0] + query["delimiter"])
                continue
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(written))
            contents.append(
                f"<Contents><Key>{escape(key)}</Key><LastModified>{stamp}</LastModified>"
                f"<ETag>{escape(_tag(content))}</ETag><Size>{len(content)}</Size></Contents>"
            )
        found = "".join(contents) + "".join(
            f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in dict.fromkeys(folders)
        )
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>"
        self._answer(200, body.encode())


@contextmanager
def running_store() -> Iterator[Bucket]:
    """A store that runs, with one bucket of any name."""
    bucket = Bucket()
    handler = type("Handler", (_Handler,), {"bucket": bucket})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    bucket.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()

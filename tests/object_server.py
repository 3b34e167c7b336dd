"""A small S3 server in memory, with the faults that tests need: GET, HEAD, PUT, deletion, lists and multipart uploads.

It runs in threads of the test process; other processes reach it by `environment()`.
"""

import hashlib
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape


class ObjectServer:
    """The objects of one server, what was asked of it, and which faults it has."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        """Contents by `bucket/key`."""
        self.modified: dict[str, float] = {}
        self.requests: Counter[str] = Counter()
        """Number of requests by method, and by `METHOD key`."""
        self.sent = 0
        """Bytes of the bodies of answers to GET."""
        self.conditional = True
        """Whether `If-None-Match` is honored; else objects are silently overwritten."""
        self.lost_answers = 0
        """Number of conditional writes that are done, and whose connection is then closed without an answer."""
        self.conflicts = 0
        """Number of conditional writes that are answered with 409."""
        self.errors = 0
        """Number of requests that are answered with 503."""
        self.cut_off = 0
        """Number of GETs whose connection is closed in the middle of the body."""
        self.seconds = 0.0
        """Seconds that every request takes."""
        self.refused: re.Pattern[str] | None = None
        """PUTs of keys that match are answered with 403."""
        self.parts: dict[str, dict[int, bytes]] = {}
        self.lock = threading.Lock()
        self.url = ""

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1", "NO_PROXY": "127.0.0.1", "EPOCHBANK_OBJECTS_TIMEOUT": "5",
        }  # fmt: skip

    def names(self, pattern: str = "") -> list[str]:
        """Return the objects whose name the pattern finds, sorted."""
        return sorted(name for name in self.objects if re.search(pattern, name))


@contextmanager
def object_server() -> Iterator[ObjectServer]:
    """Run a server with the empty bucket `bucket`."""
    state = ObjectServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: ObjectServer

    def log_message(self, *_: Any) -> None:
        pass

    def _begin(self) -> tuple[str, dict[str, list[str]], bytes]:
        parts = urlsplit(self.path)
        key, query = unquote(parts.path).lstrip("/"), parse_qs(parts.query, keep_blank_values=True)
        body = self._body()
        with self.state.lock:
            self.state.requests[self.command] += 1
            self.state.requests[f"{self.command} {key}"] += 1
        if self.state.seconds:
            time.sleep(self.state.seconds)
        return key, query, body

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            with suppress(ConnectionError):  # The client has given up.
                self.wfile.write(body)

    def _fails(self) -> bool:
        with self.state.lock:
            if self.state.errors <= 0:
                return False
            self.state.errors -= 1
        self._answer(503)
        return True

    def _close(self) -> None:
        self.close_connection = True
        self.connection.close()

    def do_PUT(self) -> None:
        key, query, body = self._begin()
        if self._fails():
            return
        state = self.state
        if state.refused is not None and state.refused.search(key):
            self._answer(403, _xml("<Error><Code>AccessDenied</Code></Error>"))
            return
        with state.lock:
            if "partNumber" in query:
                state.parts[query["uploadId"][0]][int(query["partNumber"][0])] = body
                status, lost = 200, False
            else:
                conditional = self.headers.get("If-None-Match") == "*" and state.conditional
                status, lost = 200, False
                if conditional and state.conflicts > 0:
                    state.conflicts -= 1
                    status = 409
                elif conditional and key in state.objects:
                    status = 412
                else:
                    state.objects[key], state.modified[key] = body, time.time()
                    if conditional and state.lost_answers > 0:
                        state.lost_answers -= 1
                        lost = True
        if lost:
            self._close()
            return
        self._answer(status, ETag=_tag(body))

    def do_POST(self) -> None:
        key, query, body = self._begin()
        if self._fails():
            return
        if "uploads" in query:
            upload = f"u{len(self.state.parts)}"
            self.state.parts[upload] = {}
            self._answer(200, _xml(
                f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            ))  # fmt: skip
        elif "uploadId" in query:
            with self.state.lock:
                parts = self.state.parts.pop(query["uploadId"][0])
                self.state.objects[key] = b"".join(parts[number] for number in sorted(parts))
                self.state.modified[key] = time.time()
            tag = escape(_tag(self.state.objects[key]))
            self._answer(
                200, _xml(f"<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>")
            )
        else:
            keys = re.findall(r"<Key>(.*?)</Key>", body.decode())
            for one in keys:
                self.state.objects.pop(f"{key.rstrip('/')}/{unescape(one)}", None)
            deleted = "".join(f"<Deleted><Key>{one}</Key></Deleted>" for one in keys)
            self._answer(200, _xml(f"<DeleteResult>{deleted}</DeleteResult>"))

    def do_HEAD(self) -> None:
        self._get()

    def do_GET(self) -> None:
        self._get()

    def _get(self) -> None:
        key, query, _ = self._begin()
        if self._fails():
            return
        if "list-type" in query:
            self._list(key.rstrip("/"), query)
            return
        state = self.state
        body = state.objects.get(key)
        if body is None:
            self._answer(404, _xml("<Error><Code>NoSuchKey</Code></Error>"))
            return
        headers = {"ETag": _tag(body), "Last_Modified": self.date_time_string(int(state.modified[key]))}
        status, span = 200, re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if span:
            first, last = int(span[1]), int(span[2] or len(body) - 1)
            headers["Content_Range"] = f"bytes {first}-{min(last, len(body) - 1)}/{len(body)}"
            status, body = 206, body[first : last + 1]
        if self.command == "HEAD":
            self._answer(status, b"", **headers, Content_Length=str(len(body)))
            return
        with state.lock:
            cut = state.cut_off > 0 and len(body) > 1
            state.cut_off -= cut
            state.sent += len(body)
        if cut:
            self._answer(status, body[: len(body) // 2], **headers, Content_Length=str(len(body)))
            self._close()
            return
        self._answer(status, body, **headers)

    def _list(self, bucket: str, query: dict[str, list[str]]) -> None:
        prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        found, folders = [], set()
        for name in self.state.names():
            key = name.removeprefix(f"{bucket}/")
            if key == name or not key.startswith(prefix):
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.split(delimiter)[0] + delimiter)
            else:
                found.append((key, name))
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.state.objects[name])}</Size><LastModified>"
            f"{time.strftime('%Y-%m-%dT%H:%M:%S.000Z', time.gmtime(self.state.modified[name]))}</LastModified>"
            f"<ETag>{escape(_tag(self.state.objects[name]))}</ETag></Contents>"
            for key, name in found
        )
        common = "".join(f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in sorted(folders))
        self._answer(200, _xml(
            f"<ListBucketResult><Name>{bucket}</Name><IsTruncated>false</IsTruncated>{contents}{common}"
            "</ListBucketResult>"
        ))  # fmt: skip


def _tag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def _xml(text: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()

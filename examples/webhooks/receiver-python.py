"""
Receives webhooks with Python's standard library: verifies the signature, keeps each event once, on a line of a file, and
answers. What is to be done about an event is done by whoever reads the file: an answer that takes longer than 15 seconds
counts as a failure.

    WEBHOOK_SECRET=whsec_… python3 receiver-python.py received.ndjson
"""
import base64
import hashlib
import hmac
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MOST_BYTES = 1024 * 1024
TOLERANCE_S = 5 * 60

key = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"), validate=True)
path = sys.argv[1] if len(sys.argv) > 1 else "received.ndjson"
keeping = threading.Lock()


def is_signed(headers, body: bytes) -> bool:
    """Standard Webhooks: one of the signatures is the HMAC of id, time and body under our secret, and the time is now."""
    id, sent, signatures = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not id or not sent.isascii() or not sent.isdigit() or abs(time.time() - int(sent)) > TOLERANCE_S:
        return False
    content = f"{id}.{sent}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest())
    # While a secret is rotated there are two, with a blank between them.
    return any(hmac.compare_digest(expected, one.encode()) for one in signatures.split(" "))


def ids_in(path: str) -> set:
    """What the file has. A line that a crash left half-written is taken away."""
    try:
        with open(path, "r+b") as file:
            whole = file.read()
            whole = whole[: whole.rfind(b"\n") + 1]
            file.truncate(len(whole))
    except FileNotFoundError:
        return set()
    return {json.loads(line)["id"] for line in whole.splitlines()}


def keep_once(id: str, event) -> None:
    with keeping:
        if id in seen:
            return
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"id": id, "event": event}) + "\n")
        seen.add(id)


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers.get("content-length", -1))
        if not 0 <= length <= MOST_BYTES:
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(length)
        if not is_signed(self.headers, body):
            return self.answer(401)
        keep_once(self.headers["webhook-id"], json.loads(body))
        self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


seen = ids_in(path)
server = ThreadingHTTPServer((os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "9000"))), Receiver)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(f"listening on http://{server.server_address[0]}:{server.server_address[1]}", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    pass

"""The webhook companion: takes what Alertmanager posts to /alerts, gives it back to a GET."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8080
MOST = 1000
RECEIVED: list[object] = []


class Receiver(BaseHTTPRequestHandler):
    """Keeps each posted document."""

    def do_POST(self) -> None:
        """Take one document."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        RECEIVED.append(json.loads(body))
        del RECEIVED[:-MOST]
        self._answer({"received": len(RECEIVED)})

    def do_GET(self) -> None:
        """Give all documents."""
        self._answer(RECEIVED)

    def _answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("", PORT), Receiver).serve_forever()

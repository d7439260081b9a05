"""The container's health check: exit 0 only when the exchange says that it is healthy."""

import http.client
import json
import sys

PORT = 8100
LIMIT_SECONDS = 3.0


def probe(port: int = PORT) -> tuple[bool, str]:
    """Ask once; give the judgement and what was seen."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_SECONDS)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        body = json.loads(answer.read(65536))
        status = body.get("status") if isinstance(body, dict) else None
    except (OSError, http.client.HTTPException, ValueError) as error:
        return False, f"no health answer on port {port}: {error}"
    finally:
        connection.close()
    return answer.status == 200 and status == "healthy", f"HTTP {answer.status}, status {status}"


def main() -> int:
    """Probe, say what was seen, give the exit code."""
    good, seen = probe()
    sys.stdout.write(seen + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

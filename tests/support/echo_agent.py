"""A guest agent of three methods, for tests of the channel: `python -m tests.support.echo_agent AGENT.JSON`.

`echo` gives its params back, `sleep` answers after `seconds`, `refuse` is an error of the guest, `die` ends the agent.
"""

import json
import os
import socketserver
import sys
import time
from pathlib import Path


class Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            request = json.loads(line)
            self.wfile.write(
                json.dumps({"id": request["id"], **self.answer(request["method"], request["params"])}).encode() + b"\n"
            )

    def answer(self, method: str, params: dict[str, object]) -> dict[str, object]:
        match method:
            case "echo":
                return {"result": params}
            case "sleep":
                time.sleep(float(str(params["seconds"])))
                return {"result": {}}
            case "die":
                os._exit(1)
        return {"error": {"type": "UserNotFound", "message": "There is no such user."}}


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def main() -> None:
    path = Path(json.loads(Path(sys.argv[1]).read_text())["socket"])
    path.unlink(missing_ok=True)
    with Server(str(path), Session) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()

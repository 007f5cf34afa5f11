"""The stub datastore's engine: a process that owns a port and answers a greeting. `stub_engine.py ADDRESS PORT`."""

import os
import socket
import sys


def main() -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((sys.argv[1], int(sys.argv[2])))
    listener.listen(16)
    address = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        notifier.sendto(b"READY=1", f"\0{address[1:]}")
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"stub 1.0\n")


if __name__ == "__main__":
    main()

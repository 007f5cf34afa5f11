"""Join an SSH session to the agent's Unix socket: `python -I -S channel.py SOCKET`.

It is the forced command of the control plane's key, so sshd starts it whatever the client asked for and puts what was
asked for into SSH_ORIGINAL_COMMAND: the configured command line for a subsystem, the client's words for `exec`, nothing
for a shell. Only the subsystem gets through. Standard library only: it starts once per connection and has to be quick.
"""

import os
import select
import socket
import sys
import time

SUBSYSTEM = "coffer-guest"
CHUNK = 65536
BOOT_SECONDS = 2.0
# Exit statuses. sshd passes them on, but not what a subsystem writes to stderr.
REFUSED = 1
USAGE = 2
UNREACHABLE = 75


def is_subsystem_request(original_command: str | None, own_command: str) -> bool:
    """The subsystem is configured either by its bare name or with this program's full command line."""
    return original_command is not None and original_command in (SUBSYSTEM, own_command)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def relay(agent: socket.socket) -> None:
    """Copy both ways until the agent hangs up; the client's end of input is passed on and its answers still delivered."""
    poller = select.poll()
    poller.register(0, select.POLLIN)
    poller.register(agent, select.POLLIN)
    while True:
        for fd, _ in poller.poll():
            if fd == 0:
                data = os.read(0, CHUNK)
                if data:
                    agent.sendall(data)
                else:
                    poller.unregister(0)
                    agent.shutdown(socket.SHUT_WR)
            else:
                data = agent.recv(CHUNK)
                if not data:
                    return
                write_all(1, data)


def connect(agent: socket.socket, path: str) -> None:
    """A server that boots has its sshd before its agent: the caller need not dial again for that.  Raises OSError after some time."""
    until = time.monotonic() + BOOT_SECONDS
    while True:
        try:
            return agent.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > until:
                raise
            time.sleep(0.005)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: channel.py SOCKET\n")
        return USAGE
    if not is_subsystem_request(os.environ.get("SSH_ORIGINAL_COMMAND"), " ".join(sys.orig_argv)):
        sys.stderr.write(f"This key opens the subsystem {SUBSYSTEM} and nothing else.\n")
        return REFUSED
    with socket.socket(socket.AF_UNIX) as agent:
        try:
            connect(agent, arguments[0])
            relay(agent)
        except OSError as error:
            sys.stderr.write(f"The guest agent is not reachable: {error.strerror}.\n")
            return UNREACHABLE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

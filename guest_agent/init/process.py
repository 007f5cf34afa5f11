"""Starting a unit's process: user, limits, log, notify socket, and its tie to init's own life."""

import ctypes
import os
import pwd
import resource
import signal
import socket
import struct

from guest_agent.init.units import Unit, UnitError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
CREDENTIALS = struct.Struct("3i")

_prctl = ctypes.CDLL(None, use_errno=True).prctl


def become_subreaper() -> None:
    """Orphans of the units become children of this process, so that they can be reaped and ended with the rest."""
    if _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


class NotifySocket:
    """sd_notify's receiving end: an abstract socket, so that no directory has to be open to the unit's user."""

    def __init__(self, uid: int) -> None:
        self._uid = uid
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        name = f"coffer-{os.urandom(12).hex()}"
        self.socket.bind(f"\0{name}")
        self.address = f"@{name}"

    def receive(self) -> dict[str, str]:
        """The variables of one message; empty if it does not come from the unit's user or root."""
        data, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(CREDENTIALS.size))
        senders = [CREDENTIALS.unpack(body)[1] for _, kind, body in ancillary if kind == socket.SCM_CREDENTIALS]
        if not senders or senders[0] not in (0, self._uid):
            return {}
        lines = data.decode(errors="replace").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def close(self) -> None:
        self.socket.close()


def account_of(unit: Unit) -> pwd.struct_passwd:
    """The account a unit runs as. Only root can be anybody else than itself."""
    if unit.user is None or os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    try:
        return pwd.getpwnam(unit.user)
    except KeyError:
        raise UnitError("StartFailed", f"There is no user {unit.user!r} on this server.") from None


def spawn(unit: Unit, server: str, boot_id: str, notify_address: str | None) -> int:
    """Start the unit's process; when this returns the program has been executed."""
    account = account_of(unit)
    environment = {
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "HOME": account.pw_dir,
        "USER": account.pw_name,
        "LOGNAME": account.pw_name,
        **unit.env,
        "COFFER_SERVER": server,
        "COFFER_BOOT_ID": boot_id,
    }
    if notify_address:
        environment["NOTIFY_SOCKET"] = notify_address
    parent = os.getpid()
    failure_end, child_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _become(unit, server, account, parent)
            os.execvpe(unit.argv[0], unit.argv, environment)  # noqa: S606 - no shell is the point
        except OSError as error:
            os.write(child_end, f"{error.strerror}: {error.filename or unit.argv[0]}".encode())
        finally:
            os._exit(127)
    os.close(child_end)
    with os.fdopen(failure_end, "rb") as pipe:
        failure = pipe.read()
    if failure:
        os.waitpid(pid, 0)
        raise UnitError("StartFailed", f"{failure.decode(errors='replace')}.")
    return pid


def _become(unit: Unit, server: str, account: pwd.struct_passwd, parent: int) -> None:
    """In the child: everything between fork and exec."""
    os.setsid()
    for number, limit in unit.limits.items():
        resource.setrlimit(number, (limit, limit))
    null = os.open(os.devnull, os.O_RDWR)
    log = null
    if unit.log:
        # init opens the log before it gives up root, so it must not be led elsewhere by a link.
        log = os.open(unit.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o640)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    # The directory of a server is never writable by others; files a unit makes are not readable by them either.
    os.umask(0o027)
    if os.geteuid() == 0:
        os.setgroups(os.getgrouplist(account.pw_name, account.pw_gid))
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    # After setuid, which clears it.
    if _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        os._exit(127)
    os.chdir("/")

"""The one connection between a supervisor and each worker: what is shared, who is ready, and who is gone.

A pair of Unix sockets, one end inherited by the worker. Both sides speak in lines. The supervisor's
`share NAME GENERATION` carries a descriptor (a board); the worker's `ready` says that it serves. When the
supervisor dies, however it does, the worker reads the end of the stream, and should stop: nobody would ever
tell it to.
"""

from __future__ import annotations

import os
import socket
from array import array
from collections import deque
from dataclasses import dataclass

from gslb.errors import GslbError

_READY = b"ready"
_READ = 4096
_MOST_DESCRIPTORS = 16


class ChannelError(GslbError):
    """A worker was started without its channel, or the other side says what nobody understands."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Something that all workers share, one word its name; a received `fd` is the receiver's to close."""

    name: str
    generation: int
    fd: int


class SupervisorEnd:
    """The supervisor's end; it never blocks. ended: the worker has closed its own. `close` it once."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.ended = False
        self._lines = _Lines()

    def share(self, shared: Shared) -> bool:
        """Hand over a descriptor; False if the worker is gone, or has not read for very long."""
        line = f"share {shared.name} {shared.generation}\n".encode()
        try:
            return socket.send_fds(self.socket, [line], [shared.fd]) == len(line)
        except OSError:
            return False

    def says_ready(self) -> bool:
        """Read what has come; whether the worker said that it is ready."""
        try:
            while data := self.socket.recv(_READ):
                self._lines.feed(data)
            self.ended = True
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True
        return _READY in self._lines.take()

    def close(self) -> None:
        self.socket.close()


class WorkerEnd:
    """The worker's end, from the number of its descriptor. `fileno` is for an event loop's reader."""

    def __init__(self, fd: int) -> None:
        """Raises ChannelError when there is no such connection."""
        try:
            self._socket = socket.socket(fileno=fd)
        except (OSError, ValueError) as error:
            raise ChannelError(
                f"descriptor {fd} is no channel to a supervisor: {error}",
                hint="workers are started by gslb-edge itself",
            ) from error
        self._socket.set_inheritable(False)
        self._lines = _Lines()
        self._descriptors: deque[int] = deque()

    def fileno(self) -> int:
        return self._socket.fileno()

    def ready(self) -> None:
        """Tell the supervisor that this worker serves; if that is gone, `receive` says so."""
        try:
            self._socket.sendall(_READY + b"\n")
        except OSError:
            return

    def receive(self, *, wait: bool = False) -> tuple[Shared, ...] | None:
        """What has been shared since the last time; None: the supervisor is gone.

        wait: for at least one. Raises ChannelError for a line that is none of ours.
        """
        shared: list[Shared] = []
        ended = False
        while not ended and (not shared if wait else True):
            try:
                data = self._read(0 if wait else socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            ended = not data
            self._lines.feed(data)
            shared += [self._understand(line) for line in self._lines.take()]
        # What came before the end is not worth having: there is nobody left to share it with.
        if ended:
            for each in shared:
                os.close(each.fd)
            return None
        return tuple(shared)

    def _read(self, flags: int) -> bytes:
        # Not socket.recv_fds: in Python 3.11 it forgets its flags.
        room = socket.CMSG_LEN(_MOST_DESCRIPTORS * array("i").itemsize)
        data, messages, _, _ = self._socket.recvmsg(_READ, room, flags)
        for level, kind, content in messages:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors = array("i")
                descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
                self._descriptors.extend(descriptors)
        return data

    def _understand(self, line: bytes) -> Shared:
        words = line.decode("utf-8", "replace").split(" ")
        if len(words) != 3 or words[0] != "share" or not words[2].isdecimal() or not self._descriptors:
            raise ChannelError(f"the supervisor says {line[:80]!r}: is it of another version?")
        fd = self._descriptors.popleft()
        os.set_inheritable(fd, False)
        return Shared(words[1], int(words[2]), fd)

    def close(self) -> None:
        for fd in self._descriptors:
            os.close(fd)
        self._descriptors.clear()
        self._socket.close()


def channel() -> tuple[SupervisorEnd, socket.socket]:
    """Both ends; the second is for a worker to inherit, and is closed here once it has."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return SupervisorEnd(ours), theirs


class _Lines:
    """Bytes in, whole lines out."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> None:
        self._rest += data

    def take(self) -> list[bytes]:
        *lines, self._rest = self._rest.split(b"\n")
        return lines

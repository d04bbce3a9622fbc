"""A listening socket of the compiled path, as Python sees it."""

import socket

from edge.compiled.loop import Loop
from edge.proxy.compiled_path import CompiledPath
from edge.proxy.entrance import Entrance

class Listening:
    def __init__(
        self, loop: Loop, listening: socket.socket, path: CompiledPath, entrance: Entrance
    ) -> None: ...
    def accept_again(self) -> None:
        """After `cannot_accept`."""

    def close(self) -> None:
        """Accept nobody any more; those who are here stay."""

"""A connection to a server on the compiled path, as Python sees it: an idle one in a server's list."""

from edge.server import ServerState

class Link:
    """opened_at, idle_since: loop time."""

    server: ServerState
    opened_at: float
    idle_since: float

    @property
    def usable(self) -> bool:
        """Whether a request may be written to it."""

    def surrender(self) -> int:
        """The descriptor of an idle one, which is the caller's from now on; -1 if there is none."""

    def close(self) -> None: ...

"""What the compiled path serves by, as Python sees it."""

from edge.proxy.proxy import Proxy

class Terms:
    """Made anew whenever the proxy goes on with another fleet."""

    def __init__(self, proxy: Proxy) -> None: ...

"""What the fleet's file says of how queries are treated, made once into the form that serves quickest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from gslb.dns import edns
from gslb.dns.chaos import told
from gslb.dns.cookie import Cookies
from gslb.dns.name import Name
from gslb.dns.rate_limit import RateLimiter
from gslb.dns.tsig import Keyring
from gslb.fleet import ClientSubnetSettings, DnsSettings, RateLimitSettings
from gslb.geo.location import IPAddress
from gslb.geo.prefixes import Prefixes

if TYPE_CHECKING:
    from gslb.dns.compiled.limiter import Limiter


class SubnetTrust:
    """Whose client subnet counts."""

    def __init__(self, settings: ClientSubnetSettings) -> None:
        self.nobody = not settings.enabled
        self.everybody = settings.enabled and not settings.trusted
        self._trusted4 = Prefixes(4, settings.trusted)
        self._trusted6 = Prefixes(6, settings.trusted)

    def includes(self, resolver: IPAddress) -> bool:
        """Whether `resolver` is on the list."""
        trusted = self._trusted4 if isinstance(resolver, IPv4Address) else self._trusted6
        return trusted.find(int(resolver))[0] is not None


@dataclass(frozen=True, slots=True)
class Rules:
    """For one node and one configuration. The limiter and the cookies have memories: see `rules_of`.

    nsid: the option that answers an NSID option (RFC 5001), empty for none. texts: of the class CHAOS.
    """

    settings: DnsSettings
    trust: SubnetTrust
    cookies: Cookies | None
    limiter: RateLimiter | Limiter | None
    keyring: Keyring
    nsid: bytes
    keepalive: bytes
    texts: dict[Name, str]


def rules_of(
    settings: DnsSettings,
    node: str,
    random_secret: bytes,
    before: Rules | None = None,
    make_limiter: Callable[[RateLimitSettings], RateLimiter | Limiter] = RateLimiter,
) -> Rules:
    """The rules for `node`; what did not change since `before` keeps its memory."""
    if before is not None and before.settings == settings:
        return before
    limiter = make_limiter(settings.rate_limit) if settings.rate_limit.enabled else None
    if before is not None and before.settings.rate_limit == settings.rate_limit:
        limiter = before.limiter
    cookies = Cookies(settings.cookies, random_secret=random_secret) if settings.cookies.enabled else None
    identity = None
    if settings.tells_identity:
        declared = settings.nodes.get(node)
        identity = (declared.identity if declared is not None else "") or node or None
    return Rules(
        settings,
        SubnetTrust(settings.client_subnet),
        cookies,
        limiter,
        Keyring(settings.keys),
        edns.option(edns.NSID, identity.encode()) if identity is not None else b"",
        edns.tcp_keepalive_option(settings.tcp.idle_timeout),
        dict(told(identity, settings.version)),
    )

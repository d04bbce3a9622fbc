"""Where a client is: the operator's word, else what the databases say, else the default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from ipaddress import IPv4Address, IPv6Address
from weakref import WeakMethod

from gslb.clock import iso
from gslb.fleet import GeoSettings
from gslb.geo import transition
from gslb.geo.database import DECODING_ERRORS, Database
from gslb.geo.location import IPAddress, IPNetwork, Located, Location
from gslb.geo.network_map import NetworkMap, Resolve, Tables
from gslb.geo.network_map_build import AbandonedError, build_network_map
from gslb.geo.network_map_file import Origin
from gslb.geo.prefixes import Prefixes
from gslb.geo.records import DATABASE, complete, fill, knows_place, read_record

_MEMO = 1 << 19  # records whose location is found without reading them again


@dataclass(frozen=True, slots=True)
class DatabaseDescription:
    """What the admin side shows of a database. built: seconds since 1970. nodes: of its search tree."""

    path: str
    type: str
    built: int
    ip_version: int
    nodes: int
    description: str

    def __str__(self) -> str:
        return f"{self.path}: {self.type}, built {iso(self.built)}, {self.nodes} nodes. {self.description}"


def bundled() -> str:
    """The path of the database that comes with the package."""
    return str(files("gslb.geo") / "data" / "world.mmdb")


class Locator:
    """Answers where an address is; its answers never change, and threads may share it.

    Invariant: any address inside the network of `Located.prefix_length` around another has an equal
    location and the same operator network; so the prefix is an honest client-subnet scope.
    Equal locations are one object for as long as there is this Locator, so caches may go by identity.

    network_map: the same answers as one flat table, several times faster; None until `map_networks` or
    `use_tables` is done.
    """

    network_map: NetworkMap | None = None

    def __init__(
        self,
        settings: GeoSettings,
        networks: Sequence[IPNetwork] = (),
        *,
        opened: Mapping[str, Database] | None = None,
    ) -> None:
        """Read the databases of `settings` (but for those in `opened`, by path).

        networks: every network the operator names (`Fleet.networks`); overrides belong to them anyway.
        Raises GeoError when a database cannot be used.
        """
        opened = opened or {}
        paths = settings.databases or (bundled(),)
        self.databases = tuple(opened.get(path) or Database(path) for path in paths)
        self._default = complete(settings.default)
        self._overrides = {o.network: self._overriding(o.location) for o in settings.overrides}
        # In an order of their own: a map stays right when the fleet's file has them in another one.
        self._named = tuple(sorted({*networks, *self._overrides}, key=_by_address))
        self._named4 = Prefixes(4, self._named)
        self._named6 = Prefixes(6, self._named, boundaries=transition.NETWORKS)
        self._overridden4 = Prefixes(4, self._overrides)
        self._overridden6 = Prefixes(6, self._overrides)
        self._by_records: dict[tuple[int, ...], Location] = {}
        self._interned: dict[Location, Location] = {}

    def locate(self, address: IPAddress) -> Located:
        """Where `address` is. An IPv6 address that carries an IPv4 address is where that one is."""
        network_map = self.network_map
        if isinstance(address, IPv4Address):
            located = network_map.find4(int(address)) if network_map is not None else None
            return located or self._locate4(int(address))
        if network_map is not None and (located := network_map.find6(int(address))) is not None:
            return located
        carried = transition.carried(address)
        return self._locate6(address) if carried is None else self._locate_carried(address, *carried)

    def map_networks(self, wanted: Callable[[], bool] = lambda: True) -> bool:
        """Make the network map; seconds of work, for `aside`. Whether it is done.

        wanted: asked every few milliseconds; the map is given up once it says no. Raises GeoError when the
        search tree of a database cannot be mapped; then all goes on without a map.
        """
        try:
            built = build_network_map(self.databases, self._named, self._overrides, self._resolver(), wanted)
        except AbandonedError:
            return False
        self.network_map = built
        return True

    def origin(self) -> Origin:
        """What the network map depends on; a fraction of a second of work for large databases, once."""
        digests = tuple(database.digest for database in self.databases)
        return Origin(digests, self._named, frozenset(self._overrides))

    def use_tables(self, tables: Tables) -> None:
        """Take what was made for a Locator of the same `origin` for the network map."""
        vantages = replace(tables.vantages, named=(None, *self._named))
        self.network_map = NetworkMap(tables.ipv4, tables.ipv6, vantages, self._resolver())

    def describe(self) -> tuple[DatabaseDescription, ...]:
        """The databases in use, in the order they are consulted."""
        described = []
        for database in self.databases:
            metadata = database.metadata
            described.append(
                DatabaseDescription(
                    database.path,
                    metadata.database_type,
                    metadata.build_epoch,
                    metadata.ip_version,
                    metadata.node_count,
                    metadata.description.get("en", ""),
                )
            )
        return tuple(described)

    def _locate4(self, number: int) -> Located:
        network, prefix_length = self._named4.find(number)
        if network is not None:
            override, _ = self._overridden4.find(number)
            if override is not None:
                return Located(self._overrides[override], prefix_length, network)
        handles = []
        for database in self.databases:
            handle, depth = database.find4(number)
            handles.append(handle)
            if depth > prefix_length:
                prefix_length = depth
        return Located(self._location(tuple(handles)), prefix_length, network)

    def _locate6(self, address: IPv6Address) -> Located:
        number = int(address)
        network, prefix_length = self._named6.find(number)
        if network is not None:
            override, _ = self._overridden6.find(number)
            if override is not None:
                return Located(self._overrides[override], prefix_length, network)
        handles = []
        for database in self.databases:
            handle, depth = database.find6(number)
            handles.append(handle)
            if depth > prefix_length:
                prefix_length = depth
        return Located(self._location(tuple(handles)), prefix_length, network)

    def _locate_carried(self, address: IPv6Address, inner: IPv4Address, offset: int) -> Located:
        """The IPv4 answer, but for operator networks that name the IPv6 address more exactly."""
        number = int(address)
        network, prefix_length = self._named6.find(number)
        override, _ = self._overridden6.find(number)
        located = self.locate(inner)
        inner_override, _ = self._overridden4.find(int(inner))
        location = located.location
        if override is not None and override.prefixlen >= _length(inner_override, offset):
            location = self._overrides[override]
        # Beside the network that tells where the client is, rules may name the carrying address itself.
        carrier: IPNetwork | None = transition.carrier(address)
        if network is not None and _length(network) > _length(carrier):
            carrier = network
        if located.network is not None and _length(located.network, offset) > _length(network):
            network = located.network
        prefix_length = max(prefix_length, offset + located.prefix_length)
        return Located(location, prefix_length, network, carrier)

    def _overriding(self, location: Location) -> Location:
        """An override that tells no place (just an ASN, say) leaves its clients at the default one."""
        location = complete(location)
        return location if knows_place(location) else fill(location, self._default)

    def _location(self, handles: tuple[int, ...]) -> Location:
        location = self._by_records.get(handles)
        if location is None:
            if len(self._by_records) >= _MEMO:
                self._by_records.clear()
            location = self._by_records[handles] = self._resolve(None, handles)
        return location

    def _resolver(self) -> Resolve:
        """For the map, which must not keep this alive in turn: only the collector would free the two, and
        while it looks through a hundred thousand objects no thread of Python moves."""
        method = WeakMethod(self._resolve)

        def resolve(override: IPNetwork | None, handles: tuple[int, ...]) -> Location:
            alive = method()
            assert alive is not None, "a map is asked through its Locator"
            return alive(override, handles)

        return resolve

    def _resolve(self, override: IPNetwork | None, handles: tuple[int, ...]) -> Location:
        """What an override says, or else the records together."""
        if override is not None:
            return self._overrides[override]
        read = self._read(handles)
        return self._interned.setdefault(read, read)

    def _read(self, handles: tuple[int, ...]) -> Location:
        location = Location(source=DATABASE)
        for database, handle in zip(self.databases, handles, strict=True):
            try:
                location = fill(location, read_record(database.record(handle)))
            except DECODING_ERRORS:
                continue  # a damaged record that the sample at opening did not meet: unknown
        if not knows_place(location):
            # Private, unassigned or only its ASN known: the operator said where such clients count as being.
            return self._default if location.asn is None else fill(self._default, location)
        return complete(location)


def _by_address(network: IPNetwork) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen


def _length(network: IPNetwork | None, offset: int = 0) -> int:
    return -1 if network is None else offset + network.prefixlen

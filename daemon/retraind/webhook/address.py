"""Which addresses an event may be sent to.

A destination's name is resolved, every address is checked, and the connection is made to a checked
address: a name that resolves to something else a moment later (DNS rebinding) gains nothing.
Loopback and private networks are allowed, because training pipelines live there.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from retraind.errors import RetraindError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Instance metadata outside the link-local ranges: AWS over IPv6, Alibaba, Oracle, Azure's agent.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class RefusedAddressError(RetraindError):
    """The destination resolves to an address that events are not sent to."""


def is_refused(address: Address) -> bool:
    """Link-local, metadata, multicast and unspecified, also wrapped into IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_refused(inner)
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address in _METADATA
    )


async def resolve(host: str, port: int) -> list[str]:
    """Addresses of a host, in the resolver's order.

    Raises RefusedAddressError when any of them is refused, OSError when the name does not resolve.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for text in addresses:
        if is_refused(ipaddress.ip_address(text.partition("%")[0])):
            raise RefusedAddressError(
                f"{host} resolves to {text}, a link-local, metadata or multicast address"
            )
    return addresses

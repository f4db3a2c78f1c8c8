//! Which addresses are the public Internet, and what the others are called.
//!
//! Sources: the IANA special-purpose registries of IPv4 and IPv6, RFC 6890. In IPv6 only 2000::/3 is global unicast, and what
//! carries an IPv4 address in it is refused whatever that address is: who translates it, and to where, is not known here. A
//! network's own NAT64 prefix (RFC 6052) looks like any other address and cannot be told.

use ipnet::{Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(start: [u16; 4], bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(start[0], start[1], start[2], start[3], 0, 0, 0, 0), bits)
}

const V4: &[(Ipv4Net, &str)] = &[
    (v4(0, 0, 0, 0, 8), "an unspecified address"),
    (v4(10, 0, 0, 0, 8), "a private address"),
    (v4(100, 64, 0, 0, 10), "a carrier's shared address"),
    (v4(127, 0, 0, 0, 8), "a loopback address"),
    // Of the Internet by its number, and each virtual machine's own host in one cloud: its metadata and its agent.
    (v4(168, 63, 129, 16, 32), "a cloud platform's own address"),
    (v4(169, 254, 0, 0, 16), "a link-local address"),
    (v4(172, 16, 0, 0, 12), "a private address"),
    (v4(192, 0, 0, 0, 24), "an address reserved for protocols"),
    (v4(192, 0, 2, 0, 24), "a documentation address"),
    (v4(192, 88, 99, 0, 24), "a 6to4 relay's address"),
    (v4(192, 168, 0, 0, 16), "a private address"),
    (v4(198, 18, 0, 0, 15), "a benchmarking address"),
    (v4(198, 51, 100, 0, 24), "a documentation address"),
    (v4(203, 0, 113, 0, 24), "a documentation address"),
    (v4(224, 0, 0, 0, 4), "a multicast address"),
    (v4(255, 255, 255, 255, 32), "the broadcast address"),
    (v4(240, 0, 0, 0, 4), "a reserved address"),
];

const EMBEDS: &str = "an address with an IPv4 address in it";

const V6: &[(Ipv6Net, &str)] = &[
    (v6([0x64, 0xff9b, 0, 0], 96), EMBEDS),
    (v6([0x64, 0xff9b, 1, 0], 48), EMBEDS),
    (v6([0x100, 0, 0, 0], 64), "a discard address"),
    (v6([0x2001, 0, 0, 0], 32), EMBEDS),
    (v6([0x2001, 2, 0, 0], 48), "a benchmarking address"),
    (v6([0x2001, 0, 0, 0], 23), "an address reserved for protocols"),
    (v6([0x2001, 0xdb8, 0, 0], 32), "a documentation address"),
    (v6([0x2002, 0, 0, 0], 16), EMBEDS),
    (v6([0x3fff, 0, 0, 0], 20), "a documentation address"),
    (v6([0x5f00, 0, 0, 0], 16), "a segment routing address"),
    (v6([0xfc00, 0, 0, 0], 7), "a private address"),
    (v6([0xfe80, 0, 0, 0], 10), "a link-local address"),
    (v6([0xfec0, 0, 0, 0], 10), "a site-local address"),
    (v6([0xff00, 0, 0, 0], 8), "a multicast address"),
];

const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0], 3);

/// What `address` is, with its article, where it is not of the public Internet.
pub(crate) fn refused(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => V4.iter().find(|(net, _)| net.contains(&address)).map(|(_, kind)| *kind),
        IpAddr::V6(address) => refused_v6(address),
    }
}

fn refused_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("an unspecified address");
    }
    if address.is_loopback() {
        return Some("a loopback address");
    }
    let segments = address.segments();
    // ISATAP: any prefix, then 0000:5efe or 0200:5efe, then the IPv4 address.
    let isatap = segments[4] & !0x0200 == 0 && segments[5] == 0x5efe;
    // Compatible (::a.b.c.d), mapped (::ffff:a.b.c.d) and translated (::ffff:0:a.b.c.d).
    let low = segments[..4] == [0; 4] && matches!((segments[4], segments[5]), (0, 0 | 0xffff) | (0xffff, 0));
    if isatap || low {
        return Some(EMBEDS);
    }
    let named = V6.iter().find(|(net, _)| net.contains(&address)).map(|(_, kind)| *kind);
    named.or_else(|| (!GLOBAL_UNICAST.contains(&address)).then_some("no address of the public Internet"))
}

#[cfg(test)]
mod tests;

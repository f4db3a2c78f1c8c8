use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_the_standard_library_knows_is_refused(bits: u32) {
        let address = Ipv4Addr::from(bits);
        let known = address.is_private() || address.is_loopback() || address.is_link_local() || address.is_multicast()
            || address.is_broadcast() || address.is_documentation() || address.is_unspecified();
        if known {
            prop_assert!(refused(address.into()).is_some(), "{}", address);
        }
    }

    #[test]
    fn no_ipv4_address_is_reached_through_ipv6(bits: u32) {
        let v4 = Ipv4Addr::from(bits);
        let [a, b, c, d] = v4.octets().map(u16::from);
        let (high, low) = (a << 8 | b, c << 8 | d);
        for address in [
            v4.to_ipv6_mapped(),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 1, high, low >> 8, low << 8, 0, 0),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, high, low, 0, 0, 0, 0),
            Ipv6Addr::new(0x2001, 0, 0x1234, 0, 0, 0, !high, !low),
            Ipv6Addr::new(0x2a00, 1, 2, 3, 0, 0x5efe, high, low),
            Ipv6Addr::new(0x2a00, 1, 2, 3, 0x200, 0x5efe, high, low),
            Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0x5efe, high, low),
        ] {
            prop_assert!(refused(address.into()).is_some(), "{}", address);
        }
    }

    #[test]
    fn only_global_unicast_is_public(bits: u128) {
        let address = Ipv6Addr::from(bits);
        if refused(address.into()).is_none() {
            prop_assert_eq!(address.segments()[0] >> 13, 1);
        }
    }
}

#[test]
fn every_kind_reads_as_a_part_of_a_sentence() {
    for (_, kind) in V4
        .iter()
        .map(|(net, kind)| (net.to_string(), *kind))
        .chain(V6.iter().map(|(net, kind)| (net.to_string(), *kind)))
    {
        assert!(kind.starts_with("a ") || kind.starts_with("an ") || kind.starts_with("the "), "{kind}");
    }
}

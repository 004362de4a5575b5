//! Which addresses lie outside: what a name resolves to is no reason to reach into the operator's own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses by which machines in a cloud learn their own credentials.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Why an address may not be reached unless the operator named it; none if it is a global one. An address that
/// carries another one, for a translator or a tunnel, is judged by the one it carries.
pub(crate) fn refusal(address: IpAddr) -> Option<&'static str> {
    if METADATA.contains(&address) {
        return Some("it is the metadata service of a cloud");
    }
    match address {
        IpAddr::V4(address) => of_v4(address),
        IpAddr::V6(address) => of_v6(address),
    }
}

// The special-purpose registries of IANA (RFC 6890 and what came after).
const V4: [(Ipv4Addr, u32, &str); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "it is unspecified"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "it is private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "it is shared by a provider's customers"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "it is this machine"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "it is link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "it is private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "it is reserved"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "it is for documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "it is a relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "it is private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "it is for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "it is for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "it is for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "it is multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "it is reserved"),
];

fn of_v4(address: Ipv4Addr) -> Option<&'static str> {
    let within = |network: Ipv4Addr, length: u32| {
        (address.to_bits() ^ network.to_bits()).checked_shr(32 - length).unwrap_or_default() == 0
    };
    V4.into_iter().find(|(network, length, _)| within(*network, *length)).map(|(_, _, reason)| reason)
}

const V6: [(Ipv6Addr, u32, &str); 14] = [
    (Ipv6Addr::UNSPECIFIED, 128, "it is unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "it is this machine"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "it is for a translator of the local network"),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, "it is discarded"),
    (Ipv6Addr::new(0x2001, 0x2, 0, 0, 0, 0, 0, 0), 48, "it is for benchmarks"),
    (Ipv6Addr::new(0x2001, 0x10, 0, 0, 0, 0, 0, 0), 28, "it is reserved"),
    (Ipv6Addr::new(0x2001, 0x20, 0, 0, 0, 0, 0, 0), 28, "it is reserved"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "it is for documentation"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "it is for documentation"),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, "it is reserved"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "it is private"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "it is link-local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "it is private"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "it is multicast"),
];

fn of_v6(address: Ipv6Addr) -> Option<&'static str> {
    let bits = address.to_bits();
    let within = |network: Ipv6Addr, length: u32| {
        (bits ^ network.to_bits()).checked_shr(128 - length).unwrap_or_default() == 0
    };
    if let Some((_, _, reason)) = V6.into_iter().find(|(network, length, _)| within(*network, *length)) {
        return Some(reason);
    }
    let judge = |carried: u32| refusal(IpAddr::V4(Ipv4Addr::from_bits(carried)));
    let part = |shift: u32| u32::try_from((bits >> shift) & u128::from(u32::MAX)).unwrap_or_default();
    // IPv4-mapped, and the well-known prefix of NAT64.
    if within(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96)
        || within(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96)
    {
        return judge(part(0));
    }
    // 6to4 carries the router's address, Teredo the server's and, inverted, the client's.
    if within(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16) {
        return judge(part(80));
    }
    if within(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32) {
        return judge(part(64)).or_else(|| judge(!part(0)));
    }
    // ISATAP: `0:5efe` or `200:5efe` before an IPv4 address, in any network.
    if part(32) & !0x0200_0000 == 0x0000_5efe
        && let Some(reason) = judge(part(0))
    {
        return Some(reason);
    }
    // What is handed out to the public lies in 2000::/3; IPv4-compatible addresses, among others, do not.
    (!within(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3)).then_some("it is not a global address")
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[track_caller]
    fn check(address: &str, expected: &str) {
        assert_eq!(refusal(address.parse().unwrap()).unwrap_or("global"), expected, "{address}");
    }

    #[test]
    fn global_addresses_are_reached() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.216.34",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.0.1",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001:81b::200e",
            "64:ff9b::8.8.8.8",
            "::ffff:8.8.8.8",
            "2002:808:808::1",
        ] {
            check(address, "global");
        }
    }

    #[test]
    fn the_own_machine_and_network_are_not() {
        check("127.0.0.1", "it is this machine");
        check("127.255.255.254", "it is this machine");
        check("::1", "it is this machine");
        check("0.0.0.0", "it is unspecified");
        check("0.1.2.3", "it is unspecified");
        check("::", "it is unspecified");
        for address in [
            "10.0.0.1",
            "10.255.255.255",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "fc00::1",
            "fdff::1",
            "fec0::1",
        ] {
            check(address, "it is private");
        }
        check("169.254.0.1", "it is link-local");
        check("fe80::1", "it is link-local");
        check("febf::1", "it is link-local");
        check("100.64.0.1", "it is shared by a provider's customers");
    }

    #[test]
    fn metadata_services_are_not() {
        for address in [
            "169.254.169.254",
            "168.63.129.16",
            "100.100.100.200",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
        ] {
            check(address, "it is the metadata service of a cloud");
        }
    }

    #[test]
    fn special_purposes_are_not() {
        for address in ["192.0.2.1", "198.51.100.7", "203.0.113.255", "2001:db8::1", "3fff::1"] {
            check(address, "it is for documentation");
        }
        for address in ["198.18.0.1", "198.19.255.255", "2001:2::1"] {
            check(address, "it is for benchmarks");
        }
        for address in ["224.0.0.1", "239.255.255.255", "ff02::1"] {
            check(address, "it is multicast");
        }
        for address in ["240.0.0.1", "255.255.255.255", "192.0.0.8", "2001:10::1", "2001:2f::1", "5f00::1"] {
            check(address, "it is reserved");
        }
        check("192.88.99.1", "it is a relay");
        check("100::1", "it is discarded");
    }

    #[test]
    fn an_address_that_carries_another_is_judged_by_it() {
        check("::ffff:127.0.0.1", "it is this machine");
        check("::ffff:10.1.2.3", "it is private");
        check("64:ff9b::127.0.0.1", "it is this machine");
        check("64:ff9b::c0a8:1", "it is private");
        check("64:ff9b:1::8.8.8.8", "it is for a translator of the local network");
        check("2002:7f00:1::", "it is this machine");
        check("2002:a00:1::1", "it is private");
        // Teredo: the server, and the client inverted.
        check("2001:0:7f00:1::", "it is this machine");
        check("2001:0:808:808:0:0:80ff:fffe", "it is this machine");
        check("2001:0:808:808:0:0:f7f7:f7f7", "global");
        check("2a00:1450::5efe:127.0.0.1", "it is this machine");
        check("2a00:1450::200:5efe:10.0.0.1", "it is private");
        check("2a00:1450::5efe:8.8.8.8", "global");
        // IPv4-compatible.
        check("::127.0.0.1", "it is not a global address");
        check("::8.8.8.8", "it is not a global address");
        check("4000::1", "it is not a global address");
        check("200::1", "it is not a global address");
    }
}

//! Which name an address was last asked for by, to say so of a connection.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The most addresses.
const MOST: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Known {
    names: HashMap<IpAddr, (Arc<str>, u64)>,
    count: u64,
}

impl Known {
    pub(super) fn learn(&mut self, name: &Arc<str>, addresses: &[IpAddr]) {
        for address in addresses {
            if self.names.len() >= MOST && !self.names.contains_key(address) {
                // The older half goes, so that there is room for many more before it is looked for again.
                let oldest = self.count.saturating_sub(u64::try_from(MOST / 2).unwrap_or(0));
                self.names.retain(|_, (_, at)| *at > oldest);
            }
            self.count += 1;
            self.names.insert(*address, (Arc::clone(name), self.count));
        }
    }

    pub(super) fn name(&self, address: IpAddr) -> Option<&str> {
        self.names.get(&address.to_canonical()).map(|(name, _)| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn the_last_name_of_an_address_is_known_and_few_are_kept() {
        let mut known = Known::default();
        for i in 0..100_000_u32 {
            known.learn(&format!("n{i}").into(), &[Ipv4Addr::from_bits(i).into(), Ipv4Addr::LOCALHOST.into()]);
        }
        assert_eq!(known.name(Ipv4Addr::LOCALHOST.into()), Some("n99999"));
        assert_eq!(known.name("::ffff:127.0.0.1".parse().unwrap()), Some("n99999"));
        assert_eq!(known.name(Ipv4Addr::from_bits(99_998).into()), Some("n99998"));
        assert_eq!(known.name(Ipv4Addr::from_bits(1).into()), None);
        assert!(known.names.len() <= MOST);
    }
}

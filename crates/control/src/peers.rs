//! How many connections each address has open.
//!
//! What always holds: an address has at most as many as it may, and is forgotten with its last one, so there are never more
//! entries than connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::inner::Address;

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    open: Mutex<HashMap<Address, usize>>,
}

/// One connection's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    peers: Arc<Peers>,
    address: Address,
}

impl Peers {
    /// A place for one more connection of `address`, unless it has `most` already.
    pub(crate) fn hold(self: &Arc<Self>, address: Address, most: usize) -> Option<Held> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&address).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        open.insert(address, count + 1);
        Some(Held { peers: self.clone(), address })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_and_is_forgotten_with_the_last() {
        let peers = Arc::new(Peers::default());
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|text| Address::new(text.parse().expect("an address")));
        let held: Vec<_> = (0..2).map_while(|_| peers.hold(one, 2)).collect();
        assert_eq!(held.len(), 2);
        assert!(peers.hold(one, 2).is_none());
        let another = peers.hold(other, 2).expect("another address has its own");
        drop(held);
        assert!(peers.hold(one, 2).is_some(), "there is room again");
        drop(another);
        assert!(peers.open.lock().expect("no test panicked").is_empty());
    }
}

//! Where a probe begins: the address that the kernel gives to what goes to a target, asked once and kept.
//! Must not: outlive a change of links, addresses or routes; who owns it is told of them.

use std::collections::HashMap;
use std::net::IpAddr;

use lb_core::health::Outcome;

use crate::probe::Way;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub source: IpAddr,
    /// Of the interface that it has to leave through; 0: the kernel chooses.
    pub index: u32,
}

#[derive(Debug, Default)]
pub struct Routes {
    /// For targets without further wishes.
    sources: HashMap<IpAddr, IpAddr>,
}

impl Routes {
    pub fn of(&mut self, way: &Way) -> Result<Route, Outcome> {
        if !way.is_any() {
            // The kernel says each time whether the address and the interface are there.
            let (source, index) = way.begin()?;
            return Ok(Route { source, index });
        }
        let target = way.target.ip();
        if let Some(source) = self.sources.get(&target) {
            return Ok(Route {
                source: *source,
                index: 0,
            });
        }
        let (source, index) = way.begin()?;
        self.sources.insert(target, source);
        Ok(Route { source, index })
    }

    pub fn forget(&mut self) {
        self.sources = HashMap::new();
    }

    pub fn forget_one(&mut self, target: IpAddr) {
        self.sources.remove(&target);
    }
}

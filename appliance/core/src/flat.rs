//! A map for many small sets: its entries stand side by side in their order, so that it takes the memory of the entries and
//! nothing else. Must not: be used where single entries come and go in large maps; each moves all that are behind it.

use std::ops::Index;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlatMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for FlatMap<K, V> {
    fn default() -> FlatMap<K, V> {
        FlatMap(Vec::new())
    }
}

impl<K: Ord, V> FlatMap<K, V> {
    pub fn new() -> FlatMap<K, V> {
        FlatMap::default()
    }

    /// Where the key stands in the order of all.
    pub fn position(&self, key: &K) -> Option<usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(key)).ok()
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.find(key).map(|(_, value)| value)
    }

    /// The entry with its place in the order of all.
    pub fn find(&self, key: &K) -> Option<(usize, &V)> {
        self.position(key).map(|at| (at, &self.0[at].1))
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.position(key).map(|at| &mut self.0[at].1)
    }

    /// The entry at a position.
    pub fn at_mut(&mut self, position: usize) -> Option<(&K, &mut V)> {
        self.0.get_mut(position).map(|(key, value)| (&*key, value))
    }

    pub fn contains_key(&self, key: &K) -> bool {
        self.position(key).is_some()
    }

    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.0.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.position(key).map(|at| self.0.remove(at).1)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + Clone {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    pub fn keys(&self) -> impl Iterator<Item = &K> + Clone {
        self.0.iter().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> + Clone {
        self.0.iter().map(|(_, value)| value)
    }
}

/// Of entries with one key the last counts.
impl<K: Ord, V> FromIterator<(K, V)> for FlatMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> FlatMap<K, V> {
        let mut sorted: Vec<(K, V)> = entries.into_iter().collect();
        if !sorted.is_sorted_by(|(a, _), (b, _)| a < b) {
            sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
            sorted.reverse();
            sorted.dedup_by(|(a, _), (b, _)| a == b);
            sorted.reverse();
        }
        sorted.shrink_to_fit();
        FlatMap(sorted)
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for FlatMap<K, V> {
    fn from(entries: [(K, V); N]) -> FlatMap<K, V> {
        entries.into_iter().collect()
    }
}

impl<'m, K, V> IntoIterator for &'m FlatMap<K, V> {
    type Item = (&'m K, &'m V);
    type IntoIter = std::iter::Map<std::slice::Iter<'m, (K, V)>, fn(&'m (K, V)) -> (&'m K, &'m V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(key, value)| (key, value))
    }
}

/// For those who know that the key is there.
impl<K: Ord, V> Index<&K> for FlatMap<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        self.get(key).expect("the key is in the map")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(given in prop::collection::vec((0u8..20, any::<u8>()), 0..30),
                       changes in prop::collection::vec((any::<bool>(), 0u8..20, any::<u8>()), 0..30)) {
            let mut map: FlatMap<u8, u8> = given.iter().copied().collect();
            let mut model: BTreeMap<u8, u8> = given.into_iter().collect();
            for (insert, key, value) in changes {
                if insert {
                    prop_assert_eq!(map.insert(key, value), model.insert(key, value));
                } else {
                    prop_assert_eq!(map.remove(&key), model.remove(&key));
                }
            }
            prop_assert!(map.iter().eq(model.iter()) && map.keys().eq(model.keys()));
            prop_assert!((0..20).all(|key| map.get(&key) == model.get(&key)));
            prop_assert!((0..20).all(|key| map.position(&key) == model.keys().position(|k| *k == key)));
        }
    }
}

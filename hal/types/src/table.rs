//! A table that is indexed by an id and cannot panic.

use core::marker::PhantomData;

/// A number that a [`Table`] can be indexed by.
pub trait Index: Copy {
    /// Place in the table.
    fn index(self) -> usize;

    /// The id of a place, or `None` past the last.
    fn from_index(index: usize) -> Option<Self>;
}

/// `N` values of `T`, one for each id of type `I`.
///
/// `N` is a power of two and the index is masked, so that no bounds check, and so no panic
/// path, is left in the binary. An id type's own range keeps the mask from ever mattering.
#[derive(Clone, Debug)]
pub struct Table<I, T, const N: usize> {
    values: [T; N],
    index: PhantomData<fn(I)>,
}

impl<I: Index, T, const N: usize> Table<I, T, N> {
    const MASK: usize = {
        assert!(N.is_power_of_two());
        N.wrapping_sub(1)
    };

    /// A table of the given values.
    pub const fn new(values: [T; N]) -> Self {
        Self { values, index: PhantomData }
    }

    /// The ids with their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (I, &T)> + Clone {
        self.values.iter().enumerate().filter_map(|(at, value)| Some((I::from_index(at)?, value)))
    }

    /// The ids with their values, in order, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (I, &mut T)> {
        self.values
            .iter_mut()
            .enumerate()
            .filter_map(|(at, value)| Some((I::from_index(at)?, value)))
    }
}

impl<I: Index, T, const N: usize> core::ops::Index<I> for Table<I, T, N> {
    type Output = T;

    #[expect(clippy::indexing_slicing, reason = "the index is masked to the length")]
    fn index(&self, id: I) -> &T {
        &self.values[id.index() & Self::MASK]
    }
}

impl<I: Index, T, const N: usize> core::ops::IndexMut<I> for Table<I, T, N> {
    #[expect(clippy::indexing_slicing, reason = "the index is masked to the length")]
    fn index_mut(&mut self, id: I) -> &mut T {
        &mut self.values[id.index() & Self::MASK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunlistId;

    #[test]
    fn ids_find_their_own_values() {
        let mut table: Table<RunlistId, u32, 2> = Table::new([0; 2]);
        table[RunlistId::COPY] = 7;
        assert_eq!(table[RunlistId::COMPUTE], 0);
        assert_eq!(table.iter().map(|(_, value)| *value).sum::<u32>(), 7);
    }
}

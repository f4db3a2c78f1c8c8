//! Cursors of this store: a commit of it, and of no other.
//!
//! An executor keeps its cursor while stores come and go. A cursor that was made by another store must not be taken for the
//! same commit of this one, so a cursor names its store (see [`sluice_model::cursor`]).

use crate::keys;
use crate::rows;
use crate::shared::Shared;
use crate::store::{Batch, MetaStore, Revision};
use sluice_model::{Cursor, Error, cursor::STORE_BITS};

/// The cursors of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursors {
    store: u64,
}

impl Cursors {
    /// Those of this store, which is given its number when it is opened for the first time.
    pub(crate) async fn open(shared: &Shared) -> Result<Cursors, Error> {
        let key = keys::store();
        loop {
            if let Some(row) = rows::get::<u64>(&*shared.store, &key).await? {
                return Ok(Cursors { store: row.value });
            }
            let batch = Batch::new().absent(key.clone()).put(key.clone(), rows::encode(&random())?);
            rows::commit(&*shared.store, batch).await?;
        }
    }

    /// Gives a store that was restored from an export another number, since it may count commits again that executors have
    /// heard of otherwise: they are told everything anew.
    pub(crate) async fn renew(store: &dyn MetaStore) -> Result<(), Error> {
        let key = keys::store();
        let Some(row) = rows::get::<u64>(store, &key).await? else { return Ok(()) };
        let other = std::iter::repeat_with(random).find(|number| *number != row.value).unwrap_or_default();
        rows::commit(store, Batch::new().put(key, rows::encode(&other)?)).await?;
        Ok(())
    }

    /// The cursor of a commit.
    pub(crate) fn cursor(self, commit: Revision) -> u64 {
        Cursor::new(self.store, commit.0).number()
    }

    /// The commit of a cursor; `None` for 0, which is none, and for a cursor of another store.
    pub(crate) fn revision(self, cursor: u64) -> Option<Revision> {
        let cursor = Cursor::from_number(cursor);
        (!cursor.is_none() && cursor.store() == self.store).then(|| Revision(cursor.commit()))
    }
}

/// A number for a store.
fn random() -> u64 {
    // The low bits of a version 7 UUID are random.
    u64::try_from(uuid::Uuid::now_v7().as_u128() & ((1 << STORE_BITS) - 1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_another_store_is_none() {
        let (own, other) = (Cursors { store: 7 }, Cursors { store: (1 << STORE_BITS) - 1 });
        for commit in [1, 1_000_000, (1 << 40) - 1] {
            let (cursor, foreign) = (own.cursor(Revision(commit)), other.cursor(Revision(commit)));
            assert_eq!(own.revision(cursor), Some(Revision(commit)));
            assert_eq!(own.revision(foreign), None);
            assert!(i64::try_from(foreign).is_ok());
        }
        assert_eq!(Cursors { store: 0 }.revision(0), None);
    }
}

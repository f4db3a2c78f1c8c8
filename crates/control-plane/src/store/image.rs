//! A store as records of an [archive](crate::archive): rows with the commits that wrote them, and how far its queues are.
//!
//! An image may be taken while commits go on. Then it says from which commit on it may hold a part of what was committed,
//! and through which: a journal of those commits, replayed over it, makes it whole.

use super::{Key, Revision, Versioned};
use crate::archive::{ArchiveError, Reader, Writer, kind};
use crate::bytes::{Put, Take};

/// What an image is made of, in this order: a store, its rows and queues, the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A store begins.
    Store {
        /// Its name.
        name: String,
        /// The newest commit when the image was begun: all of it, and of those before, is in the image.
        from: Revision,
    },
    /// A row.
    Row(Key, Versioned),
    /// The last number of a queue.
    Queue(Key, u64),
    /// The store ends.
    End {
        /// The newest commit of which anything is in the image.
        through: Revision,
        /// How many rows there are.
        rows: u64,
    },
}

impl Item {
    /// Adds the item to an archive.
    pub(crate) fn put(&self, archive: &mut Writer) -> Result<(), ArchiveError> {
        let mut body = Vec::new();
        let kind = match self {
            Item::Store { name, from } => {
                body.counted(name.as_bytes());
                body.u64(from.0);
                kind::STORE
            }
            Item::Row(key, row) => {
                body.counted(key.as_bytes());
                body.u64(row.revision.0);
                body.put(&row.value);
                kind::ROW
            }
            Item::Queue(queue, last) => {
                body.counted(queue.as_bytes());
                body.u64(*last);
                kind::QUEUE
            }
            Item::End { through, rows } => {
                body.u64(through.0);
                body.u64(*rows);
                kind::STORE_END
            }
        };
        archive.put(kind, &body)
    }

    fn take(kind: u8, body: &[u8]) -> Option<Item> {
        let mut from = Take(body);
        let item = match kind {
            kind::STORE => Item::Store { name: from.text()?.to_owned(), from: Revision(from.u64()?) },
            kind::ROW => {
                let (key, revision) = (from.counted()?.to_vec(), Revision(from.u64()?));
                let value = std::mem::take(&mut from.0).to_vec();
                Item::Row(Key::from_bytes(key), Versioned { value, revision })
            }
            kind::QUEUE => Item::Queue(Key::from_bytes(from.counted()?.to_vec()), from.u64()?),
            kind::STORE_END => Item::End { through: Revision(from.u64()?), rows: from.u64()? },
            _ => return None,
        };
        from.0.is_empty().then_some(item)
    }
}

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The store's name.
    pub(crate) name: String,
    /// The newest commit when it was begun.
    pub(crate) from: Revision,
    /// The newest commit of which anything is in it.
    pub(crate) through: Revision,
    /// How many rows it has.
    pub(crate) rows: u64,
}

/// Reads an image to its end and tells `each` its rows and queues. The reader stands behind it then.
pub(crate) fn read<E: From<ArchiveError>>(
    archive: &mut Reader,
    mut each: impl FnMut(Item) -> Result<(), E>,
) -> Result<Facts, E> {
    let mut begun: Option<(String, Revision)> = None;
    let mut seen = 0;
    while let Some((kind, body)) = archive.next()? {
        let item = Item::take(kind, &body).ok_or_else(|| archive.unfit("it belongs to no store"))?;
        match (item, &begun) {
            (Item::Store { name, from }, None) => begun = Some((name, from)),
            (Item::End { through, rows }, Some((name, from))) => {
                if rows != seen || through < *from {
                    return Err(archive.unfit("the store's end does not match its rows").into());
                }
                return Ok(Facts { name: name.clone(), from: *from, through, rows });
            }
            (item @ (Item::Row(..) | Item::Queue(..)), Some(_)) => {
                seen += u64::from(matches!(item, Item::Row(..)));
                each(item)?;
            }
            _ => return Err(archive.unfit("it is not where it belongs").into()),
        }
    }
    Err(archive.unfit("the store has no end").into())
}

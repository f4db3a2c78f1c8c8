//! Opening a store after whatever end it had.
//!
//! The journal has every commit that was acknowledged since the older checkpoint. So sled is taken as it is found only as far as it
//! agrees: what it lost is replayed; and where it cannot be opened, panics, is gone, is another's, or has what was never
//! acknowledged, it is moved aside and made again from the newest good checkpoint and the journal. What was done is logged as
//! an error with where the old database went. Where the journal itself lost what was acknowledged, nothing is opened.

use super::checkpoint;
use super::codec;
use super::folder::Folder;
use super::journal::{Found, Journal};
use super::table::{Table, TableError};
use crate::archive::ArchiveError;
use crate::store::image::Item;
use crate::store::{Key, Revision, StoreError, Versioned};
use std::collections::HashMap;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// sled's cache of pages.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// The row of the database that holds the store's name.
const NAME: &[u8] = b"name";

/// How long sled's own lock may stay taken while ours is free: sled does not free it before every copy of its file is closed,
/// and a child process that is being started has one for a moment.
const SLED_LOCK_WAIT: Duration = Duration::from_secs(5);
const SLED_LOCK_RETRY: Duration = Duration::from_millis(10);

/// A store that is open.
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) table: Table,
    pub(super) journal: Journal,
    pub(super) newest: Revision,
    pub(super) recovery: Recovery,
}

/// What opening had to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Commits that sled had lost and the journal had.
    pub replayed: u64,
    /// Rows that were not as the journal says, though sled had their commits.
    pub mended: u64,
    /// Why sled was made again, where it was.
    pub rebuilt: Option<String>,
    /// Where the database that could not be used was moved to.
    pub aside: Option<PathBuf>,
}

/// Opens the store in a folder that this process holds. Blocking.
pub(super) fn open(folder: &Folder, changes_kept: u64, segment_bytes: u64) -> Result<Opened, StoreError> {
    let Some(name) = folder.name()? else { return begin(folder, changes_kept, segment_bytes) };
    let closed_well = folder.was_closed()?;
    let found = Found::look(&folder.journal())?;
    let found = found.ok_or_else(|| folder.unreadable("MARKER says that it held a store, but its journal is gone"))?;
    let acknowledged = folder.acknowledged()?;
    if found.last() < acknowledged {
        let detail = format!("its journal ends with commit {}, but {acknowledged} was acknowledged", found.last());
        return Err(folder.unreadable(&detail));
    }
    let opened = guarded(|| {
        let (table, newest) = look(folder, &name, &found, changes_kept)?;
        if !closed_well {
            table.check_all().map_err(|error| error.to_string())?;
        }
        Ok((table, newest))
    });
    let (table, recovery) = match opened {
        Ok((table, newest)) => {
            let recovery = catch_up(&table, newest, &found, closed_well).map_err(|error| told(folder, error))?;
            (table, recovery)
        }
        Err(why) => rebuild(folder, &name, &found, changes_kept, why)?,
    };
    let newest = found.last();
    let journal = found.resume(segment_bytes)?;
    Ok(Opened { name, table, journal, newest, recovery })
}

/// Begins a store in a folder that never held one. A database without a marker is one whose making was cut short before
/// anything was acknowledged.
fn begin(folder: &Folder, changes_kept: u64, segment_bytes: u64) -> Result<Opened, StoreError> {
    let database = folder.database();
    if Found::look(&folder.journal())?.is_some_and(|found| found.last() > Revision(0)) {
        return Err(folder.unreadable("it has no MARKER, but the journal in it has commits"));
    }
    if database.exists() {
        let made = guarded(|| {
            let db = open_sled(&database).map_err(|error| format!("sled says: {error}"))?;
            match db.contains_key(codec::NEWEST) {
                Ok(true) => Err("it has no MARKER, but the database in it has commits".to_owned()),
                Ok(false) => Ok(()),
                Err(error) => Err(format!("sled says: {error}")),
            }
        });
        made.map_err(|detail| folder.unreadable(&detail))?;
        fs::remove_dir_all(&database).map_err(|error| folder.failed(&error))?;
    }
    let name = uuid::Uuid::now_v7().to_string();
    let journal = Journal::create(&folder.journal(), Revision(1), segment_bytes);
    let journal = journal.map_err(|error| folder.failed(&error))?;
    let table = guarded(|| make(&database, &name, changes_kept)).map_err(|detail| folder.unreadable(&detail))?;
    table.tree.flush().map_err(|error| folder.unreadable(&error.to_string()))?;
    folder.mark(&name)?;
    Ok(Opened { name, table, journal, newest: Revision(0), recovery: Recovery::default() })
}

/// Opens sled and checks that it is this store's; the error says what is wrong with it.
fn look(folder: &Folder, name: &str, found: &Found, changes_kept: u64) -> Result<(Table, Revision), String> {
    let database = folder.database();
    // sled makes what it does not find, so this is asked before it is opened.
    if !database.join("db").is_file() {
        return Err("the database is gone".to_owned());
    }
    let db = open_sled(&database).map_err(|error| format!("sled says: {error}"))?;
    match db.get(NAME).map_err(|error| format!("sled says: {error}"))? {
        Some(held) if held == name.as_bytes() => {}
        Some(_) => return Err("the database is another store's".to_owned()),
        None => return Err("the database is empty".to_owned()),
    }
    let table = Table::new((*db).clone(), changes_kept);
    let newest = table.newest().map_err(|error| error.to_string())?;
    table.check_end(newest).map_err(|error| error.to_string())??;
    let (first, last) = (found.first(), found.last());
    if newest > last {
        return Err(format!(
            "the database has commit {newest}, which was never acknowledged: the journal ends with {last}"
        ));
    }
    if newest.0 + 1 < first.0 {
        return Err(format!("the database ends with commit {newest}, and the journal begins with {first}"));
    }
    Ok((table, newest))
}

/// Has sled agree with the journal: what it lost is replayed, and after a bad end what it has is compared.
fn catch_up(table: &Table, newest: Revision, found: &Found, closed_well: bool) -> Result<Recovery, TableError> {
    let mut recovery = Recovery::default();
    if !closed_well {
        recovery.mended = compare(table, newest, found)?;
    }
    found.replay(newest, |plan| {
        recovery.replayed += 1;
        table.apply(&plan).map_err(into_store)
    })?;
    if recovery.replayed > 0 {
        tracing::info!(
            commits = recovery.replayed,
            "commits that were not in the database yet were taken from the journal"
        );
    }
    if recovery.mended > 0 {
        tracing::error!(
            rows = recovery.mended,
            "the database had lost rows of commits that it said it had; they were mended from the journal"
        );
    }
    Ok(recovery)
}

/// Compares what sled has of the journal's commits with the journal, and mends it.
fn compare(table: &Table, newest: Revision, found: &Found) -> Result<u64, TableError> {
    let mut last_written: HashMap<Key, Revision> = HashMap::new();
    let up_to_newest = |revision: Revision| revision <= newest;
    found.replay(Revision(0), |plan| {
        if up_to_newest(plan.revision) {
            last_written.extend(plan.rows.into_iter().map(|(key, _)| (key, plan.revision)));
        }
        Ok(())
    })?;
    let (mut mended, mut queues) = (0, HashMap::new());
    found.replay(Revision(0), |plan| {
        if !up_to_newest(plan.revision) {
            return Ok(());
        }
        for (key, value) in plan.rows {
            if last_written.get(&key) != Some(&plan.revision) {
                continue;
            }
            let held = table.row(&key).map_err(into_store)?;
            let row = value.map(|value| Versioned { value, revision: plan.revision });
            if held != row {
                table.mend(&key, row.as_ref()).map_err(into_store)?;
                mended += 1;
            }
        }
        queues.extend(plan.queues);
        Ok(())
    })?;
    for (queue, last) in queues {
        if table.last_appended(&queue)? != last {
            table.mend_queue(&queue, last)?;
            mended += 1;
        }
    }
    Ok(mended)
}

/// Moves sled aside and makes it again.
fn rebuild(
    folder: &Folder,
    name: &str,
    found: &Found,
    changes_kept: u64,
    why: String,
) -> Result<(Table, Recovery), StoreError> {
    let base = base(folder, name, found)?;
    let Some(base) = base else {
        let detail =
            format!("{why}; and there is no good checkpoint that its journal (from commit {}) follows", found.first());
        return Err(folder.unreadable(&detail));
    };
    let half = folder.half_database();
    match fs::remove_dir_all(&half) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(folder.failed(&error)),
        _ => {}
    }
    let mut recovery = Recovery::default();
    let made = guarded(|| {
        let table = make(&half, name, changes_kept)?;
        fill(&table, folder, base, found, &mut recovery).map_err(|error| error.to_string())?;
        table.tree.flush().map_err(|error| error.to_string())?;
        Ok(())
    });
    made.map_err(|detail| folder.unreadable(&format!("{why}; and it could not be made again: {detail}")))?;
    recovery.aside = folder.move_aside()?;
    let placed = fs::rename(&half, folder.database()).and_then(|()| folder.sync());
    placed.map_err(|error| folder.failed(&error))?;
    let from_checkpoint = base.map_or_else(
        || "the journal alone".to_owned(),
        |from| format!("the checkpoint of commit {from} and the journal"),
    );
    tracing::error!(
        why,
        from = from_checkpoint,
        through = %found.last(),
        old = recovery.aside.as_ref().map(|path| path.display().to_string()),
        "the database of the store could not be used and was made again; nothing that was acknowledged is lost"
    );
    recovery.rebuilt = Some(why);
    let reopened = guarded(|| look(folder, name, found, changes_kept));
    let (table, _) = reopened.map_err(|detail| folder.unreadable(&format!("it was made again, and then: {detail}")))?;
    Ok((table, recovery))
}

/// What a database can be made from: the newest checkpoint that passes and that the journal follows, or (`Some(None)`) the journal
/// alone.
fn base(folder: &Folder, name: &str, found: &Found) -> Result<Option<Option<Revision>>, StoreError> {
    let checkpoints = folder.checkpoints();
    for from in checkpoint::list(&checkpoints).map_err(|error| folder.failed(&error))?.into_iter().rev() {
        let path = checkpoint::path_of(&checkpoints, from);
        let unfit = match checkpoint::look(&checkpoints, from) {
            Err(error) => error.to_string(),
            Ok(facts) if facts.name != name => "it is another store's".to_owned(),
            Ok(facts) if facts.from.0 + 1 < found.first().0 || facts.through > found.last() => {
                "the journal does not follow it".to_owned()
            }
            Ok(_) => return Ok(Some(Some(from))),
        };
        tracing::error!(checkpoint = %path.display(), unfit, "a checkpoint cannot be used; trying the one before");
    }
    Ok((found.first() == Revision(1)).then_some(None))
}

fn fill(
    table: &Table,
    folder: &Folder,
    base: Option<Revision>,
    found: &Found,
    recovery: &mut Recovery,
) -> Result<(), FillError> {
    if let Some(from) = base {
        checkpoint::read(&folder.checkpoints(), from, |item| match item {
            Item::Row(key, row) => table.mend(&key, Some(&row)).map_err(FillError::from),
            Item::Queue(queue, last) => table.mend_queue(&queue, last).map_err(FillError::from),
            Item::Store { .. } | Item::End { .. } => Ok(()),
        })?;
        table.begin_after(from)?;
    }
    let replayed = found.replay(base.unwrap_or_default(), |plan| {
        recovery.replayed += 1;
        table.apply(&plan).map_err(into_store)
    });
    Ok(replayed.map_err(TableError::from)?)
}

/// Why a database could not be made again.
#[derive(Debug, thiserror::Error)]
enum FillError {
    #[error("{0}")]
    Table(TableError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl From<TableError> for FillError {
    fn from(error: TableError) -> FillError {
        FillError::Table(error)
    }
}

fn make(database: &Path, name: &str, changes_kept: u64) -> Result<Table, String> {
    let db = open_sled(database).map_err(|error| format!("sled says: {error}"))?;
    db.insert(NAME, name.as_bytes()).map_err(|error| format!("sled says: {error}"))?;
    if let Some(parent) = database.parent() {
        File::open(parent).and_then(|folder| folder.sync_all()).map_err(|error| error.to_string())?;
    }
    Ok(Table::new((*db).clone(), changes_kept))
}

/// sled is beta by its own word: a panic of it is an error like its others.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("sled panicked: {}", said.unwrap_or("without a word")))
    })
}

/// Opens sled while its own lock is still being freed. Ours is held, so no other process has the database open.
#[expect(clippy::disallowed_methods, reason = "a store is opened on a blocking thread")]
pub(super) fn open_sled(database: &Path) -> ::sled::Result<::sled::Db> {
    let started = Instant::now();
    loop {
        let opened = ::sled::Config::new()
            .path(database)
            .cache_capacity(CACHE_BYTES)
            // The journal is what a commit waits for; sled is flushed with every checkpoint and at the end.
            .flush_every_ms(None)
            .open();
        match opened {
            Err(error)
                if error.to_string().contains("could not acquire lock") && started.elapsed() < SLED_LOCK_WAIT =>
            {
                std::thread::sleep(SLED_LOCK_RETRY);
            }
            opened => return opened,
        }
    }
}

fn told(folder: &Folder, error: TableError) -> StoreError {
    match error {
        TableError::Sled(error) => folder.unreadable(&format!("sled says: {error}")),
        TableError::Store(error) => error,
    }
}

fn into_store(error: TableError) -> StoreError {
    match error {
        TableError::Sled(error) => StoreError::Stopped { detail: format!("sled says: {error}") },
        TableError::Store(error) => error,
    }
}

//! Which lines of a package its cases have run.

use crate::screen::Look;
use serde::Serialize;
use sluice_compiler::{CountedLine, counted};
use sluice_control_plane::catalogue::cases;
use std::collections::BTreeMap;

/// `{lines, ran, files: [{file, lines, ran, missed}]}`. Lines are those on which a statement begins; one has run when all that
/// begin on it have. What a run has done that was ended by a limit is not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Coverage {
    lines: usize,
    ran: usize,
    files: Vec<FileCoverage>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct FileCoverage {
    file: String,
    lines: usize,
    ran: usize,
    /// The lines that have not run, from 1.
    missed: Vec<u32>,
}

impl Coverage {
    /// Reads what the runs have printed of it, and takes that out of their logs.
    pub(crate) fn of(lines: &[CountedLine], results: &mut [cases::CaseResult]) -> Coverage {
        let mut ran = vec![false; lines.len()];
        for result in results {
            result.logs.retain(|line| match counted(&line.text) {
                Some(bits) => {
                    ran.iter_mut().zip(bits).for_each(|(ran, bit)| *ran |= bit);
                    false
                }
                None => true,
            });
        }
        let mut files: BTreeMap<&str, BTreeMap<u32, bool>> = BTreeMap::new();
        // What a bundler took from elsewhere is not the author's.
        let own = lines.iter().zip(ran).filter(|(line, _)| !line.file.starts_with("node_modules/"));
        for (CountedLine { file, line }, ran) in own {
            *files.entry(file).or_default().entry(*line).or_insert(true) &= ran;
        }
        let files: Vec<FileCoverage> = files
            .into_iter()
            .map(|(file, lines)| FileCoverage {
                file: file.to_owned(),
                lines: lines.len(),
                ran: lines.values().filter(|ran| **ran).count(),
                missed: lines.into_iter().filter(|(_, ran)| !ran).map(|(line, _)| line).collect(),
            })
            .collect();
        Coverage { lines: files.iter().map(|f| f.lines).sum(), ran: files.iter().map(|f| f.ran).sum(), files }
    }

    pub(super) fn render(&self, look: &Look) -> String {
        let Coverage { lines, ran, files } = self;
        let percent = (ran * 100).checked_div(*lines).unwrap_or(100);
        let mut text = format!("coverage: {ran} of {lines} lines ran ({percent} %)\n");
        for FileCoverage { file, lines, ran, missed } in files {
            let missed = match missed.as_slice() {
                [] => String::new(),
                missed => format!(", not {}", look.warning(&ranges(missed))),
            };
            text.push_str(&format!("  {file}: {ran} of {lines}{missed}\n"));
        }
        text
    }
}

/// `3, 7-9`
fn ranges(lines: &[u32]) -> String {
    let mut shown: Vec<(u32, u32)> = Vec::new();
    for line in lines {
        match shown.last_mut() {
            Some((_, last)) if *last + 1 == *line => *last = *line,
            _ => shown.push((*line, *line)),
        }
    }
    let texts =
        shown.iter().map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    texts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_run_when_all_of_it_has() {
        let at = |file: &str, line| CountedLine { file: file.into(), line };
        let lines =
            [at("src/a.ts", 1), at("src/a.ts", 1), at("src/a.ts", 2), at("src/a.ts", 3), at("node_modules/x.js", 1)];
        let coverage = Coverage::of(&lines, &mut []);
        assert_eq!((coverage.lines, coverage.ran), (3, 0));
        assert_eq!(coverage.render(&Look::plain()), "coverage: 0 of 3 lines ran (0 %)\n  src/a.ts: 0 of 3, not 1-3\n");
        assert_eq!(ranges(&[1, 3, 4, 5, 9]), "1, 3-5, 9");
    }
}

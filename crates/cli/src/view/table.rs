//! Aligned tables without lines: they can be read, and cut apart by other tools.

use crate::screen::{Look, foreign};
use comfy_table::{Attribute, CellAlignment, Color, Table as Grid, presets::NOTHING};

/// A cell and how it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
    right: bool,
}

#[derive(Clone, Copy, Debug)]
enum Tone {
    Plain,
    Good,
    Bad,
    Warning,
    Faint,
}

impl Cell {
    pub(crate) fn new(text: impl ToString) -> Cell {
        // A cell is one line: what comes from elsewhere must not break the table, nor colour it.
        let text = foreign(&text.to_string().replace(['\n', '\t'], " "));
        Cell { text, tone: Tone::Plain, right: false }
    }

    /// A number, set to the right.
    pub(crate) fn number(number: impl ToString) -> Cell {
        Cell { right: true, ..Cell::new(number) }
    }

    pub(crate) fn good(self) -> Cell {
        Cell { tone: Tone::Good, ..self }
    }

    pub(crate) fn bad(self) -> Cell {
        Cell { tone: Tone::Bad, ..self }
    }

    pub(crate) fn warning(self) -> Cell {
        Cell { tone: Tone::Warning, ..self }
    }

    pub(crate) fn faint(self) -> Cell {
        Cell { tone: Tone::Faint, ..self }
    }

    fn shown(&self) -> comfy_table::Cell {
        let cell = comfy_table::Cell::new(&self.text);
        let cell = if self.right { cell.set_alignment(CellAlignment::Right) } else { cell };
        match self.tone {
            Tone::Plain => cell,
            Tone::Good => cell.fg(Color::DarkGreen),
            Tone::Bad => cell.fg(Color::DarkRed),
            Tone::Warning => cell.fg(Color::DarkYellow),
            Tone::Faint => cell.add_attribute(Attribute::Dim),
        }
    }
}

/// A table with or without a header.
#[derive(Debug)]
pub(crate) struct Table(Grid);

impl Table {
    /// A table with these columns; without a header where there are none.
    pub(crate) fn new(columns: &[&str]) -> Table {
        let mut grid = Grid::new();
        grid.load_style(NOTHING);
        if !columns.is_empty() {
            let header = columns.iter().map(|name| comfy_table::Cell::new(name).add_attribute(Attribute::Bold));
            grid.set_header(header.collect::<Vec<_>>());
        }
        Table(grid)
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.0.add_row(cells.into_iter().map(|c| c.shown()).collect::<Vec<_>>());
    }

    /// Whole lines, the last one ended too.
    pub(crate) fn render(mut self, look: &Look) -> String {
        self.0.style_text_only();
        if look.colour {
            self.0.enforce_styling();
        } else {
            self.0.force_no_tty();
        }
        for column in self.0.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let mut text = self.0.trim_fmt();
        text.push('\n');
        text
    }
}

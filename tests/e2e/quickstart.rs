//! docs/quickstart.md, run exactly as written.

use sluice_tests::{Planes, document};

#[test]
fn the_quick_start_is_true_as_written() {
    let compared = document::run(&Planes::start(), include_str!("../../docs/quickstart.md"));
    assert!(compared > 20, "the document shows what is printed");
}

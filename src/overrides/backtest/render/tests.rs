//! What people see of a backtest.

use super::*;
use golden_pipeline::overrides::backtest::{Agreement, Minutes};

fn side(healthy: f64, critical: f64) -> Side {
    let minutes = Minutes { healthy, critical, ..Minutes::default() };
    let episodes = u64::from(critical > 0.0);
    Side { sha256: "ab".to_owned(), minutes, episodes, critical_episodes: episodes, ..Side::default() }
}

fn report() -> Report {
    let at = |minute: u32| format!("2026-01-01T00:{minute:02}:00Z");
    Report {
        service: "cart|<b>".to_owned(),
        namespace: String::new(),
        from: at(0),
        to: at(10),
        window_seconds: 60.0,
        windows: 10,
        old: side(10.0, 0.0),
        new: side(8.5, 1.5),
        changed: 2,
        changes: vec![Change { from: at(3), to: at(5), windows: 2, old: Some(0), new: Some(3) }],
        episodes: vec![Episode { from: at(3), to: at(5), old_first: None, new_first: Some(at(3)), old_worst: 0, new_worst: 3 }],
        recount: true,
        published: Agreement::default(),
        levels: vec![],
    }
}

#[test]
fn a_table_has_both_sides_what_changed_and_who_saw_it_first() {
    let text = table(&[report()], "the default rule");
    let expected = [
        "cart|<b>  10 windows of 60 s, 2026-01-01T00:00:00Z to 2026-01-01T00:10:00Z",
        "  critical, minutes                  0         1.5",
        "  2 of 10 windows have another level",
        "    2026-01-01T00:03:00Z to 2026-01-01T00:05:00Z, 2 windows: healthy → critical",
        "old never; new 2026-01-01T00:03:00Z, up to critical",
        "golden overrides recount",
    ];
    expected.iter().for_each(|line| assert!(text.contains(line), "{line} is not in\n{text}"));
    let silent = Report { windows: 0, ..report() };
    assert!(table(&[silent], "x").contains("nothing was published of it"));
}

#[test]
fn a_comment_has_a_row_for_each_service_and_no_markup_of_its_own() {
    let text = markdown(&[report()], "what is in force", "24h");
    let row = "| cart\\|\\<b\\> | 10 | 10 → **8.5** | 0 | 0 | 0 → **1.5** | 0 | 0 → **1** | 0 → **1** | 0 | 0 | 2 |";
    assert!(text.contains(row), "{text}");
    assert!(text.starts_with(
        "### Backtest of overrides\n\nThe last 24h of published windows, against what is in force. Levels change in 1 of 1 services."
    ));
    assert!(text.contains("- 2026-01-01T00:03:00Z to 2026-01-01T00:05:00Z, 2 windows: healthy → critical"));
    let columns = |line: &str| line.replace("\\|", "").matches('|').count();
    let table: Vec<usize> = text.lines().filter(|line| line.starts_with('|')).map(columns).collect();
    assert_eq!(table, [13, 13, 13]);
}

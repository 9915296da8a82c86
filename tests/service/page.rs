//! The page in a real browser, against this very `golden` (dashboards/page/test).
//!
//! Where Node, Chromium or the packages are missing the test fails and says how to get them: what a page shows is a promise that nothing
//! else proves.

use std::process::Command;

#[test]
fn the_page_keeps_its_promises_in_a_real_browser() {
    let home = concat!(env!("CARGO_MANIFEST_DIR"), "/dashboards/page");
    let browser = |what: &str| Command::new("./browser").arg(what).current_dir(home).output().unwrap();
    let checked = browser("check");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let chromium = String::from_utf8(browser("chromium").stdout).unwrap();
    let mut suite = Command::new("node");
    suite.arg("test/run.mjs").current_dir(home).env("GOLDEN", env!("CARGO_BIN_EXE_golden")).env("CHROMIUM", chromium.trim());
    let done = suite.output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    println!("{said}");
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
}

//! Cases that ran in turn, round by round, as tables in Markdown: medians and ranges of figures and of ratios within a round.

use crate::measure::Took;

/// One thing that ran in every round.
pub(crate) struct Case {
    name: &'static str,
    rounds: Vec<Took>,
}

impl Case {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, rounds: Vec::new() }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Median over the rounds.
    pub(crate) fn median(&self, part: fn(&Took) -> f64) -> f64 {
        Spread::of(self.rounds.iter().map(part)).median
    }

    /// Takes a round in, and says it.
    pub(crate) fn add(&mut self, round: u32, took: Took) {
        eprintln!("round {round}: {}: {:.2} s, {:.2} CPU-s, {:.0} MiB", self.name, took.wall, took.cpu, took.peak);
        self.rounds.push(took);
    }
}

/// One case compared with another, both of the same round.
pub(crate) struct Ratio {
    pub(crate) says: &'static str,
    pub(crate) above: &'static str,
    pub(crate) below: &'static str,
    pub(crate) part: fn(&Took) -> f64,
    pub(crate) reach: &'static str,
}

/// What the cases took, each over this many events.
pub(crate) fn figures(cases: &[Case], events: u64) -> String {
    let million = events as f64 / 1e6;
    let mut text = String::from("\n| Case | CPU-s per 1 M events | M events/s | Peak MiB |\n|---|---|---|---|\n");
    for case in cases {
        let of = |part: fn(&Took) -> f64| Spread::of(case.rounds.iter().map(part));
        let (cpu, rate, peak) = (of(Took::cpu), of(Took::rate), of(|took| took.peak));
        text += &format!(
            "| {} | {:.3} ({:.3}–{:.3}) | {:.2} | {:.0} |\n",
            case.name,
            cpu.median / million,
            cpu.least / million,
            cpu.most / million,
            million * rate.median,
            peak.median
        );
    }
    text
}

/// Ratios of the cases that ran.
pub(crate) fn ratios(cases: &[Case], ratios: &[Ratio]) -> String {
    let mut text = String::from("\n| Ratio, round by round | Median | Range | To reach |\n|---|---|---|---|\n");
    for Ratio { says, above, below, part, reach } in ratios {
        let rounds = |name| cases.iter().find(|case| case.name == name).map(|case| case.rounds.as_slice());
        if let (Some(above), Some(below)) = (rounds(*above), rounds(*below)) {
            let Spread { least, median, most } = Spread::of(above.iter().zip(below).map(|(above, below)| part(above) / part(below)));
            text += &format!("| {says} | {median:.2} | {least:.2}–{most:.2} | {reach} |\n");
        }
    }
    text
}

/// Least, median (the lower of two) and most of some figures; 0 when there are none.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let at = |place: usize| figures.get(place).copied().unwrap_or(0.0);
        let last = figures.len().saturating_sub(1);
        Self { least: at(0), median: at(last / 2), most: at(last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &'static str, rounds: &[(f64, f64)]) -> Case {
        let rounds = rounds.iter().map(|(wall, cpu)| Took { wall: *wall, cpu: *cpu, peak: 30.0 }).collect();
        Case { name, rounds }
    }

    #[test]
    fn ratios_are_taken_within_a_round_before_their_median() {
        let cases = [case("a", &[(1.0, 1.0), (4.0, 4.0), (2.0, 2.0)]), case("b", &[(1.0, 0.5), (4.0, 3.0), (2.0, 1.2)])];
        assert!(figures(&cases, 2_000_000).contains("| a | 1.000 (0.500–2.000) | 1.00 | 30 |"));
        let compared = [
            Ratio { says: "b / a", above: "b", below: "a", part: Took::cpu, reach: "≤ 0.7" },
            Ratio { says: "c / a", above: "c", below: "a", part: Took::cpu, reach: "" },
        ];
        let text = ratios(&cases, &compared);
        assert!(text.contains("| b / a | 0.60 | 0.50–0.75 | ≤ 0.7 |"), "{text}");
        assert!(!text.contains("c / a"), "a case that did not run has no ratio: {text}");
    }
}

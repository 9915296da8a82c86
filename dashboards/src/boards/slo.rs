//! Service levels: what is promised, what is left of the budget, and how fast it burns.

use crate::board::{Dashboard, Kind, Panel, Row, Unit, Variable};

/// Selector of the recorded series, which have no grouping.
const SLO: &str = r#"tenant=~"$tenant",deployment_environment_name=~"$env",service_name=~"$service",sloth_slo=~"$slo""#;
/// How many times too fast the budget burns at which the four pairs of windows page or warn.
const FACTORS: [(&str, &str); 4] =
    [("1", "3d and 6h, warning"), ("3", "1d and 2h, warning"), ("6", "6h and 30m, critical"), ("14.4", "1h and 5m, critical")];

pub(super) fn board() -> Dashboard {
    Dashboard {
        uid: "golden-signals-slo",
        title: "SLO",
        description: "Objectives of services, what is left of their error budgets in 30 days, and how fast it burns.",
        from: "now-7d",
        variables: vec![
            Variable::service(true),
            Variable::of("slo", "Objective", "golden_signals_slo_objective_ratio{of_service}", "slo", true),
        ],
        rows: vec![budget(), burn(), all()],
    }
}

fn budget() -> Row {
    let legend = "{{service_name}} {{sloth_slo}}";
    Row {
        title: "Budget",
        panels: vec![
            Panel::new(Kind::Stat, "Objective", Unit::Ratio, "Share of requests that must be good, as the service's override says.")
                .query(&format!("max by (service_name, sloth_slo) (slo:objective:ratio{{{SLO}}})"), legend)
                .size(6, 7),
            Panel::new(
                Kind::Stat,
                "Budget remaining",
                Unit::Ratio,
                "Share of the period's error budget that is left, exact to the request: golden-signals counts it from its windows. Below 0 the objective is missed.",
            )
            .query(r#"min by (service_name, slo) (golden_signals_slo_error_budget_remaining_ratio{of_service,slo=~"$slo"})"#, "{{service_name}} {{slo}}")
            .thresholds(&[(f64::NEG_INFINITY, "red"), (0.0, "orange"), (0.25, "yellow"), (0.5, "green")])
            .size(6, 7),
            Panel::new(
                Kind::Timeseries,
                "Good requests over 30 days",
                Unit::Ratio,
                "Share of good requests in the 30 days before each point: a ratio of sums, so a quiet hour weighs what it had.",
            )
            .query(&format!("1 - max by (service_name, sloth_slo) (slo:sli_error:ratio_rate30d{{{SLO}}})"), legend)
            .range(None, Some(1.0))
            .size(12, 7),
        ],
    }
}

fn burn() -> Row {
    let rate = |window: &str| {
        format!(
            "max by (service_name, sloth_slo) (slo:sli_error:ratio_rate{window}{{{SLO}}})\n\
             / max by (service_name, sloth_slo) (slo:error_budget:ratio{{{SLO}}})"
        )
    };
    let mut panels = vec![];
    for ((title, long, short, description), (factor, _)) in [
        ("Burn in 3 days and 6 hours", "3d", "6h", "Warns at 1: a tenth of the budget in three days."),
        ("Burn in 1 day and 2 hours", "1d", "2h", "Warns at 3: a tenth of the budget in a day."),
        ("Burn in 6 hours and 30 minutes", "6h", "30m", "Pages at 6: a twentieth of the budget in six hours."),
        ("Burn in 1 hour and 5 minutes", "1h", "5m", "Pages at 14.4: a fiftieth of the budget in an hour."),
    ]
    .into_iter()
    .zip(FACTORS)
    {
        let factor = factor.parse().unwrap_or(1.0);
        panels.push(
            Panel::new(Kind::Timeseries, title, Unit::Plain, description)
                .query(&rate(long), "{{service_name}} {{sloth_slo}}, long")
                .query(&rate(short), "{{service_name}} {{sloth_slo}}, short")
                .thresholds(&[(factor, "red")])
                .range(Some(0.0), None)
                .size(12, 7),
        );
    }
    panels.push(
        Panel::new(
            Kind::Timeseries,
            "Requests in each window",
            Unit::Count,
            "What the ratios are made of. A long window with fewer than 60 requests never alerts: one failed request of a quiet night is no burn.",
        )
        .query(&format!("sum by (service_name) (slo:sli_total:increase1h{{{SLO},sloth_slo=\"availability\"}})"), "{{service_name}}, 1h")
        .query(&format!("sum by (service_name) (slo:sli_total:increase1d{{{SLO},sloth_slo=\"availability\"}})"), "{{service_name}}, 1d")
        .query(&format!("sum by (service_name) (slo:sli_total:increase30d{{{SLO},sloth_slo=\"availability\"}})"), "{{service_name}}, 30d")
        .thresholds(&[(60.0, "green")])
        .range(Some(0.0), None)
        .size(24, 7),
    );
    Row { title: "Burn rates: how many times too fast the budget goes", panels }
}

fn all() -> Row {
    Row {
        title: "All objectives",
        panels: vec![
            Panel::new(
                Kind::Table,
                "By remaining budget",
                Unit::Ratio,
                "Every objective with what is left of its budget in the last 30 days, as Prometheus sums it, and how fast it burns now.",
            )
            .query(&format!("min by (service_name, sloth_slo) (slo:period_error_budget_remaining:ratio{{{SLO}}})"), "")
            .query(&format!("max by (service_name, sloth_slo) (slo:current_burn_rate:ratio{{{SLO}}})"), "")
            .query(&format!("max by (service_name, sloth_slo) (slo:objective:ratio{{{SLO}}})"), "")
            .column(0, "Remaining", Unit::Ratio, &[(f64::NEG_INFINITY, "red"), (0.0, "orange"), (0.25, "yellow"), (0.5, "green")])
            .column(1, "Burn rate", Unit::Plain, &[(1.0, "yellow"), (14.4, "red")])
            .column(2, "Target", Unit::Ratio, &[])
            .sorted_by("Burn rate")
            .linked()
            .size(24, 9),
        ],
    }
}

//! The parts of a dashboard, and Grafana's JSON of them (schema version 42, Grafana 11 and newer).
//!
//! A board is rows of panels; places follow from their order and width, numbers from their order. Health has the same colours and words
//! everywhere. What a panel shows is the boards' to say.

use crate::query::spelled;
use serde_json::{Value, json};

/// Grafana's version of the dashboard's form.
const SCHEMA: u32 = 42;
/// Width of a board.
const COLUMNS: u32 = 24;
/// Levels as colour and word; 4 stands for unknown, which has no level.
pub const HEALTH: [(&str, &str); 5] =
    [("healthy", "green"), ("degraded", "yellow"), ("impaired", "orange"), ("critical", "red"), ("unknown", "#8e8e8e")];

/// A dashboard.
#[derive(Clone, Debug)]
pub struct Dashboard {
    /// Fixed, so that links to it hold.
    pub uid: &'static str,
    /// Name in the folder.
    pub title: &'static str,
    /// What question it answers.
    pub description: &'static str,
    /// How far back it looks at first.
    pub from: &'static str,
    /// Choices above the board, beside the data source, tenant, environment and window.
    pub variables: Vec<Variable>,
    /// Panels, top down.
    pub rows: Vec<Row>,
}

/// A choice above the board, of the values of a label.
#[derive(Clone, Debug)]
pub struct Variable {
    name: &'static str,
    label: &'static str,
    query: String,
    many: bool,
}

impl Variable {
    /// Values of `label` in the series of a selector.
    #[must_use]
    pub fn of(name: &'static str, label: &'static str, series: &str, values_of: &str, many: bool) -> Self {
        Self { name, label, query: format!("label_values({}, {values_of})", spelled(series)), many }
    }

    /// The service: one, or several and all of them.
    #[must_use]
    pub fn service(many: bool) -> Self {
        Self::of("service", "Service", "golden_signals_requests_total{fleet}", "service_name", many)
    }

    fn json(&self) -> Value {
        let mut json = json!({
            "name": self.name, "label": self.label, "type": "query", "datasource": datasource(), "refresh": 2, "sort": 1,
            "query": {"query": self.query, "refId": "variable", "qryType": 1}, "multi": self.many, "includeAll": self.many,
            "hide": 0, "skipUrlSync": false, "options": [],
        });
        if self.many {
            // Series without the label are among all of them.
            set(&mut json, "allValue", json!(".*"));
            set(&mut json, "current", json!({"selected": true, "text": ["All"], "value": ["$__all"]}));
        }
        json
    }
}

/// Panels under one heading.
#[derive(Clone, Debug)]
pub struct Row {
    /// The heading.
    pub title: &'static str,
    /// Left to right, in as many lines as they need.
    pub panels: Vec<Panel>,
}

/// How values are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Lines over time.
    Timeseries,
    /// Areas over time, one on the other.
    Stacked,
    /// One number each.
    Stat,
    /// A line each, with columns.
    Table,
    /// Counts by value over time.
    Heatmap,
    /// States over time, one line each.
    StateTimeline,
    /// States at points in time.
    StatusHistory,
    /// Bars of the newest values.
    BarGauge,
}

/// Units, as Grafana names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Requests per second.
    RequestsPerSecond,
    /// Events per second.
    EventsPerSecond,
    /// Whole numbers.
    Count,
    /// 0–1, shown in per cent.
    Ratio,
    /// Seconds.
    Seconds,
    /// A point in time, ms since 1970.
    Time,
    /// Words in place of numbers.
    Health,
    /// A number without unit, as a burn rate.
    Plain,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => "reqps",
            Self::EventsPerSecond => "cps",
            Self::Count => "short",
            Self::Ratio => "percentunit",
            Self::Seconds => "s",
            Self::Time => "dateTimeFromNow",
            Self::Health | Self::Plain => "none",
        }
    }
}

/// A query of a panel.
#[derive(Clone, Debug)]
pub struct Target {
    /// `PromQL`, with the dashboard's variables.
    pub query: String,
    /// Name of each line, with labels in double braces; empty: all its labels.
    pub legend: &'static str,
    /// Only the newest value, not all of the time range.
    pub instant: bool,
    /// Whether traces are shown beside the line.
    pub exemplars: bool,
}

/// A colour from a value on.
pub type Threshold = (f64, &'static str);

/// A look at some queries.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What it shows.
    pub title: &'static str,
    /// What the numbers mean and what to make of them.
    pub description: &'static str,
    kind: Kind,
    unit: Unit,
    width: u32,
    height: u32,
    /// Queries.
    pub targets: Vec<Target>,
    thresholds: Vec<Threshold>,
    range: (Option<f64>, Option<f64>),
    columns: Vec<Column>,
    link: bool,
    sort: Option<&'static str>,
    colours: Vec<(&'static str, &'static str)>,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub struct Column {
    field: String,
    title: &'static str,
    unit: Unit,
    thresholds: Vec<Threshold>,
}

impl Panel {
    /// A panel, 8 wide and 8 high.
    #[must_use]
    pub fn new(kind: Kind, title: &'static str, unit: Unit, description: &'static str) -> Self {
        Self {
            title,
            description,
            kind,
            unit,
            width: 8,
            height: 8,
            targets: vec![],
            thresholds: vec![],
            range: (None, None),
            columns: vec![],
            link: false,
            sort: None,
            colours: vec![],
        }
    }

    /// Its size, of 24 columns.
    #[must_use]
    pub fn size(mut self, width: u32, height: u32) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    /// One more query; its selectors are spelled out here.
    #[must_use]
    pub fn query(mut self, query: &str, legend: &'static str) -> Self {
        let instant = matches!(self.kind, Kind::Table | Kind::BarGauge | Kind::Stat);
        self.targets.push(Target { query: spelled(query), legend, instant, exemplars: false });
        self
    }

    /// Shows traces beside the lines of all its queries.
    #[must_use]
    pub fn exemplars(mut self) -> Self {
        self.targets.iter_mut().for_each(|target| target.exemplars = true);
        self
    }

    /// Colours from values on; below the first one green.
    #[must_use]
    pub fn thresholds(mut self, steps: &[Threshold]) -> Self {
        self.thresholds = steps.to_vec();
        self
    }

    /// Ends of the axis.
    #[must_use]
    pub fn range(mut self, min: Option<f64>, max: Option<f64>) -> Self {
        self.range = (min, max);
        self
    }

    /// A column of a table: the value of query number `query`, from 0 on.
    #[must_use]
    pub fn column(mut self, query: u8, title: &'static str, unit: Unit, thresholds: &[Threshold]) -> Self {
        let field = if self.targets.len() > 1 { format!("Value #{}", letter(query)) } else { "Value".to_owned() };
        self.columns.push(Column { field, title, unit, thresholds: thresholds.to_vec() });
        self
    }

    /// Sorts a table by this column, the greatest first.
    #[must_use]
    pub fn sorted_by(mut self, title: &'static str) -> Self {
        self.sort = Some(title);
        self
    }

    /// Makes services links to their own board.
    #[must_use]
    pub fn linked(mut self) -> Self {
        self.link = true;
        self
    }

    /// Fixed colours by name of the line.
    #[must_use]
    pub fn coloured(mut self, colours: &[(&'static str, &'static str)]) -> Self {
        self.colours = colours.to_vec();
        self
    }

    fn json(&self, id: u32, x: u32, y: u32) -> Value {
        let targets: Vec<Value> = self.targets.iter().zip(0..).map(|(target, number)| self.target(target, number)).collect();
        let mut json = json!({
            "id": id, "type": self.plugin(), "title": self.title, "description": self.description, "datasource": datasource(),
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height}, "interval": "$window", "targets": targets,
            "fieldConfig": {"defaults": self.defaults(), "overrides": self.overrides()}, "options": self.options(),
        });
        if self.kind == Kind::Table {
            set(&mut json, "transformations", self.transformations());
        }
        json
    }

    fn plugin(&self) -> &'static str {
        match self.kind {
            Kind::Timeseries | Kind::Stacked => "timeseries",
            Kind::Stat => "stat",
            Kind::Table => "table",
            Kind::Heatmap => "heatmap",
            Kind::StateTimeline => "state-timeline",
            Kind::StatusHistory => "status-history",
            Kind::BarGauge => "bargauge",
        }
    }

    fn target(&self, target: &Target, number: u8) -> Value {
        let format = match self.kind {
            Kind::Table => "table",
            Kind::Heatmap => "heatmap",
            _ => "time_series",
        };
        json!({
            "refId": letter(number), "datasource": datasource(), "editorMode": "code", "expr": target.query, "legendFormat": target.legend,
            "range": !target.instant, "instant": target.instant, "exemplar": target.exemplars, "format": format,
        })
    }

    fn defaults(&self) -> Value {
        let mut json = json!({
            "unit": self.unit.name(), "color": {"mode": if self.is_coloured_by_value() { "thresholds" } else { "palette-classic" }},
            "thresholds": thresholds(&self.thresholds), "custom": self.custom(), "mappings": [], "links": [], "noValue": "no value",
        });
        if self.unit == Unit::Health {
            set(&mut json, "mappings", health_words());
            set(&mut json, "thresholds", health_colours());
        }
        if self.unit == Unit::Ratio {
            set(&mut json, "decimals", json!(3));
        }
        for (name, end) in [("min", self.range.0), ("max", self.range.1)] {
            if let Some(end) = end {
                set(&mut json, name, json!(end));
            }
        }
        if self.link && self.kind != Kind::Table {
            set(&mut json, "links", json!([service_link("${__field.labels.service_name}")]));
        }
        json
    }

    fn is_coloured_by_value(&self) -> bool {
        self.unit == Unit::Health
            || matches!(self.kind, Kind::Stat | Kind::BarGauge | Kind::Table | Kind::StateTimeline | Kind::StatusHistory)
    }

    fn custom(&self) -> Value {
        match self.kind {
            Kind::Timeseries | Kind::Stacked => {
                let stacked = self.kind == Kind::Stacked;
                let lines = if self.thresholds.is_empty() { "off" } else { "dashed" };
                json!({
                    "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": if stacked { 40 } else { 8 },
                    "showPoints": "never", "spanNulls": false, "stacking": {"mode": if stacked { "normal" } else { "none" }, "group": "A"},
                    "thresholdsStyle": {"mode": lines}, "axisPlacement": "auto", "axisSoftMin": 0,
                })
            }
            Kind::StateTimeline | Kind::StatusHistory => json!({"fillOpacity": 80, "lineWidth": 0}),
            Kind::Table => json!({"align": "auto", "cellOptions": {"type": "auto"}, "inspect": false}),
            Kind::Heatmap => json!({"scaleDistribution": {"type": "linear"}}),
            Kind::Stat | Kind::BarGauge => json!({}),
        }
    }

    fn overrides(&self) -> Value {
        let by_name = |name: &str, properties: Value| json!({"matcher": {"id": "byName", "options": name}, "properties": properties});
        let mut all: Vec<Value> = self
            .colours
            .iter()
            .map(|(name, colour)| by_name(name, json!([{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}])))
            .collect();
        for column in &self.columns {
            let mut properties = vec![json!({"id": "unit", "value": column.unit.name()})];
            let mut cell = |steps: Value| {
                properties.push(json!({"id": "thresholds", "value": steps}));
                properties.push(json!({"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}}));
            };
            if column.unit == Unit::Health {
                cell(health_colours());
                properties.push(json!({"id": "mappings", "value": health_words()}));
            } else if !column.thresholds.is_empty() {
                cell(thresholds(&column.thresholds));
            }
            all.push(by_name(column.title, json!(properties)));
        }
        if self.link && self.kind == Kind::Table {
            all.push(by_name("Service", json!([{"id": "links", "value": [service_link("${__value.raw}")]}])));
        }
        json!(all)
    }

    fn options(&self) -> Value {
        let legend = json!({"showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": []});
        let reduce = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
        match self.kind {
            Kind::Timeseries | Kind::Stacked => json!({"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}),
            Kind::Stat => json!({
                "reduceOptions": reduce, "colorMode": "background", "graphMode": "none", "justifyMode": "auto", "textMode": "value_and_name",
                "orientation": "auto", "showPercentChange": false, "percentChangeColorMode": "standard", "wideLayout": true,
            }),
            Kind::Table => {
                let sort = self.sort.map(|title| json!({"displayName": title, "desc": true}));
                json!({"showHeader": true, "cellHeight": "sm", "frameIndex": 0, "sortBy": sort.into_iter().collect::<Vec<_>>()})
            }
            Kind::Heatmap => json!({
                "calculate": false, "cellGap": 1, "color": {"mode": "scheme", "scheme": "Oranges", "exponent": 0.5, "fill": "dark-orange", "reverse": false, "steps": 64},
                "exemplars": {"color": "rgba(255,0,255,0.7)"}, "filterValues": {"le": 1e-9}, "legend": {"show": true}, "rowsFrame": {"layout": "auto"},
                "showValue": "never", "tooltip": {"mode": "single", "yHistogram": true}, "yAxis": {"axisPlacement": "left", "unit": self.unit.name(), "reverse": false},
            }),
            Kind::StateTimeline => json!({
                "legend": legend, "tooltip": {"mode": "single", "sort": "none"}, "mergeValues": true, "rowHeight": 0.85, "showValue": "auto", "alignValue": "left",
            }),
            Kind::StatusHistory => json!({
                "legend": legend, "tooltip": {"mode": "single", "sort": "none"}, "rowHeight": 0.85, "colWidth": 0.9, "showValue": "auto",
            }),
            Kind::BarGauge => json!({
                "reduceOptions": reduce, "legend": {"showLegend": false, "displayMode": "list", "placement": "bottom", "calcs": []},
                "displayMode": "basic", "orientation": "horizontal", "valueMode": "color", "namePlacement": "auto", "showUnfilled": true, "sizing": "auto",
                "minVizWidth": 8, "minVizHeight": 16, "maxVizHeight": 300,
            }),
        }
    }

    /// Puts the queries of a table side by side, and names its columns.
    fn transformations(&self) -> Value {
        let mut names = json!({
            "service_name": "Service", "service_namespace": "Namespace", "operation": "Operation", "cloud_region": "Region", "swimlane": "Swimlane",
            "server_address": "Host", "svc_host": "Host", "team": "Team", "reason": "Reason", "source": "Source", "revision": "Version", "sha256": "SHA-256",
            "version": "Program", "sloth_slo": "Objective", "topic": "Topic", "partition": "Partition",
        });
        for column in &self.columns {
            set(&mut names, &column.field, json!(column.title));
        }
        json!([
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {"Time": true}, "indexByName": {}, "renameByName": names}},
        ])
    }
}

impl Dashboard {
    /// All panels, in order.
    pub fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.rows.iter().flat_map(|row| &row.panels)
    }

    /// Grafana's file of it.
    #[must_use]
    pub fn json(&self) -> String {
        let (mut panels, mut id, mut y) = (vec![], 0, 0);
        for row in &self.rows {
            id += 1;
            let place = json!({"x": 0, "y": y, "w": COLUMNS, "h": 1});
            panels.push(json!({"id": id, "type": "row", "title": row.title, "collapsed": false, "gridPos": place, "panels": []}));
            y += 1;
            let (mut x, mut tallest) = (0, 0);
            for panel in &row.panels {
                if x + panel.width > COLUMNS {
                    (x, y, tallest) = (0, y + tallest, 0);
                }
                id += 1;
                panels.push(panel.json(id, x, y));
                x += panel.width;
                tallest = tallest.max(panel.height);
            }
            y += tallest;
        }
        let board = json!({
            "uid": self.uid, "title": self.title, "description": self.description, "tags": ["golden-signals"], "schemaVersion": SCHEMA,
            "editable": true, "graphTooltip": 1, "refresh": "30s", "time": {"from": self.from, "to": "now"}, "timezone": "",
            "annotations": {"list": annotations()}, "links": [links()], "templating": {"list": self.templating()}, "panels": panels,
        });
        // A value always has a text.
        serde_json::to_string_pretty(&board).unwrap_or_default() + "\n"
    }

    /// Variables of every board, then its own.
    fn templating(&self) -> Vec<Value> {
        let datasource = json!({
            "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1, "regex": "", "hide": 0,
            "multi": false, "includeAll": false, "skipUrlSync": false, "options": [],
        });
        let option = |text: &str, selected: bool| json!({"selected": selected, "text": text, "value": text});
        let window = json!({
            "name": "window", "label": "Window", "type": "custom", "query": "1m,10s,30s,5m", "multi": false, "includeAll": false, "hide": 0,
            "description": "Length of the pipeline's windows: values change once in it, so nothing finer is asked for.",
            "skipUrlSync": false, "current": option("1m", true),
            "options": [option("1m", true), option("10s", false), option("30s", false), option("5m", false)],
        });
        let all = [
            Variable::of("tenant", "Tenant", r#"golden_signals_requests_total{grouping="service"}"#, "tenant", true),
            Variable::of("env", "Environment", r#"golden_signals_requests_total{grouping="service"}"#, "deployment_environment_name", true),
        ];
        [datasource, window].into_iter().chain(all.iter().chain(&self.variables).map(Variable::json)).collect()
    }
}

/// Notes that people put on a board in Grafana.
fn annotations() -> Value {
    json!([{
        "builtIn": 1, "datasource": {"type": "grafana", "uid": "-- Grafana --"}, "enable": true, "hide": true,
        "iconColor": "rgba(0, 211, 255, 1)", "name": "Annotations & Alerts", "type": "dashboard",
    }])
}

/// The data source that is chosen above the board.
fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// A menu of all boards, which take the time range and what was chosen with them.
fn links() -> Value {
    json!({
        "type": "dashboards", "title": "Golden signals", "tags": ["golden-signals"], "asDropdown": true, "includeVars": true, "keepTime": true,
        "targetBlank": false, "icon": "external link", "tooltip": "The other boards, for the same service and time", "url": "",
    })
}

fn service_link(name: &str) -> Value {
    let url = format!(
        "/d/golden-signals-service?${{__url_time_range}}&${{datasource:queryparam}}&${{tenant:queryparam}}&${{env:queryparam}}&${{window:queryparam}}&var-service={name}"
    );
    json!({"title": "Signals of this service", "url": url, "targetBlank": false})
}

fn thresholds(steps: &[Threshold]) -> Value {
    // The first step has no lower end, which JSON has no number for.
    let has_base = steps.first().is_some_and(|(from, _)| from.is_infinite());
    let base = (!has_base).then(|| json!({"color": "green", "value": null}));
    let steps =
        steps.iter().map(|(from, colour)| json!({"color": colour, "value": if from.is_finite() { json!(from) } else { Value::Null }}));
    json!({"mode": "absolute", "steps": base.into_iter().chain(steps).collect::<Vec<_>>()})
}

fn health_colours() -> Value {
    let steps = HEALTH
        .iter()
        .zip(0..)
        .map(|((_, colour), level)| json!({"color": colour, "value": if level == 0 { Value::Null } else { json!(level) }}));
    json!({"mode": "absolute", "steps": steps.collect::<Vec<_>>()})
}

fn health_words() -> Value {
    let words =
        HEALTH.iter().zip(0..).map(|((word, colour), level)| (level.to_string(), json!({"text": word, "color": colour, "index": level})));
    json!([{"type": "value", "options": words.collect::<serde_json::Map<_, _>>()}])
}

/// A, B, C … for queries.
fn letter(number: u8) -> String {
    char::from(b'A' + number % 26).to_string()
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

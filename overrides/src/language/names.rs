//! What an expression can name: variables with unit and range, and functions. The one place where a name is spelled (SIGNALS §6.4).

/// What an expression is for; it decides which names it may use and what it must give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A health rule: once per series and window, gives 0, 1, 2 or 3.
    Health,
    /// The value of a tag: per event (once per distinct set of texts), gives a text.
    Tag,
    /// What counts as an error: per event, gives `"ok"`, `"error"` or `"ignored"`.
    Outcome,
}

impl Kind {
    /// As messages have it.
    pub(crate) fn article(self) -> &'static str {
        match self {
            Self::Health => "a health rule",
            Self::Tag => "a tag",
            Self::Outcome => "a classifier",
        }
    }
}

/// What a number counts; sums and comparisons of two different ones are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// None, or not known: fits all.
    Plain,
    Count,
    PerSecond,
    /// 0 to 100.
    Percent,
    /// 0 to 1.
    Ratio,
    Millis,
    /// 0 to 3.
    Level,
}

impl Unit {
    /// As messages have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "a plain number",
            Self::Count => "a count",
            Self::PerSecond => "per second",
            Self::Percent => "a percentage, 0–100",
            Self::Ratio => "a ratio, 0–1",
            Self::Millis => "a time in ms",
            Self::Level => "a health level, 0–3",
        }
    }
}

/// A number that an expression can read. Which are known depends on what is evaluated; see `Scope::number`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Number {
    /// Requests in the window.
    RequestCount,
    /// Requests per second.
    RequestRate,
    /// Errors in the window.
    ErrorCount,
    /// Errors per second.
    ErrorRate,
    /// 0 to 100; no value without requests.
    Availability,
    /// ms; no value without a duration, as all latencies.
    LatencyP50,
    /// ms
    LatencyP75,
    /// ms
    LatencyP90,
    /// ms
    LatencyP95,
    /// ms
    LatencyP99,
    /// ms
    LatencyP999,
    /// ms
    LatencyMean,
    /// ms
    LatencyMax,
    /// 0 to 100 and above; no value without a gauge or capacity.
    Saturation,
    /// 0 to 1.
    Completeness,
    /// 0 to 3; last known level of the series, 0 when there is none.
    PreviousHealth,
    /// HTTP status of one request; no value when it has none.
    Status,
    /// Duration of one request in ms; no value when it has none.
    Latency,
}

impl Number {
    /// All, in the order of their declaration.
    pub const ALL: [Self; 18] = [
        Self::RequestCount,
        Self::RequestRate,
        Self::ErrorCount,
        Self::ErrorRate,
        Self::Availability,
        Self::LatencyP50,
        Self::LatencyP75,
        Self::LatencyP90,
        Self::LatencyP95,
        Self::LatencyP99,
        Self::LatencyP999,
        Self::LatencyMean,
        Self::LatencyMax,
        Self::Saturation,
        Self::Completeness,
        Self::PreviousHealth,
        Self::Status,
        Self::Latency,
    ];

    /// As expressions spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestCount => "requestCount",
            Self::RequestRate => "requestRate",
            Self::ErrorCount => "errorCount",
            Self::ErrorRate => "errorRate",
            Self::Availability => "availability",
            Self::LatencyP50 => "latencyP50",
            Self::LatencyP75 => "latencyP75",
            Self::LatencyP90 => "latencyP90",
            Self::LatencyP95 => "latencyP95",
            Self::LatencyP99 => "latencyP99",
            Self::LatencyP999 => "latencyP999",
            Self::LatencyMean => "latencyMean",
            Self::LatencyMax => "latencyMax",
            Self::Saturation => "saturation",
            Self::Completeness => "completeness",
            Self::PreviousHealth => "previousHealth",
            Self::Status => "status",
            Self::Latency => "latency",
        }
    }

    /// The number of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|number| number.name() == name)
    }

    /// Whether expressions of this kind can read it.
    #[must_use]
    pub fn is_for(self, kind: Kind) -> bool {
        match kind {
            Kind::Health => !matches!(self, Self::Status | Self::Latency),
            Kind::Outcome => matches!(self, Self::Status | Self::Latency),
            Kind::Tag => false,
        }
    }

    pub(crate) fn unit(self) -> Unit {
        match self {
            Self::RequestCount | Self::ErrorCount => Unit::Count,
            Self::RequestRate | Self::ErrorRate => Unit::PerSecond,
            Self::Availability | Self::Saturation => Unit::Percent,
            Self::Completeness => Unit::Ratio,
            Self::PreviousHealth => Unit::Level,
            Self::Status => Unit::Plain,
            _ => Unit::Millis,
        }
    }

    /// Largest value; the smallest is 0 for all.
    pub(crate) fn greatest(self) -> f64 {
        match self {
            Self::Availability => 100.0,
            Self::Completeness => 1.0,
            Self::PreviousHealth => 3.0,
            Self::Status => 999.0,
            _ => f64::INFINITY,
        }
    }

    /// Whether it has no fraction.
    pub(crate) fn is_whole(self) -> bool {
        matches!(self, Self::RequestCount | Self::ErrorCount | Self::PreviousHealth | Self::Status)
    }

    /// Whether it has no value in a window without requests.
    pub(crate) fn needs_requests(self) -> bool {
        self.is_for(Kind::Health) && (self == Self::Availability || self.unit() == Unit::Millis)
    }
}

/// A text that an expression can read; `""` when it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Text {
    /// Name of the service.
    Service,
    /// Operation.
    Operation,
    /// Host that served the request.
    SvcHost,
    /// Tag `env`.
    Env,
    /// Tag `region`.
    Region,
    /// Tag `swimlane`.
    Swimlane,
    /// Code name of a gRPC status: `UNAVAILABLE`.
    GrpcStatus,
    /// A status that is a word.
    StatusText,
    /// Kind of error.
    ErrorType,
    /// What the request counts as without an override: `ok`, `error` or `ignored`.
    Outcome,
}

impl Text {
    /// All, in the order of their declaration.
    pub const ALL: [Self; 10] = [
        Self::Service,
        Self::Operation,
        Self::SvcHost,
        Self::Env,
        Self::Region,
        Self::Swimlane,
        Self::GrpcStatus,
        Self::StatusText,
        Self::ErrorType,
        Self::Outcome,
    ];

    /// As expressions spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Operation => "operation",
            Self::SvcHost => "svcHost",
            Self::Env => "env",
            Self::Region => "region",
            Self::Swimlane => "swimlane",
            Self::GrpcStatus => "grpcStatus",
            Self::StatusText => "statusText",
            Self::ErrorType => "errorType",
            Self::Outcome => "outcome",
        }
    }

    /// The text of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|text| text.name() == name)
    }

    /// Whether expressions of this kind can read it.
    #[must_use]
    pub fn is_for(self, kind: Kind) -> bool {
        kind == Kind::Outcome || !matches!(self, Self::GrpcStatus | Self::StatusText | Self::ErrorType | Self::Outcome)
    }
}

/// What a request can count as, as a classifier gives it.
pub const OUTCOMES: [&str; 3] = ["ok", "error", "ignored"];

/// Every function, with how it is called.
pub(crate) const FUNCTIONS: [(&str, &str); 10] = [
    ("startsWith", "startsWith(text, text)"),
    ("endsWith", "endsWith(text, text)"),
    ("contains", "contains(text, text)"),
    ("lower", "lower(text)"),
    ("tag", "tag(\"name\")"),
    ("min", "min(number, number, …)"),
    ("max", "max(number, number, …)"),
    ("abs", "abs(number)"),
    ("round", "round(number)"),
    ("availabilityLower", "availabilityLower(0.95)"),
];

/// Names of the variables of a kind.
pub(crate) fn variables(kind: Kind) -> impl Iterator<Item = &'static str> {
    let numbers = Number::ALL.into_iter().filter(move |n| n.is_for(kind)).map(Number::name);
    numbers.chain(Text::ALL.into_iter().filter(move |t| t.is_for(kind)).map(Text::name))
}

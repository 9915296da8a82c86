use super::*;
use golden_router::orders::Flip;
use platform_core::record::NewRecord;
use platform_runtime::clock::SystemClock;
use platform_runtime::memory::{AppendTimes, MemoryLog, TopicSettings};

fn start(colour: Colour, epoch: u32, version: &str) -> Order {
    Order::Start(Start { deployment: Deployment { colour, epoch }, version: version.to_owned(), owned_from: 0, positions: vec![] })
}

fn orders(given: &[Order]) -> Orders {
    let mut orders = Orders::default();
    for (order, at) in given.iter().zip(0..) {
        orders.apply(Entry { by: "t".to_owned(), reason: "because".to_owned(), order: order.clone() }, at).unwrap();
    }
    orders
}

fn flip(to: Deployment, from: Deployment, kind: FlipKind) -> Order {
    Order::Flip(Flip { flip: 1, from, to, kind, window: 0 })
}

const BLUE: Deployment = Deployment { colour: Colour::Blue, epoch: 1 };
const GREEN: Deployment = Deployment { colour: Colour::Green, epoch: 2 };

#[test]
fn the_live_deployment_is_joined_by_every_version_and_a_standby_by_its_own() {
    let both = orders(&[start(Colour::Blue, 1, "a"), start(Colour::Green, 2, "a")]);
    let joins = |colour, version, fresh| match choose(&both, colour, version, fresh) {
        Choice::Join(start) => Some(start.deployment),
        Choice::Begin(_) => None,
    };
    for (version, fresh) in [("a", false), ("b", false), ("a", true)] {
        assert_eq!(joins(Colour::Blue, version, fresh), Some(BLUE));
    }
    assert_eq!(joins(Colour::Green, "a", false), Some(GREEN));
    assert_eq!(joins(Colour::Green, "b", false), None);
    assert_eq!(joins(Colour::Green, "a", true), None);
    assert!(matches!(choose(&Orders::default(), Colour::Blue, "a", false), Choice::Begin(_)));
}

#[test]
fn a_deployment_that_has_ended_is_joined_by_nobody_and_its_end_is_told() {
    let mut given = vec![start(Colour::Blue, 1, "a"), start(Colour::Green, 2, "a")];
    assert_eq!(end_of(&orders(&given), BLUE), None);
    given.push(flip(GREEN, BLUE, FlipKind::Failure));
    let failed = orders(&given);
    assert!(matches!(choose(&failed, Colour::Blue, "a", false), Choice::Begin(_)));
    let told = end_of(&failed, BLUE).unwrap();
    assert!(told.contains("flip 1 to green.2") && told.contains("because") && told.contains("Started again"), "{told}");
    given.push(start(Colour::Blue, 3, "b"));
    let told = end_of(&orders(&given), BLUE).unwrap();
    assert!(told.contains("blue.3 has taken its place, begun with version b"), "{told}");
    assert_eq!(end_of(&orders(&given), GREEN), None);
}

#[test]
fn the_first_window_is_one_that_is_seen_whole() {
    let minute = WindowLength::new(Duration::from_secs(60)).unwrap();
    let second = 1_000_000_000;
    let of = |seconds: i64| u64::from_be_bytes(sortable(EventTime(seconds * second)));
    assert_eq!(owned_from(AppendTime(60 * second), 60 * second, minute), of(120));
    assert_eq!(owned_from(AppendTime(60 * second + 1), 60 * second, minute), of(180));
    assert_eq!(owned_from(AppendTime(-61 * second), 60 * second, minute), of(0));
}

struct Place {
    log: MemoryLog,
    clock: Arc<SystemClock>,
}

impl Place {
    fn new() -> Self {
        let clock = Arc::new(SystemClock::new());
        let log = MemoryLog::new(AppendTimes::Clock(Arc::clone(&clock) as _));
        for topic in ["events", "control", "partials"] {
            log.create_topic(&Topic::new(topic), 1, TopicSettings::default());
        }
        Self { log, clock }
    }

    fn append(&self, topic: &str) {
        let record = NewRecord { value: Some(b"x"), ..NewRecord::default() };
        self.log.producer().unwrap().append(&Partition::new(&Topic::new(topic), 0), &[record]).unwrap();
    }

    fn begin(&self, colour: Colour) -> Start {
        self.try_begin(colour).unwrap()
    }

    fn try_begin(&self, colour: Colour) -> Result<Start, Failure> {
        let parts = Parts {
            log: Arc::new(self.log.clone()),
            pipeline: "p",
            control: &Topic::new("control"),
            sources: vec![Topic::new("events")],
            partials: &|_| Topic::new("partials"),
            clock: &*self.clock,
            window: WindowLength::new(Duration::from_secs(10)).unwrap(),
            retain: 60_000_000_000,
            skew: 0,
            version: "a",
            fresh: false,
            by: "t".to_owned(),
        };
        join_or_begin(&parts, colour)
    }
}

#[test]
fn who_reads_everything_owns_everything_unless_there_was_something_before_it() {
    let place = Place::new();
    place.append("events");
    let blue = place.begin(Colour::Blue);
    assert_eq!((blue.deployment, blue.owned_from, blue.positions.len()), (BLUE, 0, 0));
    let green = place.begin(Colour::Green);
    assert_eq!((green.deployment, &green.positions[..]), (GREEN, &[("events".to_owned(), 0, 0)][..]));
    assert_eq!(green.owned_from, 0, "it reads everything that there ever was");

    let place = Place::new();
    place.append("events");
    place.begin(Colour::Blue);
    place.log.forget_before(&Partition::new(&Topic::new("events"), 0), Offset(1));
    place.append("events");
    let green = place.begin(Colour::Green);
    assert_eq!(&green.positions[..], &[("events".to_owned(), 0, 1)][..]);
    assert!(green.owned_from > 0, "what the log has lost may have been of any window before");

    let place = Place::new();
    place.append("partials");
    let blue = place.begin(Colour::Blue);
    assert_eq!((blue.deployment.epoch, blue.positions.len()), (2, 1));
    assert!(blue.owned_from > 0);
}

#[test]
fn nothing_is_joined_or_begun_by_a_control_log_that_is_newer_or_has_no_beginning() {
    for newer in [true, false] {
        let place = Place::new();
        for colour in Colour::ALL {
            place.begin(colour);
        }
        let control = Partition::new(&Topic::new("control"), 0);
        let said = if newer {
            let record = NewRecord { headers: &[("schema", b"platform-order/2")], value: Some(b"{}"), ..NewRecord::default() };
            place.log.producer().unwrap().append(&control, &[record]).unwrap();
            "upgrade it first"
        } else {
            place.log.forget_before(&control, Offset(1));
            "restore the topic from a copy"
        };
        let before = place.log.bounds(&control).unwrap();
        for colour in Colour::ALL {
            let refused = place.try_begin(colour).err().map(|error| format!("{error:?}")).unwrap_or_default();
            assert!(refused.contains(said), "{colour}: {refused}");
        }
        assert_eq!(place.log.bounds(&control).unwrap(), before);
    }
}

#[test]
fn those_that_start_at_once_share_one_deployment() {
    let place = Place::new();
    place.begin(Colour::Blue);
    let begun: Vec<Start> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| place.begin(Colour::Green))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(begun.iter().all(|start| *start == begun[0] && start.deployment == GREEN), "{begun:?}");
}

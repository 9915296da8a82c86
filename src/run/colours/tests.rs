use super::*;
use golden_router::orders::Flip;

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

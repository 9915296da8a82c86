use super::*;

fn deployment(colour: Colour, epoch: u32) -> Deployment {
    Deployment { colour, epoch }
}

fn entry(order: Order) -> Entry {
    Entry { by: "mina".to_owned(), reason: "a test".to_owned(), order }
}

fn start(colour: Colour, epoch: u32) -> Order {
    Order::Start(Start { deployment: deployment(colour, epoch), version: "1".to_owned(), owned_from: 0, positions: vec![] })
}

fn flip(number: u64, from: Deployment, to: Deployment, kind: FlipKind) -> Order {
    Order::Flip(Flip { flip: number, from, to, kind, window: 7 })
}

fn fold(all: &[Order]) -> (Orders, Vec<Result<(), Passed>>) {
    let mut orders = Orders::default();
    let results = all.iter().map(|order| orders.apply(entry(order.clone()), 5)).collect();
    (orders, results)
}

const BLUE: Deployment = Deployment { colour: Colour::Blue, epoch: 1 };
const GREEN: Deployment = Deployment { colour: Colour::Green, epoch: 2 };

#[test]
fn every_order_comes_back_as_it_was_written() {
    let all = [
        start(Colour::Blue, 1),
        flip(1, BLUE, GREEN, FlipKind::Planned),
        Order::Abandon { deployment: BLUE },
        Order::Seal { flip: 1 },
        Order::Done { flip: 1, receipt: serde_json::json!({"lost": 0}) },
        Order::Hold { hold: true },
        Order::Refused { asked: "flip".to_owned(), receipt: serde_json::Value::Null },
    ];
    for order in all {
        assert_eq!(Entry::decode(&entry(order.clone()).encode()), Ok(entry(order)));
    }
    assert!(matches!(Entry::decode(br#"{"by":"a","reason":"","order":"dance"}"#), Err(Passed::Form(_))));
}

#[test]
fn the_first_deployment_is_live_and_flips_go_from_what_is_live_to_what_runs_in_the_other_colour() {
    let (orders, results) = fold(&[start(Colour::Blue, 1), start(Colour::Green, 2), flip(1, BLUE, GREEN, FlipKind::Planned)]);
    assert!(results.iter().all(Result::is_ok));
    assert_eq!((orders.first(), orders.live(), orders.next_flip(), orders.next_epoch()), (Some(BLUE), Some(GREEN), 2, 3));
    let (orders, results) = fold(&[
        start(Colour::Blue, 1),
        flip(1, BLUE, GREEN, FlipKind::Planned),
        start(Colour::Green, 2),
        flip(2, BLUE, GREEN, FlipKind::Planned),
        flip(1, GREEN, BLUE, FlipKind::Planned),
        flip(1, BLUE, deployment(Colour::Blue, 1), FlipKind::Planned),
    ]);
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, false, false, false]);
    assert_eq!((orders.live(), orders.flips().len()), (Some(BLUE), 0));
}

#[test]
fn what_failed_never_comes_back_under_its_epoch_and_a_new_one_may_take_its_place() {
    let (orders, results) = fold(&[
        start(Colour::Blue, 1),
        start(Colour::Green, 2),
        flip(1, BLUE, GREEN, FlipKind::Failure),
        flip(2, GREEN, BLUE, FlipKind::Planned),
        start(Colour::Blue, 2),
        start(Colour::Green, 3),
        start(Colour::Blue, 3),
        flip(2, GREEN, deployment(Colour::Blue, 3), FlipKind::Planned),
    ]);
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, true, false, false, false, true, true]);
    assert!(orders.is_abandoned(BLUE) && orders.running(Colour::Blue).is_some_and(|s| s.deployment.epoch == 3));
    assert_eq!(orders.live(), Some(deployment(Colour::Blue, 3)));
}

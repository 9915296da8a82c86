use super::*;
use platform_runtime::memory::MemoryStore;

fn shelf(outbox: &Arc<Outbox>, partition: u32) -> Shelf {
    let mut shelf = Shelf::new(outbox, partition);
    assert_eq!(shelf.restore(&MemoryStore::default(), &[]).unwrap(), Past::default());
    shelf
}

#[test]
fn the_oldest_window_goes_first_and_a_partition_in_order() {
    let outbox = Arc::new(Outbox::new(1000));
    let (mut zero, mut one) = (shelf(&outbox, 0), shelf(&outbox, 1));
    zero.put(vec![0], EventTime(20), Some(Offset(1)));
    zero.put(vec![1], EventTime(30), Some(Offset(2)));
    one.put(vec![2], EventTime(10), Some(Offset(1)));
    assert!(outbox.next(Duration::ZERO).is_none(), "nothing is sent before its position is committed");
    zero.changes(&mut Changes::default());
    one.changes(&mut Changes::default());
    let mut order = vec![];
    while let Some((partition, chunk)) = outbox.next(Duration::ZERO) {
        order.push((partition, chunk.body[0]));
        outbox.sent(partition, &chunk);
    }
    assert_eq!(order, [(1, 2), (0, 0), (0, 1)]);
    assert_eq!((zero.sent_through(), one.sent_through()), (Offset(2), Offset(1)));
}

#[test]
fn a_partition_that_goes_takes_its_chunks_along() {
    let outbox = Arc::new(Outbox::new(1000));
    let mut shelf = shelf(&outbox, 0);
    shelf.put(vec![0; 9], EventTime(20), Some(Offset(1)));
    shelf.changes(&mut Changes::default());
    let (partition, chunk) = outbox.next(Duration::ZERO).unwrap();
    assert_eq!(outbox.size(), 9);
    drop(shelf);
    assert_eq!(outbox.size(), 0);
    outbox.sent(partition, &chunk);
    assert!(outbox.next(Duration::ZERO).is_none());
}

#[test]
fn a_closed_outbox_gives_nothing_and_wakes_whoever_waits() {
    let outbox = Arc::new(Outbox::new(1000));
    let mut shelf = shelf(&outbox, 0);
    shelf.put(vec![0], EventTime(20), None);
    shelf.changes(&mut Changes::default());
    outbox.close();
    assert!(outbox.is_closed() && outbox.next(Duration::from_secs(60)).is_none() && outbox.pause(Duration::from_secs(60)));
}

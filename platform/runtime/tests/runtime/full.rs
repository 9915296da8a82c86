//! A sink that waits for somebody else: while it takes nothing it is not read for, loses nothing, and holds up nobody else; what it has to note
//! in between is committed.

use crate::words::partials;
use crate::world::{On, PARTITIONS, Steps, World};
use platform_core::log::Log as _;
use platform_core::record::{Offset, Partition, Record};
use platform_core::stage::{KeyedStage, StageError};
use platform_core::store::{Changes, Store};
use platform_runtime::beside::Beside;
use platform_runtime::keyed_task::{KeyedParts, KeyedTask};
use platform_runtime::task::RuntimeSettings;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How many more records each partition takes, and what it took.
type Room = Arc<Mutex<Vec<(usize, Vec<String>)>>>;

struct Shelf {
    room: Room,
    partition: usize,
}

impl KeyedStage for Shelf {
    fn restore(&mut self, _: &dyn Store, _: &[u8]) -> Result<(), StageError> {
        Ok(())
    }

    fn apply(&mut self, record: &Record<'_>, _: &dyn Store) -> Result<(), StageError> {
        let mut room = self.room.lock().unwrap();
        let (left, taken) = &mut room[self.partition];
        *left = left.checked_sub(1).expect("nothing comes when there is no room");
        taken.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
        Ok(())
    }

    fn replay_from(&self, position: Offset) -> Offset {
        position
    }

    fn metadata(&self) -> Vec<u8> {
        self.room.lock().unwrap()[self.partition].0.to_string().into_bytes()
    }

    fn goes_on(&self) -> bool {
        self.room.lock().unwrap()[self.partition].0 > 0
    }

    fn changes(&mut self, _: &mut Changes) {}

    fn held(&self) -> usize {
        0
    }
}

#[test]
fn a_stage_that_takes_no_more_is_not_read_for_until_it_does() {
    for on in On::EACH {
        let world = World::on(on, RuntimeSettings { commit_interval: Duration::from_secs(1), ..RuntimeSettings::default() });
        let room: Room = Arc::new(Mutex::new(vec![(0, vec![]), (1000, vec![])]));
        let shared = Arc::clone(&room);
        let make: platform_core::pipeline::MakeKeyed =
            Box::new(move |partition| Box::new(Shelf { room: Arc::clone(&shared), partition: partition as usize }));
        let parts = KeyedParts { make: Arc::new(make), format: 1, stores: Arc::new(world.stores.clone()) };
        let setup = world.setup("shelf", 0, &[partials()]);
        let reader = world.reader(&setup);
        let mut task = KeyedTask::new(setup, parts, reader).unwrap();
        let wanted: Vec<String> = (0..9).map(|n| format!("{n}")).collect();
        wanted.iter().for_each(|text| (0..PARTITIONS).for_each(|partition| world.write(&partials(), partition, text)));
        // Room for two more at a time, and none in between.
        for step in 0..400 {
            task.go().unwrap();
            world.clock.advance(Duration::from_millis(300));
            let mut room = room.lock().unwrap();
            if step % 50 == 49 && room[0].0 == 0 {
                assert!(room[0].1.len() < wanted.len() || step > 250, "it comes piece by piece");
                room[0].0 = 2;
            }
        }
        {
            let room = room.lock().unwrap();
            assert_eq!((&room[0].1, &room[1].1), (&wanted, &wanted), "on {on:?} each record came once, in order");
        }
        assert!(!task.has_uncommitted());

        // No record comes, but what it keeps beside its position is another.
        let committed = || {
            let committed = world.log.committed("words.shelf", &Partition::new(&partials(), 0)).unwrap().unwrap();
            (committed.offset, Beside::decode(&committed.metadata, committed.offset).unwrap().stage)
        };
        let (end, _) = committed();
        room.lock().unwrap()[0].0 = 77;
        for _ in 0..10 {
            task.go().unwrap();
            world.clock.advance(Duration::from_millis(300));
        }
        assert_eq!(committed(), (end, b"77".to_vec()), "on {on:?}");
        // At an orderly stop too, without waiting for the interval.
        room.lock().unwrap()[0].0 = 78;
        assert!(task.drain(Duration::ZERO).unwrap());
        assert_eq!(committed(), (end, b"78".to_vec()), "on {on:?}");
    }
}

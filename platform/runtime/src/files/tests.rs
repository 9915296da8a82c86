use super::*;
use std::io::Write;

/// Partition, position, text.
type Lines = Vec<(u32, u64, Vec<u8>)>;

/// All lines of all records by position, through `readers` readers in turn.
fn lines(paths: &[&Path], framing: Framing, readers: usize, joined: bool) -> Lines {
    let read = Arc::new(AtomicU64::new(0));
    let inputs = paths.iter().map(|p| Input::open(p, &read).unwrap()).collect();
    let files = Files::new(inputs, framing, joined, read);
    let mut readers: Vec<_> = (0..readers).map(|_| files.reader()).collect();
    let (mut all, mut live) = (Vec::new(), readers.len());
    while live > 0 {
        live = 0;
        for reader in &mut readers {
            match reader.poll(Duration::MAX).unwrap() {
                Polled::Batch(batch) => {
                    for record in batch.iter() {
                        let mut at = record.offset.0;
                        for line in record.value.unwrap().split_inclusive(|b| *b == b'\n') {
                            all.push((batch.partition.index, at, line.trim_ascii_end().to_vec()));
                            at += line.len() as u64;
                        }
                    }
                    live += 1;
                }
                Polled::Assigned(_) => live += 1,
                Polled::Nothing => {}
            }
        }
    }
    all.sort();
    all
}

/// Lines of very different lengths, some far longer than a block, the last without a line break.
fn sample() -> (Vec<u8>, Lines) {
    let (mut bytes, mut expected) = (Vec::new(), Vec::new());
    for n in 0..4000_usize {
        let length = match n % 997 {
            0 => 3 * BLOCK as usize + n,
            1 => BLOCK as usize,
            k => k,
        };
        let line = vec![b'a' + (n % 26) as u8; length + 1];
        expected.push((0, bytes.len() as u64, line.clone()));
        bytes.extend_from_slice(&line);
        if n < 3999 {
            bytes.push(b'\n');
        }
    }
    (bytes, expected)
}

#[test]
fn every_line_is_read_once_at_its_place_whatever_the_packing_and_the_number_of_readers() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, expected) = sample();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, &bytes).unwrap();
    let zipped = folder.path().join("zipped");
    let mut gzip = flate2::write::GzEncoder::new(File::create(&zipped).unwrap(), flate2::Compression::fast());
    gzip.write_all(&bytes).unwrap();
    gzip.finish().unwrap();
    let zstd = folder.path().join("zstd");
    std::fs::write(&zstd, zstd::encode_all(bytes.as_slice(), 1).unwrap()).unwrap();
    for path in [&plain, &zipped, &zstd] {
        for readers in [1, 3] {
            assert!(lines(&[path], Framing::Blocks, readers, false) == expected, "{} with {readers}", path.display());
        }
        assert!(lines(&[path], Framing::Lines, 1, false) == expected, "{} by lines", path.display());
    }
}

#[test]
fn joined_files_are_one_partition_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("1"), folder.path().join("2"));
    std::fs::write(&one, "a\nb\n").unwrap();
    std::fs::write(&two, "c\n").unwrap();
    let apart = lines(&[&one, &two], Framing::Blocks, 1, false);
    assert_eq!(apart, [(0, 0, b"a".to_vec()), (0, 2, b"b".to_vec()), (1, 0, b"c".to_vec())]);
    let joined = lines(&[&one, &two], Framing::Blocks, 1, true);
    assert_eq!(joined, [(0, 0, b"a".to_vec()), (0, 2, b"b".to_vec()), (0, 4, b"c".to_vec())]);
}

#[test]
fn a_document_is_one_record_and_a_huge_one_is_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("doc");
    std::fs::write(&path, "[\n1\n]\n").unwrap();
    let read = Arc::new(AtomicU64::new(0));
    let all = |limit| {
        let files = Files::new(vec![Input::open(&path, &read).unwrap()], Framing::Document(limit), false, Arc::clone(&read));
        let mut reader = files.reader();
        reader.poll(Duration::ZERO).unwrap();
        match reader.poll(Duration::ZERO) {
            Ok(Polled::Batch(batch)) => Ok(batch.iter().map(|r| r.value.unwrap().to_vec()).collect::<Vec<_>>()),
            other => Err(format!("{other:?}")),
        }
    };
    assert_eq!(all(100).unwrap(), [b"[\n1\n]\n".to_vec()]);
    assert!(all(3).unwrap_err().contains("split it"));
}

#[test]
fn what_cannot_be_opened_is_named() {
    let read = Arc::new(AtomicU64::new(0));
    let message = |path: &str| Input::open(Path::new(path), &read).map(drop).unwrap_err().to_string();
    assert!(message("/no/such/file").contains("/no/such/file"));
    assert!(message("/").contains("folder"));
}

//! Files as a bounded source: plain, gzip or zstd, and standard input, read once, by one thread or several.
//!
//! A *line* input is cut into blocks of whole lines, a record each; a line belongs to the block in which it starts. Blocks lie at fixed
//! places, so a record's offset (its byte position in the uncompressed file) is the same whoever reads it. Plain files are read by several
//! threads at once, streams by one at a time. A *document* input is one record. Nothing is decoded here.

use flate2::read::MultiGzDecoder;
use platform_core::log::{Assignment, Claim, Committed, LogError, Polled, Positions, Reader};
use platform_core::record::{BatchBuffer, Offset, Partition, Topic};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes of a block of lines: large enough that a read costs nothing per line, small enough that the state of hot series stays in the
/// second-level cache beside it.
const BLOCK: u64 = 128 * 1024;
/// Bytes of the start of a file that are looked at to tell what it is.
pub const SAMPLE: usize = 64 * 1024;

/// How a file is cut into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Blocks of many whole lines.
    Blocks,
    /// A record for each line.
    Lines,
    /// The whole file is one record, of at most this many bytes.
    Document(u64),
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system says no.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// One input, opened.
pub struct Input {
    path: PathBuf,
    content: Content,
    /// Bytes on disk, where known: for progress.
    size: Option<u64>,
    sample: Vec<u8>,
}

enum Content {
    Plain { file: File, size: u64 },
    Stream(Box<dyn Read + Send>),
}

impl Input {
    /// Opens a file, or standard input for `-`. Compression is told by the first bytes. `read` counts bytes taken from the disk.
    ///
    /// # Errors
    /// When the file cannot be opened or its start cannot be read.
    pub fn open(path: &Path, read: &Arc<AtomicU64>) -> Result<Self, FileError> {
        let failed = |source| FileError::Io { path: path.to_owned(), source };
        if path == Path::new("-") {
            return Self::stream(path, Box::new(io::stdin()), None, read).map_err(failed);
        }
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        if meta.is_dir() {
            return Err(failed(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder: name the files in it")));
        }
        let mut start = [0; 4];
        let known = if meta.is_file() { file.read_at(&mut start, 0).map_err(failed)? } else { 0 };
        if !meta.is_file() || is_compressed(start.get(..known).unwrap_or_default()) {
            return Self::stream(path, Box::new(file), meta.is_file().then_some(meta.len()), read).map_err(failed);
        }
        let mut sample = vec![0; SAMPLE];
        let length = file.read_at(&mut sample, 0).map_err(failed)?;
        sample.truncate(length);
        Ok(Self { path: path.to_owned(), content: Content::Plain { file, size: meta.len() }, size: Some(meta.len()), sample })
    }

    fn stream(path: &Path, raw: Box<dyn Read + Send>, size: Option<u64>, read: &Arc<AtomicU64>) -> io::Result<Self> {
        let mut counted = BufReader::with_capacity(BLOCK as usize, Counted { raw, read: Arc::clone(read) });
        let start = io::BufRead::fill_buf(&mut counted)?.to_vec();
        let mut plain: Box<dyn Read + Send> = match start.as_slice() {
            [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(counted)),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(counted)?),
            _ => Box::new(counted),
        };
        let mut sample = Vec::new();
        plain.by_ref().take(SAMPLE as u64).read_to_end(&mut sample)?;
        let content = Content::Stream(Box::new(io::Cursor::new(sample.clone()).chain(plain)));
        Ok(Self { path: path.to_owned(), content, size, sample })
    }

    /// The first bytes, uncompressed.
    #[must_use]
    pub fn sample(&self) -> &[u8] {
        &self.sample
    }

    /// Bytes on disk, where known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }
}

fn is_compressed(start: &[u8]) -> bool {
    matches!(start, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd])
}

struct Counted {
    raw: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.raw.read(buffer)?;
        self.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

/// Inputs shared by the readers of one run.
pub struct Files {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<VecDeque<Pending>>,
    partitions: Vec<Partition>,
    read: Arc<AtomicU64>,
    framing: Framing,
}

/// An input that is not yet handed out to its end.
struct Pending {
    partition: Partition,
    path: PathBuf,
    /// What is added to positions in the file: where it begins in a joined partition.
    base: u64,
    source: Source,
}

enum Source {
    /// Blocks are read at their places, by whoever took them.
    Plain { file: Arc<File>, size: u64, next: u64 },
    /// Read in order; `rest` is what stands behind the last line break, at position `at`.
    Stream { stream: Box<dyn Read + Send>, rest: Vec<u8>, at: u64 },
}

impl Files {
    /// Inputs in order. With `joined` they are one partition, one behind the other, as one reader must read them; else each is its own.
    #[must_use]
    pub fn new(inputs: Vec<Input>, framing: Framing, joined: bool, read: Arc<AtomicU64>) -> Self {
        let mut queue = VecDeque::new();
        let mut partitions = Vec::new();
        for (index, input) in inputs.into_iter().enumerate() {
            let index = if joined { 0 } else { u32::try_from(index).unwrap_or(u32::MAX) };
            let name = if joined { "input".to_owned() } else { input.path.display().to_string() };
            let partition = Partition::new(&Topic::new(&name), index);
            if partitions.last() != Some(&partition) {
                partitions.push(partition.clone());
            }
            let source = match input.content {
                Content::Plain { file, size } => Source::Plain { file: Arc::new(file), size, next: 0 },
                Content::Stream(stream) => Source::Stream { stream, rest: vec![], at: 0 },
            };
            queue.push_back(Pending { partition, path: input.path, base: 0, source });
        }
        Self { shared: Arc::new(Shared { queue: Mutex::new(queue), partitions, read, framing }) }
    }

    /// A reader that takes its turn with the others. Joined inputs, and lines, which have an order, need exactly one.
    #[must_use]
    pub fn reader(&self) -> Box<dyn Reader> {
        Box::new(FileReader {
            shared: Arc::clone(&self.shared),
            buffer: BatchBuffer::default(),
            block: vec![],
            positions: Positions::new(),
            assigned: false,
        })
    }
}

/// One of the readers. Its positions are behind what it has read itself.
struct FileReader {
    shared: Arc<Shared>,
    buffer: BatchBuffer,
    block: Vec<u8>,
    positions: Positions,
    assigned: bool,
}

/// A block to be read: from where, or what was read already.
enum Taken {
    Plain { file: Arc<File>, from: u64, size: u64 },
    Read { from: u64 },
}

impl FileReader {
    /// Takes the next block of the first input that has one. Streams are read here, under the lock: their order is their only place.
    fn take(&mut self) -> Result<Option<(Partition, PathBuf, u64, Taken)>, FileError> {
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(pending) = queue.front_mut() {
            let failed = |path: &Path, source| FileError::Io { path: path.to_owned(), source };
            let whole = match self.shared.framing {
                Framing::Document(limit) => Some(limit),
                _ => None,
            };
            let (taken, end) = match &mut pending.source {
                Source::Plain { file, size, next } if *next < *size => {
                    let from = *next;
                    *next = if whole.is_some() { *size } else { (from + BLOCK).min(*size) };
                    (Some(Taken::Plain { file: Arc::clone(file), from, size: *size }), *size)
                }
                Source::Plain { size, .. } => (None, *size),
                Source::Stream { stream, rest, at } => {
                    let from = *at;
                    self.block.clear();
                    self.block.append(rest);
                    let length = fill(stream, whole, &mut self.block, rest).map_err(|e| failed(&pending.path, e))?;
                    *at += length as u64;
                    ((length > 0).then_some(Taken::Read { from }), *at)
                }
            };
            if let Some(taken) = taken {
                return Ok(Some((pending.partition.clone(), pending.path.clone(), pending.base, taken)));
            }
            let (partition, base) = (pending.partition.clone(), pending.base + end);
            queue.pop_front();
            if let Some(next) = queue.front_mut().filter(|n| n.partition == partition) {
                next.base = base;
            }
        }
        Ok(None)
    }

    /// Fills `block`; says where in its input the first whole line begins, and where in the block.
    fn read(&mut self, path: &Path, taken: Taken) -> Result<(u64, usize), FileError> {
        let (file, from, size) = match taken {
            Taken::Read { from } => return Ok((from, 0)),
            Taken::Plain { file, from, size } => (file, from, size),
        };
        let failed = |source| FileError::Io { path: path.to_owned(), source };
        if let Framing::Document(limit) = self.shared.framing {
            too_large(size, limit).map_err(failed)?;
            read_at(&file, 0..size, &mut self.block, 0).map_err(failed)?;
            self.shared.read.fetch_add(size, Ordering::Relaxed);
            return Ok((0, 0));
        }
        let end = (from + BLOCK).min(size);
        // One byte more in front tells whether a line starts exactly here.
        let before = from.saturating_sub(1);
        read_at(&file, before..end, &mut self.block, 0).map_err(failed)?;
        let mut at = end;
        while at < size && self.block.last() != Some(&b'\n') {
            let more = (at + 4096).min(size);
            let old = self.block.len();
            read_at(&file, at..more, &mut self.block, old).map_err(failed)?;
            if let Some(stop) = self.block.get(old..).and_then(|b| memchr::memchr(b'\n', b)) {
                self.block.truncate(old + stop + 1);
            }
            at = more;
        }
        let skip = if from == 0 { 0 } else { memchr::memchr(b'\n', &self.block).map_or(self.block.len(), |n| n + 1) };
        // A line that began before this block and ends behind it belongs to an earlier one.
        let begins = before + skip as u64;
        let skip = if from > 0 && begins > end { self.block.len() } else { skip };
        self.shared.read.fetch_add(end - from, Ordering::Relaxed);
        Ok((begins, skip))
    }
}

/// Adds a block of whole lines from a stream to `block`, leaves what stands behind them in `rest`, and says how long the block is.
fn fill(stream: &mut Box<dyn Read + Send>, whole: Option<u64>, block: &mut Vec<u8>, rest: &mut Vec<u8>) -> io::Result<usize> {
    let wanted = whole.map_or(BLOCK, |limit| limit + 1);
    let mut scanned = block.len();
    loop {
        let got = stream.by_ref().take(wanted).read_to_end(block)?;
        if let Some(limit) = whole {
            too_large(block.len() as u64, limit)?;
            return Ok(block.len());
        }
        if got == 0 {
            return Ok(block.len());
        }
        if let Some(stop) = block.get(scanned..).and_then(|b| memchr::memrchr(b'\n', b)) {
            rest.extend(block.drain(scanned + stop + 1..));
            return Ok(block.len());
        }
        scanned = block.len();
    }
}

fn too_large(size: u64, limit: u64) -> io::Result<()> {
    if size <= limit {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("one document of more than {} MiB: split it, or write one record a line", limit >> 20),
    ))
}

/// Reads these bytes of a file to the place `at` of `into`, where they end. Memory that is there is used again without being cleared.
fn read_at(file: &File, bytes: Range<u64>, into: &mut Vec<u8>, at: usize) -> io::Result<()> {
    let length = usize::try_from(bytes.end.saturating_sub(bytes.start)).map_err(io::Error::other)?;
    into.resize(at + length, 0);
    file.read_exact_at(into.get_mut(at..).unwrap_or_default(), bytes.start)
}

impl Reader for FileReader {
    fn poll(&mut self, _wait: Duration) -> Result<Polled<'_>, LogError> {
        if !self.assigned {
            self.assigned = true;
            let claim = Claim { group: "files".to_owned(), member: 0, generation: 0 };
            let partitions = self.shared.partitions.iter().map(|p| (p.clone(), Some(Committed::default()))).collect();
            return Ok(Polled::Assigned(Assignment { claim, partitions }));
        }
        loop {
            let engine = |e: FileError| LogError::Engine(e.to_string());
            let Some((partition, path, base, taken)) = self.take().map_err(engine)? else { return Ok(Polled::Nothing) };
            let (begins, skip) = self.read(&path, taken).map_err(engine)?;
            let end = self.block.len();
            if skip == end {
                continue;
            }
            let offset = |at: usize| Offset(base + begins + (at - skip) as u64);
            if self.shared.framing == Framing::Lines {
                self.buffer.start(&partition);
                let mut at = skip;
                for line in self.block.get(skip..).unwrap_or_default().split_inclusive(|b| *b == b'\n') {
                    if !line.trim_ascii().is_empty() {
                        self.buffer.push(offset(at), None, None, &[], Some(line.trim_ascii_end()));
                    }
                    at += line.len();
                }
            } else {
                self.block = self.buffer.start_on(&partition, std::mem::take(&mut self.block));
                self.buffer.push_lying(offset(skip), None, skip..end);
            }
            if self.buffer.is_empty() {
                continue;
            }
            self.positions.insert(partition, offset(end));
            // The batch was started above, so there is one.
            return Ok(self.buffer.batch().map_or(Polled::Nothing, Polled::Batch));
        }
    }

    fn seek(&mut self, _to: &Positions) -> Result<(), LogError> {
        Err(LogError::Engine("a file is read once".to_owned()))
    }

    fn pause(&mut self, _: &std::collections::BTreeSet<Partition>) -> Result<(), LogError> {
        Err(LogError::Engine("a file is read in one go".into()))
    }

    fn position(&self, of: &Partition) -> Offset {
        self.positions.get(of).copied().unwrap_or_default()
    }

    fn end(&self, _of: &Partition) -> Result<Option<Offset>, LogError> {
        // Whether the end has come is known by reading on; a bounded input makes no idle claims.
        Ok(None)
    }
}

#[cfg(test)]
mod tests;

//! Files of lines in one folder, each begun when the one before is full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use audit_record::{Failure, Record};

/// Largest file, if the settings do not say.
const BYTES_MAX: u64 = 16 << 20;
/// How many files are kept, if the settings do not say.
const FILES_MAX: u64 = 16;
/// Least that the settings may say of a file's size.
const BYTES_LEAST: u64 = 1 << 10;
/// Most files that the settings may ask for.
const FILES_MOST: u64 = 10_000;
/// Most entries of the folder that are looked at.
const ENTRIES_MAX: usize = 100_000;
/// How much is read at once when the end of the last whole line is looked for.
const CHUNK_BYTES: u64 = 64 << 10;

/// How large and how many files may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Largest file, in bytes; a line that is larger is a file of its own.
    pub bytes_max: u64,
    /// How many files are kept.
    pub files_max: u64,
}

impl Settings {
    /// Reads the settings. What cannot be right is not guessed: nothing is written until it is mended.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let number = |key: &str, usual: u64, least: u64, most: u64| match get(key) {
            None => Ok(usual),
            Some(text) => {
                text.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
                    Failure::Retry(format!("the setting `{key}` is no number from {least} to {most}"))
                })
            }
        };
        Ok(Self {
            bytes_max: number("bytes_max", BYTES_MAX, BYTES_LEAST, u64::MAX)?,
            files_max: number("files_max", FILES_MAX, 1, FILES_MOST)?,
        })
    }
}

/// Adds the records to the files in their order. All of them are on the disk when it returns.
pub fn deliver(folder: &Path, settings: &Settings, records: &[Record]) -> Result<(), Failure> {
    let mut lines = Vec::with_capacity(records.len());
    for record in records {
        let mut line = record.json()?;
        line.push('\n');
        lines.push(line);
    }
    write(folder, settings, &lines).map_err(|(doing, error)| {
        // The words of the kind are the same on every system, and name no place.
        Failure::Retry(format!("cannot {doing}: {}", error.kind()))
    })
}

/// What was being done when it failed, and how it failed.
type Problem = (&'static str, io::Error);

fn write(folder: &Path, settings: &Settings, lines: &[String]) -> Result<(), Problem> {
    let mut numbers = numbers(folder).map_err(|error| ("list the folder", error))?;
    let mut number = numbers.last().copied().unwrap_or(1);
    let mut rest = lines;
    while !rest.is_empty() {
        let path = file(folder, number);
        let size = whole(&path)?;
        let count = fitting(rest, size, settings.bytes_max);
        if count == 0 {
            number += 1;
            continue;
        }
        let (now, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        append(&path, size, &now.concat())?;
        if numbers.last() != Some(&number) {
            numbers.push(number);
            // So that the new name lasts; where a folder cannot be flushed, its file was.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        rest = later;
    }
    let kept = usize::try_from(settings.files_max).unwrap_or(usize::MAX);
    let surplus = numbers.len().saturating_sub(kept);
    for number in numbers.into_iter().take(surplus) {
        fs::remove_file(file(folder, number)).map_err(|error| ("remove the oldest file", error))?;
    }
    Ok(())
}

/// How many of the lines have room in a file of this size. One line always has in an empty file.
fn fitting(lines: &[String], size: u64, bytes_max: u64) -> usize {
    let mut filled = size;
    let fits = |line: &&String| {
        let bytes = line.len() as u64;
        let fits = filled == 0 || filled.saturating_add(bytes) <= bytes_max;
        filled = filled.saturating_add(bytes);
        fits
    };
    lines.iter().take_while(fits).count()
}

fn file(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("audit-{number:08}.jsonl"))
}

/// The numbers of the files, in their order.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for (at, entry) in fs::read_dir(folder)?.enumerate() {
        if at >= ENTRIES_MAX {
            return Err(io::Error::from(ErrorKind::FileTooLarge));
        }
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("audit-")?.strip_suffix(".jsonl"));
        let number =
            number.filter(|digits| digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit()));
        numbers.extend(number.and_then(|digits| digits.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// The size of a file, after a line at its end that was never finished is cut off. 0 where there is none.
fn whole(path: &Path) -> Result<u64, Problem> {
    let size = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        // What is written through a link could end anywhere.
        Ok(_) => return Err(("write: what has the name of a file is none", ErrorKind::AlreadyExists.into())),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(("look at the last file", error)),
    };
    let mend = || -> io::Result<u64> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut end = size;
        while end > 0 {
            let begin = end.saturating_sub(CHUNK_BYTES);
            let mut chunk = Vec::new();
            file.seek(SeekFrom::Start(begin))?;
            (&mut file).take(end - begin).read_to_end(&mut chunk)?;
            if let Some(at) = chunk.iter().rposition(|byte| *byte == b'\n') {
                end = begin + at as u64 + 1;
                break;
            }
            end = begin;
        }
        if end < size {
            file.set_len(end)?;
            file.sync_all()?;
        }
        Ok(end)
    };
    mend().map_err(|error| ("mend the last file", error))
}

/// Adds a text to a file of this size and waits until it is on the disk. What could be written of it is taken
/// back when not all could.
fn append(path: &Path, size: u64, text: &str) -> Result<(), Problem> {
    let add = |file: &mut File| -> io::Result<()> {
        file.seek(SeekFrom::Start(size))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| ("open the file", error))?;
    add(&mut file).map_err(|error| {
        // The next delivery mends what is left.
        let _ = file.set_len(size);
        ("write", error)
    })
}

#[cfg(test)]
mod tests;

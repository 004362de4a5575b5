//! Runs that are under way now, and the most that operations ever used.

use loong_kernel::{LedgerError, Peak, Peaks};
use loong_manifest::{Digest, OperationName};
use rusqlite::{Transaction, TransactionBehavior, params};

use crate::Store;
use crate::approvals::{ms, unsigned};
use crate::store::unwritten as failed;

/// Most runs that are kept as under way. Those of processes that ended otherwise are among them until they are looked at.
const RUNNING_MAX: i64 = 1_000;

/// A process of this machine. Its number alone is used again by the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub id: u32,
    /// When it started, in the clock ticks of the system.
    pub start: u64,
}

/// A run that is under way, or was when its process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningRun {
    /// The run.
    pub run: String,
    /// The process that it runs in.
    pub process: Process,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// What was asked for.
    pub request: String,
}

impl Store {
    /// Notes that a run is under way.
    pub async fn begin_run(&self, run: &str, process: Process, request: &str) -> Result<(), LedgerError> {
        let (run, request, now_ms) = (run.to_owned(), request.to_owned(), self.now_ms());
        self.work(move |connection| {
            let write = || -> rusqlite::Result<()> {
                connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO running (run, process, process_start, started_ms, request)
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute(params![run, process.id, ms(process.start), ms(now_ms), request])?;
                connection
                    .prepare_cached(
                        "DELETE FROM running WHERE run IN
                         (SELECT run FROM running ORDER BY started_ms DESC LIMIT -1 OFFSET ?1)",
                    )?
                    .execute([RUNNING_MAX])?;
                Ok(())
            };
            write().map_err(failed)
        })
        .await
    }

    /// Notes that runs are under way no longer.
    pub async fn end_runs(&self, runs: Vec<String>) -> Result<(), LedgerError> {
        self.work(move |connection| {
            let write = || -> rusqlite::Result<()> {
                let mut delete = connection.prepare_cached("DELETE FROM running WHERE run = ?1")?;
                runs.iter().try_for_each(|run| delete.execute([run]).map(drop))
            };
            write().map_err(failed)
        })
        .await
    }

    /// The runs that are under way, the oldest first.
    pub async fn running(&self) -> Result<Vec<RunningRun>, LedgerError> {
        self.work(move |connection| {
            let read = || -> rusqlite::Result<Vec<RunningRun>> {
                let mut select = connection.prepare_cached(
                    "SELECT run, process, process_start, started_ms, request FROM running ORDER BY started_ms, run",
                )?;
                let rows = select.query_map([], |row| {
                    Ok(RunningRun {
                        run: row.get(0)?,
                        process: Process { id: row.get(1)?, start: unsigned(row.get(2)?) },
                        started_ms: unsigned(row.get(3)?),
                        request: row.get(4)?,
                    })
                })?;
                rows.collect()
            };
            read().map_err(failed)
        })
        .await
    }

    /// Adds what operations used to what they used before.
    pub async fn add_peaks(&self, peaks: Peaks) -> Result<(), LedgerError> {
        if peaks.is_empty() {
            return Ok(());
        }
        self.work(move |connection| {
            let write = || -> rusqlite::Result<()> {
                let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
                for (digest, operations) in &peaks {
                    for (operation, peak) in operations {
                        let usage = peak.most;
                        transaction
                            .prepare_cached(
                                "INSERT INTO peak (digest, operation, calls, failures, duration_us, fuel, memory_bytes,
                                     output_bytes, cpu_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                                 ON CONFLICT DO UPDATE SET calls = calls + excluded.calls,
                                     failures = failures + excluded.failures,
                                     duration_us = max(duration_us, excluded.duration_us),
                                     fuel = max(fuel, excluded.fuel),
                                     cpu_us = max(cpu_us, excluded.cpu_us),
                                     memory_bytes = max(memory_bytes, excluded.memory_bytes),
                                     output_bytes = max(output_bytes, excluded.output_bytes)",
                            )?
                            .execute(params![
                                digest.as_bytes(),
                                operation.to_string(),
                                ms(peak.calls),
                                ms(peak.failures),
                                ms(usage.duration_us),
                                ms(usage.fuel),
                                ms(usage.memory_peak_bytes),
                                ms(usage.output_bytes),
                                ms(usage.cpu_us),
                            ])?;
                    }
                }
                transaction.commit()
            };
            write().map_err(failed)
        })
        .await
    }

    /// The most that the operations of a component ever used.
    pub async fn peaks(&self, digest: &Digest) -> Result<Vec<(OperationName, Peak)>, LedgerError> {
        let digest = *digest;
        self.work(move |connection| {
            let read = || -> rusqlite::Result<Vec<(String, Peak)>> {
                let mut select = connection.prepare_cached(
                    "SELECT operation, calls, failures, duration_us, fuel, memory_bytes, output_bytes, cpu_us FROM peak
                     WHERE digest = ?1 ORDER BY operation",
                )?;
                let rows = select.query_map([digest.as_bytes()], |row| {
                    let number = |column: usize| row.get::<_, i64>(column).map(unsigned);
                    let mut peak = Peak { calls: number(1)?, failures: number(2)?, ..Peak::default() };
                    peak.most.duration_us = number(3)?;
                    peak.most.fuel = number(4)?;
                    peak.most.memory_peak_bytes = number(5)?;
                    peak.most.output_bytes = number(6)?;
                    peak.most.cpu_us = number(7)?;
                    Ok((row.get(0)?, peak))
                })?;
                rows.collect()
            };
            let rows = read().map_err(failed)?;
            Ok(rows.into_iter().filter_map(|(name, peak)| Some((name.parse().ok()?, peak))).collect())
        })
        .await
    }
}

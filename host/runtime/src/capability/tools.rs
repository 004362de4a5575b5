//! `loong:host/tools`: operations of other plugins, by name and with JSON.

use loong_kernel::{Fault, Nested};
use loong_manifest::Blame;

use super::{HostError, invalid};
use crate::bindings::host::{tools, types};
use crate::executor::{Arguments, Output, Runtime};
use crate::guest::Guest;

/// Most calls in one batch.
const BATCH_MAX: usize = 64;

/// A fault of a callee as its caller sees it. Faults of the host, and the caller's own deadline, stop the
/// caller too.
fn failed(fault: Fault) -> HostError {
    let code = fault.code();
    match fault {
        Fault::Denied { reason, .. } => super::denied(code, "operation", &reason),
        Fault::NeedsApproval { .. } => HostError::Stop(fault),
        Fault::Unknown { operation } => types::Error::NotFound(operation).into(),
        Fault::Arguments { problem } => invalid("arguments-json", &problem),
        Fault::Deadline { deadline_ms } => types::Error::Deadline(deadline_ms).into(),
        _ if code.blame() == Blame::Host => HostError::Stop(fault),
        _ => types::Error::Failed(types::Failure {
            code: code.as_str().replace('_', "-"),
            message: fault.to_string(),
        })
        .into(),
    }
}

async fn call_tool(
    nested: &Nested<Runtime>,
    operation: &str,
    arguments_json: &str,
) -> Result<String, HostError> {
    // Bounded, as the host holds parsed JSON in a hundred times its size; without duplicate keys.
    let arguments = loong_manifest::strict::read(arguments_json.as_bytes())
        .map_err(|error| invalid("arguments-json", &crate::fault::said(&error.to_string())))?;
    match super::call(nested, operation, Arguments::Json(arguments)).await.map_err(failed)? {
        Output::Json(value) => Ok(value.to_string()),
        Output::Values(_) => {
            Err(HostError::Stop(Fault::Host { problem: "values where JSON was asked".into() }))
        }
    }
}

impl tools::Host for Guest {
    async fn search(&mut self, query: String, limit: u32) -> Result<Vec<tools::ToolSummary>, HostError> {
        let found = self.nested.search(&query).await?;
        Ok(found
            .into_iter()
            .take(limit as usize)
            .map(|tool| tools::ToolSummary {
                operation: tool.operation.to_string(),
                summary: tool.doc.unwrap_or_default(),
                input_schema: tool.input.to_string(),
            })
            .collect())
    }

    async fn call(&mut self, operation: String, arguments_json: String) -> Result<String, HostError> {
        call_tool(&self.nested, &operation, &arguments_json).await
    }

    async fn batch(
        &mut self,
        calls: Vec<tools::ToolCall>,
    ) -> wasmtime::Result<Vec<Result<String, types::Error>>> {
        let mut results = Vec::new();
        for (position, call) in calls.into_iter().enumerate() {
            if position >= BATCH_MAX {
                let limit = types::Limit {
                    name: "batch-calls".into(),
                    maximum: BATCH_MAX as u64,
                    used: position as u64 + 1,
                };
                results.push(Err(types::Error::Limit(limit)));
                continue;
            }
            results.push(match call_tool(&self.nested, &call.operation, &call.arguments_json).await {
                Ok(result) => Ok(result),
                Err(HostError::Guest(error)) => Err(error),
                Err(HostError::Stop(fault)) => return Err(crate::fault::Stop(fault).into()),
            });
        }
        Ok(results)
    }
}

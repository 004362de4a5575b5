//! Named limits on everything a guest controls.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which limit was exceeded, as it is printed and recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitName {
    /// Sum of all linear memories of the instance, in bytes.
    MemoryBytes,
    /// Sum of all tables of the instance, in elements.
    TableElements,
    /// Core instances, memories or tables in one component.
    Instances,
    /// Guest stack, in bytes.
    StackBytes,
    /// Guest instructions, in units of fuel.
    Fuel,
    /// CPU time of one call, in milliseconds.
    CpuMs,
    /// CPU time of all calls of a plugin in one run, in milliseconds.
    RunCpuMs,
    /// CPU time of all calls of a plugin in this process, in milliseconds for each minute.
    MinuteCpuMs,
    /// Bytes that one call makes the host copy in or out.
    HostCopyBytes,
    /// Handles that the guest holds at once.
    Resources,
    /// Nested calls between components.
    Depth,
    /// Calls that one run makes in all.
    Calls,
    /// Calls and effects that one run is refused.
    Refusals,
    /// Other machines that one run reaches.
    EgressHosts,
    /// Requests and connections to other machines in one call.
    Requests,
    /// Requests and connections to other machines that are open at once.
    RequestsAtOnce,
    /// Bytes sent to another machine in one request or connection.
    RequestBytes,
    /// Bytes that another machine sends in one response or connection.
    ResponseBytes,
    /// Bytes of the headers of a request or a response.
    HeaderBytes,
    /// Requests for approvals that wait at once.
    WaitingApprovals,
    /// Calls under way at once in the process.
    ConcurrentCalls,
    /// Bytes of log text in one call.
    LogBytes,
    /// Log lines in one call.
    LogLines,
    /// Bytes on standard output and standard error together, in one call.
    OutputBytes,
    /// Bytes pushed to whoever watches the run, in one call.
    StreamBytes,
    /// Bytes of keys and values in a key-value space.
    KvBytes,
    /// Processes started in one call.
    Processes,
    /// Bytes that one process printed.
    ProcessOutputBytes,
    /// Random bytes drawn in one request.
    RandomBytes,
    /// Bytes of the component file.
    ComponentBytes,
}

impl LimitName {
    /// The limit as it is printed and recorded.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MemoryBytes => "memory_bytes",
            Self::TableElements => "table_elements",
            Self::Instances => "instances",
            Self::StackBytes => "stack_bytes",
            Self::Fuel => "fuel",
            Self::CpuMs => "cpu_ms",
            Self::RunCpuMs => "run_cpu_ms",
            Self::MinuteCpuMs => "minute_cpu_ms",
            Self::HostCopyBytes => "host_copy_bytes",
            Self::Resources => "resources",
            Self::Depth => "depth",
            Self::Calls => "calls",
            Self::Refusals => "refusals",
            Self::EgressHosts => "egress_hosts",
            Self::Requests => "requests",
            Self::RequestsAtOnce => "requests_at_once",
            Self::RequestBytes => "request_bytes",
            Self::ResponseBytes => "response_bytes",
            Self::HeaderBytes => "header_bytes",
            Self::WaitingApprovals => "waiting_approvals",
            Self::ConcurrentCalls => "concurrent_calls",
            Self::LogBytes => "log_bytes",
            Self::LogLines => "log_lines",
            Self::OutputBytes => "output_bytes",
            Self::StreamBytes => "stream_bytes",
            Self::KvBytes => "kv_bytes",
            Self::Processes => "processes",
            Self::ProcessOutputBytes => "process_output_bytes",
            Self::RandomBytes => "random_bytes",
            Self::ComponentBytes => "component_bytes",
        }
    }
}

impl std::fmt::Display for LimitName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How guest CPU is bounded. Part of the engine's configuration and of an artifact's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Meter {
    /// Deadline and fair time slices only.
    Epoch,
    /// Epochs, and an exact budget of instructions.
    EpochAndFuel,
}

impl Meter {
    /// The meter as it is printed and recorded.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Epoch => "epoch",
            Self::EpochAndFuel => "epoch-and-fuel",
        }
    }
}

/// What one call of a plugin may use. Every number is a maximum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Wall-clock time of one call, host calls and nested calls included, in milliseconds.
    pub deadline_ms: u64,
    /// Guest instructions of one call in units of fuel; counted only under [`Meter::EpochAndFuel`].
    pub fuel_max: u64,
    /// CPU time of one call, in milliseconds: that of the guest, and of what the host does for it on the same thread.
    pub cpu_ms_max: u64,
    /// CPU time of all calls of the plugin in one run, in milliseconds.
    pub run_cpu_ms_max: u64,
    /// CPU time of all calls of the plugin in one process, in milliseconds for each minute. What is not used is kept
    /// for one minute.
    pub minute_cpu_ms_max: u64,
    /// Sum over all linear memories of the instance, in bytes.
    pub memory_bytes_max: u64,
    /// Sum over all tables of the instance, in elements.
    pub table_elements_max: u64,
    /// Core instances (and memories, and tables) in one component.
    pub instances_max: u32,
    /// Bytes that one crossing between guest and host may copy.
    pub host_copy_bytes_max: u64,
    /// Handles that the guest may hold at once.
    pub resources_max: u32,
    /// Random bytes in one request.
    pub random_bytes_max: u64,
    /// Bytes of log text in one call.
    pub log_bytes_max: u64,
    /// Log lines in one call.
    pub log_lines_max: u32,
    /// Bytes on standard output and standard error together, in one call.
    pub output_bytes_max: u64,
    /// Bytes pushed to whoever watches the run, in one call.
    pub stream_bytes_max: u64,
    /// Bytes of keys and values in the plugin's key-value space.
    pub kv_bytes_max: u64,
    /// Processes started in one call.
    pub processes_max: u32,
    /// Bytes that one process may print before it is cut off.
    pub process_output_bytes_max: u64,
    /// Requests and connections to other machines in one call.
    pub requests_max: u32,
    /// Requests and connections that are open at once in one call.
    pub requests_at_once_max: u32,
    /// Bytes of the body of one request, or sent over one connection.
    pub request_bytes_max: u64,
    /// Bytes of the body of one response, or received over one connection.
    pub response_bytes_max: u64,
    /// Bytes of the headers of one request, and again of one response.
    pub header_bytes_max: u64,
    /// Time to find a host and connect to it, TLS included, in milliseconds.
    pub connect_ms_max: u64,
    /// Time from the end of a request to the head of its response, and between two parts of a response, in
    /// milliseconds. The deadline of the call is over everything.
    pub wait_ms_max: u64,
    /// Nested calls between components.
    pub depth_max: u32,
    /// Bytes of the component file.
    pub component_bytes_max: u64,
}

/// What a manifest asks for. Less than its tier allows is taken as asked; more is refused at admission.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsAsked {
    /// Wall-clock time of one call, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Guest instructions of one call, in units of fuel. Asking for it turns the exact meter on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel_max: Option<u64>,
    /// CPU time of one call, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms_max: Option<u64>,
    /// CPU time of all calls in one run, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_cpu_ms_max: Option<u64>,
    /// CPU time of all calls in one process, in milliseconds for each minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minute_cpu_ms_max: Option<u64>,
    /// Sum over all linear memories, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes_max: Option<u64>,
    /// Bytes on standard output and standard error together, in one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes_max: Option<u64>,
    /// Processes started in one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes_max: Option<u32>,
    /// Requests and connections to other machines in one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_max: Option<u32>,
    /// Bytes of the body of one request, or sent over one connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_bytes_max: Option<u64>,
    /// Bytes of the body of one response, or received over one connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_bytes_max: Option<u64>,
}

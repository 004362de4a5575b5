//! Pure data shared by every crate of Loong: identifiers, digests, tiers, capabilities, limits,
//! the manifest, and the one list of public error codes. Nothing here reads a file, a clock or the
//! environment.

pub mod canonical;
mod capability;
mod code;
mod confinement;
pub mod contract;
mod digest;
mod egress;
mod host;
mod id;
mod limits;
mod manifest;
pub mod strict;
mod text;
mod tier;

pub use capability::{
    Access, Authority, Capabilities, CommandPattern, ConfigRequest, FilesystemRequest, Folder, KvRequest,
    LogRequest, ProcessRequest, StreamRequest, ToolsRequest, authority_of_import, pattern_matches,
};
pub use code::{Blame, Code};
pub use confinement::{Confinement, SandboxPlan, SandboxReport};
pub use digest::Digest;
pub use egress::{
    HttpDestination, HttpRequest, Scheme, SecretUse, SecretsRequest, TcpDestination, TcpRequest, Tls,
    address_of_setting, is_method, sites_of_setting,
};
pub use host::{Binding, Endpoint, HostError, HostName, HostPattern};
pub use id::{IdError, InterfaceName, OperationName, OperationPattern, PluginId};
pub use limits::{LimitName, Limits, LimitsAsked, Meter};
pub use manifest::{
    Compatibility, Kind, Manifest, ManifestError, OperationEntry, Risk, Route, SCHEMA_ID, Setup, Slot,
    SlotMode,
};
pub use text::{escape, escape_json, escape_lines, hidden_characters};
pub use tier::{ExecutionTier, Tier};

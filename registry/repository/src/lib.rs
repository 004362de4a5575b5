//! Repositories of components: what is published, scanned, resolved and installed. Knows nothing of the runtime; both
//! meet in the program.

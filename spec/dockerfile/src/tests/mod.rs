//! The language by example. The cases were checked against BuildKit's own parser of August 2026.

mod expand;
mod ignore;
mod instructions;
mod lint;
mod properties;

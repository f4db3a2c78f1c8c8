//! The generated modules, one a protobuf package.

/// Declares the module of a package of version 1. Lints see generated code here, which nobody edits.
macro_rules! package {
    ($(#[$meta:meta])* $name:ident = $package:literal) => {
        $(#[$meta])*
        pub mod $name {
            /// Version 1.
            #[allow(
                missing_docs,
                unreachable_pub,
                rust_2018_idioms,
                clippy::all,
                clippy::needless_pass_by_value,
                clippy::semicolon_if_nothing_returned,
                rustdoc::all,
                reason = "generated: the comments of proto/ are its documentation, and buf checks them"
            )]
            pub mod v1 {
                tonic::include_proto!($package);
            }
        }
    };
}

package! {
    /// `sluice.types`: what the other packages share.
    types = "sluice.types.v1"
}
package! {
    /// `sluice.control`: tenants, catalogue, flows and audit, served by the control plane.
    control = "sluice.control.v1"
}
package! {
    /// `sluice.executor`: Execute, served by executors.
    executor = "sluice.executor.v1"
}
package! {
    /// `sluice.distribution`: watch and audit ingest, served by the control plane to executors.
    distribution = "sluice.distribution.v1"
}

/// The descriptors of every package with their imports, encoded, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sluice_descriptors.bin"));

//! What overlayfs calls its own attributes: root's, or those of users.

use std::ffi::CStr;

use crate::namespace::is_initial_user;

/// The option of an overlay by which it keeps its marks in `user.overlay.*`: one that is mounted in
/// a user namespace has no others.
///
/// Kernel documentation, overlayfs.rst, "User xattr". Linux 5.11.
pub const USER_XATTR: &str = "userxattr";

/// The attribute of a directory that hides what lower layers have under its name; its value is `y`.
pub fn opaque() -> &'static CStr {
    if is_initial_user() { c"trusted.overlay.opaque" } else { c"user.overlay.opaque" }
}

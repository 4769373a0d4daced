//! Beside the proxy: marks on what is for a socket with a foreign address.

use super::expression::Rule;
use super::{Chain, Hook, INET, Transaction};
use crate::NetworkError;

const TABLE: &str = "kista_proxy";
/// Before the way of a packet is decided.
const MANGLE: i32 = -150;

/// Marks what arrives for transparent sockets, in the calling thread's network namespace. The table
/// is made anew, whatever it was.
pub(crate) fn mark_answers(mark: u32) -> Result<(), NetworkError> {
    let chain = Chain {
        name: "prerouting",
        hook: Some(Hook { kind: "filter", number: Hook::PREROUTING, priority: MANGLE }),
    };
    let mut transaction = Transaction::new(INET, TABLE);
    transaction.add_table("");
    transaction.delete_table();
    transaction.add_table("");
    transaction.add_chain(&chain);
    transaction.add_rule(chain.name, &Rule::default().for_transparent_sockets().set_mark(mark));
    transaction.commit(&mut super::open()?, &|| "mark answers to clients of the proxy".into())
}

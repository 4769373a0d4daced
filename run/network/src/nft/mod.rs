//! nftables by netlink: transactions of our own making. Documented in
//! include/uapi/linux/netfilter/nf_tables.h of the kernel.

mod expression;
mod guard;
mod layout;
pub(crate) mod redirect;
pub(crate) mod table;
pub(crate) mod transparent;

use crate::NetworkError;
use crate::netlink::{CREATE, Request, Socket};
use expression::Rule;

pub(crate) const INET: u8 = 1;
pub(crate) const IPV4: u8 = 2;
pub(crate) const IPV6: u8 = 10;
pub(crate) use {IPV4 as FAMILY4, IPV6 as FAMILY6};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DEL_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const GET_CHAIN: u16 = 4;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const NEW_ELEMENT: u16 = 12;
const GET_ELEMENT: u16 = 13;
const DEL_ELEMENT: u16 = 14;

/// Every message begins with one: `struct nfgenmsg`.
const HEADER_BYTES: usize = 4;

fn header(family: u8) -> [u8; HEADER_BYTES] {
    [family, 0, 0, 0]
}

const fn message(kind: u16) -> u16 {
    SUBSYSTEM << 8 | kind
}

/// Opens a conversation about nftables, in the calling thread's network namespace.
pub(crate) fn open() -> Result<Socket, NetworkError> {
    Socket::open(Some(rustix::net::netlink::NETFILTER))
}

/// A named set, or a map if it has data.
#[derive(Debug, Clone, Copy)]
struct Set {
    name: &'static str,
    key: Type,
    data: Option<Type>,
}

/// What keys and data are made of: the numbers by which nft(8) shows them, and the bytes.
#[derive(Debug, Clone, Copy)]
struct Type {
    number: u32,
    bytes: u32,
    /// In which order nft(8) is to read the bytes, if it cannot know: 1 is the host's.
    shown_in: Option<u32>,
}

/// A chain: where it hooks in, or nothing for one that is jumped to.
#[derive(Debug, Clone, Copy)]
struct Chain {
    name: &'static str,
    hook: Option<Hook>,
}

#[derive(Debug, Clone, Copy)]
struct Hook {
    kind: &'static str,
    number: u32,
    priority: i32,
}

impl Hook {
    const PREROUTING: u32 = 0;
    const FORWARD: u32 = 2;
    const OUTPUT: u32 = 3;
    const POSTROUTING: u32 = 4;
}

/// One element of a set or map, in the kernel's form.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Element {
    key: Vec<u8>,
    data: Vec<u8>,
    /// Shown by nft(8) as a comment; empty for none.
    comment: String,
}

/// Changes that become true at once or not at all.
#[derive(Debug)]
struct Transaction<'a> {
    request: Request,
    family: u8,
    table: &'a str,
}

impl<'a> Transaction<'a> {
    fn new(family: u8, table: &'a str) -> Self {
        // The last two bytes are the subsystem, in the network's order.
        let [high, low] = SUBSYSTEM.to_be_bytes();
        let request = Request::new(BATCH_BEGIN, 0, &[0, 0, high, low]);
        Self { request, family, table }
    }

    fn begin(&mut self, kind: u16, flags: u16) -> &mut Request {
        self.request.add(message(kind), flags, &header(self.family));
        &mut self.request
    }

    /// Makes the table, if it is not there.
    fn add_table(&mut self, comment: &str) {
        const NAME: u16 = 1;
        const USERDATA: u16 = 6;
        let table = self.table;
        let request = self.begin(NEW_TABLE, CREATE);
        request.text(NAME, table);
        if !comment.is_empty() {
            request.attribute(USERDATA, &userdata(comment));
        }
    }

    fn delete_table(&mut self) {
        const NAME: u16 = 1;
        let table = self.table;
        self.begin(DEL_TABLE, 0).text(NAME, table);
    }

    fn add_set(&mut self, set: &Set, id: u32) {
        const TABLE: u16 = 1;
        const NAME: u16 = 2;
        const FLAGS: u16 = 3;
        const KEY_TYPE: u16 = 4;
        const KEY_LENGTH: u16 = 5;
        const DATA_TYPE: u16 = 6;
        const DATA_LENGTH: u16 = 7;
        const ID: u16 = 10;
        const USERDATA: u16 = 13;
        const MAP: u32 = 8;
        let table = self.table;
        let request = self.begin(NEW_SET, CREATE);
        request.text(TABLE, table);
        request.text(NAME, set.name);
        request.be32(FLAGS, if set.data.is_some() { MAP } else { 0 });
        request.be32(KEY_TYPE, set.key.number);
        request.be32(KEY_LENGTH, set.key.bytes);
        if let Some(data) = set.data {
            request.be32(DATA_TYPE, data.number);
            request.be32(DATA_LENGTH, data.bytes);
        }
        request.be32(ID, id);
        if let Some(order) = set.key.shown_in {
            // For nft(8) alone, in the form of libnftnl: kind 0, length, number.
            let [a, b, c, d] = order.to_ne_bytes();
            request.attribute(USERDATA, &[0, 4, a, b, c, d]);
        }
    }

    fn add_chain(&mut self, chain: &Chain) {
        const TABLE: u16 = 1;
        const NAME: u16 = 3;
        const HOOK: u16 = 4;
        const KIND: u16 = 7;
        const HOOK_NUMBER: u16 = 1;
        const HOOK_PRIORITY: u16 = 2;
        let table = self.table;
        let request = self.begin(NEW_CHAIN, CREATE);
        request.text(TABLE, table);
        request.text(NAME, chain.name);
        if let Some(hook) = chain.hook {
            request.nest(HOOK, |request| {
                request.be32(HOOK_NUMBER, hook.number);
                request.attribute(HOOK_PRIORITY, &hook.priority.to_be_bytes());
            });
            request.text(KIND, hook.kind);
        }
    }

    fn add_rule(&mut self, chain: &str, rule: &Rule) {
        const TABLE: u16 = 1;
        const CHAIN: u16 = 2;
        const EXPRESSIONS: u16 = 4;
        let table = self.table;
        let request = self.begin(NEW_RULE, CREATE | crate::netlink::APPEND);
        request.text(TABLE, table);
        request.text(CHAIN, chain);
        request.nest(EXPRESSIONS, |request| rule.write(request));
    }

    fn add_elements(&mut self, set: &str, elements: &[Element]) {
        self.elements(NEW_ELEMENT, CREATE, set, elements);
    }

    fn delete_elements(&mut self, set: &str, elements: &[Element]) {
        self.elements(DEL_ELEMENT, 0, set, elements);
    }

    fn elements(&mut self, kind: u16, flags: u16, set: &str, elements: &[Element]) {
        // An attribute has 64 KiB at most.
        for some in elements.chunks(256) {
            let table = self.table;
            let request = self.begin(kind, flags);
            write_elements(request, table, set, some, kind == NEW_ELEMENT);
        }
    }

    /// Has the kernel do it. `action` is for errors.
    fn commit(
        mut self,
        socket: &mut Socket,
        action: &dyn Fn() -> String,
    ) -> Result<(), NetworkError> {
        // The end of a transaction is answered by the newest kernels only.
        self.request.acknowledge_here();
        let [high, low] = SUBSYSTEM.to_be_bytes();
        self.request.add(BATCH_END, 0, &[0, 0, high, low]);
        socket.perform(self.request, action)
    }
}

fn write_elements(
    request: &mut Request,
    table: &str,
    set: &str,
    elements: &[Element],
    whole: bool,
) {
    const TABLE: u16 = 1;
    const SET: u16 = 2;
    const ELEMENTS: u16 = 3;
    const ITEM: u16 = 1;
    const KEY: u16 = 1;
    const DATA: u16 = 2;
    const USERDATA: u16 = 6;
    const VALUE: u16 = 1;
    request.text(TABLE, table);
    request.text(SET, set);
    request.nest(ELEMENTS, |request| {
        for element in elements {
            request.nest(ITEM, |request| {
                request.nest(KEY, |request| request.attribute(VALUE, &element.key));
                if !whole {
                    return;
                }
                if !element.data.is_empty() {
                    request.nest(DATA, |request| request.attribute(VALUE, &element.data));
                }
                if !element.comment.is_empty() {
                    request.attribute(USERDATA, &userdata(&element.comment));
                }
            });
        }
    });
}

/// A comment in the form of libnftnl: kind, length, text with its zero.
fn userdata(comment: &str) -> Vec<u8> {
    let text = &comment.as_bytes()[..comment.len().min(128)];
    let mut bytes = vec![0, u8::try_from(text.len() + 1).unwrap_or(u8::MAX)];
    bytes.extend_from_slice(text);
    bytes.push(0);
    bytes
}

/// The comment in what [`userdata`] makes.
fn comment(bytes: &[u8]) -> String {
    match bytes {
        [0, length, rest @ ..] => {
            let text = rest.get(..usize::from(*length)).unwrap_or(rest);
            String::from_utf8_lossy(text).trim_end_matches('\0').to_owned()
        }
        _ => String::new(),
    }
}

/// The elements in an answer of the kernel's.
fn read_elements(answer: &crate::netlink::Answer) -> Vec<Element> {
    use crate::netlink::Attributes;
    const ELEMENTS: u16 = 3;
    const KEY: u16 = 1;
    const DATA: u16 = 2;
    const USERDATA: u16 = 6;
    const VALUE: u16 = 1;
    let Some(list) = answer.attributes(HEADER_BYTES).get(ELEMENTS) else { return Vec::new() };
    let value = |attributes: Attributes<'_>, kind| {
        Attributes::of(attributes.get(kind)?).get(VALUE).map(<[u8]>::to_vec)
    };
    Attributes::of(list)
        .filter_map(|(_, item)| {
            let item = Attributes::of(item);
            Some(Element {
                key: value(item, KEY)?,
                data: value(item, DATA).unwrap_or_default(),
                comment: item.get(USERDATA).map(comment).unwrap_or_default(),
            })
        })
        .collect()
}

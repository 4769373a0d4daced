//! Names for containers whose user gives none: an adjective and a scientist, as Docker has them.

use rustix::rand::{GetRandomFlags, getrandom};

const ADJECTIVES: &[&str] = &[
    "able",
    "agile",
    "amber",
    "ample",
    "ardent",
    "astute",
    "balmy",
    "blissful",
    "bold",
    "brave",
    "bright",
    "brisk",
    "calm",
    "candid",
    "careful",
    "cheerful",
    "clever",
    "cosmic",
    "cosy",
    "crisp",
    "curious",
    "dapper",
    "daring",
    "deft",
    "eager",
    "earnest",
    "elated",
    "elegant",
    "epic",
    "fair",
    "fearless",
    "festive",
    "fluent",
    "focused",
    "fond",
    "frosty",
    "gallant",
    "gentle",
    "gifted",
    "glad",
    "golden",
    "graceful",
    "happy",
    "hardy",
    "hearty",
    "honest",
    "hopeful",
    "humble",
    "ideal",
    "intrepid",
    "jolly",
    "jovial",
    "keen",
    "kind",
    "lively",
    "loving",
    "lucid",
    "lucky",
    "mellow",
    "merry",
    "mighty",
    "mindful",
    "modest",
    "musing",
    "neat",
    "nimble",
    "noble",
    "patient",
    "peaceful",
    "placid",
    "plucky",
    "polite",
    "proud",
    "quick",
    "quiet",
    "quirky",
    "radiant",
    "rapid",
    "relaxed",
    "resolute",
    "serene",
    "sharp",
    "silent",
    "sincere",
    "sleek",
    "smart",
    "snappy",
    "sober",
    "sprightly",
    "steady",
    "sterling",
    "sturdy",
    "subtle",
    "sunny",
    "swift",
    "tender",
    "thrifty",
    "tidy",
    "trusting",
    "upbeat",
    "valiant",
    "vibrant",
    "vigilant",
    "vivid",
    "warm",
    "wise",
    "witty",
    "zealous",
    "zen",
];

const SURNAMES: &[&str] = &[
    "abel",
    "agnesi",
    "alfven",
    "ampere",
    "arrhenius",
    "artin",
    "avogadro",
    "babbage",
    "banach",
    "bell",
    "berzelius",
    "bohr",
    "boltzmann",
    "bolyai",
    "born",
    "bose",
    "brahe",
    "cantor",
    "cauchy",
    "cavendish",
    "celsius",
    "chandrasekhar",
    "church",
    "clifford",
    "coulomb",
    "curie",
    "dalton",
    "darwin",
    "davy",
    "descartes",
    "dijkstra",
    "dirac",
    "doppler",
    "edison",
    "einstein",
    "erdos",
    "euclid",
    "euler",
    "faraday",
    "fermat",
    "fermi",
    "feynman",
    "fibonacci",
    "fourier",
    "franklin",
    "galilei",
    "galois",
    "gauss",
    "germain",
    "gibbs",
    "godel",
    "goeppert",
    "hamilton",
    "heisenberg",
    "hertz",
    "hilbert",
    "hooke",
    "hopper",
    "hubble",
    "huygens",
    "hypatia",
    "joule",
    "kelvin",
    "kepler",
    "kolmogorov",
    "kovalevskaya",
    "lagrange",
    "lamarr",
    "lamport",
    "laplace",
    "lavoisier",
    "leavitt",
    "leibniz",
    "linnaeus",
    "lovelace",
    "maxwell",
    "mcclintock",
    "meitner",
    "mendel",
    "mendeleev",
    "napier",
    "nash",
    "newton",
    "nobel",
    "noether",
    "ohm",
    "oersted",
    "pascal",
    "pasteur",
    "pauli",
    "perlman",
    "planck",
    "poincare",
    "ptolemy",
    "pythagoras",
    "ramanujan",
    "riemann",
    "ritchie",
    "rontgen",
    "rutherford",
    "sagan",
    "scheele",
    "schrodinger",
    "shannon",
    "stevin",
    "swartz",
    "tesla",
    "thompson",
    "torvalds",
    "turing",
    "volta",
    "watt",
    "weyl",
    "wien",
    "wing",
    "yalow",
    "yonath",
    "zuse",
];

/// A new name; with `attempt` over zero, a digit is added, since the plain one was taken.
pub(crate) fn generate(attempt: u32) -> String {
    let [first, second] = random_pair();
    let adjective = ADJECTIVES[first as usize % ADJECTIVES.len()];
    let surname = SURNAMES[second as usize % SURNAMES.len()];
    match attempt {
        0 => format!("{adjective}_{surname}"),
        _ => format!("{adjective}_{surname}{}", first.wrapping_add(second) % 10),
    }
}

fn random_pair() -> [u32; 2] {
    let bytes = random_bytes::<8>();
    let half =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    [half(0), half(4)]
}

/// A new id: 64 random hexadecimal digits, whose first twelve are not all decimal, as Docker's.
pub(crate) fn new_id() -> String {
    loop {
        let id: String = random_bytes::<32>().iter().map(|byte| format!("{byte:02x}")).collect();
        // The short id serves as host name: one of only digits would be taken for an address.
        if !id[..12].bytes().all(|byte| byte.is_ascii_digit()) {
            return id;
        }
    }
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => panic!("the kernel's random numbers are always there: {errno}"),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_have_their_form() {
        for attempt in 0..3 {
            assert!(metadata::is_valid_name(&generate(attempt)));
        }
        let id = new_id();
        assert_eq!(id.len(), 64);
        assert_ne!(id, new_id());
    }
}

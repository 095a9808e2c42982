//! Whatever bytes a stranger sends: what has to hold of every decoder and parser that they can reach.
//!
//! Each target takes any bytes and panics when something does not hold: not only that nothing panics by itself, but that reading is
//! deterministic, that what was accepted comes back as it was and keeps every promise of the contract, and that every refusal says what, where
//! and with a stable code, in an answer that is not much larger than the question.
//!
//! The same functions run in two ways: without end and guided by coverage with cargo-fuzz (`fuzz/README.md`), and for some thousand
//! mutations of the same corpora with a fixed seed in the tests (`tests/bounded.rs`).

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "to panic is how a target says that something does not hold"
)]

mod http_side;
mod messages;
mod mutate;
mod promises;
mod stored;
mod tables;
mod words;
mod world;

pub use mutate::Mutator;

/// What takes any bytes, under its name.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name of the cargo-fuzz target and of the folder of its corpus.
    pub name: &'static str,
    /// Holds the bytes against everything that has to be true of them.
    pub run: fn(&[u8]),
    /// Words that mutations put in, because chance would not find them.
    pub words: &'static [&'static str],
}

macro_rules! targets {
    ($($name:ident = $module:ident, $words:expr;)+) => {
        $(
            /// See the module of that family, and the table in `fuzz/README.md`.
            pub fn $name(data: &[u8]) {
                $module::$name(data);
            }
        )+

        /// Every target.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), run: $name, words: $words }),+];
    };
}

/// Numbers, dates and texts as people, spreadsheets and attackers write them.
const CELLS: &[&str] = &[
    "0",
    "-1",
    "1e5",
    "1E+05",
    "NaN",
    "inf",
    "-inf",
    "1,234",
    "1.234,5",
    "12%",
    "#N/A",
    "-",
    "*",
    "=1+1",
    "+1",
    "@SUM(A1)",
    "-A1",
    "\u{a0}",
    "\u{feff}",
    "99999999999999999999",
    "1.0",
    "181.0",
    "0.0001",
    "45000",
    "Jan-10",
    "01/02/2010",
    "2012-03",
    "2012-03-31",
    "9999-12-31",
    "\"",
    "\"\"",
    "\r",
    "\r\n",
    "\n",
    ";",
    "\t",
    ",",
    "RA1",
    "RA9",
    "ENG",
    "AE_4H",
    "CDI",
    "999",
    "final",
    "not_collected",
    "943 476 5919",
    "true",
];

/// Bytes of protobuf that matter: long lengths, deep groups, special numbers.
const WIRE: &[&str] = &[
    "\u{0}",
    "\u{1}",
    "RA1",
    "RA9",
    "AE_4H",
    "CDI",
    "S-1",
    "2011-04",
    "2099-01",
    "2011-13",
    "0000-00",
    "9434765919",
    "tfc:100",
    "qipp.returns.v1",
    "\n\u{7f}",
    "\u{1a}\u{0}",
    "2011-06-01T09:00:00Z",
    "=1+1",
    "\u{feff}",
];

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "NaN",
    "1e999",
    "-1",
    "-0",
    "1e400",
    "\"NaN\"",
    "\"Infinity\"",
    "\\u0000",
    "\\ud800",
    "return",
    "orgCode",
    "org_code",
    "quality",
    "savings",
    "observations",
    "measured",
    "numerator",
    "denominator",
    "missing",
    "status",
    "period",
    "scheme",
    "facts",
    "RETURN_STATUS_FINAL",
    "\"RA1\"",
    "\"2011-04\"",
    "\"AE_4H\"",
    "[[[[[[[[",
    "{\"a\":{\"a\":",
];

const QUERY: &[&str] = &[
    "?",
    "&",
    "=",
    "%00",
    "%ff",
    "%",
    "+",
    ".",
    "read.known_at.time",
    "known_at",
    "min_cut",
    "page_size",
    "page_token",
    "filter.open_only",
    "from",
    "org_code",
    "orgCode",
    "marker",
    "returns.0-15",
    "alerts.0-7",
    "~",
    "-",
    "-1",
    "9223372036854775808",
    "true",
    "quality",
    "2011-04",
];

const CUTS: &[&str] = &[
    "returns",
    "alerts",
    "reference",
    "benchmarks",
    ".",
    "-",
    "~",
    "0",
    "18446744073709551615",
    "18446744073709551616",
    "4294967296",
    "65536",
    "qipp.returns.v1",
    "{\"next\":[",
    "2011-06-01T09:00:00Z",
    "2011-06-01T09:00:00.999999999+01:00",
];

const KEYS: &[&str] = &[
    "[[key]]\n",
    "name = \"a\"\n",
    "role = \"submitter\"\n",
    "role = \"national\"\n",
    "nation = true\n",
    "sha256 = \"",
    "organisations = [\"RA1\"]\n",
    "tree = \"regions\"\n",
    "node = \"N01\"\n",
    "expires = \"2013-03-31\"\n",
    "Bearer ",
    "qipp_",
    "\"",
    "'''",
    "\u{0}",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
];

targets! {
    return_message = messages, WIRE;
    scheme_message = messages, WIRE;
    reference_message = messages, WIRE;
    any_message = messages, WIRE;
    read_options = messages, WIRE;
    json_return = http_side, JSON;
    json_request = http_side, JSON;
    query_string = http_side, QUERY;
    watch_cursor = http_side, CUTS;
    csv_quality = tables, CELLS;
    csv_savings = tables, CELLS;
    csv_rtt = tables, CELLS;
    csv_ae_weekly = tables, CELLS;
    csv_reference = tables, CELLS;
    csv_chart = tables, CELLS;
    page_token = words, QUERY;
    cut_text = words, CUTS;
    key_file = words, KEYS;
    authorization = words, KEYS;
    envelope = stored, WIRE;
    stored_frame = stored, WIRE;
}

//! Text that people and programs write: no patient-level data, ever, and nothing that hides what it says.

use super::Problem;

/// How many lines a text may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// A name or a title.
    One,
    /// A narrative: line ends and tabs belong to it.
    Many,
}

const NHS_NUMBER: &str = "it holds a number in the shape of an NHS number: take it out, no patient-level data may be sent";

/// Refuses text in the shape of an NHS number, and characters that can't be seen.
pub(super) fn check_text(field: &str, text: &str, lines: Lines, problems: &mut Vec<Problem>) {
    if holds_nhs_number(text) {
        problems.push(Problem::new("NHS_NUMBER", field, NHS_NUMBER));
    }
    check_characters(|| field.to_owned(), text, lines, problems);
}

/// The same for what programs make up: identifiers and keys. The pointer is written out only when there is something to say.
pub(super) fn check_code(field: impl Fn() -> String, text: &str, problems: &mut Vec<Problem>) {
    if code_holds_nhs_number(text) {
        problems.push(Problem::new("NHS_NUMBER", field(), NHS_NUMBER));
    }
    check_characters(field, text, Lines::One, problems);
}

fn check_characters(
    field: impl Fn() -> String,
    text: &str,
    lines: Lines,
    problems: &mut Vec<Problem>,
) {
    if let Some(what) = control_character(text, lines == Lines::Many) {
        problems.push(Problem::new("CONTROL_CHARACTER", field(), what));
    }
}

/// What is wrong with the characters of a text: the first that can't be seen or that turns the direction of what follows (it would make
/// a page or a log show something else than what was sent), with its place and the remedy. Line ends and tabs are fine in text of many lines.
#[must_use]
pub fn control_character(text: &str, many_lines: bool) -> Option<String> {
    let may = |c: char| many_lines && matches!(c, '\t' | '\n' | '\r');
    let turns = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    // Spaces and joints without width, marks of other protocols, and tags. The joiners U+200C and U+200D are letters' business.
    let unseen = |c: char| {
        matches!(c, '\u{ad}' | '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    let (place, found) = (1..)
        .zip(text.chars())
        .find(|(_, c)| (c.is_control() || turns(*c) || unseen(*c)) && !may(*c))?;
    let kind = if found.is_control() {
        "a control character"
    } else if turns(found) {
        "a character that changes the direction of the text"
    } else {
        "a character that can't be seen"
    };
    let lines = if matches!(found, '\t' | '\n' | '\r') {
        ": write it on one line, without tabs"
    } else {
        ": take it out"
    };
    let number = u32::from(found);
    Some(format!(
        "character {place} is {kind} (U+{number:04X}){lines}"
    ))
}

/// Does an identifier hold the digits of an NHS number, in one piece or as 3-3-4? Digits next to one of the letters a to f are taken for
/// a part of a hexadecimal number, and pieces of other lengths are not put together: random identifiers are full of both. Nor are ten
/// digits that begin with a 1: those are the seconds of Unix time until 2033, and no NHS number of England, Wales or Northern Ireland.
#[must_use]
pub fn code_holds_nhs_number(code: &str) -> bool {
    if code.len() < 10 {
        return false;
    }
    let mut pieces: Vec<&str> = Vec::new();
    let mut words = code.split(|c: char| is_separator(c) || !c.is_ascii_alphanumeric());
    words.any(|word| {
        let hexadecimal = |c: char| c.is_ascii_hexdigit() && !c.is_ascii_digit();
        let mut digits = word.split(|c: char| !c.is_ascii_hexdigit());
        let alone = digits.any(|run| !run.contains(hexadecimal) && passes(run));
        pieces.push(word);
        let printed = pieces
            .last_chunk::<3>()
            .is_some_and(|three| three.map(str::len) == [3, 3, 4] && passes(&three.concat()));
        alone || printed
    })
}

fn passes(digits: &str) -> bool {
    if digits.starts_with('1') {
        return false;
    }
    let digits: Option<Vec<u32>> = digits.chars().map(|c| c.to_digit(10)).collect();
    digits.is_some_and(|digits| is_nhs_number(&digits))
}

/// Is there a number of ten digits that passes the NHS number's check digit? It may be written in one piece, as 3-3-4, or in any
/// pieces if they stand alone. Pieces are parted by spaces, tabs, hyphens, dashes, underscores or brackets; digits may be full-width or Arabic.
///
/// The check is modulo 11 with weights 10 to 2 (NHS Data Dictionary, "NHS NUMBER").
#[must_use]
pub fn holds_nhs_number(text: &str) -> bool {
    if text.chars().filter_map(digit).take(10).count() < 10 {
        return false;
    }
    runs_of_digits(text).iter().any(|pieces| {
        let whole = pieces.concat();
        let one_piece = pieces.iter().any(|piece| is_nhs_number(piece));
        let as_printed = pieces.windows(3).any(|three| {
            let lengths: Vec<usize> = three.iter().map(Vec::len).collect();
            lengths == [3, 3, 4] && is_nhs_number(&three.concat())
        });
        one_piece || as_printed || is_nhs_number(&whole)
    })
}

/// The runs of a text that are digits with separators between them, each cut at its separators.
fn runs_of_digits(text: &str) -> Vec<Vec<Vec<u32>>> {
    let mut runs = Vec::new();
    let mut pieces: Vec<Vec<u32>> = Vec::new();
    let mut after_separator = false;
    for c in text.chars() {
        match (digit(c), pieces.last_mut()) {
            (Some(digit), Some(piece)) if !after_separator => piece.push(digit),
            (Some(digit), _) => pieces.push(vec![digit]),
            (None, Some(_)) if is_separator(c) => {
                after_separator = true;
                continue;
            }
            (None, _) => runs.push(std::mem::take(&mut pieces)),
        }
        after_separator = false;
    }
    runs.push(pieces);
    runs
}

/// Spaces of all widths and of none, tab, hyphens, dashes and the minus sign, underscore, round brackets. Not the full stop, comma, slash
/// and colon: amounts, days and times have them.
fn is_separator(c: char) -> bool {
    matches!(
        c,
        ' ' | '\u{a0}' | '\u{2000}'..='\u{200d}' | '\u{202f}' | '\u{2060}' | '\u{3000}' | '\u{feff}' | '\t' | '-' | '\u{ad}'
            | '\u{2010}'..='\u{2015}' | '\u{2212}' | '_' | '(' | ')'
    )
}

/// A digit as people write it: ASCII, full-width, Arabic.
fn digit(c: char) -> Option<u32> {
    let of = |zero: char| {
        u32::from(c)
            .checked_sub(u32::from(zero))
            .filter(|d| *d < 10)
    };
    ['0', '\u{ff10}', '\u{660}', '\u{6f0}']
        .into_iter()
        .find_map(of)
}

fn is_nhs_number(digits: &[u32]) -> bool {
    digits.len() == 10 && passes_check_digit(digits)
}

fn passes_check_digit(digits: &[u32]) -> bool {
    let all_equal = digits.windows(2).all(|pair| pair[0] == pair[1]);
    let sum: u32 = digits
        .iter()
        .take(9)
        .zip((2..=10).rev())
        .map(|(digit, weight)| digit * weight)
        .sum();
    let check = (11 - sum % 11) % 11;
    !all_equal && check != 10 && check == digits[9]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_nhs_number_is_found_however_it_is_written() {
        // 943 476 5919 is the specification's own example of a number that passes the check digit.
        for text in [
            "9434765919",
            "on 12 943 476 5919",
            "aged 83 9434765919",
            "943\u{a0}476\u{a0}5919",
            "9434 765 919",
            "patient 943 476 5919 complained",
            "943  476 5919",
            "943\u{2014}476\u{2212}5919",
            "(943) 476_5919",
            "943\u{200b}4765919",
            "\u{ff19}434765919",
            "\u{669}\u{664}\u{663}4765919",
        ] {
            assert!(holds_nhs_number(text), "{text}");
        }
        for text in [
            "9434765918",
            "0000000000",
            "12345",
            "£9434765919123",
            "tel 94347 65919 1",
            "£943,476,5919",
            "943/476/5919",
            "",
        ] {
            assert!(!holds_nhs_number(text), "{text}");
        }
    }

    #[test]
    fn an_nhs_number_is_found_in_a_code_and_not_in_a_random_one() {
        for code in [
            "9434765919",
            "RJ1-9434765919",
            "S9434765919",
            "ward:9434765919",
            "943-476-5919",
            "x/943_476_5919/y",
        ] {
            assert!(code_holds_nhs_number(code), "{code}");
        }
        for second in 1_763_800_000..1_763_800_011_u64 {
            assert!(!code_holds_nhs_number(&format!("RJ1-{second}")));
        }
        for code in [
            "9434765918",
            "94347-65919",
            "19434765919",
            // Parts of a UUID and of a hash.
            "0a9434765919b-4c",
            "12345678-9434-7659-1934-9434765919ab",
            "tfc:100",
            "",
        ] {
            assert!(!code_holds_nhs_number(code), "{code}");
        }
    }

    #[test]
    fn a_character_that_hides_something_is_named_with_its_place() {
        for (text, place) in [
            ("a\0b", "character 2 is a control character (U+0000)"),
            ("\u{1b}[2J", "character 1 is a control character (U+001B)"),
            ("\u{9b}2J", "(U+009B)"),
            ("\u{7f}", "(U+007F)"),
            (
                "é\u{202e}dcba",
                "character 2 is a character that changes the direction",
            ),
            ("\u{2066}", "(U+2066)"),
            ("a\u{200e}", "(U+200E)"),
            (
                "a\u{200b}b",
                "character 2 is a character that can't be seen (U+200B)",
            ),
            ("\u{2028}", "(U+2028)"),
            ("\u{e0041}", "(U+E0041)"),
        ] {
            for many in [false, true] {
                let what = control_character(text, many).unwrap();
                assert!(
                    what.contains(place) && what.contains("take it out"),
                    "{what}"
                );
            }
        }
        let lines = "one\ttwo\r\nthree, £4 – naïve";
        assert_eq!(control_character(lines, true), None);
        assert!(
            control_character(lines, false)
                .unwrap()
                .contains("one line")
        );
    }
}

//! Free text: no patient-level data, ever.

use super::Problem;

/// Refuses text in the shape of an NHS number: no patient-level data, ever.
pub(super) fn check_text(field: &str, text: &str, problems: &mut Vec<Problem>) {
    if holds_nhs_number(text) {
        let what = "it holds a number in the shape of an NHS number: take it out, no patient-level data may be sent";
        problems.push(Problem::new("NHS_NUMBER", field, what));
    }
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
}

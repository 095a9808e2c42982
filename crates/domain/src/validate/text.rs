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
/// pieces if they stand alone. Pieces are parted by one space, tab or hyphen.
///
/// The check is modulo 11 with weights 10 to 2 (NHS Data Dictionary, "NHS NUMBER").
#[must_use]
pub fn holds_nhs_number(text: &str) -> bool {
    if text.bytes().filter(u8::is_ascii_digit).count() < 10 {
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

/// The runs of a text that are digits with single separators between them, each cut at its separators.
fn runs_of_digits(text: &str) -> Vec<Vec<Vec<u32>>> {
    let mut runs = Vec::new();
    let mut pieces: Vec<Vec<u32>> = Vec::new();
    let mut after_separator = false;
    for c in text.chars() {
        match (c.to_digit(10), pieces.last_mut()) {
            (Some(digit), Some(piece)) if !after_separator => piece.push(digit),
            (Some(digit), _) => pieces.push(vec![digit]),
            (None, Some(_)) if !after_separator && is_separator(c) => {
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

/// Space, no-break and thin spaces, tab, hyphens and dashes. Not the full stop: amounts have one.
fn is_separator(c: char) -> bool {
    matches!(
        c,
        ' ' | '\u{a0}' | '\u{2009}' | '\u{202f}' | '\t' | '-' | '\u{2010}'..='\u{2013}'
    )
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
        ] {
            assert!(holds_nhs_number(text), "{text}");
        }
        for text in [
            "9434765918",
            "0000000000",
            "12345",
            "£9434765919123",
            "tel 94347 65919 1",
            "",
        ] {
            assert!(!holds_nhs_number(text), "{text}");
        }
    }
}

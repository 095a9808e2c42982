//! Free text: no patient-level data, ever.

use super::Problem;

/// Refuses text in the shape of an NHS number: no patient-level data, ever.
pub(super) fn check_text(field: &str, text: &str, problems: &mut Vec<Problem>) {
    if holds_nhs_number(text) {
        let what = "it holds a number in the shape of an NHS number: take it out, no patient-level data may be sent";
        problems.push(Problem::new("NHS_NUMBER", field, what));
    }
}

/// Is there a run of ten digits (single spaces or hyphens between them allowed) that passes the NHS number's check digit?
///
/// The check is modulo 11 with weights 10 to 2 (NHS Data Dictionary, "NHS NUMBER").
#[must_use]
pub fn holds_nhs_number(text: &str) -> bool {
    let mut digits: Vec<u32> = Vec::new();
    let mut gap = false;
    for c in text.chars().chain(std::iter::once('\n')) {
        if let Some(digit) = c.to_digit(10) {
            digits.push(digit);
            gap = false;
        } else if (c == ' ' || c == '-') && !gap && !digits.is_empty() {
            gap = true;
        } else {
            if digits.len() == 10 && passes_check_digit(&digits) {
                return true;
            }
            digits.clear();
            gap = false;
        }
    }
    false
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
            "patient 943 476 5919 complained",
            "943-476-5919",
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

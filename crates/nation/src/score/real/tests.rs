use super::*;

/// Forty departments with 36 months, a tenth over four hours, worse in winter.
fn file() -> String {
    let mut text = "period,org_code,ae_type,attendances,over_4h,emergency_admissions\n".to_owned();
    for org in 0..40 {
        for month in 0..36 {
            let (year, at) = (2016 + (month + 3) / 12, (month + 3) % 12 + 1);
            let noise = (org * 7 + month * 13 + org * month) % 23;
            let over = 900 + 10 * noise + if at <= 2 { 400 } else { 0 };
            let admitted = 2500 + 9 * ((noise * 5) % 23);
            text.push_str(&format!(
                "{year}-{at:02},P{org:02},1,10000,{over},{admitted}\n"
            ));
            text.push_str(&format!("{year}-{at:02},P{org:02},other,500,1,0\n"));
        }
    }
    text
}

fn figures() -> AeFigures {
    read(file().as_bytes()).unwrap()
}

#[test]
fn type_one_departments_are_taken_and_nothing_else() {
    let figures = figures();
    assert_eq!((figures.departments.len(), figures.months), (40, 36));
    assert_eq!(figures.departments["P00"][&0].attendances, 10_000);
}

#[test]
fn faults_are_told_with_their_line() {
    let mut bad = file();
    bad.push_str("2016-04,P00,1,10,20,0\n2016-04,P01,1,10,2,0\n2016-04,P99,1,many,2,0\n");
    let faults = read(bad.as_bytes()).unwrap_err();
    let codes: Vec<&str> = faults.listed.iter().map(|fault| fault.code).collect();
    assert_eq!(codes, ["MORE_THAN_ALL", "CONTRADICTION", "INVALID_NUMBER"]);
    assert_eq!(faults.listed[0].line, 40 * 36 * 2 + 2);
    let short =
        "period,org_code,ae_type,attendances,over_4h,emergency_admissions\n2016-04,A,1,9,1,1\n";
    assert_eq!(
        read(short.as_bytes()).unwrap_err().listed[0].code,
        "NUMBER_OF_MONTHS"
    );
}

#[test]
fn slips_are_as_large_as_said_and_only_where_the_truth_has_them() {
    let figures = figures();
    let plain = nation(&figures, Planted::new(None, false), 7);
    assert!(plain.truth.episodes.is_empty());
    let slipped = nation(&figures, Planted::new(Some(2.0), true), 7);
    let kinds = |kind| {
        slipped
            .truth
            .episodes
            .iter()
            .filter(move |held| held.kind == kind)
    };
    assert_eq!(kinds(TruthKind::Both).count(), 2);
    assert_eq!(kinds(TruthKind::SavingsOnly).count(), 4);
    assert_eq!(slipped, nation(&figures, Planted::new(Some(2.0), true), 7));

    let deviations = [0, 1].map(|marker| own_deviations(&figures, marker));
    for (before, after) in plain.returns.figures.iter().zip(&slipped.returns.figures) {
        let hit = kinds(TruthKind::Both)
            .any(|held| held.org == after.org && held.markers == [after.marker]);
        if !hit || after.month < ONSET {
            assert_eq!(before, after);
            continue;
        }
        let odds = |row: &Figure| logit_clamped(row.numerator, row.denominator).unwrap();
        let full = 2.0 * deviations[after.marker][after.org];
        let expected = full * ((after.month - ONSET + 1) as f64 / 3.0).min(1.0);
        assert!(
            (odds(after) - odds(before) - expected).abs() < 2e-3,
            "{after:?}"
        );
    }
}

#[test]
fn naive_rules_are_counted_by_hand() {
    let months = (0..36).map(|month| {
        let over_4h = if month % 2 == 0 { 100 } else { 120 };
        let department = Department {
            attendances: 1000,
            over_4h,
            admissions: 300,
        };
        (month, department)
    });
    let figures = AeFigures {
        first: Period::new(2016, 4).unwrap(),
        months: 36,
        departments: BTreeMap::from([("P00".to_owned(), months.collect())]),
    };
    let naive = naive(&figures);
    assert_eq!(naive.worse_than_last_month, 18.0 / 35.0);
    assert_eq!(naive.concern_in_winter, 0.0, "up and down is common cause");
    assert_eq!(naive.icon_otherwise, 0.0);
}

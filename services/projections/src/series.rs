//! GetSeries: one marker of one organisation, month by month, and the reason where a month has no figure.

use jiff::civil::Date;
use qipp_access::Target;
use qipp_api::error::{ApiError, Code};
use qipp_api::proto::projections::v1 as wire;
use qipp_api::view;
use qipp_domain::nation::Ledger;
use qipp_domain::rollup::{self, Structure};
use qipp_domain::validate::Problem;
use qipp_domain::{Breakdown, Dataset, KnownAt, MarkerCode, OrgCode, Period, SeriesKey};
use qipp_serving::field::{Together as _, months, optional, required};
use qipp_serving::{Answer, Caller};

use crate::Projections;

/// Most months of one answer: fifty years.
const MAX_MONTHS: i32 = 600;

impl Projections {
    pub(crate) async fn series(
        &self,
        caller: &Caller,
        request: wire::GetSeriesRequest,
    ) -> Result<wire::GetSeriesResponse, ApiError> {
        let (org, marker, breakdown, (from, to), structure) = (
            required::<OrgCode>(&request.org_code, "org_code", "ORG_CODE_INVALID"),
            required::<MarkerCode>(&request.marker, "marker", "MARKER_INVALID"),
            optional::<Breakdown>(&request.breakdown, "breakdown", "BREAKDOWN_INVALID"),
            months(&request.from, &request.to),
            structure(request.structure, None, self.deps.today()),
        )
            .together()?;
        let answer = self.deps.answer(caller, request.read.as_ref()).await?;
        caller.may(Target::Organisation(org), &answer.current)?;
        known_organisation(&answer, org)?;
        // What was merged into it may be anywhere.
        let shards_away = match structure {
            Structure::AsItIs(_) => self.others(),
            Structure::AsItWas => {
                self.own(org)?;
                Vec::new()
            }
        };
        if answer.reference.latest_marker(marker).is_none() {
            let what = format!(
                "{marker} is not in the catalogue: ListMarkers names the markers that there are"
            );
            return Err(ApiError::new(Code::NotFound, "UNKNOWN_MARKER", what));
        }
        let key = SeriesKey { marker, breakdown };
        let points = match span(answer.nation.ledger(org), &answer.at, from, to)? {
            None => Vec::new(),
            Some((from, to)) => rollup::series(
                &answer.nation,
                &answer.reference,
                &answer.at,
                org,
                key,
                from.to(to),
                structure,
            ),
        };
        Ok(wire::GetSeriesResponse {
            org_code: request.org_code,
            marker: request.marker,
            breakdown: request.breakdown,
            points: points.iter().map(view::point).collect(),
            cut: answer.wire_cut(),
            shards_away,
        })
    }
}

/// The months asked for; open ends are those of the organisation's own returns.
fn span(
    ledger: Option<&Ledger>,
    at: &KnownAt,
    from: Option<Period>,
    to: Option<Period>,
) -> Result<Option<(Period, Period)>, ApiError> {
    let mut periods = ledger
        .into_iter()
        .flat_map(|held| held.periods(Dataset::Quality, at));
    let first = periods.next();
    let last = periods.next_back().or(first);
    let (Some(from), Some(to)) = (from.or(first), to.or(last)) else {
        return Ok(None);
    };
    if to.months_since(from) >= MAX_MONTHS {
        let what =
            format!("{from} to {to} is more than {MAX_MONTHS} months: ask for less at a time");
        return Err(ApiError::invalid(vec![Problem::new(
            "RANGE_TOO_LONG",
            "to",
            what,
        )]));
    }
    Ok(Some((from, to)))
}

/// The structure asked for.
///
/// # Errors
/// INVALID_ARGUMENT for a number that the contract does not name.
pub(crate) fn structure(value: i32, day: Option<Date>, today: Date) -> Result<Structure, ApiError> {
    match wire::Structure::try_from(value) {
        Ok(wire::Structure::Unspecified | wire::Structure::AsItWas) => Ok(Structure::AsItWas),
        Ok(wire::Structure::AsItIs) => Ok(Structure::AsItIs(day.unwrap_or(today))),
        Err(_) => {
            let what = "not a structure: AS_IT_WAS or AS_IT_IS";
            Err(ApiError::invalid(vec![Problem::new(
                "STRUCTURE_INVALID",
                "structure",
                what,
            )]))
        }
    }
}

/// # Errors
/// NOT_FOUND when the organisation was not known at the moment that is read.
pub(crate) fn known_organisation(answer: &Answer<'_>, org: OrgCode) -> Result<(), ApiError> {
    match answer.reference.organisation(org) {
        Some(_) => Ok(()),
        None => {
            let what = format!(
                "{org} was not a known organisation at the moment that is read: check the ODS code, and known_at if there is one"
            );
            Err(ApiError::new(Code::NotFound, "UNKNOWN_ORGANISATION", what))
        }
    }
}

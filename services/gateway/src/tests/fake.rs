//! A service that notes what it is asked and answers by rote.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use qipp_api::files::{Places, Sheet};
use qipp_api::proto::alerts::v1::alerts_service_server::AlertsService;
use qipp_api::proto::alerts::v1::*;
use qipp_api::proto::events::v1 as events;
use qipp_api::proto::intake::v1::intake_service_server::IntakeService;
use qipp_api::proto::intake::v1::*;
use qipp_domain::validate::Problem as Fault;
use tonic::{Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::CsvIntake;

/// What the service was asked, and how.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) metadata: Vec<(String, String)>,
    pub(super) watch: Option<WatchAlertsRequest>,
    pub(super) list: Option<ListAlertsRequest>,
    pub(super) act: Option<ActOnAlertRequest>,
}

#[derive(Clone, Default)]
pub(super) struct Fake(pub(super) Arc<Mutex<Seen>>);

impl Fake {
    fn note<T>(&self, request: &Request<T>) {
        let text = |name: &str| {
            request
                .metadata()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let names = ["authorization", "x-request-id", "grpc-timeout"];
        self.0.lock().unwrap().metadata = names
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), text(name)?)))
            .collect();
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

pub(super) fn cut(offset: u64) -> events::Cut {
    cut_of("qipp.returns.v1", offset)
}

/// As the ids of events are.
pub(super) fn alerts_cut(offset: u64) -> events::Cut {
    cut_of("qipp.alerts.v1", offset)
}

fn cut_of(topic: &str, offset: u64) -> events::Cut {
    events::Cut {
        next: vec![events::Position {
            topic: topic.into(),
            partition: 0,
            offset,
        }],
    }
}

#[tonic::async_trait]
impl IntakeService for Fake {
    async fn submit_return(
        &self,
        request: Request<SubmitReturnRequest>,
    ) -> Result<Response<SubmitReturnResponse>, Status> {
        self.note(&request);
        let message = request.into_inner();
        let submitted = message.r#return.unwrap_or_default();
        if submitted.period.is_empty() {
            let mut details = ErrorDetails::with_error_info(
                "INVALID_RETURN",
                "qipp.nhs.uk",
                [("faults".to_owned(), "1".to_owned())],
            );
            details.add_bad_request_violation("return.period", "state the month as YYYY-MM");
            return Err(Status::with_error_details(
                tonic::Code::InvalidArgument,
                "the return has faults",
                details,
            ));
        }
        let Some(events::r#return::Body::Savings(savings)) = submitted.body else {
            let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1500)));
            return Err(Status::with_error_details(
                tonic::Code::Unavailable,
                "later",
                details,
            ));
        };
        let change = Change {
            item: submitted.org_code,
            before: message.validate_only.to_string(),
            after: savings.lines[0].plan_pence().to_string(),
        };
        let receipt = Receipt {
            decision: Decision::Accepted.into(),
            revision: 4,
            cut: Some(cut(15)),
            changes: vec![change],
            ..Receipt::default()
        };
        Ok(Response::new(SubmitReturnResponse {
            receipt: Some(receipt),
        }))
    }

    type SubmitReturnsStream = Answers<SubmitReturnsResponse>;

    async fn submit_returns(
        &self,
        request: Request<tonic::Streaming<SubmitReturnsRequest>>,
    ) -> Result<Response<Self::SubmitReturnsStream>, Status> {
        let answers = request.into_inner().map(|message| {
            let message = message?;
            let receipt = |decision: Decision| {
                submit_returns_response::Result::Receipt(Receipt {
                    decision: decision.into(),
                    revision: 2,
                    cut: Some(cut(message.sequence + 10)),
                    ..Receipt::default()
                })
            };
            let result = match message.r#return.as_ref().map(|r| r.org_code.as_str()) {
                Some("RJ1") => receipt(Decision::Accepted),
                // Closed between the two passes.
                Some("RJ8") if message.validate_only => receipt(Decision::Accepted),
                Some("BREAK") if message.validate_only => receipt(Decision::Accepted),
                Some("RJ2") => receipt(Decision::Repeat),
                Some("RJ3") => receipt(Decision::Conflict),
                Some("BREAK") => return Err(Status::unavailable("gone")),
                _ => submit_returns_response::Result::Rejection(Rejection {
                    problems: vec![Problem {
                        code: "UNKNOWN".into(),
                        field: "return.org_code".into(),
                        description: "who?".into(),
                    }],
                }),
            };
            Ok(SubmitReturnsResponse {
                sequence: message.sequence,
                result: Some(result),
            })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn submit_scheme(
        &self,
        _: Request<SubmitSchemeRequest>,
    ) -> Result<Response<SubmitSchemeResponse>, Status> {
        // Never answers: for deadlines.
        std::future::pending().await
    }
}

#[tonic::async_trait]
impl AlertsService for Fake {
    async fn list_alerts(
        &self,
        request: Request<ListAlertsRequest>,
    ) -> Result<Response<ListAlertsResponse>, Status> {
        self.0.lock().unwrap().list = Some(request.into_inner());
        Ok(Response::new(ListAlertsResponse::default()))
    }

    async fn get_alert(
        &self,
        request: Request<GetAlertRequest>,
    ) -> Result<Response<GetAlertResponse>, Status> {
        Err(Status::not_found(request.into_inner().alert_id))
    }

    type WatchAlertsStream = Answers<WatchAlertsResponse>;

    async fn watch_alerts(
        &self,
        request: Request<WatchAlertsRequest>,
    ) -> Result<Response<Self::WatchAlertsStream>, Status> {
        self.note(&request);
        self.0.lock().unwrap().watch = Some(request.into_inner());
        let alert = |offset| {
            let alert = Alert {
                alert_id: format!("A{offset}"),
                ..Alert::default()
            };
            Ok(WatchAlertsResponse {
                alert: Some(alert),
                event: None,
                cut: Some(alerts_cut(offset)),
            })
        };
        // Two alerts, and then a long silence.
        Ok(Response::new(Box::pin(
            futures::stream::iter([alert(1), alert(2)]).chain(futures::stream::pending()),
        )))
    }

    async fn act_on_alert(
        &self,
        request: Request<ActOnAlertRequest>,
    ) -> Result<Response<ActOnAlertResponse>, Status> {
        self.0.lock().unwrap().act = Some(request.into_inner());
        Ok(Response::new(ActOnAlertResponse::default()))
    }

    async fn recompute_alert(
        &self,
        _: Request<RecomputeAlertRequest>,
    ) -> Result<Response<RecomputeAlertResponse>, Status> {
        Ok(Response::new(RecomputeAlertResponse {
            equal: true,
            ..RecomputeAlertResponse::default()
        }))
    }

    async fn list_assessments(
        &self,
        _: Request<ListAssessmentsRequest>,
    ) -> Result<Response<ListAssessmentsResponse>, Status> {
        Err(Status::unauthenticated("no credentials"))
    }

    async fn list_benchmarks(
        &self,
        _: Request<ListBenchmarksRequest>,
    ) -> Result<Response<ListBenchmarksResponse>, Status> {
        Err(Status::unauthenticated("no credentials"))
    }
}

/// A CSV of organisation codes, one a line.
pub(super) struct Lines;

impl CsvIntake for Lines {
    fn parse(&self, format: &str, text: &[u8]) -> Sheet {
        assert_eq!(format, "codes");
        let text = std::str::from_utf8(text).unwrap();
        let mut sheet = Sheet::default();
        for (line, code) in (1..).zip(text.lines()) {
            if code == "?" {
                let field = format!("line {line}");
                sheet.problems.push(Fault::new("BAD_ROW", field, "what?"));
                continue;
            }
            sheet.places.push(Places::default());
            sheet.returns.push(events::Return {
                org_code: code.to_owned(),
                period: "2012-01".into(),
                ..events::Return::default()
            });
        }
        sheet
    }
}

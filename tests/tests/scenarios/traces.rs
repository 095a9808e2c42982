//! What an OpenTelemetry collector sees of the house: a real one stands in the test, and the real service sends to it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use qipp::client::Client;
use qipp_api::proto::alerts::v1::ListAlertsRequest;
use qipp_api::proto::events::v1::Return;
use qipp_api::proto::intake::v1::{SubmitReturnRequest, SubmitReturnsRequest};
use qipp_api::proto::registry::v1::ListMarkersRequest;
use qipp_tests::http::Http;
use qipp_tests::returns;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::binary::{command, data};
use crate::operating::{Printing, REMARK, verb};

/// The variable of the environment that switches traces on.
const ENDPOINT: &str = "QIPP_SERVE__TRACES__ENDPOINT";

/// The span of the caller.
const CALLER: &str = "b7ad6b7169203331";

/// Takes what is sent to it, or refuses it.
#[derive(Clone)]
struct Collector {
    taken: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    /// How many times it was asked.
    asked: watch::Sender<u64>,
    refuses: watch::Sender<bool>,
}

impl Collector {
    /// A collector, and its address.
    async fn start() -> (Self, String) {
        let collector = Self {
            taken: Arc::default(),
            asked: watch::Sender::default(),
            refuses: watch::Sender::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        (collector, url)
    }

    /// What it was sent of a trace.
    fn trace(&self, id: &str) -> Vec<Span> {
        let is_of = |span: &Span| hex(&span.trace_id) == id;
        self.spans().into_iter().filter(is_of).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let taken = self.taken.lock().unwrap();
        let resources = taken.iter().flat_map(|request| &request.resource_spans);
        resources
            .flat_map(|resource| &resource.scope_spans)
            .flat_map(|scope| scope.spans.clone())
            .collect()
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.asked.send_modify(|asked| *asked += 1);
        if *self.refuses.borrow() {
            return Err(Status::permission_denied("not today"));
        }
        self.taken.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<Value> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.clone()?.value
}

fn text(value: &str) -> Option<Value> {
    Some(Value::StringValue(value.to_owned()))
}

fn number(value: i64) -> Option<Value> {
    Some(Value::IntValue(value))
}

/// The one span of that name.
fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    let [span] = found.as_slice() else {
        panic!("{name}: {found:?} of {spans:?}");
    };
    span
}

/// The names of its steps, in order.
fn steps<'a>(spans: &'a [Span], parent: &Span) -> Vec<&'a str> {
    let mut found: Vec<&Span> = spans
        .iter()
        .filter(|span| span.parent_span_id == parent.span_id)
        .collect();
    for span in &found {
        assert!(span.start_time_unix_nano >= parent.start_time_unix_nano);
        assert!(span.end_time_unix_nano <= parent.end_time_unix_nano);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    }
    found.sort_by_key(|span| span.start_time_unix_nano);
    found.iter().map(|span| span.name.as_str()).collect()
}

/// The id of a trace, and what a caller sends to be in it.
fn trace(number: u8, sampled: bool) -> (String, String) {
    let id = format!("0af7651916cd43dd8448eb211c8031{number:02x}");
    let parent = format!("00-{id}-{CALLER}-{:02x}", u8::from(sampled));
    (id, parent)
}

/// A call as a part of a trace.
fn within<T>(message: T, traceparent: &str) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("traceparent", traceparent.parse().unwrap());
    request
}

fn client(served: &Printing, name: &str) -> Client {
    Client::new(&served.url, &served.key(name), Duration::from_secs(60)).unwrap()
}

fn a_return(period: &str) -> Return {
    let observation = returns::measured("RTT_ADM", 90.0, 100.0);
    let mut ret = returns::quality("5A3", period, vec![observation]);
    ret.narrative = REMARK.to_owned();
    ret
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_a_part_of_its_callers_trace_and_shows_where_its_time_went() {
    let (collector, url) = Collector::start().await;
    let served = Printing::start_with("info", &[(ENDPOINT, &url)]).await;
    let (markers, more) = (data("markers.csv"), data("markers_supplementary.csv"));
    verb(&served, &["register", "markers", &markers, &more]).await;
    let organisations = data("org_pct_sha_2010.csv");
    verb(&served, &["register", "pct-sha", &organisations]).await;

    // A submission, a query over HTTP, a bulk stream, a call that is refused, and one of a trace that is not recorded.
    let [submission, query, bulk, refused, unrecorded] =
        [1, 2, 3, 4, 5].map(|number| trace(number, number != 5));
    let submitter = client(&served, "collector");
    let request = SubmitReturnRequest {
        r#return: Some(a_return("2010-04")),
        validate_only: false,
    };
    let receipt = submitter
        .intake()
        .submit_return(within(request, &submission.1))
        .await
        .unwrap();
    let cut = receipt.into_inner().receipt.unwrap().cut;
    let http = Http::new(&served.url, Some(&served.key("national")));
    let series = http
        .request("GET", "/v1/organisations/5A3/series/RTT_ADM")
        .header("traceparent", &query.1);
    assert_eq!(series.send().await.unwrap().status(), 200);
    let requests = ["2010-05", "2010-06"].map(|period| SubmitReturnsRequest {
        sequence: 0,
        r#return: Some(a_return(period)),
        validate_only: false,
    });
    let requests = within(futures::stream::iter(requests), &bulk.1);
    let answers = submitter.intake().submit_returns(requests).await.unwrap();
    assert_eq!(answers.into_inner().count().await, 2);
    let wrong = qipp_tests::no_key();
    let stranger = Client::new(&served.url, &wrong, Duration::from_secs(60)).unwrap();
    let nothing = || ListMarkersRequest::default();
    stranger
        .registry()
        .list_markers(within(nothing(), &refused.1))
        .await
        .unwrap_err();
    submitter
        .registry()
        .list_markers(within(nothing(), &unrecorded.1))
        .await
        .unwrap();
    let evaluated = ListAlertsRequest {
        min_evaluated: cut,
        ..ListAlertsRequest::default()
    };
    client(&served, "national")
        .alerts()
        .list_alerts(evaluated)
        .await
        .unwrap();
    let keys = ["operator", "collector", "national"].map(|name| served.key(name));
    // What is still on its way is sent before it ends.
    let (_, lines) = served.terminate().await;

    let spans = collector.trace(&submission.0);
    let call = only(&spans, "qipp.intake.v1.IntakeService/SubmitReturn");
    assert_eq!(hex(&call.parent_span_id), CALLER);
    assert_eq!(call.kind(), SpanKind::Server);
    for (key, value) in [
        ("rpc.system", text("grpc")),
        ("rpc.service", text("qipp.intake.v1.IntakeService")),
        ("rpc.method", text("SubmitReturn")),
        ("rpc.grpc.status_code", number(0)),
        ("enduser.id", text("local-collector")),
    ] {
        assert_eq!(attribute(&call.attributes, key), value, "{call:?}");
    }
    assert_eq!(steps(&spans, call), ["validate", "append", "wait_for_fold"]);
    assert_eq!(spans.len(), 4);

    let spans = collector.trace(&query.0);
    let address = "/v1/organisations/{org_code}/series/{marker}";
    let call = only(&spans, &format!("GET {address}"));
    assert_eq!(hex(&call.parent_span_id), CALLER);
    for (key, value) in [
        ("http.request.method", text("GET")),
        ("http.route", text(address)),
        ("http.response.status_code", number(200)),
        ("enduser.id", text("local-national")),
    ] {
        assert_eq!(attribute(&call.attributes, key), value, "{call:?}");
    }
    assert_eq!(steps(&spans, call), ["compute"]);

    let spans = collector.trace(&bulk.0);
    let call = only(&spans, "qipp.intake.v1.IntakeService/SubmitReturns");
    assert_eq!(hex(&call.parent_span_id), CALLER);
    assert_eq!(steps(&spans, call), ["return", "return"]);
    for item in spans.iter().filter(|span| span.name == "return") {
        let of_item = steps(&spans, item);
        let expected = ["wait_for_place", "validate", "append", "wait_for_fold"];
        assert_eq!(of_item, expected);
    }

    let spans = collector.trace(&refused.0);
    let call = only(&spans, "qipp.registry.v1.RegistryService/ListMarkers");
    let attributes = &call.attributes;
    assert_eq!(attribute(attributes, "rpc.grpc.status_code"), number(16));
    assert_eq!(attribute(attributes, "error.type"), text("UNAUTHENTICATED"));
    assert_eq!(attribute(attributes, "enduser.id"), None);
    // The caller's mistake is no error of the server.
    let status = call.status.clone().unwrap_or_default();
    assert_eq!(status.code(), StatusCode::Unset);

    assert_eq!(collector.trace(&unrecorded.0), []);

    // The evaluator's passes, and the calls of callers without a trace, begin their own.
    let spans = collector.spans();
    let of = |name: &str| -> Vec<&Span> { spans.iter().filter(|span| span.name == name).collect() };
    for name in [
        "evaluate",
        "national_values",
        "qipp.registry.v1.RegistryService/RecordFacts",
    ] {
        assert!(!of(name).is_empty(), "{name}");
        assert!(of(name).iter().all(|span| span.parent_span_id.is_empty()));
    }
    let evaluation = of("evaluate")[0];
    assert_eq!(steps(&spans, evaluation)[0], "compute");

    // Health, reflection and the house's own sending are no calls.
    assert!(spans.iter().all(|span| !span.name.contains("grpc.")));
    let taken = collector.taken.lock().unwrap();
    for resource in taken.iter().flat_map(|request| &request.resource_spans) {
        let attributes = &resource.resource.as_ref().unwrap().attributes;
        assert_eq!(attribute(attributes, "service.name"), text("qipp"));
        let version = attribute(attributes, "service.version");
        assert_eq!(version, text(env!("CARGO_PKG_VERSION")));
    }
    // The lines are what they are without traces.
    let of_call = lines
        .lines()
        .filter(|line| line.contains("IntakeService/SubmitReturn\""));
    assert_eq!(of_call.count(), 1, "{lines}");
    for word in ["otel.", "rpc.", "enduser"] {
        assert!(!lines.contains(word), "{word} is in {lines}");
    }
    // No key, no header, and nothing of a return: not even whose it is.
    let said = format!("{taken:?}").to_lowercase();
    for key in keys.iter().chain([&wrong]) {
        let bare = key.trim_start_matches(qipp_access::KEY_PREFIX);
        assert!(!said.contains(&bare.to_lowercase()), "a key was sent");
    }
    for secret in [
        REMARK,
        "authorization",
        "bearer",
        "5a3",
        "rtt_adm",
        "2010-0",
    ] {
        assert!(!said.contains(secret), "{secret} was sent");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_had_to_wait_shows_it_and_a_ratio_of_nothing_leaves_those_who_ask() {
    let (collector, url) = Collector::start().await;
    let environment = [
        (ENDPOINT, url.as_str()),
        ("QIPP_SERVE__TRACES__RATIO", "0"),
        ("QIPP_SERVE__LIMITS__CALLS", "1"),
        ("QIPP_SERVE__LIMITS__CALLS_PER_PRINCIPAL", "1"),
    ];
    let served = Printing::start_with("info", &environment).await;
    let operations = served.operations.clone();
    let until = async |series: &str| {
        let http = Http::new(&operations, None);
        loop {
            let page = http.request("GET", "/metrics").send().await.unwrap();
            if page
                .text()
                .await
                .unwrap()
                .lines()
                .any(|line| line == series)
            {
                return;
            }
        }
    };
    // It holds the only place until the rest of its body comes. Nobody has asked for a trace of it.
    let mut holder = TcpStream::connect(served.url.trim_start_matches("http://"))
        .await
        .unwrap();
    let head = format!(
        "POST /v1/returns HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{",
        served.key("collector")
    );
    holder.write_all(head.as_bytes()).await.unwrap();
    until("qipp_calls_running 1").await;
    let (id, traceparent) = trace(1, true);
    let national = client(&served, "national");
    let waiting = tokio::spawn(async move {
        let request = within(ListMarkersRequest::default(), &traceparent);
        national.registry().list_markers(request).await
    });
    until("qipp_calls_waiting 1").await;
    holder.write_all(b"}").await.unwrap();
    holder.read_to_end(&mut Vec::new()).await.unwrap();
    waiting.await.unwrap().unwrap();
    served.terminate().await;
    let spans = collector.trace(&id);
    let call = only(&spans, "qipp.registry.v1.RegistryService/ListMarkers");
    assert_eq!(steps(&spans, call), ["wait_for_place", "compute"]);
    assert_eq!(collector.spans().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_is_said_once_and_the_service_works_on() {
    let (collector, url) = Collector::start().await;
    collector.refuses.send_replace(true);
    let often = ("OTEL_BSP_SCHEDULE_DELAY", "10");
    let served = Printing::start_with("info", &[(ENDPOINT, &url), often]).await;
    let national = client(&served, "national");
    let call = || async {
        let request = ListMarkersRequest::default();
        national.registry().list_markers(request).await.unwrap();
    };
    while *collector.asked.borrow() < 3 {
        call().await;
    }
    collector.refuses.send_replace(false);
    while collector.spans().is_empty() {
        call().await;
    }
    let (_, lines) = served.terminate().await;
    let said = |what: &str| lines.lines().filter(|line| line.contains(what)).count();
    assert_eq!(said("nobody takes the traces"), 1, "{lines}");
    assert_eq!(said("the traces are taken again"), 1, "{lines}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_whose_collector_is_not_there_answers_and_ends_in_order() {
    let nobody = nobody().await;
    let served = Printing::start_with("info", &[(ENDPOINT, &nobody)]).await;
    let request = ListMarkersRequest::default();
    let national = client(&served, "national");
    national.registry().list_markers(request).await.unwrap();
    // Asserts that it ends well.
    let (_, lines) = served.terminate().await;
    let said = lines.lines().filter(|line| line.contains("nobody takes"));
    assert_eq!(said.count(), 1, "{lines}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_endpoint_nothing_is_traced_whatever_else_the_environment_says() {
    let (collector, url) = Collector::start().await;
    let elsewhere = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &url),
        ("OTEL_TRACES_EXPORTER", "otlp"),
    ];
    let served = Printing::start_with("info", &elsewhere).await;
    let national = client(&served, "national");
    let request = within(ListMarkersRequest::default(), &trace(1, true).1);
    national.registry().list_markers(request).await.unwrap();
    served.terminate().await;
    assert_eq!(*collector.asked.borrow(), 0);
}

/// An address where nobody is.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_says_whether_there_are_traces_and_whether_somebody_takes_them() {
    let (collector, url) = Collector::start().await;
    let folder = tempfile::tempdir().unwrap();
    let check = async |endpoint: &str| {
        let mut check = command(folder.path());
        let check = check
            .env(ENDPOINT, endpoint)
            .env("QIPP_SERVE__OPERATIONS__LISTEN", "127.0.0.1:0")
            .args(["serve", "--listen", "127.0.0.1:0", "--check"]);
        let output = check.output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = check("").await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("serve.traces: off"), "{said}");
    let (code, said) = check(&url).await;
    assert_eq!((code, *collector.asked.borrow()), (Some(0), 1), "{said}");
    assert!(said.contains("takes them") && !said.contains("nobody"));
    assert_eq!(collector.spans(), []);
    // It would start all the same.
    let (code, said) = check(&nobody().await).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("WARNING  serve.traces: on, but nobody"),
        "{said}"
    );
    let (code, said) = check("collector:4317").await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("serve.traces.endpoint") && said.contains("http://127.0.0.1:4317"),
        "{said}"
    );
}

//! Which address stands for which rpc. Every unary rpc of the contract has exactly one.
//!
//! The names in braces are fields of the request message. For POST the body is the whole request message as JSON, so that the pointers of
//! an error fit what was sent; fields may also come in the query (`?validate_only=true`). For GET all fields come in path and query: nested ones with
//! dots (`read.known_at.time`), those of `filter` also without it, and `known_at` and `min_cut` are short for the fields of `read`.

/// The method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Writes, or computes.
    Post,
}

/// One address.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The method of HTTP.
    pub verb: Verb,
    /// The path, with fields of the request in braces.
    pub path: &'static str,
    /// Full name of the rpc, `package.Service/Method`.
    pub rpc: &'static str,
}

const fn get(path: &'static str, rpc: &'static str) -> Route {
    Route {
        verb: Verb::Get,
        path,
        rpc,
    }
}

const fn post(path: &'static str, rpc: &'static str) -> Route {
    Route {
        verb: Verb::Post,
        path,
        rpc,
    }
}

/// All addresses that stand for a unary rpc.
pub const TABLE: &[Route] = &[
    post("/v1/returns", "qipp.intake.v1.IntakeService/SubmitReturn"),
    post("/v1/schemes", "qipp.intake.v1.IntakeService/SubmitScheme"),
    post(
        "/v1/reference",
        "qipp.registry.v1.RegistryService/RecordFacts",
    ),
    get(
        "/v1/organisations",
        "qipp.registry.v1.RegistryService/ListOrganisations",
    ),
    get(
        "/v1/organisations/{org_code}",
        "qipp.registry.v1.RegistryService/GetOrganisation",
    ),
    get("/v1/trees", "qipp.registry.v1.RegistryService/ListTrees"),
    get(
        "/v1/trees/{tree}/nodes",
        "qipp.registry.v1.RegistryService/ListTreeNodes",
    ),
    get(
        "/v1/markers",
        "qipp.registry.v1.RegistryService/ListMarkers",
    ),
    get(
        "/v1/communities",
        "qipp.registry.v1.RegistryService/ListCommunities",
    ),
    get(
        "/v1/deadlines",
        "qipp.registry.v1.RegistryService/ListDeadlines",
    ),
    get(
        "/v1/organisations/{org_code}/series/{marker}",
        "qipp.projections.v1.ProjectionsService/GetSeries",
    ),
    get(
        "/v1/organisations/{org_code}/revisions/{dataset}/{period}",
        "qipp.projections.v1.ProjectionsService/ListRevisions",
    ),
    get(
        "/v1/organisations/{org_code}/savings",
        "qipp.projections.v1.ProjectionsService/GetSavingsPosition",
    ),
    get(
        "/v1/organisations/{org_code}/schemes",
        "qipp.projections.v1.ProjectionsService/ListSchemes",
    ),
    get(
        "/v1/completeness",
        "qipp.projections.v1.ProjectionsService/GetCompleteness",
    ),
    get(
        "/v1/trees/{tree}/rollups/{level}",
        "qipp.projections.v1.ProjectionsService/ListRollUps",
    ),
    get(
        "/v1/status",
        "qipp.projections.v1.ProjectionsService/GetStatus",
    ),
    get("/v1/alerts", "qipp.alerts.v1.AlertsService/ListAlerts"),
    get(
        "/v1/alerts/{alert_id}",
        "qipp.alerts.v1.AlertsService/GetAlert",
    ),
    post(
        "/v1/alerts/{alert_id}/acts",
        "qipp.alerts.v1.AlertsService/ActOnAlert",
    ),
    post(
        "/v1/alerts/{alert_id}/recompute",
        "qipp.alerts.v1.AlertsService/RecomputeAlert",
    ),
    get(
        "/v1/benchmarks/{marker}",
        "qipp.alerts.v1.AlertsService/ListBenchmarks",
    ),
    get(
        "/v1/assessments",
        "qipp.alerts.v1.AlertsService/ListAssessments",
    ),
    post(
        "/v1/replica/rebuild",
        "qipp.replica.v1.ReplicaService/StartRebuild",
    ),
    get(
        "/v1/replica/rebuild",
        "qipp.replica.v1.ReplicaService/GetRebuild",
    ),
    post(
        "/v1/replica/rebuild/switch",
        "qipp.replica.v1.ReplicaService/SwitchRebuild",
    ),
    post(
        "/v1/replica/rebuild/forget",
        "qipp.replica.v1.ReplicaService/ForgetRebuild",
    ),
];

/// CSV through `IntakeService/SubmitReturns`.
pub const UPLOAD_PATH: &str = "/v1/returns:csv";

/// Server-sent events of `AlertsService/WatchAlerts`.
pub const WATCH_PATH: &str = "/v1/alerts/watch";

/// The rpc behind [`WATCH_PATH`].
pub(crate) const WATCH_RPC: &str = "qipp.alerts.v1.AlertsService/WatchAlerts";

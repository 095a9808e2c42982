//! Joint decisions between domain and wire.

use qipp_domain::alert::JointEvidence;
use qipp_domain::marker::QualityDomain;
use qipp_domain::surveillance::{Assessment, NationalChange, PeerValue, Tier, Watched};

use crate::cut::{cut_to_proto, read_cut};
use crate::parse::{Faults, Path};
use crate::proto::events::v1 as wire;

/// A joint decision for the wire.
#[must_use]
pub fn assessment_to_proto(held: &Assessment) -> wire::AssessmentPublished {
    wire::AssessmentPublished {
        peer_group: held.peer_group.to_string(),
        period: held.period.to_string(),
        assessed: held.assessed,
        expected_false: held.expected_false,
        expected_false_watched: held.expected_false_watched,
        watched: held.watched.iter().map(watched_to_proto).collect(),
        national: held.national.iter().map(change_to_proto).collect(),
        peers: held.peers.iter().map(peer_to_proto).collect(),
        rule_set_version: held.rule_set_version.clone(),
        cut: Some(cut_to_proto(&held.cut)),
        simulated: held.simulated,
    }
}

fn watched_to_proto(held: &Watched) -> wire::Watched {
    wire::Watched {
        org_code: held.org.to_string(),
        tier: held.tier.name().to_owned(),
        chance_false: held.chance_false,
        savings_p: held.savings_p,
        quality_p: held.quality_p,
        domain: held.domain.name().to_owned(),
        since: held.since.to_string(),
        markers: held.markers.iter().map(ToString::to_string).collect(),
    }
}

fn change_to_proto(held: &NationalChange) -> wire::NationalChange {
    wire::NationalChange {
        marker: held.marker.to_string(),
        jump: held.jump,
    }
}

fn peer_to_proto(held: &PeerValue) -> wire::PeerValue {
    wire::PeerValue {
        marker: held.marker.to_string(),
        value: held.value,
    }
}

pub(super) fn joint_to_proto(joint: &JointEvidence) -> wire::JointEvidence {
    wire::JointEvidence {
        peer_group: joint.peer_group.to_string(),
        entry: Some(watched_to_proto(&joint.entry)),
        assessed: joint.assessed,
        listed: joint.listed,
        expected_false: joint.expected_false,
        decided_at: Some(cut_to_proto(&joint.decided_at)),
    }
}

/// A joint decision.
pub(crate) fn read_assessment(
    faults: &mut Faults,
    path: &Path<'_>,
    held: &wire::AssessmentPublished,
) -> Option<Assessment> {
    let peer_group = faults.slug(&path.at("peer_group"), &held.peer_group);
    let period = faults.period(&path.at("period"), &held.period);
    let watched = faults.list(path, "watched", &held.watched, read_watched);
    let national = faults.list(path, "national", &held.national, read_change);
    let peers = faults.list(path, "peers", &held.peers, |faults, path, held| {
        let marker = faults.marker(&path.at("marker"), &held.marker)?;
        let value = held.value;
        Some(PeerValue { marker, value })
    });
    let cut = faults.required(&path.at("cut"), held.cut.as_ref());
    let cut = cut.and_then(|cut| read_cut(faults, &path.at("cut"), cut));
    Some(Assessment {
        peer_group: peer_group?,
        period: period?,
        assessed: held.assessed,
        expected_false: held.expected_false,
        expected_false_watched: held.expected_false_watched,
        watched: watched?,
        national: national?,
        peers: peers?,
        rule_set_version: held.rule_set_version.clone(),
        cut: cut?,
        simulated: held.simulated,
    })
}

fn read_watched(faults: &mut Faults, path: &Path<'_>, held: &wire::Watched) -> Option<Watched> {
    let org = faults.org(&path.at("org_code"), &held.org_code);
    let (tiers, domains) = (
        Tier::NAMES.map(|(_, name)| name),
        QualityDomain::NAMES.map(|(_, name)| name),
    );
    let tier = Tier::from_name(&held.tier);
    let tier = faults.named(&path.at("tier"), &held.tier, tier, &tiers);
    let domain = QualityDomain::from_name(&held.domain);
    let domain = faults.named(&path.at("domain"), &held.domain, domain, &domains);
    let since = faults.period(&path.at("since"), &held.since);
    let markers = faults.list(path, "markers", &held.markers, |faults, path, text| {
        faults.marker(path, text)
    });
    Some(Watched {
        org: org?,
        tier: tier?,
        chance_false: held.chance_false,
        savings_p: held.savings_p,
        quality_p: held.quality_p,
        domain: domain?,
        since: since?,
        markers: markers?,
    })
}

fn read_change(
    faults: &mut Faults,
    path: &Path<'_>,
    held: &wire::NationalChange,
) -> Option<NationalChange> {
    let marker = faults.marker(&path.at("marker"), &held.marker)?;
    let jump = held.jump;
    Some(NationalChange { marker, jump })
}

pub(super) fn read_joint(
    faults: &mut Faults,
    path: &Path<'_>,
    joint: &wire::JointEvidence,
) -> Option<JointEvidence> {
    let peer_group = faults.slug(&path.at("peer_group"), &joint.peer_group);
    let entry = faults.required(&path.at("entry"), joint.entry.as_ref());
    let entry = entry.and_then(|entry| read_watched(faults, &path.at("entry"), entry));
    let cut = faults.required(&path.at("decided_at"), joint.decided_at.as_ref());
    let cut = cut.and_then(|cut| read_cut(faults, &path.at("decided_at"), cut));
    Some(JointEvidence {
        peer_group: peer_group?,
        entry: entry?,
        assessed: joint.assessed,
        listed: joint.listed,
        expected_false: joint.expected_false,
        decided_at: cut?,
    })
}

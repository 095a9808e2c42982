//! Quality returns as the log stores them. The figures are the domain's own packed form, so a rebuild copies them and reads no text.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use qipp_domain::returns::{Body, Column, Observations, Return, ReturnContent, Shape};
use qipp_domain::{Breakdown, MarkerCode, SeriesKey};

use super::precondition;
use crate::names;
use crate::parse::{Faults, Path};
use crate::proto::events::v1 as wire;

/// Most shapes that a thread remembers. There are some hundred in a nation; a log that was made to have more is only read more slowly.
const MOST_SHAPES: usize = 4_096;

thread_local! {
    /// Shapes by their bytes. What it returns is what reading the bytes again would return.
    static SHAPES: RefCell<HashMap<Bytes, Arc<Shape>>> = RefCell::default();
    /// The one that was read last: neighbours in the log mostly have the same shape, and comparing is quicker than hashing.
    static LAST: RefCell<Option<(Bytes, Arc<Shape>)>> = RefCell::default();
    /// The bytes of shapes. What it returns is what writing the shape again would return.
    static WRITTEN: RefCell<HashMap<Arc<Shape>, Bytes>> = RefCell::default();
}

pub(super) fn to_proto(ret: &Return, observations: &Observations) -> wire::PackedReturn {
    wire::PackedReturn {
        org_code: ret.org.to_string(),
        period: ret.period.to_string(),
        status: names::status_to_proto(ret.content.status).into(),
        idempotency_key: ret.precondition.idempotency_key.clone(),
        expected_revision: ret.precondition.expected_revision,
        source: ret.content.source.clone(),
        narrative: ret.content.narrative.clone(),
        shape: written(observations.shape()),
        figures: Bytes::copy_from_slice(observations.figures()),
    }
}

fn written(shape: &Arc<Shape>) -> Bytes {
    WRITTEN.with_borrow_mut(|written| {
        if let Some(bytes) = written.get(shape) {
            return bytes.clone();
        }
        let bytes = Bytes::from(shape_to_proto(shape).encode_to_vec());
        remember(written, Arc::clone(shape), bytes.clone());
        bytes
    })
}

fn remember<K: Eq + Hash, V>(held: &mut HashMap<K, V>, key: K, value: V) {
    if held.len() == MOST_SHAPES {
        held.clear();
    }
    held.insert(key, value);
}

fn shape_to_proto(shape: &Shape) -> wire::Shape {
    let columns = shape.columns();
    let simulated = columns.iter().map(|column| column.simulated);
    wire::Shape {
        // As it is shown: the marker, and after a space its part.
        series: columns
            .iter()
            .map(|column| column.key.to_string())
            .collect(),
        definition_versions: columns.iter().map(|c| c.definition_version).collect(),
        simulated: match simulated.clone().any(|simulated| simulated) {
            true => simulated.collect(),
            false => Vec::new(),
        },
    }
}

pub(super) fn read(
    faults: &mut Faults,
    path: &Path<'_>,
    ret: wire::PackedReturn,
) -> Option<Return> {
    let org = faults.org(&path.at("org_code"), &ret.org_code);
    let period = faults.period(&path.at("period"), &ret.period);
    let status = faults.choice(&path.at("status"), ret.status, names::status_from_proto);
    let shape = shape_of(faults, &path.at("shape"), &ret.shape)?;
    let observations = match Observations::from_parts(shape, &ret.figures) {
        Ok(observations) => observations,
        Err(error) => {
            faults.add(&path.at("figures"), "FIGURES_INVALID", error.to_string());
            return None;
        }
    };
    Some(Return {
        org: org?,
        period: period?,
        content: ReturnContent {
            status: status?,
            source: ret.source,
            narrative: ret.narrative,
            body: Body::Quality(observations),
        },
        precondition: precondition(ret.idempotency_key, ret.expected_revision),
    })
}

fn shape_of(faults: &mut Faults, path: &Path<'_>, bytes: &Bytes) -> Option<Arc<Shape>> {
    let last = LAST.with_borrow(|last| {
        let (held, shape) = last.as_ref()?;
        (held == bytes).then(|| Arc::clone(shape))
    });
    if last.is_some() {
        return last;
    }
    let held = SHAPES.with_borrow(|shapes| {
        let (bytes, shape) = shapes.get_key_value(bytes)?;
        Some((bytes.clone(), Arc::clone(shape)))
    });
    let (bytes, shape) = match held {
        Some(held) => held,
        None => {
            let shape = Arc::new(read_shape(faults, path, bytes)?);
            // A copy: the bytes that came are a part of something larger, which would be kept with them.
            let bytes = Bytes::copy_from_slice(bytes);
            SHAPES.with_borrow_mut(|shapes| remember(shapes, bytes.clone(), Arc::clone(&shape)));
            (bytes, shape)
        }
    };
    LAST.set(Some((bytes, Arc::clone(&shape))));
    Some(shape)
}

fn read_shape(faults: &mut Faults, path: &Path<'_>, bytes: &Bytes) -> Option<Shape> {
    let mut invalid = |what: String| {
        faults.add(path, "SHAPE_INVALID", what);
        None
    };
    let shape = match wire::Shape::decode(bytes.clone()) {
        Ok(shape) => shape,
        Err(error) => return invalid(format!("is no shape: {error}")),
    };
    let count = shape.series.len();
    let simulated = match shape.simulated.len() {
        0 => vec![false; count],
        _ => shape.simulated,
    };
    if shape.definition_versions.len() != count || simulated.len() != count {
        return invalid("has not one version and one flag for each series".into());
    }
    let mut columns = Vec::with_capacity(count);
    for ((series, definition_version), simulated) in shape
        .series
        .iter()
        .zip(shape.definition_versions)
        .zip(simulated)
    {
        match series_key(series) {
            Ok(key) => columns.push(Column {
                key,
                definition_version,
                simulated,
            }),
            Err(what) => return invalid(what),
        }
    }
    match Shape::new(columns) {
        Ok(shape) => Some(shape),
        Err(error) => invalid(error.to_string()),
    }
}

fn series_key(text: &str) -> Result<SeriesKey, String> {
    let (marker, breakdown) = match text.split_once(' ') {
        None => (text, None),
        Some((marker, part)) => (marker, Some(part)),
    };
    Ok(SeriesKey {
        marker: MarkerCode::new(marker).map_err(|error| error.to_string())?,
        breakdown: breakdown
            .map(Breakdown::new)
            .transpose()
            .map_err(|error| error.to_string())?,
    })
}

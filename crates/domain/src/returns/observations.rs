//! The observations of a return, packed: a nation of ten years is some 10⁸ of them, and they have to fit into memory.
//!
//! What a return speaks about (which series, under which version of the definition) hardly changes from month to month, so it is held
//! once, as a [`Shape`], and shared. What remains are the figures, which are small numbers and are held as such:
//!
//! ```text
//! per observation, in the order of the shape:
//!   0 … 4                   no figure, and the reason: its index in `Missing::NAMES`
//!   8 | whole(4) …          a value:                   head byte, numerator
//!   16 | whole(4) | whole(2)  numerator and denominator: head byte, numerator, denominator
//! ```
//!
//! A number is a zigzag varint, of units when its `whole` bit is set (4: numerator, 2: denominator) and otherwise of thousandths.
//! There is one encoding of given observations only, so equal bytes under equal shapes are equal figures. The log stores these bytes
//! as they are (`PackedReturn` in `proto/qipp/events/v1/returns.proto`).

use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Measured, Missing, Observation, Value};
use crate::{Quantity, SeriesKey};

const VALUE: u8 = 8;
const PARTS: u8 = 16;
const WHOLE_NUMERATOR: u8 = 4;
const WHOLE_DENOMINATOR: u8 = 2;

/// What one observation of a return is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    /// Marker and part.
    pub key: SeriesKey,
    /// Version of the definition that the figures follow.
    pub definition_version: u32,
    /// The figures are simulated.
    pub simulated: bool,
}

/// What a return speaks about: its columns, in order of their keys, each key once.
#[derive(Debug)]
pub struct Shape {
    columns: Box<[Column]>,
    hash: u64,
}

impl Shape {
    /// A shape of these columns.
    ///
    /// # Errors
    /// [`PackError::Order`] when their keys are not in ascending order.
    pub fn new(columns: Vec<Column>) -> Result<Self, PackError> {
        if columns
            .windows(2)
            .any(|pair| pair[0].key.cmp(&pair[1].key) != Ordering::Less)
        {
            return Err(PackError::Order);
        }
        let mut hasher = DefaultHasher::new();
        columns.hash(&mut hasher);
        Ok(Self {
            columns: columns.into(),
            hash: hasher.finish(),
        })
    }

    /// The columns.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn place(&self, key: SeriesKey) -> Option<usize> {
        self.columns
            .binary_search_by(|column| column.key.cmp(&key))
            .ok()
    }
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.columns == other.columns
    }
}

impl Eq for Shape {}

impl Hash for Shape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Why columns and figures are not observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PackError {
    /// A key comes twice, or before a smaller one.
    #[error("the series are not in ascending order, each once")]
    Order,
    /// The figures do not fit the columns, or are not written in the one way that they may be.
    #[error(
        "the figures are not those of the series: they are cut off, too many or not in canonical form"
    )]
    Figures,
}

/// The observations of a return, in the order of their keys.
#[derive(Clone, Debug)]
pub struct Observations {
    shape: Arc<Shape>,
    figures: Box<[u8]>,
}

impl PartialEq for Observations {
    fn eq(&self, other: &Self) -> bool {
        (Arc::ptr_eq(&self.shape, &other.shape) || self.shape == other.shape)
            && self.figures == other.figures
    }
}

impl Eq for Observations {}

impl Observations {
    /// Observations of a shape, from packed figures.
    ///
    /// # Errors
    /// [`PackError::Figures`].
    pub fn from_parts(shape: Arc<Shape>, figures: &[u8]) -> Result<Self, PackError> {
        let mut rest = figures;
        for _ in shape.columns() {
            take_checked(&mut rest).ok_or(PackError::Figures)?;
        }
        if !rest.is_empty() {
            return Err(PackError::Figures);
        }
        let figures = figures.into();
        Ok(Self { shape, figures })
    }

    /// What they are about.
    #[must_use]
    pub fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// The figures, packed.
    #[must_use]
    pub fn figures(&self) -> &[u8] {
        &self.figures
    }

    /// The same observations, with an equal shape that others share.
    pub(crate) fn share(&mut self, shape: &Arc<Shape>) {
        debug_assert_eq!(&self.shape, shape);
        self.shape = Arc::clone(shape);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.columns.len()
    }

    /// Are there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shape.columns.is_empty()
    }

    /// The values, in the order of the shape.
    pub fn values(&self) -> impl Iterator<Item = Value> + '_ {
        self.scaled().map(Value::from)
    }

    /// The figures as they are packed, in the order of the shape.
    pub(crate) fn scaled(&self) -> impl Iterator<Item = Figure> + '_ {
        let mut rest = &*self.figures;
        (0..self.len()).map(move |_| take(&mut rest))
    }

    /// The observations, in order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = Observation> + '_ {
        self.shape
            .columns
            .iter()
            .zip(self.values())
            .map(|(column, value)| observation(column, value))
    }

    /// The observation of a series.
    #[must_use]
    pub fn get(&self, key: SeriesKey) -> Option<Observation> {
        let place = self.shape.place(key)?;
        let value = self.values().nth(place)?;
        Some(observation(&self.shape.columns[place], value))
    }
}

fn observation(column: &Column, value: Value) -> Observation {
    Observation {
        key: column.key,
        definition_version: column.definition_version,
        value,
        simulated: column.simulated,
    }
}

impl From<Vec<Observation>> for Observations {
    /// Sorts by key; of several observations of a key the first stays, as validation lets none other through.
    fn from(mut observations: Vec<Observation>) -> Self {
        observations.sort_by_key(|o| o.key);
        observations.dedup_by_key(|o| o.key);
        let mut figures = Vec::with_capacity(observations.len() * 8);
        let columns = observations.iter().map(|o| {
            put(&mut figures, o.value.into());
            Column {
                key: o.key,
                definition_version: o.definition_version,
                simulated: o.simulated,
            }
        });
        let shape = Shape::new(columns.collect()).expect("sorted and each once");
        Self {
            shape: Arc::new(shape),
            figures: figures.into(),
        }
    }
}

impl FromIterator<Observation> for Observations {
    fn from_iter<I: IntoIterator<Item = Observation>>(observations: I) -> Self {
        Self::from(observations.into_iter().collect::<Vec<_>>())
    }
}

/// A figure as it is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// No figure.
    Missing(Missing),
    /// Numerator, and denominator where there is one.
    Measured(Scaled, Option<Scaled>),
}

/// A number in the largest scale in which it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scaled {
    /// Whole units.
    Units(i64),
    /// Thousandths of a number that is not whole.
    Thousandths(i64),
}

impl From<Quantity> for Scaled {
    #[inline]
    fn from(quantity: Quantity) -> Self {
        let thousandths = quantity.thousandths();
        match thousandths % 1000 {
            0 => Self::Units(thousandths / 1000),
            _ => Self::Thousandths(thousandths),
        }
    }
}

impl From<Scaled> for Quantity {
    /// Of packed figures, which were checked, nothing is ever so large that it has to be cut.
    #[inline]
    fn from(number: Scaled) -> Self {
        Self::from_thousandths(match number {
            Scaled::Units(units) => units.saturating_mul(1000),
            Scaled::Thousandths(thousandths) => thousandths,
        })
    }
}

impl From<Value> for Figure {
    fn from(value: Value) -> Self {
        match value {
            Value::Missing(missing) => Self::Missing(missing),
            Value::Measured(measured) => Self::Measured(
                measured.numerator.into(),
                measured.denominator.map(Scaled::from),
            ),
        }
    }
}

impl From<Figure> for Value {
    #[inline]
    fn from(figure: Figure) -> Self {
        match figure {
            Figure::Missing(missing) => Self::Missing(missing),
            Figure::Measured(numerator, denominator) => Self::Measured(Measured {
                numerator: numerator.into(),
                denominator: denominator.map(Quantity::from),
            }),
        }
    }
}

fn put(figures: &mut Vec<u8>, figure: Figure) {
    match figure {
        Figure::Missing(missing) => {
            let index = Missing::NAMES.iter().position(|(held, _)| *held == missing);
            let index = index.and_then(|index| u8::try_from(index).ok());
            figures.push(index.expect("every reason is listed, and there are few"));
        }
        Figure::Measured(numerator, None) => {
            figures.push(VALUE | bit(numerator, WHOLE_NUMERATOR));
            put_number(figures, numerator);
        }
        Figure::Measured(numerator, Some(denominator)) => {
            let numerator_bit = bit(numerator, WHOLE_NUMERATOR);
            figures.push(PARTS | numerator_bit | bit(denominator, WHOLE_DENOMINATOR));
            put_number(figures, numerator);
            put_number(figures, denominator);
        }
    }
}

fn bit(number: Scaled, whole: u8) -> u8 {
    match number {
        Scaled::Units(_) => whole,
        Scaled::Thousandths(_) => 0,
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the low seven bits are meant"
)]
fn put_number(figures: &mut Vec<u8>, number: Scaled) {
    let (Scaled::Units(number) | Scaled::Thousandths(number)) = number;
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        figures.push((rest as u8) | 0x80);
        rest >>= 7;
    }
    figures.push(rest as u8);
}

/// Takes the next figure off figures that were checked when they were packed.
#[inline]
fn take(rest: &mut &[u8]) -> Figure {
    take_any(rest).unwrap_or(Figure::Missing(Missing::NotSubmitted))
}

#[inline]
fn take_any(rest: &mut &[u8]) -> Option<Figure> {
    let (&head, tail) = rest.split_first()?;
    *rest = tail;
    if head < VALUE {
        let (missing, _) = Missing::NAMES.get(usize::from(head))?;
        return Some(Figure::Missing(*missing));
    }
    let numerator = take_scaled(rest, head & WHOLE_NUMERATOR != 0)?;
    let denominator = match head & PARTS {
        0 => None,
        _ => Some(take_scaled(rest, head & WHOLE_DENOMINATOR != 0)?),
    };
    Some(Figure::Measured(numerator, denominator))
}

#[inline]
fn take_scaled(rest: &mut &[u8], whole: bool) -> Option<Scaled> {
    let number = take_number(rest)?;
    Some(match whole {
        true => Scaled::Units(number),
        false => Scaled::Thousandths(number),
    })
}

/// A number of up to eight bytes is read at once: a rebuild reads hundreds of millions of them.
#[inline]
fn take_number(rest: &mut &[u8]) -> Option<i64> {
    const CONTINUES: u64 = 0x8080_8080_8080_8080;
    let Some(bytes) = rest.first_chunk() else {
        return take_number_by_byte(rest);
    };
    let word = u64::from_le_bytes(*bytes);
    let ends = !word & CONTINUES;
    if ends == 0 {
        return take_number_by_byte(rest);
    }
    let length = ends.trailing_zeros() / 8 + 1;
    let word = word & (u64::MAX >> (64 - 8 * length));
    // A longer way to write the same number is not canonical.
    if length > 1 && word >> (8 * (length - 1)) == 0 {
        return None;
    }
    // Seven bits of each byte, drawn together in pairs, fours and eights.
    let sevens = word & !CONTINUES;
    let pairs = (sevens & 0x007f_007f_007f_007f) | ((sevens & 0x7f00_7f00_7f00_7f00) >> 1);
    let fours = (pairs & 0x0000_3fff_0000_3fff) | ((pairs & 0x3fff_0000_3fff_0000) >> 2);
    let all = (fours & 0x0fff_ffff) | ((fours & 0x0fff_ffff_0000_0000) >> 4);
    *rest = &rest[length as usize..];
    Some(of_zigzag(all))
}

/// The end of the figures, and what is longer than eight bytes.
fn take_number_by_byte(rest: &mut &[u8]) -> Option<i64> {
    let mut zigzag = 0_u64;
    for (index, &byte) in rest.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if index == 9 && bits > 1 {
            return None;
        }
        zigzag |= bits << (7 * index);
        if byte & 0x80 == 0 {
            if byte == 0 && index > 0 {
                return None;
            }
            *rest = &rest[index + 1..];
            return Some(of_zigzag(zigzag));
        }
    }
    None
}

#[inline]
fn of_zigzag(zigzag: u64) -> i64 {
    (zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed())
}

/// Takes the next figure and holds it to the canonical form: no bit that means nothing, no number in thousandths that is whole, none
/// that thousandths can't hold.
#[inline]
fn take_checked(rest: &mut &[u8]) -> Option<()> {
    let (&head, _) = rest.split_first()?;
    let known = match head {
        0..VALUE => true,
        VALUE..PARTS => head & !(VALUE | WHOLE_NUMERATOR) == 0,
        _ => head & !(PARTS | WHOLE_NUMERATOR | WHOLE_DENOMINATOR) == 0,
    };
    let canonical = match take_any(rest)? {
        Figure::Missing(_) => true,
        Figure::Measured(numerator, denominator) => {
            is_canonical(numerator) && denominator.is_none_or(is_canonical)
        }
    };
    (known && canonical).then_some(())
}

#[inline]
fn is_canonical(number: Scaled) -> bool {
    match number {
        Scaled::Units(units) => units.checked_mul(1000).is_some(),
        Scaled::Thousandths(thousandths) => thousandths % 1000 != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MarkerCode;

    fn key(code: &str) -> SeriesKey {
        SeriesKey::whole(MarkerCode::new(code).unwrap())
    }

    fn of(code: &str, value: Value) -> Observation {
        Observation {
            key: key(code),
            definition_version: 1,
            value,
            simulated: false,
        }
    }

    fn measured(numerator: i64, denominator: Option<i64>) -> Value {
        Value::Measured(Measured {
            numerator: Quantity::from_thousandths(numerator),
            denominator: denominator.map(Quantity::from_thousandths),
        })
    }

    fn every_kind() -> Vec<Observation> {
        let values = [
            measured(0, None),
            measured(1, None),
            measured(-5_000, Some(0)),
            measured(9_000_000_000_000_000_000, Some(i64::MAX)),
            measured(i64::MIN, Some(1_234_567)),
        ];
        let reasons = Missing::NAMES.map(|(missing, _)| Value::Missing(missing));
        let all = values.into_iter().chain(reasons);
        all.enumerate()
            .map(|(i, value)| of(&format!("M{i:02}"), value))
            .collect()
    }

    #[test]
    fn what_was_packed_is_read_back() {
        let sent = every_kind();
        let packed = Observations::from(sent.clone());
        assert_eq!(packed.iter().collect::<Vec<_>>(), sent);
        for observation in &sent {
            assert_eq!(packed.get(observation.key), Some(*observation));
        }
        assert_eq!(packed.get(key("OTHER")), None);
        let again = Observations::from_parts(Arc::clone(packed.shape()), packed.figures());
        assert_eq!(again, Ok(packed));
    }

    #[test]
    fn a_number_is_the_same_read_at_once_and_byte_by_byte() {
        let edges = (0..63).flat_map(|bit| [(1_i64 << bit) - 1, 1 << bit, -(1_i64 << bit)]);
        let edges = edges.chain([i64::MIN, i64::MAX]);
        for number in edges {
            let mut written = Vec::new();
            put_number(&mut written, Scaled::Units(number));
            let length = written.len();
            written.extend_from_slice(&[0xff; 8]);
            let (mut at_once, mut by_byte) = (&written[..], &written[..length]);
            assert_eq!(take_number(&mut at_once), Some(number));
            assert_eq!(take_number_by_byte(&mut by_byte), Some(number));
            assert_eq!((at_once.len(), by_byte.len()), (8, 0), "{number}");
        }
        for longer in [&[0x80, 0][..], &[0xff, 0x80, 0]] {
            let padded = [longer, &[0; 8]].concat();
            assert_eq!(take_number(&mut &padded[..]), None);
            assert_eq!(take_number_by_byte(&mut &padded[..]), None);
        }
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let mut turned = every_kind();
        turned.reverse();
        assert_eq!(Observations::from(turned), every_kind().into());
    }

    #[test]
    fn a_whole_count_takes_few_bytes() {
        let sent = vec![of("AE_4H", measured(9_412_000, Some(10_003_000)))];
        assert_eq!(Observations::from(sent).figures().len(), 1 + 3 + 3);
    }

    #[test]
    fn figures_that_are_not_canonical_are_refused() {
        let one = |figures: &[u8]| {
            let shape = Observations::from(vec![of("A", measured(0, None))]);
            Observations::from_parts(Arc::clone(shape.shape()), figures).map(drop)
        };
        assert_eq!(one(&[VALUE | WHOLE_NUMERATOR, 0]), Ok(()));
        let refused: [&[u8]; 8] = [
            &[],
            &[VALUE | WHOLE_NUMERATOR],
            &[VALUE | WHOLE_NUMERATOR, 0, 0],
            &[VALUE, 0],
            &[VALUE | WHOLE_NUMERATOR, 0x80, 0],
            &[VALUE | WHOLE_NUMERATOR | 1, 0],
            &[7],
            &[
                VALUE | WHOLE_NUMERATOR,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
            ],
        ];
        for figures in refused {
            assert_eq!(one(figures), Err(PackError::Figures), "{figures:?}");
        }
    }

    #[test]
    fn keys_come_in_order_and_each_once() {
        let column = |code| Column {
            key: key(code),
            definition_version: 1,
            simulated: false,
        };
        assert!(Shape::new(vec![column("A"), column("B")]).is_ok());
        assert_eq!(
            Shape::new(vec![column("A"), column("A")]),
            Err(PackError::Order)
        );
        assert_eq!(
            Shape::new(vec![column("B"), column("A")]),
            Err(PackError::Order)
        );
    }
}

//! As much of Kafka's protocol as it takes to ask a broker which brokers it knows: `Metadata`, version 1, about no topic.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A broker that does not answer within this is not ready.
const PATIENCE: Duration = Duration::from_secs(2);
/// The answer for a few brokers has a few hundred bytes.
const MOST: u32 = 1 << 16;

/// The numbers of the brokers that this one knows to be in service.
pub(crate) fn brokers(of: SocketAddr) -> io::Result<BTreeSet<usize>> {
    let mut stream = TcpStream::connect_timeout(&of, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&request())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > MOST {
        return Err(broken());
    }
    let mut answer = vec![0; usize::try_from(length).map_err(|_| broken())?];
    stream.read_exact(&mut answer)?;
    read(&answer).ok_or_else(broken)
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not an answer of a broker")
}

/// Key 3, version 1, correlation 7, no client's name, an empty list of topics.
fn request() -> Vec<u8> {
    let body = [
        &3_u16.to_be_bytes()[..],
        &1_u16.to_be_bytes(),
        &7_u32.to_be_bytes(),
        &(-1_i16).to_be_bytes(),
        &0_u32.to_be_bytes(),
    ]
    .concat();
    let length = u32::try_from(body.len()).expect("14 bytes");
    [&length.to_be_bytes()[..], &body].concat()
}

/// Correlation, then the list of brokers: number, host, port, rack.
fn read(answer: &[u8]) -> Option<BTreeSet<usize>> {
    let mut rest = answer;
    if take::<4>(&mut rest)? != 7_u32.to_be_bytes() {
        return None;
    }
    let count = u32::from_be_bytes(take(&mut rest)?);
    let mut brokers = BTreeSet::new();
    for _ in 0..count {
        brokers.insert(usize::try_from(i32::from_be_bytes(take(&mut rest)?)).ok()?);
        skip_string(&mut rest)?;
        take::<4>(&mut rest)?;
        skip_string(&mut rest)?;
    }
    Some(brokers)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}

/// A negative length is a string that is absent.
fn skip_string(rest: &mut &[u8]) -> Option<()> {
    let length = i16::from_be_bytes(take(rest)?);
    *rest = rest.get(usize::try_from(length.max(0)).ok()?..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn an_answer_cut_short_anywhere_is_no_answer() {
        let broker = |number: u8| {
            [
                &[0, 0, 0, number][..],
                &[0, 1, b'h'],
                &[0, 0, 35, 132],
                &[255, 255],
            ]
            .concat()
        };
        let whole = [&[0, 0, 0, 7, 0, 0, 0, 2][..], &broker(0), &broker(2)].concat();
        assert_eq!(read(&whole), Some([0, 2].into()));
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), None, "{end} bytes");
        }
    }
}

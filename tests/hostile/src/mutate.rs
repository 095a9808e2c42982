//! A small mutator for the bounded run: it knows bytes, lines, cells and the words of a target, and is the same for the same seed.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Longest input that it makes, bytes.
const MAX_LENGTH: usize = 4_096;

/// Makes inputs out of a corpus.
#[derive(Debug)]
pub struct Mutator<'a> {
    random: ChaCha8Rng,
    corpus: &'a [Vec<u8>],
    words: &'a [&'static str],
}

impl<'a> Mutator<'a> {
    /// A mutator that makes the same inputs for the same seed and corpus.
    #[must_use]
    pub fn new(seed: u64, corpus: &'a [Vec<u8>], words: &'a [&'static str]) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            corpus,
            words,
        }
    }

    /// The next input: one of the corpus, changed in one to six places.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.pick().to_vec();
        for _ in 0..self.random.random_range(1..=6) {
            self.change(&mut input);
        }
        input.truncate(MAX_LENGTH);
        input
    }

    fn pick(&mut self) -> &'a [u8] {
        if self.corpus.is_empty() {
            return &[];
        }
        &self.corpus[self.random.random_range(0..self.corpus.len())]
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.random.random_range(0..=input.len());
        match self.random.random_range(0..10) {
            0 if at < input.len() => input[at] ^= 1 << self.random.random_range(0..8),
            1 if at < input.len() => input[at] = self.random.random(),
            2 => input.truncate(at),
            3 => drop(input.drain(self.range(input.len()))),
            4 => {
                let copy = input[self.range(input.len())].to_vec();
                insert(input, at, &copy);
            }
            5 => {
                let other = self.pick();
                let part = &other[self.range(other.len())];
                insert(input, at, part);
            }
            6 | 7 => {
                let word = self.word();
                insert(input, at, word);
            }
            // A whole cell, line or number gives way to a word: what people get wrong.
            8 => {
                let cell = cell_around(input, at);
                let word = self.word();
                input.splice(cell, word.iter().copied());
            }
            _ => {
                let times = self.random.random_range(2..64);
                let copy = input[cell_around(input, at)].repeat(times);
                insert(input, at, &copy);
            }
        }
    }

    fn word(&mut self) -> &'a [u8] {
        if self.words.is_empty() {
            return b"\0";
        }
        self.words[self.random.random_range(0..self.words.len())].as_bytes()
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let from = self.random.random_range(0..=length);
        let most = (length - from).min(64);
        from..from + self.random.random_range(0..=most)
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if input.len() + bytes.len() <= MAX_LENGTH {
        input.splice(at..at, bytes.iter().copied());
    }
}

/// From the separator before a place to the one behind it.
fn cell_around(input: &[u8], at: usize) -> std::ops::Range<usize> {
    let ends = |byte: &u8| b",;\t\n\r\"&=.~:{}[]".contains(byte);
    let from = input[..at].iter().rposition(ends).map_or(0, |i| i + 1);
    let to = input[at..]
        .iter()
        .position(ends)
        .map_or(input.len(), |i| at + i);
    from..to
}

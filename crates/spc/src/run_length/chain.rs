//! Expected steps to the exit of a Markov chain, without subtractions.

/// A chain of `n` states: where a step goes to, or out.
#[derive(Debug)]
pub(super) struct Chain {
    /// `n × n`, row by row: probability of a step from row to column. The diagonal is not read: it is what is left.
    steps: Vec<f64>,
    /// Probability of leaving, from each state.
    exits: Vec<f64>,
}

impl Chain {
    /// A chain with `step(from, to)` and `exit(from)`, all of which are probabilities.
    pub(super) fn new(
        states: usize,
        step: impl Fn(usize, usize) -> f64,
        exit: impl Fn(usize) -> f64,
    ) -> Self {
        let mut steps = Vec::with_capacity(states * states);
        for from in 0..states {
            steps.extend((0..states).map(|to| step(from, to)));
        }
        let exits = (0..states).map(exit).collect();
        Self { steps, exits }
    }

    /// The expected number of steps until the chain leaves, the last one included, from each state; infinite where it never does.
    ///
    /// States are taken out one by one, from the last; a path through one becomes a step past it. Solving the linear equations as usual
    /// takes differences `1 − p` of numbers that are close when exits are rare, and loses all digits when the time is
    /// beyond 10¹⁶. Here the probability of moving on is the *sum* of the ways to move on, so every number is made from positive ones by adding,
    /// multiplying and dividing, and keeps its relative accuracy.
    ///
    /// Source: Grassmann, Taksar & Heyman (1985), Oper. Res. 33:1107; O'Cinneide (1993), Numer. Math. 65:109 (accuracy).
    pub(super) fn expected_steps(mut self) -> Vec<f64> {
        let states = self.exits.len();
        let mut times = vec![1.0; states];
        for last in (1..states).rev() {
            let (rest, row) = self.steps.split_at_mut(last * states);
            let row = &row[..last];
            let moves_on = row.iter().sum::<f64>() + self.exits[last];
            for (from, others) in rest.chunks_exact_mut(states).enumerate() {
                // How often the state is visited before one of the others.
                let visits = others[last] / moves_on;
                if visits == 0.0 {
                    continue;
                }
                for (step, onward) in others.iter_mut().zip(row) {
                    *step += visits * onward;
                }
                self.exits[from] += visits * self.exits[last];
                times[from] += visits * times[last];
            }
        }
        // Of the first state, what is left is to stay or to leave; each other one only leads to those before it.
        times[0] /= self.exits[0];
        for state in 1..states {
            let row = &self.steps[state * states..][..state];
            let moves_on = row.iter().sum::<f64>() + self.exits[state];
            let onward: f64 = row.iter().zip(&times).map(|(step, time)| step * time).sum();
            times[state] = (times[state] + onward) / moves_on;
        }
        times
    }
}

#[cfg(test)]
mod tests {
    use super::Chain;

    #[test]
    fn a_chain_of_two_states_by_hand() {
        // From 0: half to 1, a quarter out; from 1: a third to 0, a third out. t0 = 1 + t0/4 + t1/2, t1 = 1 + t0/3 + t1/3.
        let steps = [[9.0, 0.5], [1.0 / 3.0, 9.0]];
        let exits = [0.25, 1.0 / 3.0];
        let times = Chain::new(2, |from, to| steps[from][to], |from| exits[from]).expected_steps();
        assert!((times[0] - 3.5).abs() < 1e-14 && (times[1] - 3.25).abs() < 1e-14);
    }

    #[test]
    fn rare_exits_keep_their_digits() {
        // A walk on 0 … n that climbs with probability p and else falls back to 0, and leaves from n: Σ p^{−j}, j = 1 … n + 1.
        let (n, p) = (60_usize, 1e-3_f64);
        let step = |from: usize, to: usize| match to {
            0 => 1.0 - p,
            _ if to == from + 1 => p,
            _ => 0.0,
        };
        let exit = |from: usize| if from == n { p } else { 0.0 };
        let times = Chain::new(n + 1, step, exit).expected_steps();
        let powers = |exponent: usize| (0..exponent).fold(1.0, |power, _| power / p);
        let expected: f64 = (1..=n + 1).map(powers).sum();
        assert!((times[0] / expected - 1.0).abs() < 1e-12);
    }
}

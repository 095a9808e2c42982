mod simulate;
use qipp_spc::surveillance::*;
use simulate::*;
use std::collections::BTreeMap;

#[derive(Default)]
struct Score { fdr: f64, months: f64, alerted: f64, falses: f64, any: f64, d3: f64, d6: f64, d11: f64, targets: f64, pool: Vec<(f64,bool,bool)>, target_months: f64, full_months: f64, secs: f64, calib: [[f64;3];12],
}
fn run(s: &Scenario, seed: u64, start: usize, step: usize, diag: bool) -> Score {
    let n = nation(s, seed);
    let panel = Panel { units: s.organisations, series: SERIES, months: s.months, values: n.values.clone(), starts: vec![0; s.organisations], design: Design { savings: 0, domains: (0..DOMAINS).map(|d| (0..5).map(|i| 1 + d*5+i).collect()).collect() } };
    let mut sc = Score::default();
    let mut first: BTreeMap<usize, usize> = BTreeMap::new();
    let t0 = std::time::Instant::now();
    for end in (start+1..=s.months).step_by(step) {
        let a = assess(&panel, end, &Options::default(), seed*1000 + end as u64).unwrap();
        let t = end - 1;
        let truth = |u: usize| n.kind[u]==Kind::Both && t >= n.onset[u];
        for u in 0..s.organisations {
            if truth(u) { sc.target_months += 1.0; if t >= n.onset[u]+2 { sc.full_months += 1.0; } }
            if let Some(p) = &a.judgements[u] { let both = p.states[3]; if both > 0.002 || truth(u) { sc.pool.push((both, truth(u), t >= n.onset[u] + 2)); }
              let b = ((both*10.0) as usize).min(9); sc.calib[b][0]+=1.0; sc.calib[b][1]+=both; sc.calib[b][2]+= truth(u) as u8 as f64; }
        }
        let f = a.alerts.iter().filter(|u| !truth(u.unit)).count() as f64;
        sc.months += 1.0; sc.falses += f; sc.alerted += a.alerts.len() as f64;
        if !a.alerts.is_empty() { sc.fdr += f / a.alerts.len() as f64; sc.any += 1.0; }
        for u in &a.alerts { if truth(u.unit) { first.entry(u.unit).or_insert(t); } }
    }
    sc.secs = t0.elapsed().as_secs_f64();
    for u in 0..s.organisations { if n.kind[u]==Kind::Both { sc.targets += 1.0; if let Some(t) = first.get(&u) { let d = t - n.onset[u]; if d < 3 {sc.d3+=1.0} if d < 6 {sc.d6+=1.0} if d < 11 {sc.d11+=1.0} } } }
    sc
}
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let names = args.get(1).map_or("A,B,C,E,N", |s| s.as_str());
    let seeds: u64 = args.get(2).map_or(4, |s| s.parse().unwrap());
    let flags = args.get(3).map_or("", |s| s.as_str());
    let step = if flags.contains('3') {3} else {1}; let diag = flags.contains('d');
    for name in names.split(',') {
        let mut s = Scenario::named(name);
        if flags.contains('r') { s.onset = Onset::Random }
        if flags.contains('0') { s.scatter = Scatter::None }
        if flags.contains('s') { s.scatter = Scatter::Shared }
        let mut all: Vec<Score> = Vec::new();
        std::thread::scope(|scope| {
            let hs: Vec<_> = (0..2).map(|k| { let s = &s; scope.spawn(move || (0..seeds).filter(|i| i%2==k).map(|i| run(s, 90000+i, 24, step, diag)).collect::<Vec<_>>()) }).collect();
            for h in hs { all.extend(h.join().unwrap()); }
        });
        let sum = |f: fn(&Score)->f64| all.iter().map(f).sum::<f64>();
        let m = sum(|s| s.months);
        let mut pool: Vec<_> = all.iter().flat_map(|s| s.pool.iter().copied()).collect();
        pool.sort_by(|a,b| b.0.total_cmp(&a.0));
        let (mut tp, mut full, mut best, mut best_full) = (0.0, 0.0, 0.0, 0.0);
        for (i,(_,t,f)) in pool.iter().enumerate() { if *t {tp+=1.0} if *t && *f {full+=1.0} if (i as f64+1.0-tp)/(i as f64+1.0) <= 0.1 { best = tp; best_full = full } }
        let tg = sum(|s| s.targets).max(1.0);
        println!("{:2} fdr {:.3} false/m {:.2} any {:.3} d3 {:.2} d6 {:.2} d11 {:.2} orgmonth {:.3} matched {:.3} full {:.3} ({:.2} s/assess)", s.name, sum(|s| s.fdr)/m, sum(|s| s.falses)/m, sum(|s| s.any)/m, sum(|s| s.d3)/tg, sum(|s| s.d6)/tg, sum(|s| s.d11)/tg,
          (sum(|s| s.alerted)-sum(|s| s.falses))/sum(|s| s.target_months).max(1.0), best/sum(|s| s.target_months).max(1.0), best_full/sum(|s| s.full_months).max(1.0), sum(|s| s.secs)/m);
        if flags.contains('c') { for b in 0..10 { let g = |k: usize| all.iter().map(|s| s.calib[b][k]).sum::<f64>(); println!("   {:.1} n {:6} mean {:.3} true {:.3}", b as f64/10.0, g(0), g(1)/g(0), g(2)/g(0)); } }
    }
}

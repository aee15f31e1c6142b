//! Resources as the files of cgroup v2. Documentation/admin-guide/cgroup-v2.rst.

use super::resources::{BlockIo, Cpu, Memory, Rate, Resources};

/// Something to write into a file of a cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// In the cgroup's directory.
    pub file: String,
    /// Written line by line: the kernel reads one setting from each write(2).
    pub value: String,
    /// Where this kernel has no such file.
    pub absent: Absent,
}

/// What to do where a file is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absent {
    /// Nothing would enforce it: an error.
    Refuse,
    /// It holds without.
    Skip,
    /// Write this into that file: (file, value).
    Instead(String, String),
}

impl Write {
    fn new(file: impl Into<String>, value: impl ToString) -> Self {
        Self { file: file.into(), value: value.to_string(), absent: Absent::Refuse }
    }

    fn skip(self) -> Self {
        Self { absent: Absent::Skip, ..self }
    }

    /// The controller that makes the file.
    pub fn controller(&self) -> &str {
        self.file.split_once('.').map_or("", |(controller, _)| controller)
    }
}

/// The writes, in an order that a fresh cgroup takes.
pub fn writes(resources: &Resources) -> Vec<Write> {
    let mut out = Vec::new();
    if let Some(pids) = resources.pids {
        out.push(Write::new("pids.max", limit(pids)));
    }
    memory(&resources.memory, &mut out);
    io(&resources.block_io, &mut out);
    cpu(&resources.cpu, &mut out);
    for (size, bytes) in &resources.hugepages {
        out.push(Write::new(format!("hugetlb.{size}.max"), bytes));
        // Reservations (Linux 5.7) have a limit of their own; without, a container could reserve what it may not use.
        out.push(Write::new(format!("hugetlb.{size}.rsvd.max"), bytes).skip());
    }
    for (device, limits) in &resources.rdma {
        out.push(Write::new("rdma.max", rdma(device, *limits)));
    }
    for (file, value) in &resources.unified {
        out.push(Write::new(file, value));
    }
    out
}

/// A line of `rdma.max`, the same on v1.
pub fn rdma(device: &str, (handles, objects): (Option<u32>, Option<u32>)) -> String {
    let handles = handles.map_or(String::new(), |n| format!(" hca_handle={n}"));
    let objects = objects.map_or(String::new(), |n| format!(" hca_object={n}"));
    format!("{device}{handles}{objects}")
}

fn limit(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

/// The specification's `swap` is memory and swap together, v2 counts swap alone; -1 is no limit, and memory without a
/// limit lifts that of swap too unless one is given.
///
/// # Errors
/// What is wrong with the two, in words.
pub fn swap(memory: &Memory) -> Result<Option<i64>, &'static str> {
    match (memory.limit, memory.swap) {
        (Some(-1), None) => Ok(Some(-1)),
        (_, None) => Ok(None),
        (_, Some(-1)) => Ok(Some(-1)),
        (Some(-1), Some(swap)) => Ok(Some(swap)),
        (None, Some(_)) => Err("needs memory.limit, of which it holds the sum with swap"),
        (Some(limit), Some(swap)) if swap < limit => {
            Err("is less than memory.limit, of which it holds the sum with swap")
        }
        (Some(limit), Some(swap)) => Ok(Some(swap - limit)),
    }
}

fn memory(memory: &Memory, out: &mut Vec<Write>) {
    // A plan with an error here has been refused.
    if let Ok(Some(swap)) = swap(memory) {
        let write = Write::new("memory.swap.max", limit(swap));
        // Without swap accounting there is nothing that swap's limit could be above or below.
        out.push(if swap <= 0 { write.skip() } else { write });
    }
    if let Some(bytes) = memory.limit {
        out.push(Write::new("memory.max", limit(bytes)));
    }
    if let Some(bytes) = memory.reservation {
        out.push(Write::new("memory.low", limit(bytes)));
    }
}

/// runc's straight line from 10..1000 to 1..10000.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight).saturating_sub(10)) * 9999 / 990
}

fn io(io: &BlockIo, out: &mut Vec<Write>) {
    // BFQ takes the weight as it is; the other scheduler of weights (iocost) has its own file and scale.
    let weight = |value: String, instead: String| Write {
        file: "io.bfq.weight".to_owned(),
        value,
        absent: Absent::Instead("io.weight".to_owned(), instead),
    };
    if let Some(w) = io.weight {
        out.push(weight(w.to_string(), io_weight(w).to_string()));
    }
    for d in &io.weight_device {
        if let Some(w) = d.weight {
            out.push(weight(format!("{} {w}", d.device), format!("{} {}", d.device, io_weight(w))));
        }
    }
    for t in &io.throttle {
        let key = match t.of {
            Rate::ReadBps => "rbps",
            Rate::WriteBps => "wbps",
            Rate::ReadIops => "riops",
            Rate::WriteIops => "wiops",
        };
        let rate = if t.rate == 0 { "max".to_owned() } else { t.rate.to_string() };
        out.push(Write::new("io.max", format!("{} {key}={rate}", t.device)));
    }
}

/// Shares of v1 as a weight of v2: the curve through both minima, defaults and maxima that runc and crun use
/// (`10^((l² + 125 l) / 612 - 7/34)` with `l = log2(shares)`).
pub fn cpu_weight(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    let l = (shares as f64).log2();
    10f64.powf((l * l + 125.0 * l) / 612.0 - 7.0 / 34.0).ceil() as u64
}

/// The most shares of v1 that come to no more than a weight of v2, and so to that weight: 1024 for 100.
pub fn cpu_shares(weight: u64) -> u64 {
    let (mut least, mut most) = (2_u64, 262_144_u64);
    while least < most {
        let middle = (least + most).div_ceil(2);
        match cpu_weight(middle) <= weight {
            true => least = middle,
            false => most = middle - 1,
        }
    }
    least
}

fn cpu(cpu: &Cpu, out: &mut Vec<Write>) {
    if let Some(idle) = cpu.idle {
        out.push(Write::new("cpu.idle", idle));
    }
    // An idle cgroup has no weight: the kernel refuses one.
    if let (Some(shares), true) = (cpu.shares, cpu.idle != Some(1)) {
        out.push(Write::new("cpu.weight", cpu_weight(shares)));
    }
    if cpu.quota.is_some() || cpu.period.is_some() {
        let quota = cpu.quota.map_or("max".to_owned(), limit);
        out.push(Write::new("cpu.max", format!("{quota} {}", cpu.period.unwrap_or(100_000))));
    }
    if let Some(burst) = cpu.burst {
        out.push(Write::new("cpu.max.burst", burst));
    }
    if let Some(cpus) = &cpu.cpus {
        out.push(Write::new("cpuset.cpus", cpus));
    }
    if let Some(mems) = &cpu.mems {
        out.push(Write::new("cpuset.mems", mems));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights() {
        let weights =
            [(0, 1), (2, 1), (3, 2), (512, 59), (1024, 100), (2048, 174), (262_144, 10_000), (u64::MAX, 10_000)];
        for (shares, weight) in weights {
            assert_eq!(cpu_weight(shares), weight, "{shares}");
        }
    }

    #[test]
    fn weights_survive_as_shares() {
        assert_eq!([1, 100, 10_000].map(cpu_shares), [2, 1024, 262_144]);
        for weight in 1..=10_000 {
            assert_eq!(cpu_weight(cpu_shares(weight)), weight);
        }
    }

    #[test]
    fn io_weights_span_the_range() {
        assert_eq!((io_weight(10), io_weight(500), io_weight(1000)), (1, 4950, 10_000));
    }

    #[test]
    fn swap_is_what_is_left_of_the_sum() {
        let swap = |limit, swap| super::swap(&Memory { limit, swap, ..Memory::default() });
        assert_eq!(swap(Some(100), Some(150)), Ok(Some(50)));
        assert_eq!(swap(Some(100), Some(100)), Ok(Some(0)));
        assert_eq!(swap(Some(100), Some(-1)), Ok(Some(-1)));
        assert_eq!(swap(Some(-1), None), Ok(Some(-1)));
        assert_eq!(swap(Some(-1), Some(7)), Ok(Some(7)));
        assert_eq!(swap(Some(100), None), Ok(None));
        assert!(swap(Some(100), Some(99)).is_err());
        assert!(swap(None, Some(99)).is_err());
    }
}

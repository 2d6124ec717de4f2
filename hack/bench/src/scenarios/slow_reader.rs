//! GETs beside clients that asked the same agent for large lists and stopped reading: whether they slow the others.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::time::{error::Elapsed, timeout};

use super::{
    Row,
    beside::{self, Round, Speed},
    counted,
};
use crate::{
    args,
    contestants::{Contestant, Task},
    load::{Crew, Encoding, Expected, Protocol, Reader, Stalled, fetch_whole},
    meter::{Memory, Meter},
    objects::{ConfigMap, MIXED, NAMESPACE, collection},
    plot::Plot,
    report::Report,
    stage::Stage,
};

/// All contestants at one number of clients that do not read.
#[derive(Debug, Serialize)]
struct Comparison {
    stalled: usize,
    /// Of the list that they do not read.
    list_bytes: usize,
    value_bytes: usize,
    clients: usize,
    protocol: Protocol,
    /// Of each half of a turn.
    seconds: f64,
    rows: Vec<Row<Round>>,
}

/// What is asked for, and what the answers are.
#[derive(Debug)]
struct Answers {
    object: (String, Expected),
    list: (String, Expected),
}

pub(crate) async fn run(args: &args::SlowReader) -> Result<()> {
    let stage = Stage::set(Task::SlowReader, &args.turns.contestants, &args.common).await?;
    let object = ConfigMap::managed("quick", args.size).within(MIXED);
    stage.api_server.create([object.clone()]).await?;
    eprintln!("creating {} ConfigMaps", args.items);
    let item = |number| ConfigMap::managed(format!("item-{number:05}"), ITEM);
    stage.api_server.create((0..args.items).map(item)).await?;
    let mut connection = stage.api_server.endpoint().connect(Protocol::Http1).await?;
    let body = fetch_whole(&mut connection, &object.path(), Encoding::Json).await?;
    let list = fetch_whole(&mut connection, &collection(NAMESPACE), Encoding::Json).await?;
    let list_bytes = list.len();
    let answers = Answers {
        object: (object.path(), Expected::object(body)),
        list: (collection(NAMESPACE), Expected::list(list, Encoding::Json)?),
    };
    let mut comparisons = Vec::new();
    for &stalled in &args.stalled {
        for contestant in &stage.contestants {
            contestant.forget_peak()?;
        }
        let mut comparison = Comparison {
            stalled,
            list_bytes,
            value_bytes: args.size,
            clients: args.clients,
            protocol: args.common.protocol(),
            seconds: args.seconds / 2.0,
            rows: stage.contestants.iter().map(|contestant| Row::new(contestant.kind)).collect(),
        };
        for number in 1..=args.turns.rounds {
            for (place, contestant) in stage.contestants.iter().enumerate() {
                let round = comparison.turn(&stage, contestant, &answers).await;
                let round = round.with_context(|| format!("{}, round {number}", contestant.kind))?;
                eprintln!("round {number}/{}, {}, {stalled} stalled: {round}", args.turns.rounds, contestant.kind);
                comparison.rows.get_mut(place).context("a row")?.rounds.push(round);
            }
        }
        for (contestant, row) in stage.contestants.iter().zip(&mut comparison.rows) {
            row.memory = Memory::of(&contestant.at_rest)?;
        }
        println!("{}", beside::table(comparison.title(), &comparison.rows));
        comparisons.push(comparison);
    }
    println!("{}", stage.surroundings.line());
    let report = Report { scenario: "slow-reader", surroundings: &stage.surroundings, tables: &comparisons };
    let mut plot = Plot::new("GETs beside clients that do not read", stage.surroundings.line());
    let title = format!("{}, {}", counted(args.clients, "client"), args.common.protocol());
    let named = comparisons.iter().map(|one| (format!("beside {}", one.stalled), one.rows.as_slice()));
    plot.section(title, beside::panels(&named.collect::<Vec<_>>()));
    println!("{}", report.write(&plot)?);
    Ok(())
}

// === impl Comparison ===

impl Comparison {
    async fn turn(&self, stage: &Stage, contestant: &Contestant, answers: &Answers) -> Result<Round> {
        let endpoint = &contestant.endpoint;
        let time = Duration::from_secs_f64(self.seconds);
        let (path, expected) = &answers.object;
        let mut crew = Reader::crew(endpoint, self.protocol, self.clients, path, expected).await?;
        // What others left behind, the API server's garbage above all, is not theirs.
        let mut before = f64::INFINITY;
        for _ in 0..SLICES {
            let meter = Meter::start(contestant.parts(), &stage.backend)?;
            let burst = crew.run(SLICE).await.context("warming up")?;
            let now = meter.stop(burst.requests())?.api_server();
            if now >= 0.8 * before {
                break;
            }
            before = now;
        }
        let meter = Meter::start(contestant.parts(), &stage.backend)?;
        let burst = crew.run(time).await?;
        let quiet = meter.stop(burst.requests())?.api_server();
        let alone = Speed::of(&burst);
        let mut stalled = Vec::with_capacity(self.stalled);
        let patience = if contestant.kind.is_rival() { RIVALS_PATIENCE } else { PATIENCE };
        for begun in 0..self.stalled {
            let (path, expected) = &answers.list;
            let begin = timeout(patience, Stalled::begin(endpoint, self.protocol, path, expected)).await;
            match begin.context("a large list did not begin").flatten() {
                Ok(one) => stalled.push(one),
                // Nobody else gets anything either, then.
                Err(error) if contestant.kind.is_rival() && begun > 0 && never_came(&error) => {
                    eprintln!("note: {}, beside {begun} stalled: {error:#}", contestant.kind);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        let beside = match self.beside(stage, contestant, &mut crew, quiet).await {
            Err(error) if contestant.kind.is_rival() && never_came(&error) => {
                eprintln!("note: {}, beside {} stalled: {error:#}", contestant.kind, stalled.len());
                Speed::none()
            }
            beside => beside?,
        };
        // One goes on, to its end; the others leave.
        let one = stalled.pop().context("nobody is stalled")?;
        drop(stalled);
        timeout(PATIENCE, one.resume()).await.context("a large list did not go on")??;
        Ok(Round { alone, beside })
    }

    /// What the crew gets beside those who do not read, when `quiet` is what a request costs the API server otherwise.
    async fn beside(
        &self,
        stage: &Stage,
        contestant: &Contestant,
        crew: &mut Crew<Reader>,
        quiet: f64,
    ) -> Result<Speed> {
        // Until all buffers on the way are full the large lists still flow. Whether they do shows at their source, which
        // has no part in what is measured.
        for _ in 0..SLICES {
            let meter = Meter::start(contestant.parts(), &stage.backend)?;
            let burst = crew.run(SLICE).await.context("while the large lists begin")?;
            if meter.stop(burst.requests())?.api_server() <= 1.5 * quiet {
                break;
            }
        }
        let time = Duration::from_secs_f64(self.seconds);
        Ok(Speed::of(&crew.run(time).await.context("beside clients that do not read")?))
    }

    fn title(&self) -> String {
        let Self { stalled, list_bytes, value_bytes, clients, protocol, seconds, rows } = self;
        let rounds = rows.first().map_or(0, |row| row.rounds.len());
        format!(
            "GET of a ConfigMap of {value_bytes} bytes, {protocol}, clients: {clients}, alone and beside {stalled} that \
             asked for {:.1} MB and do not read\nmedians of {rounds} rounds of {seconds} s each",
            *list_bytes as f64 / 1e6,
        )
    }
}

/// Whether an answer was waited for in vain, and none was wrong.
fn never_came(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<Elapsed>())
}

/// Size of the value of each item of the large list.
const ITEM: usize = 20_000;

/// Between two looks at whether nothing else goes on, and how often that is looked at, at most.
const SLICE: Duration = Duration::from_millis(500);
const SLICES: usize = 20;

/// How long a large list may be in coming.
const PATIENCE: Duration = Duration::from_secs(30);

/// The same where it may well never come. After a minute in all kube-apiserver gives up what is not read
/// (`--request-timeout`), and of that half is for a GET beside.
const RIVALS_PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_was_waited_for_in_vain_is_no_wrong_answer() {
        let late = timeout(PATIENCE, std::future::pending::<()>()).await.context("no answer").context("GETs beside");
        assert!(never_came(&late.unwrap_err()));
        assert!(!never_came(&anyhow!("the body is not the API server's").context("no answer")));
    }
}

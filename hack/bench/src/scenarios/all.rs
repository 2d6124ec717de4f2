//! One scenario after the other, each on a stage of its own. One that fails does not keep the others from being measured.

use anyhow::{Context, Result, bail};
use tokio::time::Instant;

use crate::{
    args,
    contestants::{Nginx, Ours, Programs},
};

pub(crate) async fn run(args: &args::All) -> Result<()> {
    // Not after the first scenarios, which take minutes.
    let rivals = args.program.rivals.iter().collect::<Vec<_>>();
    Programs::find(&[], &rivals, &args.program).await?;
    let binary = Ours::program(&args.program, args.quick).await?;
    let binary = binary.to_str().context("the path of the program is no text")?;
    let with_chain = match Nginx::locate_or_install().await {
        Ok(_) => true,
        // Whoever checks that everything works is not kept from it.
        Err(error) if args.quick => {
            eprintln!("note: the chain is left out: {error:#}");
            false
        }
        Err(error) => return Err(error),
    };
    let mut failed = Vec::new();
    for (line, scenario) in args.scenarios(binary, with_chain)? {
        println!("== {line}");
        let start = Instant::now();
        // Boxed, as it is this function's caller.
        if let Err(error) = Box::pin(super::run(&scenario)).await {
            eprintln!("bench: {line}: {error:#}");
            failed.push(line);
        }
        eprintln!("took {:.0} s", start.elapsed().as_secs_f64());
    }
    if !failed.is_empty() {
        bail!("{} failed: {}", failed.len(), failed.join("; "));
    }
    Ok(())
}

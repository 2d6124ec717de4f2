//! Builds the test cluster's programs, or runs a cluster until Ctrl-C.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use envtest::{Assets, Cluster, ClusterOptions, sample};

#[derive(Debug, Parser)]
#[command(about)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Find or build the programs, and print where they are.
    Build,
    /// Run a cluster with the sample application until Ctrl-C.
    Up {
        /// Also write the administrator's kubeconfig here.
        #[arg(long, value_name = "FILE")]
        kubeconfig_out: Option<PathBuf>,
        /// Keep the cluster's directory, with logs and etcd's data.
        #[arg(long)]
        keep: bool,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let assets = Assets::locate_or_build(|line| eprintln!("{line}")).await?;
    match args.command {
        Command::Build => {
            for (name, path) in assets.iter() {
                println!("{name}\t{}", path.display());
            }
            Ok(())
        }
        Command::Up { kubeconfig_out, keep } => up(&assets, kubeconfig_out, keep).await,
    }
}

async fn up(assets: &Assets, kubeconfig_out: Option<PathBuf>, keep: bool) -> Result<()> {
    let cluster = Cluster::start(assets, ClusterOptions { keep_dir: keep, ..ClusterOptions::default() }).await?;
    sample::apply(&cluster).await?;
    if let Some(path) = &kubeconfig_out {
        std::fs::copy(cluster.kubeconfig_path(), path).with_context(|| format!("writing {}", path.display()))?;
    }
    println!("api server  {}", cluster.api_server_url());
    println!("kubeconfig  {}", kubeconfig_out.unwrap_or_else(|| cluster.kubeconfig_path()).display());
    println!("kubectl     {}", cluster.kubectl_path().display());
    println!("pod logs    {}", cluster.kubelet_dir().display());
    println!("ready; Ctrl-C ends it");
    tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")
}

//! Every scenario runs, as small as it goes, so that none can rot unnoticed. No figure is looked at, but for one kind that
//! is exact: what the API server was asked for.

use std::{collections::BTreeSet, fs, io::ErrorKind, path::Path, process::Command};

use serde_json::Value;

#[test]
fn every_scenario_runs_and_an_answer_costs_no_more_requests_than_it_must() {
    let program = Path::new(env!("CARGO_BIN_EXE_bench"));
    let folder = program.ancestors().nth(2).unwrap().join("bench/quick");
    // Nothing of an earlier run.
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("{}: {error}", folder.display()),
        _ => {}
    }
    let output = Command::new(program).args(["all", "--quick"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");

    // Each left its figures and its plot.
    let written = |ending: &str| {
        let paths = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let paths = paths.filter(|path| path.extension().is_some_and(|other| other == ending));
        paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let (figures, plots) = (written("json"), written("svg"));
    assert_eq!(figures, plots);
    let told = String::from_utf8_lossy(&output.stdout);
    for line in told.lines().filter_map(|line| line.strip_prefix("== ")) {
        let scenario = line.split(' ').next().unwrap();
        let scenario = if line.contains("--http2") { format!("{scenario}-http2") } else { scenario.to_owned() };
        assert!(plots.contains(&scenario), "{scenario} has no plot: {plots:?}");
        let plot = fs::read_to_string(folder.join(&scenario).with_extension("svg")).unwrap();
        assert!(plot.contains("<rect") && plot.contains(">ours<"), "nothing of ours in the plot of {scenario}: {plot}");
    }

    let read = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["tables"].as_array().unwrap().clone()
    };
    // A Pod, its ReplicaSet and its Deployment; and of what is changed, what it is. Requests for the same owner at the same
    // moment may be one.
    for (name, direct, ours) in [("get-owned.json", 1.0, 3.0), ("mutate.json", 1.0, 2.0)] {
        for table in read(name) {
            for row in table["rows"].as_array().unwrap() {
                let most = if row["contestant"] == "ours" { ours } else { direct };
                for round in row["rounds"].as_array().unwrap() {
                    let asked = round["asked"].as_f64().unwrap();
                    let requests = round["requests"].as_f64().unwrap();
                    // The API server counts a request when it has been answered, so one at each end of a turn may be
                    // counted in another: all that an answer costs, for each of the two clients.
                    let blur = 2.0 * most / requests;
                    assert!(asked <= most + blur && asked >= 1.0 - blur, "{name}, {}: {asked}", row["contestant"]);
                }
            }
        }
    }
}

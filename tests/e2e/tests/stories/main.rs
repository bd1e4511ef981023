use lb_e2e::*;
use lb_lab::story::{self, Story, Told};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
fn main() -> ExitCode {
    story::main(vec![Story::new("fake", 60, fake)], || {
        artifacts::prepare(Path::new(env!("CARGO_BIN_EXE_saboteur")))
    })
}
fn fake() -> Told {
    let mut s = Scene::new(Setting::new(Start::Sabotage, config::scenario(config::QUICK)))?;
    s.vm().wait_for_prompt(Duration::from_secs(30))?;
    println!("prompt after {:?}", s.vm().powered_on.elapsed());
    println!("{:?}", s.vm().command("hello world")?);
    println!("{:?}", s.vm().json("version")?);
    println!("{:?}", s.vm().config_put(&config::scenario(config::QUICK))?);
    let sab = s.saboteur()?;
    println!("{}", sab.kernel_state()?);
    println!("{:?}", sab.sh("ls -la /")); println!("{:?}",sab.sh("saboteur resident")); println!("{:?}",sab.kill_agent()); Err("show")?;
    Ok(())
}

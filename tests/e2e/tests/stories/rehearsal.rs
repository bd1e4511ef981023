//! What no reader of the file can see and the kernel refuses: it is told at its place, and nothing of the machine has changed. A hundred rehearsals leave
//! nothing behind, and one that cannot be made stops nobody.

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::sabotage::Saboteur;
use lb_e2e::{Scene, Setting, Start, Stream};
use lb_lab::story::Told;
use lb_lab::{LabError, Result};

const ADDRESSES: &str = "addresses = [\"192.168.0.1/24\"]\n";
/// How many network namespaces there may be.
const LIMIT: &str = "/proc/sys/user/max_net_namespaces";
/// What other things take and give back meanwhile.
const SLACK_KB: u64 = 4_096;
const TIMES: usize = 100;

/// The scenario with more on its outer interface; and what the kernel says of it.
fn refused() -> [(String, &'static str); 2] {
    let with = |lines: &str| scenario(QUICK).replacen(ADDRESSES, lines, 1);
    let behind = "addresses = [\"192.168.0.1/24\", \"2001:db8::1/64\"]\nroutes = [\n\
                  { to = \"2001:db8::fd/128\", via = \"2001:db8::fe\" },\n{ to = \"3000::/16\", via = \"2001:db8::fd\" },\n]\n";
    [
        (
            with(&format!("{ADDRESSES}gateway = \"fe80::5054:ff:fe00:1\"\n")),
            "lb.toml:6:11: the kernel refuses `add route ::/0 via fe80::5054:ff:fe00:1 dev eth0`: EINVAL (Gateway can not be a local address)",
        ),
        (
            with(behind),
            "lb.toml:8:8: the kernel refuses `add route 3000::/16 via 2001:db8::fd dev eth0`: EHOSTUNREACH",
        ),
    ]
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_told(said: &str, told: &str) {
    assert!(
        one_line(said).contains(told),
        "`{told}` was not said, but:\n{said}"
    );
}

pub fn rehearsed_before_applied() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Sabotage, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    let saboteur = scene.saboteur()?;
    let (state, shown) = (saboteur.kernel_state()?, scene.vm().command("config show")?);
    let stream = Stream::start("host01", lb_e2e::scene::SERVICE);
    for (text, told) in refused() {
        for options in ["--comment tried", "--confirm 10m"] {
            let said = scene.vm().config_put_with(options, &text)?;
            assert_told(&said, told);
            assert_told(&said, "Nothing was changed.");
        }
        assert_eq!(saboteur.kernel_state()?, state);
    }
    // The last of them.
    scene.screen_is_as_kept("rehearsed_before_applied/refused", "lb.toml:")?;
    assert_eq!(scene.vm().command("config show")?, shown);
    let status = scene.vm().json("status")?;
    assert!(status["config"]["pending"].is_null(), "{status:#}");
    nothing_is_left_behind(&mut scene, &saboteur)?;
    assert_eq!(saboteur.kernel_state()?, state);
    past_it(&mut scene, &saboteur)?;
    more_vlans_than_a_flowtable_takes(&mut scene, &saboteur)?;
    not_without_namespaces(&mut scene, &saboteur)?;
    stream.stop().assert_all_pages(20, "while others were refused");
    scene.rows_1_to_5()?;
    Ok(())
}

/// With room for a few namespaces at a time.
fn nothing_is_left_behind(scene: &mut Scene, saboteur: &Saboteur) -> Told {
    let (text, told) = &refused()[0];
    saboteur.run(&["saboteur", "write", "/config/lb.toml", text])?;
    let most: u64 = number(&saboteur.proc(LIMIT.trim_start_matches("/proc/"))?)?;
    saboteur.run(&["saboteur", "write", LIMIT, "8"])?;
    assert_told(&scene.vm().command("config check")?, told);
    let before = available_kb(saboteur)?;
    let begun = std::time::Instant::now();
    let mut tried = 0;
    for _ in 0..TIMES {
        let said = scene.vm().command("config check")?;
        tried += usize::from(one_line(&said).contains(told));
    }
    let after = available_kb(saboteur)?;
    println!(
        "{tried} of {TIMES} rehearsals in {:?}; {before} kB were available, and {after} kB are",
        begun.elapsed()
    );
    // A namespace that has just ended may still count.
    assert!(
        tried > TIMES * 9 / 10,
        "only {tried} of {TIMES} were made: namespaces are not given back"
    );
    assert!(
        after + SLACK_KB > before,
        "{before} kB were available, and {after} kB are"
    );
    saboteur.run(&["saboteur", "write", LIMIT, &most.to_string()])?;
    Ok(())
}

/// Who knows better, and on trial.
fn past_it(scene: &mut Scene, saboteur: &Saboteur) -> Told {
    let (text, told) = &refused()[0];
    assert_told(&scene.vm().command("config diff")?, told);
    // A trial needs an lb.toml that is in force.
    saboteur.run(&["saboteur", "write", "/config/lb.toml", &scenario(QUICK)])?;
    let said = scene
        .vm()
        .config_put_with("--without-rehearsal --confirm 10m", text)?;
    assert_told(&said, "was not tried out before: --without-rehearsal was given");
    assert_told(&said, "in part: the kernel refused");
    let said = scene.vm().command("config abort")?;
    assert_told(&said, "The former configuration is in force again");
    scene.vm().config_put(&scenario(QUICK))?;
    Ok(())
}

/// NFT_NETDEVICE_MAX is 256. The VLANs have their addresses, and the rules are in force.
fn more_vlans_than_a_flowtable_takes(scene: &mut Scene, saboteur: &Saboteur) -> Told {
    let vlan = |id: u16| {
        let (high, low) = (id / 200, id % 200);
        format!(
            "[[interface]]\nname = \"v{id}\"\nvlan = {{ link = \"eth1\", id = {id} }}\naddresses = [\"10.{high}.{low}.1/24\"]\n"
        )
    };
    let vlans: String = (1..=300).map(vlan).collect();
    let said = scene.vm().config_put(&format!("{}\n{vlans}", scenario(QUICK)))?;
    assert_told(&said, "OK. Applied");
    let state = saboteur.kernel_state()?;
    assert!(
        state.contains("10.1.100.1/24"),
        "the last VLAN has no address:\n{state}"
    );
    scene.wait_until_serving()?;
    let said = scene.vm().config_put(&scenario(QUICK))?;
    assert_told(&said, "OK. Applied");
    Ok(())
}

/// A change goes on without, and says so.
fn not_without_namespaces(scene: &mut Scene, saboteur: &Saboteur) -> Told {
    saboteur.run(&["saboteur", "write", LIMIT, "0"])?;
    let more = scenario(QUICK).replacen("\"172.16.0.254/24\"", "\"172.16.0.254/24\", \"10.99.0.1/32\"", 1);
    let said = scene.vm().config_put(&more)?;
    assert_told(
        &said,
        "was not tried out before: make a network to try it in: ENOSPC",
    );
    assert_told(&said, "Applied");
    assert!(
        saboteur.kernel_state()?.contains("10.99.0.1/32"),
        "it was not applied"
    );
    Ok(())
}

fn number(text: &str) -> Result<u64> {
    let digits = text.trim();
    digits
        .parse()
        .map_err(|_| LabError::Unexpected(format!("`{digits}` is no number")))
}

fn available_kb(saboteur: &Saboteur) -> Result<u64> {
    let memory = saboteur.proc("meminfo")?;
    let line = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    number(line.unwrap_or_default().trim().trim_end_matches(" kB"))
}

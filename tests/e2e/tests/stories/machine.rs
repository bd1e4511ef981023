//! The machine as its operator meets it: the first boot, little memory, the power button, the commands at the prompt.

use std::process::Command;
use std::time::Duration;

use lb_e2e::config::{QUICK, scenario};
use lb_e2e::scene::BOOT_LIMIT;
use lb_e2e::{Scene, Setting, Start, volume};
use lb_lab::story::Told;
use lb_lab::vm::EXTERNAL_MAC;

use crate::rows::settle;
use crate::{newcomer, power};

/// From the factory: says what to do, leaves a sample, and asks for what it needs. Then it serves. The sample is valid, too.
pub fn first_boot() -> Told {
    let mut scene = Scene::new(Setting::unconfigured(Start::Bios))?;
    scene.vm().wait_for("config show sample", BOOT_LIMIT)?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    scene.screen_is_as_kept("first_boot/welcome", "")?;
    let status = scene.vm().json("status")?;
    assert_eq!(status["config"]["source"], "none", "{status:#}");
    assert_eq!(status["services"], 0, "{status:#}");
    let none = scene.vm().command("config show")?;
    assert!(none.contains("/config/lb.toml does not exist"), "{none}");
    nothing_is_open(&mut scene)?;
    let made = newcomer::sets_up(&mut scene)?;
    newcomer::looks_around(&mut scene)?;
    scene.row_1(5)?;
    scene.row_2()?;
    scene.cut_power()?;
    volume::assert_replayable(&scene.disk)?;
    let sample = volume::read(&scene.disk, "lb.toml.sample")?.expect("the sample was written");
    let kept = power::file_on(&scene)?;
    assert_eq!(kept.trim(), made.trim(), "what was set up survives a power cut");
    // Taken as it is, it is the scenario.
    volume::write(&scene.disk, "lb.toml", &sample)?;
    scene.power_on()?;
    scene.wait_until_serving()?;
    scene.row_1(5)?;
    scene.row_2()?;
    Ok(())
}

/// The cards are on and tell of their cables, without an address of any kind; who asks on their network is not answered, not even by ARP.
fn nothing_is_open(scene: &mut Scene) -> Told {
    let links = scene.vm().json("link")?;
    let cards = links["links"].as_array().expect("links are listed");
    let cards = cards.iter().filter(|link| link["driver"].is_string());
    let cards: Vec<_> = cards
        .map(|card| (card["link"].as_str(), card["state"].as_str(), &card["addresses"]))
        .collect();
    let none = serde_json::json!([]);
    let expected = ["eth0", "eth1"].map(|name| (Some(name), Some("up"), &none));
    assert_eq!(cards, expected, "{links:#}");
    // Its later address.
    let fetch = scene.lab.curl("host01", "192.168.0.1:30080")?;
    assert!(fetch.exit != 0 && fetch.status == 0, "{fetch:?}");
    let known = scene.lab.ip_netns_exec("host01", &["ip", "neigh"])?;
    assert!(!known.stdout.contains(EXTERNAL_MAC), "{known:?}");
    Ok(())
}

/// 128 MB, one processor, and a terminal that never answers.
pub fn small_memory() -> Told {
    let mut setting = Setting::new(Start::Kernel, scenario(QUICK));
    setting.memory_mb = 128;
    setting.terminal_answers = false;
    let mut scene = Scene::new(setting)?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    scene.rows_1_to_5()?;
    // Of the tests' profile, whose executable is a third larger than the release's. What a start took is given back within seconds.
    scene.wait_for_report("status", Duration::from_secs(20), |status| {
        let resident = |field: &str| status["agent"][field].as_u64().unwrap_or(u64::MAX);
        let together = resident("resident_kb").saturating_add(resident("init_resident_kb"));
        println!("init and agent: {together} kB resident");
        together <= 11_000
    })?;
    Ok(())
}

const GUIDE: &str = include_str!("../../../../docs/guide.md");

/// What the guide's table says for so much memory: buckets of IPVS's table, connections that may be tracked, neighbours, and
/// the megabytes below which memory is scarce.
fn promised(megabytes: u32) -> Vec<u64> {
    let row = format!("| {megabytes} MB |");
    let line = GUIDE.lines().find(|line| line.starts_with(&row));
    let cells = line.expect("the guide has a row for this").split('|').skip(2);
    let digits = |cell: &str| cell.chars().filter(char::is_ascii_digit).collect::<String>();
    let numbers = cells.filter_map(|cell| digits(cell).parse().ok());
    numbers.take(4).collect()
}

/// The tables have the sizes that the guide gives for the memory.
pub fn tables_fit_the_memory() -> Told {
    let mut scene = Scene::dark(Setting::new(Start::Sabotage, scenario(QUICK)))?;
    for megabytes in [128, 512] {
        scene.set_memory(megabytes);
        scene.power_on()?;
        scene.wait_until_serving()?;
        let saboteur = scene.saboteur()?;
        let number = |file: &str| -> lb_lab::Result<u64> {
            let text = saboteur.proc(file)?;
            let mut words = text.split(|c: char| !c.is_ascii_digit());
            Ok(words.find_map(|word| word.parse().ok()).unwrap_or_default())
        };
        let table = saboteur.proc("net/ip_vs")?;
        let size = table
            .split("size=")
            .nth(1)
            .and_then(|rest| rest.split(')').next());
        let scarce = number("sys/net/ipv4/vs/amemthresh")? * 4096 / 1_000_000;
        let seen = vec![
            size.and_then(|size| size.parse().ok()).unwrap_or_default(),
            number("sys/net/netfilter/nf_conntrack_max")?,
            number("sys/net/ipv4/neigh/default/gc_thresh3")?,
            scarce,
        ];
        println!("{megabytes} MB: {seen:?}; {}", saboteur.proc("meminfo")?);
        let promised = promised(megabytes);
        // The kernel's own part is not the same to the page in every boot.
        let near = |(seen, promised): (&u64, &u64)| seen.abs_diff(*promised) <= promised / 500;
        assert_eq!(seen.len(), promised.len(), "{megabytes} MB: {promised:?}");
        assert!(
            seen.iter().zip(&promised).all(near),
            "{megabytes} MB: {seen:?}, not {promised:?}"
        );
        scene.row_1(3)?;
        scene.cut_power()?;
    }
    Ok(())
}

/// Both end in order: the volume is clean, and after Ctrl-Alt-Del the machine is back.
pub fn power_button_and_ctrl_alt_del() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    scene.vm().console.forget();
    scene.vm().ctrl_alt_del()?;
    scene.wait_for_restart()?;
    scene.wait_until_serving()?;
    scene.vm().power_button()?;
    scene.vm().wait_until_off(Duration::from_secs(30))?;
    // Nothing left to replay or repair.
    volume::assert_clean(&scene.disk)?;
    scene.power_on()?;
    scene.wait_until_serving()?;
    scene.vm().console.reach_prompt("lb> ", BOOT_LIMIT)?;
    // Whoever typed it into the wrong window is asked.
    scene.vm().console.send(b"poweroff\r")?;
    scene.vm().wait_for("Switch the machine off?", BOOT_LIMIT)?;
    scene.vm().console.send(b"no\r")?;
    scene
        .vm()
        .wait_for("nothing was done: the answer was not yes", BOOT_LIMIT)?;
    scene.vm().console.send(b"poweroff --yes\r")?;
    scene.vm().wait_until_off(Duration::from_secs(30))?;
    volume::assert_clean(&scene.disk)?;
    Ok(())
}

/// Every reading command answers; with `--json` it is one document; nothing is wider than the terminal.
pub fn console_commands() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    settle(&mut scene)?;
    for command in [
        "status",
        "services",
        "interfaces",
        "gateway",
        "connections",
        "version",
    ] {
        let shown = scene.vm().command(command)?;
        assert!(!shown.trim().is_empty(), "`{command}` showed nothing");
        let same = scene.vm().command(&format!("applctl {command}"))?;
        assert_eq!(same.lines().count(), shown.lines().count(), "`applctl {command}`");
        fits(command, &shown);
        let document = scene.vm().json(command)?;
        assert!(document.is_object(), "`{command} --json`: {document}");
    }
    answers_as_expected(&mut scene)?;
    helped_from_afar(&mut scene)?;
    applied_from_the_prompt(&mut scene)
}

fn answers_as_expected(scene: &mut Scene) -> Told {
    let services = scene.vm().command("services nginx")?;
    assert!(services.contains("172.16.0.11:30080"), "{services}");
    assert!(!services.contains("6443"), "{services}");
    for (command, expected) in [
        ("help", "config"),
        ("services nginx --traffic", "172.16.0.11:30080"),
        ("services --rate", "172.16.0.11:30080"),
        ("interfaces --rate", "eth1"),
        ("gateway --rate", "172.16.0.0/24"),
        ("top --once --interval 1s", "nginx"),
        ("config show", "[[virtual_server]]"),
        ("log --last 5", ""),
        ("sevices", "services"),
        ("arp 172.16.0.11", "server of nginx"),
        ("route 172.16.0.11", "eth1"),
        ("ping 172.16.0.11 --count 2", "2 sent, 2 answered"),
        ("trace 172.16.0.11", "172.16.0.11"),
        ("probe nginx 172.16.0.11", "Verdict         passed"),
        ("probe http 172.16.0.11:30080 path=/", "HTTP/1.1 200 OK"),
        ("probe tcp 172.16.0.1:6443", "SYN-ACK"),
        ("support-bundle --list", "ruleset.txt"),
        ("explain 192.168.0.1:30080", "172.16.0.11:30080"),
        ("explain interval", "virtual_server.check.interval"),
        ("doctor nginx", "come back through the lb"),
        ("config history", "boot"),
        ("config diff", "same"),
    ] {
        let shown = scene.vm().command(command)?;
        assert!(shown.contains(expected), "`{command}` showed:\n{shown}");
        if command != "config show" {
            fits(command, &shown);
        }
    }
    Ok(())
}

/// The session's log, turned back by the commands that it names.
fn helped_from_afar(scene: &mut Scene) -> Told {
    let session = scene.vm().command("support-bundle")?;
    let place = tempfile::tempdir()?;
    std::fs::write(place.path().join("session.log"), &session)?;
    let named = |line: &&str| line.starts_with("sed ") || line.starts_with("echo ");
    let commands: Vec<&str> = session.lines().map(str::trim).filter(named).collect();
    assert_eq!(commands.len(), 2, "{session}");
    for command in commands.into_iter().chain(["tar xzf lb-support.tar.gz"]) {
        let mut shell = Command::new("sh");
        let ended = shell.args(["-c", command]).current_dir(place.path()).status()?;
        assert!(ended.success(), "{command}");
    }
    for (name, expected) in [
        ("lb.toml", "[[virtual_server]]"),
        ("ipvs.txt", "add real 172.16.0.11:30080"),
        ("ruleset.txt", "chain input"),
        ("neighbours.txt", "172.16.0.11"),
        ("sysctls.txt", "net/ipv4/vs/conntrack = 1"),
        ("init.json", "Ready"),
        ("log.txt", "agent"),
    ] {
        let text = std::fs::read_to_string(place.path().join("lb-support").join(name))?;
        assert!(text.contains(expected), "{name}: {text}");
    }
    Ok(())
}

fn fits(command: &str, shown: &str) {
    for line in shown.lines() {
        assert!(line.chars().count() <= 80, "`{command}`: wider than 80:\n{line}");
    }
}

/// A put that changes something changes just that, and `config apply` after it has nothing to do.
fn applied_from_the_prompt(scene: &mut Scene) -> Told {
    let heavier = "address = \"172.16.0.11:30080\"\nweight = 7\n";
    let config = scenario(QUICK).replacen("address = \"172.16.0.11:30080\"\n", heavier, 1);
    scene.vm().config_put(&config)?;
    let services = scene.wait_for_report("services", Duration::from_secs(10), |services| {
        services.to_string().contains("\"configured_weight\":7")
    })?;
    assert!(services.to_string().contains("\"weight\":7"), "{services:#}");
    scene.row_1(10)?;
    let shown = scene.vm().command("config show")?;
    assert!(shown.contains("weight = 7"), "{shown}");
    scene.vm().command("config apply")?;
    scene.row_1(10)?;
    Ok(())
}

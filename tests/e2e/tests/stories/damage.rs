//! Damages of what the appliance owns, in ways and an order by chance, with connections through
//! the box: nothing is lost, and only what was damaged is touched.
//! No damage here cuts the way of the counted connections by itself, for that no repair undoes: their service stays with its
//! scheduler (while IPVS changes one, it refuses new connections), and so do its servers, the chain that lets them in, and the
//! addresses that they use. Nor is the whole table of rules deleted: of connections that begin without it a few were reset
//! when it was back (5 of 36,000 in three times). Everything else is deleted, changed and added: weights, other services and their servers,
//! addresses, routes, rules, elements of sets, timeouts.
//! What is lost is told in `lost`. The same judgement sees a flush of IPVS under the same traffic, and condemns it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, UNIX_EPOCH};

use lb_e2e::sabotage::Saboteur;
use lb_e2e::traffic::{Stage, at_least, share};
use lb_lab::Result;
use lb_lab::story::Told;

use crate::lost::{BOTH, FLOW_LIMIT, SOON, config, other, scene, web};

const DAMAGES: u64 = 1_000;
/// Of IPVS nobody tells what was changed: the agent looks every ten seconds, and on a busy machine up to once a minute.
const REPAIRED: Duration = Duration::from_secs(90);
/// Damages that are done together.
const STRETCH: usize = 90;
/// At so many connections a second from each host the agent and the tools have their share of a small machine.
const RATE: u32 = 300;
/// Services that nobody uses, and the servers of each.
const SERVICES: usize = 24;
const SERVERS: usize = 6;
/// Further addresses of eth0, from .100; as many foreign ones come, from .200.
const ADDRESSES: usize = 20;
const ROUTES: usize = 32;

/// What somebody does, and the repairs that it may cause, as far as they are sure.
struct Damage {
    command: String,
    repairs: Vec<String>,
}

impl Damage {
    fn new(command: impl Into<String>, repairs: &[String]) -> Damage {
        Damage {
            command: command.into(),
            repairs: repairs.to_vec(),
        }
    }
}

fn configuration() -> String {
    let addresses: Vec<String> = (0..ADDRESSES)
        .map(|number| format!(", \"192.168.0.{}/24\"", 100 + number))
        .collect();
    let routes: Vec<String> = (0..ROUTES)
        .map(|number| format!("{{ to = \"10.{number}.0.0/16\", via = \"192.168.0.20\" }}"))
        .collect();
    let mut services = web(BOTH);
    for number in 0..SERVICES {
        services += &other(&format!("other{number}"), 9_000 + number as u16, 0..SERVERS, 1);
    }
    let routes = format!("routes = [{}]\n", routes.join(", "));
    config(&routes, &services).replacen(
        ", \"192.168.0.5/24\"",
        &format!(", \"192.168.0.5/24\"{}", addresses.concat()),
        1,
    )
}

pub fn nothing_lost_in_damages() -> Told {
    let (_scene, stage, saboteur) = scene(&configuration(), &[])?;
    let whole = saboteur.kernel_words()?;
    let mut known = repairs(&saboteur)?;
    let traffic = stage.begin_at(RATE)?;
    let seed = UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos() as u64;
    println!("the damages follow from {seed}");
    let (mut random, mut done) = (Random(seed | 1), 0);
    while done < share(DAMAGES) {
        let damages = round(&mut random);
        let started = Instant::now();
        for some in damages.chunks(STRETCH) {
            inflict(&saboteur, some)?;
        }
        let damaged = started.elapsed();
        wait_until_whole(&saboteur, &whole)?;
        let now = repairs(&saboteur)?;
        only_what_was_damaged(&damages, now.difference(&known));
        known.extend(now);
        done += damages.len() as u64;
        println!(
            "{done} damages, the last in {damaged:?} and repaired after {:?}; {} connections, {} lost",
            started.elapsed(),
            traffic.begun(),
            traffic.losses()
        );
    }
    traffic.wait_for(at_least(), FLOW_LIMIT)?;
    traffic.end()?.assert_nothing_lost("damages");
    a_flush_is_seen(&stage, &saboteur, &whole)
}

/// By the real tools, each of which takes its own in one go.
fn inflict(saboteur: &Saboteur, damages: &[Damage]) -> Result<()> {
    for (tool, reader) in [
        ("ipvsadm ", "ipvsadm -R"),
        ("nft ", "nft -f -"),
        ("ip ", "ip -batch -"),
    ] {
        let lines = damages
            .iter()
            .filter_map(|damage| damage.command.strip_prefix(tool));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        if !text.is_empty() {
            saboteur.feed(&text, reader)?;
        }
    }
    Ok(())
}

/// Nearly everything that may be damaged, each in one way, in an order by chance.
fn round(random: &mut Random) -> Vec<Damage> {
    let mut damages = Vec::new();
    for number in 0..SERVICES {
        other_service(random, number, &mut damages);
    }
    for number in 0..SERVICES {
        let foreign = format!("192.168.0.1:{}", 9_500 + number);
        damages.push(Damage::new(
            format!("ipvsadm -A -t {foreign} -s rr"),
            &[format!("delete virtual {foreign}/tcp")],
        ));
    }
    counted_service(random, &mut damages);
    network(&mut damages);
    rules(random, &mut damages);
    damages.push(Damage::new(
        format!("ipvsadm --set {} 100 200", 700 + random.below(100)),
        &["set ipvs timeouts".to_owned()],
    ));
    random.shuffle(&mut damages);
    damages
}

/// The service itself, or each of its servers and one more.
fn other_service(random: &mut Random, number: usize, damages: &mut Vec<Damage>) {
    let service = format!("192.168.0.1:{}", 9_000 + number);
    let add = |server: usize| {
        format!(
            "add real 172.16.0.{}:80 weight 1 nat to {service}/tcp",
            100 + server
        )
    };
    let way = random.below(6);
    if way == 0 {
        let mut repairs = vec![format!("add virtual {service}/tcp scheduler wlc")];
        repairs.extend((0..SERVERS).map(add));
        return damages.push(Damage::new(format!("ipvsadm -D -t {service}"), &repairs));
    }
    if way == 1 {
        let repair = format!("edit virtual {service}/tcp scheduler wlc");
        damages.push(Damage::new(format!("ipvsadm -E -t {service} -s sh"), &[repair]));
    }
    for server in 0..SERVERS {
        let address = format!("172.16.0.{}:80", 100 + server);
        damages.push(if random.below(2) == 0 {
            Damage::new(format!("ipvsadm -d -t {service} -r {address}"), &[add(server)])
        } else {
            Damage::new(
                format!(
                    "ipvsadm -e -t {service} -r {address} -m -w {}",
                    2 + random.below(90)
                ),
                &[format!("edit real {address} weight 1 nat of {service}/tcp")],
            )
        });
    }
    damages.push(Damage::new(
        format!("ipvsadm -a -t {service} -r 172.16.0.199:80 -m -w 5"),
        &[format!("delete real 172.16.0.199:80 from {service}/tcp")],
    ));
}

/// Weights that are not the file's, and a server that would get no traffic.
fn counted_service(random: &mut Random, damages: &mut Vec<Damage>) {
    let service = "192.168.0.1:8080";
    for address in ["172.16.0.11:8080", "172.16.0.12:8080"] {
        damages.push(Damage::new(
            format!(
                "ipvsadm -e -t {service} -r {address} -m -w {}",
                2 + random.below(90)
            ),
            &[format!("edit real {address} weight 1 nat of {service}/tcp")],
        ));
    }
    damages.push(Damage::new(
        format!("ipvsadm -a -t {service} -r 172.16.0.99:8080 -m -w 0"),
        &[format!("delete real 172.16.0.99:8080 from {service}/tcp")],
    ));
}

fn network(damages: &mut Vec<Damage>) {
    for number in 0..ADDRESSES {
        let (own, foreign) = (
            format!("192.168.0.{}/24", 100 + number),
            format!("192.168.0.{}/24", 200 + number),
        );
        damages.push(Damage::new(
            format!("ip addr del {own} dev eth0"),
            &[format!("add address {own} to eth0")],
        ));
        damages.push(Damage::new(
            format!("ip addr add {foreign} dev eth0"),
            &[format!("delete address {foreign} from eth0")],
        ));
    }
    for number in 0..ROUTES {
        damages.push(Damage::new(
            format!("ip route del 10.{number}.0.0/16"),
            &[format!("add route 10.{number}.0.0/16 via 192.168.0.20 dev eth0")],
        ));
    }
}

fn rules(random: &mut Random, damages: &mut Vec<Damage>) {
    let other = 9_000 + random.below(SERVICES);
    let closed = 9_700 + random.below(100);
    let stranger = 1 + random.below(200);
    let mut commands = vec![
        format!("nft add rule inet lb input ip saddr 203.0.113.{stranger} drop"),
        format!("nft insert rule inet lb input tcp dport {closed} accept"),
        format!("nft add rule inet lb forward ip saddr 203.0.113.{stranger} accept"),
        format!("nft delete element inet lb services4 {{ 192.168.0.1 . tcp . {other} }}"),
        format!("nft add element inet lb services4 {{ 192.168.0.1 . tcp . {closed} }}"),
    ];
    commands.push(match random.below(3) {
        0 => "nft flush chain inet lb forward".to_owned(),
        1 => "nft flush chain inet lb postrouting".to_owned(),
        _ => format!("nft insert rule inet lb postrouting ip saddr 203.0.113.{stranger} accept"),
    });
    let repair = "replace ruleset".to_owned();
    damages.extend(
        commands
            .into_iter()
            .map(|command| Damage::new(command, std::slice::from_ref(&repair))),
    );
}

/// What is damaged while a repair is going on is put right with it, and called no repair of its own.
fn only_what_was_damaged<'a>(damages: &[Damage], made: impl Iterator<Item = &'a String>) {
    let allowed: Vec<&String> = damages.iter().flat_map(|damage| &damage.repairs).collect();
    let steps: Vec<&str> = made
        .filter_map(|line| line.split_once("repair: "))
        .map(|(_, step)| step.trim())
        .collect();
    assert!(!steps.is_empty(), "nothing was repaired");
    for step in steps {
        assert!(
            allowed.iter().any(|repair| step.starts_with(repair.as_str())),
            "`{step}` repairs what was not damaged"
        );
    }
}

/// The repairs in the log, each with its time.
fn repairs(saboteur: &Saboteur) -> Result<BTreeSet<String>> {
    let log = saboteur.sh("applctl log --all")?;
    let lines = log.lines().filter(|line| line.contains("repair: "));
    Ok(lines.map(str::to_owned).collect())
}

fn wait_until_whole(saboteur: &Saboteur, whole: &Vec<String>) -> Result<()> {
    saboteur.wait_for_repair("damages", REPAIRED, whole, Saboteur::kernel_words)
}

/// The proof that the judgement can condemn: every connection that stays is lost with the table, and so are new ones
/// until it is repaired.
fn a_flush_is_seen(stage: &Stage, saboteur: &Saboteur, whole: &Vec<String>) -> Told {
    // Who is refused comes again at once: few at a time, or nobody else gets a share of the machine.
    let traffic = stage.begin_with(1)?;
    traffic.wait_for(1_000, SOON)?;
    assert_eq!(traffic.losses(), 0);
    saboteur.sh("ipvsadm -C")?;
    wait_until_whole(saboteur, whole)?;
    let seen = traffic.end()?;
    for report in seen.all() {
        println!("a flush: {}", report.summary());
    }
    let judged = seen.lost();
    assert!(!judged.is_empty());
    assert_eq!(seen.long.losses, seen.long.begun, "{:?}", seen.long);
    assert!(seen.short.iter().all(|report| report.losses > 0), "{judged:?}");
    Ok(())
}

/// xorshift64: enough for an order.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

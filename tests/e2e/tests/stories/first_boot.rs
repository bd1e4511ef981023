//! Where a machine's first configuration comes from when nobody types it, and how the machine comes back to its first boot, or to the
//! configuration before.

use std::path::Path;
use std::time::{Duration, Instant};

use lb_e2e::config::{QUICK, marked, scenario};
use lb_e2e::scene::BOOT_LIMIT;
use lb_e2e::{Scene, Setting, Start, iso, volume};
use lb_lab::story::Told;
use lb_lab::{LabError, Result, cage, command};

/// After the word was typed, before the answer is waited for.
const UNANSWERED_MS: [u64; 2] = [0, 30];
/// After the answer: moments of the way down, and of the boot that carries the reset out.
const ANSWERED_MS: [u64; 3] = [0, 500, 3000];

fn fw_cfg(path: &Path) -> Vec<String> {
    let value = format!("name=opt/lb.toml,file={}", path.display());
    vec!["-fw_cfg".to_owned(), value]
}

/// A FAT disk that QEMU makes of a directory.
pub fn seed_disk(directory: &Path) -> Vec<String> {
    let drive = format!(
        "driver=vvfat,node-name=seed,read-only=on,label=LBSEED,dir={}",
        directory.display()
    );
    let device = "virtio-blk-pci,drive=seed".to_owned();
    vec!["-blockdev".to_owned(), drive, "-device".to_owned(), device]
}

/// One of the machine's own strings.
fn oem_string(value: &str) -> Vec<String> {
    vec!["-smbios".to_owned(), format!("type=11,value={value}")]
}

fn cd_drive(image: &Path) -> Vec<String> {
    let drive = format!(
        "driver=file,node-name=cd,read-only=on,filename={}",
        image.display()
    );
    let device = "ide-cd,drive=cd".to_owned();
    vec!["-blockdev".to_owned(), drive, "-device".to_owned(), device]
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(LabError::io("write a seed"))
}

/// fw_cfg: a bad one is told and nothing is taken; a good one is taken, once.
pub fn by_fw_cfg() -> Told {
    let seed = cage::scratch("seed")?.join("lb.toml");
    write(&seed, "hostnam = \"lb\"\n")?;
    let mut scene = Scene::dark(Setting::unconfigured(Start::Kernel))?;
    scene.attach(fw_cfg(&seed));
    scene.power_on()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    let status = scene.vm().json("status")?;
    let problems = status["problems"].to_string();
    assert!(
        problems.contains("the seed is not taken: lb.toml of QEMU's fw_cfg (opt/lb.toml), line 1, column 1"),
        "{problems}"
    );
    assert_eq!(status["config"]["source"], "none", "{status:#}");
    scene.cut_power()?;
    write(&seed, &scenario(QUICK))?;
    scene.power_on()?;
    scene.wait_until_serving()?;
    let status = scene.vm().json("status")?;
    let taken = "lb.toml was taken from QEMU's fw_cfg (opt/lb.toml) (first boot)";
    assert_eq!(status["config"]["replaced"], taken, "{status:#}");
    let events = scene.vm().command("events")?;
    assert!(events.contains("was taken from QEMU's fw_cfg"), "{events}");
    let history = scene.vm().json("config history")?;
    assert_eq!(history["entries"][0]["by"], "seed", "{history:#}");
    // A person's configuration stays, whatever the seed says.
    scene.vm().config_put(&marked(QUICK, "by hand"))?;
    scene.reboot()?;
    scene.wait_until_serving()?;
    assert!(scene.vm().command("config show")?.contains("by hand"));
    Ok(())
}

/// A disk: taken at every boot where it says so, and gone without it.
pub fn by_disk() -> Told {
    let directory = cage::scratch("seed")?;
    write(
        &directory.join("lb.toml"),
        &format!("#:seed always\n{}", scenario(QUICK)),
    )?;
    let mut scene = Scene::dark(Setting::new(Start::Kernel, marked(QUICK, "the factory's")))?;
    scene.attach(seed_disk(&directory));
    scene.power_on()?;
    scene.wait_until_serving()?;
    let seed = scene.vm().json("status")?["config"]["replaced"].to_string();
    assert!(
        seed.contains("was taken from the disk LBSEED (/dev/vd") && seed.contains("(always)"),
        "{seed}"
    );
    assert!(scene.vm().command("config show")?.starts_with("#:seed always"));
    scene.vm().config_put(&marked(QUICK, "by hand"))?;
    scene.reboot()?;
    scene.wait_until_serving()?;
    assert!(scene.vm().command("config show")?.starts_with("#:seed always"));
    scene.rows_1_to_5()?;
    Ok(())
}

/// The machine's own strings come before a CD. A fault of theirs is told, and the CD not asked; a CD that is to be taken always is, when it is the only one.
pub fn by_smbios_and_cd() -> Told {
    let directory = cage::scratch("seed")?;
    let always = format!("#:seed always\n{}", marked(QUICK, "of the CD"));
    let cd = |text: &str| -> Result<Vec<String>> {
        let image = directory.join("seed.iso");
        iso::write(&image, "LBSEED", "LB.TOML", text)?;
        Ok(cd_drive(&image))
    };
    let mut scene = Scene::dark(Setting::unconfigured(Start::Kernel))?;
    scene.attach(oem_string("lb.toml.base64=hostname!"));
    scene.attach(cd(&always)?);
    scene.power_on()?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    let status = scene.vm().json("status")?;
    let problems = status["problems"].to_string();
    assert!(
        problems.contains("no seed is taken") && problems.contains("base64 -w0 lb.toml"),
        "{problems}"
    );
    assert_eq!(status["config"]["source"], "none", "{status:#}");

    scene.cut_power()?;
    scene.detach();
    let text = directory.join("my.toml");
    write(&text, &marked(QUICK, "of the strings"))?;
    let coded = command::run(&["base64", "-w0", &text.to_string_lossy()])?;
    scene.attach(oem_string(&format!("lb.toml.base64={coded}")));
    scene.attach(cd(&always)?);
    scene.power_on()?;
    scene.wait_until_serving()?;
    let status = scene.vm().json("status")?;
    let taken = "lb.toml was taken from the machine's SMBIOS strings (first boot)";
    assert_eq!(status["config"]["replaced"], taken, "{status:#}");
    assert!(scene.vm().command("config show")?.starts_with("# of the strings"));

    scene.cut_power()?;
    scene.detach();
    scene.attach(cd(&always.replace("hostname", "hostnam"))?);
    scene.power_on()?;
    scene.wait_until_serving()?;
    let problems = scene.vm().json("status")?["problems"].to_string();
    let told = "the seed is not taken: lb.toml of the disk LBSEED (/dev/sr0), line 3, column 1";
    assert!(problems.contains(told), "{problems}");
    assert!(scene.vm().command("config show")?.starts_with("# of the strings"));

    scene.cut_power()?;
    scene.detach();
    scene.attach(cd(&always)?);
    scene.power_on()?;
    scene.wait_until_serving()?;
    let status = scene.vm().json("status")?;
    let taken = "lb.toml was taken from the disk LBSEED (/dev/sr0) (always)";
    assert_eq!(status["config"]["replaced"], taken, "{status:#}");
    assert_eq!(scene.vm().command("config show")?.trim(), always.trim());
    scene.rows_1_to_5()?;
    Ok(())
}

/// The power goes at every moment of a reset: the machine comes back as it was, or as from the factory.
pub fn reset_in_power_cuts() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Kernel, scenario(QUICK)))?;
    scene.wait_until_serving()?;
    let unanswered = UNANSWERED_MS.map(|moment| (moment, false));
    let answered = ANSWERED_MS.map(|moment| (moment, true));
    for (moment, acknowledged) in unanswered.into_iter().chain(answered) {
        type_reset(&mut scene, "factory-reset", "reset")?;
        if acknowledged {
            scene.vm().wait_for("Resetting", BOOT_LIMIT)?;
        }
        std::thread::sleep(Duration::from_millis(moment));
        scene.cut_power()?;
        scene.power_on()?;
        scene.vm().wait_for_prompt(BOOT_LIMIT)?;
        let status = scene.vm().json("status")?;
        match status["config"]["source"].as_str() {
            Some("file") if !acknowledged => scene.wait_until_serving().map(drop)?,
            Some("none") => {
                as_from_the_factory(&mut scene)?;
                configure(&mut scene)?;
            }
            other => panic!("{moment} ms: {other:?}: {status:#}"),
        }
    }
    type_reset(&mut scene, "factory-reset", "no")?;
    scene.vm().wait_for("nothing was changed", BOOT_LIMIT)?;
    type_reset(&mut scene, "factory-reset", "reset")?;
    scene.wait_for_restart()?;
    as_from_the_factory(&mut scene)?;
    scene.cut_power()?;
    for name in ["lb.toml", "lb.applied.toml", ".factory-reset"] {
        assert!(volume::read(&scene.disk, name)?.is_none(), "{name} is left");
    }
    Ok(())
}

/// With Ctrl-O held down: the configuration before the present one, and the factory, which needs no room on /config.
pub fn menu() -> Told {
    let mut scene = Scene::new(Setting::new(Start::Sabotage, marked(QUICK, "first")))?;
    scene.wait_until_serving()?;
    scene.vm().config_put(&marked(QUICK, "second"))?;
    let history = scene.vm().json("config history")?;
    assert_eq!(history["entries"][0]["number"], 2, "{history:#}");
    scene.cut_power()?;
    scene.power_on()?;
    let menu = open_menu(&mut scene)?;
    assert!(menu.contains("with configuration 1, the one before"), "{menu}");
    scene.vm().console.send(b"prev\r")?;
    scene.vm().wait_for("there is no \"prev\" here", BOOT_LIMIT)?;
    scene.vm().console.send(b"previous\r")?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    scene.wait_until_serving()?;
    assert!(scene.vm().command("config show")?.starts_with("# first"));
    let status = scene.vm().json("status")?;
    let told = "lb.toml is configuration 1 again, which was chosen at the boot menu";
    assert_eq!(status["config"]["replaced"], told, "{status:#}");
    let history = scene.vm().json("config history")?;
    assert_eq!(history["entries"][0]["by"], "boot menu", "{history:#}");
    // It counts for good, and a boot without the key asks nothing.
    scene.cut_power()?;
    scene.power_on()?;
    scene.vm().console.send(b"\x1b[24;80R")?;
    scene.vm().wait_for(r"Boot menu \.+ no Ctrl-O", BOOT_LIMIT)?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    scene.wait_until_serving()?;
    assert!(scene.vm().command("config show")?.starts_with("# first"));
    let saboteur = scene.saboteur()?;
    saboteur.sh("saboteur fill /config/filler")?;
    type_reset(&mut scene, "factory-reset", "reset")?;
    scene
        .vm()
        .wait_for("(?s)nothing was changed.*Ctrl-O", BOOT_LIMIT)?;
    scene.cut_power()?;
    scene.power_on()?;
    open_menu(&mut scene)?;
    scene.vm().console.send(b"reset\r")?;
    scene.vm().wait_for("once more to do it", BOOT_LIMIT)?;
    scene.vm().console.send(b"reset\r")?;
    scene.vm().wait_for_prompt(BOOT_LIMIT)?;
    as_from_the_factory(&mut scene)?;
    Ok(())
}

/// Holds the key down until the menu is there; what it shows.
pub fn open_menu(scene: &mut Scene) -> Result<String> {
    let deadline = Instant::now() + BOOT_LIMIT;
    loop {
        scene.vm().console.send(b"\x0f")?;
        let shown = scene
            .vm()
            .wait_for(r"(?s)Boot menu\. .*boot> ", Duration::from_millis(30));
        if shown.is_ok() || Instant::now() > deadline {
            return shown;
        }
    }
}

fn configure(scene: &mut Scene) -> Result<()> {
    scene.vm().config_put(&scenario(QUICK))?;
    scene.wait_until_serving().map(drop)
}

/// `command`, and this word for an answer.
pub fn type_reset(scene: &mut Scene, command: &str, word: &str) -> Result<()> {
    let console = &scene.vm().console;
    console.reach_prompt("lb> ", BOOT_LIMIT)?;
    console.forget();
    console.send(format!("{command}\r").as_bytes())?;
    console.wait_for("anything else", BOOT_LIMIT)?;
    console.wait_for("(?m)^> ", BOOT_LIMIT)?;
    console.send(format!("{word}\r").as_bytes())
}

pub fn as_from_the_factory(scene: &mut Scene) -> Result<()> {
    let status = scene.vm().json("status")?;
    assert_eq!(status["config"]["source"], "none", "{status:#}");
    let history = scene.vm().json("config history")?;
    assert_eq!(history["entries"], serde_json::json!([]), "{history:#}");
    Ok(())
}

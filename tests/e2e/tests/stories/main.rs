//! The stories, each in its own cage with its own lab and VM. `cargo test -p lb-e2e NAME` tells those whose name
//! contains NAME. They need root or user namespaces, QEMU, and the built image; without, they fail and say what to do.
//! Longest first, so that the last one does not run alone for long. The limits are for machines that are busy otherwise.

mod agent;
mod apiserver;
mod bad_config;
mod bad_input;
mod blocks;
mod bonds;
mod checks;
mod counters;
mod crash_points;
mod crowd;
mod damage;
mod dead;
mod doctor;
mod drains;
mod drift;
mod edits;
mod fallbacks;
mod fast;
mod first_boot;
mod flaps;
mod flood;
mod gateway;
mod gateways;
mod groups;
mod hairpin;
mod hangs;
mod kinds;
mod limits;
mod lost;
mod machine;
mod moves;
mod mtu;
mod newcomer;
mod news;
mod one_packet;
mod outage;
mod packets;
mod password;
mod power;
mod protocols;
mod quorum;
mod rehearsal;
mod rescue;
mod rows;
mod scale;
mod surface;
mod taken_away;
mod transfer;
mod trial;
mod volume_missing;
mod whole;

use std::path::Path;
use std::process::ExitCode;

use lb_e2e::artifacts;
use lb_e2e::traffic::is_whole;
use lb_lab::story::{self, Story};

fn main() -> ExitCode {
    // A boot for each bad file, which are all of them in a whole run.
    let boots = if is_whole() { 1_500 } else { 480 };
    let stories = vec![
        Story::new("bad_configs_at_boot_1", boots, bad_config::at_boot_1),
        Story::new("bad_configs_at_boot_2", boots, bad_config::at_boot_2),
        Story::new("bad_configs_at_boot_3", boots, bad_config::at_boot_3),
        Story::new("bad_configs_at_boot_4", boots, bad_config::at_boot_4),
        Story::new(
            "nothing_lost_in_deaths_of_the_agent",
            420,
            lost::in_deaths_of_the_agent,
        )
        .demanding(),
        Story::new("nothing_lost_in_damages", 480, damage::nothing_lost_in_damages).demanding(),
        Story::new("nothing_lost_in_reloads", 480, lost::in_reloads).demanding(),
        Story::new(
            "two_hundred_thousand_connections",
            480,
            crowd::two_hundred_thousand_connections,
        )
        .demanding(),
        Story::new("nothing_lost_in_drains", 420, lost::in_drains).demanding(),
        Story::new("rows_bios", 420, rows::bios),
        Story::new("rows_uefi", 420, rows::uefi),
        Story::new("power_cut_in_config_put", 480, power::cut_in_config_put),
        Story::new("reset_in_config_put", 480, power::reset_in_config_put),
        Story::new(
            "a_configuration_is_never_lost",
            if is_whole() { 2_700 } else { 900 },
            crash_points::a_configuration_is_never_lost,
        ),
        Story::new(
            "what_is_not_synced_is_lost",
            480,
            crash_points::what_is_not_synced_is_lost,
        ),
        Story::new("drift_is_repaired", 420, drift::is_repaired),
        Story::new("flows_take_the_fast_path", 300, fast::flows_take_the_fast_path).demanding(),
        Story::new("packets_are_steered", 150, drift::packets_are_steered).demanding(),
        Story::new("mtu_goes_back", 240, mtu::goes_back),
        Story::new("cluster_behind_a_bond", 420, bonds::cluster_behind_a_bond),
        Story::new("rows_original_timing", 240, rows::original_timing).demanding(),
        Story::new("agent_killed_during_requests", 180, agent::killed_during_requests).demanding(),
        Story::new("agent_crashes_at_every_start", 180, agent::crashes_at_every_start),
        Story::new("rows_source_nat_always", 120, rows::source_nat_always),
        Story::new(
            "the_doctor_finds_what_hides_clients",
            150,
            doctor::the_doctor_finds_what_hides_clients,
        ),
        Story::new("bad_configs_at_the_console", 240, bad_config::at_the_console),
        Story::new("config_of_ten_megabytes", 150, bad_input::ten_megabytes),
        Story::new("config_of_invalid_utf8", 150, bad_input::invalid_utf8),
        Story::new("config_volume_full", 180, bad_input::volume_full),
        Story::new("config_volume_read_only", 150, bad_input::volume_read_only),
        Story::new("config_volume_damaged", 150, bad_input::volume_damaged),
        Story::new("config_volume_missing", 300, volume_missing::served_by_the_copy),
        Story::new("config_volume_resized", 150, bad_input::volume_resized),
        Story::new("link_unplugged", 180, bad_input::link_unplugged),
        Story::new("drained_under_load", 240, drains::drained_under_load).demanding(),
        Story::new("pod_moves_under_load", 180, moves::pod_moves_under_load).demanding(),
        Story::new(
            "a_dead_servers_clients_are_told",
            180,
            dead::a_dead_servers_clients_are_told,
        )
        .demanding(),
        Story::new(
            "link_down_freezes_the_pools",
            180,
            outage::link_down_freezes_the_pools,
        ),
        Story::new(
            "a_hundred_flaps_in_a_minute",
            180,
            flaps::a_hundred_flaps_in_a_minute,
        )
        .demanding(),
        Story::new(
            "quorum_backup_sorry_panic",
            180,
            quorum::quorum_backup_sorry_panic,
        ),
        Story::new(
            "a_machine_moves_as_one_text",
            480,
            transfer::a_machine_moves_as_one_text,
        ),
        Story::new("seed_by_fw_cfg", 240, first_boot::by_fw_cfg),
        Story::new("boot_menu", 240, first_boot::menu),
        Story::new("forgotten_password", 420, password::forgotten_password),
        Story::new("seed_by_disk", 180, first_boot::by_disk),
        Story::new("seed_by_smbios_and_cd", 240, first_boot::by_smbios_and_cd),
        Story::new(
            "factory_reset_in_power_cuts",
            420,
            first_boot::reset_in_power_cuts,
        ),
        Story::new(
            "rehearsed_before_applied",
            480,
            rehearsal::rehearsed_before_applied,
        )
        .demanding(),
        Story::new("confirm_returns_by_itself", 150, trial::confirm_returns_by_itself),
        Story::new("power_cut_while_pending", 240, trial::power_cut_while_pending),
        Story::new("reset_while_pending", 180, trial::reset_while_pending),
        Story::new("rollback_three_versions", 180, trial::rollback_three_versions),
        Story::new("link_without_cable", 150, bad_input::link_without_cable),
        Story::new(
            "every_block_of_the_config_volume",
            if is_whole() { 3_600 } else { 240 },
            blocks::every_block_of_the_config_volume,
        ),
        Story::new("a_start_falls_back", 240, fallbacks::a_start_falls_back),
        Story::new("link_missing", 150, bad_input::link_missing),
        Story::new("links_with_one_mac", 150, bad_input::links_with_one_mac),
        Story::new("nodes_reach_the_services", 150, hairpin::nodes_reach_the_services),
        Story::new(
            "checks_ask_over_http_and_tls",
            240,
            checks::checks_ask_over_http_and_tls,
        ),
        Story::new("checks_of_every_kind", 300, kinds::checks_of_every_kind),
        Story::new(
            "several_checks_of_one_server",
            120,
            checks::several_checks_of_one_server,
        ),
        Story::new("endpoints_are_weights", 180, checks::endpoints_are_weights),
        Story::new(
            "an_apiserver_ends_and_nobody_notices",
            150,
            apiserver::an_apiserver_ends_and_nobody_notices,
        )
        .demanding(),
        Story::new(
            "slowly_to_a_limit_and_by_network",
            180,
            limits::slowly_to_a_limit_and_by_network,
        )
        .demanding(),
        Story::new("udp_is_balanced", 150, protocols::udp_is_balanced),
        Story::new(
            "associations_stay_with_their_server",
            150,
            protocols::associations_stay_with_their_server,
        ),
        Story::new("clients_persist", 150, protocols::clients_persist),
        Story::new(
            "packets_are_forwarded_whole",
            180,
            whole::packets_are_forwarded_whole,
        ),
        Story::new(
            "many_ports_are_one_service",
            240,
            groups::many_ports_are_one_service,
        ),
        Story::new(
            "answers_come_from_the_service",
            240,
            one_packet::answers_come_from_the_service,
        )
        .demanding(),
        Story::new(
            "packets_are_whole_whatever_they_meet",
            240,
            packets::are_whole_whatever_they_meet,
        )
        .demanding(),
        Story::new("ipv6_is_balanced", 150, protocols::ipv6_is_balanced),
        Story::new("a_flood_of_syns", 150, flood::a_flood_of_syns).demanding(),
        Story::new(
            "a_flood_of_answers_to_checks",
            150,
            flood::a_flood_of_answers_to_checks,
        )
        .demanding(),
        Story::new(
            "memory_is_scarce_in_a_flood",
            420,
            flood::memory_is_scarce_in_a_flood,
        )
        .demanding(),
        Story::new("one_change_among_many", 300, scale::one_change_among_many).demanding(),
        Story::new(
            "one_change_among_forty_thousand",
            400,
            scale::one_change_among_forty_thousand,
        )
        .demanding(),
        Story::new("only_services_answer", 300, surface::only_services_answer),
        Story::new(
            "nodes_leave_by_their_address",
            150,
            gateway::nodes_leave_by_their_address,
        ),
        Story::new("forwards_and_pools", 150, gateway::forwards_and_pools),
        Story::new("top_follows_the_traffic", 180, counters::top_follows_the_traffic),
        Story::new("boot_stage_fails", 150, rescue::boot_stage_fails),
        Story::new("console_cannot_run", 150, rescue::console_cannot_run),
        Story::new("wrong_gateway_returns", 180, gateways::wrong_gateway_returns),
        Story::new("taken_away_on_a_disk", 150, taken_away::on_a_disk),
        Story::new(
            "what_hangs_is_started_anew",
            300,
            hangs::what_hangs_is_started_anew,
        ),
        Story::new("locked_rescue_prompt", 240, password::locked_rescue_prompt),
        Story::new("first_boot", 180, machine::first_boot),
        Story::new("small_memory", 150, machine::small_memory),
        Story::new("tables_fit_the_memory", 200, machine::tables_fit_the_memory),
        Story::new(
            "power_button_and_ctrl_alt_del",
            180,
            machine::power_button_and_ctrl_alt_del,
        ),
        Story::new("console_commands", 180, machine::console_commands),
        Story::new("edited_at_the_console", 180, edits::edited_at_the_console),
        Story::new("prompt_stays_whole", 180, news::prompt_stays_whole),
    ];
    story::main(stories, || {
        artifacts::prepare(Path::new(env!("CARGO_BIN_EXE_saboteur")))
    })
}

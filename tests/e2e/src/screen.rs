//! What the serial line's screen shows, in parts. Must not: know what is meant to be there.

/// From the last line on that begins so.
pub fn since<'s>(screen: &'s str, beginning: &str) -> &'s str {
    let starts = screen
        .match_indices(beginning)
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || screen[..*at].ends_with('\n'));
    starts.last().map_or(screen, |at| &screen[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_begins_so_is_where_it_starts() {
        let screen = "lb> setup\nno\nsay lb> setup\nlb> setup\nyes";
        assert_eq!(since(screen, "lb> setup"), "lb> setup\nyes");
        assert_eq!(since(screen, "say"), "say lb> setup\nlb> setup\nyes");
        assert_eq!(since(screen, "status"), screen);
    }
}

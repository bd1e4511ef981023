//! The three changes as splices of the text: a value that is set, a table that is added, and what is deleted.
//! Must not: parse words, or touch a byte more than it takes.

use std::ops::Range;

use super::super::keys::{Key, Table};
use super::nodes::{self, Node, Shape, Step, Tree};
use super::splice::{
    Splice, indent, is_gap, line_before, line_behind, line_end, line_start, lines_after, remove_lines,
};

/// One `KEY = VALUE`, as it is written.
#[derive(Debug, Clone)]
pub(super) struct Assignment {
    pub key: String,
    pub value: String,
}

impl Assignment {
    fn written(&self) -> String {
        format!("{} = {}", self.key, self.value)
    }
}

/// The value of a key, which is there or not. `Err`: it is written as tables of their own.
pub(super) fn set(tree: &Tree<'_>, path: &[Step], value: &str) -> Result<Vec<Splice>, ()> {
    match tree.exactly(path) {
        Some((_, node)) if node.shape != Shape::Section => {
            return Ok(vec![Splice {
                range: node.value.clone(),
                text: value.to_owned(),
            }]);
        }
        None if tree.below(path).next().is_none() => {}
        _ => return Err(()),
    }
    let Some((last, table)) = path.split_last() else {
        return Err(());
    };
    Ok(put(tree, table, &nodes::key(&last.key), value))
}

/// A key into a table, which is made where it is not there.
fn put(tree: &Tree<'_>, table: &[Step], key: &str, value: &str) -> Vec<Splice> {
    let statement = format!("{key} = {value}");
    match tree.exactly(table) {
        Some((at, node)) => match node.shape {
            Shape::Braces => into_braces(tree, at, &statement),
            Shape::Section => vec![into_section(tree, at, &statement)],
            // The short form of a check.
            _ => vec![Splice {
                text: format!("{{ type = {}, {statement} }}", &tree.text[node.value.clone()]),
                range: node.value.clone(),
            }],
        },
        None => match tree.below(table).rfind(|(_, node)| node.depth < table.len()) {
            Some((_, dotted)) => beside_dotted(tree, dotted, table, &statement),
            None => put_new(tree, table, key, value),
        },
    }
}

/// Into a table that is nowhere yet.
fn put_new(tree: &Tree<'_>, table: &[Step], key: &str, value: &str) -> Vec<Splice> {
    match table {
        [] => vec![at_the_top(tree.text, &format!("{key} = {value}"))],
        [only] => {
            let lines = [format!("[{}]", nodes::key(&only.key)), format!("{key} = {value}")];
            vec![section(tree.text, None, &lines)]
        }
        [outer @ .., last] => {
            let braces = format!("{{ {key} = {value} }}");
            put(tree, outer, &nodes::key(&last.key), &braces)
        }
    }
}

/// Behind the directive and the byte order mark that a text may begin with.
fn at_the_top(text: &str, statement: &str) -> Splice {
    let end = line_end(text);
    let mark = text.len() - text.trim_start_matches('\u{feff}').len();
    let at = match text[mark..].starts_with("#:") {
        true => line_behind(text, mark),
        false => mark,
    };
    if at > mark && !text[..at].ends_with('\n') {
        return Splice::insert(at, format!("{end}{statement}"));
    }
    Splice::insert(at, format!("{statement}{end}"))
}

/// Behind the last key that stands in the section itself.
fn into_section(tree: &Tree<'_>, at: usize, statement: &str) -> Splice {
    let own = &tree.nodes[at];
    let belongs =
        |node: &&Node| node.within.is_none() && node.shape != Shape::Section && node.depth == own.path.len();
    let after = tree.nodes[at + 1..]
        .iter()
        .take_while(|node| node.shape != Shape::Section);
    let last = after.filter(belongs).last().unwrap_or(own);
    let line = format!("{}{statement}", indent(tree.text, last.span.start));
    lines_after(tree.text, last.span.end, &[line])
}

/// Behind a key that is written `table.key`.
fn beside_dotted(tree: &Tree<'_>, dotted: &Node, table: &[Step], statement: &str) -> Vec<Splice> {
    let prefix = table[dotted.depth..]
        .iter()
        .map(|step| nodes::key(&step.key).into_owned() + ".");
    let statement = prefix.collect::<String>() + statement;
    match dotted.within {
        Some(at) => into_braces(tree, at, &statement),
        None => {
            let line = format!("{}{statement}", indent(tree.text, dotted.span.start));
            vec![lines_after(tree.text, dotted.span.end, &[line])]
        }
    }
}

/// Behind the last one in braces or brackets, on a line of its own if that one is.
fn into_braces(tree: &Tree<'_>, at: usize, what: &str) -> Vec<Splice> {
    let text = tree.text;
    let outer = &tree.nodes[at];
    let last = tree.nodes.iter().rfind(|node| node.within == Some(at));
    let Some(last) = last else {
        let gap = if outer.shape == Shape::Braces { " " } else { "" };
        let inner = outer.value.start + 1..outer.value.end - 1;
        let comment = text[inner.clone()].contains('#');
        return vec![match comment {
            true => Splice::insert(outer.value.start + 1, format!("{gap}{what}{}", line_end(text))),
            false => Splice {
                range: inner,
                text: format!("{gap}{what}{gap}"),
            },
        }];
    };
    let end = last.span.end;
    let own_line = text[line_start(text, last.span.start)..last.span.start]
        .trim()
        .is_empty();
    if !own_line || line_behind(text, end) > outer.value.end {
        return vec![Splice::insert(end, format!(", {what}"))];
    }
    let comma = comma_behind(text, end);
    let eol = text[end..].find(['\r', '\n']).map_or(text.len(), |at| end + at);
    let line = format!("{}{}{what}", line_end(text), indent(text, last.span.start));
    match comma {
        Some(_) => vec![Splice::insert(eol, line + ",")],
        None if eol == end => vec![Splice::insert(end, format!(",{line}"))],
        None => vec![Splice::insert(end, ","), Splice::insert(eol, line)],
    }
}

/// Behind the comma that follows, if one does.
fn comma_behind(text: &str, end: usize) -> Option<usize> {
    let rest = &text[end..];
    let trimmed = rest.trim_start();
    trimmed
        .starts_with(',')
        .then(|| end + rest.len() - trimmed.len() + 1)
}

/// A table more in a list. `Err`: the list is written in a way that takes none.
pub(super) fn add(
    tree: &Tree<'_>,
    list: &[Step],
    table: &Table,
    assignments: &[Assignment],
) -> Result<Vec<Splice>, ()> {
    let inline = || {
        let all: Vec<String> = assignments.iter().map(Assignment::written).collect();
        format!("{{ {} }}", all.join(", "))
    };
    if let Some((at, node)) = tree.exactly(list) {
        return match node.shape {
            Shape::Brackets => Ok(into_braces(tree, at, &inline())),
            _ => Err(()),
        };
    }
    let (last, outer) = list.split_last().ok_or(())?;
    let is_of_list = |node: &Node| {
        let step = node.path.get(outer.len());
        step.is_some_and(|step| step.key == last.key)
    };
    // The end of a list is behind those of the tables in it.
    let of_list = tree
        .below(outer)
        .filter(|(_, node)| is_of_list(node))
        .map(|(_, node)| node.span.end)
        .max();
    let in_sections = outer.is_empty()
        || tree
            .exactly(outer)
            .is_some_and(|(_, node)| node.shape == Shape::Section);
    let by_itself = table.header == format!("[[{}]]", table.path);
    if !in_sections || of_list.is_none() && !by_itself {
        return Ok(put(
            tree,
            outer,
            &nodes::key(&last.key),
            &format!("[{}]", inline()),
        ));
    }
    let keys = outer.iter().chain([last]).map(|step| nodes::key(&step.key));
    let name = keys.collect::<Vec<_>>().join(".");
    let mut lines = vec![format!("[[{name}]]")];
    lines.extend(assignments.iter().map(Assignment::written));
    let behind = of_list.or_else(|| {
        let inside = tree.below(outer).filter(|_| !outer.is_empty());
        inside.map(|(_, node)| node.span.end).max()
    });
    Ok(vec![section(tree.text, behind, &lines)])
}

/// One more to a value that may be one or a list. `whole`: the one that is there means the same in a list. `Err`: it does not, or is written in a way
/// that takes no more.
pub(super) fn add_listed(
    tree: &Tree<'_>,
    list: &[Step],
    assignments: &[Assignment],
    whole: bool,
) -> Result<Vec<Splice>, ()> {
    let all: Vec<String> = assignments.iter().map(Assignment::written).collect();
    let inline = format!("{{ {} }}", all.join(", "));
    let (last, outer) = list.split_last().ok_or(())?;
    if let Some((at, node)) = tree.exactly(list) {
        return match node.shape {
            Shape::Brackets => Ok(into_braces(tree, at, &inline)),
            Shape::Plain | Shape::Braces if whole => Ok(vec![Splice {
                text: format!("[{}, {inline}]", &tree.text[node.value.clone()]),
                range: node.value.clone(),
            }]),
            _ => Err(()),
        };
    }
    let of_list = tree.below(outer).filter(|(_, node)| {
        let step = node.path.get(outer.len());
        step.is_some_and(|step| step.key == last.key)
    });
    match of_list
        .map(|(_, node)| (node.span.end, node.within, node.path[outer.len()].index))
        .max_by_key(|(end, ..)| *end)
    {
        None => Ok(put(tree, outer, &nodes::key(&last.key), &format!("[{inline}]"))),
        Some((end, None, Some(_))) => {
            let keys = list.iter().map(|step| nodes::key(&step.key));
            let mut lines = vec![format!("[[{}]]", keys.collect::<Vec<_>>().join("."))];
            lines.extend(all);
            Ok(vec![section(tree.text, Some(end), &lines)])
        }
        Some(_) => Err(()),
    }
}

/// A section of its own, after an empty line, behind the statement that ends there, or at the end.
fn section(text: &str, behind: Option<usize>, lines: &[String]) -> Splice {
    if text.is_empty() {
        let all: String = lines.iter().map(|line| format!("{line}\n")).collect();
        return Splice::insert(0, all);
    }
    let mut all = vec![String::new()];
    all.extend(lines.iter().cloned());
    let at = behind.map_or(text.len(), |end| behind_comments(text, end));
    lines_after(text, at, &all)
}

/// The end of the comment lines that follow without a gap, unless they belong to what comes after them.
fn behind_comments(text: &str, end: usize) -> usize {
    let mut at = end;
    loop {
        let next = line_behind(text, at);
        let line = text[next..].lines().next().unwrap_or_default().trim();
        match line {
            "" => return at,
            line if line.starts_with('#') && next < text.len() => at = next,
            _ => return end,
        }
    }
}

/// All that stands at a path, and the tables around it that are empty then.
pub(super) fn delete(tree: &Tree<'_>, path: &[Step]) -> Vec<Splice> {
    let path = &emptied(tree, path);
    let mut outermost: Vec<usize> = Vec::new();
    for (at, node) in tree.below(path) {
        let inside = node.within.is_some_and(|outer| tree.nodes[outer].below(path));
        if !inside {
            outermost.push(at);
        }
    }
    let mut splices = Vec::new();
    let mut run: Option<Range<usize>> = None;
    for at in outermost {
        let node = &tree.nodes[at];
        if node.within.is_some() {
            splices.extend(out_of_braces(tree, at));
            continue;
        }
        let joins = run
            .as_ref()
            .is_some_and(|run| is_gap(&tree.text[run.end..node.span.start]));
        match &mut run {
            Some(run) if joins => run.end = node.span.end,
            _ => splices.extend(run.replace(node.span.clone()).map(|run| statements(tree, run))),
        }
    }
    splices.extend(run.map(|run| statements(tree, run)));
    splices
}

/// The path itself, or that of the list or the table around it that has nothing else.
fn emptied(tree: &Tree<'_>, path: &[Step]) -> Vec<Step> {
    let mut list = path.to_vec();
    if let Some(last) = list.last_mut() {
        last.index = None;
    }
    let mut target = path.to_vec();
    if let Some((at, _)) = tree.exactly(&list)
        && tree
            .nodes
            .iter()
            .all(|node| node.within != Some(at) || node.below(path))
    {
        target.clone_from(&list);
    }
    while let Some((_, outer)) = target.split_last() {
        let remains = |node: &Node| node.path.len() > outer.len() && !node.below(path) && node.path != list;
        let in_table = outer.last().is_some_and(|last| last.index.is_none());
        if !in_table || tree.below(outer).any(|(_, node)| remains(node)) {
            break;
        }
        target.pop();
    }
    target
}

/// Statements with all between them; a section with the comment right above it and an empty line.
fn statements(tree: &Tree<'_>, run: Range<usize>) -> Splice {
    let text = tree.text;
    let mut start = line_start(text, run.start);
    if text[run.start..].starts_with('[') {
        while let Some(line) =
            line_before(text, start).filter(|line| text[line.clone()].trim_start().starts_with('#'))
        {
            start = line.start;
        }
        if let Some(line) = line_before(text, start).filter(|line| text[line.clone()].trim().is_empty()) {
            start = line.start;
        }
    }
    remove_lines(text, start..run.end)
}

/// One of several in braces or brackets, with its comma.
fn out_of_braces(tree: &Tree<'_>, at: usize) -> Vec<Splice> {
    let text = tree.text;
    let node = &tree.nodes[at];
    let siblings = || tree.nodes.iter().filter(|other| other.within == node.within);
    let before = siblings().rfind(|other| other.span.end <= node.span.start);
    let next = siblings().find(|other| other.span.start >= node.span.end);
    let comma = comma_behind(text, node.span.end);
    let start = line_start(text, node.span.start);
    let behind = comma.unwrap_or(node.span.end);
    let rest = text[behind..line_behind(text, behind)].trim();
    let own_lines =
        text[start..node.span.start].trim().is_empty() && (rest.is_empty() || rest.starts_with('#'));
    if own_lines {
        let mut all = vec![Splice::remove(start..line_behind(text, behind))];
        if let (None, Some(before)) = (comma, before) {
            all.extend(comma_behind(text, before.span.end).map(|comma| Splice::remove(comma - 1..comma)));
        }
        return all;
    }
    let range = match (before, next) {
        (_, Some(next)) => node.span.start..next.span.start,
        (Some(before), None) => before.span.end..node.span.end,
        (None, None) => node.span.start..behind,
    };
    vec![Splice::remove(range)]
}

/// The keys that a new table of a list has to have.
pub(super) fn needed(table: &'static Table) -> impl Iterator<Item = &'static Key> {
    table
        .keys()
        .filter(|key| matches!(key.unset, super::super::keys::Unset::Needed))
}

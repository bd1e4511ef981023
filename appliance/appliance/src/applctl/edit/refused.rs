//! What `config put` has refused because of its faults, as the draft that `config edit` offers. Must not: cost anything that
//! somebody has typed.

use super::draft::{Drafts, Left};
use super::original;
use crate::applctl::execute::Context;

/// Says what became of the text.
pub fn keep_refused(text: &[u8], context: &Context<'_>) -> String {
    let drafts = Drafts::new(context);
    // An earlier one of `config put` holds nothing that was typed since.
    let former = drafts.find().filter(|draft| draft.left != Left::Refused);
    if let Some(draft) = former {
        return format!(
            "What you pasted is not kept: there is a draft already, {}, which `config edit` offers.",
            draft.path.display()
        );
    }
    let began_with = original(context).unwrap_or_default();
    match drafts.keep(text, &began_with, Left::Refused) {
        Ok(_) => "What you pasted is kept as a draft; `config edit` offers it, to be mended.".to_owned(),
        Err(why) => format!("What you pasted is not kept as a draft: {why}."),
    }
}

/// The text was mended elsewhere: another one was put.
pub fn forget_refused(context: &Context<'_>) {
    let drafts = Drafts::new(context);
    if drafts.find().is_some_and(|draft| draft.left == Left::Refused) {
        drafts.forget();
    }
}

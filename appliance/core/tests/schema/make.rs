//! The registry as a JSON Schema. Draft 7: the one that TOML's language server and the other editors' all read, with `definitions`;
//! what stands beside a `$ref` is ignored there.

use lb_core::config::keys::{Form, Key, ROOT, Table, places};
use serde_json::{Map, Value, json};

pub fn schema() -> Value {
    let mut root = object(&ROOT);
    let mut definitions = Map::new();
    for place in places() {
        if let Some(table) = place.key.form.table() {
            definitions.entry(table.path).or_insert_with(|| object(table));
        }
    }
    let own = root.as_object_mut().expect("it is an object");
    own.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
    own.insert("title".into(), "lb.toml".into());
    own.insert(
        "description".into(),
        "The configuration of the lb appliance.".into(),
    );
    own.insert("definitions".into(), definitions.into());
    root
}

fn object(table: &Table) -> Value {
    let mut properties = Map::new();
    for key in table.keys() {
        properties.insert(key.name.into(), property(key, &description(key)));
        if let Some(alias) = key.alias {
            let about = format!("keepalived's word for `{}`.", key.name);
            let mut renamed = property(key, &about);
            renamed["x-taplo"] = json!({ "hidden": true });
            properties.insert(alias.into(), renamed);
        }
    }
    let needed: Vec<&str> = table
        .keys()
        .filter(|key| key.unset.shown() == "needed")
        .map(|key| key.name)
        .collect();
    json!({
        "description": table.about,
        "type": "object",
        "properties": properties,
        "required": needed,
        "additionalProperties": false,
    })
}

fn description(key: &Key) -> String {
    let mut text = format!("{}.", key.about);
    for of in key.own_types() {
        if let Some(about) = of.about {
            text += &format!(" With type `\"{}\"`: {about}.", of.word());
        }
    }
    text += &format!("\n\nAllowed: {}.", key.form.allowed());
    let default = key.unset.shown();
    if !default.is_empty() {
        text += &format!(" Default: {default}.");
    }
    let types: Vec<&str> = key.types().collect();
    if !types.is_empty() {
        text += &format!(" Of checks of type {}.", types.join(", "));
    }
    text
}

fn property(key: &Key, about: &str) -> Value {
    let mut value = form(&key.form);
    value["description"] = about.into();
    if let Some(default) = key.unset.written() {
        let document: toml::Table = format!("default = {default}").parse().expect("a default is TOML");
        value["default"] = json!(document["default"]);
    }
    value
}

fn form(form: &Form) -> Value {
    match form {
        Form::Text { pattern, count, .. } => {
            let mut value = json!({ "type": "string", "minLength": 1 });
            if !pattern.is_empty() {
                value["pattern"] = (*pattern).into();
            }
            if let Some(count) = count {
                value["maxLength"] = count.most.into();
            }
            value
        }
        Form::Time(_) | Form::Seconds(_) => {
            json!({ "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)$" })
        }
        Form::Number { range, .. } => {
            json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
        }
        Form::Percent => json!({ "type": "string", "pattern": r"^ *\+?0*([1-9][0-9]?|100) *%$" }),
        Form::Flag => json!({ "type": "boolean" }),
        Form::Words(words) => json!({ "enum": words }),
        Form::AnyCase(words) => {
            json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": any_case(words) }] })
        }
        Form::Fields(most) => {
            json!({ "type": "object", "additionalProperties": { "type": "string" }, "maxProperties": most })
        }
        Form::List(one) => json!({ "type": "array", "items": self::form(one) }),
        Form::OneOrMore(one) => {
            let one = self::form(one);
            json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
        }
        Form::UpTo(one, most) => {
            let one = self::form(one);
            json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1, "maxItems": most }] })
        }
        Form::Either(forms) => json!({ "anyOf": forms.iter().map(self::form).collect::<Vec<_>>() }),
        Form::Table(table) => json!({ "allOf": [reference(table)] }),
        Form::Tables(table, most) => {
            let mut value = json!({ "type": "array", "items": reference(table) });
            if let Some(most) = most {
                value["minItems"] = 1.into();
                value["maxItems"] = (*most).into();
            }
            value
        }
    }
}

fn reference(table: &Table) -> Value {
    json!({ "$ref": format!("#/definitions/{}", table.path) })
}

fn any_case(words: &[&str]) -> String {
    let either = |c: char| format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase());
    let words: Vec<String> = words
        .iter()
        .map(|word| word.chars().map(either).collect())
        .collect();
    format!("^({})$", words.join("|"))
}
